from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from airflow_provider_harbor.core.human import (
    human_count,
    human_duration,
    human_size,
    human_time,
)


@pytest.mark.parametrize(
    ("size_bytes", "shown"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (1536, "1.5 KiB"),
        (1024**2 - 1, "1.0 MiB"),
        (5 * 1024**3, "5.0 GiB"),
        (3 * 1024**4, "3.0 TiB"),
        (5000 * 1024**5, "5,000.0 PiB"),
    ],
)
def test_size_has_a_binary_unit(size_bytes: int, shown: str) -> None:
    assert human_size(size_bytes) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (-0.1, "0.0 s"),
        (0.44, "0.4 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (59.6, "1 min 00 s"),
        (252, "4 min 12 s"),
        (3599.9, "1 h 00 min"),
        (7500, "2 h 05 min"),
    ],
)
def test_duration_has_its_two_greatest_units(seconds: float, shown: str) -> None:
    assert human_duration(seconds) == shown


@pytest.mark.parametrize(
    ("number", "noun", "shown"),
    [
        (0, "project", "0 projects"),
        (1, "project", "1 project"),
        (1200, "project", "1,200 projects"),
        (2, "repository", "2 repositories"),
        (1, "repository", "1 repository"),
    ],
)
def test_noun_agrees_with_its_number(number: int, noun: str, shown: str) -> None:
    assert human_count(number, noun) == shown


def test_time_is_shown_in_utc() -> None:
    moment = datetime(2025, 11, 25, 2, 30, tzinfo=timezone(timedelta(hours=1)))
    assert human_time(moment) == "2025-11-25 01:30 UTC"
