"""What the DAGs have in common: fields of their forms, and options of their tasks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import pendulum
from airflow.sdk import DAG, Param
from airflow.sdk.configuration import conf

from airflow_provider_harbor.core.http.pace import DEFAULT_CEILING
from airflow_provider_harbor.dags.arguments import MOST_WORKERS
from airflow_provider_harbor.operators.harbor import RETRY_POLICY


def first_day(time_zone: str) -> datetime:
    """Return a day in the past, from which a schedule counts; it carries the DAG's time zone.

    :param time_zone: Name such as ``Europe/Berlin``.
    """
    return pendulum.datetime(2025, 1, 1, tz=time_zone)


def task_defaults(more: Mapping[str, Any] | None, **options: Any) -> dict[str, Any]:
    """Return the ``default_args`` of a DAG.

    :param more: What the caller of the DAG's function gave; it wins.
    :param options: What all tasks of the DAG get.
    """
    return {
        "owner": "registry",
        "retries": 2,
        "retry_delay": timedelta(minutes=5),
        # Only what may pass is tried again: a wrong password fails at once.
        "retry_policy": RETRY_POLICY,
        **options,
        **(more or {}),
    }


def field_of(dag: DAG, name: str) -> Any:
    """Return what a field of the form has in a run; operators are typed by what it has then."""
    return dag.param(name)


def required(value: str, title: str, description: str) -> Param:
    """Return a field that has to be filled in."""
    return Param(value, type="string", minLength=1, title=title, description_md=description)


def optional(value: str | None, title: str, description: str) -> Param:
    """Return a field that may be empty."""
    return Param(value, type=["null", "string"], title=title, description_md=description)


def names(value: Sequence[str] | None, title: str, description: str) -> Param:
    """Return a field of several lines, each a name or a glob."""
    return Param(
        list(value) if value else None,
        type=["null", "array"],
        items={"type": "string"},
        title=title,
        description_md=description,
    )


def switch(title: str, description: str) -> Param:
    """Return a switch that is off."""
    return Param(False, type="boolean", title=title, description_md=description)


def store(value: str | None, description: str = "Directory or URL of the backups.") -> Param:
    """Return the field of the store.

    :param value: The store; None for ``[harbor] store`` of Airflow's configuration.
    """
    return required(value or conf.get("harbor", "store"), "Store", description)


def workers(value: int = DEFAULT_CEILING) -> Param:
    """Return the field of the most requests in flight."""
    return Param(
        value,
        type="integer",
        minimum=1,
        maximum=MOST_WORKERS,
        title="Workers",
        description_md="At most so many requests to one server at once, in each task. How many "
        "really are found out: more follow as long as that is faster, fewer at once where the "
        "server is overloaded.",
    )


def limit(value: float | None) -> Param:
    """Return the field of the most bytes a second."""
    return Param(
        value,
        type=["null", "number"],
        exclusiveMinimum=0,
        title="Limit in MB/s",
        description_md="Move at most so many millions of bytes a second, all tasks together; "
        "empty for no limit. What is read at one end and written at the other counts once.",
    )
