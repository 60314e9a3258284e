"""Find a tag, a repository or a digest in all nights of a store: from when to when is it there?"""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

from airflow_provider_harbor.core.exceptions import (
    HarborConfigurationError,
    HarborProtocolError,
    IntegrityError,
)
from airflow_provider_harbor.core.harbor.records import Record
from airflow_provider_harbor.core.human import Progress, human_count
from airflow_provider_harbor.core.store.backup_store import BackupStore
from airflow_provider_harbor.core.store.inventories import Content
from airflow_provider_harbor.core.store.snapshots import Snapshot

T = TypeVar("T")

log = logging.getLogger(__name__)

_READERS = 16
# So many things are found at most, each with some hundred bytes: "a" may be in everything.
MOST = 100_000
# After so many lines of a list it looks at the time.
_LOOKED_LINES = 256
# A project, its inventory and its contents.
_List = tuple[str, str, str]
# Fewer hex digits fit too many digests by chance.
_SHORTEST_HEX = 6
_HEX = re.compile(r"(?:sha(?:256|512):)?([0-9a-f]+)\Z")


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Match:
    """Something that was found, as it was in some nights.

    Attributes:
        repository: Its full name.
        tag: The tag that fits; empty where it is another thing that does.
        digest: Of the artifact; empty where the repository's name fits.
        layer: Digest of the layer or config that fits, of which the artifact is made; else empty.
    """

    repository: str
    tag: str = ""
    digest: str = ""
    layer: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """In which nights something is.

    Attributes:
        first, last: Keys of the oldest and the newest snapshot that has it.
        snapshots: How many have it.
        is_in_newest: Whether the newest snapshot that has its project has it.
    """

    match: Match
    first: str
    last: str
    snapshots: int
    is_in_newest: bool

    def to_json(self) -> dict[str, Any]:
        """Return it by names."""
        return {
            "repository": self.match.repository,
            "tag": self.match.tag,
            "digest": self.match.digest,
            "layer": self.match.layer,
            "first": self.first,
            "last": self.last,
            "snapshots": self.snapshots,
            "is_in_newest": self.is_in_newest,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a search came to.

    Attributes:
        sightings: Sorted by repository, tag, digest.
        searched: Number of snapshots that were looked into.
        damages: Files that could not be read, so that what they hold was not found.
        is_cut_short: Whether the time was up before all nights were searched: the older ones were
            not.
        is_full: Whether there is more than was to be found, and is left out.
    """

    sightings: tuple[Sighting, ...]
    searched: int
    damages: tuple[str, ...]
    is_cut_short: bool = False
    is_full: bool = False


class Query:
    """What is looked for: a part of a name, `repository:tag`, `repository@digest`, or a digest.

    Args:
        text: As it was typed. Letters fit whatever their case.

    Raises:
        HarborConfigurationError: It is empty.
    """

    def __init__(self, text: str) -> None:
        text = text.strip(" :").lower()
        if not text.strip("@/"):
            raise HarborConfigurationError(
                "nothing to look for was given. Give a part of a repository's name, a tag, or the "
                "first digits of a digest"
            )
        name, at, digest = text.partition("@")
        found = _HEX.match(digest if at else text)
        self._hex = found[1] if found and len(found[1]) >= _SHORTEST_HEX else ""
        if at and not self._hex:
            raise HarborConfigurationError(
                f"{digest!r} is not a digest: give at least {_SHORTEST_HEX} of its hex digits"
            )
        self._repository = name if at else ""
        self._name, self._tag = ("", "") if at or self._hex else (text, text)
        if not at and not self._hex and ":" in text:
            self._repository, _, self._tag = text.rpartition(":")
            self._name = ""

    @property
    def wants_layers(self) -> bool:
        """Whether it may be the digest of a layer, which only contents name."""
        return bool(self._hex)

    def iter_matches(self, record: Record) -> Iterator[Match]:
        """Yield what of a record is meant."""
        repository = record.repository.lower()
        if self._name and self._name in repository:
            yield Match(repository=record.repository)
        if self._repository and not _ends_in(repository, self._repository):
            return
        if self._hex:
            if self._hex in record.digest.partition(":")[2]:
                yield Match(repository=record.repository, digest=record.digest)
        elif self._tag:
            for tag in record.tags:
                if self._fits_tag(tag.name.lower()):
                    yield Match(repository=record.repository, tag=tag.name, digest=record.digest)

    def _fits_tag(self, tag: str) -> bool:
        # Behind a repository the whole tag is meant.
        return tag == self._tag if self._repository else self._tag in tag

    def iter_layers(self, repository: str, content: Content) -> Iterator[Match]:
        """Yield the layers of a manifest that are meant."""
        if self._repository and not _ends_in(repository.lower(), self._repository):
            return
        for blob in content.blobs:
            if self._hex in blob.digest.partition(":")[2]:
                yield Match(repository=repository, digest=content.digest, layer=blob.digest)


def _ends_in(repository: str, name: str) -> bool:
    return repository == name or repository.endswith(f"/{name}")


def search(
    store: BackupStore,
    text: str,
    *,
    seconds: float | None = None,
    most: int = MOST,
    progress: Progress | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Found:
    """Look for something in all snapshots of a store, the newest first.

    Lists that several nights share are read once.

    Args:
        store: Where to look.
        text: What for, see `Query`.
        seconds: After so long it ends, and says how many nights are searched.
        most: So many things are found at most.
        progress: Called with a line of text now and then.
        clock: What tells the seconds; tests give another.

    Raises:
        HarborConfigurationError: It is empty, or there is no store.
    """
    query = Query(text)
    _ = store.harbor_url  # that it is a store
    until = None if seconds is None else clock() + seconds
    looking = _Search(store, query, until, clock, most)
    keys = store.snapshots.list_keys()[::-1]
    with ThreadPoolExecutor(_READERS, thread_name_prefix="search") as pool:
        for at in range(0, len(keys), _READERS):
            if progress:
                progress(f"{at} of {human_count(len(keys), 'night')} searched")
            for snapshot in pool.map(looking.read, keys[at : at + _READERS]):
                if snapshot and not looking.is_over:
                    looking.add(snapshot, pool)
            if looking.is_over:
                break
    return looking.found()


class _TimeUpError(Exception):
    """The time is up in the midst of a list."""


@dataclass(slots=True)
class _Span:
    """The nights that have something, as far as they were looked into."""

    first: str
    last: str
    count: int = 1


class _Search:
    """One search, night by night, the newest first.

    Args:
        store: Where to look.
        query: What for.
        until: When it is over, by the clock; None for never.
        clock: What tells the seconds.
        most: So many things are found at most.
    """

    def __init__(
        self,
        store: BackupStore,
        query: Query,
        until: float | None,
        clock: Callable[[], float],
        most: int,
    ) -> None:
        self._store = store
        self._query = query
        self._until = until
        self._clock = clock
        self._damages: list[str] = []
        self._nights: list[Snapshot] = []
        # Of each project what the list has that was read last: most nights share it.
        self._lists: dict[str, tuple[_List, list[Match]]] = {}
        self._seen: dict[Match, _Span] = {}
        self._most = most
        self._lock = threading.Lock()
        self._kept: set[Match] = set()
        self.is_full = False
        self.is_over = False

    def _is_time(self) -> bool:
        return self._until is not None and self._clock() > self._until

    def read(self, key: str) -> Snapshot | None:
        """Return a night; None where it has no end, cannot be read, or the time is up."""
        if self._is_time():
            self.is_over = True
            return None
        try:
            return self._store.snapshots.read(key)
        except IntegrityError as err:
            self._damages.append(str(err))
            return None

    def add(self, snapshot: Snapshot, pool: ThreadPoolExecutor) -> None:
        """Search a night; where the time is up on the way, it counts as not searched."""
        lists = [(name, i.inventory, i.contents) for name, i in snapshot.projects.items()]
        new = [item for item in lists if not self._has(item)]
        for item, matches in zip(new, pool.map(self._matches, new), strict=True):
            if matches is not None:
                self._lists[item[0]] = item, matches
        # What was found is shown though the time is up; that it is not everything is said.
        self._note(snapshot, filter(self._has, lists))
        if not self.is_over:
            self._nights.append(snapshot)

    def _has(self, item: _List) -> bool:
        found = self._lists.get(item[0])
        return found is not None and found[0] == item

    def _note(self, snapshot: Snapshot, lists: Iterable[_List]) -> None:
        for item in lists:
            for match in self._lists[item[0]][1]:
                if (span := self._seen.get(match)) is None:
                    self._seen[match] = _Span(snapshot.key, snapshot.key)
                elif span.first != snapshot.key:
                    span.first = snapshot.key
                    span.count += 1

    def _matches(self, item: _List) -> list[Match] | None:
        if self._is_time():
            self.is_over = True
            return None
        found: dict[Match, None] = {}
        try:
            for match in self._iter_matches(*item):
                if self._keeps(match):
                    found[match] = None
        except _TimeUpError:
            self.is_over = True
        except (IntegrityError, HarborProtocolError) as err:
            log.warning("%s", err)
            self._damages.append(str(err))
            return []
        return list(found)

    def _keeps(self, match: Match) -> bool:
        with self._lock:
            if match in self._kept:
                return True
            if len(self._kept) >= self._most:
                self.is_full = True
                return False
            self._kept.add(match)
            return True

    def _iter_matches(self, project: str, inventory: str, contents: str) -> Iterator[Match]:
        lists = self._store.inventories
        for record in self._in_time(lists.iter_records(project, inventory)):
            yield from self._query.iter_matches(record)
        if self._query.wants_layers and contents:
            for repository, content in self._in_time(lists.iter_manifests(project, contents)):
                yield from self._query.iter_layers(repository, content)

    def _in_time(self, lines: Iterable[T]) -> Iterator[T]:
        for number, line in enumerate(lines, 1):
            if number % _LOOKED_LINES == 0 and self._is_time():
                raise _TimeUpError
            yield line

    def found(self) -> Found:
        """Return what it came to."""
        newest: dict[str, str] = {}
        for snapshot in self._nights:
            for project in snapshot.projects:
                newest.setdefault(project, snapshot.key)
        sightings = (
            Sighting(
                match=match,
                first=span.first,
                last=span.last,
                snapshots=span.count,
                is_in_newest=newest.get(match.repository.partition("/")[0], span.last) == span.last,
            )
            for match, span in sorted(self._seen.items())
        )
        return Found(
            sightings=tuple(sightings),
            searched=len(self._nights),
            damages=tuple(self._damages),
            is_cut_short=self.is_over,
            is_full=self.is_full,
        )
