"""Tell people when no backup was complete for too long, by Airflow's deadlines.

Each run of the DAG that is not green soon after it began has the store looked at: by Airflow's
triggerer, which waits there, if need be, until the newest complete backup is as old as it may be.
"""

from __future__ import annotations

import asyncio
import importlib
import inspect
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from typing import Any

from airflow.sdk import BaseNotifier
from airflow.sdk.definitions.callback import AsyncCallback
from airflow.sdk.definitions.deadline import DeadlineAlert, DeadlineReference

from airflow_provider_harbor.core.exceptions import HarborBackupError, describe
from airflow_provider_harbor.core.human import human_duration, human_time
from airflow_provider_harbor.core.jobs.trail import find_last_complete
from airflow_provider_harbor.hooks.store import open_store
from airflow_provider_harbor.notifications.harbor import tell
from airflow_provider_harbor.notifications.message import LATE, Message, run_url

# A run that is green until then needs nobody to look.
_FIRST_LOOK = timedelta(hours=1)


def backup_deadline(
    hours: float,
    notifiers: Sequence[BaseNotifier],
    *,
    store: str,
    projects: Sequence[str] = (),
) -> DeadlineAlert:
    """Return an alert for a DAG: no complete backup for so many hours.

    It needs Airflow's triggerer, which has to reach the store. No run, no alert: where the DAG is
    paused, or the scheduler is down, nothing is told.

    :param hours: How old the newest complete backup may get.
    :param notifiers: See :class:`~airflow_provider_harbor.notifications.harbor.HarborNotifier`;
        only Airflow's own, since Airflow keeps their arguments in its database.
    :param store: Directory or URL of the store.
    :param projects: What the DAG is limited to; a run that was limited otherwise does not count.
    """
    limit = timedelta(hours=hours)
    return DeadlineAlert(
        name="no complete backup",
        reference=DeadlineReference.DAGRUN_QUEUED_AT,
        interval=min(limit, _FIRST_LOOK),
        callback=AsyncCallback(
            tell_if_late,
            kwargs={
                "seconds": limit.total_seconds(),
                "notifiers": [_recipe(notifier) for notifier in notifiers],
                "store": store,
                "projects": list(projects),
            },
        ),
    )


async def tell_if_late(
    *,
    seconds: float,
    notifiers: list[dict[str, Any]],
    store: str,
    projects: list[str],
    context: Any,
) -> None:
    """Wait until the newest complete backup is too old, and tell; or until there is a newer one.

    :param seconds: How old it may get.
    :param notifiers: What ``backup_deadline`` made of them.
    :param store: Directory or URL of the store, unless the run was given another one.
    :param projects: What the DAG is limited to.
    :param context: Of the run; from Airflow.
    """
    run = context["dag_run"]
    url = (run.get("conf") or {}).get("store") or store
    begun = datetime.fromisoformat(str(run["run_after"]))
    limit = timedelta(seconds=seconds)
    reason = harbor = ""
    while not reason:
        try:
            # In a thread, since storage and notifiers block.
            newest, harbor = await asyncio.to_thread(_look, url, projects)
        except HarborBackupError as err:
            reason = f"whether there is one cannot be found out: {describe(err)}"
            break
        if newest and newest > begun:
            return  # this run, or a later one, is complete
        left = (newest + limit - datetime.now(timezone.utc)) if newest else timedelta(0)
        if left > timedelta(0):
            await asyncio.sleep(left.total_seconds() + 1)
        else:
            reason = _age(newest)
    message = _message(run, limit, reason, harbor)
    made = [_made(recipe) for recipe in notifiers]
    await asyncio.to_thread(tell, made, message, {"dag_run": run, "run_id": run["dag_run_id"]})


def _look(url: str, projects: Sequence[str]) -> tuple[datetime | None, str]:
    store = open_store(url)
    return find_last_complete(store, projects), store.harbor_url


def _age(newest: datetime | None) -> str:
    if newest is None:
        return "there is none at all in the store"
    age = human_duration((datetime.now(timezone.utc) - newest).total_seconds())
    return f"the newest complete backup ended {human_time(newest)}, {age} ago"


def _message(run: dict[str, Any], limit: timedelta, reason: str, harbor: str) -> Message:
    headline = f"NO complete backup for {human_duration(limit.total_seconds())}"
    return Message(
        verdict=LATE,
        subject=f"{run['dag_id']}: {headline}",
        headline=headline,
        reasons=(reason, "the runs since then say what they lack: see the last one"),
        harbor_url=harbor,
        run_url=run_url(run["dag_id"], run["dag_run_id"]),
    )


def _recipe(notifier: BaseNotifier) -> dict[str, Any]:
    """Return what a notifier is made from, as JSON: its class, and what it was given.

    :param notifier: It has to keep its arguments under their names, as Airflow's do.
    """
    kind = type(notifier)
    kwargs = {}
    for name, parameter in inspect.signature(kind.__init__).parameters.items():
        if name == "self" or parameter.kind is inspect.Parameter.VAR_KEYWORD:
            continue
        value = getattr(notifier, name, parameter.default)
        if value is not parameter.default:
            kwargs[name] = value
    return {"path": f"{kind.__module__}.{kind.__qualname__}", "kwargs": kwargs}


def _made(recipe: dict[str, Any]) -> Any:
    """Return the notifier of a recipe.

    :param recipe: What ``_recipe`` returned.
    """
    module, _, name = recipe["path"].rpartition(".")
    return getattr(importlib.import_module(module), name)(**recipe["kwargs"])
