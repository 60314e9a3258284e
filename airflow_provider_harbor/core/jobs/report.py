"""How a run ended, over all its projects: what an administrator reads in the morning.

A run is complete only when every project that was to be backed up has a result of this run, each
result accounts for every record of its inventory, nothing failed, and it was no dry run. What was
skipped for a reason leaves it complete, and is shown.

The values of a single project are in `results`, and can be imported from here.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from airflow_provider_harbor.core.copy.outcome import (
    WORDS,
    CopyReport,
    Finding,
    Status,
)
from airflow_provider_harbor.core.copy.plan import PlanCounts
from airflow_provider_harbor.core.harbor.records import Counts, Gap
from airflow_provider_harbor.core.http.pace_notes import in_words
from airflow_provider_harbor.core.human import (
    human_count,
    human_duration,
    human_moment,
    human_size,
    human_time,
)
from airflow_provider_harbor.core.jobs.losses import Losses
from airflow_provider_harbor.core.jobs.results import ProjectResult
from airflow_provider_harbor.core.jobs.settings.report import SettingsReport
from airflow_provider_harbor.core.jobs.totals import Totals, kinds_in_words, sum_up
from airflow_provider_harbor.core.jobs.trail import Attempt
from airflow_provider_harbor.core.store.inventories import InventoryRef

__all__ = [
    "CopyReport",
    "Finding",
    "InventoryRef",
    "ProjectResult",
    "RunReport",
    "Status",
    "build_report",
]

_SHOWN_FAILURES = 5
_SHOWN_CHANGES = 20
_NO_RESULT = "it left no result: it was not begun, or was stopped on the way. Run the project again"


@dataclass(frozen=True, slots=True)
class Words:
    """How the ends of one kind of runs are called."""

    all: str
    not_all: str
    nothing: str
    planned: str
    missing: str
    done: str


class Kind(enum.Enum):
    """What a run was for."""

    BACKUP = Words(
        all="Everything is protected",
        not_all="NOT everything is protected",
        nothing="NOTHING was backed up",
        planned="Dry run: nothing was copied",
        missing="What is not protected",
        done="protected",
    )
    RESTORE = Words(
        all="Everything is restored",
        not_all="NOT everything is restored",
        nothing="NOTHING was restored",
        planned="Dry run: nothing was restored",
        missing="What is not restored",
        done="restored",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class RunReport:
    """How a run ended; `build_report` makes it.

    Attributes:
        kind: What the run was for.
        snapshot: Which one was restored; empty for a backup.
        harbor_url: Of the Harbor that is, or was, backed up.
        harbor_version: As Harbor says it, such as `v2.15.2-8a3f1b2c`; empty where it is unknown.
        started_at, ended_at: With a time zone.
        projects: The results, sorted by project.
        missing: Projects that were to be backed up and left no result, sorted.
        error: What ended the run before there was a list of projects; empty when nothing did.
        settings: What became of Harbor's settings; None where they were not read.
        attempts: How the run ended before, if it was run again.
        last_protected: Of the projects that are not protected now, when they were (ISO 8601); None
            where that was not looked for.
        losses: Projects that hold far less than the night before; None where none does.
    """

    run: str
    harbor_url: str
    harbor_version: str
    destination: str
    started_at: datetime
    ended_at: datetime
    dry_run: bool
    projects: tuple[ProjectResult, ...]
    missing: tuple[str, ...] = ()
    error: str = ""
    kind: Kind = Kind.BACKUP
    snapshot: str = ""
    settings: SettingsReport | None = None
    attempts: tuple[Attempt, ...] = ()
    last_protected: Mapping[str, str] | None = None
    losses: Losses | None = None

    @property
    def complete(self) -> bool:
        """Whether everything that was asked for is done now."""
        return bool(self.projects) and not (self.dry_run or self.unprotected or self.error)

    @property
    def unprotected(self) -> tuple[str, ...]:
        """Names of the projects of which something is not done (in a dry run: not planned)."""
        return tuple(sorted([*self.missing, *(r.project for r in self.projects if not r.ok)]))

    @property
    def expected(self) -> int:
        """Number of projects that were to be backed up."""
        return len(self.projects) + len(self.missing)

    @property
    def headline(self) -> str:
        """The report in a few words."""
        words = self.kind.value
        if self.error:
            return words.nothing
        if self.dry_run:
            return words.planned
        return words.all if self.complete else words.not_all

    @property
    def counts(self) -> Counts:
        """What Harbor held, over all projects that could be listed."""
        return sum((r.inventory.counts for r in self.projects if r.inventory), Counts())

    @property
    def copied(self) -> int:
        """Records that this run copied."""
        return sum(copy.copied for copy in self._copies())

    @property
    def present(self) -> int:
        """Records that the destination had already."""
        return sum(copy.present for copy in self._copies())

    @property
    def skipped(self) -> int:
        """Records that were left out, each for a reason."""
        return sum(copy.skipped for copy in self._copies())

    @property
    def failed(self) -> int:
        """Records that failed; those of a project that stopped as a whole are not among them."""
        return sum(copy.failed for copy in self._copies())

    @property
    def blobs_copied(self) -> int:
        """Blobs sent to the destination."""
        return sum(copy.blobs_copied for copy in self._copies())

    @property
    def bytes_copied(self) -> int:
        """Bytes sent to the destination."""
        return sum(copy.bytes_copied for copy in self._copies())

    @property
    def planned(self) -> PlanCounts:
        """What copying would come to, of a dry run."""
        return sum((result.plan for result in self.projects if result.plan), PlanCounts())

    @property
    def seconds(self) -> float:
        """From the start of the run to its end."""
        return (self.ended_at - self.started_at).total_seconds()

    def _copies(self) -> Iterator[CopyReport]:
        return (result.copy for result in self.projects if result.copy)

    def findings(self, status: Status) -> list[Finding]:
        """Return all that was skipped, or all that failed."""
        return [finding for r in self.projects for finding in r.iter_findings(status)]

    @property
    def gaps(self) -> list[Gap]:
        """Repositories that could not be listed whole, over all projects."""
        return [gap for result in self.projects for gap in result.gaps]

    def stopped(self) -> list[tuple[str, str]]:
        """Return each project that failed as a whole, what happened and what to do."""
        stopped = [(project, _NO_RESULT) for project in self.missing]
        stopped += [(r.project, r.error) for r in self.projects if r.error]
        return sorted(stopped)

    def unprotected_lines(self) -> list[str]:
        """Return the name of each project that is not wholly done, and when it last was."""
        if self.last_protected is None:
            return list(self.unprotected)
        return [
            f"{name} (last protected {human_moment(moment)})"
            if (moment := self.last_protected.get(name))
            else f"{name} (whole in none of the newest nights)"
            for name in self.unprotected
        ]

    def failures(self) -> list[str]:
        """Return a line for each failure: the project or artifact, what happened, what to do."""
        if self.error:
            return [self.error]
        if not self.expected:
            return ["there was no project to do anything for; check the project filters"]
        lines = [f"project {project}: {message}" for project, message in self.stopped()]
        lines += [f"repository {gap}" for gap in self.gaps]
        lines += [str(finding) for finding in self.findings(Status.FAILED)]
        return lines + (self.settings.failures() if self.settings else [])

    def summary_line(self) -> str:
        """Return the report as one line."""
        if self.error:
            return f"{self.headline}, after {human_duration(self.seconds)}"
        done = (
            f"{self.expected - len(self.unprotected):,} of {human_count(self.expected, 'project')}"
        )
        sent = f"{human_size(self.bytes_copied)} sent"
        if self.dry_run:
            sent = f"at most {human_size(self.planned.most_bytes)} to send"
        return (
            f"{self.headline}: {done}, {self.totals}, {sent}, "
            f"in {human_duration(self.seconds)}"
            + (f"; not known is {self.totals.unknown}" if self.totals.unknown else "")
            + (f"; far less than before: {self.losses}" if self.losses else "")
        )

    @property
    def totals(self) -> Totals:
        """What became of all manifests, as one sum."""
        return sum_up(self.projects, self.missing)

    def to_text(self, *, with_failures: bool = True) -> str:
        """Return the report as a dozen aligned lines, for a log."""
        rows = self.facts()
        if not self.error:
            rows += self._content_rows()
        lines = [self.headline, *(f"  {name:<12} {value}" for name, value in rows)]
        lines += self._not_whole() if with_failures else []
        changes = self.settings.change_lines(_SHOWN_CHANGES) if self.settings else []
        lines += ["  settings changed", *(f"    {line}" for line in changes)] if changes else []
        failures = self.failures() if with_failures else []
        lines += [f"  ! {line}" for line in failures[:_SHOWN_FAILURES]]
        if len(failures) > _SHOWN_FAILURES:
            lines.append(f"  ! and {len(failures) - _SHOWN_FAILURES:,} more, all in the report")
        return "\n".join(lines)

    def _not_whole(self) -> list[str]:
        """Return lines that say which projects are not whole, and when they last were."""
        if self.last_protected is None:
            return []
        names = self.unprotected_lines()
        shown = names[:_SHOWN_FAILURES]
        if more := len(names) - len(shown):
            shown.append(f"and {more:,} more")
        return [f"  {'' if at else 'not whole':<12} {name}" for at, name in enumerate(shown)]

    def facts(self) -> list[tuple[str, str]]:
        """Return what run it was, as names and values."""
        rows = [
            ("run", self.run),
            ("Harbor", " ".join([self.harbor_url, self.harbor_version]).strip()),
            ("snapshot", self.snapshot),
            ("destination", self.destination),
            ("started", f"{human_time(self.started_at)}, took {human_duration(self.seconds)}"),
        ]
        rows += [("far less", str(self.losses or ""))]
        rows += [("pace", f"{host}: {words}") for host, words in self.pace.items()]
        rows += [(f"attempt {number}", str(a)) for number, a in enumerate(self.attempts, start=1)]
        return [(name, value) for name, value in rows if value]

    @property
    def pace(self) -> dict[str, str]:
        """How much each server got at once, in words, by its URL."""
        return in_words(note for copy in self._copies() for note in copy.pace)

    def _content_rows(self) -> list[tuple[str, str]]:
        counts, totals = self.counts, self.totals
        done = "planned" if self.dry_run else self.kind.value.done
        sent = f"{human_size(self.bytes_copied)} in {human_count(self.blobs_copied, 'blob')}"
        if self.dry_run:
            sent = f"nothing; a real run sends at most {human_size(self.planned.most_bytes)}"
        rows = [
            (
                "projects",
                f"{self.expected - len(self.unprotected):,} of {self.expected:,} {done}",
            ),
            ("manifests", totals.row),
            ("unknown", totals.unknown),
            ("kinds", kinds_in_words(counts)),
            ("content", f"{human_count(counts.tags, 'tag')}, {human_size(counts.size_bytes)}"),
            ("settings", self.settings.summary_line() if self.settings else ""),
            ("sent", sent),
        ]
        return [(name, value) for name, value in rows if value]

    def to_json(self) -> dict[str, Any]:
        """Return the whole report, all findings included."""
        return {
            "run": self.run,
            "kind": self.kind.name.lower(),
            "snapshot": self.snapshot,
            "complete": self.complete,
            "dry_run": self.dry_run,
            "summary": self.summary_line(),
            "harbor_url": self.harbor_url,
            "harbor_version": self.harbor_version,
            "destination": self.destination,
            "started_at": self.started_at.isoformat(),
            "ended_at": self.ended_at.isoformat(),
            "counts": self.counts.to_json(),
            "planned": self.planned.to_json() if self.dry_run else None,
            "copied": self.copied,
            "present": self.present,
            "skipped": self.skipped,
            "failed": self.failed,
            "blobs_copied": self.blobs_copied,
            "bytes_copied": self.bytes_copied,
            "pace": self.pace,
            "missing": list(self.missing),
            "attempts": [attempt.to_json() for attempt in self.attempts],
            "last_protected": self.last_protected,
            "losses": self.losses.to_json() if self.losses else None,
            "error": self.error,
            "settings": self.settings.to_json() if self.settings else None,
            "projects": [result.to_json() for result in self.projects],
        }


def build_report(
    run: str,
    expected: Iterable[str],
    results: Iterable[ProjectResult],
    *,
    harbor_url: str,
    destination: str,
    started_at: datetime,
    ended_at: datetime,
    harbor_version: str = "",
    dry_run: bool = False,
    error: str = "",
    kind: Kind = Kind.BACKUP,
    snapshot: str = "",
    settings: SettingsReport | None = None,
) -> RunReport:
    """Put the results of a run together, and check that they add up.

    `expected` are the names of the projects that were to be backed up. The result of another
    project is left out: it is of an attempt with other filters, or of a project that is gone.

    Raises:
        ValueError: A time without a time zone.
    """
    if started_at.tzinfo is None or ended_at.tzinfo is None:
        raise ValueError("the times of a report need a time zone")
    names = set(expected)
    found = {result.project: result for result in results if result.project in names}
    return RunReport(
        run=run,
        harbor_url=harbor_url,
        harbor_version=harbor_version,
        destination=destination,
        started_at=started_at,
        ended_at=ended_at,
        dry_run=dry_run,
        projects=tuple(_audited(found[name], dry_run) for name in sorted(found)),
        missing=tuple(sorted(names - found.keys())),
        error=error,
        kind=kind,
        snapshot=snapshot,
        settings=settings,
    )


def _audited(result: ProjectResult, dry_run: bool) -> ProjectResult:
    """Return the result, with an error where it claims more than it shows."""
    problem = "" if result.error else _problem(result, dry_run)
    return replace(result, error=problem) if problem else result


def _problem(result: ProjectResult, dry_run: bool) -> str:
    copy, inventory = result.copy, result.inventory
    if inventory is None:
        return "its result names no inventory. Run the project again"
    if dry_run:
        return ""
    if inventory.gaps and not result.gaps:
        return "its inventory has gaps, and its result does not say which. Run the project again"
    if copy is None and result.stage == "inventory":
        return (
            "it was listed, but not copied: the copy was not begun, or was stopped on the way. Run "
            "the project again"
        )
    if copy is None or result.dry_run:
        return "only a dry run of it was made. Run the project again"
    if copy.total != inventory.counts.records:
        return (
            f"the copy accounts for {copy.total:,} of the {inventory.counts.records:,} manifests "
            "of its inventory, so something may be missing. Run the project again; if it stays "
            "so, it is a defect of this program: please report it"
        )
    for status, number in ((Status.FAILED, copy.failed), (Status.SKIPPED, copy.skipped)):
        named = sum(1 for _ in result.iter_findings(status))
        if named != number:
            return (
                f"{human_count(number, 'manifest')} {WORDS[status]}, but its findings give the "
                f"reasons of {named:,}. Read the log of its copy task, then run the project again"
            )
    return ""
