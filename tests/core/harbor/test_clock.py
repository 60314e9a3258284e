"""The time at a Harbor, as its answers say: never later than it can be."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from email.utils import format_datetime

import pytest

from airflow_provider_harbor.core.harbor.clock import Clock
from tests.core.rig import login
from tests.double import HarborDouble

NOW = datetime.now(timezone.utc)


def heard(moment: datetime) -> datetime:
    clock = Clock()
    clock.hear({"Date": format_datetime(moment, usegmt=True)})
    now = clock.now()
    assert now is not None
    return now


def test_a_clock_that_is_behind_ours_counts() -> None:
    behind = NOW - timedelta(hours=3)
    assert behind - timedelta(seconds=1) <= heard(behind) < NOW - timedelta(hours=2)


def test_a_clock_that_is_ahead_of_ours_does_not() -> None:
    assert NOW <= heard(NOW + timedelta(days=3)) < NOW + timedelta(hours=1)


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"Date": ""},
        {"Date": "yesterday"},
        {"Date": "2026-05-04T00:00:00Z"},
        {"Date": "Mon, 04 May 99999 00:00:00 GMT"},
        {"Date": "Mon, 04 May 2026 00:00:00 -0000"},
    ],
)
def test_what_does_not_say_the_time_leaves_it_unknown(said: dict[str, str]) -> None:
    clock = Clock()
    clock.hear(said)
    assert clock.now() is None


def test_the_end_of_time_is_no_defect() -> None:
    assert heard(datetime(9999, 12, 31, 23, 59, 59, tzinfo=timezone.utc)) < NOW + timedelta(hours=1)


def test_a_client_hears_the_clock_of_its_harbor(harbor: HarborDouble) -> None:
    client = login(harbor)
    assert client.clock.now() is None
    assert client.version
    now = client.clock.now()
    assert now is not None
    assert abs(now - datetime.now(timezone.utc)) < timedelta(hours=1)
