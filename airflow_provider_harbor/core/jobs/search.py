"""Find a tag, a repository or a digest in all nights of a store: from when to when is it there?"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from airflow_provider_harbor.core.exceptions import HarborConfigurationError, IntegrityError
from airflow_provider_harbor.core.harbor.records import Record
from airflow_provider_harbor.core.human import Progress, human_count
from airflow_provider_harbor.core.store.backup_store import BackupStore
from airflow_provider_harbor.core.store.inventories import Content
from airflow_provider_harbor.core.store.snapshots import Snapshot

log = logging.getLogger(__name__)

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
    """

    sightings: tuple[Sighting, ...]
    searched: int
    damages: tuple[str, ...]


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


def search(store: BackupStore, text: str, *, progress: Progress | None = None) -> Found:
    """Look for something in all snapshots of a store.

    Lists that several nights share are read once.

    Args:
        store: Where to look.
        text: What for, see `Query`.
        progress: Called with a line of text now and then.

    Raises:
        HarborConfigurationError: It is empty, or there is no store.
    """
    query = Query(text)
    _ = store.harbor_url  # that it is a store
    damages: list[str] = []
    found = store.snapshots.read_all(lambda key, why: damages.append(why))
    snapshots = sorted(found, key=lambda snapshot: snapshot.key)
    nights: dict[tuple[str, str, str], list[int]] = {}
    for number, snapshot in enumerate(snapshots):
        for project, item in snapshot.projects.items():
            nights.setdefault((project, item.inventory, item.contents), []).append(number)
    seen: dict[Match, set[int]] = {}
    for at, ((project, inventory, contents), numbers) in enumerate(nights.items()):
        if progress and at % 10 == 0:
            progress(f"{at} of {human_count(len(nights), 'list')} searched")
        try:
            for match in _iter_matches(store, query, project, inventory, contents):
                seen.setdefault(match, set()).update(numbers)
        except IntegrityError as err:
            log.warning("%s", err)
            damages.append(str(err))
    newest = _newest_by_project(snapshots)
    sightings = (
        Sighting(
            match=match,
            first=snapshots[min(numbers)].key,
            last=snapshots[max(numbers)].key,
            snapshots=len(numbers),
            is_in_newest=newest[match.repository.partition("/")[0]] in numbers,
        )
        for match, numbers in sorted(seen.items())
    )
    return Found(sightings=tuple(sightings), searched=len(snapshots), damages=tuple(damages))


def _iter_matches(
    store: BackupStore, query: Query, project: str, inventory: str, contents: str
) -> Iterator[Match]:
    for record in store.inventories.iter_records(project, inventory):
        yield from query.iter_matches(record)
    if query.wants_layers and contents:
        for repository, manifests in store.inventories.iter_contents(project, contents):
            for content in manifests.values():
                yield from query.iter_layers(repository, content)


def _newest_by_project(snapshots: Sequence[Snapshot]) -> dict[str, int]:
    return {
        project: number
        for number, snapshot in enumerate(snapshots)
        for project in snapshot.projects
    }
