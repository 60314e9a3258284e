"""What an import leaves, or brings back in part, is told, and told rightly."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_harbor.core.jobs.settings.outcome import State
from tests.core.settings_rig import (
    Api,
    bring_back,
    grants,
    kept_settings,
    services,
    titles,
    written,
)
from tests.double import Fault, HarborDouble

PROJECT = {"project": {"metadata": {"public": "true"}}}
TARGETS = [{"type": "http", "address": "http://hooks.example.com/"}]


@pytest.fixture
def new() -> Iterator[HarborDouble]:
    with HarborDouble() as harbor:
        yield harbor


def robot(name: str, project: str, **more: Any) -> dict[str, Any]:
    rights = grants(project="repository:pull", namespace=project)
    return {"name": name, "duration": -1, "permissions": rights, **more}


def test_a_secret_of_the_system_stays_one_where_a_project_is_called_like_a_kind(
    new: HarborDouble, tmp_path: Path
) -> None:
    users = [{"username": "ann", "email": "ann@example.com", "realname": "Ann"}]
    made = kept_settings(
        tmp_path,
        system={"users": users, "robots": [robot("ci", "*"), robot("webhooks", "*")]},
        users={**PROJECT, "robots": [robot("ci", "users")]},
        robots=PROJECT,
    )
    secrets = {
        "users/ann": "Given-ann-1",
        "robots/ci": "Given-ci-1",
        "robots/webhooks": "Given-hooks-1",
        "users/robots/ci": "Given-own-1",
    }
    renames = ["users=people", "robots=bots"]
    report = bring_back(made, new, secrets, renames=renames)
    assert (report.failures(), report.unused, report.needs) == ([], (), [])
    assert new.state.users["ann"].password == "Given-ann-1"
    assert {each.name: each.secret for each in new.state.robots.values()} == {
        "robot$ci": "Given-ci-1",
        "robot$webhooks": "Given-hooks-1",
        "robot$people+ci": "Given-own-1",
    }


def test_a_scanner_that_a_project_has_of_its_own_is_told_where_the_export_has_none(
    new: HarborDouble, tmp_path: Path
) -> None:
    made = kept_settings(tmp_path, system={}, team=PROJECT)
    with services() as service:
        api = Api(new)
        number = api.post("/scanners", name="one", url=f"{service.url}/one")
        api.post("/projects", project_name="team", metadata={"public": "true"})
        assert bring_back(made, new).failures() == []
        api.put("/projects/team/scanner", uuid=number)
        for delete_surplus in (False, True):
            report = bring_back(made, new, delete_surplus=delete_surplus)
            (line,) = report.failures()
            assert "it has a scanner of its own there, one, and the export has none" in line
            assert written(new) == []


def test_a_webhook_of_a_project_that_is_made_is_without_events_that_harbor_has_not(
    new: HarborDouble, tmp_path: Path
) -> None:
    hook = {"name": "w", "enabled": True, "targets": TARGETS}
    webhooks = [{**hook, "event_types": ["FUTURE", "PUSH_ARTIFACT"]}]
    made = kept_settings(tmp_path, team={**PROJECT, "webhooks": webhooks})
    for number in range(2):
        report = bring_back(made, new)
        (line,) = report.failures()
        assert "in part only, without the events FUTURE, which this Harbor has not" in line
        assert bool(written(new)) == (number == 0)
    (made_there,) = Api(new).get("/projects/team/webhook/policies")
    assert made_there["event_types"] == ["PUSH_ARTIFACT"]


def test_what_was_left_and_is_otherwise_afterwards_is_told(
    new: HarborDouble, tmp_path: Path
) -> None:
    made = kept_settings(
        tmp_path, system={"configurations": {"token_expiration": 50}}, team=PROJECT, other=PROJECT
    )
    for name in ("team", "other"):
        Api(new).post("/projects", project_name=name, metadata={"public": "true"})

    def change(double: HarborDouble) -> None:
        project = double.state.project("other")
        assert project
        project.metadata["public"] = "false"

    new.faults.add(Fault(method="PUT", path="/configurations", callback=change))
    report = bring_back(made, new)
    (line,) = report.failures()
    assert line.startswith("project other: project other: it was as it should be, and is otherwise")
    assert "metadata.public: false -> true" in line
    assert bring_back(made, new).failures() == []


def test_a_robot_of_which_this_harbor_knows_no_permission_is_told_so(
    new: HarborDouble, tmp_path: Path
) -> None:
    rights = grants(project="future:list", namespace="team")
    gone = grants(project="repository:pull", namespace="gone")
    robots = [robot("r", "team", permissions=rights), robot("g", "team", permissions=gone)]
    made = kept_settings(tmp_path, team={**PROJECT, "robots": robots})
    for _ in range(2):
        found = titles(bring_back(made, new), State.CANNOT)
        assert found["team robot r"].endswith(": without future:list, which this Harbor has not")
        assert found["team robot g"].endswith(
            ": without those on the project gone, which is not there"
        )
        assert all("nothing is left of what it may do" in why for why in found.values())


def test_a_configuration_that_is_refused_is_not_said_to_be_accepted(
    new: HarborDouble, tmp_path: Path
) -> None:
    wanted = {"configurations": {"token_expiration": 0, "session_timeout": 77}}
    (line,) = bring_back(kept_settings(tmp_path, system=wanted), new).failures()
    assert "token_expiration is refused" in line
    assert line.endswith("; it is still otherwise: token_expiration: 30 -> 0")
    assert "accepted" not in line
