"""Which snapshots a policy keeps, and why: the same answer for the same input.

The rules are those that users of restic and borg know. `keep_last` keeps the newest N; `keep_daily`
keeps the newest of each of the last N days *that have any*; likewise by week (ISO 8601), month and
year. A snapshot is kept if any rule keeps it. Days begin at midnight of the policy's time zone.

What counts. The rules count complete snapshots, in series: those of all projects in the store are
one, those of all projects at a mirror another, and each choice of projects to which runs were
limited is one of its own. A series of limited runs counts only as long as no complete run of all
projects is newer. The newest complete snapshot of all projects always stays, and without one the
newest of each limited series.

Settings that were exported alone are counted apart, and so are limited and incomplete ones of
them: those that have all settings are one series, and one that has less takes the place of none.

All other runs (partial ones, limited ones that do not count, those that were cut short, dry runs,
restores) are kept while they are younger than `RECENT`; partial ones also as long as no complete
one is newer: nothing else has what they have.

A snapshot of a time to come was begun by a clock that was wrong, so nobody knows how old it is. It
stays until its day comes, and neither takes the place of another one nor stands in for one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from airflow_provider_harbor.core.exceptions import HarborConfigurationError
from airflow_provider_harbor.core.store.snapshots import Snapshot

RECENT = timedelta(days=14)
# By so much clocks may differ: what began later than that from now began by a wrong one.
AHEAD = timedelta(days=1)
_MOST = 10_000

# Where the content is, and to which projects the run was limited.
Series = tuple[str, tuple[str, ...]]
Dated = tuple[datetime, Snapshot]


def _week(day: datetime) -> str:
    year, week, _ = day.isocalendar()
    return f"{year}-W{week:02}"


_PERIODS: Mapping[str, Callable[[datetime], str]] = {
    "daily": lambda day: f"{day:%Y-%m-%d}",
    "weekly": _week,
    "monthly": lambda day: f"{day:%Y-%m}",
    "yearly": lambda day: f"{day:%Y}",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """How many snapshots are kept; 0 switches a rule off.

    Attributes:
        keep_last: So many of the newest.
        keep_daily, keep_weekly, keep_monthly, keep_yearly: The newest of so many days, ISO weeks,
            months, years.
        time_zone: Whose days these are: a name such as `Europe/Berlin`.

    Raises:
        HarborConfigurationError: It keeps nothing, a number is none, or the zone is not known.
    """

    keep_last: int = 0
    keep_daily: int = 0
    keep_weekly: int = 0
    keep_monthly: int = 0
    keep_yearly: int = 0
    time_zone: str = "UTC"

    def __post_init__(self) -> None:
        for name, number in self._numbers().items():
            if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number <= _MOST:
                raise HarborConfigurationError(
                    f"{name} is {number!r}, not a whole number from 0 to {_MOST}"
                )
        if not any(self._numbers().values()):
            raise HarborConfigurationError(
                "this policy keeps nothing. Give one rule at least, such as keep-daily 14"
            )
        _ = self.zone

    def _numbers(self) -> dict[str, int]:
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name != "time_zone"}

    @property
    def zone(self) -> ZoneInfo:
        """The time zone itself."""
        try:
            return ZoneInfo(self.time_zone)
        except (ZoneInfoNotFoundError, ValueError, OSError) as err:
            raise HarborConfigurationError(
                f"there is no time zone {self.time_zone!r}. Write it as Europe/Berlin or UTC"
            ) from err

    def __str__(self) -> str:
        rules = [f"{name[5:]} {number}" for name, number in self._numbers().items() if number]
        return f"keep {', '.join(rules)}, days of {self.time_zone}"


@dataclass(frozen=True, slots=True, kw_only=True)
class OtherRun:
    """A run that is no snapshot: cut short, going on, planned only, or a restore.

    Attributes:
        key: Name of its directory.
        kind: What it is, in words.
        written_at: When the newest of its files was written.
        is_ruled: Whether the rules count it, among others of its series; else only its age does.
        series: Which others it stands in for, among those of its kind.
    """

    key: str
    kind: str
    written_at: datetime
    is_ruled: bool = False
    series: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What becomes of a run.

    Attributes:
        key: Name of its directory.
        state: What it is, in words.
        begun: When it began, or, where that is not known, when it was written last; in the
            policy's time zone.
        reasons: The rules that keep it; empty where it is forgotten.
    """

    key: str
    state: str
    begun: datetime
    reasons: tuple[str, ...]

    @property
    def is_kept(self) -> bool:
        """Whether any rule keeps it."""
        return bool(self.reasons)


