"""All nights of a store at a glance: which are whole, and how each project fares.

It is read from what the store keeps of its nights in short (`store.nights`), and from the snapshots
of those that are not in there: as many as can be read while somebody waits.
"""

from __future__ import annotations

import enum
import logging
from bisect import bisect_right
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from fnmatch import fnmatchcase
from itertools import pairwise

from airflow_provider_harbor.core.exceptions import HarborBackupError, IntegrityError
from airflow_provider_harbor.core.side_by_side import in_batches
from airflow_provider_harbor.core.store.backup_store import BackupStore
from airflow_provider_harbor.core.store.layout import is_of_settings
from airflow_provider_harbor.core.store.nights import (
    NOTHING,
    Night,
    Nights,
    read_nights,
    write_nights,
)
from airflow_provider_harbor.core.store.snapshots import Snapshot

log = logging.getLogger(__name__)

_READERS = 16
# The newest ones are read anew each time, and of some more those that are partial: a run that is
# cleared may end as a complete one after all.
_READ_ANEW = 3
_PARTIAL_READ_ANEW = 30
# So many snapshots are read while somebody waits; what is written in short has no such limit.
_READ_AT_MOST = 60
# A complete night is too old when the next one is overdue: by this much, or a half of the time that
# lies between nights.
_LATE = timedelta(hours=26)
# What is usual is what most of so many newest nights are, and the smallest of so many gaps.
_NEWEST = 8
_GAPS = 5
# So much the clocks of machines may differ.
_CLOCKS_DIFFER = timedelta(minutes=15)
_UNKNOWN = datetime.fromtimestamp(0, timezone.utc)
_GROWTH = timedelta(days=30)
_POINTS = 32


