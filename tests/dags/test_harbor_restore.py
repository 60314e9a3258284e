"""A night goes into the store, something is lost, and `harbor_restore` brings it back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.core.rig import make_immutable
from tests.dags.conftest import Run, errors_in
from tests.dags.test_harbor_backup import committed, failed, held
from tests.double import Fault, HarborDouble, Image, cosign_signature, multi_arch

pytestmark = pytest.mark.airflow
RunDag = Callable[..., Run]


@pytest.fixture
def stored(run_dag: RunDag, harbor: HarborDouble, connect: Any, tmp_path: Path) -> HarborDouble:
    """A Harbor whose night is in the store."""
    for name in ("team-a", "team-b"):
        harbor.create_project(name)
    harbor.push("library/base", Image("base"), "1", "latest")
    app = harbor.push("team-a/app", Image("app"), "v1")
    harbor.push("team-a/app", cosign_signature(app))
    harbor.push("team-b/web", multi_arch("web"), "v2")
    connect("harbor_default", harbor)
    assert run_dag("harbor_backup", store=str(tmp_path)).state == "success"
    return harbor


def forget(harbor: HarborDouble, *names: str) -> None:
    for name in names:
        harbor.state.forget_repository(harbor.state.repositories[name])


def test_a_night_in_the_store_needs_no_other_registry(stored: HarborDouble, tmp_path: Path) -> None:
    assert committed(tmp_path) == ["snapshot.json"]
    blobs = {f"sha256:{path.name}" for path in (tmp_path / "blobs/sha256").iterdir()}
    assert blobs >= {digest for _, digest, _ in held(stored)}
    assert set(Image("app").blobs) <= blobs


def test_what_was_deleted_comes_back(
    run_dag: RunDag, stored: HarborDouble, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    before = held(stored)
    forget(stored, "team-a/app", "team-b/web")
    run = run_dag("harbor_restore", store=str(tmp_path))

    assert run.state == "success"
    assert {run.states[f"settings_{stage}", -1] for stage in ("before", "after")} == {"skipped"}
    assert held(stored) == before
    assert [run.names["restore", index] for index in range(3)] == ["library", "team-a", "team-b"]
    output = "".join(capfd.readouterr())
    assert "Everything is restored" in output
    assert stored.password not in output
    assert len(list(tmp_path.glob("restores/*/projects/*.json"))) == 3
    assert len(list(tmp_path.glob("reports/*.html"))) == 2


def test_a_form_that_names_one_tag_and_another_harbor(
    run_dag: RunDag, stored: HarborDouble, other_harbor: HarborDouble, connect: Any, tmp_path: Path
) -> None:
    stored.push("team-a/app", Image("other"), "v9")
    connect("there", other_harbor)
    run = run_dag(
        "harbor_restore",
        store=str(tmp_path),
        target="there",
        projects=["team-*"],
        repositories=["team-a/app"],
        tags=["v1"],
        rename=["team-a=back"],
    )

    assert run.state == "success"
    found = {(name, digest): tags for name, digest, tags in held(other_harbor)}
    signature = cosign_signature(Image("app"))
    (tag,) = signature.default_tags
    assert found == {
        ("back/app", Image("app").digest): ("v1",),
        ("back/app", signature.digest): (tag,),
    }


def test_a_tag_that_names_something_else_is_left_alone_unless_it_is_to_be_moved(
    run_dag: RunDag, stored: HarborDouble, tmp_path: Path
) -> None:
    before = held(stored)
    stored.push("team-a/app", Image("newer"), "v1")
    now = held(stored)
    run = run_dag("harbor_restore", store=str(tmp_path), projects=["team-a"])
    assert failed(run) == {("restore", 0), ("report", -1)}
    assert held(stored) == now

    run = run_dag("harbor_restore", store=str(tmp_path), projects=["team-a"], overwrite=True)
    assert run.state == "success"
    assert before <= held(stored)


def test_settings_come_back_around_the_artifacts(
    run_dag: RunDag, stored: HarborDouble, other_harbor: HarborDouble, connect: Any, tmp_path: Path
) -> None:
    before = held(stored)
    make_immutable(stored, "team-a", "v*")
    assert run_dag("harbor_backup", store=str(tmp_path)).state == "success"
    connect("there", other_harbor)
    run = run_dag("harbor_restore", store=str(tmp_path), target="there", settings=True)

    assert run.state == "success"
    assert {run.states[f"settings_{stage}", -1] for stage in ("before", "after")} == {"success"}
    assert held(other_harbor) == before
    team = other_harbor.state.project("team-a")
    assert team is not None
    assert len(team.immutable_rules) == 1


def test_a_user_without_a_password_stops_no_artifact_and_makes_the_run_red(
    run_dag: RunDag, stored: HarborDouble, other_harbor: HarborDouble, connect: Any, tmp_path: Path
) -> None:
    before = held(stored)
    user = {"username": "amy", "email": "amy@example.com", "realname": "A", "password": "Pa55word"}
    made = requests.post(f"{stored.url}/api/v2.0/users", json=user, auth=("admin", stored.password))
    assert made.status_code == 201
    assert run_dag("harbor_backup", store=str(tmp_path)).state == "success"
    connect("there", other_harbor)
    run = run_dag("harbor_restore", store=str(tmp_path), target="there", settings=True)

    assert failed(run) == {("settings_after", -1)}
    assert held(other_harbor) == before


def test_a_dry_run_of_a_restore_changes_nothing(
    run_dag: RunDag, stored: HarborDouble, tmp_path: Path
) -> None:
    forget(stored, "team-a/app")
    now = held(stored)
    run = run_dag("harbor_restore", store=str(tmp_path), dry_run=True)

    assert run.state == "success"
    assert run.states["report", -1] == "skipped"
    assert held(stored) == now


def test_one_project_that_cannot_be_restored_stops_no_other(
    run_dag: RunDag, stored: HarborDouble, tmp_path: Path
) -> None:
    before = held(stored)
    forget(stored, "team-a/app", "team-b/web")
    stored.faults.add(Fault(method="PUT", path="/v2/team-a/app/manifests", status=403, times=None))
    run = run_dag("harbor_restore", store=str(tmp_path))

    assert failed(run) == {("restore", 1), ("report", -1)}
    # Nobody has asked for settings, so there is nothing that could fail.
    assert {run.states[f"settings_{stage}", -1] for stage in ("before", "after")} == {"skipped"}
    assert {name for name, _, _ in before - held(stored)} == {"team-a/app"}


def test_a_form_that_cannot_be_meant_is_refused_by_the_first_task(
    run_dag: RunDag, stored: HarborDouble, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    capfd.readouterr()
    run = run_dag("harbor_restore", store=str(tmp_path), projects=["taem-a"])

    assert failed(run) == {("choose", -1), ("report", -1)}
    said = " ".join(line.strip() for line in errors_in("".join(capfd.readouterr())))
    assert "no project 'taem-a'" in said
