"""Ask for many things, and tell those that cannot be read from a place that does not answer."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

from airflow_provider_harbor.core.exceptions import HarborBackupError
from airflow_provider_harbor.core.http.waiting import obeying
from airflow_provider_harbor.core.side_by_side import do_all
from airflow_provider_harbor.core.stopping import StoppedError

T = TypeVar("T")

# So many that failed in a row, and none in between that did not: it is not the things.
_FAILURES_IN_A_ROW = 5


def ask_all(items: Iterable[T], ask: Callable[[T], object], workers: int, name: str) -> None:
    """Ask a registry for each item, as `side_by_side.do_all` does.

    Where that ends before all is done (Ctrl-C, say), nobody waits for an answer any more.
    """
    stopping = threading.Event()
    with obeying(stopping, StoppedError):
        do_all(items, ask, workers, name, stopping=stopping)


class PlaceStoppedError(Exception):
    """A place fails whatever it is asked for."""

    def __init__(self, cause: HarborBackupError) -> None:
        self.cause = cause
        super().__init__(str(cause))


class FailuresInARow(Generic[T]):
    """Tells things that cannot be read from a place that does not answer. May be shared by threads.

    A failure counts as the thing's own only when another thing could be read after it, or all came
    to their end.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: list[tuple[T, HarborBackupError]] = []
        self._own: list[tuple[T, HarborBackupError]] = []

    def succeeded(self) -> None:
        """Note that a thing could be read."""
        if self._waiting:
            with self._lock:
                self._own += self._waiting
                self._waiting = []

    def failed(self, item: T, err: HarborBackupError) -> None:
        """Note that a thing could not be read.

        Raises:
            PlaceStoppedError: So many in a row could not that it is the place.
        """
        with self._lock:
            self._waiting.append((item, err))
            if len(self._waiting) >= _FAILURES_IN_A_ROW:
                raise PlaceStoppedError(self._waiting[0][1])

    def own(self, *, is_over: bool) -> list[tuple[T, HarborBackupError]]:
        """Return what could not be read although its place answers.

        Args:
            is_over: Whether all things came to their end.
        """
        return [*self._own, *self._waiting] if is_over else list(self._own)
