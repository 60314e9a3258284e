"""What was before: when a project was last protected, what it held, earlier ends of a run."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import datetime
from itertools import islice
from typing import Any

from airflow_provider_harbor.core.exceptions import (
    HarborBackupError,
    HarborConfigurationError,
    IntegrityError,
    StoreError,
)
from airflow_provider_harbor.core.human import human_count, human_time
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
# A project that has lost so many digests, and half of all or more, is told; so is an empty one.
_MANY_DIGESTS = 10
_SHOWN_NAMES = 3
# So many nights before the last one are read, one by one, for what was not whole in that.
_OLDER_NIGHTS = 14


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
        text = f"ended {human_time(datetime.fromisoformat(self.ended_at))}: {self.headline}"
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
        human_time(datetime.fromisoformat(data["ended_at"]))
        return cls(
            ended_at=str(data["ended_at"]),
            complete=bool(data["complete"]),
            headline=str(data["headline"]),
            projects=tuple(map(str, data["projects"])),
            failed=int(data["failed"]),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Shrunk:
    """A project that holds far less than it held the night before.

    Attributes:
        project: Its name.
        before: How many digests it held then.
        now: How many it holds; None where the run was not for it, as when it was deleted.
        since: When that night ended (ISO 8601, with a time zone).
    """

    project: str
    before: int
    now: int | None
    since: str

    def __str__(self) -> str:
        if self.now is None:
            held = human_count(self.before, "digest")
            return f"{self.project} ({held}) is not in this run: it was deleted, or left out"
        return f"{self.project} has {self.now:,} of {human_count(self.before, 'digest')}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Losses:
    """What Harbor holds no more, which may be meant, or the start of a loss.

    Attributes:
        since: When the night before ended (ISO 8601, with a time zone).
        projects: What has shrunk since, sorted by project; not empty. Of a project that was not
            whole that night, an older night tells what it held.
    """

    since: str
    projects: tuple[Shrunk, ...]

    def __str__(self) -> str:
        shown = "; ".join(map(self._shown, self.projects[:_SHOWN_NAMES]))
        more = len(self.projects) - _SHOWN_NAMES
        more_words = f"; and {more:,} more" if more > 0 else ""
        return f"{shown}{more_words}, compared with {_human_moment(self.since)}"

    def _shown(self, shrunk: Shrunk) -> str:
        older = "" if shrunk.since == self.since else f" of {_human_moment(shrunk.since)}"
        return f"{shrunk}{older}"

    def to_json(self) -> dict[str, Any]:
        """Return a report's `losses`."""
        return {"since": self.since, "projects": [asdict(shrunk) for shrunk in self.projects]}


def find_losses(
    store: BackupStore, made: Snapshot, *, besides: Collection[str] = ()
) -> Losses | None:
    """Compare how much each project holds with the night before.

    That is the newest earlier one of the same Harbor and the same choice of projects; and for a
    project that was not whole then, the newest one in which it was. Whether it was meant nobody
    here can know: people and Harbor's own rules delete. But what holds no more is copied no more,
    and in time is in no night that is kept.

    Args:
        store: Where the nights are.
        made: How the run ended.
        besides: Projects that it could not list whole, so that nobody knows what they hold.

    Returns:
        None where nothing of note is less, or nothing is known.
    """
    if made.lacking is None:
        return None
    try:
        nights = _nights_before(store, made)
        last = next(nights, None)
        if last is None:
            return None
        older = islice(nights, _OLDER_NIGHTS)
        before = _held_before(last, older, {*made.lacking, *besides})
    except StoreError as err:
        log.warning("What Harbor held the night before could not be found out: %s", err)
        return None
    found = []
    for name, (held, since) in sorted(before.items()):
        now = made.projects[name].digests if name in made.projects else None
        if _is_far_less(held, now or 0):
            found.append(Shrunk(project=name, before=held, now=now, since=since))
    return Losses(since=last.ended_at, projects=tuple(found)) if found else None


def _is_far_less(before: int, now: int) -> bool:
    lost = before - now
    return lost > 0 and (not now or (lost >= _MANY_DIGESTS and lost >= now))


def _held_before(
    last: Snapshot, older: Iterable[Snapshot], besides: Collection[str]
) -> dict[str, tuple[int, str]]:
    """Return how many digests each project held, and when, by the newest night that has all of it.

    One that was listed is in it with what was listed of it, where none has all.

    Args:
        last: The night before.
        older: Those before that, newest first; read no further than they are needed.
        besides: Projects that nobody asks for.
    """
    found = {
        name: (held.digests, last.ended_at)
        for name, held in last.projects.items()
        if name not in besides
    }
    wanted = {name for name in found if not last.projects[name].ok}
    wanted |= {name for name in last.lacking or () if name not in besides}
    nights = iter(older)
    while wanted and (night := next(nights, None)):
        for name in sorted(wanted):
            held = night.projects.get(name)
            if held and held.ok:
                found[name] = (held.digests, night.ended_at)
            if held.ok if held else name not in (night.lacking or ()):
                wanted.discard(name)  # or it was not there yet
    return found


def _nights_before(store: BackupStore, made: Snapshot) -> Iterator[Snapshot]:
    """Yield the earlier nights of the same Harbor and choice, newest first; of the newest ones."""
    choice = (made.harbor_url, set(made.limited_to))
    keys = [key for key in reversed(store.snapshots.list_keys()) if key < made.key]
    for key in [key for key in keys if not layout.is_of_settings(key)][:_NIGHTS]:
        try:
            night = store.snapshots.read(key)
            is_one = night and night.projects and _human_moment(night.ended_at)
        except (HarborConfigurationError, IntegrityError, *SHAPE_ERRORS) as err:
            log.info("Left out, since it cannot be read: %s", err)
            continue
        if night and is_one and (night.harbor_url, set(night.limited_to)) == choice:
            yield night


def _human_moment(text: str) -> str:
    return human_time(datetime.fromisoformat(text))


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
        human_time(datetime.fromisoformat(last.ended_at))
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


def _newest(store: BackupStore, besides: str) -> Iterator[Snapshot]:
    """Yield the newest nights, newest first; those that cannot be read are left out."""

    def read(key: str) -> Snapshot | None:
        try:
            return store.snapshots.read(key)
        except (HarborConfigurationError, IntegrityError) as err:
            log.info("Left out, since it cannot be read: %s", err)
            return None

    keys = [key for key in reversed(store.snapshots.list_keys()) if key != besides][:_NIGHTS]
    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="nights") as pool:
        yield from filter(None, in_batches(pool, read, keys, _AT_ONCE))
