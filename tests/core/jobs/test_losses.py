"""What a report says of projects that hold far less than the night before."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import pytest

from airflow_provider_harbor.core.human import human_time
from airflow_provider_harbor.core.jobs import losses as losses_module
from airflow_provider_harbor.core.jobs.losses import Losses, Shrunk, find_losses
from airflow_provider_harbor.core.jobs.report import RunReport
from airflow_provider_harbor.core.store import layout
from tests.core.rig import Backup
from tests.double import Fault, HarborDouble, Image

pytestmark = pytest.mark.usefixtures("good_and_bad")


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
    since = before.ended_at.isoformat()
    assert report.losses == Losses(
        since=since, projects=(Shrunk(project="bad", before=1, now=0, since=since),)
    )
    words = f"bad has 0 of 1 digest, compared with {human_time(before.ended_at)}"
    assert f"; far less than before: {words}" in report.summary_line()
    assert words in report.to_text()
    assert words in caplog.text
    assert words in backup.read_report(report, "html")
    assert json.loads(backup.read_report(report))["losses"] == {
        "since": since,
        "projects": [{"project": "bad", "before": 1, "now": 0, "since": since}],
    }
    # It is told once: the next night is compared with this one.
    assert backup.run(backup.itself).losses is None


def test_a_project_that_is_not_there_any_more_is_told(harbor: HarborDouble, backup: Backup) -> None:
    before = backup.run(backup.itself)
    harbor.state.delete_project("bad")
    losses = backup.run(backup.itself).losses
    assert losses is not None
    (shrunk,) = losses.projects
    since = before.ended_at.isoformat()
    assert shrunk == Shrunk(project="bad", before=1, now=None, since=since)
    # Nobody knows here whether it was excluded.
    assert str(shrunk) == "bad (1 digest) is not in this run: it was deleted, or left out"


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


def test_a_project_that_was_listed_in_part_is_not_called_smaller(
    harbor: HarborDouble, backup: Backup
) -> None:
    """What could not be listed may be there all the same."""
    push_many(harbor, 19)
    backup.run(backup.itself)
    harbor.push("good/many", Image("new"), "new")
    harbor.faults.add(Fault(path="/projects/good/artifacts", status=500, times=None))
    harbor.faults.add(Fault(path="/projects/good/repositories/many/", status=500, times=None))
    report = backup.run(backup.itself)
    assert report.unprotected == ("good",)
    assert report.projects[1].gaps
    assert report.losses is None


def fail_wholly(harbor: HarborDouble) -> None:
    harbor.faults.add(Fault(path="/projects/good/repositories", status=500, times=None))


def fail_in_part(harbor: HarborDouble) -> None:
    harbor.push("good/many", Image("new"), "new")
    harbor.faults.add(Fault(path="/projects/good/artifacts", status=500, times=None))
    harbor.faults.add(Fault(path="/projects/good/repositories/many/", status=500, times=None))


@pytest.mark.parametrize("fail", [fail_wholly, fail_in_part])
def test_a_red_night_hides_no_loss_from_the_next_one(
    harbor: HarborDouble, backup: Backup, fail: Callable[[HarborDouble], None]
) -> None:
    push_many(harbor, 19)
    whole = backup.run(backup.itself)
    fail(harbor)
    for _ in range(2):
        red = backup.run(backup.itself)
        assert red.unprotected == ("good",)
    harbor.faults.clear()
    harbor.state.forget_repository(harbor.state.repositories["good/many"])
    losses = backup.run(backup.itself).losses
    since = whole.ended_at.isoformat()
    assert losses == Losses(
        since=red.ended_at.isoformat(),
        projects=(Shrunk(project="good", before=20, now=1, since=since),),
    )
    assert backup.run(backup.itself).losses is None


def test_a_loss_since_an_older_night_is_said_with_its_time() -> None:
    older, newer = "2025-11-24T01:00:00+00:00", "2025-11-25T01:00:00+00:00"
    shrunk = [
        Shrunk(project=f"p{since[9]}", before=9, now=0, since=since) for since in (older, newer)
    ]
    assert str(Losses(since=newer, projects=tuple(shrunk))) == (
        "p4 has 0 of 9 digests of 2025-11-24 01:00 UTC; p5 has 0 of 9 digests, "
        "compared with 2025-11-25 01:00 UTC"
    )


def change_night(backup: Backup, run: str, **changes: object) -> None:
    """Write other things into a snapshot than were in it, as one that has no seal."""
    path = backup.store_path / layout.snapshot(run)
    data = {**json.loads(path.read_text()), **changes}
    data.pop("sha256", None)
    path.write_text(json.dumps(data))


def nothing_left(backup: Backup, report: RunReport, key: str = "night-99") -> Losses | None:
    """Return what is said where nothing is left of what a night had."""
    night = backup.store.snapshots.read(layout.run_key(report.run))
    assert night is not None
    projects = {name: replace(held, digests=0) for name, held in night.projects.items()}
    return find_losses(backup.store, replace(night, key=key, projects=projects))


def test_what_came_back_is_compared_with_nothing_from_before_it_was_gone(
    backup: Backup, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second, third = (backup.run(backup.itself) for _ in range(3))
    night = backup.store.snapshots.read(layout.run_key(third.run))
    assert night is not None
    projects = night.to_json()["projects"]
    other = {"good": projects["good"]}
    little = {**projects, "bad": {**projects["bad"], "ok": False, "digests": 0}}
    change_night(backup, third.run, projects=little)
    losses = nothing_left(backup, first)
    assert losses is not None
    assert [shrunk.project for shrunk in losses.projects] == ["bad", "good"]
    change_night(backup, second.run, projects=other)
    losses = nothing_left(backup, first)
    assert losses is not None
    assert [shrunk.project for shrunk in losses.projects] == ["good"]
    partly = {**projects, "bad": {**projects["bad"], "ok": False, "digests": 7}}
    for changes in ({"projects": other, "lacking": ["bad"]}, {"projects": partly}):
        change_night(backup, second.run, **changes)
        losses = nothing_left(backup, first)
        assert losses is not None
        assert (losses.projects[0].project, losses.projects[0].before) == ("bad", 1)
    with monkeypatch.context() as shorter:
        shorter.setattr(losses_module, "_OLDER_NIGHTS", 1)
        losses = nothing_left(backup, first)
    assert losses is not None
    assert [shrunk.project for shrunk in losses.projects] == ["good"]
    change_night(backup, second.run, projects=other, lacking=["bad"])
    losses = nothing_left(backup, first)
    assert losses is not None
    assert losses.projects[0].since == first.ended_at.isoformat()


@pytest.mark.parametrize(
    "changes",
    [
        {"ended_at": "yesterday"},
        {"ended_at": "0001-01-01T00:00:00+14:00"},
        {"ended_at": None, "projects": None},
        {"format_version": 99},
        {"projects": {}, "lacking": ["bad", "good"]},
    ],
)
def test_a_night_that_tells_nothing_is_left_out(backup: Backup, changes: dict[str, object]) -> None:
    """One whose end is no time would else keep each later one from being concluded."""
    first, second = (backup.run(backup.itself) for _ in range(2))
    change_night(backup, second.run, **changes)
    losses = nothing_left(backup, first)
    assert losses is not None
    assert losses.since == first.ended_at.isoformat()


def test_a_later_night_is_not_the_one_before(backup: Backup) -> None:
    """As where an old run is cleared, and concluded again."""
    first, second = (backup.run(backup.itself) for _ in range(2))
    assert nothing_left(backup, first, key=first.run) is None
    losses = nothing_left(backup, first, key=second.run)
    assert losses is not None
    assert losses.since == first.ended_at.isoformat()


def test_a_store_that_does_not_answer_hides_losses_and_fails_no_night(
    backup: Backup, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = (backup.run(backup.itself) for _ in range(2))
    path = backup.store_path / layout.snapshot(second.run)
    path.unlink()
    path.symlink_to(path)  # what nothing can be read from
    assert nothing_left(backup, first) is None
    assert "could not be found out" in caplog.text


def test_nights_of_another_choice_and_settings_alone_hide_no_night(
    backup: Backup, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = backup.run(backup.itself)
    for _ in range(2):
        change_night(backup, backup.run(backup.itself).run, limited_to=["good"])
    snapshots = backup.store_path / "snapshots"
    for at in range(3):
        (snapshots / f"night-5{at}.settings").mkdir()
    monkeypatch.setattr(losses_module, "_NIGHTS", 3)
    losses = nothing_left(backup, first)
    assert losses is not None
    assert losses.since == first.ended_at.isoformat()
    monkeypatch.setattr(losses_module, "_NIGHTS", 2)
    assert nothing_left(backup, first) is None


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
        replace(second, lacking=("bad",)),
        replace(second, key=made.key),
    ):
        assert find_losses(backup.store, other) is None


def test_of_many_projects_the_first_are_named() -> None:
    since = "2025-11-25T01:00:00+00:00"
    shrunk = tuple(Shrunk(project=f"p{at}", before=1_000, now=at, since=since) for at in range(5))
    losses = Losses(since=since, projects=shrunk)
    assert str(losses) == (
        "p0 has 0 of 1,000 digests; p1 has 1 of 1,000 digests; p2 has 2 of 1,000 digests; "
        "and 2 more, compared with 2025-11-25 01:00 UTC"
    )
