from __future__ import annotations

import threading

import pytest

from airflow_provider_harbor.core.exceptions import HarborConnectionError
from airflow_provider_harbor.core.jobs.side_by_side import FailuresInARow, PlaceStoppedError
from airflow_provider_harbor.core.side_by_side import do_all


def test_everything_is_done_once_and_several_at_once() -> None:
    together = threading.Barrier(3, timeout=10)
    done: list[int] = []

    def work(item: int) -> None:
        together.wait()
        done.append(item)

    do_all(iter(range(9)), work, 3, "test")
    assert sorted(done) == list(range(9))
    do_all([], work, 3, "test")


def test_the_first_error_ends_it_and_nothing_more_is_taken() -> None:
    taken: list[int] = []

    def items() -> object:
        for item in range(1_000):
            taken.append(item)
            yield item

    def work(item: int) -> None:
        if item == 3:
            raise KeyError(item)

    with pytest.raises(KeyError):
        do_all(items(), work, 1, "test")  # type: ignore[arg-type]
    assert taken == [0, 1, 2, 3]


def test_a_list_that_cannot_be_read_ends_it() -> None:
    def items() -> object:
        yield 1
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        do_all(items(), lambda item: None, 2, "test")  # type: ignore[arg-type]


def test_failures_between_successes_are_the_things_own() -> None:
    failures: FailuresInARow[int] = FailuresInARow()
    error = HarborConnectionError("no answer")
    for item in range(20):
        failures.failed(item, error)
        if item % 4 == 3:
            failures.succeeded()
    failures.failed(99, error)
    assert [item for item, _ in failures.own(is_over=False)] == list(range(20))
    assert [item for item, _ in failures.own(is_over=True)] == [*range(20), 99]


def test_five_in_a_row_are_the_place() -> None:
    failures: FailuresInARow[int] = FailuresInARow()
    first = HarborConnectionError("no answer")
    failures.failed(0, first)
    for item in range(1, 4):
        failures.failed(item, HarborConnectionError("either"))
    with pytest.raises(PlaceStoppedError) as caught:
        failures.failed(4, first)
    assert caught.value.cause is first
    assert failures.own(is_over=False) == []
