"""Waiting that ends where a thread is told to stop.

A copy that was stopped (Ctrl-C) waits for its threads, and those may have a minute to wait that a
server has asked for. What says that they are to stop is a part of their context, which
`side_by_side` passes on to further threads.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from airflow_provider_harbor.core.exceptions import NotTriedError

_stop: ContextVar[tuple[threading.Event, type[BaseException]] | None] = ContextVar(
    "stop", default=None
)


@contextmanager
def obeying(
    is_stopped: threading.Event, error: type[BaseException] = NotTriedError
) -> Iterator[None]:
    """Have what this thread waits for in the block end when an event is set.

    Args:
        is_stopped: The event.
        error: What is raised then.
    """
    token = _stop.set((is_stopped, error))
    try:
        yield
    finally:
        _stop.reset(token)


def check_stopped() -> None:
    """Do nothing, or raise what `obeying` was told to, where this thread is to stop."""
    found = _stop.get()
    if found is not None and found[0].is_set():
        raise found[1]("the run was stopped")


def can_be_stopped() -> bool:
    """Whether this thread may be told to stop."""
    return _stop.get() is not None


def sleep(seconds: float) -> None:
    """Wait; raises as `check_stopped` does, as soon as this thread is to stop."""
    found = _stop.get()
    if found is None:
        time.sleep(seconds)
    else:
        found[0].wait(seconds)
        check_stopped()
