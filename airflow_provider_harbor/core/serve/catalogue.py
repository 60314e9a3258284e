"""What a snapshot holds, in memory: what is where, by names and digests, and none of the content.

Made once, before the first answer: a new snapshot, or one that is pruned, changes nothing of it.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from airflow_provider_harbor.core.exceptions import IntegrityError
from airflow_provider_harbor.core.harbor.records import Record
from airflow_provider_harbor.core.human import Progress, human_count, human_duration, human_size
from airflow_provider_harbor.core.oci.names import pack_digest, unpack_digest
from airflow_provider_harbor.core.serve.digests import DigestTable
from airflow_provider_harbor.core.store.backup_store import BackupStore
from airflow_provider_harbor.core.store.inventories import Content
from airflow_provider_harbor.core.store.snapshots import Snapshot

log = logging.getLogger(__name__)

# The number of a manifest in a table: its size, and below it which media type it has.
_TYPE_BITS = 16


class Repository:
    """A repository of the snapshot, as far as its content is in the store."""

    __slots__ = ("_blobs", "_manifests", "_media_types", "_referrers", "_tags", "tags")

    def __init__(
        self, records: list[Record], contents: Mapping[str, Content], media_types: _MediaTypes
    ) -> None:
        there = [record for record in records if record.digest in contents]
        self._media_types = media_types
        self._manifests = DigestTable(
            {
                pack_digest(content.digest): content.size_bytes << _TYPE_BITS
                | media_types.number(content.media_type)
                for content in contents.values()
            }
        )
        self._blobs = DigestTable(
            {
                pack_digest(b.digest): b.size_bytes
                for content in contents.values()
                for b in content.blobs
            }
        )
        self._tags = {tag.name: pack_digest(r.digest) for r in there for tag in r.tags}
        self.tags = tuple(sorted(self._tags))
        referrers: dict[bytes, list[bytes]] = {}
        for record in there:
            if record.subject:
                referrers.setdefault(pack_digest(record.subject), []).append(
                    pack_digest(record.digest)
                )
        self._referrers = {subject: tuple(found) for subject, found in referrers.items()}

    def digest_of(self, tag: str) -> str | None:
        """Return what a tag names; None where there is no such tag."""
        packed = self._tags.get(tag)
        return unpack_digest(packed) if packed is not None else None

    def media_type_of(self, digest: str) -> str | None:
        """Return the media type of a manifest; None where there is no such manifest."""
        number = self._manifests.get(pack_digest(digest))
        if number is None:
            return None
        return self._media_types.names[number & ((1 << _TYPE_BITS) - 1)]

    def blob_size(self, digest: str) -> int | None:
        """Return the size of a config or layer in bytes; None where there is none."""
        return self._blobs.get(pack_digest(digest))

    def referrers_of(self, digest: str) -> list[str]:
        """Return what Harbor listed as an accessory of a digest, sorted."""
        return [unpack_digest(packed) for packed in self._referrers.get(pack_digest(digest), ())]

    @property
    def counts(self) -> tuple[int, int]:
        """Number of manifests, and of blobs."""
        return len(self._manifests), len(self._blobs)

    @property
    def memory_bytes(self) -> int:
        """About how much memory it takes."""
        size = sys.getsizeof
        return (
            self._manifests.memory_bytes
            + self._blobs.memory_bytes
            + sum(map(size, (self._tags, self.tags, self._referrers)))
            + sum(size(name) + size(packed) for name, packed in self._tags.items())
            + sum(
                size(subject) + size(found) + sum(map(size, found))
                for subject, found in self._referrers.items()
            )
        )


class _MediaTypes:
    """Media types by small numbers: there are a few, for any number of manifests."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self._numbers: dict[str, int] = {}

    def number(self, name: str) -> int:
        """Return the number of a media type, a new one where it has none yet."""
        number = self._numbers.setdefault(name, len(self.names))
        if number == len(self.names):
            if number >> _TYPE_BITS:
                raise IntegrityError(f"more than {1 << _TYPE_BITS:,} media types in one snapshot")
            self.names.append(name)
        return number


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalogue:
    """What is served.

    Attributes:
        repositories: By full name, sorted.
        problems: What of the snapshot is not served, and why: a line each.
        seconds: How long it took to read.
    """

    snapshot: Snapshot
    repositories: Mapping[str, Repository]
    problems: tuple[str, ...]
    seconds: float

    def summary(self) -> str:
        """Return how much there is, how long it took to read it, and what that takes."""
        repositories = self.repositories.values()
        manifests, blobs = (
            map(sum, zip(*(r.counts for r in repositories), strict=True))
            if repositories
            else (0, 0)
        )
        memory = sum(r.memory_bytes for r in repositories)
        return (
            f"{human_count(len(repositories), 'repository')}, "
            f"{human_count(sum(len(r.tags) for r in repositories), 'tag')}, "
            f"{human_count(manifests, 'manifest')}, {human_count(blobs, 'blob')}; read in "
            f"{human_duration(self.seconds)}, {human_size(memory)} in memory"
        )


