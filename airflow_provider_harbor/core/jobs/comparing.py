"""Compare two snapshots: which artifacts and tags came, went, or moved."""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from airflow_provider_harbor.core.exceptions import HarborConfigurationError
from airflow_provider_harbor.core.harbor.records import Record, Role
from airflow_provider_harbor.core.human import human_count, human_size
from airflow_provider_harbor.core.store.backup_store import BackupStore
from airflow_provider_harbor.core.store.snapshots import Snapshot


class Change(str, enum.Enum):
    """What became of something between two snapshots."""

    ADDED = "added"
    REMOVED = "removed"
    TAG_ADDED = "tag-added"
    TAG_REMOVED = "tag-removed"
    TAG_MOVED = "tag-moved"


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One difference.

    Attributes:
        digest: Of the artifact, as it is in the newer snapshot, if it is there.
        tag: The tag that came, went or moved; empty for an artifact.
        before: Digest that a moved tag named in the older snapshot.
        tags: Of an artifact that came or went.
        size_bytes: Of an artifact that came or went, as Harbor counts it; 0 for an index, whose
            children are differences of their own.
    """

    change: Change
    repository: str
    digest: str
    role: str
    tag: str = ""
    before: str = ""
    tags: tuple[str, ...] = ()
    size_bytes: int = 0

    def to_json(self) -> dict[str, Any]:
        """Return it by names."""
        return {
            "change": self.change.value,
            "repository": self.repository,
            "digest": self.digest,
            "role": self.role,
            "tag": self.tag,
            "before": self.before,
            "tags": list(self.tags),
            "size_bytes": self.size_bytes,
        }


@dataclass(slots=True)
class Totals:
    """How much differs; sizes are sums over artifacts, a shared layer counts in each of them."""

    added: int = 0
    removed: int = 0
    tags_added: int = 0
    tags_removed: int = 0
    tags_moved: int = 0
    bytes_added: int = 0
    bytes_removed: int = 0

    def add(self, difference: Difference) -> None:
        """Count one."""
        match difference.change:
            case Change.ADDED:
                self.added += 1
                self.tags_added += len(difference.tags)
                self.bytes_added += difference.size_bytes
            case Change.REMOVED:
                self.removed += 1
                self.tags_removed += len(difference.tags)
                self.bytes_removed += difference.size_bytes
            case Change.TAG_ADDED:
                self.tags_added += 1
            case Change.TAG_REMOVED:
                self.tags_removed += 1
            case Change.TAG_MOVED:
                self.tags_moved += 1

    def __str__(self) -> str:
        return (
            f"{human_count(self.added, 'digest')} added ({human_size(self.bytes_added)}), "
            f"{self.removed:,} removed ({human_size(self.bytes_removed)}); "
            f"{human_count(self.tags_added, 'tag')} added, {self.tags_removed:,} removed, "
            f"{self.tags_moved:,} moved"
        )

    def to_json(self) -> dict[str, int]:
        """Return the numbers by names."""
        return {name: getattr(self, name) for name in self.__slots__}


def previous(store: BackupStore, snapshot: Snapshot) -> Snapshot:
    """Return the complete snapshot before another one.

    Raises:
        HarborConfigurationError: There is none.
    """
    for key in reversed(store.snapshots.list_keys()):
        if key < snapshot.key and (found := store.snapshots.read(key)) and found.complete:
            return found
    raise HarborConfigurationError(
        f"the store {store.url} has no complete snapshot before {snapshot.key} to compare it with. "
        "Name two snapshots"
    )


def compare(store: BackupStore, older: Snapshot, newer: Snapshot) -> Iterator[Difference]:
    """Yield what differs, by project, repository and digest.

    A project that one of them lacks (it was made or deleted, or the run was limited) is one that
    holds nothing.

    Raises:
        IntegrityError: An inventory cannot be read.
    """
    for project in sorted({*older.projects, *newer.projects}):
        shas = tuple(
            item.inventory if (item := snapshot.projects.get(project)) else ""
            for snapshot in (older, newer)
        )
        if shas[0] != shas[1]:
            for repository, before, after in _iter_both(store, project, *shas):
                yield from _compare_repository(repository, before, after)


def _iter_both(
    store: BackupStore, project: str, older: str, newer: str
) -> Iterator[tuple[str, list[Record], list[Record]]]:
    """Yield the repositories of two inventories side by side, in the order of their names."""
    left, right = (
        store.inventories.iter_repositories(project, sha256) if sha256 else iter(())
        for sha256 in (older, newer)
    )
    one, other = next(left, None), next(right, None)
    while one or other:
        name = min(item[0] for item in (one, other) if item)
        before = one[1] if one and one[0] == name else []
        after = other[1] if other and other[0] == name else []
        yield name, before, after
        if one and one[0] == name:
            one = next(left, None)
        if other and other[0] == name:
            other = next(right, None)


def _compare_repository(
    repository: str, before: list[Record], after: list[Record]
) -> Iterator[Difference]:
    old, new = {r.digest: r for r in before}, {r.digest: r for r in after}
    old_tags, new_tags = _tags(old), _tags(new)
    for digest in sorted({*old, *new}):
        if digest not in old:
            # What moved here is a move, not an addition.
            came = [name for name in _names(new[digest]) if name not in old_tags]
            yield _artifact(Change.ADDED, new[digest], came)
        elif digest not in new:
            gone = [name for name in _names(old[digest]) if name not in new_tags]
            yield _artifact(Change.REMOVED, old[digest], gone)
    for tag in sorted({*old_tags, *new_tags}):
        one, other = old_tags.get(tag), new_tags.get(tag)
        if one and other and one.digest != other.digest:
            yield _tag(Change.TAG_MOVED, repository, tag, other, before=one.digest)
        elif other and not one and other.digest in old:
            yield _tag(Change.TAG_ADDED, repository, tag, other)
        elif one and not other and one.digest in new:
            yield _tag(Change.TAG_REMOVED, repository, tag, one)


def _tags(records: Mapping[str, Record]) -> dict[str, Record]:
    return {tag.name: record for record in records.values() for tag in record.tags}


def _names(record: Record) -> list[str]:
    return [tag.name for tag in record.tags]


def _artifact(change: Change, record: Record, tags: list[str]) -> Difference:
    return Difference(
        change=change,
        repository=record.repository,
        digest=record.digest,
        role=Role(record.role).value,
        tags=tuple(sorted(tags)),
        size_bytes=0 if record.children else record.size_bytes,
    )


def _tag(
    change: Change, repository: str, tag: str, record: Record, *, before: str = ""
) -> Difference:
    return Difference(
        change=change,
        repository=repository,
        digest=record.digest,
        role=Role(record.role).value,
        tag=tag,
        before=before,
    )
