"""What has to be copied, and in which order. Pure: no I/O, and the same answer for the same input.

Order within a repository: children before the index that lists them, a subject before what refers
to it. Tags come last: a tag must not show up before all that belongs to it, signatures included.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any

from airflow_provider_harbor.core.human import human_size
from airflow_provider_harbor.core.records import Record


@dataclass(frozen=True, slots=True, kw_only=True)
class Holdings:
    """What a destination holds of some repositories.

    Attributes:
        digests: Repository to the digests of its manifests.
        tags: Repository to its tags, each with the digest it names.
        asked: Repository to when the destination itself was last asked for each of these; without
            a repository where that is not known, or where it turned out not to hold.
    """

    digests: Mapping[str, frozenset[str]] = field(default_factory=dict)
    tags: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    asked: Mapping[str, datetime] = field(default_factory=dict)

    def has(self, record: Record) -> bool:
        """Whether the record's manifest is there."""
        return record.digest in self.digests.get(record.repository, frozenset())

    def missing_tags(self, record: Record) -> tuple[str, ...]:
        """Return the record's tags that are not there, or that name something else there."""
        there = self.tags.get(record.repository, {})
        return tuple(t.name for t in record.tags if there.get(t.name) != record.digest)

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
class Step:
    """One record that needs work.

    Attributes:
        needs_content: Whether its manifest is not there yet; else only tags are to be set.
        tags: Tags to set.
        after: Digests of the same repository whose steps come first.
        tags_last: Whether its tags wait for its signatures and other referrers.
    """

    record: Record
    needs_content: bool
    tags: tuple[str, ...]
    after: tuple[str, ...]
    tags_last: bool

    def to_json(self) -> dict[str, Any]:
        """Return what a dry run shows."""
        return {
            "repository": self.record.repository,
            "digest": self.record.digest,
            "role": self.record.role.value,
            "needs_content": self.needs_content,
            "tags": list(self.tags),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanCounts:
    """What a plan comes to.

    Attributes:
        to_copy: Records whose content is to be sent.
        to_tag: Records of which only tags are to be set.
        present: Records that need nothing.
        most_bytes: Upper bound of what has to be sent: a layer that several images share counts in
            each of them.
    """

    to_copy: int = 0
    to_tag: int = 0
    present: int = 0
    most_bytes: int = 0

    def __add__(self, other: PlanCounts) -> PlanCounts:
        return PlanCounts(
            **{f.name: getattr(self, f.name) + getattr(other, f.name) for f in fields(self)}
        )

    def __str__(self) -> str:
        return (
            f"{self.to_copy:,} to copy (at most {human_size(self.most_bytes)}), "
            f"{self.to_tag:,} to tag, {self.present:,} present"
        )

    def to_json(self) -> dict[str, int]:
        """Return the counts by name."""
        return {f.name: getattr(self, f.name) for f in fields(self)}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> PlanCounts:
        """Read what `to_json` returned."""
        return cls(**{f.name: int(data[f.name]) for f in fields(cls)})


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyPlan:
    """What to do for one project.

    Attributes:
        steps: In an order in which each step's `after` comes before it.
        present: Records that need nothing.
    """

    steps: tuple[Step, ...]
    present: tuple[Record, ...]

    @property
    def counts(self) -> PlanCounts:
        """What the plan comes to."""
        moving = [step.record for step in self.steps if step.needs_content]
        return PlanCounts(
            to_copy=len(moving),
            to_tag=len(self.steps) - len(moving),
            present=len(self.present),
            most_bytes=sum(record.size_bytes for record in moving if not record.children),
        )

    def to_json(self) -> dict[str, Any]:
        """Return what a dry run shows."""
        return {**self.counts.to_json(), "steps": [step.to_json() for step in self.steps]}


def plan_copy(records: Iterable[Record], held: Holdings) -> CopyPlan:
    """Plan how a destination gets to hold all the records.

    Args:
        records: Of any number of repositories, in any order.
        held: What the destination holds already.
    """
    by_repository: dict[str, dict[str, Record]] = defaultdict(dict)
    for record in records:
        by_repository[record.repository][record.digest] = record
    steps: list[Step] = []
    present: list[Record] = []
    for repository in sorted(by_repository):
        ordered = list(_in_order(by_repository[repository]))
        moving = {r.digest for r in ordered if not held.has(r)}
        subjects = {r.subject for r in ordered if r.digest in moving and r.subject}
        for record in ordered:
            tags = held.missing_tags(record)
            if record.digest not in moving and not tags:
                present.append(record)
                continue
            steps.append(
                Step(
                    record=record,
                    needs_content=record.digest in moving,
                    tags=tags,
                    after=tuple(d for d in _needs(record) if d in moving and d != record.digest),
                    tags_last=record.digest in subjects,
                )
            )
    return CopyPlan(steps=tuple(steps), present=tuple(present))


def _needs(record: Record) -> tuple[str, ...]:
    return (*record.children, record.subject) if record.subject else record.children


def _in_order(records: Mapping[str, Record]) -> Iterator[Record]:
    """Yield each record behind all that it needs, sorted by digest where nothing else decides.

    By hand and not recursive, since chains of referrers can be long; a loop, which only a damaged
    list can have, ends where it began.
    """
    done: set[str] = set()
    for start in sorted(records):
        stack = [(start, False)]
        while stack:
            digest, is_ready = stack.pop()
            if is_ready:
                yield records[digest]
            elif digest not in done and digest in records:
                done.add(digest)
                stack.append((digest, True))
                stack += [(d, False) for d in sorted(_needs(records[digest]), reverse=True)]
