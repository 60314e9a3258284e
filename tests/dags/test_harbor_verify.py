"""A night goes into the store, something is damaged, and `harbor_verify` finds and repairs it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.dags.conftest import DAGS, Run, errors_in
from tests.dags.test_harbor_backup import failed
from tests.double import HarborDouble, Image

pytestmark = pytest.mark.airflow
RunDag = Callable[..., Run]


@pytest.fixture(autouse=True)
def without_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("airflow_provider_harbor.core.http.attempts._FIRST_WAIT_SECONDS", 0.0)


@pytest.fixture
def night(run_dag: RunDag, harbor: HarborDouble, connect: Any, tmp_path: Path) -> HarborDouble:
    """A Harbor whose night is in the store."""
    harbor.push("library/base", Image("base"), "1", "latest")
    harbor.push("library/app", Image("app"), "v1")
    connect("harbor_default", harbor)
    assert run_dag("harbor_backup", store=str(tmp_path)).state == "success"
    return harbor


def test_a_damage_is_red_and_a_form_that_asks_for_repair_mends_it(
    run_dag: RunDag,
    night: HarborDouble,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    run = run_dag("harbor_verify", store=str(tmp_path))
    assert run.state == "success", capfd.readouterr()
    assert run.xcoms["verify", -1]["part"].endswith("/28")
    assert run.states["drill", -1] == "skipped"

    layer = list(Image("app").blobs)[-1]
    file = tmp_path / "blobs/sha256" / layer.partition(":")[2]
    data = file.read_bytes()
    file.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    manifest = Image("base").digest
    night.state.lose_manifest("library/base", manifest)
    run = run_dag("harbor_verify", store=str(tmp_path), part="all")
    assert failed(run) == {("verify", -1)}
    assert run.tries["verify", -1] == 1  # trying again does not help
    output = "".join(capfd.readouterr())
    assert layer in output
    assert "library/base:1, latest" in " ".join(map(str.strip, errors_in(output)))

    run = run_dag("harbor_verify", store=str(tmp_path), part="all", repair=True)
    assert run.state == "success"
    assert run.xcoms["verify", -1]["repaired"] == 2
    assert file.read_bytes() == data
    assert len(list(tmp_path.glob("reports/*.harbor_verify.*.html"))) == 3
    assert night.password not in "".join(capfd.readouterr())


def test_the_form() -> None:
    from airflow.dag_processing.dagbag import DagBag

    dag = DagBag(DAGS / "harbor_verify.py").dags["harbor_verify"]
    form = {name: dag.params.get_param(name) for name in dag.params}
    assert set(form) >= {"part", "source", "mirror", "repair", "workers", "store"}
    assert all(param.schema["title"] and param.schema["description_md"] for param in form.values())
    dag.params.validate()
    assert dag.timetable.expression == "30 6 * * *"


def test_a_drill_where_a_target_is_named(
    run_dag: RunDag, night: HarborDouble, other_harbor: HarborDouble, connect: Any, tmp_path: Path
) -> None:
    connect("there", other_harbor)
    run = run_dag("harbor_verify", store=str(tmp_path), drill_target="there", drill_sample=1)
    assert run.state == "success"
    assert run.states["drill", -1] == "success"
    assert len(run.xcoms["drill", -1]["repositories"]) == 1
    assert "backup-drill" not in other_harbor.state.project_names
    assert len(list(tmp_path.glob("reports/*.drill.html"))) == 1
    assert len(list(tmp_path.glob("reports/*.verify.html"))) == 1


def test_nothing_is_asked_of_a_harbor_that_is_not_named(
    run_dag: RunDag,
    night: HarborDouble,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    night.requests.reset()
    run: Any = run_dag("harbor_verify", store=str(tmp_path), source=None)
    assert run.state == "success"
    assert night.requests.log == []
