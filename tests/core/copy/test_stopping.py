"""A copy that is stopped: what is on its way ends first, and nothing begins behind it."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

import pytest

from airflow_provider_harbor.core.copy.blobs import BlobCopier
from airflow_provider_harbor.core.copy.outcome import RepositoryOutcome
from airflow_provider_harbor.core.copy.plan import plan_repository
from airflow_provider_harbor.core.copy.registry_places import RegistrySource
from airflow_provider_harbor.core.copy.transfer import Transfer
from airflow_provider_harbor.core.exceptions import NotTriedError
from airflow_provider_harbor.core.harbor.records import Record
from airflow_provider_harbor.core.oci.manifest import Descriptor, Manifest
from airflow_provider_harbor.core.store.known import Held
from tests.core.rig import Backup, list_whole
from tests.double import HarborDouble
from tests.double.content import Image


class Slow(RegistrySource):
    """A source that says when it is asked for its first manifest, and takes its time then."""

    def __init__(self, backup: Backup) -> None:
        super().__init__(backup.registry)
        self.is_asked = threading.Event()
        self.asked: list[str] = []
        self.ended: list[str] = []

    def get_manifest(self, record: Record) -> Manifest:
        self.asked.append(record.digest)
        self.is_asked.set()
        threading.Event().wait(0.2)
        manifest = super().get_manifest(record)
        self.ended.append(record.digest)
        return manifest


def test_nothing_is_under_way_any_more_when_a_copy_has_been_stopped(
    harbor: HarborDouble, backup: Backup
) -> None:
    """Who holds the lease gives it back then, and another run may begin."""
    harbor.create_project("p")
    for number in range(5):
        harbor.push("p/app", Image(str(number)), str(number))
    plan = plan_repository("p/app", list_whole(backup.client, "p"), Held())
    source = Slow(backup)

    def take(outcomes: Iterator[RepositoryOutcome]) -> None:
        # It may be stopped while it begins the next one.
        with contextlib.suppress(RuntimeError):
            list(outcomes)

    def stop() -> None:
        with Transfer(source, backup.itself, total=5, workers=1) as transfer:
            outcomes = transfer.run([plan])
            threading.Thread(target=take, args=(outcomes,), daemon=True).start()
            assert source.is_asked.wait(120)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stop()
    assert source.ended == source.asked
    assert len(source.asked) == 1
    names = [thread.name for thread in threading.enumerate()]
    assert not [name for name in names if name.startswith(("step_", "blob_", "end_"))]


def test_a_blob_on_its_way_ends_with_its_block_and_leaves_nothing(
    harbor: HarborDouble, backup: Backup
) -> None:
    harbor.create_project("p")
    image = harbor.push("p/app", Image("app"), "1.0")
    digest, content = next(iter(image.blobs.items()))
    blob = Descriptor(digest=digest, media_type="", size_bytes=len(content))
    copier = BlobCopier(RegistrySource(backup.registry), backup.itself)
    copier.stop()
    with pytest.raises(NotTriedError, match="the run was stopped"):
        copier.copy("p/app", blob)
    assert not backup.itself.has_blob("p/app", blob)
