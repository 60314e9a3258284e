"""What the README tells people to type does what it says."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_harbor.core.cli import main as cli
from airflow_provider_harbor.core.oci.registry import RegistryClient
from tests.double import HarborDouble, Image, multi_arch
from tests.double.content import DOCKER_MANIFEST, Content
from tests.registry_server import PlainRegistry, require_program

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
def run(monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Run the command, with a login on each side."""

    def run(
        *arguments: object, source: tuple[str, str] = ("", ""), target: tuple[str, str] = ("", "")
    ) -> int:
        for side, (user, password) in (("SOURCE", source), ("DESTINATION", target)):
            monkeypatch.setenv(f"HARBOR_BACKUP_{side}_USER", user)
            monkeypatch.setenv(f"HARBOR_BACKUP_{side}_PASSWORD", password)
        return cli.main([*map(str, arguments), "--quiet"])

    return run


def test_its_robots_may_do_all_that_is_needed(
    source: HarborDouble, other_harbor: HarborDouble, tmp_path: Path, run: Callable[..., int]
) -> None:
    other_harbor.state.configuration["project_creation_restriction"] = "adminonly"
    mine = create(source, system=rows("system"), project=rows("project"))
    system = [row for row in rows("system") if row["resource"] != "robot"] + [CREATE]
    theirs = create(other_harbor, system=system, project=[*rows("project"), PUSH])
    store = tmp_path / "store"
    assert run("backup", source.url, store, source=mine) == 0
    assert run("restore", store, other_harbor.url, target=theirs) == 0
    for _ in range(2):  # the second run lists the mirror
        to_mirror = ("backup", source.url, tmp_path / "lists", "--to", other_harbor.url)
        assert run(*to_mirror, source=mine, target=theirs) == 0


def test_its_robot_reads_all_settings_but_the_configurations(
    source: HarborDouble, tmp_path: Path, run: Callable[..., int]
) -> None:
    mine = create(source, system=rows("system"), project=rows("project"))
    store = tmp_path / "store"
    assert run("settings", "export", source.url, store, source=mine) == 0
    (night,) = store.glob("snapshots/*/settings.json")
    unread = json.loads(night.read_text())["unread"]
    assert [item["kind"] for item in unread] == ["configurations"]


@pytest.mark.parametrize(
    "content",
    [Image("docker", media_type=DOCKER_MANIFEST), multi_arch("oci")],
    ids=["image", "index"],
)
def test_its_recipe_gets_an_image_out_of_the_store_without_this_program(
    content: Content, harbor: HarborDouble, tmp_path: Path, run: Callable[..., int]
) -> None:
    for program in ("jq", "skopeo"):
        require_program(program)
    harbor.push("library/nginx", content, "1.27")
    store = tmp_path / "store"
    assert run("backup", harbor.url, store, source=(harbor.user, harbor.password)) == 0
    (recipe,) = re.findall(r"```bash\n(.*?)```", README, re.DOTALL)
    (tmp_path / "registry").mkdir()
    with PlainRegistry(tmp_path / "registry") as registry:
        recipe = recipe.replace("/backup/harbor", str(store))
        recipe = recipe.replace("registry.example.com", registry.url.removeprefix("http://"))
        recipe = recipe.replace("skopeo copy", "skopeo --insecure-policy copy --dest-tls-verify=0")
        subprocess.run(["bash", "-eu", "-c", recipe], check=True, cwd=tmp_path)
        with RegistryClient(registry.url) as client:
            assert client.get_manifest("library/nginx", "1.27").digest == content.digest


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