def read_catalogue(
    store: BackupStore, snapshot: Snapshot, progress: Progress = lambda text: None
) -> Catalogue:
    """Read the lists of a snapshot.

    A project whose lists cannot be read is a problem, and the others are served.

    Args:
        store: Where the snapshot is.
        snapshot: What is to be served.
        progress: Called with a line of text, now and then.

    Raises:
        StoreError: The store cannot be read.
    """
    began = time.monotonic()
    reader = _Reader(store, snapshot)
    repositories: dict[str, Repository] = {}
    for number, project in enumerate(sorted(snapshot.projects), 1):
        progress(f"reading project {number} of {len(snapshot.projects)}: {project}")
        try:
            repositories.update(reader.read(project))
        except IntegrityError as err:
            reader.problems.append(f"project {project} is not served: {err}")
        except ValueError:
            # No digest, in a line that was damaged so that it is JSON still.
            reader.problems.append(f"project {project} is not served: its lists are damaged")
    return Catalogue(
        snapshot=snapshot,
        repositories=dict(sorted(repositories.items())),
        problems=tuple(reader.problems),
        seconds=time.monotonic() - began,
    )


class _Reader:
    """Reads the lists of one snapshot."""

    def __init__(self, store: BackupStore, snapshot: Snapshot) -> None:
        self._inventories = store.inventories
        self._snapshot = snapshot
        self._media_types = _MediaTypes()
        self.problems: list[str] = []

    def read(self, project: str) -> dict[str, Repository]:
        """Return the repositories of a project; all of them, or it raises."""
        entry = self._snapshot.projects[project]
        if not entry.contents:
            if entry.digests:
                self.problems.append(
                    f"project {project} is not served: the store has its list, and not its "
                    f"content: {self._snapshot.why_no_content()}"
                )
            return {}
        found: dict[str, Repository] = {}
        lacking = 0
        for name, records, contents in self._iter_both(project):
            lacking += sum(record.digest not in contents for record in records)
            found[name] = Repository(records, contents, self._media_types)
        if lacking:
            self.problems.append(
                f"project {project}: {human_count(lacking, 'manifest')} not served, since they "
                "were not copied that night"
            )
        return found

    def _iter_both(self, project: str) -> Iterator[tuple[str, list[Record], Mapping[str, Content]]]:
        """Yield name, records and contents of each repository; both lists are read to their ends.

        Only at its end a list turns out to be what was written.
        """
        entry = self._snapshot.projects[project]
        contents = self._inventories.iter_contents(project, entry.contents)
        following = next(contents, None)
        for name, records in self._inventories.iter_repositories(project, entry.inventory):
            while following and following[0] < name:
                following = next(contents, None)
            yield name, records, following[1] if following and following[0] == name else {}
        for _ in contents:
            continue
