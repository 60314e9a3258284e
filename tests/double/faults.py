"""Faults that the double can be told to make, one at a time and for named requests."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Fault:
    """What goes wrong, for which requests, how often.

    Attributes:
        method: HTTP method, or None for any.
        path: Regular expression, searched in the path with its query as the client sent it.
        times: How many requests are hit; None for all.
        skip: How many requests that fit are let pass before the first is hit.
        status: Answer with this status instead of the real answer, and with `body`,
            `content_type` and `headers`. Without a status, headers are added to the real answer.
        reset: Cut the connection before anything is answered.
        lose_answer: Do all that is asked, then cut the connection before anything is answered.
        truncate_after_bytes: Announce the whole body, then cut the connection after so many bytes.
        corrupt: Change one byte in the middle of the body.
        delay_seconds: Wait before anything else is done.
        until: Wait for this event before anything else is done: a test says when it goes on.
        callback: Called with the double, in a thread, before the request is answered; so a test can
            change Harbor between two requests of a client.
    """

    method: str | None = None
    path: str = ""
    times: int | None = 1
    skip: int = 0
    status: int | None = None
    body: str | bytes = ""
    content_type: str = "text/html"
    headers: dict[str, str] = field(default_factory=dict)
    reset: bool = False
    lose_answer: bool = False
    truncate_after_bytes: int | None = None
    corrupt: bool = False
    delay_seconds: float = 0.0
    until: threading.Event | None = None
    callback: Callable[[Any], object] | None = None
    hits: int = field(default=0, init=False)

    def fits(self, method: str, target: str) -> bool:
        return self.method in (None, method) and re.search(self.path, target) is not None


class Faults:
    """The faults of one double; safe to use from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: list[Fault] = []

    def add(self, fault: Fault) -> Fault:
        """Add a fault and return it, so that its `hits` can be looked at."""
        with self._lock:
            self._faults.append(fault)
        return fault

    def clear(self) -> None:
        with self._lock:
            self._faults.clear()

    @property
    def hits(self) -> int:
        """How many requests were hit by the faults that are set now."""
        with self._lock:
            return sum(fault.hits for fault in self._faults)

    def take(self, method: str, target: str) -> Fault | None:
        """Return the fault that hits this request, and count it."""
        with self._lock:
            for fault in self._faults:
                if fault.times is not None and fault.hits >= fault.times:
                    continue
                if not fault.fits(method, target):
                    continue
                if fault.skip > 0:
                    fault.skip -= 1
                    continue
                fault.hits += 1
                return fault
        return None
