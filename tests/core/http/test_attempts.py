"""Trying again: as often as it helps, and not before the server wants it."""

from __future__ import annotations

import pytest

from airflow_provider_harbor.core.exceptions import (
    HarborBackupError,
    HarborConnectionError,
    HarborNotFoundError,
    HarborRateLimitError,
)
from airflow_provider_harbor.core.http.attempts import attempt


def failing(error: HarborBackupError) -> tuple[list[float], int]:
    """Return the waits and the number of calls of what goes on to fail."""
    waits: list[float] = []
    calls = 0

    def work() -> None:
        nonlocal calls
        calls += 1
        raise error

    with pytest.raises(type(error)):
        attempt(work, sleep=waits.append)
    return waits, calls


@pytest.mark.parametrize(
    ("asked", "waits"),
    [(None, [0.5, 1.0]), (0.0, [0.5, 1.0]), (20.0, [20.0, 20.0]), (3600.0, [60.0, 60.0])],
)
def test_the_wait_that_a_server_asks_for_is_kept(asked: float | None, waits: list[float]) -> None:
    error = HarborRateLimitError(status=429)
    error.retry_after_seconds = asked
    assert failing(error) == (waits, 3)


def test_what_may_pass_is_tried_three_times() -> None:
    assert failing(HarborConnectionError("cut")) == ([0.5, 1.0], 3)


def test_what_does_not_pass_is_not_tried_again() -> None:
    assert failing(HarborNotFoundError(status=404)) == ([], 1)


def test_nothing_is_tried_again_once_it_is_to_stop() -> None:
    calls: list[int] = []

    def work() -> None:
        calls.append(1)
        raise HarborConnectionError("cut")

    with pytest.raises(HarborConnectionError):
        attempt(work, sleep=lambda seconds: None, goes_on=lambda: False)
    assert len(calls) == 1


def test_a_refusal_that_is_only_a_matter_of_the_pace_counts_as_no_call() -> None:
    refused = HarborRateLimitError(status=429)
    refused.is_pace = True
    results: list[HarborBackupError | None] = [refused] * 5 + [HarborConnectionError("cut")] * 2
    results.append(None)

    def work() -> str:
        result = results.pop(0)
        if result:
            raise result
        return "done"

    assert attempt(work, sleep=lambda seconds: None) == "done"


def test_refusals_without_an_end_end() -> None:
    refused = HarborRateLimitError(status=429)
    refused.is_pace = True
    assert failing(refused)[1] == 9
