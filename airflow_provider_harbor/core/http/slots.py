"""The slots of one server: who may send, in which order, and what a server is spared."""

from __future__ import annotations

import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from airflow_provider_harbor.core.http.allowance import Allowance
from airflow_provider_harbor.core.http.refusals import LONG_SECONDS, Refusals
from airflow_provider_harbor.core.http.waiting import check_stopped
from airflow_provider_harbor.core.http.waiting import sleep as wait_or_stop
from airflow_provider_harbor.core.http.window import Window

# What a server asks for is not waited for any longer at once.
LONGEST_PAUSE_SECONDS = 60.0
# After a refusal that does not say how long; doubled with each in a row.
_FIRST_PAUSE_SECONDS = 0.05
_LONGEST_OWN_PAUSE_SECONDS = 2.0
# After so many refusals in a row, each after a pause, the server does not mean "later".
_MOST_REFUSALS = 4
# A refusal is a matter of the pace where the server took another request so shortly before.
_LATELY_SECONDS = 3.0
_LEAST_AFTER_BREAK = 4
_SPARE_SLOTS = 8
# Who is parked looks up so often; and goes ahead where nothing has moved for so long.
_LOOK_SECONDS = 0.5
_STUCK_SECONDS = 5.0
# A stream is judged by each part of such a size, and not by its whole.
_PART_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class HostPace:
    """What the pace of a host came to.

    Attributes:
        origin: Scheme, host and port.
        requests: How many were sent.
        most: So many were in flight at once at most.
        window: So many may be now.
        refusals: How often it answered 429.
        pauses: How often it asked everybody to slow down; refusals that came together count once.
        breaks: How often a connection broke, or was too slow.
        rate: Requests a second that it is sent at most; None where it never refused any.
        path: How the window moved: seconds since the first request, and its size from then on.
    """

    origin: str
    requests: int
    most: int
    window: int
    refusals: int
    pauses: int
    breaks: int
    rate: float | None
    path: tuple[tuple[float, int], ...]


def kind_of(method: str, size_bytes: int) -> str:
    """Return which requests one is compared with: those of its method, and of about its size."""
    return f"{method} {(size_bytes >> 16).bit_length() // 3}"


class Slot:
    """The right to have a request in flight; made by `Host.enter`, and given back by `release`."""

    __slots__ = (
        "__weakref__", "_came_bytes", "_has_parts", "_host", "_is_open", "_mark", "_owner",
        "_token", "away", "began", "kind",
    )  # fmt: skip

    def __init__(self, host: Host, owner: int) -> None:
        self._host = host
        self._owner = owner
        self._is_open = True
        self._token = 0
        self._came_bytes = 0
        self._has_parts = False
        self.began = self._mark = 0.0
        self.away = 0.0
        # Which others are refused with it, see `refusals`.
        self.kind = ""

    @property
    def is_open(self) -> bool:
        """Whether it was not given back."""
        return self._is_open

    def taken(self) -> None:
        """Note that the server answered, and not with a refusal."""
        self._host._taken(self.kind)

    def refused(self, asked_seconds: float | None) -> tuple[bool, bool]:
        """Note that it refused (429): this host is left alone for a while.

        Args:
            asked_seconds: How long it asked to wait; None where it did not say.

        Returns:
            Whether that is a matter of the pace: it takes others, and will take this one; and
            whether it has refused all such for so long that there is no sense in waiting.
        """
        return self._host._refused(self, asked_seconds)

    def paused(self, seconds: float, path: str) -> bool:
        """Note that it asked to be left alone for so long; tells whether everybody waits.

        Args:
            seconds: How long.
            path: What was asked for.
        """
        return self._host._pause(seconds, path)

    def troubled(self) -> None:
        """Note that it is overloaded."""
        self._host._troubled(self)

    def broke(self) -> None:
        """Note that the connection broke, or was too slow."""
        self._host._troubled(self, is_break=True)

    def progress(self, number: int) -> None:
        """Note that so many bytes of a stream came."""
        self._came_bytes += number
        self._host._moved(self, self._came_bytes >= _PART_BYTES)

    def ended(self, kind: str) -> None:
        """Note that all went well; of streams that `progress` was told of it says nothing more."""
        self._host._ended(self, kind)

    def release(self) -> None:
        """Give it back; a second time does nothing."""
        if self._is_open:
            self._host._leave(self)

    def __del__(self) -> None:
        # A stream that nobody closed.
        self.release()


