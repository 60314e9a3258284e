"""Several projects at once: none waits for another, and nothing is sent twice."""

from __future__ import annotations

import threading
from collections import Counter
from concurrent.futures import CancelledError, Executor, ThreadPoolExecutor
from typing import Any

import pytest

from airflow_provider_harbor.core import side_by_side
from airflow_provider_harbor.core.cli import main as cli
from airflow_provider_harbor.core.copy.threads import Share, Throttled, end_all
from airflow_provider_harbor.core.side_by_side import do_all
from tests.double import Fault, HarborDouble, Image

LAYERS = [b"base layer" * 500, b"second layer" * 500]


def back_up(*arguments: object) -> int:
    return cli.main(["backup", "--quiet", *map(str, arguments)])


def test_a_project_is_copied_while_another_is_listed(filled, other_harbor, tmp_path) -> None:
    """The list of the first is not answered before content of the second was fetched."""
    is_copied = threading.Event()
    came = []
    filled.faults.add(Fault(path="/v2/beta/.*/blobs/", callback=lambda double: is_copied.set()))
    filled.faults.add(
        Fault(
            path="/projects/alpha/repositories",
            callback=lambda double: came.append(is_copied.wait(120)),
        )
    )
    assert back_up(filled.url, tmp_path / "store") == 0
    assert came == [True]


@pytest.mark.parametrize("is_mirror", [False, True], ids=["store", "mirror"])
def test_what_projects_share_is_fetched_once(
    filled, other_harbor, tmp_path, monkeypatch, is_mirror
) -> None:
    monkeypatch.setenv("HARBOR_BACKUP_DESTINATION_USER", other_harbor.user)
    monkeypatch.setenv("HARBOR_BACKUP_DESTINATION_PASSWORD", other_harbor.password)
    for number in range(6):
        filled.create_project(f"team-{number}")
        filled.push(f"team-{number}/app", Image(str(number), layers=[*LAYERS, 100]), "1.0")
    to = ["--to", other_harbor.url] if is_mirror else []
    assert back_up(filled.url, tmp_path / "store", *to, "--project", "team-*") == 0
    fetched = Counter(
        path.rpartition("/")[2]
        for method, path, _ in filled.requests.log
        if method == "GET" and "/blobs/" in path
    )
    assert set(fetched.values()) == {1}
    assert len(fetched) == 2 + 2 * 6


def test_a_project_that_fails_keeps_none_from_being_copied(
    filled: HarborDouble, tmp_path, capsys
) -> None:
    fault = Fault(path="/projects/alpha/", times=None, status=500)
    filled.faults.add(fault)
    assert back_up(filled.url, tmp_path / "store") == 1
    shown = capsys.readouterr()
    assert "FAILED alpha: " in shown.err
    assert "2 of 3 projects" in shown.out


def test_a_copy_that_stops_leaves_the_others_their_threads() -> None:
    begun, goes_on = threading.Event(), threading.Event()
    with ThreadPoolExecutor(1) as pool:
        stopped, other = Share(pool), Share(pool)

        def work() -> str:
            begun.set()
            goes_on.wait(120)
            return "done"

        running, waiting = stopped.submit(work), stopped.submit(work)
        kept = other.submit(lambda: "kept")
        assert begun.wait(120)
        stopped.shutdown(wait=False, cancel_futures=True)
        with pytest.raises(RuntimeError, match="was stopped"):
            stopped.submit(work)
        goes_on.set()
        stopped.shutdown()
        assert running.result(120) == "done"
        with pytest.raises(CancelledError):
            waiting.result(120)
        assert kept.result(120) == "kept"


def test_a_copy_that_ends_waits_for_its_own_work_and_for_no_other() -> None:
    begun, own_may_end, other_may_end = threading.Barrier(3), threading.Event(), threading.Event()
    ended: list[str] = []

    def work(name: str, may_end: threading.Event) -> None:
        begun.wait(120)
        may_end.wait(120)
        ended.append(name)

    with ThreadPoolExecutor(2) as pool:
        own, other = Share(pool), Share(pool)
        own.submit(work, "own", own_may_end)
        other.submit(work, "other", other_may_end)
        begun.wait(120)
        ending = threading.Thread(target=end_all, args=([own],), daemon=True)
        ending.start()
        ending.join(0.2)
        is_waiting = ending.is_alive()
        own_may_end.set()
        ending.join(120)
        found = (is_waiting, ending.is_alive(), ended[:])
        other_may_end.set()
    assert found == (True, False, ["own"])


