"""Tell people when no backup was complete for too long, by Airflow's deadlines.

Each run of the DAG that is not green soon after it began has the store looked at: by Airflow's
triggerer, which waits there, if need be, until the newest complete backup is as old as it may be.
"""

from __future__ import annotations

import asyncio
import importlib
import inspect
import json
import logging
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

from airflow.sdk import BaseNotifier
from airflow.sdk.definitions.callback import AsyncCallback
from airflow.sdk.definitions.deadline import DeadlineAlert, DeadlineReference

from airflow_provider_harbor.core.exceptions import (
    HarborBackupError,
    HarborConfigurationError,
    describe,
)
from airflow_provider_harbor.core.human import human_duration, human_time
from airflow_provider_harbor.core.jobs.trail import find_last_complete
from airflow_provider_harbor.hooks.store import open_store
from airflow_provider_harbor.notifications.harbor import tell
from airflow_provider_harbor.notifications.message import LATE, Message, run_url

log = logging.getLogger(__name__)

# A run that is green until then needs nobody to look.
_FIRST_LOOK = timedelta(hours=1)
_COLLECTING = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
# A store may be out of reach for a moment.
PATIENCE = timedelta(minutes=10)
BETWEEN_LOOKS = timedelta(minutes=1)


def backup_deadline(
    hours: float,
    notifiers: Sequence[Any],
    *,
    store: str,
    projects: Sequence[str] = (),
) -> DeadlineAlert:
    """Return an alert for a DAG: no complete backup for so many hours.

    It needs Airflow's triggerer, which has to reach the store. No run, no alert: where the DAG is
    paused, or the scheduler is down, nothing is told.

    :param hours: How old the newest complete backup may get.
    :param notifiers: See :class:`~airflow_provider_harbor.notifications.harbor.HarborNotifier`;
        only Airflow's own, since Airflow keeps their arguments in its database. Others are left
        out, with a warning.
    :param store: Directory or URL of the store.
    :param projects: What the DAG is limited to; a run that was limited otherwise does not count.
    :raises HarborConfigurationError: None of them can be called.
    """
    recipes = _recipes(notifiers)
    if notifiers and not recipes:
        raise HarborConfigurationError(
            "none of the notifiers can be called for deadline_hours, which Airflow's triggerer "
            "looks at: it needs notifiers of Airflow, such as SmtpNotifier(to=...). Add one, or "
            "leave deadline_hours out"
        )
    limit = timedelta(hours=hours)
    return DeadlineAlert(
        name="no complete backup",
        reference=DeadlineReference.DAGRUN_QUEUED_AT,
        interval=min(limit, _FIRST_LOOK),
        callback=AsyncCallback(
            tell_if_late,
            kwargs={
                "seconds": limit.total_seconds(),
                "notifiers": recipes,
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
    # Not every Python that Airflow runs on reads the Z that it writes.
    begun = datetime.fromisoformat(str(run["run_after"]).replace("Z", "+00:00"))
    limit = timedelta(seconds=seconds)
    for_so_long = f"complete backup for {human_duration(limit.total_seconds())}"
    unread_since: float | None = None
    harbor = ""
    while True:
        try:
            # In a thread, since storage and notifiers block.
            seen = await asyncio.to_thread(_look, url, projects, begun)
        except HarborBackupError as err:
            unread_since = unread_since or time.monotonic()
            patience = min(PATIENCE, limit).total_seconds()
            if time.monotonic() - unread_since < patience:
                await asyncio.sleep(min(BETWEEN_LOOKS.total_seconds(), patience))
                continue
            headline = f"It is NOT KNOWN whether there was a {for_so_long}"
            reasons = [f"the store cannot be read: {describe(err)}"]
            break
        unread_since, harbor = None, seen.harbor_url
        if seen.newest and seen.newest > begun:
            return  # this run, or a later one, is complete
        left = (seen.newest or seen.begun) + limit - datetime.now(timezone.utc)
        if left > timedelta(0):
            await asyncio.sleep(left.total_seconds() + 1)
            continue
        headline = f"NO {for_so_long}"
        reasons = [seen.age(), "the runs since then say what they lack: see the last one"]
        break
    message = _message(run, headline, reasons, harbor)
    await asyncio.to_thread(_tell_each, notifiers, message, run)


@dataclass(frozen=True)
class _Seen:
    """What was seen in a store.

    :param newest: When the newest complete backup ended; None where there is none.
    :param begun: When the store began.
    :param harbor_url: Of the Harbor whose store it is.
    """

    newest: datetime | None
    begun: datetime
    harbor_url: str

    def age(self) -> str:
        moment = self.newest or self.begun
        age = human_duration((datetime.now(timezone.utc) - moment).total_seconds())
        if self.newest is None:
            return f"there is none at all in the store, which began {human_time(moment)}, {age} ago"
        return f"the newest complete backup ended {human_time(moment)}, {age} ago"


def _look(url: str, projects: Sequence[str], run_begun: datetime) -> _Seen:
    store = open_store(url)
    harbor_url = store.harbor_url  # the first look: that there is a store
    newest = find_last_complete(store, projects)
    return _Seen(newest, store.created or run_begun, harbor_url)


def _message(run: dict[str, Any], headline: str, reasons: Sequence[str], harbor: str) -> Message:
    return Message(
        verdict=LATE,
        subject=f"{run['dag_id']}: {headline}",
        headline=headline,
        reasons=tuple(reasons),
        harbor_url=harbor,
        run_url=run_url(run["dag_id"], run["dag_run_id"]),
    )


def _tell_each(recipes: Sequence[dict[str, Any]], message: Message, run: dict[str, Any]) -> None:
    """Tell by each notifier, whatever becomes of the others."""
    errors = []
    for recipe in recipes:
        try:
            tell([_made(recipe)], message, {"dag_run": run, "run_id": run["dag_run_id"]})
        except Exception as err:
            log.error("%s has told nobody: %s: %s", recipe["path"], type(err).__name__, err)
            errors.append(err)
    if errors:
        raise errors[0]


def _recipes(notifiers: Sequence[Any]) -> list[dict[str, Any]]:
    """Return how to make notifiers anew; those that cannot be are left out, with a warning."""
    found = []
    for notifier in notifiers:
        try:
            found.append(_recipe(notifier))
        except ValueError as err:
            warnings.warn(
                f"{notifier!r} is told of runs, but not called for deadline_hours: {err}",
                stacklevel=2,
            )
    return found


def _recipe(notifier: Any) -> dict[str, Any]:
    """Return what a notifier is made from, as JSON: its class, and what it was given.

    :param notifier: It has to keep its arguments under their names, as Airflow's do.
    :raises ValueError: It cannot be made anew elsewhere.
    """
    kind = type(notifier)
    if not isinstance(notifier, BaseNotifier):
        raise ValueError("it is no notifier of Airflow")
    if "<locals>" in kind.__qualname__ or kind.__module__.startswith(
        ("unusual_prefix_", "__main__")
    ):
        raise ValueError("its class is in the DAG file, where the triggerer does not find it")
    kwargs = {}
    for name, parameter in inspect.signature(kind.__init__).parameters.items():
        if name == "self" or parameter.kind in _COLLECTING:
            continue
        value = getattr(notifier, name, parameter.default)
        if value is inspect.Parameter.empty:
            raise ValueError(f"it does not keep what it was given as {name}")
        if value is not parameter.default:
            kwargs[name] = value
    try:
        json.dumps(kwargs)
    except (TypeError, ValueError) as err:
        raise ValueError(f"what it was given is no JSON: {err}") from None
    return {"path": f"{kind.__module__}.{kind.__qualname__}", "kwargs": kwargs}


def _made(recipe: dict[str, Any]) -> Any:
    """Return the notifier of a recipe.

    :param recipe: What ``_recipe`` returned.
    """
    module, _, name = recipe["path"].rpartition(".")
    return getattr(importlib.import_module(module), name)(**recipe["kwargs"])
