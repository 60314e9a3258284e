"""How a command ended, and what goes into its last lines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_harbor.core.cli.progress import Console, Part
from airflow_provider_harbor.core.copy.outcome import Status
from airflow_provider_harbor.core.human import human_count
from airflow_provider_harbor.core.jobs.choosing import find_lacking
from airflow_provider_harbor.core.jobs.keeping import Report
from airflow_provider_harbor.core.jobs.results import ProjectResult
from airflow_provider_harbor.core.store.backup_store import BackupStore
from airflow_provider_harbor.core.store.snapshots import Snapshot

_SHOWN_FINDINGS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a command ended.

    Attributes:
        is_complete: Whether all was done that was asked for.
        is_interrupted: Whether it was told to stop before its end.
        used_stdout: Whether the standard output is taken by what was asked for.
        summary: The last lines for people, with tables maybe; may be empty.
        verdict: What the summary begins with where that tells how it ended.
        document: The same for machines, with all details.
    """

    is_complete: bool
    is_interrupted: bool = False
    used_stdout: bool = False
    summary: Part | Sequence[Part] = ""
    verdict: str = ""
    document: dict[str, Any] = field(default_factory=dict)

    @property
    def parts(self) -> Sequence[Part]:
        """The summary, as texts and tables."""
        return [self.summary] if isinstance(self.summary, Part) else self.summary


def outcome_of(report: Report, page: str, **more: Any) -> Outcome:
    """Return how a command ended that has made a report.

    Args:
        report: The report.
        page: URL of its page; empty where it was not kept.
        more: For machines, what the report itself does not say.
    """
    text = report.to_text()
    return Outcome(
        is_complete=report.ok,
        is_interrupted=report.is_interrupted,
        summary=f"{text}\n  report     {page}" if page else text,
        verdict=text.partition("\n")[0].partition(":")[0],
        document={**report.to_json(), **more, "report": page},
    )


def tell_result(console: Console, place: str, name: str, result: ProjectResult) -> None:
    """Show how a project ended, and the first of what failed.

    Args:
        console: Where to.
        place: Which project of how many, such as `[2/7]`.
        name: Of the project, as it is to be shown.
        result: How it ended.
    """
    console.line(f"{place} {name}: {result.outcome}")
    if result.error:
        console.error(f"{place} FAILED {name}: {result.error}", "bad")
    _tell_failures(console, place, [f"repository {gap}" for gap in result.gaps], "repository")
    findings = [str(finding) for finding in result.iter_findings(Status.FAILED)]
    _tell_failures(console, place, findings, "artifact")


def tell_snapshot(console: Console, store: BackupStore, snapshot: Snapshot) -> None:
    """Show which snapshot is meant, and warn of one that is partial."""
    console.line(
        f"snapshot {snapshot.key} of {snapshot.harbor_url}, begun {snapshot.started_at}: "
        f"{human_count(len(snapshot.projects), 'project')}"
    )
    if snapshot.limited_to:
        console.line(f"its run was limited to the projects {', '.join(snapshot.limited_to)}")
    if not snapshot.complete:
        lacking = find_lacking(store, snapshot)
        console.error(
            "warning: the snapshot is partial: what it lacks cannot be got from it"
            + (f" (not whole: {', '.join(lacking)})" if lacking else ""),
            "warn",
        )


def _tell_failures(console: Console, place: str, lines: Sequence[str], noun: str) -> None:
    for line in lines[:_SHOWN_FINDINGS]:
        console.error(f"{place} FAILED {line}", "bad")
    if len(lines) > _SHOWN_FINDINGS:
        more = human_count(len(lines) - _SHOWN_FINDINGS, f"further {noun}")
        console.error(f"{place} FAILED {more}, all in the report", "bad")
