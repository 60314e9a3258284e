from __future__ import annotations

import enum
from datetime import datetime, timezone
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowSkipException

from airflow_provider_harbor.core.store import layout
from airflow_provider_harbor.core.store.backup_store import BackupStore
from airflow_provider_harbor.operators.drill import HarborDrillOperator
from airflow_provider_harbor.operators.telling import HarborTaskFailed
from tests.double import HarborDouble, Image


class RunType(str, enum.Enum):
    """As Airflow has it: equal to its text, which is not what `str` makes of it."""

    SCHEDULED = "scheduled"
    MANUAL = "manual"


def run(store: BackupStore, kind: str, day: int = 2, **more: Any) -> Any:
    """Run it on a day of January 2026; the 4th is a Sunday."""
    known: dict[str, Any] = {"harbor_conn_id": "there", "store": store.url}
    moment = datetime(2026, 1, day, 3, tzinfo=timezone.utc)
    ended = SimpleNamespace(dag_id="verify", run_id="a", run_after=moment, run_type=RunType(kind))
    operator: Any = HarborDrillOperator(task_id="drill", **(known | more))
    return operator.execute({"dag_run": ended})


def test_a_drill_returns_what_it_tried(
    night: HarborDouble, other_harbor: HarborDouble, store: BackupStore
) -> None:
    done = run(store, "manual", sample=1)
    assert len(done["repositories"]) == 1
    assert done["summary"].startswith("Everything came back as it was")
    again = run(store, "manual", sample=1)
    assert (again["seed"], again["repositories"]) == (done["seed"], done["repositories"])
    assert store.files.exists(layout.report(done["run"], "html"))
    assert "backup-drill" not in other_harbor.state.project_names


def test_once_a_week_where_it_is_scheduled(
    night: HarborDouble, other_harbor: HarborDouble, store: BackupStore
) -> None:
    with pytest.raises(AirflowSkipException, match="the drill is on Sunday"):
        run(store, "scheduled", day=3, weekday=6)
    assert run(store, "scheduled", day=4, weekday=6)["repositories"]
    assert run(store, "manual", day=3, weekday=6)["repositories"]
    assert run(store, "scheduled", day=3)["repositories"]


def test_no_target_is_no_drill(
    night: HarborDouble, other_harbor: HarborDouble, store: BackupStore
) -> None:
    with pytest.raises(AirflowSkipException, match="no Harbor is named"):
        run(store, "manual", harbor_conn_id=None)


def test_what_does_not_come_back_is_red(
    night: HarborDouble, other_harbor: HarborDouble, store: BackupStore
) -> None:
    path = store.files.local_path(layout.blob(next(iter(Image("app").blobs))))
    assert path
    path.unlink()
    with pytest.raises(HarborTaskFailed, match="NOT everything came back"):
        run(store, "manual", sample=9)
    assert "backup-drill" not in other_harbor.state.project_names