class _Mine(threading.local):
    """The slots that a thread has taken and that may still be open."""

    def __init__(self) -> None:
        self.slots: list[weakref.ref[Slot]] = []

    def open_slots(self) -> list[Slot]:
        found = (reference() for reference in self.slots)
        return [slot for slot in found if slot is not None and slot.is_open]


_mine = _Mine()


class Host:
    """The slots of one server; `Pace.host` makes it."""

    def __init__(
        self,
        origin: str,
        ceiling: int,
        *,
        is_fixed: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.origin = origin
        self._clock = clock
        # The garbage collector may close a stream at any place, also where the lock is held.
        self._lock = threading.RLock()
        self._window = Window(ceiling, fixed=is_fixed)
        self._allowance = Allowance()
        self._refused_kinds = Refusals()
        self._queue: deque[Any] = deque()
        self._holders: dict[int, int] = {}
        self._in_flight = 0
        self._requests = self._most = self._refusals = self._pauses = self._breaks = 0
        self._moved_at = 0.0
        self._resumes_at = 0.0
        self._taken_at = float("-inf")
        self._noted_at = float("-inf")
        self._in_a_row = 0
        self._mean_seconds = 0.0

    @property
    def window(self) -> int:
        """So many requests may be in flight now."""
        return self._window.size

    def limit(self, ceiling: int) -> None:
        """Change the ceiling."""
        with self._lock:
            self._window.limit(ceiling)

    def summary(self) -> HostPace:
        """Return what it came to."""
        with self._lock:
            path = self._window.path
            return HostPace(
                origin=self.origin,
                requests=self._requests,
                most=self._most,
                window=self._window.size,
                refusals=self._refusals,
                pauses=self._pauses,
                breaks=self._breaks,
                rate=self._allowance.rate,
                path=tuple((round(at - path[0][0], 2), size) for at, size in path),
            )

    # -- waiting

    def enter(
        self, sleep: Callable[[float], None] = wait_or_stop, after: Slot | None = None
    ) -> Slot:
        """Wait until a request may be sent, and return the right to send it.

        Args:
            sleep: What waits where the server asked for it.
            after: That of a stream which broke, where this goes on with it: it is used, too, and
                nobody in the line is waited for.

        Raises:
            NotTriedError: This thread was told to stop.
        """
        is_going_on = after is not None and after._host is self and after.is_open
        me = after._owner if after is not None and is_going_on else threading.get_ident()
        others = _mine.open_slots()
        came = self._clock()
        is_nested = self._line_up(me)
        slot = Slot(self, me)
        try:
            was_held_back = self._wait_for_turn(sleep)
        except BaseException:
            slot.release()
            raise
        slot.began = slot._mark = now = self._clock()
        if self._window.is_climbing:
            # The other host is not slower for it.
            for other in others:
                other.away += now - came
        _mine.slots = [weakref.ref(each) for each in (*others, slot)]
        with self._lock:
            self._requests += 1
            # Where it is the rate that holds them back, more slots would not be used.
            uses_window = not is_nested and not was_held_back
            slot._token = self._window.begun(now, self._in_flight if uses_window else 0)
        return slot

    def _line_up(self, me: int) -> bool:
        """Take a slot; returns whether this thread had one."""
        with self._lock:
            if me in self._holders:
                self._holders[me] += 1
                return True
            if self._in_flight < self._window.size and not self._queue:
                self._take(me)
                return False
            gate = threading.Lock()
            gate.acquire()
            self._queue.append((gate, me))
        try:
            while not gate.acquire(timeout=_LOOK_SECONDS):
                check_stopped()
                self._look(gate)
        except BaseException:
            with self._lock:
                if (gate, me) in self._queue:
                    self._queue.remove((gate, me))
                else:
                    self._give_back(me)
            raise
        return False

    def _look(self, gate: Any) -> None:
        """Go ahead where nothing moves."""
        with self._lock:
            is_first = bool(self._queue) and self._queue[0][0] is gate
            if is_first and self._clock() - self._moved_at > _STUCK_SECONDS:
                self._let_first_in()

    def _take(self, owner: int) -> None:
        self._holders[owner] = 1
        self._in_flight += 1
        self._most = max(self._most, self._in_flight)
        self._moved_at = self._clock()

    def _let_first_in(self) -> None:
        gate, owner = self._queue.popleft()
        self._take(owner)
        gate.release()

    def _give_back(self, owner: int) -> None:
        left = self._holders[owner] - 1
        if left:
            self._holders[owner] = left
            return
        del self._holders[owner]
        self._in_flight -= 1
        self._let_in()

    def _let_in(self) -> None:
        self._moved_at = self._clock()
        while self._queue and self._in_flight < self._window.size:
            self._let_first_in()

    def _wait_for_turn(self, sleep: Callable[[float], None]) -> bool:
        """Wait as long as the host is left alone, and for the rate; returns whether it did."""
        waited = False
        while True:
            with self._lock:
                now, until = self._clock(), self._resumes_at
                pause_seconds = until - now
                turn_seconds = self._allowance.reserve(now) if pause_seconds <= 0 else 0.0
            if pause_seconds > 0:
                sleep(pause_seconds)
                self._resume(until)
            elif turn_seconds > 0:
                wait_or_stop(turn_seconds)
                if self._resumes_at <= self._clock():
                    return True
            else:
                return waited
            waited = True

    def _resume(self, until: float) -> None:
        """End a pause that somebody has waited for, unless there is a longer one by now."""
        with self._lock:
            if self._resumes_at == until:
                self._resumes_at = 0.0
                self._allowance.resume(self._clock())

    # -- what slots tell

    def _leave(self, slot: Slot) -> None:
        with self._lock:
            if slot._is_open:
                slot._is_open = False
                self._give_back(slot._owner)

    def _taken(self, kind: str) -> None:
        with self._lock:
            now = self._clock()
            self._refused_kinds.taken(kind)
            self._taken_at = now
            self._in_a_row = 0
            self._allowance.accepted(now)

    def _refused(self, slot: Slot, asked_seconds: float | None) -> tuple[bool, bool]:
        with self._lock:
            now = self._clock()
            self._refusals += 1
            is_pace = self._taken_at > slot.began - _LATELY_SECONDS
            is_new = slot.began >= self._noted_at
            is_for_good, is_news = self._refused_kinds.refused(slot.kind, now, is_new=is_new)
            if is_for_good:
                if is_news and now - self._taken_at < LONG_SECONDS:
                    # What it takes of others is not to go at the speed of these.
                    self._allowance = Allowance()
                return False, True
            if not is_new:
                # It was in flight with one that was noted.
                if asked_seconds and self._in_a_row < _MOST_REFUSALS:
                    self._resumes_at = max(self._resumes_at, now + asked_seconds)
                return is_pace, False
            self._noted_at = now
            self._in_a_row += 1
            self._pauses += 1
            own_seconds = min(
                _FIRST_PAUSE_SECONDS * 2.0 ** (self._in_a_row - 1), _LONGEST_OWN_PAUSE_SECONDS
            )
            is_believed = asked_seconds and self._in_a_row <= _MOST_REFUSALS
            pause_seconds = (asked_seconds if is_believed else None) or own_seconds
            self._resumes_at = max(self._resumes_at, now + pause_seconds)
            self._allowance.refused(now, self._resumes_at)
            rate = self._allowance.rate
            # Where the rate is known, it is what spares the server. The window is to leave room for
            # requests that take longer than most, or the rate would not be reached.
            most = _SPARE_SLOTS + int(4 * rate * self._mean_seconds) if rate else None
            self._window.trouble(slot.began, now, most)
            return is_pace, False

    def _pause(self, seconds: float, path: str) -> bool:
        with self._lock:
            now = self._clock()
            if not self._refused_kinds.asks_everybody(path, now):
                return False
            self._pauses += 1
            self._resumes_at = max(self._resumes_at, now + seconds)
            return True

    def _troubled(self, slot: Slot, *, is_break: bool = False) -> None:
        with self._lock:
            now = self._clock()
            self._breaks += is_break
            most = None
            if is_break and self._taken_at > slot.began - _LATELY_SECONDS:
                # It takes others: some content breaks each time, and is not to slow down the rest.
                size = self._window.size
                most = max(min(size, _LEAST_AFTER_BREAK), size * 3 // 4)
            self._window.trouble(slot.began, now, most)

    def _moved(self, slot: Slot, is_part: bool) -> None:
        self._moved_at = now = self._clock()
        if not is_part:
            return
        with self._lock:
            self._window.ended(slot._token, "part", now - slot._mark - slot.away, now)
            # The next part is of the size that the window has now.
            slot._token = self._window.begun(now, self._in_flight)
            slot._mark, slot._came_bytes, slot.away = now, 0, 0.0
            slot._has_parts = True
            self._let_in()

    def _ended(self, slot: Slot, kind: str) -> None:
        with self._lock:
            if slot._has_parts:
                return
            now = self._clock()
            seconds = now - slot.began - slot.away
            share = 0.05 if self._mean_seconds else 1.0
            self._mean_seconds += share * (seconds - self._mean_seconds)
            self._window.ended(slot._token, kind, seconds, now)
