"""What an import of settings came to, or would come to: as values, as lines."""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from airflow_provider_harbor.core.human import human_count
from airflow_provider_harbor.core.jobs.settings.exporting import problem_lines
from airflow_provider_harbor.core.jobs.settings.steps import Action, Stage, Step
from airflow_provider_harbor.core.settings.values import Unread
from airflow_provider_harbor.core.texts import one_line

_VERBS = {
    Action.CREATE: ("to create", "created"),
    Action.UPDATE: ("to update", "updated"),
    Action.DELETE: ("to delete", "deleted"),
}


_LACKING = "without the secret {}, which is not given. Give it, or set it there by hand"


class State(str, enum.Enum):
    """What became of a step."""

    PLANNED = "planned"
    DONE = "done"
    LEFT = "left"
    CANNOT = "cannot"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class StepResult:
    """What became of one setting.

    Attributes:
        message: Why it failed; or what was done otherwise than it was planned.
        is_connection: Whether it failed since Harbor did not answer.
    """

    step: Step
    state: State
    message: str = ""
    is_connection: bool = False

    def lines(self) -> list[str]:
        """Return it as lines."""
        lines = self.step.lines()
        if self.state is State.FAILED:
            lines[0] = f"FAILED {lines[0]}"
        if self.message:
            lines.insert(1, f"    {one_line(self.message, 500)}")
        return lines

    @property
    def is_in_part(self) -> bool:
        """Whether it is there, or would be, without some of what it had."""
        is_there = self.state not in (State.FAILED, State.CANNOT)
        return is_there and bool(self.step.lacks or self.step.lost)

    @property
    def missing(self) -> str:
        """What it is there without, and what to do."""
        keys = ", ".join(self.step.lacks)
        lacking = _LACKING.format(keys) if keys else ""
        return f"in part only, {'; '.join(filter(None, (self.step.lost, lacking)))}"

    def to_json(self) -> dict[str, Any]:
        """Return it by names, without any secret."""
        return {**self.step.to_json(), "state": self.state.value, "message": self.message}


def planned(step: Step) -> State:
    """Return the state of a step before it is done."""
    if step.writes:
        return State.PLANNED
    return State.LEFT if step.action is Action.LEAVE else State.CANNOT


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportReport:
    """What an import came to.

    Attributes:
        url: Of the Harbor that was to have the settings.
        night: Key of the night that they are of.
        dry_run: Whether it was only found out what would be done.
        results: Of each step, in the order in which they were taken.
        unread: What the export could not read, so that it cannot be brought back.
        surplus: How many items of each kind are there, are not in the export, and were left.
        unused: Keys of secrets that were given, and are of nothing.
        is_read_only: Whether the Harbor is in read-only mode.
        warnings: What one should know of the night, as lines.
    """

    url: str
    night: str
    dry_run: bool
    results: tuple[StepResult, ...]
    unread: tuple[Unread, ...] = ()
    surplus: Mapping[str, int]
    unused: tuple[str, ...] = ()
    is_read_only: bool = False
    warnings: tuple[str, ...] = ()

    @property
    def needs(self) -> list[str]:
        """Keys of the secrets that were not given."""
        return list(dict.fromkeys(need for result in self.results for need in result.step.needs))

    def failures(self) -> list[str]:
        """Return a line for each setting that is not there as it was."""
        lines = []
        for result in self.results:
            where = f"project {result.step.scope}: " if result.step.scope else ""
            if result.state is State.FAILED:
                lines.append(f"{where}{result.step.title}: {result.message}")
            elif result.state is State.CANNOT:
                lines.append(f"{where}{result.step.title}: {result.step.why}")
            elif result.is_in_part:
                lines.append(f"{where}{result.step.title}: {result.missing}")
        return [one_line(line, 500) for line in lines]

    @property
    def writes(self) -> int:
        """How many settings were written, or would be."""
        return sum(result.state in (State.DONE, State.PLANNED) for result in self.results)

    def summary_line(self) -> str:
        """Return it as a sentence."""
        counts = Counter(
            r.step.action for r in self.results if r.state in (State.DONE, State.PLANNED)
        )
        parts = [
            f"{counts[action]:,} {_VERBS[action][0 if self.dry_run else 1]}"
            for action in _VERBS
            if counts[action]
        ]
        states = Counter(result.state for result in self.results)
        parts.append(f"{states[State.LEFT]:,} as they are")
        if in_part := sum(result.is_in_part for result in self.results):
            parts.append(f"of all these {in_part:,} in part only")
        if states[State.CANNOT]:
            parts.append(f"{states[State.CANNOT]:,} cannot be done")
        if states[State.FAILED]:
            parts.append(f"{states[State.FAILED]:,} FAILED")
        begin = "Plan" if self.dry_run else "Settings"
        return f"{begin} of {self.night} at {self.url}: {', '.join(parts)}"

    def lines(self) -> list[str]:
        """Return it as lines, as a plan or as what was done; what is left is only counted."""
        found = list(self.warnings)
        for stage in Stage:
            own = [r for r in self.results if r.step.stage is stage]
            shown = [r for r in own if r.state is not State.LEFT or r.is_in_part]
            left = sum(r.state is State.LEFT and not r.is_in_part for r in own)
            if shown or left:
                found.append(stage.heading)
                found += _by_scope(shown)
                found += [f"  = {left:,} as they are"] if left else []
        return found + list(self._notes())

    def _notes(self) -> Iterable[str]:
        if self.is_read_only:
            yield "Harbor is in read-only mode: switch that off before the import"
        for line in problem_lines(self.unread):
            yield f"not in the export: {line}"
        for kind, number in sorted(self.surplus.items()):
            yield f"left there, and not in the export: {number:,} of the {kind}"
        said: dict[str, list[str]] = {}
        for result in self.results:
            if result.state is State.LEFT and result.step.why and not result.is_in_part:
                said.setdefault(result.step.why, []).append(result.step.title)
        for why, titles in said.items():
            yield f"{one_line(', '.join(titles), 200)}: {why}"
        for key in self.unused:
            yield f"the secret {one_line(key)} is given, and is of nothing"
        if self.needs:
            yield (
                f"{human_count(len(self.needs), 'secret')} not given (see --secrets): "
                + ", ".join(map(one_line, self.needs))
            )

    def to_json(self) -> dict[str, Any]:
        """Return it by names, without any secret."""
        return {
            "url": self.url,
            "night": self.night,
            "dry_run": self.dry_run,
            "warnings": list(self.warnings),
            "summary": self.summary_line(),
            "steps": [result.to_json() for result in self.results],
            "not_in_export": problem_lines(self.unread),
            "surplus": dict(self.surplus),
            "unused_secrets": list(self.unused),
            "needed_secrets": self.needs,
            "failures": self.failures(),
        }


def _by_scope(results: Iterable[StepResult]) -> list[str]:
    lines: list[str] = []
    scope: str | None = None
    for result in results:
        if result.step.scope != scope:
            scope = result.step.scope
            lines.append(f"  project {one_line(scope)}" if scope else "  system")
        lines += [f"    {line}" for line in result.lines()]
    return lines
