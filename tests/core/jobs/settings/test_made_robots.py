"""Robots that an import made, and whose secrets nobody has: they are named until somebody has."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_harbor.core.jobs.settings.made_robots import MadeRobots, Told
from airflow_provider_harbor.core.jobs.settings.outcome import ImportReport, State
from tests.core.settings_rig import bring_back, grants, kept_settings, titles, written
from tests.double import Fault, HarborDouble

KEY = "robots/ci"
ROBOT = {"name": "ci", "duration": -1, "permissions": grants(project="repository:pull")}


@pytest.fixture
def new() -> Iterator[HarborDouble]:
    with HarborDouble() as harbor:
        yield harbor


@pytest.fixture
def made(tmp_path: Path) -> dict[str, Any]:
    return kept_settings(tmp_path, system={"robots": [ROBOT]})


def later(key: str, secret: str) -> Told:
    return Told.LATER


def is_named(report: ImportReport) -> bool:
    named = [line for line in report.failures() if "nobody knows its secret" in line]
    assert KEY in report.needs or not named
    return bool(named)


def test_a_robot_of_which_nobody_was_told_is_named_by_every_import(
    new: HarborDouble, made: dict[str, Any]
) -> None:
    assert is_named(bring_back(made, new))  # where nobody takes it
    for dry_run in (False, True, False):
        report = bring_back(made, new, dry_run=dry_run)
        assert written(new) == []
        assert is_named(report)
    assert bring_back(made, new, {KEY: "Given-12345"}).failures() == []
    assert not is_named(bring_back(made, new))


def test_a_robot_that_is_told_of_later_is_named_until_that_is_done(
    new: HarborDouble, made: dict[str, Any]
) -> None:
    assert not is_named(bring_back(made, new, on_secret=later))
    assert is_named(bring_back(made, new, on_secret=later))
    MadeRobots(made["store"], new.url).end(KEY)
    assert not is_named(bring_back(made, new, on_secret=later))


def test_another_robot_of_that_name_is_not_named(new: HarborDouble, made: dict[str, Any]) -> None:
    bring_back(made, new)
    new.state.robots.clear()
    new.state.create_robot("ci", ROBOT["permissions"], secret="Known-12345", level="system")
    assert not is_named(bring_back(made, new))


@pytest.mark.parametrize(
    ("fault", "is_there"),
    [
        ({"lose_answer": True}, True),
        ({"status": 502}, False),
        ({"status": 403}, False),
    ],
)
def test_a_robot_that_may_have_been_made_is_named_and_one_that_was_refused_is_not(
    new: HarborDouble, made: dict[str, Any], fault: dict[str, Any], is_there: bool
) -> None:
    new.faults.add(Fault(method="POST", path="/robots", times=None, **fault))
    assert titles(bring_back(made, new, on_secret=later), State.FAILED)
    new.faults.clear()
    if fault.get("status") == 403:
        assert not list((Path(made["store"].url[7:]) / "made-robots").rglob("*.json"))
    report = bring_back(made, new)
    assert bool(new.state.robots) is True
    assert is_named(report)  # told to nobody, then or now
    assert [r.state for r in report.results if r.step.kind == "robots"] == [
        State.LEFT if is_there else State.DONE
    ]


def test_a_secret_that_is_given_and_refused_leaves_a_robot_that_is_named(
    new: HarborDouble, made: dict[str, Any]
) -> None:
    report = bring_back(made, new, {KEY: "weak"}, on_secret=later)
    assert titles(report, State.FAILED)
    assert is_named(bring_back(made, new))


def test_where_a_secret_cannot_be_kept_no_more_are_made(new: HarborDouble, tmp_path: Path) -> None:
    robots = [{**ROBOT, "name": name, "disable": True} for name in ("a", "b")]
    users = [{"username": "ann", "email": "ann@example.com", "realname": "Ann"}]
    night = kept_settings(tmp_path, system={"robots": robots, "users": users})

    def fail(key: str, secret: str) -> None:
        raise RuntimeError(f"no place for {secret}")

    options = {"kinds": ["robots"], "on_secret": fail}
    report = bring_back(night, new, **options)
    failed = titles(report, State.FAILED)
    assert "the new secret of robots/a could not be kept" in failed["robot a"]
    assert "not made, since its secret would be lost" in failed["robot b"]
    (robot,) = new.state.robots.values()
    assert robot.secret not in "\n".join([*report.lines(), *report.failures()])
    assert robot.disabled  # it is made whole all the same
    assert is_named_as(bring_back(night, new, kinds=["robots"], on_secret=later), "robot a")
    report = bring_back(
        night, new, kinds=["users"], on_secret=fail, new_password=lambda: "Made-12345"
    )
    assert "not made, since its secret would be lost" in titles(report, State.FAILED)["user ann"]
    assert "ann" not in new.state.users


def is_named_as(report: ImportReport, title: str) -> bool:
    return any(line.startswith(f"{title}: ") and "nobody" in line for line in report.failures())
