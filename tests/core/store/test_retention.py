"""The policy: which snapshots stay, and by which rule."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_harbor.core.exceptions import HarborConfigurationError
from airflow_provider_harbor.core.store.retention import (
    RECENT,
    Decision,
    OtherRun,
    Policy,
    decide,
)
from airflow_provider_harbor.core.store.snapshots import Snapshot

UTC = timezone.utc
NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
STORE = "file:///backup/harbor"
MIRROR = "https://mirror.example.com"


def snapshot(begun: datetime, **changes: Any) -> Snapshot:
    key = f"{begun.astimezone(UTC):%Y-%m-%dT%H-%M-%S}"
    known: dict[str, Any] = {
        "key": key + changes.pop("mark", ""),
        "run": key,
        "complete": True,
        "harbor_url": "https://harbor.example.com",
        "destination": STORE,
        "started_at": begun.isoformat(),
        "ended_at": begun.isoformat(),
        "projects": {},
    }
    return Snapshot(**(known | changes))


def nights(number: int, last: datetime = NOW) -> list[Snapshot]:
    """Return one snapshot a night, the newest first."""
    return [snapshot(last - timedelta(days=ago)) for ago in range(number)]


def kept(decisions: list[Decision]) -> dict[str, tuple[str, ...]]:
    return {d.key[:10]: d.reasons for d in decisions if d.is_kept}


def test_the_newest_stay_and_each_is_told_why() -> None:
    decisions = decide(Policy(keep_last=2), nights(4), [], NOW)
    assert [(d.key, d.reasons) for d in decisions] == [
        ("2026-11-25T12-00-00", ("newest complete", "last")),
        ("2026-11-24T12-00-00", ("last",)),
        ("2026-11-23T12-00-00", ()),
        ("2026-11-22T12-00-00", ()),
    ]


def test_of_each_day_week_month_and_year_the_newest_stays() -> None:
    policy = Policy(keep_daily=3, keep_weekly=2, keep_monthly=3, keep_yearly=2)
    decisions = decide(policy, nights(400), [], NOW)
    assert kept(decisions) == {
        "2026-11-25": (
            "newest complete",
            "daily 2026-11-25",
            "weekly 2026-W48",
            "monthly 2026-11",
            "yearly 2026",
        ),
        "2026-11-24": ("daily 2026-11-24",),
        "2026-11-23": ("daily 2026-11-23",),
        "2026-11-22": ("weekly 2026-W47",),
        "2026-10-31": ("monthly 2026-10",),
        "2026-09-30": ("monthly 2026-09",),
        "2025-12-31": ("yearly 2025",),
    }


def test_days_without_a_snapshot_do_not_count() -> None:
    some = [snapshot(NOW - timedelta(days=days)) for days in (0, 5, 90, 91)]
    assert set(kept(decide(Policy(keep_daily=3), some, [], NOW))) == {
        "2026-11-25",
        "2026-11-20",
        "2026-08-27",
    }


@pytest.mark.parametrize(("zone", "days"), [("UTC", 2), ("Europe/Berlin", 1)])
def test_days_are_those_of_the_time_zone(zone: str, days: int) -> None:
    # In Berlin it is 00:30 and 23:30 of one day.
    moments = [datetime(2026, 7, 1, 22, 30, tzinfo=UTC), datetime(2026, 7, 2, 21, 30, tzinfo=UTC)]
    some = [snapshot(moment) for moment in moments]
    decisions = decide(Policy(keep_daily=9, time_zone=zone), some, [], NOW)
    assert [d.is_kept for d in decisions] == [True, days == 2]
    assert {f"{d.begun:%H:%M}" for d in decisions} == {
        "UTC": {"22:30", "21:30"},
        "Europe/Berlin": {"00:30", "23:30"},
    }[zone]


def test_a_year_of_iso_weeks_is_not_that_of_the_calendar() -> None:
    some = [
        snapshot(datetime(2026, 12, 31, tzinfo=UTC)),
        snapshot(datetime(2027, 1, 1, tzinfo=UTC)),
    ]
    decisions = decide(Policy(keep_weekly=2), some, [], datetime(2027, 1, 2, tzinfo=UTC))
    assert kept(decisions) == {"2027-01-01": ("newest complete", "weekly 2026-W53")}


def test_a_partial_night_counts_for_no_rule() -> None:
    some = [snapshot(NOW, complete=False), *nights(3, NOW - timedelta(days=30))]
    assert kept(decide(Policy(keep_last=1), some, [], NOW)) == {
        "2026-11-25": ("younger than 14 days", "no complete one is newer"),
        "2026-10-26": ("newest complete", "last"),
    }


def test_a_partial_night_goes_when_it_is_old_and_a_complete_one_is_newer() -> None:
    day = timedelta(days=1)
    some = [snapshot(NOW - 20 * day), snapshot(NOW - 21 * day, complete=False)]
    assert set(kept(decide(Policy(keep_last=5), some, [], NOW))) == {"2026-11-05"}
    # A mirror has not what the store lacks.
    some[0] = snapshot(NOW - 20 * day, destination=MIRROR)
    assert set(kept(decide(Policy(keep_last=5), some, [], NOW))) == {"2026-11-05", "2026-11-04"}


def test_without_any_complete_night_all_partial_ones_stay() -> None:
    some = [snapshot(NOW - timedelta(days=30 * n), complete=False) for n in range(5)]
    assert len(kept(decide(Policy(keep_last=1), some, [], NOW))) == 5


def test_a_store_and_a_mirror_do_not_take_each_others_place() -> None:
    some = [
        snapshot(NOW, destination=MIRROR),
        snapshot(NOW - timedelta(days=20)),
        snapshot(NOW - timedelta(days=21), destination="s3://the-same/moved"),
    ]
    assert set(kept(decide(Policy(keep_last=1), some, [], NOW))) == {"2026-11-25", "2026-11-05"}


def test_a_limited_run_is_no_night_of_all_projects() -> None:
    day = timedelta(days=1)
    some = [
        snapshot(NOW, limited_to=("team-*",)),
        snapshot(NOW - 1 * day, limited_to=("team-*",)),
        snapshot(NOW - 2 * day),
        snapshot(NOW - 3 * day, limited_to=("team-*",)),
        snapshot(NOW - 20 * day, limited_to=("team-*",)),
    ]
    assert kept(decide(Policy(keep_last=1), some, [], NOW)) == {
        "2026-11-25": ("last",),
        "2026-11-23": ("newest complete", "last"),
        "2026-11-22": ("younger than 14 days",),
    }


def test_where_all_runs_are_limited_the_rules_count_them() -> None:
    some = [
        snapshot(NOW - timedelta(days=days), limited_to=limits, mark=limits[0][0])
        for days in range(4)
        for limits in (("a", "b"), ("c",))
    ]
    decisions = decide(Policy(keep_last=1), some, [], NOW)
    assert [(d.key[-1], d.reasons) for d in decisions if d.is_kept] == [
        ("c", ("newest complete", "last")),
        ("a", ("newest complete", "last")),
    ]


def test_a_night_of_a_clock_that_was_ahead_stays_and_takes_no_other_ones_place() -> None:
    ahead = snapshot(NOW + timedelta(days=3650))
    partial = snapshot(NOW - timedelta(days=20), complete=False)
    some = [ahead, *nights(3), partial]
    assert kept(decide(Policy(keep_last=1, keep_daily=2), some, [], NOW)) == {
        "2036-11-22": ("begun by a clock that was ahead",),
        "2026-11-25": ("newest complete", "last", "daily 2026-11-25"),
        "2026-11-24": ("daily 2026-11-24",),
    }
    # What is partial is not had by the other one, which may be years older.
    assert kept(decide(Policy(keep_last=1), [ahead, partial], [], NOW)) == {
        "2036-11-22": ("begun by a clock that was ahead",),
        "2026-11-05": ("no complete one is newer",),
    }


def test_clocks_may_differ_by_hours() -> None:
    decisions = decide(Policy(keep_last=1), nights(2, NOW + timedelta(hours=14)), [], NOW)
    assert kept(decisions) == {"2026-11-26": ("newest complete", "last")}


def test_other_runs_stay_for_some_days() -> None:
    others = [
        OtherRun(key="young", kind="cut short", written_at=NOW - timedelta(days=13)),
        OtherRun(key="old", kind="restore", written_at=NOW - RECENT),
        OtherRun(key="future", kind="cut short", written_at=NOW + timedelta(days=99)),
    ]
    decisions = decide(Policy(keep_last=1), [], others, NOW)
    assert {d.key: d.is_kept for d in decisions} == {"young": True, "old": False, "future": True}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "keeps nothing"),
        ({"keep_last": 0, "keep_daily": 0}, "keeps nothing"),
        ({"keep_last": -1}, "keep_last is -1"),
        ({"keep_daily": 1.5}, "keep_daily is 1.5"),
        ({"keep_weekly": "many"}, "keep_weekly is 'many'"),
        ({"keep_monthly": True}, "keep_monthly is True"),
        ({"keep_yearly": 10_001}, "from 0 to 10000"),
        ({"keep_last": 1, "time_zone": "Middle/Earth"}, "no time zone 'Middle/Earth'"),
        ({"keep_last": 1, "time_zone": "../../etc/passwd"}, "no time zone"),
        ({"keep_last": 1, "time_zone": ""}, "no time zone"),
    ],
)
def test_what_is_no_policy(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(HarborConfigurationError, match=message):
        Policy(**fields)


def test_a_policy_in_words() -> None:
    policy = Policy(keep_last=7, keep_monthly=12, time_zone="Europe/Berlin")
    assert str(policy) == "keep last 7, monthly 12, days of Europe/Berlin"


MOMENTS = st.datetimes(datetime(2020, 1, 1), datetime(2026, 11, 25)).map(
    lambda moment: moment.replace(tzinfo=UTC)
)
SNAPSHOTS = st.lists(
    st.builds(
        snapshot,
        MOMENTS,
        complete=st.booleans(),
        limited_to=st.sampled_from([(), (), (), ("team-*",)]),
        destination=st.sampled_from([STORE, STORE, MIRROR]),
    ),
    unique_by=lambda found: found.key,
    max_size=25,
)
COUNTS = st.integers(0, 5)
POLICIES = st.builds(
    lambda **numbers: Policy(**(numbers if any(numbers.values()) else {"keep_last": 1})),
    keep_last=COUNTS,
    keep_daily=COUNTS,
    keep_weekly=COUNTS,
    keep_monthly=COUNTS,
    keep_yearly=COUNTS,
)


@settings(max_examples=100, deadline=None)
@given(policy=POLICIES, found=SNAPSHOTS)
def test_promises_that_hold_for_all_stores(policy: Policy, found: list[Snapshot]) -> None:
    decisions = decide(policy, found, [], NOW)
    stays = {d.key for d in decisions if d.is_kept}
    by_key = {s.key: s for s in found}
    assert sorted(by_key) == sorted(d.key for d in decisions)
    whole = sorted(s.key for s in found if s.complete and not s.limited_to)
    for place in (STORE, MIRROR):
        here = [key for key in whole if by_key[key].destination == place]
        # The newest complete one, and the last N.
        assert set(here[-max(policy.keep_last, 1) :]) <= stays
        # No more than the rules allow.
        most = sum(getattr(policy, f"keep_{n}") for n in ("last", "daily", "weekly"))
        assert len(stays & set(here)) <= most + policy.keep_monthly + policy.keep_yearly + 1
    # What was forgotten does not change what is kept: forgetting twice is forgetting once.
    again = decide(policy, [s for s in found if s.key in stays], [], NOW)
    assert all(d.is_kept for d in again)


@settings(max_examples=30, deadline=None)
@given(found=SNAPSHOTS, more=st.integers(1, 3))
def test_who_keeps_more_keeps_all_that_less_keeps(found: list[Snapshot], more: int) -> None:
    few = decide(Policy(keep_last=2, keep_monthly=2), found, [], NOW)
    many = decide(Policy(keep_last=2 + more, keep_monthly=2 + more), found, [], NOW)
    assert {d.key for d in few if d.is_kept} <= {d.key for d in many if d.is_kept}
