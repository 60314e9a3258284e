"""What a destination holds of some repositories, as far as it is known."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Set
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TypeVar

from airflow_provider_harbor.core.exceptions import HarborBackupError
from airflow_provider_harbor.core.harbor.records import Record

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Holdings:
    """What a destination holds of some repositories.

    Attributes:
        digests: Repository to the digests of its manifests.
        tags: Repository to its tags, each with the digest it names.
        asked: Repository to when the destination itself was last asked for each of these; without
            a repository where that is not known, or where it turned out not to hold.
        unknown: Repository to why it could not be asked for; nothing is known of it.
    """

    digests: Mapping[str, frozenset[str]] = field(default_factory=dict)
    tags: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    asked: Mapping[str, datetime] = field(default_factory=dict)
    unknown: Mapping[str, HarborBackupError] = field(default_factory=dict)

    def has(self, record: Record) -> bool:
        """Whether the record's manifest is there."""
        return record.digest in self.digests.get(record.repository, frozenset())

    def missing_tags(self, record: Record) -> tuple[str, ...]:
        """Return the record's tags that are not there, or that name something else there."""
        there = self.tags.get(record.repository, {})
        return tuple(t.name for t in record.tags if there.get(t.name) != record.digest)

    def unsure(self, repositories: Set[str]) -> Holdings:
        """Return the same, but that some repositories are to be asked for again."""
        asked = {name: at for name, at in self.asked.items() if name not in repositories}
        return replace(self, asked=asked)

    def with_those_of(self, other: Holdings, repositories: Collection[str]) -> Holdings:
        """Return the same, but of some repositories what another one says; none is unknown."""

        def merged(own: Mapping[str, T], others: Mapping[str, T]) -> dict[str, T]:
            return {**own, **{name: others[name] for name in repositories if name in others}}

        return Holdings(
            digests=merged(self.digests, other.digests),
            tags=merged(self.tags, other.tags),
            asked=merged(self.asked, other.asked),
        )

    @classmethod
    def of_records(cls, records: Iterable[Record]) -> Holdings:
        """Return what an inventory of the destination says."""
        digests: dict[str, set[str]] = defaultdict(set)
        tags: dict[str, dict[str, str]] = defaultdict(dict)
        for record in records:
            digests[record.repository].add(record.digest)
            tags[record.repository].update({tag.name: record.digest for tag in record.tags})
        return cls(digests={name: frozenset(held) for name, held in digests.items()}, tags=tags)


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What is remembered of a destination and a project.

    Attributes:
        holdings: What a plain registry is known to hold; empty for a Harbor, which is asked.
        run: The run whose inventory was the newest that was copied there; empty where none is
            known.
        listed_at: When that inventory's listing began (ISO 8601, UTC).
    """

    holdings: Holdings = field(default_factory=Holdings)
    run: str = ""
    listed_at: str = ""
