"""What the README tells people to type does what it says."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_harbor.core.cli import main as cli
from tests.double import HarborDouble

README = (Path(__file__).parents[1] / "README.md").read_text()

# The destination's robot, by the sentence below the table.
PUSH = {"resource": "repository", "action": "push"}
CREATE = {"resource": "project", "action": "create"}


def robot_of_the_readme() -> dict[str, Any]:
    (body,) = re.findall(r"/api/v2\.0/robots .* -d '(\{.*?\})'\n", README, re.DOTALL)
    return dict(json.loads(body))


def rows(kind: str) -> list[dict[str, str]]:
    (found,) = [p["access"] for p in robot_of_the_readme()["permissions"] if p["kind"] == kind]
    return list(found)


def create(harbor: HarborDouble, *, system: list[Any], project: list[Any]) -> tuple[str, str]:
    """Create a robot at a double, and return its login."""
    permissions = [
        {"kind": "system", "namespace": "/", "access": system},
        {"kind": "project", "namespace": "*", "access": project},
    ]
    robot = harbor.state.create_robot("backup", permissions, secret="Robot-12345")
    return robot.name, "Robot-12345"


@pytest.fixture
def source() -> Iterator[HarborDouble]:
    with HarborDouble(sample=True) as harbor:
        yield harbor


@pytest.fixture
def destination() -> Iterator[HarborDouble]:
    with HarborDouble() as harbor:
        yield harbor


def back_up(
    source: HarborDouble,
    destination: HarborDouble,
    logins: tuple[tuple[str, str], tuple[str, str]],
    state: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> int:
    for side, (user, password) in zip(("SOURCE", "DESTINATION"), logins, strict=True):
        monkeypatch.setenv(f"HARBOR_BACKUP_{side}_USER", user)
        monkeypatch.setenv(f"HARBOR_BACKUP_{side}_PASSWORD", password)
    arguments = ["copy", source.url, destination.url, "--state", str(state), "--quiet"]
    return cli.main(arguments)


def test_its_robots_may_do_all_that_a_backup_needs(
    source: HarborDouble,
    destination: HarborDouble,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    destination.state.configuration["project_creation_restriction"] = "adminonly"
    mine = create(source, system=rows("system"), project=rows("project"))
    system = [row for row in rows("system") if row["resource"] != "robot"] + [CREATE]
    theirs = create(destination, system=system, project=[*rows("project"), PUSH])
    for _ in range(2):  # the second run lists the destination
        assert back_up(source, destination, (mine, theirs), tmp_path, monkeypatch) == 0


def test_its_table_names_the_permissions_of_its_command() -> None:
    named = set()
    for where, kind in (("system", "system"), ("all projects", "project")):
        (cell,) = re.findall(rf"\n\| {where} \| (.*) \|\n", README)
        for part in cell.split(" · "):
            resource, _, actions = part.partition(": ")
            named |= {(kind, resource.lower(), action) for action in actions.split(", ")}
    assert named == {
        (kind, row["resource"], row["action"])
        for kind in ("system", "project")
        for row in rows(kind)
    }


def test_its_list_of_bundles_and_its_connection_are_json() -> None:
    (bundles,) = re.findall(r"dag_bundle_config_list = (\[.*?\])\n\n", README, re.DOTALL)
    assert [bundle["name"] for bundle in json.loads(bundles)] == ["dags-folder", "harbor"]
    (connection,) = re.findall(r"AIRFLOW_CONN_HARBOR_DEFAULT='(\{.*?\})'", README, re.DOTALL)
    assert json.loads(connection)["conn_type"] == "harbor"
