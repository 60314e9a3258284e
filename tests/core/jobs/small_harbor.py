"""A Harbor in memory, as far as a backup asks it, for tests of what happens to the store."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from unittest.mock import patch

from airflow_provider_harbor.core.copy.places import Source
from airflow_provider_harbor.core.copy.store_place import StorePlace
from airflow_provider_harbor.core.exceptions import HarborBackupError
from airflow_provider_harbor.core.harbor.records import Record, Role
from airflow_provider_harbor.core.jobs import listing
from airflow_provider_harbor.core.jobs.backup import copy_project, finish_run, inventory_project
from airflow_provider_harbor.core.jobs.report import RunReport
from airflow_provider_harbor.core.oci.blob_reader import BlobReader
from airflow_provider_harbor.core.oci.manifest import Manifest
from airflow_provider_harbor.core.store.backup_store import BackupStore
from tests.double import Image

HARBOR = "https://harbor.example.com"
IMAGES = {name: Image(name) for name in "abcdefgh"}


def small_harbor(*projects: str) -> SmallHarbor:
    """Return a Harbor: for each project the names of its images, such as `ab`."""
    return SmallHarbor(
        projects={
            f"p{number}": {name: IMAGES[name] for name in names}
            for number, names in enumerate(projects)
        }
    )


@dataclass
class SmallHarbor(Source):
    """A Harbor that holds some images by their names, in projects."""

    projects: dict[str, dict[str, Image]] = field(default_factory=dict)
    kind = "Harbor"
    url = HARBOR
    version = "2.15.2"

    def is_proxy_cache(self, project: str) -> bool:
        return False

    def get_manifest(self, record: Record) -> Manifest:
        image = self._image(record.digest)
        return Manifest.from_bytes(image.manifest, image.media_type, record.repository)

    @contextlib.contextmanager
    def open_blob(self, repository: str, blob: Any) -> Iterator[BlobReader]:
        for images in self.projects.values():
            for image in images.values():
                if blob.digest in image.blobs:
                    content = image.blobs[blob.digest]
                    yield BlobReader(iter([content]), blob.digest, len(content), repository)
                    return
        raise AssertionError(f"nobody has {blob.digest}")

    def _image(self, digest: str) -> Image:
        images = [image for held in self.projects.values() for image in held.values()]
        return next(image for image in images if image.digest == digest)


class Listing:
    """In place of `InventoryWalk`: lists such a source."""

    gaps = ()
    seen = None
    believed = ()

    def __init__(self, client: SmallHarbor, project: str, **options: Any) -> None:
        self._project = project
        self._images = client.projects[project]

    def __iter__(self) -> Generator[tuple[str, list[Record]], None, None]:
        for name, image in sorted(self._images.items()):
            repository = f"{self._project}/{name}"
            yield (
                repository,
                [
                    Record(
                        project=self._project,
                        repository=repository,
                        digest=image.digest,
                        role=Role.ARTIFACT,
                        media_type=image.media_type,
                    )
                ],
            )


class NoLease:
    """Backups are kept apart by their caller."""

    def check(self) -> None:
        pass


def back_up(store: BackupStore, source: SmallHarbor, run: str, started_at: datetime) -> RunReport:
    """Do what the command line does: list and copy each project, and conclude."""
    with patch.object(listing, "InventoryWalk", Listing):
        for project in sorted(source.projects):
            with contextlib.suppress(HarborBackupError):
                ref = inventory_project(source, store, run, project)  # type: ignore[arg-type]
                copy_project(
                    source,  # type: ignore[arg-type]
                    source,
                    StorePlace(store),
                    store,
                    run,
                    ref,
                    lease=NoLease(),  # type: ignore[arg-type]
                )
    return conclude(store, source, run, started_at)


def conclude(store: BackupStore, source: SmallHarbor, run: str, started_at: datetime) -> RunReport:
    return finish_run(
        store,
        run,
        sorted(source.projects),
        harbor_url=HARBOR,
        destination=store.url,
        started_at=started_at,
    )
