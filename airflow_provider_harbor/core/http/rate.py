"""How many bytes a second a process moves at most: one bucket of tokens for all threads.

A byte that is read at the source and written at the destination is one byte. So it is counted where
content is read: blobs as they pass (`oci.blob_reader`), whatever place they come from, and the
answers of servers. Each block waits for its turn, in the order in which threads ask, and blocks are
so small that a second never sees much more than its share.

What the system has received for a stream was moved, though nobody has read it yet. So with a limit
only so many streams are open at once, and each with so little room in the system, that all of it is
worth a part of a second; but a line with 150 ms there and back can still be filled.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable
from queue import Empty, SimpleQueue

from airflow_provider_harbor.core.http.waiting import check_stopped
from airflow_provider_harbor.core.http.waiting import sleep as wait_or_stop

# More slowly than that a server takes a connection for a dead one; see also `patience`.
LEAST_BYTES_PER_SECOND = 1_000
_UNITS = {"": 1, "K": 1_000, "M": 1_000_000, "G": 1_000_000_000}
_RATE = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,9})?) ?([KMG]?)(?:B(?:/s)?)?", re.IGNORECASE)
# A block is worth so long at most, and never smaller than that.
_BLOCK_SECONDS = 0.1
_LEAST_BLOCK_BYTES = 1024
# Threads wake late: what they missed in so long they may catch up with.
_CREDIT_SECONDS = 0.1
# What all streams together may have received ahead is worth so long.
_AHEAD_SECONDS = 0.25
_MOST_STREAMS = 64
_STREAM_BYTES = 64 * 1024
_LEAST_AHEAD_BYTES = 8 * 1024
_LEAST_STREAM_BLOCK_BYTES = 1024
_LOOK_SECONDS = 0.5


def parse_rate(text: str) -> float:
    """Read a rate as people write it: bytes a second, or `500K`, `50M`, `1.5G` of them.

    The units are powers of 1,000.

    Raises:
        ValueError: It is none, or less than 1,000.
    """
    found = _RATE.fullmatch(text.strip())
    value = float(found[1]) * _UNITS[found[2].upper()] if found else 0.0
    if value < LEAST_BYTES_PER_SECOND:
        raise ValueError(
            f"{text!r} is not a rate: write bytes a second, 1K at least, such as 500K, 50M or 1G"
        )
    return value


class StreamRoom:
    """The right to have a stream open; `release` gives it back, a second time it does nothing."""

    __slots__ = ("_rooms",)

    def __init__(self, rooms: SimpleQueue[None] | None) -> None:
        self._rooms = rooms

    def release(self) -> None:
        """Give it back."""
        rooms, self._rooms = self._rooms, None
        if rooms is not None:
            rooms.put(None)

    def __del__(self) -> None:
        # Of a stream that nobody closed.
        self.release()


class ByteRate:
    """A bucket of tokens, each of which is a byte. May be shared by threads.

    Args:
        bytes_per_second: How fast it fills; None for no limit.
        clock: What tells the time.
        sleep: What waits.
    """

    def __init__(
        self,
        bytes_per_second: float | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = wait_or_stop,
    ) -> None:
        if bytes_per_second is not None and not bytes_per_second >= LEAST_BYTES_PER_SECOND:
            raise ValueError(f"{bytes_per_second} bytes a second is less than 1,000")
        self.bytes_per_second = bytes_per_second
        self._clock = clock
        self._sleep = sleep
        self._lock = threading.Lock()
        self._free_at = float("-inf")
        ahead_bytes = int((bytes_per_second or 0.0) * _AHEAD_SECONDS)
        self._streams = max(1, min(_MOST_STREAMS, ahead_bytes // _STREAM_BYTES))
        self._ahead_bytes = max(ahead_bytes // self._streams, _LEAST_AHEAD_BYTES)
        # The garbage collector may close a stream at any place, also within what waits for another:
        # a semaphore would wait for itself then, and only a `SimpleQueue` promises not to.
        self._rooms: SimpleQueue[None] = SimpleQueue()
        for _ in range(self._streams):
            self._rooms.put(None)

    @property
    def receive_bytes(self) -> int | None:
        """How much the system may receive ahead for one connection; None is as much as it likes."""
        # It takes twice what it is told, for its own work.
        return None if self.bytes_per_second is None else self._ahead_bytes // 2

    def stream_block_bytes(self, wanted: int) -> int:
        """Return how much of a stream is read at once, of what is wanted."""
        if self.bytes_per_second is None:
            return wanted
        share = int(self.bytes_per_second * _BLOCK_SECONDS) // self._streams
        return min(wanted, max(share, _LEAST_STREAM_BLOCK_BYTES))

    def enter_stream(self) -> StreamRoom:
        """Wait until one more stream may be open.

        Raises:
            NotTriedError: This thread was told to stop.
        """
        if self.bytes_per_second is None:
            return StreamRoom(None)
        while True:
            try:
                self._rooms.get(timeout=_LOOK_SECONDS)
            except Empty:
                check_stopped()
            else:
                return StreamRoom(self._rooms)

    def block_bytes(self, wanted: int) -> int:
        """Return how much of what is wanted is taken at once; -1 is all there is."""
        if self.bytes_per_second is None:
            return wanted
        most = max(int(self.bytes_per_second * _BLOCK_SECONDS), _LEAST_BLOCK_BYTES)
        return most if wanted < 0 else min(wanted, most)

    def spend(self, number: int) -> None:
        """Wait until so many more bytes may have been moved."""
        if self.bytes_per_second is None or not number:
            return
        with self._lock:
            now = self._clock()
            began = max(self._free_at, now - _CREDIT_SECONDS)
            self._free_at = began + number / self.bytes_per_second
            wait_seconds = self._free_at - now
        if wait_seconds > 0:
            self._sleep(wait_seconds)


_limit = ByteRate()


def limit_rate(bytes_per_second: float | None) -> None:
    """Limit what this process moves from now on; None for no limit."""
    global _limit
    _limit = ByteRate(bytes_per_second)


def block_bytes(wanted: int) -> int:
    """Return how much is read at once, see `ByteRate.block_bytes`."""
    return _limit.block_bytes(wanted)


def spend(number: int) -> None:
    """Wait until this process may have moved so many more bytes."""
    _limit.spend(number)


def receive_bytes() -> int | None:
    """Return what a connection may receive ahead, see `ByteRate.receive_bytes`."""
    return _limit.receive_bytes


def stream_block_bytes(wanted: int) -> int:
    """Return how much of a stream is read at once, see `ByteRate.stream_block_bytes`."""
    return _limit.stream_block_bytes(wanted)


def enter_stream() -> StreamRoom:
    """Wait until this process may have one more stream open, see `ByteRate.enter_stream`."""
    return _limit.enter_stream()
