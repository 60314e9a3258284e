"""Make files of a store again that are damaged, out of others; kept is only what is surely right.

contents    from the inventory and the manifests in the pool, where they are what their name says
a result    from the report of its night, where it has the lists that the snapshot has
"""

from __future__ import annotations

import logging
from collections.abc import Iterator

from airflow_provider_harbor.core.exceptions import (
    HarborBackupError,
    HarborProtocolError,
    IntegrityError,
)
from airflow_provider_harbor.core.jobs.results import ProjectResult
from airflow_provider_harbor.core.jobs.verification.lists import Lists
from airflow_provider_harbor.core.jobs.verification.report import Damage, Kind
from airflow_provider_harbor.core.oci.manifest import MANIFEST_MEDIA_TYPES, Manifest
from airflow_provider_harbor.core.store import layout
from airflow_provider_harbor.core.store.backup_store import BackupStore
from airflow_provider_harbor.core.store.documents import SHAPE_ERRORS, read_object
from airflow_provider_harbor.core.store.inventories import Content

log = logging.getLogger(__name__)


class Rebuilding:
    """Makes contents and results again.

    Args:
        store: The store.
        lists: What its snapshots name.
    """

    def __init__(self, store: BackupStore, lists: Lists) -> None:
        self._store = store
        self._lists = lists

    def find(self, damage: Damage) -> str:
        """Return how a damage could be mended, in words; empty where it cannot be."""
        if damage.kind is Kind.LIST and self._contents(damage) is not None:
            return "can be made again, from the inventory and the pool"
        if damage.kind is Kind.RESULT and self._result(damage) is not None:
            return "can be written again, from the report of that night"
        return ""

    def run(self, damage: Damage) -> str:
        """Mend a damage; returns how that was done, empty where it cannot be.

        Raises:
            IntegrityError: What was written is not right.
        """
        if damage.kind is Kind.LIST:
            return self._write_contents(damage)
        result = self._result(damage) if damage.kind is Kind.RESULT else None
        if result is None:
            return ""
        self._store.results.write(result.run, result.project, result.to_json())
        if self._store.results.read(result.run, result.project, ProjectResult.from_json) != result:
            raise IntegrityError("it was written again, and cannot be read")
        return "written again, from the report of that night"

    # -- contents

    def _write_contents(self, damage: Damage) -> str:
        contents = self._contents(damage)
        if contents is None:
            return ""
        project, sha256 = _list_of(damage)
        with self._store.inventories.write_contents(project, replaces=True) as writer:
            for repository, manifests in contents:
                writer.add(repository, manifests)
            writer.finish()
        self._store.inventories.verify_contents(project, sha256)
        return "made again, from the inventory and the pool"

    def _contents(self, damage: Damage) -> list[tuple[str, list[Content]]] | None:
        """Return contents that are damaged, if they can be made again; exactly these, or none."""
        if not damage.thing.startswith("contents/"):
            return None
        project, sha256 = _list_of(damage)
        inventories = {
            inventory
            for name, inventory, contents in self._lists.nights
            if (name, contents) == (project, sha256)
        }
        for inventory in sorted(inventories):
            try:
                made = list(self._iter_contents(project, inventory))
            except (HarborBackupError, FileNotFoundError) as err:
                log.info("Contents are not made again: %s", err)
                continue
            with self._store.inventories.write_contents(project) as writer:
                for repository, manifests in made:
                    writer.add(repository, manifests)
                if writer.sha256 == sha256:
                    return made
        return None

    def _iter_contents(self, project: str, inventory: str) -> Iterator[tuple[str, list[Content]]]:
        store = self._store
        for repository, records in store.inventories.iter_repositories(project, inventory):
            found = []
            for record in records:
                where = f"{repository}@{record.digest}"
                content = store.pool.read(record.digest)
                manifest = Manifest.from_bytes(content, record.media_type, where)
                if manifest.media_type not in MANIFEST_MEDIA_TYPES:
                    raise HarborProtocolError(f"{where}: nobody knows its type any more")
                foreign = [
                    blob.digest
                    for blob in manifest.blobs
                    if blob.is_foreign_layer and not store.pool.has(blob.digest, blob.size_bytes)
                ]
                found.append(Content.of(record.digest, manifest, foreign))
            yield repository, found

    # -- results

    def _result(self, damage: Damage) -> ProjectResult | None:
        """Return a result as the report of its night has it, if it fits the snapshot."""
        project, key = damage.uses[0].repository, damage.uses[0].first
        (snapshot,) = [found for found in self._lists.snapshots if found.key == key]
        entry = snapshot.projects[project]
        try:
            report = read_object(self._store.files, layout.report(key, "json")) or {}
            rows = [row for row in report["projects"] if row["project"] == project]
            result = ProjectResult.from_json(rows[0])
            fits = result.inventory and (result.inventory.sha256, result.contents, result.run) == (
                entry.inventory,
                entry.contents,
                snapshot.run,
            )
        except (HarborBackupError, IndexError, *SHAPE_ERRORS) as err:
            log.info("The result is not written again: %r", err)
            return None
        return result if fits else None


def _list_of(damage: Damage) -> tuple[str, str]:
    """Return project and SHA-256 of the list that is damaged."""
    return damage.uses[0].repository, damage.thing.rpartition("/")[2].partition(".")[0]
