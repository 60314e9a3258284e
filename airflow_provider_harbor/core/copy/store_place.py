"""A backup store as a place: its pool, and the contents that say what of a project is in it."""

from __future__ import annotations

import logging
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from datetime import datetime, timezone

from airflow_provider_harbor.core.copy.places import Group, Place, View
from airflow_provider_harbor.core.exceptions import (
    HarborProtocolError,
    IntegrityError,
    MissingContentError,
)
from airflow_provider_harbor.core.harbor.records import Record
from airflow_provider_harbor.core.http.transport import Body
from airflow_provider_harbor.core.human import human_count
from airflow_provider_harbor.core.oci.blob_reader import BlobReader
from airflow_provider_harbor.core.oci.manifest import MANIFEST_MEDIA_TYPES, Descriptor, Manifest
from airflow_provider_harbor.core.store.backup_store import BackupStore
from airflow_provider_harbor.core.store.inventories import Content
from airflow_provider_harbor.core.store.known import Held

log = logging.getLogger(__name__)

_AT_ONCE_IN_A_DIRECTORY = 4
# In so many nights all that an object storage holds has been looked for.
_NIGHTS = 7


class StorePlace(Place):
    """The store's pool: all content once, whatever repository it is of. Tags are in inventories.

    Args:
        store: Whose pool it is.
        now: What tells the time; tests give another.
    """

    kind = "backup store"
    shares_content = True
    keeps_tags = False

    def __init__(
        self,
        store: BackupStore,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(timezone.utc),
    ) -> None:
        self.store = store
        self.url = store.url
        self._now = now

    @property
    def window(self) -> int | None:
        """A directory is busy with a few at once; an object storage takes any number."""
        return _AT_ONCE_IN_A_DIRECTORY if self.store.files.is_local else None

    # -- reading

    def get_manifest(self, record: Record) -> Manifest:
        """Return a record's manifest, verified."""
        content = self.store.pool.read(record.digest)
        where = f"{record.repository}@{record.digest}"
        return Manifest.from_bytes(content, record.media_type, where)

    @contextmanager
    def open_blob(self, repository: str, blob: Descriptor) -> Iterator[BlobReader]:
        """Open a blob for reading."""
        yield self.store.pool.open(blob.digest, blob.size_bytes)

    def find_manifest(self, record: Record) -> Manifest | None:
        """Return a record's manifest; None where it is not there, or nobody knows its type."""
        try:
            manifest = self.get_manifest(record)
        except (MissingContentError, IntegrityError, HarborProtocolError):
            return None
        return manifest if manifest.media_type in MANIFEST_MEDIA_TYPES else None

    def names(self, repository: str, tag: str, digest: str) -> bool:
        """Return False: a store has no tags but those of its inventories."""
        return False

    def has_blob(self, repository: str, blob: Descriptor) -> bool:
        """Tell whether a blob is in the pool, with its size."""
        return self.store.pool.has(blob.digest, blob.size_bytes)

    # -- writing

    def put_manifest(self, repository: str, reference: str, manifest: Manifest) -> bool:
        """Store a manifest under its digest; what refers to what is in the inventory."""
        self.store.pool.put_bytes(manifest.content, reference)
        return True

    def put_blob(self, repository: str, blob: Descriptor, body: Body) -> None:
        """Store a blob."""
        self.store.pool.put(body, blob.digest)

    def take_over(self, repository: str, digest: str, home: str) -> bool:
        """Return True: what is in the pool is there for all repositories."""
        return True

    def prepare(self, project: str) -> None:
        """Do nothing: a pool needs no projects."""

    def look_at(
        self, project: str, remembered: Mapping[str, Held], *, workers: int
    ) -> _ContentsView:
        """Begin to read the newest contents of a project."""
        return _ContentsView(self.store, project, self._now().toordinal())


class _ContentsView(View):
    """The newest contents of a project, read alongside what is going to be there.

    What they name is looked for in the pool, since a file that somebody deleted, or a disk cut
    short, is in no backup any more, whatever was true last night. In a directory that is everything
    each night. In an object storage, where each look is a request, it is a seventh of the
    repositories, and one file of each other: where that is gone, all of it.

    That a file still has the right bytes is not looked at here: that takes reading all of it.
    """

    def __init__(self, store: BackupStore, project: str, day: int) -> None:
        self._store = store
        self._day = day
        self._contents = _read_newest(store, project)
        self._next: tuple[str, dict[str, Content]] | None = next(self._contents, None)

    def find(self, groups: Sequence[Group]) -> Mapping[str, Held]:
        found = {name: self._find_one(name) for name, _ in groups}
        absent = self._find_absent(found)
        return {name: _held(name, contents, absent) for name, contents in found.items()}

    def _find_one(self, repository: str) -> Mapping[str, Content]:
        while self._next and self._next[0] < repository:
            self._next = next(self._contents, None)
        return self._next[1] if self._next and self._next[0] == repository else {}

    def _find_absent(self, found: Mapping[str, Mapping[str, Content]]) -> set[str]:
        """Return what of some repositories is not in the pool, as far as it is looked for."""
        due = {name for name in found if self._is_due(name)}
        others = {
            name: next(iter(found[name].values())) for name in found.keys() - due if found[name]
        }
        gone = self._store.pool.find_absent({c.digest: c.size_bytes for c in others.values()})
        due |= {name for name, content in others.items() if content.digest in gone}
        return self._store.pool.find_absent(
            {
                blob.digest: blob.size_bytes
                for name in due
                for content in found[name].values()
                for blob in content.iter_sizes()
            }
        )

    def _is_due(self, repository: str) -> bool:
        if self._store.files.is_local:
            return True
        return (zlib.crc32(repository.encode()) + self._day) % _NIGHTS == 0


def _held(repository: str, contents: Mapping[str, Content], absent: Set[str]) -> Held:
    whole = {
        digest: content
        for digest, content in contents.items()
        if absent.isdisjoint(blob.digest for blob in content.iter_sizes())
    }
    if lost := contents.keys() - whole.keys():
        log.warning(
            "%s: %s of which files are gone from the store, or cut short, %s for one. They are "
            "copied again, if Harbor still has them; older nights may lack them",
            repository,
            human_count(len(lost), "digest"),
            min(lost),
        )
    return Held(digests=frozenset(whole), contents=whole)


def _read_newest(store: BackupStore, project: str) -> Iterator[tuple[str, dict[str, Content]]]:
    """Yield the newest contents of a project by repository; none of a file that is damaged.

    Then all is asked for again, which costs time and nothing else.
    """
    latest = store.snapshots.read_latest(project)
    if latest is None:
        return
    try:
        store.inventories.verify_contents(project, latest[1])
    except IntegrityError:
        return
    yield from store.inventories.iter_contents(project, latest[1])
