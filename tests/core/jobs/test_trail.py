"""What a report says of before: when a project was last protected, how the run ended earlier."""

from __future__ import annotations

import itertools
import json
from datetime import datetime

import pytest

from airflow_provider_harbor.core.human import human_time
from airflow_provider_harbor.core.jobs import trail
from airflow_provider_harbor.core.jobs.trail import Attempt, find_last_protected, read_attempts
from airflow_provider_harbor.core.store import layout
from tests.core.rig import Backup
from tests.double import HarborDouble, Image

pytestmark = pytest.mark.usefixtures("good_and_bad")


def break_one(harbor: HarborDouble) -> None:
    """Push an artifact of which the registry loses a layer."""
    image = harbor.push("bad/app", Image("broken"), "2")
    harbor.state.lose_blob(next(iter(image.blobs)))


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
    assert line in backup.read_report(report, "html")
    assert json.loads(backup.read_report(report))["last_protected"] == report.last_protected


def test_a_project_that_never_was_whole_is_shown_as_that(
    harbor: HarborDouble, backup: Backup
) -> None:
    break_one(harbor)
    report = backup.run(backup.itself)

    assert report.last_protected == {}
    assert report.unprotected_lines() == ["bad (whole in none of the newest nights)"]


def test_a_complete_night_asks_for_no_earlier_ones(backup: Backup) -> None:
    assert backup.run(backup.itself).last_protected == {}
    assert "last protected" not in backup.read_report(backup.run(backup.itself), "html")


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
    assert words in backup.read_report(third, "html")
    attempts = json.loads(backup.read_report(third))["attempts"]
    assert [attempt["projects"] for attempt in attempts] == [["bad"]] * 2


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
