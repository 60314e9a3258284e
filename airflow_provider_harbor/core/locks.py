"""One lock for each key: whoever works on one thing waits only for who works on the same."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Hashable


class KeyedLocks:
    """Locks that come into being with the first use of their key."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._locks: dict[Hashable, threading.Lock] = defaultdict(threading.Lock)

    def __getitem__(self, key: Hashable) -> threading.Lock:
        with self._lock:
            return self._locks[key]
