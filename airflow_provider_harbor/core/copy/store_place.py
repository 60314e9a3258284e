"""A backup store as a place: its pool, and the contents that say what of a project is in it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from airflow_provider_harbor.core.copy.places import Group, Place, View
from airflow_provider_harbor.core.exceptions import (
    HarborProtocolError,
    IntegrityError,
    MissingContentError,
)
from airflow_provider_harbor.core.harbor.records import Record
from airflow_provider_harbor.core.http.transport import Body
from airflow_provider_harbor.core.oci.blob_reader import BlobReader
from airflow_provider_harbor.core.oci.manifest import MANIFEST_MEDIA_TYPES, Descriptor, Manifest
from airflow_provider_harbor.core.store.backup_store import BackupStore
from airflow_provider_harbor.core.store.inventories import Content
from airflow_provider_harbor.core.store.known import Held


class StorePlace(Place):
    """The store's pool: all content once, whatever repository it is of. Tags are in inventories.

    Args:
        store: Whose pool it is.
    """

    kind = "backup store"
    shares_content = True
    keeps_tags = False

    def __init__(self, store: BackupStore) -> None:
        self.store = store
        self.url = store.url

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
        return _ContentsView(self.store, project)


class _ContentsView(View):
    """The newest contents of a project, read alongside what is going to be there."""

    def __init__(self, store: BackupStore, project: str) -> None:
        self._contents = _read_newest(store, project)
        self._next: tuple[str, dict[str, Content]] | None = next(self._contents, None)

    def find(self, groups: Sequence[Group]) -> Mapping[str, Held]:
        return {name: self._find_one(name) for name, _ in groups}

    def _find_one(self, repository: str) -> Held:
        while self._next and self._next[0] < repository:
            self._next = next(self._contents, None)
        if not self._next or self._next[0] != repository:
            return Held()
        contents = self._next[1]
        return Held(digests=frozenset(contents), contents=contents)


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