def test_a_copy_that_ends_begins_nothing_that_its_work_waits_for() -> None:
    begun, may_end = threading.Event(), threading.Event()
    done: list[int] = []

    def copy_blob(number: int) -> None:
        begun.set()
        may_end.wait(120)
        done.append(number)

    with ThreadPoolExecutor(1) as first, ThreadPoolExecutor(1) as second:
        steps, blobs = Share(first), Share(second)

        def step() -> None:
            for future in [blobs.submit(copy_blob, number) for number in range(3)]:
                future.result(120)

        work = steps.submit(step)
        assert begun.wait(120)
        ending = threading.Thread(target=end_all, args=([steps, blobs],), daemon=True)
        ending.start()
        assert steps._stopped.wait(120)
        may_end.set()
        with pytest.raises((CancelledError, RuntimeError)):
            work.result(120)
        ending.join(120)
        assert not ending.is_alive()
    assert done == [0]


@pytest.mark.parametrize("is_taken", [True, False])
def test_interrupted_while_it_gives_work_away_a_copy_ends_all_the_same(is_taken: bool) -> None:
    done = threading.Event()

    class Interrupted(Executor):
        """Ctrl-C comes before it has taken the work, or after."""

        def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
            if is_taken:
                pool.submit(fn, *args, **kwargs).result(120)
            raise KeyboardInterrupt

    with ThreadPoolExecutor(1) as pool:
        share = Share(Interrupted())
        with pytest.raises(KeyboardInterrupt):
            share.submit(done.set)
        ending = threading.Thread(target=end_all, args=([share],), daemon=True)
        ending.start()
        ending.join(120)
        assert not ending.is_alive()
    assert done.is_set() == is_taken


def test_interrupted_while_threads_begin_it_stops_those_that_have(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stopping, begin, begun = threading.Event(), side_by_side.submit, 0

    def submit(*args: Any) -> Any:
        nonlocal begun
        begun += 1
        if begun == 2:
            raise KeyboardInterrupt
        return begin(*args)

    monkeypatch.setattr(side_by_side, "submit", submit)
    with pytest.raises(KeyboardInterrupt):
        do_all(range(3), lambda _: stopping.wait(2), 3, "test", stopping=stopping)
    assert stopping.is_set()


def test_no_more_threads_work_than_are_of_use_and_all_comes_to_its_end() -> None:
    at_once, lock = 3, threading.Lock()
    working, most, order = 0, [], []

    def work(number: int) -> int:
        nonlocal working, at_once
        with lock:
            working += 1
            most.append((working, at_once))
            order.append(number)
            at_once = 3 if number < 50 else 1
        threading.Event().wait(0.001)
        with lock:
            working -= 1
        return number

    with ThreadPoolExecutor(16) as pool:
        throttled = Throttled(pool, lambda: at_once)
        futures = [throttled.submit(work, number) for number in range(100)]
        assert [future.result(120) for future in futures] == list(range(100))
    assert max(number for number, _ in most) == 3
    # Those that work end what they do, and begin nothing more.
    assert all(number == 1 for number, _ in most[-40:])
    assert order[60:] == sorted(order[60:])
    assert sorted(order) == list(range(100))


def test_as_soon_as_more_are_of_use_all_of_them_begin() -> None:
    """One more at a time would take as many rounds, and each round of a far server is long."""
    at_once, all_here, all_given = 1, threading.Barrier(8), threading.Event()

    def first() -> None:
        nonlocal at_once
        all_given.wait(120)
        at_once = 8

    with ThreadPoolExecutor(16) as pool:
        throttled = Throttled(pool, lambda: at_once)
        futures = [throttled.submit(first)]
        futures += [throttled.submit(all_here.wait, 2) for _ in range(8)]
        all_given.set()
        for future in futures:
            future.result(120)


def test_of_no_use_at_all_is_one_thread() -> None:
    with ThreadPoolExecutor(4) as pool:
        throttled = Throttled(pool, lambda: 0)
        assert [throttled.submit(int, "7").result(120) for _ in range(3)] == [7, 7, 7]


def test_what_fails_in_a_thread_fails_where_it_is_waited_for() -> None:
    with ThreadPoolExecutor(1) as pool:
        throttled = Throttled(pool, lambda: 1)
        with pytest.raises(ValueError, match="invalid literal"):
            throttled.submit(int, "x").result(120)
        assert throttled.submit(int, "7").result(120) == 7
