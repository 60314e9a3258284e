"""What a Harbor holds no more: projects that have far less than the night before."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any

from airflow_provider_harbor.core.exceptions import StoreError
from airflow_provider_harbor.core.human import human_count, human_moment
from airflow_provider_harbor.core.jobs.trail import read_night
from airflow_provider_harbor.core.store import layout
from airflow_provider_harbor.core.store.backup_store import BackupStore
from airflow_provider_harbor.core.store.documents import SHAPE_ERRORS
from airflow_provider_harbor.core.store.snapshots import Snapshot

log = logging.getLogger(__name__)

# A project that has lost so many digests, and half of all or more, is told; so is an empty one.
_MANY_DIGESTS = 10
_SHOWN_NAMES = 3
# So many nights are looked through for the one before.
_NIGHTS = 90
# And so many before that, one by one, for what was not whole in it.
_OLDER_NIGHTS = 14


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
        return f"{shown}{more_words}, compared with {human_moment(self.since)}"

    def _shown(self, shrunk: Shrunk) -> str:
        older = "" if shrunk.since == self.since else f" of {human_moment(shrunk.since)}"
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
        night = read_night(store, key)
        if not (night and night.projects):
            continue
        try:
            human_moment(night.ended_at)
        except SHAPE_ERRORS as err:
            log.info("Left out, since it cannot be read: %s", err)
            continue
        if (night.harbor_url, set(night.limited_to)) == choice:
            yield night