class State(str, enum.Enum):
    """How a run ended, or how a project fares; the values are those of style sheets."""

    GOOD = "good"
    PARTIAL = "warn"
    BAD = "bad"
    GONE = "gone"

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectView:
    """How a project fares.

    Attributes:
        state: GOOD where all of it is in the newest night that was to have it; BAD where it is not;
            GONE where that night is whole, or says what it lacks, and does not name it: it was
            deleted from Harbor, or left out.
        protected: The newest night that has all of it, whatever else that night was limited to;
            None where there is none.
        seen: The newest night that names it.
        digests, size_bytes: As in the newest night that has it, 0 where none has.
        grown_bytes: How much it has grown since `Overview.grown_since`; None where it was not in
            that night.
        points: Sizes in bytes over the nights of `Overview.sampled`; None where it was not there.
    """

    name: str
    state: State
    protected: Night | None
    seen: Night
    digests: int
    size_bytes: int
    grown_bytes: int | None
    points: tuple[int | None, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """All nights of a store.

    Attributes:
        nights: Those that have an end, oldest first.
        unended: Keys of the runs that have none: they are going on, or were cut short.
        damages: What is wrong with the snapshots that cannot be read, by their keys.
        unread: How many older nights are left out since to read them takes too long; the next
            backup keeps them in short.
    """

    url: str
    harbor_url: str
    nights: tuple[Night, ...]
    names: tuple[str, ...]
    unended: tuple[str, ...]
    damages: dict[str, str]
    unread: int
    now: datetime

    @property
    def counted(self) -> tuple[Night, ...]:
        """The nights that anything is told by: all but those that are not to be yet."""
        return tuple(night for night in self.nights if not self._is_to_come(night))

    @property
    def to_come(self) -> tuple[Night, ...]:
        """Nights that began in the future: a clock was wrong, and nobody knows when they were."""
        return tuple(night for night in self.nights if self._is_to_come(night))

    def _is_to_come(self, night: Night) -> bool:
        return time_of(night) > self.now + _CLOCKS_DIFFER

    @property
    def usual(self) -> tuple[Night, ...]:
        """The nights of as many projects as most of the newest ones, oldest first.

        A run of some projects by hand says nothing of how the others fare.
        """
        nights = self.counted
        limits = [frozenset(night.limited_to) for night in nights[: -_NEWEST - 1 : -1]]
        # The first of equals is that of the newest night.
        limit = max(limits, key=limits.count, default=None)
        return tuple(night for night in nights if frozenset(night.limited_to) == limit)

    @property
    def judged(self) -> Night | None:
        """The newest of the usual nights."""
        usual = self.usual
        return usual[-1] if usual else None

    @property
    def newest_complete(self) -> Night | None:
        """The newest complete one of the usual nights."""
        return next((night for night in reversed(self.usual) if night.complete), None)

    @property
    def is_late(self) -> bool:
        """Whether the newest complete night is so old that the next one is overdue."""
        return self._is_old(self.newest_complete, self._time_between())

    def late(self, projects: Iterable[ProjectView]) -> list[ProjectView]:
        """Return the projects that were protected, and should have been again since."""
        usual = self._time_between()
        return [p for p in projects if p.state is State.GOOD and self._is_old(p.protected, usual)]

    def _is_old(self, night: Night | None, usual: timedelta) -> bool:
        return night is None or self.now - time_of(night) > max(_LATE, usual * 1.5)

    def _time_between(self) -> timedelta:
        """Return how much time lies between nights.

        Retention widens gaps, and those of older nights more: so it is the smallest of the newest.
        """
        nights = [night for night in self.usual if time_of(night) != _UNKNOWN]
        times = sorted(time_of(night) for night in nights[-_GAPS - 1 :])
        return min((b - a for a, b in pairwise(times)), default=timedelta())

    @property
    def sampled(self) -> list[Night]:
        """The nights that plots show: all, or some at equal steps, the newest among them."""
        nights = self.counted
        count = len(nights)
        if count <= _POINTS:
            return list(nights)
        last = count - 1
        return [nights[at * last // (_POINTS - 1)] for at in range(_POINTS)]

    @property
    def grown_since(self) -> Night | None:
        """The newest night that is 30 days older than the newest one; else the oldest."""
        nights = self.counted
        if not nights:
            return None
        times = [time_of(night) for night in nights]
        at = bisect_right(times, times[-1] - _GROWTH)
        return nights[max(at - 1, 0)]

    def project(self, name: str) -> ProjectView | None:
        """Return how a project fares; None where no night names it."""
        if name not in self.names:
            return None
        return _Projects(self).view(self.names.index(name), name)

    def projects(self) -> list[ProjectView]:
        """Return how each project fares, those with trouble first."""
        maker = _Projects(self)
        found = [maker.view(number, name) for number, name in enumerate(self.names)]
        order = {State.BAD: 0, State.GOOD: 1, State.GONE: 2}
        return sorted((p for p in found if p), key=lambda p: (order[p.state], p.name))


def state_of(night: Night) -> State:
    """Return how a night ended: BAD where nothing at all is protected by it."""
    if night.complete:
        return State.GOOD
    return State.PARTIAL if night.protected else State.BAD


def time_of(night: Night) -> datetime:
    """Return when a night began, in UTC; 1970 where nobody can tell."""
    try:
        moment = datetime.fromisoformat(night.started_at)
        if not moment.tzinfo:
            return moment.replace(tzinfo=timezone.utc)
        return moment.astimezone(timezone.utc)
    except (ValueError, OverflowError):  # the year 1 of the zone +14:00 is none in UTC
        return _UNKNOWN


def read_overview(
    store: BackupStore, *, now: Callable[[], datetime] = lambda: datetime.now(timezone.utc)
) -> Overview:
    """Return all nights of a store; nothing is written.

    Raises:
        HarborConfigurationError: There is no store, or one of a newer format.
        StoreError: It cannot be read.
    """
    harbor_url = store.harbor_url
    gathered = _gather(store, at_most=_READ_AT_MOST)
    return Overview(
        url=store.url,
        harbor_url=harbor_url,
        nights=tuple(gathered.nights.in_order()),
        names=tuple(gathered.nights.names),
        unended=tuple(gathered.unended),
        damages=gathered.damages,
        unread=gathered.unread,
        now=now(),
    )


def remember_nights(store: BackupStore, key: str = "") -> None:
    """Keep all nights in short, so that a page of them opens quickly. It fails nothing.

    Args:
        store: The store.
        key: That of a snapshot which has just been written.
    """
    try:
        write_nights(store.files, _gather(store, fresh={key}).nights)
    except HarborBackupError as err:
        log.info("The nights could not be kept in short: %s", err)


def forget_nights(store: BackupStore, keys: Iterable[str]) -> None:
    """Drop nights that are going to be deleted from what is kept in short. It fails nothing."""
    try:
        nights = read_nights(store.files)
        if nights.by_key.keys() & set(keys):
            nights.keep_only(nights.by_key.keys() - set(keys))
            write_nights(store.files, nights)
    except HarborBackupError as err:
        log.info("The nights could not be kept in short: %s", err)


@dataclass(slots=True)
class _Gathered:
    nights: Nights
    unended: list[str]
    damages: dict[str, str]
    unread: int


def _gather(
    store: BackupStore, *, fresh: Iterable[str] = (), at_most: int | None = None
) -> _Gathered:
    """Read what is kept in short, and the snapshots that it may not have as they are.

    Args:
        store: The store.
        fresh: Keys of snapshots to read in any case.
        at_most: How many that are not in it are read, the newest first.
    """
    keys = [key for key in store.snapshots.list_keys() if not is_of_settings(key)]
    nights = read_nights(store.files)
    nights.keep_only(keys)
    known = nights.by_key
    anew = {*keys[-_READ_ANEW:], *fresh}
    anew |= {k for k in keys[-_PARTIAL_READ_ANEW:] if k in known and not known[k].complete}
    wanted = [key for key in reversed(keys) if key not in known or key in anew]
    unread = 0
    if at_most is not None and len(wanted) > at_most:
        unread = sum(key not in known for key in wanted[at_most:])
        wanted = wanted[:at_most]
    made = _Gathered(nights, [], {}, unread)

    def read(key: str) -> tuple[str, Snapshot | None, str]:
        try:
            return key, store.snapshots.read(key), ""
        except IntegrityError as err:
            return key, None, str(err)

    with ThreadPoolExecutor(_READERS, thread_name_prefix="nights") as pool:
        for key, snapshot, damage in in_batches(pool, read, wanted, _READERS):
            known.pop(key, None)
            if snapshot:
                nights.add(snapshot)
            elif damage:
                made.damages[key] = damage
            else:
                made.unended.append(key)
    return made


class _Projects:
    """Finds out how projects fare, from many nights; each is looked at as far as is needed."""

    def __init__(self, overview: Overview) -> None:
        self._newest_first = overview.counted[::-1]
        self._sampled = overview.sampled
        self._then = overview.grown_since
        self._limits = {
            n.limited_to: {
                name for name in overview.names if any(fnmatchcase(name, p) for p in n.limited_to)
            }
            for n in self._newest_first
            if n.limited_to
        }

    def view(self, number: int, name: str) -> ProjectView | None:
        """Return how a project fares; None where no night names it any more."""
        seen = self._first(lambda n: n.size_of(number) != NOTHING or number in n.lacking)
        if seen is None:
            return None
        protected = self._first(lambda n: n.is_whole(number))
        held = self._first(lambda n: n.size_of(number) != NOTHING)
        size = held.size_of(number) if held else 0
        then = self._then.size_of(number) if self._then else NOTHING
        return ProjectView(
            name=name,
            state=self._state(number, name, seen),
            protected=protected,
            seen=seen,
            digests=held.digests_of(number) if held else 0,
            size_bytes=size,
            grown_bytes=size - then if then != NOTHING else None,
            points=tuple(
                None if (at := night.size_of(number)) == NOTHING else at for night in self._sampled
            ),
        )

    def _state(self, number: int, name: str, seen: Night) -> State:
        # The newest night that was to have it.
        due = self._first(lambda n: not n.limited_to or name in self._limits[n.limited_to])
        if due is None or seen.key >= due.key:
            return State.GOOD if seen.is_whole(number) else State.BAD
        return State.GONE if due.names_all else State.BAD

    def _first(self, fits: Callable[[Night], bool]) -> Night | None:
        return next((night for night in self._newest_first if fits(night)), None)
