"""How much room a store takes: in all, for each project, and by night."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_harbor.core.exceptions import IntegrityError
from airflow_provider_harbor.core.human import Progress, human_count
from airflow_provider_harbor.core.oci.names import pack_digest
from airflow_provider_harbor.core.store import layout
from airflow_provider_harbor.core.store.backup_store import BackupStore
from airflow_provider_harbor.core.store.inventories import BlobSize
from airflow_provider_harbor.core.store.snapshots import Snapshot

log = logging.getLogger(__name__)

_SHARED = -1


@dataclass(slots=True)
class ProjectUsage:
    """What a project takes, over all nights.

    Attributes:
        alone_bytes: Content that no other project uses, over all nights: what would be free without
            it.
        newest_bytes: All content that its newest snapshot uses, once.
    """

    alone_bytes: int = 0
    newest_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Night:
    """What a snapshot added to the pool.

    Attributes:
        new_bytes, new_files: Content that no older snapshot names.
    """

    snapshot: str
    started_at: str
    digests: int
    new_files: int
    new_bytes: int


@dataclass(slots=True)
class Usage:
    """How much room a store takes, in bytes.

    Attributes:
        pool_files, pool_bytes: What is in the pool.
        lists_bytes: Inventories, contents, results, reports and all else.
        named_files, named_bytes: Of the pool, what some snapshot names. The rest is of runs that
            were cut short or are going on.
        damages: Lists that could not be read, so that what they name is not counted.
    """

    pool_files: int = 0
    pool_bytes: int = 0
    lists_bytes: int = 0
    named_files: int = 0
    named_bytes: int = 0
    projects: dict[str, ProjectUsage] = field(default_factory=dict)
    nights: list[Night] = field(default_factory=list)
    damages: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Return it by names."""
        return {
            "pool_files": self.pool_files,
            "pool_bytes": self.pool_bytes,
            "lists_bytes": self.lists_bytes,
            "named_files": self.named_files,
            "named_bytes": self.named_bytes,
            "projects": {
                name: {"alone_bytes": item.alone_bytes, "newest_bytes": item.newest_bytes}
                for name, item in sorted(self.projects.items())
            },
            "nights": [
                {
                    "snapshot": night.snapshot,
                    "started_at": night.started_at,
                    "digests": night.digests,
                    "new_files": night.new_files,
                    "new_bytes": night.new_bytes,
                }
                for night in self.nights
            ],
            "damages": self.damages,
        }


def measure(store: BackupStore, *, progress: Progress | None = None) -> Usage:
    """Measure a store.

    All names of the pool are in memory, some 150 bytes for each file.

    Args:
        store: The store.
        progress: Called with a line of text now and then.

    Raises:
        HarborConfigurationError: There is no store.
    """
    _ = store.harbor_url  # that it is a store
    tell = progress or (lambda text: None)
    measurement = _Measurement(store)
    damages = measurement.usage.damages
    found = store.snapshots.read_all(lambda key, why: damages.append(why))
    snapshots = sorted(found, key=lambda snapshot: snapshot.key)
    for number, snapshot in enumerate(snapshots, 1):
        tell(f"{number} of {human_count(len(snapshots), 'snapshot')} read")
        measurement.add(snapshot)
    measurement.finish(snapshots)
    for count, entry in enumerate(store.files.iter_files(""), 1):
        if count % 100_000 == 0:
            tell(f"{human_count(count, 'file')} listed")
        measurement.add_file(entry.path, entry.size_bytes)
    return measurement.usage


class _Measurement:
    def __init__(self, store: BackupStore) -> None:
        self._store = store
        # Of each project and its contents the bytes that these name, each digest once.
        self._read: dict[tuple[str, str], int] = {}
        # Of each digest the bytes, and the number of the project that uses it, or _SHARED.
        self._sizes: dict[bytes, tuple[int, int]] = {}
        self._numbers: dict[str, int] = {}
        self.usage = Usage()

    def add(self, snapshot: Snapshot) -> None:
        """Count what a snapshot adds; the older ones come first."""
        files_before, bytes_before = len(self._sizes), self.usage.named_bytes
        for project, item in sorted(snapshot.projects.items()):
            self.usage.projects.setdefault(project, ProjectUsage())
            if item.contents and (project, item.contents) not in self._read:
                self._read[project, item.contents] = self._add_contents(project, item.contents)
        self.usage.nights.append(
            Night(
                snapshot=snapshot.key,
                started_at=snapshot.started_at,
                digests=snapshot.digests,
                new_files=len(self._sizes) - files_before,
                new_bytes=self.usage.named_bytes - bytes_before,
            )
        )

    def _add_contents(self, project: str, sha256: str) -> int:
        number = self._numbers.setdefault(project, len(self._numbers))
        named: dict[bytes, int] = {}
        for blob in self._iter_blobs(project, sha256):
            key = pack_digest(blob.digest)
            named[key] = blob.size_bytes
            known = self._sizes.get(key)
            if known is None:
                self._sizes[key] = (blob.size_bytes, number)
                self.usage.named_bytes += blob.size_bytes
            elif known[1] not in (number, _SHARED):
                self._sizes[key] = (known[0], _SHARED)
        return sum(named.values())

    def _iter_blobs(self, project: str, sha256: str) -> Iterator[BlobSize]:
        try:
            for _, contents in self._store.inventories.iter_contents(project, sha256):
                for content in contents.values():
                    yield from content.iter_sizes()
        except IntegrityError as err:
            log.warning("%s", err)
            self.usage.damages.append(str(err))

    def finish(self, snapshots: list[Snapshot]) -> None:
        """Add up what each project uses."""
        self.usage.named_files = len(self._sizes)
        names = {number: project for project, number in self._numbers.items()}
        for size_bytes, number in self._sizes.values():
            if number != _SHARED:
                self.usage.projects[names[number]].alone_bytes += size_bytes
        newest = {p: item.contents for s in snapshots for p, item in s.projects.items()}
        for project, sha256 in newest.items():
            self.usage.projects[project].newest_bytes = self._read.get((project, sha256), 0)

    def add_file(self, path: str, size_bytes: int) -> None:
        """Count a file of the store."""
        if path.startswith(f"{layout.POOL}/"):
            self.usage.pool_files += 1
            self.usage.pool_bytes += size_bytes
        elif not path.startswith(f"{layout.UNFINISHED}/"):
            self.usage.lists_bytes += size_bytes