def decide(
    policy: Policy, snapshots: Iterable[Snapshot], others: Iterable[OtherRun], now: datetime
) -> list[Decision]:
    """Decide what becomes of each run of a store.

    Args:
        policy: What is to be kept.
        snapshots: All runs that came to their end.
        others: All other runs.
        now: With a time zone.

    Returns:
        The newest first.

    Raises:
        ValueError: The time of a snapshot cannot be read.
    """
    dated = [(begun_at(snapshot).astimezone(policy.zone), snapshot) for snapshot in snapshots]
    dated.sort(key=lambda item: (item[0], item[1].key), reverse=True)
    past = [item for item in dated if item[0] - now <= AHEAD]
    reasons = _by_rules(policy, past)
    decisions = []
    for begun, snapshot in dated:
        kept_by = reasons.get(snapshot.key)
        if begun - now > AHEAD:
            kept_by = ["begun by a clock that was ahead"]
        elif kept_by is None:  # the rules do not count it
            kept_by = _by_age(begun, now) + _by_lack(snapshot, past)
        decisions.append(
            Decision(key=snapshot.key, state=_state(snapshot), begun=begun, reasons=tuple(kept_by))
        )
    others = list(others)
    ruled: dict[tuple[str, str], list[tuple[datetime, str]]] = defaultdict(list)
    for run in others:
        if run.is_ruled:
            at = run.written_at.astimezone(policy.zone)
            ruled[run.kind, run.series].append((at, run.key))
    kept: dict[str, list[str]] = {}
    for dates in ruled.values():
        kept |= _reasons_of(policy, sorted(dates, reverse=True))
    for run in others:
        at = run.written_at.astimezone(policy.zone)
        why = kept.get(run.key) or _by_age(at, now)
        decisions.append(Decision(key=run.key, state=run.kind, begun=at, reasons=tuple(why)))
    return sorted(decisions, key=lambda item: (item.begun, item.key), reverse=True)


def begun_at(snapshot: Snapshot) -> datetime:
    """Return when a snapshot was begun.

    Raises:
        ValueError: Nobody can tell.
    """
    moment = datetime.fromisoformat(snapshot.started_at)
    if moment.tzinfo is None:
        raise ValueError(f"the time {snapshot.started_at!r} has no time zone")
    return moment


def _state(snapshot: Snapshot) -> str:
    state = "complete" if snapshot.complete else "PARTIAL"
    return f"{state}, limited" if snapshot.limited_to else state


def _place(snapshot: Snapshot) -> str:
    """Return where its content is; a store is one place, however it is called in the meantime."""
    return snapshot.destination if snapshot.is_mirrored else "store"


def _by_rules(policy: Policy, dated: Sequence[Dated]) -> dict[str, list[str]]:
    """Return which rules keep which snapshots, by the keys of those that the rules count."""
    series: dict[Series, list[Dated]] = defaultdict(list)
    for begun, snapshot in dated:
        place, limits = _place(snapshot), tuple(sorted(snapshot.limited_to))
        if snapshot.complete and not (limits and (place, ()) in series):
            series[place, limits].append((begun, snapshot))
    reasons: dict[str, list[str]] = {
        snapshot.key: [] for members in series.values() for _, snapshot in members
    }
    for (place, limits), members in series.items():
        if not limits or (place, ()) not in series:
            reasons[members[0][1].key].append("newest complete")
        dates = [(begun, snapshot.key) for begun, snapshot in members]
        for key, kept_by in _reasons_of(policy, dates).items():
            reasons[key] += kept_by
    return reasons


def _reasons_of(policy: Policy, dates: Sequence[tuple[datetime, str]]) -> dict[str, list[str]]:
    """Return which rules keep which keys of one series, the newest first."""
    reasons: dict[str, list[str]] = {key: [] for _, key in dates}
    for _, key in dates[: policy.keep_last]:
        reasons[key].append("last")
    for name, period in _PERIODS.items():
        newest: dict[str, str] = {}
        for begun, key in dates:
            newest.setdefault(period(begun), key)
        for when, key in list(newest.items())[: getattr(policy, f"keep_{name}")]:
            reasons[key].append(f"{name} {when}")
    return reasons


def _by_age(begun: datetime, now: datetime) -> list[str]:
    return [f"younger than {RECENT.days} days"] if now - begun < RECENT else []


def _by_lack(snapshot: Snapshot, dated: Sequence[Dated]) -> list[str]:
    """Keep what is partial as long as nothing newer has all of it."""
    if snapshot.complete:
        return []
    for _, newer in dated:
        if newer is snapshot:
            return ["no complete one is newer"]
        covers = not newer.limited_to or set(newer.limited_to) == set(snapshot.limited_to)
        if newer.complete and covers and _place(newer) == _place(snapshot):
            return []
    return []
