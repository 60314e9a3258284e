"""What a report says of before: when a project was last protected, how the run ended earlier."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from datetime import datetime

import pytest

from airflow_provider_harbor.core.human import human_time
from airflow_provider_harbor.core.jobs import trail
from airflow_provider_harbor.core.jobs.report import RunReport
from airflow_provider_harbor.core.jobs.trail import (
    Attempt,
    Losses,
    Shrunk,
    find_last_protected,
    find_losses,
    read_attempts,
)
from airflow_provider_harbor.core.store import layout
from tests.core.rig import Backup
from tests.double import Fault, HarborDouble, Image


@pytest.fixture(autouse=True)
def projects(harbor: HarborDouble, backup: Backup) -> None:
    for name in ("good", "bad"):
        harbor.create_project(name)
        harbor.push(f"{name}/app", Image(name), "1")
    backup.store.begin_for(harbor.url)


def break_one(harbor: HarborDouble) -> None:
    """Push an artifact of which the registry loses a layer."""
    image = harbor.push("bad/app", Image("broken"), "2")
    harbor.state.lose_blob(next(iter(image.blobs)))


def kept(backup: Backup, report: RunReport, kind: str = "json") -> str:
    return (backup.store_path / layout.report(report.run, kind)).read_text()


def test_a_project_that_failed_is_shown_with_the_night_that_has_all_of_it(
    harbor: HarborDouble, backup: Backup
) -> None:
    whole = backup.run(backup.itself)
    break_one(harbor)
    backup.run(backup.itself)
    report = backup.run(backup.itself)

    assert report.last_protected == {"bad": whole.ended_at.isoformat()}
    line = f"bad (last protected {human_time(whole.ended_at)})"
    assert report.unprotected_lines() == [line]
    assert line in kept(backup, report, "html")
    assert json.loads(kept(backup, report))["last_protected"] == report.last_protected


def test_a_project_that_never_was_whole_is_shown_as_that(
    harbor: HarborDouble, backup: Backup
) -> None:
    break_one(harbor)
    report = backup.run(backup.itself)

    assert report.last_protected == {}
    assert report.unprotected_lines() == ["bad (whole in none of the newest nights)"]


def test_a_complete_night_asks_for_no_earlier_ones(backup: Backup) -> None:
    assert backup.run(backup.itself).last_protected == {}
    assert "last protected" not in kept(backup, backup.run(backup.itself), "html")


def test_nights_that_cannot_be_read_hide_no_others_and_only_so_many_are_looked_at(
    harbor: HarborDouble, backup: Backup, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second, third = (backup.run(backup.itself) for _ in range(3))
    (backup.store_path / layout.snapshot(third.run)).write_text("{")

    def last(besides: str) -> dict[str, str]:
        return find_last_protected(backup.store, ["bad"], besides=besides)

    assert last("") == {"bad": second.ended_at.isoformat()}
    assert last(second.run) == {"bad": first.ended_at.isoformat()}
    monkeypatch.setattr(trail, "_NIGHTS", 1)
    assert last("") == {}


def test_a_run_that_is_run_again_says_that_it_had_been_red(
    harbor: HarborDouble, backup: Backup
) -> None:
    image = Image("broken")
    break_one(harbor)
    first = backup.run(backup.itself)
    assert first.attempts == ()
    backup._nights = itertools.count(1)  # the same run again
    second = backup.run(backup.itself)
    harbor.push("bad/app", image, "2")
    backup._nights = itertools.count(1)
    third = backup.run(backup.itself)

    assert third.complete
    assert third.run == first.run
    headline = "NOT everything is protected"
    assert third.attempts == tuple(
        Attempt(
            ended_at=earlier.ended_at.isoformat(),
            complete=False,
            headline=headline,
            projects=("bad",),
            failed=1,
        )
        for earlier in (first, second)
    )
    words = f"ended {human_time(first.ended_at)}: {headline} (bad)"
    assert f"attempt 1    {words}" in third.to_text()
    assert words in kept(backup, third, "html")
    assert [a["projects"] for a in json.loads(kept(backup, third))["attempts"]] == [["bad"]] * 2


@pytest.mark.parametrize("content", ["{", "[]", '{"format_version": 1, "ended_at": "yesterday"}'])
def test_a_report_that_cannot_be_read_is_no_reason_to_fail(backup: Backup, content: str) -> None:
    report = backup.run(backup.itself)
    path = backup.store_path / layout.report(report.run, "json")
    path.write_text(content)
    assert read_attempts(backup.store, report.run) == ()
    backup._nights = itertools.count(1)
    assert backup.run(backup.itself).complete


def test_of_many_attempts_the_last_ones_stay(backup: Backup) -> None:
    report = backup.run(backup.itself)
    path = backup.store_path / layout.report(report.run, "json")
    data = json.loads(path.read_text())
    earlier = Attempt(ended_at=data["ended_at"], complete=False, headline="x" * 10)
    data["attempts"] = [earlier.to_json()] * 50
    path.write_text(json.dumps(data))
    found = read_attempts(backup.store, report.run)

    assert len(found) == 20
    assert found[-1].complete
    assert datetime.fromisoformat(found[-1].ended_at) == report.ended_at


# -- what Harbor holds no more


def push_many(harbor: HarborDouble, number: int) -> None:
    for at in range(number):
        harbor.push("good/many", Image(f"many {at}"), str(at))


def test_a_project_that_is_empty_now_is_told_although_everything_is_protected(
    harbor: HarborDouble, backup: Backup, caplog: pytest.LogCaptureFixture
) -> None:
    before = backup.run(backup.itself)
    harbor.state.delete_artifact("bad/app", "1")
    report = backup.run(backup.itself)

    assert report.complete
    assert report.losses == Losses(
        since=before.ended_at.isoformat(), projects=(Shrunk(project="bad", before=1, now=0),)
    )
    words = f"bad has 0 of 1 digest, compared with {human_time(before.ended_at)}"
    assert f"; far less than before: {words}" in report.summary_line()
    assert words in report.to_text()
    assert words in caplog.text
    assert words in kept(backup, report, "html")
    assert json.loads(kept(backup, report))["losses"] == {
        "since": before.ended_at.isoformat(),
        "projects": [{"project": "bad", "before": 1, "now": 0}],
    }
    # It is told once: the next night is compared with this one.
    assert backup.run(backup.itself).losses is None


def test_a_project_that_is_not_there_any_more_is_told(harbor: HarborDouble, backup: Backup) -> None:
    backup.run(backup.itself)
    harbor.state.delete_project("bad")
    (shrunk,) = backup.run(backup.itself).losses.projects
    assert shrunk == Shrunk(project="bad", before=1, now=None)
    assert str(shrunk) == "bad (1 digest) is not there"


@pytest.mark.parametrize(("deleted", "is_told"), [(9, False), (10, True)])
def test_what_lost_some_is_told_only_where_it_is_many_and_half_of_all(
    harbor: HarborDouble, backup: Backup, deleted: int, is_told: bool
) -> None:
    push_many(harbor, 19)
    backup.run(backup.itself)
    for at in range(deleted):
        harbor.state.delete_artifact("good/many", str(at))
    losses = backup.run(backup.itself).losses
    assert (losses is not None) == is_told
    if losses:
        assert str(losses).startswith("good has 10 of 20 digests, compared with ")


def test_what_lost_many_of_very_many_is_not_told(harbor: HarborDouble, backup: Backup) -> None:
    push_many(harbor, 24)
    backup.run(backup.itself)
    for at in range(11):
        harbor.state.delete_artifact("good/many", str(at))
    assert backup.run(backup.itself).losses is None


def test_a_project_that_could_not_be_listed_is_not_called_smaller(
    harbor: HarborDouble, backup: Backup
) -> None:
    backup.run(backup.itself)
    harbor.faults.add(Fault(path="/projects/bad/repositories", status=500, times=None))
    report = backup.run(backup.itself)
    assert report.unprotected == ("bad",)
    assert report.losses is None


def test_another_choice_of_projects_is_no_night_before(
    harbor: HarborDouble, backup: Backup
) -> None:
    first = backup.run(backup.itself)
    made = backup.store.snapshots.read(layout.run_key(first.run))
    assert made is not None
    harbor.state.delete_artifact("bad/app", "1")
    backup.run(backup.itself)
    second = backup.store.snapshots.read(layout.run_key("night-2"))
    assert second is not None
    assert find_losses(backup.store, second) is not None
    for other in (
        replace(second, limited_to=("bad",)),
        replace(second, harbor_url="https://other.example.com"),
        replace(second, lacking=None),
        replace(second, key=made.key),
    ):
        assert find_losses(backup.store, other) is None


def test_of_many_projects_the_first_are_named() -> None:
    shrunk = tuple(Shrunk(project=f"p{at}", before=1_000, now=at) for at in range(5))
    losses = Losses(since="2025-11-25T01:00:00+00:00", projects=shrunk)
    assert str(losses) == (
        "p0 has 0 of 1,000 digests; p1 has 1 of 1,000 digests; p2 has 2 of 1,000 digests; "
        "and 2 more, compared with 2025-11-25 01:00 UTC"
    )
