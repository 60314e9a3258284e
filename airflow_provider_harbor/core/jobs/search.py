"""Find a tag, a repository or a digest in all nights of a store: from when to when is it there?"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

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

log = logging.getLogger(__name__)

_READERS = 16
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
    """

    sightings: tuple[Sighting, ...]
    searched: int
    damages: tuple[str, ...]
    is_cut_short: bool = False


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
    progress: Progress | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Found:
    """Look for something in all snapshots of a store, the newest first.

    Lists that several nights share are read once.

    Args:
        store: Where to look.
        text: What for, see `Query`.
        seconds: After so long it begins with no other list, and says which nights are searched.
        progress: Called with a line of text now and then.
        clock: What tells the seconds; tests give another.

    Raises:
        HarborConfigurationError: It is empty, or there is no store.
    """
    query = Query(text)
    _ = store.harbor_url  # that it is a store
    looking = _Search(store, query, None if seconds is None else clock() + seconds, clock)
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


class _Search:
    """One search, night by night, the newest first.

    Args:
        store: Where to look.
        query: What for.
        until: When it is over, by the clock; None for never.
        clock: What tells the seconds.
    """

    def __init__(
        self, store: BackupStore, query: Query, until: float | None, clock: Callable[[], float]
    ) -> None:
        self._store = store
        self._query = query
        self._until = until
        self._clock = clock
        self._damages: list[str] = []
        self._nights: list[Snapshot] = []
        self._lists: dict[_List, list[Match]] = {}
        self._seen: dict[Match, list[str]] = {}
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
        new = [item for item in lists if item not in self._lists]
        for item, matches in zip(new, pool.map(self._matches, new), strict=True):
            if matches is not None:
                self._lists[item] = matches
        if self.is_over:
            # What was found is shown all the same; that it is not everything is said.
            self._note(snapshot, [item for item in lists if item in self._lists])
            return
        self._nights.append(snapshot)
        self._note(snapshot, lists)

    def _note(self, snapshot: Snapshot, lists: Iterable[_List]) -> None:
        for item in lists:
            for match in self._lists[item]:
                keys = self._seen.setdefault(match, [])
                if not keys or keys[-1] != snapshot.key:
                    keys.append(snapshot.key)

    def _matches(self, item: _List) -> list[Match] | None:
        if self._is_time():
            self.is_over = True
            return None
        try:
            return list(dict.fromkeys(_iter_matches(self._store, self._query, *item)))
        except (IntegrityError, HarborProtocolError) as err:
            log.warning("%s", err)
            self._damages.append(str(err))
            return []

    def found(self) -> Found:
        """Return what it came to."""
        newest: dict[str, str] = {}
        for snapshot in self._nights:
            for project in snapshot.projects:
                newest.setdefault(project, snapshot.key)
        sightings = (
            Sighting(
                match=match,
                first=seen[-1],
                last=seen[0],
                snapshots=len(seen),
                is_in_newest=newest.get(match.repository.partition("/")[0], seen[0]) == seen[0],
            )
            for match, seen in sorted(self._seen.items())
        )
        return Found(
            sightings=tuple(sightings),
            searched=len(self._nights),
            damages=tuple(self._damages),
            is_cut_short=self.is_over,
        )


def _iter_matches(
    store: BackupStore, query: Query, project: str, inventory: str, contents: str
) -> Iterator[Match]:
    for record in store.inventories.iter_records(project, inventory):
        yield from query.iter_matches(record)
    if query.wants_layers and contents:
        for repository, manifests in store.inventories.iter_contents(project, contents):
            for content in manifests.values():
                yield from query.iter_layers(repository, content)
