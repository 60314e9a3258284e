"""What a drill came to, as values and as a page."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from airflow_provider_harbor.core.human import (
    human_count,
    human_duration,
    human_size,
    human_time,
)
from airflow_provider_harbor.core.jobs.page import document, escape, facts, verdict

_SHOWN = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class DrillReport:
    """How a drill ended.

    Attributes:
        url: Of the Harbor that was restored to.
        project: The scratch project.
        seed: What the sample was drawn with: the same seed draws the same of the same snapshot.
        repositories: The sample, by the names in the snapshot.
        of_repositories: How many there are in the snapshot.
        manifests, tags: How many were restored and compared.
        blobs, blob_bytes: How many were read back, each digest once.
        failures: What could not be restored, or was not the same; a line each.
        left: What to do where the scratch project was not removed; empty where it was.
    """

    run: str
    store_url: str
    url: str
    project: str
    snapshot: str
    seed: int
    started_at: datetime
    ended_at: datetime
    repositories: tuple[str, ...]
    of_repositories: int
    manifests: int = 0
    tags: int = 0
    blobs: int = 0
    blob_bytes: int = 0
    failures: tuple[str, ...] = ()
    left: str = ""
    is_interrupted: bool = False

    @property
    def ok(self) -> bool:
        """Whether all of the sample came back as it was, and nothing is left."""
        return not self.failures and not self.left and not self.is_interrupted

    @property
    def headline(self) -> str:
        """The report in a few words."""
        if self.failures:
            return "NOT everything came back as it was"
        if self.is_interrupted:
            return "The drill was stopped before its end"
        if self.left:
            return "Everything came back as it was; the scratch project is LEFT"
        return "Everything came back as it was"

    def summary_line(self) -> str:
        """Return the report as one line."""
        sample = f"{len(self.repositories):,} of {human_count(self.of_repositories, 'repository')}"
        seconds = (self.ended_at - self.started_at).total_seconds()
        return (
            f"{self.headline}: {sample}, {human_count(self.manifests, 'manifest')}, "
            f"{human_count(self.tags, 'tag')}, {human_count(self.blobs, 'blob')} "
            f"({human_size(self.blob_bytes)}) compared, in {human_duration(seconds)}"
        )

    def all_failures(self) -> list[str]:
        """Return what is wrong, a line each, what is left included."""
        left = [f"project {self.project}: it was not removed. {self.left}"] if self.left else []
        return [*left, *self.failures]

    def facts(self) -> list[tuple[str, str]]:
        """Return what was done, as names and values."""
        return [
            ("run", self.run),
            ("store", self.store_url),
            ("snapshot", self.snapshot),
            ("to", f"{self.url} {self.project}"),
            ("seed", str(self.seed)),
            ("sample", ", ".join(self.repositories)),
            ("started", human_time(self.started_at)),
        ]

    def to_text(self) -> str:
        """Return the report as aligned lines."""
        lines = [self.summary_line()]
        lines += [f"  {name:<10} {value}" for name, value in self.facts()]
        failures = self.all_failures()
        lines += [f"  ! {line}" for line in failures[:_SHOWN]]
        if (more := len(failures) - _SHOWN) > 0:
            lines.append(f"  ! and {more:,} more, all in the report")
        return "\n".join(lines)

    def to_json(self) -> dict[str, Any]:
        """Return the whole report."""
        return {
            "run": self.run,
            "kind": "drill",
            "ok": self.ok,
            "summary": self.summary_line(),
            "store": self.store_url,
            "destination": self.url,
            "project": self.project,
            "snapshot": self.snapshot,
            "seed": self.seed,
            "started_at": self.started_at.isoformat(),
            "ended_at": self.ended_at.isoformat(),
            "repositories": list(self.repositories),
            "of_repositories": self.of_repositories,
            "manifests": self.manifests,
            "tags": self.tags,
            "blobs": self.blobs,
            "blob_bytes": self.blob_bytes,
            "failures": self.all_failures(),
            "interrupted": self.is_interrupted,
        }


def render_drill_page(report: DrillReport) -> str:
    """Return the page; whatever is not this module's own is escaped."""
    items = "".join(f"<li>{escape(line)}</li>" for line in report.all_failures())
    problems = (
        '<section class="problems"><h2>What is not as it was</h2>'
        f'<ul class="findings">{items}</ul></section>'
    )
    return document(
        f"{report.headline} · {report.url} · {report.run}",
        [
            verdict("good" if report.ok else "bad", report.headline, report.summary_line()),
            problems if items else "",
            facts(report.facts()),
        ],
    )
