"""What has to be copied, and in which order: the same answer for the same input.

Order within a repository: children before the index that lists them, a subject before what refers
to it. Tags come last: a tag must not show up before all that belongs to it, signatures included.
"""

from __future__ import annotations

import enum
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from airflow_provider_harbor.core.copy.outcome import UNCHANGED, sum_in_words
from airflow_provider_harbor.core.copy.places import Group, View
from airflow_provider_harbor.core.exceptions import HarborBackupError, HarborProtocolError
from airflow_provider_harbor.core.harbor.records import Record
from airflow_provider_harbor.core.human import human_size
from airflow_provider_harbor.core.store.known import Held

_CHUNK_REPOSITORIES = 64
_CHUNK_RECORDS = 1_000
_CIRCLE = (
    "Harbor lists artifacts that contain each other in a circle, which no content can. See what "
    "answers for Harbor at this URL"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One record that needs work.

    Attributes:
        needs_content: Whether its manifest is not there yet; else only tags are to be set.
        tags: Tags to set.
        after: Digests of the same repository that must be there first.
        behind: Digests of the same repository whose steps come first, whatever becomes of them: a
            signature is worth keeping also where the image is lost.
        tags_last: Whether its tags wait for its signatures and other referrers.
    """

    record: Record
    needs_content: bool
    tags: tuple[str, ...]
    after: tuple[str, ...]
    behind: tuple[str, ...]
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
        parts = {"to copy": self.to_copy, "to tag": self.to_tag, UNCHANGED: self.present}
        return f"{sum_in_words(parts)}, at most {human_size(self.most_bytes)} to send"

    def to_json(self) -> dict[str, int]:
        """Return the counts by name."""
        return {f.name: getattr(self, f.name) for f in fields(self)}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> PlanCounts:
        """Read what `to_json` returned."""
        return cls(**{f.name: int(data[f.name]) for f in fields(cls)})


class TagRule(enum.Enum):
    """What becomes of a tag that names something else at the destination."""

    MOVE = "move"
    # It was set by a newer run, so it stays as it is.
    KEEP_NEWER = "keep newer"
    # Nobody has asked to move it.
    KEEP_OTHER = "keep other"
    # The destination keeps no tags.
    NO_TAGS = "no tags"


@dataclass(frozen=True, slots=True, kw_only=True)
class RepositoryPlan:
    """What to do for one repository.

    Attributes:
        steps: In an order in which each step's `after` and `behind` come before it.
        present: Records that need nothing.
        excluded: Records that cannot be copied, each with the reason.
        withheld: Tags that are not moved, by the digest of their record.
        rule: Why they are not.
        held: What the destination holds of it.
    """

    repository: str
    steps: tuple[Step, ...] = ()
    present: tuple[Record, ...] = ()
    excluded: tuple[tuple[Record, HarborBackupError], ...] = ()
    withheld: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    rule: TagRule = TagRule.MOVE
    held: Held = field(default_factory=Held)

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


def plan_repository(
    repository: str, records: Iterable[Record], held: Held, rule: TagRule = TagRule.MOVE
) -> RepositoryPlan:
    """Plan how a destination gets to hold all records of a repository.

    Args:
        repository: Full name.
        records: In any order.
        held: What the destination holds of it already.
        rule: What becomes of a tag that names something else there.
    """
    by_digest = {record.digest: record for record in records}
    if held.error:
        return RepositoryPlan(
            repository=repository,
            excluded=tuple((record, held.error) for _, record in sorted(by_digest.items())),
            held=held,
        )
    excluded = tuple(
        (by_digest.pop(digest), HarborProtocolError(_CIRCLE))
        for digest in sorted(_in_circles(by_digest))
    )
    planner = _Planner(held, rule)
    planner.add(list(_in_order(by_digest)))
    return RepositoryPlan(
        repository=repository,
        steps=tuple(planner.steps),
        present=tuple(planner.present),
        excluded=excluded,
        withheld=planner.withheld,
        rule=rule,
        held=held,
    )


def iter_plans(
    groups: Iterable[Group], view: View, rule: TagRule = TagRule.MOVE
) -> Iterator[list[RepositoryPlan]]:
    """Yield plans for some repositories at a time, as many as are asked for together.

    Args:
        groups: Repositories with their records, sorted by name.
        view: Tells what the destination holds.
        rule: What becomes of a tag that names something else there.
    """
    for chunk in _chunks(groups):
        held = view.find(chunk)
        yield [plan_repository(name, records, held[name], rule) for name, records in chunk]


def _chunks(groups: Iterable[Group]) -> Iterator[list[Group]]:
    chunk: list[Group] = []
    size = 0
    for name, records in groups:
        if chunk and (len(chunk) == _CHUNK_REPOSITORIES or size + len(records) > _CHUNK_RECORDS):
            yield chunk
            chunk, size = [], 0
        chunk.append((name, records))
        size += len(records)
    if chunk:
        yield chunk


class _Planner:
    """Plans the records of one repository."""

    def __init__(self, held: Held, rule: TagRule) -> None:
        self._held = held
        self._rule = rule
        self.steps: list[Step] = []
        self.present: list[Record] = []
        self.withheld: dict[str, tuple[str, ...]] = {}

    def add(self, ordered: Sequence[Record]) -> None:
        moving = {r.digest for r in ordered if r.digest not in self._held.digests}
        subjects = {r.subject for r in ordered if r.digest in moving and r.subject}
        for record in ordered:
            is_moving = record.digest in moving
            tags = self._tags(record)
            if not is_moving and not tags:
                self.present.append(record)
                continue
            self.steps.append(
                Step(
                    record=record,
                    needs_content=is_moving,
                    tags=tags,
                    after=tuple(d for d in record.children if d in moving),
                    behind=(record.subject,) if record.subject in moving else (),
                    tags_last=bool(tags) and record.digest in subjects,
                )
            )

    def _tags(self, record: Record) -> tuple[str, ...]:
        """Return the tags to set, and note those that are withheld."""
        if self._rule is TagRule.NO_TAGS:
            return ()
        there = self._held.tags
        missing = tuple(t.name for t in record.tags if there.get(t.name) != record.digest)
        if self._rule is TagRule.MOVE:
            return missing
        if withheld := tuple(tag for tag in missing if there.get(tag)):
            self.withheld[record.digest] = withheld
        return tuple(tag for tag in missing if not there.get(tag))


def _needs(record: Record) -> tuple[str, ...]:
    return (*record.children, record.subject) if record.subject else record.children


def _in_circles(records: Mapping[str, Record]) -> set[str]:
    """Return the digests that need themselves in the end, and those that need such.

    No content can hold its own digest, so only a list that is damaged or made up has them.
    """
    missing = {d: {n for n in _needs(r) if n in records} for d, r in records.items()}
    needed_by: dict[str, list[str]] = defaultdict(list)
    for digest, needs in missing.items():
        for need in needs:
            needed_by[need].append(digest)
    ready = [digest for digest, needs in missing.items() if not needs]
    while ready:
        done = ready.pop()
        del missing[done]
        for digest in needed_by[done]:
            missing[digest].discard(done)
            if not missing[digest]:
                ready.append(digest)
    return set(missing)


def _in_order(records: Mapping[str, Record]) -> Iterator[Record]:
    """Yield each record behind all that it needs, sorted by digest where nothing else decides.

    By hand and not recursive, since chains of referrers can be long. There are no circles.
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
