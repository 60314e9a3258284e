from __future__ import annotations

import json
import socket
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.dags.conftest import DAGS

FILES = sorted(DAGS.glob("*.py"))


@pytest.fixture(params=FILES, ids=lambda path: path.stem)
def dag(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Each DAG, loaded where any look at the network, a connection or a variable fails."""
    from airflow.dag_processing.dagbag import DagBag
    from airflow.sdk import Connection, Variable

    def forbidden(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("a DAG file must not look at that while it is read")

    for owner, name in ((socket.socket, "connect"), (Connection, "get"), (Variable, "get")):
        monkeypatch.setattr(owner, name, forbidden)
    bag = DagBag(request.param)
    assert bag.import_errors == {}
    (found,) = bag.dags.values()
    return found


def test_file_is_called_as_its_dag(dag: Any) -> None:
    assert Path(dag.fileloc).stem == dag.dag_id


def test_dag_explains_itself(dag: Any) -> None:
    assert dag.description
    assert len(dag.doc_md) > 100
    assert "harbor" in dag.tags


def test_dag_keeps_to_itself(dag: Any) -> None:
    assert dag.catchup is False
    assert dag.start_date.tzinfo is not None
    for task in dag.tasks:
        assert task.owner == "registry"
        assert task.retries == 2


def test_dag_can_be_serialized(dag: Any) -> None:
    from airflow.serialization.serialized_objects import DagSerialization

    assert DagSerialization.from_dict(DagSerialization.to_dict(dag)).dag_id == dag.dag_id


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_dag_is_the_same_each_time_it_is_read(path: Path) -> None:
    from airflow.dag_processing.dagbag import DagBag
    from airflow.serialization.serialized_objects import DagSerialization

    def read() -> str:
        (found,) = DagBag(path).dags.values()
        return json.dumps(DagSerialization.to_dict(found), sort_keys=True, default=str)

    # Else each reading is a new version of the DAG for Airflow.
    assert read() == read()


@pytest.fixture
def nightly() -> Any:
    from airflow.dag_processing.dagbag import DagBag

    return DagBag(DAGS / "harbor_backup.py").dags["harbor_backup"]


def test_nightly_at_a_time_of_its_time_zone(nightly: Any) -> None:
    assert nightly.timetable.expression == "30 3 * * *"
    assert str(nightly.timezone) == "UTC"
    assert nightly.max_active_runs == 1


def test_nightly_tasks(nightly: Any) -> None:
    downstream = {task.task_id: task.downstream_task_ids for task in nightly.tasks}

    assert downstream == {
        "check": {"projects", "settings", "snapshot"},
        "settings": {"snapshot"},
        "projects": {"backup.inventory", "backup.copy", "snapshot"},
        "backup.inventory": {"backup.copy"},
        "backup.copy": {"snapshot"},
        "snapshot": {"retention.forget"},
        "retention.forget": {"retention.prune"},
        "retention.prune": set(),
    }


def test_nights_are_forgotten_only_after_a_green_snapshot(nightly: Any) -> None:
    forget, prune = (nightly.task_dict[f"retention.{name}"] for name in ("forget", "prune"))

    assert forget.trigger_rule == prune.trigger_rule == "all_success"
    policy = {name: getattr(forget, name) for name in forget.template_fields if "keep" in name}
    assert policy == {
        "keep_last": 7,
        "keep_daily": 14,
        "keep_weekly": 8,
        "keep_monthly": 12,
        "keep_yearly": 3,
    }
    assert forget.time_zone == str(nightly.timezone)
    assert prune.grace_hours == 48
    assert forget.delete_conn_id is prune.delete_conn_id is None


def test_nightly_load_is_bounded(nightly: Any) -> None:
    tasks = nightly.task_dict

    assert tasks["backup.inventory"].max_active_tis_per_dagrun == 4
    assert tasks["backup.copy"].max_active_tis_per_dagrun == 4
    assert {task.pool for task in nightly.tasks} == {"default_pool"}


def test_nightly_retries(nightly: Any) -> None:
    for task in nightly.tasks:
        assert task.retry_policy is not None
        assert task.retry_delay == timedelta(minutes=5)


def test_nightly_form(nightly: Any) -> None:
    form = {name: nightly.params.get_param(name) for name in nightly.params}

    assert {name: param.schema["type"] for name, param in form.items()} == {
        "source": "string",
        "projects": ["null", "array"],
        "exclude": ["null", "array"],
        "mirror": ["null", "string"],
        "dry_run": "boolean",
        "workers": "integer",
        "limit_mb": ["null", "number"],
        "store": "string",
    }
    assert all(param.schema["title"] and param.schema["description_md"] for param in form.values())
    nightly.params.validate()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("projects", "team-a"),
        ("source", ""),
        ("dry_run", "yes"),
        ("workers", 0),
        ("workers", "8"),
        ("limit_mb", 0),
        ("limit_mb", -5),
        ("limit_mb", "fast"),
        ("store", ""),
    ],
)
def test_nightly_form_refuses(nightly: Any, name: str, value: Any) -> None:
    from airflow.sdk.exceptions import ParamValidationError

    with pytest.raises(ParamValidationError):
        nightly.params.get_param(name).resolve(value)


def test_default_store_is_a_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow.dag_processing.dagbag import DagBag

    monkeypatch.setenv("AIRFLOW__HARBOR__STORE", "s3://backup/harbor")
    dag = DagBag(DAGS / "harbor_backup.py").dags["harbor_backup"]

    assert dag.params["store"] == "s3://backup/harbor"
