"""What a report does not take for complete, and all that it says to programs."""

from __future__ import annotations

from dataclasses import replace

import pytest

from airflow_provider_harbor.core.copy.outcome import Status
from airflow_provider_harbor.core.copy.plan import PlanCounts
from airflow_provider_harbor.core.harbor.records import Gap
from airflow_provider_harbor.core.jobs.results import ProjectResult
from tests.core.jobs.test_report import FAILED, RUN, copied, finding, inventory, report, result


@pytest.mark.parametrize(
    ("bad", "line"),
    [
        (
            result(copy=None, stage="inventory"),
            "project library: it was listed, but not copied",
        ),
        (
            result(inventory=replace(inventory(), gaps=1)),
            "project library: its inventory has gaps, and its result does not say which",
        ),
        # A failure must not pass for something that was skipped for a reason.
        (
            result(copy=copied(copied=3, failed=1, findings=(finding(status=Status.SKIPPED),))),
            "its findings give the reasons of 0",
        ),
    ],
)
def test_a_result_that_claims_more_than_it_shows_is_not_complete(
    bad: ProjectResult, line: str
) -> None:
    made = report(result("fine"), bad)
    assert not made.complete
    assert made.unprotected == ("library",)
    (said,) = made.failures()
    assert line in said


def test_a_repository_that_could_not_be_listed_leaves_the_run_partial() -> None:
    gap = Gap(repository="library/bad", reason="connection", message="it could not be listed")
    made = report(result(inventory=replace(inventory(), gaps=1), gaps=(gap,)))
    assert not made.complete
    assert made.unprotected == ("library",)
    assert made.failures() == ["repository library/bad: it could not be listed"]


def test_a_dry_run_after_a_copy_is_not_complete() -> None:
    assert not report(result(dry_run=True)).complete
    assert not report(result(), dry_run=True).complete


def test_the_text_of_a_dry_run_ends_with_what_a_real_run_would_send() -> None:
    plan = PlanCounts(to_copy=3, to_tag=1, present=6, most_bytes=2048)
    made = report(result(copy=None, dry_run=True, plan=plan), dry_run=True)
    lines = made.to_text().splitlines()
    assert [line.split()[0] for line in lines[1:]] == [
        "run",
        "Harbor",
        "destination",
        "started",
        "projects",
        "manifests",
        "kinds",
        "content",
        "sent",
    ]
    assert "10: 3 to copy, 1 to tag, 6 unchanged" in lines[-4]
    assert "a real run sends at most 2.0 KiB" in lines[-1]


def test_json_says_all_that_the_report_knows() -> None:
    made = report(FAILED, result("a"), expected=["a", "library", "b"])
    data = made.to_json()
    assert {name: data[name] for name in data if name not in ("counts", "projects")} == {
        "run": RUN,
        "kind": "backup",
        "snapshot": "",
        "complete": False,
        "dry_run": False,
        "summary": made.summary_line(),
        "harbor_url": "https://harbor.example.com",
        "harbor_version": "v2.15.2",
        "destination": "https://backup.example.com",
        "started_at": "2025-11-25T01:00:00+00:00",
        "ended_at": "2025-11-25T01:04:12+00:00",
        "planned": None,
        "copied": 7,
        "present": 12,
        "skipped": 0,
        "failed": 1,
        "blobs_copied": 10,
        "bytes_copied": 4096,
        "missing": ["b"],
        "attempts": [],
        "last_protected": None,
        "losses": None,
        "error": "",
        "pace": {},
        "settings": None,
    }
    assert data["counts"] == made.counts.to_json()
    assert data["projects"] == [result("a").to_json(), FAILED.to_json()]
