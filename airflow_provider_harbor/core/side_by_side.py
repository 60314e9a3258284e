"""Do a thing for each of many items, several at once."""

from __future__ import annotations

import contextvars
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence, Sized
from concurrent.futures import FIRST_EXCEPTION, Executor, Future, ThreadPoolExecutor, wait
from typing import Generic, TypeVar

from airflow_provider_harbor.core.stopping import StoppedError

T = TypeVar("T")
R = TypeVar("R")


def go_on_unless(stopping: threading.Event) -> None:
    """Raise `StoppedError` where the work was stopped."""
    if stopping.is_set():
        raise StoppedError


def submit(pool: Executor, work: Callable[..., R], /, *args: object) -> Future[R]:
    """Have a pool do something as this thread would: what ends its waiting does so there, too."""
    return pool.submit(contextvars.copy_context().run, work, *args)


def result_of(future: Future[R]) -> R:
    """Return what a pool made; raises what was raised there, whatever that is.

    Of an exception that is false (as one with a length of 0) `Future.result` says nothing, in
    Python 3.10 to 3.13.
    """
    error = future.exception()
    if error is None:
        return future.result()
    try:
        raise error
    finally:
        del error  # it holds this frame


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
        workers: How many; one is this thread itself.
        name: Of the others.
        stopping: Set where this ends before all is done: who waits in `work` should look at it.
            Where somebody else sets it, this ends with a `StoppedError`.

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
                go_on_unless(stopping)
                work(item)
        except BaseException:
            stopping.set()
            raise
        finally:
            is_over.set()

    if isinstance(items, Sized):
        workers = max(1, min(workers, len(items)))
    if workers == 1:
        go_on()
        return
    with ThreadPoolExecutor(workers, thread_name_prefix=name) as pool:
        futures = []
        try:
            # Ctrl-C may come in between, where the first is at work.
            for _ in range(workers):
                futures.append(submit(pool, go_on))
            wait(futures, None, FIRST_EXCEPTION)
        except BaseException:
            stopping.set()
            raise
        finally:
            is_over.set()
    errors = [err for future in futures if (err := future.exception()) is not None]
    for err in sorted(errors, key=lambda err: isinstance(err, StoppedError)):
        raise err


def in_batches(
    pool: Executor, work: Callable[[T], R], items: Sequence[T], size: int
) -> Iterator[R]:
    """Yield what a pool makes of each item, in the order given.

    So many are made side by side, and no more before these were taken: who stops early has caused
    little, and large ones do not pile up.

    Args:
        pool: The threads.
        work: Called in them.
        items: What for.
        size: How many.

    Raises:
        Exception: What `work` raised of the item whose turn it is.
    """
    for at in range(0, len(items), size):
        yield from pool.map(work, items[at : at + size])


def ahead(
    items: Iterable[T],
    work: Callable[[T], R],
    *,
    workers: int,
    weigh: Callable[[T], int],
    most: int,
    name: str,
    stopping: threading.Event,
) -> Generator[tuple[T, R], None, None]:
    """Yield each item with what was made of it, in the order given; the next are worked on already.

    Args:
        items: What for; read as far as it is needed.
        work: Called in several threads; in this one where there is one worker only.
        workers: How many items are worked on, or wait to be yielded, at most.
        weigh: How much of `most` an item takes; called before it is worked on.
        most: What all of them may take together; an item that takes more is alone.
        name: Of the threads.
        stopping: Set where this ends before all is done: who waits in `work` should look at it.

    Raises:
        Exception: The first that `work` raised.
    """
    if workers == 1:
        for item in items:
            yield item, work(item)
        return
    errors: list[BaseException] = []

    def do(item: T) -> R:
        try:
            go_on_unless(stopping)
            return work(item)
        except StoppedError:
            raise
        except BaseException as err:
            errors.append(err)
            stopping.set()
            raise

    with ThreadPoolExecutor(workers, thread_name_prefix=name) as pool:
        queue = _Queue(items, lambda item: submit(pool, do, item), workers, weigh, most)
        is_whole = False
        try:
            while queue.fill():
                item, future = queue.first()
                try:
                    made = result_of(future)
                except StoppedError as err:
                    queue.wait()  # what stopped it is of a later one
                    raise (errors or [err])[0] from None
                yield item, made
                del item, made
                queue.drop_first()
            is_whole = True
        finally:
            if not is_whole:
                stopping.set()
                queue.cancel()


class _Queue(Generic[T, R]):
    """What is worked on, in the order in which it is yielded; see `ahead`."""

    def __init__(
        self,
        items: Iterable[T],
        submit: Callable[[T], Future[R]],
        most_items: int,
        weigh: Callable[[T], int],
        most: int,
    ) -> None:
        self._items = iter(items)
        self._submit = submit
        self._most_items = most_items
        self._weigh = weigh
        self._most = most
        self._heavy: list[tuple[T, int]] = []  # one at most, which was too much
        self._running: deque[tuple[T, int, Future[R]]] = deque()

    def fill(self) -> bool:
        """Begin what there is room for; returns whether anything is left."""
        while len(self._running) < self._most_items and (taken := self._take()):
            item, weight = taken
            if self._running and weight + sum(w for _, w, _ in self._running) > self._most:
                self._heavy.append(taken)
                break
            self._running.append((item, weight, self._submit(item)))
        return bool(self._running)

    def _take(self) -> tuple[T, int] | None:
        if self._heavy:
            return self._heavy.pop()
        for item in self._items:
            return item, self._weigh(item)
        return None

    def first(self) -> tuple[T, Future[R]]:
        item, _, future = self._running[0]
        return item, future

    def drop_first(self) -> None:
        self._running.popleft()

    def wait(self) -> None:
        wait([future for _, _, future in self._running])

    def cancel(self) -> None:
        for _, _, future in self._running:
            future.cancel()
