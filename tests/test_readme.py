"""What README and docs/ tell people to type does what they say."""

from __future__ import annotations

import ast
import json
import re
import shlex
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_harbor.core.cli import main as cli
from airflow_provider_harbor.core.oci.registry import RegistryClient
from tests.documentation import PAGES, README, ROOT, code_blocks, page, robot_access
from tests.double import HarborDouble, Image, multi_arch
from tests.double.content import DOCKER_MANIFEST, Content
from tests.registry_server import PlainRegistry, require_program

# The destination's robot, by the sentence below the table.
PUSH = {"resource": "repository", "action": "push"}
CREATE = {"resource": "project", "action": "create"}


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
    mine = create(source, system=robot_access("system"), project=robot_access("project"))
    system = [row for row in robot_access("system") if row["resource"] != "robot"] + [CREATE]
    theirs = create(other_harbor, system=system, project=[*robot_access("project"), PUSH])
    store = tmp_path / "store"
    assert run("backup", source.url, store, source=mine) == 0
    assert run("restore", store, other_harbor.url, target=theirs) == 0
    for _ in range(2):  # the second run lists the mirror
        to_mirror = ("backup", source.url, tmp_path / "lists", "--to", other_harbor.url)
        assert run(*to_mirror, source=mine, target=theirs) == 0


def test_its_robot_reads_all_settings_but_the_configurations(
    source: HarborDouble, tmp_path: Path, run: Callable[..., int]
) -> None:
    mine = create(source, system=robot_access("system"), project=robot_access("project"))
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
    (recipe,) = [block for block in code_blocks(page("restore"), "bash") if "skopeo" in block]
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
        (cell,) = re.findall(rf"\n\| {where} \| (.*) \|\n", page("accounts"))
        for part in cell.split(" · "):
            resource, _, actions = part.partition(": ")
            named |= {(kind, resource.lower(), action) for action in actions.split(", ")}
    assert named == {
        (kind, row["resource"], row["action"])
        for kind in ("system", "project")
        for row in robot_access(kind)
    }


def test_its_list_of_bundles_is_json() -> None:
    (bundles,) = re.findall(r"dag_bundle_config_list = (\[.*?\])\n\n", page("install"), re.DOTALL)
    assert [bundle["name"] for bundle in json.loads(bundles)] == ["dags-folder", "harbor"]


