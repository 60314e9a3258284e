"""One lock for each key: whoever works on one thing waits only for who works on the same."""

from __future__ import annotations

import threading
from collections.abc import Hashable
from contextlib import AbstractContextManager


class _Entry:
    """A lock, and how many have or want it."""

    __slots__ = ("_entries", "_key", "_lock_of_all", "lock", "users")

    def __init__(
        self, key: Hashable, entries: dict[Hashable, _Entry], lock_of_all: threading.Lock
    ) -> None:
        self._key = key
        self._entries = entries
        self._lock_of_all = lock_of_all
        self.lock = threading.Lock()
        self.users = 0

    # A context manager of its own: one made of a generator takes twice the time, several times for
    # each blob.
    def __enter__(self) -> None:
        try:
            self.lock.acquire()
        except BaseException:
            self._leave()
            raise

    def __exit__(self, *exc_info: object) -> None:
        self.lock.release()
        self._leave()

    def _leave(self) -> None:
        with self._lock_of_all:
            self.users -= 1
            if not self.users:
                del self._entries[self._key]


class KeyedLocks:
    """Locks that are there as long as somebody has or wants them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entries: dict[Hashable, _Entry] = {}

    def holding(self, key: Hashable) -> AbstractContextManager[None]:
        """Have a key for oneself until the block ends, which is to begin at once."""
        with self._lock:
            entry = self._entries.get(key)
            if entry is None:
                entry = self._entries[key] = _Entry(key, self._entries, self._lock)
            entry.users += 1
        return entry
