"""Remember how people were told that a run ended, so that they hear when it is green again.

Airflow keeps nothing of a run's earlier ends that a callback could ask for, and a report is written
only by runs that come so far. So it is kept in the store, if that is in reach of the process that
tells people. Where it is not, the report has to do.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from airflow_provider_harbor.core.store.backup_store import BackupStore
from airflow_provider_harbor.hooks.store import open_store
from airflow_provider_harbor.operators.units import run_name

log = logging.getLogger(__name__)

# Airflow's DAG processor, which calls us, gives a file 50 seconds for all of its messages.
_SECONDS = 10

Found = TypeVar("Found")


def was_red(context: Mapping[str, Any]) -> bool | None:
    """Return whether people were last told that a run had failed; None where that is not known.

    :param context: Of the run's callback.
    """
    run = context.get("dag_run")
    if not getattr(run, "clear_number", 0):
        return None  # it has ended for the first time: the store is not asked
    return _with_store(context, lambda store: store.snapshots.read_told(run_name(context)))


def remember(context: Mapping[str, Any], *, red: bool) -> None:
    """Remember how people were told that a run ended.

    :param context: Of the run's callback.
    :param red: Whether the run has failed.
    """

    def write(store: BackupStore) -> None:
        if store.is_there():  # only a backup begins one
            store.snapshots.write_told(run_name(context), red=red)

    if context.get("dag_run") is not None:
        _with_store(context, write)


def _with_store(context: Mapping[str, Any], call: Callable[[BackupStore], Found]) -> Found | None:
    """Return what a call returns; None where the store is out of reach, or does not answer."""
    found: list[Found] = []
    try:
        store = open_store((context.get("params") or {}).get("store"))
    except Exception as err:
        # Whatever it is, such as a provider that is not installed here: a message is what matters.
        log.info("How people were told of this run is not kept: %s", err)
        return None

    def run() -> None:
        try:
            found.append(call(store))
        except Exception as err:
            log.info("How people were told of this run is not kept: %s", err)

    # Not waited for at the end of the process.
    thread = threading.Thread(target=run, name="told", daemon=True)
    thread.start()
    thread.join(_SECONDS)
    return found[0] if found else None
