"""Runs DAGs of `dags/` in this process, on a database of their own."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

DAGS = Path(__file__).parents[2] / "dags"


@dataclass
class Run:
    """How a run of a DAG ended.

    Instances are named by task id and map index, which is -1 where the task is not mapped.

    Attributes:
        state: Of the whole run.
        states: Of each instance.
        names: Of each instance, as the UI shows it; None where it shows the index.
        tries: How often each instance was started.
        xcoms: What each instance returned.
        fields: The rendered template fields of each instance.
        asset_events: The `extra` of each asset event.
    """

    run_id: str
    state: str
    states: dict[tuple[str, int], str]
    names: dict[tuple[str, int], str | None]
    tries: dict[tuple[str, int], int]
    xcoms: dict[tuple[str, int], Any]
    fields: dict[tuple[str, int], Any]
    asset_events: list[dict[str, Any]]


def errors_in(output: str) -> list[str]:
    """Return the ERROR lines of all tasks."""
    return re.findall(r"^\S+ \[error\s*\] (.*?) +\[", output, re.MULTILINE)


@pytest.fixture
def run_dag(airflow_db: None, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Run]:
    """Run a DAG to its end, with the values given for its trigger form, and return how it ended."""
    from airflow.dag_processing.dagbag import DagBag, sync_bag_to_db
    from airflow.models.asset import AssetEvent
    from airflow.models.dagbundle import DagBundleModel
    from airflow.models.renderedtifields import RenderedTaskInstanceFields
    from airflow.models.taskinstance import TaskInstance
    from airflow.models.xcom import XComModel
    from airflow.utils.session import create_session
    from sqlalchemy import select

    # Nobody waits five minutes in a test.
    monkeypatch.setattr(
        TaskInstance, "next_retry_datetime", lambda ti: ti.end_date + timedelta(milliseconds=1)
    )

    def run(dag_id: str, **conf: Any) -> Run:
        # Loaded anew each time, since a run leaves its values in the DAG's parameters.
        bag = DagBag(DAGS / f"{dag_id}.py")
        with create_session() as session:
            session.merge(DagBundleModel(name="dags-folder"))
        sync_bag_to_db(bag, "dags-folder", None)
        done = bag.dags[dag_id].test(run_conf=conf)
        instances = {(ti.task_id, ti.map_index): ti for ti in done.get_task_instances()}

        with create_session() as session:

            def all_of(model: Any, run_id: Any) -> Any:
                return session.scalars(select(model).where(run_id == done.run_id)).all()

            return Run(
                run_id=done.run_id,
                state=str(done.state),
                states={key: str(ti.state) for key, ti in instances.items()},
                names={key: ti.rendered_map_index for key, ti in instances.items()},
                tries={key: ti.try_number for key, ti in instances.items()},
                xcoms={
                    (x.task_id, x.map_index): x.value
                    for x in all_of(XComModel, XComModel.run_id)
                    if x.key == "return_value"
                },
                fields={
                    (f.task_id, f.map_index): f.rendered_fields
                    for f in all_of(RenderedTaskInstanceFields, RenderedTaskInstanceFields.run_id)
                },
                asset_events=[
                    dict(event.extra) for event in all_of(AssetEvent, AssetEvent.source_run_id)
                ],
            )

    return run
