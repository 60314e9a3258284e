"""What was before: when all of it, or a project, was last protected; earlier ends of a run."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from airflow_provider_harbor.core.exceptions import (
    HarborBackupError,
    HarborConfigurationError,
    IntegrityError,
    StoreError,
)
from airflow_provider_harbor.core.human import human_moment
from airflow_provider_harbor.core.side_by_side import in_batches
from airflow_provider_harbor.core.store import layout
from airflow_provider_harbor.core.store.backup_store import BackupStore
from airflow_provider_harbor.core.store.documents import SHAPE_ERRORS, read_object
from airflow_provider_harbor.core.store.snapshots import Snapshot

log = logging.getLogger(__name__)

# So many nights are looked through for a project that failed, the newest first: each is a file
# that names all projects.
_NIGHTS = 90
_AT_ONCE = 16
_KEPT_ATTEMPTS = 20
_KEPT_NAMES = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """How a run ended before it was run again.

    Attributes:
        ended_at: ISO 8601, with a time zone.
        complete: Whether everything was done.
        headline: How it ended, in a few words.
        projects: Names of the first projects that failed, sorted.
        failed: How many there were.
    """

    ended_at: str
    complete: bool
    headline: str
    projects: tuple[str, ...] = ()
    failed: int = 0

    def __str__(self) -> str:
        text = f"ended {human_moment(self.ended_at)}: {self.headline}"
        if not self.projects:
            return text
        more = self.failed - len(self.projects)
        names = ", ".join(self.projects) + (f" and {more:,} more" if more > 0 else "")
        return f"{text} ({names})"

    def to_json(self) -> dict[str, Any]:
        """Return one item of a report's `attempts`."""
        return {
            "ended_at": self.ended_at,
            "complete": self.complete,
            "headline": self.headline,
            "projects": list(self.projects),
            "failed": self.failed,
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Attempt:
        """Read what `to_json` returned."""
        human_moment(data["ended_at"])
        return cls(
            ended_at=str(data["ended_at"]),
            complete=bool(data["complete"]),
            headline=str(data["headline"]),
            projects=tuple(map(str, data["projects"])),
            failed=int(data["failed"]),
        )


def read_attempts(store: BackupStore, run: str) -> tuple[Attempt, ...]:
    """Return how a run ended before, oldest first; its report is the only trace of that.

    Args:
        store: Where the report is, which is going to be replaced.
        run: The run's name.
    """
    try:
        data = read_object(store.files, layout.report(run, "json"))
        if data is None:
            return ()
        before = [Attempt.from_json(item) for item in data.get("attempts", ())]
        names = _failed_projects(data)
        last = Attempt(
            ended_at=data["ended_at"],
            complete=bool(data["complete"]),
            headline=str(data["summary"]).partition(":")[0].partition(", after")[0],
            projects=tuple(names[:_KEPT_NAMES]),
            failed=len(names),
        )
        human_moment(last.ended_at)
    except (HarborBackupError, *SHAPE_ERRORS) as err:
        log.warning("How this run ended before is not known, its report cannot be read: %s", err)
        return ()
    return (*before, last)[-_KEPT_ATTEMPTS:]


def _failed_projects(report: dict[str, Any]) -> list[str]:
    failed = [item["project"] for item in report["projects"] if not item["ok"]]
    return sorted(map(str, [*report["missing"], *failed]))


def find_last_protected(
    store: BackupStore, projects: Iterable[str], *, besides: str
) -> dict[str, str]:
    """Return when projects were last protected (ISO 8601), by the newest nights of a store.

    A project of which no night has all is not in it.

    Args:
        store: Where the nights are.
        projects: Names of those that are not protected now.
        besides: Name of the run that has just ended.
    """
    wanted, found = set(projects), dict[str, str]()
    if not wanted:
        return found
    try:
        for snapshot in _newest(store, layout.run_key(besides)):
            for name in sorted(wanted - found.keys()):
                held = snapshot.projects.get(name)
                if held and held.ok:
                    found[name] = snapshot.ended_at
            if wanted == found.keys():
                break
    except StoreError as err:
        log.warning("When they were last protected could not be found out: %s", err)
    return found


def find_last_complete(store: BackupStore, projects: Iterable[str] = ()) -> datetime | None:
    """Return when the newest complete night ended; None where none of the newest ones is.

    Args:
        store: Where the nights are.
        projects: Names and globs: a run that was limited to others than these does not count.

    Raises:
        StoreError: It cannot be read.
    """
    wanted = set(projects)
    for snapshot in _newest(store, ""):
        if snapshot.complete and (not snapshot.limited_to or set(snapshot.limited_to) == wanted):
            return datetime.fromisoformat(snapshot.ended_at)
    return None


def read_night(store: BackupStore, key: str) -> Snapshot | None:
    """Return how a run ended; None where it was cut short, or cannot be read.

    Raises:
        StoreError: The store does not answer.
    """
    try:
        return store.snapshots.read(key)
    except (HarborConfigurationError, IntegrityError) as err:
        log.info("Left out, since it cannot be read: %s", err)
        return None


def _newest(store: BackupStore, besides: str) -> Iterator[Snapshot]:
    """Yield the newest nights, newest first; those that cannot be read are left out."""
    keys = [key for key in reversed(store.snapshots.list_keys()) if key != besides][:_NIGHTS]
    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="nights") as pool:
        yield from filter(None, in_batches(pool, partial(read_night, store), keys, _AT_ONCE))
