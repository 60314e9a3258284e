"""The last verification, drill and restore of a store, by the reports that they left in it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from airflow_provider_harbor.core.exceptions import IntegrityError
from airflow_provider_harbor.core.store import layout
from airflow_provider_harbor.core.store.backup_store import BackupStore

# Older reports are not looked for: there may be thousands.
LOOK_BACK = timedelta(days=40)


@dataclass(frozen=True, slots=True, kw_only=True)
class LastReport:
    """How something ended last.

    Attributes:
        what: What it was: `Verification`, `Drill` or `Restore`.
        run: Name of its run, which is that of its report; empty where there was none.
        ok: Whether all was as it should be.
        summary: The report as one line; where it cannot be read, why.
        ended_at: ISO 8601; empty where it is not known.
    """

    what: str
    run: str = ""
    ok: bool = False
    summary: str = ""
    ended_at: str = ""


def read_last_reports(store: BackupStore, now: datetime) -> list[LastReport]:
    """Return the last verification, drill and restore since `LOOK_BACK`.

    Raises:
        StoreError: The store cannot be read.
    """
    since = f"{now - LOOK_BACK:%Y-%m-%d}"
    names = store.snapshots.list_reports(since)
    restores = set(store.files.list_directories(layout.RESTORES))
    kinds = {
        "Verification": [name for name in names if name.endswith(".verify")],
        "Drill": [name for name in names if name.endswith(".drill")],
        "Restore": [name for name in names if name in restores],
    }
    return [_read(store, what, found[-1] if found else "") for what, found in kinds.items()]


def _read(store: BackupStore, what: str, run: str) -> LastReport:
    if not run:
        return LastReport(what=what)
    try:
        data: dict[str, Any] = store.snapshots.read_report(run) or {}
    except IntegrityError as err:
        return LastReport(what=what, run=run, summary=str(err))
    return LastReport(
        what=what,
        run=run,
        ok=bool(data.get("ok", data.get("complete"))),
        summary=str(data.get("summary", "")) or "Its report says nothing",
        ended_at=str(data.get("ended_at", "")),
    )
