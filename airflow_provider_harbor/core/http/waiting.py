"""Waiting that ends where a thread is told to stop.

A copy that was stopped (Ctrl-C) waits for its threads, and those may have a minute to wait that a
server has asked for. A pool tells its threads at their start what says that they are to stop:

    ThreadPoolExecutor(workers, initializer=obey, initargs=(is_stopped,))
"""

from __future__ import annotations

import threading
import time

from airflow_provider_harbor.core.exceptions import NotTriedError

_threads = threading.local()


def obey(is_stopped: threading.Event) -> None:
    """Have what this thread waits for from now on end when an event is set."""
    _threads.is_stopped = is_stopped


def check_stopped() -> None:
    """Raise `NotTriedError` where this thread is to stop."""
    is_stopped: threading.Event | None = getattr(_threads, "is_stopped", None)
    if is_stopped is not None and is_stopped.is_set():
        raise NotTriedError("the run was stopped")


def sleep(seconds: float) -> None:
    """Wait; raises `NotTriedError` as soon as this thread is to stop."""
    is_stopped: threading.Event | None = getattr(_threads, "is_stopped", None)
    if is_stopped is None:
        time.sleep(seconds)
    else:
        is_stopped.wait(seconds)
        check_stopped()
