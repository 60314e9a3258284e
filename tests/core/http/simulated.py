"""Requests in simulated time: what a window and an allowance come to with a server of some kind.

No thread runs and no clock: 12,000 requests take a moment, and the result is always the same.
"""

from __future__ import annotations

import heapq
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from airflow_provider_harbor.core.http.allowance import Allowance
from airflow_provider_harbor.core.http.window import Window


@dataclass
class Server:
    """A server behind a line.

    Attributes:
        line_seconds: There and back.
        cores: So many requests it works on at once.
        work_seconds: So long on each.
        allows: Whether it takes a request at a time.
        asks_seconds: What it says in Retry-After.
        kind: Of the requests.
    """

    line_seconds: float = 0.0005
    cores: int = 16
    work_seconds: float = 0.002
    allows: Callable[[float], bool] = lambda now: True
    asks_seconds: float | None = None
    kind: str = "GET 0"


def bucket(rate: float, burst: int) -> Callable[[float], bool]:
    """A bucket of tokens, as nginx and most gateways have it."""
    tokens, filled_at = float(burst), 0.0

    def allows(now: float) -> bool:
        nonlocal tokens, filled_at
        tokens, filled_at = min(burst, tokens + (now - filled_at) * rate), now
        is_allowed = tokens >= 1
        tokens -= is_allowed
        return is_allowed

    return allows


def sliding(rate: int) -> Callable[[float], bool]:
    """So many in any second."""
    taken: deque[float] = deque()

    def allows(now: float) -> bool:
        while taken and taken[0] <= now - 1:
            taken.popleft()
        if len(taken) >= rate:
            return False
        taken.append(now)
        return True

    return allows


def each_second(rate: int) -> Callable[[float], bool]:
    """So many in each second of the clock."""
    second = number = 0

    def allows(now: float) -> bool:
        nonlocal second, number
        if int(now) != second:
            second, number = int(now), 0
        number += 1
        return number <= rate

    return allows


@dataclass
class Run:
    """Requests of many threads to a server, one after the other in simulated time.

    Attributes:
        seconds: When it begins, and then when the last was answered.
        refused: How many answers were 429.
    """

    server: Server
    window: Window
    requests: int = 12_000
    allowance: Allowance = field(default_factory=Allowance)
    seconds: float = 0.0
    refused: int = 0

    def __post_init__(self) -> None:
        self._chance = random.Random(1)
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._left, self._done = self.requests, 0
        self._in_flight = self._number = 0
        self._cores = [self.seconds] * self.server.cores
        self._resumes_at = self._noted_at = self._mean = 0.0
        self._pause = 0.05
        self._send()
        while self._done < self.requests:
            self.seconds, _, happen = heapq.heappop(self._events)
            happen()

    def _at(self, moment: float, happen: Callable[[], None]) -> None:
        self._number += 1
        heapq.heappush(self._events, (moment, self._number, happen))

    def _send(self) -> None:
        while self._left and self._in_flight < self.window.size:
            self._left -= 1
            self._in_flight += 1
            self._take_turn(False)

    def _take_turn(self, was_held_back: bool) -> None:
        now = self.seconds
        if now < self._resumes_at:
            self._at(self._resumes_at, lambda: self._take_turn(True))
            return
        turn_seconds = self.allowance.reserve(now)
        if turn_seconds:
            self._at(now + turn_seconds, lambda: self._begin(True))
        else:
            self._begin(was_held_back)

    def _begin(self, was_held_back: bool) -> None:
        began = self.seconds
        if began < self._resumes_at:
            self._take_turn(True)
            return
        token = self.window.begun(began, 0 if was_held_back else self._in_flight)
        self._at(began + self.server.line_seconds / 2, lambda: self._arrive(began, token))

    def _arrive(self, began: float, token: int) -> None:
        back_seconds = self.server.line_seconds / 2
        if not self.server.allows(self.seconds):
            self._at(self.seconds + back_seconds, lambda: self._end(began, token, False))
            return
        core = min(range(len(self._cores)), key=self._cores.__getitem__)
        work_seconds = self.server.work_seconds * self._chance.uniform(0.5, 1.5)
        ends = max(self.seconds, self._cores[core]) + work_seconds
        self._cores[core] = ends
        self._at(ends + back_seconds, lambda: self._end(began, token, True))

    def _end(self, began: float, token: int, is_taken: bool) -> None:
        now = self.seconds
        self._in_flight -= 1
        if is_taken:
            self._done += 1
            self._pause = 0.05
            self.allowance.accepted(now)
            self._mean += 0.05 * (now - began - self._mean)
            self.window.ended(token, self.server.kind, now - began, now)
        else:
            self._left += 1
            self.refused += 1
            if began >= self._noted_at:
                self._note_refusal(began)
        self._send()

    def _note_refusal(self, began: float) -> None:
        now = self._noted_at = self.seconds
        asked = self.server.asks_seconds
        self._resumes_at = now + (self._pause if asked is None else asked)
        self._pause = min(2 * self._pause, 2.0)
        self.allowance.refused(now, self._resumes_at)
        rate = self.allowance.rate
        self.window.trouble(began, now, 8 + int(4 * rate * self._mean) if rate else None)