@pytest.mark.parametrize("name", [name for name in PAGES if "AIRFLOW_CONN_" in PAGES[name]])
def test_its_connections_are_what_the_hook_reads(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from airflow_provider_harbor.hooks.harbor import HarborHook

    found = re.findall(r"AIRFLOW_CONN_(HARBOR\w*)='(\{.*?\})'", PAGES[name], re.DOTALL)
    assert found
    for variable, value in found:
        authority = tmp_path / "ca.pem"
        authority.write_text("")
        value = value.replace("/etc/ssl/harbor-ca.pem", str(authority))
        monkeypatch.setenv(f"AIRFLOW_CONN_{variable}", value)
        hook = HarborHook(variable.lower())
        assert hook.url == "https://harbor.example.com"
        extra = json.loads(value).get("extra", {})
        assert hook._options == {
            "verify": extra.get("ca_file", True),
            "timeout_seconds": extra.get("timeout_seconds", 60),
        }


def test_its_table_of_the_connection_has_the_fields_of_the_form() -> None:
    from airflow_provider_harbor.get_provider_info import get_provider_info

    (kind,) = get_provider_info()["connection-types"]
    table = page("accounts").partition("| field | value |")[2].partition("\n\n")[0]
    fields = re.findall(r"^\| ([^|]+) \|", table, re.MULTILINE)
    labels = [item["label"] for item in kind["conn-fields"].values()]
    renamed = kind["ui-field-behaviour"]["relabeling"]
    assert set(fields) == {"Port", *renamed.values(), *labels}
    for key in kind["conn-fields"]:
        assert f"`{key}`" in table


def typed_lines() -> list[tuple[str, str]]:
    """Return each command line of ours that a page shows, with the page's name."""
    found = []
    for name, text in PAGES.items():
        text = re.sub(r"\\\n\s*", "", text)
        pattern = r"^(?:    )?(?:\$ )?(harbor-backup [^\n]*)$"
        found += [(name, line) for line in re.findall(pattern, text, re.MULTILINE)]
    return found


@pytest.mark.parametrize(("name", "line"), typed_lines())
def test_its_command_lines_can_be_typed(name: str, line: str) -> None:
    line = re.sub(r"[$<]\([^)]*\)", "what-a-shell-puts-here", line)
    words = shlex.split(line, comments=True)[1:]
    if {"COMMAND", "--help"} & set(words):
        return
    end = next((i for i, word in enumerate(words) if word in ("|", ">", "2>")), len(words))
    assert cli._parser(words).parse_args(words[:end]).command


def dag_files() -> list[tuple[str, str]]:
    """Return each file of DAGs that a page shows, with the page's name."""
    python = [(n, block) for n, text in PAGES.items() for block in code_blocks(text, "python")]
    pasted = [
        (name, block)
        for name, text in PAGES.items()
        for block in re.findall(r"<<'END'\n(from airflow.*?)^END$", text, re.DOTALL | re.MULTILINE)
    ]
    return [(n, b) for n, b in python + pasted if re.search(r"DAG\(|^harbor_\w+\(", b, re.M)]


@pytest.mark.parametrize(("name", "text"), dag_files())
def test_its_dag_files_can_be_read(name: str, text: str, tmp_path: Path) -> None:
    from airflow.dag_processing.dagbag import DagBag

    (tmp_path / "mine.py").write_text(text)
    bag = DagBag(tmp_path, safe_mode=True)
    assert bag.import_errors == {}
    assert bag.dags


@pytest.mark.parametrize("name", PAGES)
def test_its_python_is_python(name: str) -> None:
    for block in code_blocks(PAGES[name], "python"):
        ast.parse(block)


def anchors(text: str) -> set[str]:
    """Return what can be linked to in a page: its headings, as Markdown's readers name them."""
    return {
        re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")
        for heading in re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    }


@pytest.mark.parametrize("name", PAGES)
def test_its_links_lead_somewhere(name: str) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", PAGES[name]):
        if target.startswith(("http://", "https://")):
            continue
        path, _, anchor = target.partition("#")
        there = (ROOT / name).parent / path if path else ROOT / name
        assert there.exists(), target
        if anchor:
            assert anchor in anchors(there.read_text()), target


def test_every_page_can_be_reached_from_the_readme() -> None:
    assert {name for name in PAGES if name != "README.md"} <= set(
        re.findall(r"\]\(([^)\s#]+)", README)
    )


def test_its_lines_for_the_installation_are_those_of_the_page() -> None:
    known = code_blocks(page("install"), "bash")
    for block in code_blocks(README, "bash"):
        assert block in known


def test_the_targets_of_make_that_it_names_are_there() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for name, text in PAGES.items():
        for target in re.findall(r"^    make (\w+)|`make (\w+)", text, re.MULTILINE):
            assert re.search(rf"^{''.join(target)}:", makefile, re.MULTILINE), (name, target)


def said_by_the_program() -> str:
    """Return all texts of the package, one after the other."""
    texts = []
    for path in (ROOT / "airflow_provider_harbor").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                texts.append(node.value)
    return "\n".join(texts)


# What Airflow and Python say.
_FOREIGN = {
    "Broken DAG: ... No module named 'airflow_provider_harbor'",
    "The host or port to test differs from the stored connection",
    "database is locked",
    "up_for_retry",
}


def test_the_messages_that_it_explains_are_those_of_the_program() -> None:
    rows = re.findall(r"^\| ([^|]+) \|", page("troubleshooting"), re.MULTILINE)
    quoted = [message for row in rows for message in re.findall(r"`([^`]{12,})`", row)]
    assert len(quoted) > 10
    said = said_by_the_program()
    assert [message for message in quoted if message not in said and message not in _FOREIGN] == []
