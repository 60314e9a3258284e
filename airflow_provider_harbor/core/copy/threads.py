"""Pools of threads as copies use them: no more at work than is of use; each copy stops its own."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, Executor, Future
from typing import Any, TypeVar

from airflow_provider_harbor.core.http import waiting

T = TypeVar("T")


def end_all(pools: Sequence[Executor]) -> None:
    """Wait for the threads of pools, of which the later work for the earlier; begin nothing."""
    for pool in reversed(pools):
        pool.shutdown(wait=False, cancel_futures=True)
    for pool in pools:
        pool.shutdown()


class Share(Executor):
    """One copy's access to threads that others use, too: it stops its own work, and no other's."""

    def __init__(self, pool: Executor) -> None:
        self._pool = pool
        self._changed = threading.Condition()
        self._at_work = 0
        self._stopped = threading.Event()

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """Have something done, see `concurrent.futures.Executor`."""
        if self._stopped.is_set():
            raise RuntimeError("the copy was stopped")
        return self._pool.submit(self._do, fn, *args, **kwargs)

    def _do(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> T:
        # What is at work is counted where it is done, and not where it is given: there Ctrl-C may
        # come at any place, and nobody knows then whether the pool has taken it.
        with self._changed:
            if self._stopped.is_set():
                raise CancelledError
            self._at_work += 1
        try:
            with waiting.obeying(self._stopped):
                return fn(*args, **kwargs)
        finally:
            with self._changed:
                self._at_work -= 1
                if not self._at_work:
                    self._changed.notify_all()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = True) -> None:
        """Begin nothing more, and wait until what was begun has ended.

        Args:
            wait: Whether to wait.
            cancel_futures: What has not begun never does, whatever is said here.
        """
        with self._changed:
            self._stopped.set()
            if wait:
                self._changed.wait_for(lambda: not self._at_work)


class Throttled(Executor):
    """A pool of which only so many threads work at once as are of use at the moment.

    Things begin in the order in which they were given.

    Args:
        pool: The threads.
        at_once: Returns how many of them may work now; at least one does.
    """

    def __init__(self, pool: Executor, at_once: Callable[[], int]) -> None:
        self._pool = pool
        self._at_once = at_once
        self._lock = threading.Lock()
        self._waiting: deque[Callable[[], None]] = deque()
        self._working = 0
        # Of those who work so many have not taken anything yet.
        self._starting = 0
        self._is_shut = False

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """Have something done, see `concurrent.futures.Executor`."""
        future: Future[T] = Future()

        def work() -> None:
            if future.set_running_or_notify_cancel():
                try:
                    result = fn(*args, **kwargs)
                except BaseException as err:
                    future.set_exception(err)
                else:
                    future.set_result(result)

        with self._lock:
            if self._is_shut:
                raise RuntimeError("the threads have ended")
            self._waiting.append(work)
        self._begin_more()
        return future

    def _begin_more(self) -> None:
        """Have as many work as may: what is of use may have doubled since the last one began."""
        while self._may_begin():
            try:
                self._pool.submit(self._work)
            except RuntimeError:  # it was shut meanwhile
                with self._lock:
                    self._working -= 1
                    self._starting -= 1
                return

    def _may_begin(self) -> bool:
        with self._lock:
            if len(self._waiting) <= self._starting or self._working >= max(self._at_once(), 1):
                return False
            self._working += 1
            self._starting += 1
            return True

    def _work(self) -> None:
        with self._lock:
            self._starting -= 1
        while work := self._next():
            work()
            del work
            self._begin_more()

    def _next(self) -> Callable[[], None] | None:
        with self._lock:
            if self._waiting and self._working <= max(self._at_once(), 1):
                return self._waiting.popleft()
            self._working -= 1
            return None

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the threads, see `concurrent.futures.Executor`; what waits is not done."""
        with self._lock:
            self._is_shut = True
            if cancel_futures:
                self._waiting.clear()
        self._pool.shutdown(wait=wait, cancel_futures=cancel_futures)
