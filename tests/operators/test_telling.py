"""How red tasks tell what happened: in lines of their log, above a short exception."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowFailException

from airflow_provider_harbor.core.exceptions import (
    BackupIncompleteError,
    HarborAuthError,
    HarborConnectionError,
)
from airflow_provider_harbor.get_provider_info import get_provider_info
from airflow_provider_harbor.operators.backup import HarborInventoryOperator
from airflow_provider_harbor.operators.harbor import HarborHealthCheckOperator
from airflow_provider_harbor.operators.telling import (
    HarborTaskFailed,
    HarborTaskInterrupted,
    error_lines,
    tells,
)
from tests.double import Fault, HarborDouble

Connect = Callable[..., str]
UNIT = {"name": "team-a", "projects": ["team-a"], "snapshot": "latest"}
# What each operator needs at least.
NEEDS: dict[str, dict[str, Any]] = {
    "HarborHealthCheckOperator": {},
    "HarborListProjectsOperator": {},
    "HarborInventoryOperator": {"unit": UNIT},
    "HarborCopyOperator": {"unit": UNIT, "inventories": []},
    "HarborSnapshotOperator": {"units": [UNIT]},
    "HarborChooseSnapshotOperator": {},
    "HarborRestoreOperator": {"unit": UNIT},
    "HarborRestoreReportOperator": {"units": [UNIT]},
    "HarborForgetOperator": {"keep_last": 1},
    "HarborPruneOperator": {},
    "HarborSettingsExportOperator": {},
    "HarborSettingsImportOperator": {},
    "HarborVerifyOperator": {},
    "HarborDrillOperator": {"harbor_conn_id": "nobody"},
    "HarborHealthSensor": {"harbor_conn_id": "nobody"},
}
CONTEXT: Any = {
    "run_id": "a",
    "dag_run": SimpleNamespace(
        dag_id="d",
        run_id="a",
        run_type="manual",
        run_after=datetime(2026, 1, 2, tzinfo=timezone.utc),
    ),
    "ti": SimpleNamespace(xcom_push=lambda **_: None, get_task_states=lambda **_: {}),
}


def operator_classes() -> list[type[BaseOperator]]:
    info = get_provider_info()
    names = [
        name
        for kind in ("operators", "sensors")
        for item in info[kind]
        for name in item["python-modules"]
    ]
    modules = [importlib.import_module(name) for name in names]
    return [
        value
        for module in modules
        for value in vars(module).values()
        if isinstance(value, type)
        and issubclass(value, BaseOperator)
        and value.__module__ == module.__name__
        and not value.__name__.startswith("_")
    ]


def told(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Return the lines of level ERROR."""
    output = "".join(capsys.readouterr())
    return re.findall(r"^\S+ \[error\s*\] (.*?) +\[airflow\.task", output, re.MULTILINE)


@pytest.mark.parametrize("kind", operator_classes(), ids=lambda kind: kind.__name__)
def test_every_operator_tells_what_no_retry_can_mend_and_fails_at_once(
    kind: type[BaseOperator], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a connection, and with a file in the place of the store."""
    (tmp_path / "file").write_text("")
    needs = NEEDS[kind.__name__]
    if "store" in kind.template_fields:
        needs = needs | {"store": str(tmp_path / "file")}
    operator: Any = kind(task_id="task", **needs)
    with pytest.raises(AirflowFailException) as caught:
        operator.execute(CONTEXT)

    lines = told(capsys)
    assert re.search(
        "no connection '|it is a file, not a directory", " ".join(" ".join(lines).split())
    )
    assert len(str(caught.value)) <= 100
    assert caught.value.__cause__ is caught.value.__context__ is None


def test_what_may_pass_is_left_to_be_tried_again(
    harbor: HarborDouble, connect: Connect, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    connect("harbor_default", harbor)
    harbor.stop()
    with pytest.raises(HarborTaskInterrupted) as caught:
        HarborHealthCheckOperator(task_id="check", store=str(tmp_path)).execute(CONTEXT)

    assert not isinstance(caught.value, AirflowFailException)
    assert isinstance(caught.value.error, HarborConnectionError)
    assert harbor.url.rpartition("/")[2] in " ".join(told(capsys))


def test_a_wrong_password_is_told_with_what_to_do_and_never_shown(
    harbor: HarborDouble, connect: Connect, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    connect("harbor_default", harbor, password="Wrong-12345")
    with pytest.raises(HarborTaskFailed) as caught:
        HarborHealthCheckOperator(task_id="check", store=str(tmp_path)).execute(CONTEXT)

    error = caught.value.error
    assert isinstance(error, HarborAuthError)
    lines = told(capsys)
    assert " ".join(line.strip() for line in lines).startswith(error.hint)
    assert all(len(line) <= 86 for line in lines)
    assert "Wrong-12345" not in "".join([*lines, str(caught.value)])


def test_a_project_that_cannot_be_listed_is_told_by_its_name(
    harbor: HarborDouble, connect: Connect, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    connect("harbor_default", harbor)
    harbor.create_project("team-a")
    harbor.faults.add(Fault(path="/projects/team-a", status=403, times=None))
    store = str(tmp_path)
    HarborHealthCheckOperator(task_id="check", store=store).execute(CONTEXT)
    with pytest.raises(HarborTaskFailed, match="project team-a"):
        HarborInventoryOperator(task_id="inventory", unit=UNIT, store=store).execute(CONTEXT)

    assert told(capsys)[0].startswith("project team-a")


def test_failures_are_named_in_lines_that_fit_and_have_an_end() -> None:
    digest = "sha256:" + "a" * 64
    failures = [
        f"team-a/app{n}@{digest} (v1): {'it is lost, ' * 12}push it again" for n in range(30)
    ]
    projects = [f"team-{n:03}" for n in range(300)]
    error = BackupIncompleteError(
        "NOT everything is protected: " + "1 of 2, " * 20, failures, projects
    )
    lines = list(error_lines(error))

    assert lines[0].startswith("NOT everything is protected")
    assert {"    team-000", "    team-009", "    and 290 more, all in the report"} <= set(lines)
    assert "    team-010" not in lines
    assert lines[-1] == "  and 20 more, all in the report"
    at = lines.index(f"  team-a/app9@{digest}")
    assert lines[at + 1].strip() == "(v1)"
    assert not any("team-a/app10@" in line for line in lines)
    assert all(len(line) <= 86 for line in lines)
    assert len(lines) < 80


def test_a_long_name_and_its_digest_are_two_lines() -> None:
    digest = "sha256:" + "a" * 64
    error = BackupIncompleteError("it failed", [f"team-a/{'deep/' * 8}app@{digest}: it is lost"])
    assert list(error_lines(error))[1:3] == [f"  team-a/{'deep/' * 8}app@", f"    {digest}"]


def test_words_of_others_begin_no_line_of_their_own() -> None:
    error = BackupIncompleteError("it failed", ["team-a/app: said\x1b[31m\nERROR all is well"])
    assert list(error_lines(error)) == [
        "it failed",
        "  team-a/app",
        "    said?[31m",
        "    ERROR all is well",
    ]


def test_a_surprise_keeps_its_traceback() -> None:
    class Odd(BaseOperator):
        @tells
        def execute(self, context: Any) -> None:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        Odd(task_id="odd").execute(CONTEXT)
