"""Do a thing for each of many items, several at once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sized
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from typing import TypeVar

T = TypeVar("T")


def do_all(
    items: Iterable[T],
    work: Callable[[T], object],
    workers: int,
    name: str,
    *,
    stopping: threading.Event | None = None,
) -> None:
    """Do a thing for each item, in the order given, several at once.

    Args:
        items: What for; read one after the other, and only as far as it is needed.
        work: Called in several threads.
        workers: How many.
        name: Of the threads.
        stopping: Set where this ends before all is done: who waits in `work` should look at it.

    Raises:
        Exception: The first that `work` or `items` raised; what was begun by then has ended, and
            nothing more was begun.
    """
    iterator = iter(items)
    lock = threading.Lock()
    is_over = threading.Event()
    stopping = stopping or threading.Event()

    def go_on() -> None:
        try:
            while not is_over.is_set():
                with lock:
                    try:
                        item = next(iterator)
                    except StopIteration:
                        return
                work(item)
        except BaseException:
            stopping.set()
            raise
        finally:
            is_over.set()

    if isinstance(items, Sized):
        workers = max(1, min(workers, len(items)))
    with ThreadPoolExecutor(workers, thread_name_prefix=name) as pool:
        try:
            done, _ = wait([pool.submit(go_on) for _ in range(workers)], None, FIRST_EXCEPTION)
        except BaseException:
            stopping.set()
            raise
        finally:
            is_over.set()
    for future in done:
        future.result()
