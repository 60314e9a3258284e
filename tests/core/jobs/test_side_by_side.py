from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from airflow_provider_harbor.core.exceptions import HarborConnectionError
from airflow_provider_harbor.core.jobs.side_by_side import FailuresInARow, PlaceStoppedError
from airflow_provider_harbor.core.side_by_side import StoppedError, ahead, do_all, go_on_unless


def test_everything_is_done_once_and_several_at_once() -> None:
    together = threading.Barrier(3, timeout=120)
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


@pytest.mark.parametrize("workers", [1, 3])
def test_an_error_that_is_false_is_one(workers: int) -> None:
    class FalseError(Exception):
        def __len__(self) -> int:
            return 0

    def work(item: int) -> None:
        raise FalseError

    with pytest.raises(FalseError):
        do_all(range(5), work, workers, "test")


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


def begin_ahead(work: Callable[[int], int], workers: int = 3, most: int = 100, number: int = 20):
    """Work on numbers, of which each weighs as much as it is."""
    stopping = threading.Event()
    made = ahead(
        range(number),
        work,
        workers=workers,
        weigh=lambda item: item,
        most=most,
        name="test-ahead",
        stopping=stopping,
    )
    return made, stopping


def threads_left() -> list[str]:
    return [t.name for t in threading.enumerate() if t.name.startswith("test-ahead")]


@pytest.mark.parametrize("workers", [1, 3])
def test_what_is_made_ahead_comes_in_order(workers: int) -> None:
    made, stopping = begin_ahead(lambda item: item * item, workers)
    assert list(made) == [(n, n * n) for n in range(20)]
    assert not stopping.is_set()


def test_no_more_is_made_ahead_than_there_are_workers() -> None:
    begun: list[int] = []
    made, _ = begin_ahead(lambda item: begun.append(item) or item)
    for number, _ in made:
        assert max(begun) <= number + 2


def test_several_are_made_at_once_as_long_as_they_are_not_too_much_together() -> None:
    together = threading.Barrier(3, timeout=120)
    made, _ = begin_ahead(lambda item: together.wait() and item, number=3)
    assert [number for number, _ in made] == [0, 1, 2]
    weights: list[int] = []
    lock = threading.Lock()

    def work(item: int) -> int:
        with lock:
            weights.append(item)
            taken = sum(weights)
        assert taken <= 20 or len(weights) == 1
        with lock:
            weights.remove(item)
        return item

    made, _ = begin_ahead(work, most=20, number=30)
    assert len(list(made)) == 30


def test_the_error_of_a_later_one_is_what_stops_an_earlier_one() -> None:
    failed = threading.Event()

    def work(item: int) -> int:
        if item == 1:
            failed.set()
            raise HarborConnectionError("of the later one")
        assert failed.wait(120)
        assert stopping.wait(120)
        go_on_unless(stopping)
        return item

    made, stopping = begin_ahead(work)
    with pytest.raises(HarborConnectionError, match="of the later one"):
        list(made)
    assert not threads_left()


def test_who_looks_no_further_leaves_no_thread_behind() -> None:
    made, stopping = begin_ahead(lambda item: item if item < 1 else int(stopping.wait(120)))
    assert next(made) == (0, 0)
    made.close()
    assert stopping.is_set()
    assert not threads_left()


def test_what_is_stopped_by_others_does_not_end_as_if_all_were_done() -> None:
    stopping = threading.Event()
    done: list[int] = []

    def work(item: int) -> None:
        done.append(item)
        stopping.set()

    with pytest.raises(StoppedError):
        do_all(range(100), work, 2, "test", stopping=stopping)
    assert len(done) <= 2


def test_what_failed_is_raised_and_not_that_others_were_stopped_by_it() -> None:
    for _ in range(50):
        stopping = threading.Event()
        begun = threading.Barrier(4, timeout=120)

        def work(item: int, begun: threading.Barrier = begun) -> None:
            if item < 4:
                begun.wait()
            if item == 2:
                raise HarborConnectionError("the cause")

        with pytest.raises(HarborConnectionError, match="the cause"):
            do_all(range(100), work, 4, "test", stopping=stopping)
