"""How many requests a second a server allows: learned from its answers 429.

A window alone cannot hold a rate: where answers come within a millisecond, one request in flight is
a thousand a second. So the rate at which a server took requests just before it refused one is the
estimate, and requests are spaced by a bit less. As long as it proves right it is tried more and
more seldom whether more would be taken. No thread and no clock is in here, see `window`.
"""

from __future__ import annotations

from collections import deque

# Answers are counted in pieces of a second, and the rate is that of so long at most.
_PIECE_SECONDS = 0.1
_LATELY_SECONDS = 1.2
# Of a shorter time it is a guess only, and of an even shorter one it says nothing.
_KNOWN_SECONDS = 0.9
_LEAST_SECONDS = 0.25
# A pause of so long is one that the server asked for.
_LONG_PAUSE_SECONDS = 0.6
# The rate is cut once in so long at most: a server may count by the second.
_CUT_SECONDS = 1.0
# So much of what was taken is asked for.
_SHARE = 0.97
# A rate that was refused soon after the last cut is cut to so much at least.
_SHARE_OF_GUESS = 0.5
_SLOWEST = 0.5
# A guess is tried again soon, and grows in large steps. What is known stays for so long, longer
# each time that it proves right within a part, and so much longer than the server stops
# everything after a refusal.
_GUESS_HOLD_SECONDS = 0.5
_HOLD_SECONDS = 5.0
_HOLD_GROWTH = 2.5
_HOLD_FOR_PAUSE = 15.0
_LONGEST_HOLD_SECONDS = 120.0
_RIGHT_WITHIN = 0.15
# Then it grows: at each step by a part, and each part is larger than the one before.
_STEP_SECONDS = 0.5
_FIRST_STEP = 0.004
_STEP_OF_GUESS = 0.08
# A guess by fewer answers than that is a bad one.
_FEW = 40
_STEP_OF_BAD_GUESS = 0.4
_STEP_GROWTH = 1.35
_LARGEST_STEP = 0.2
# What is so much more than was refused shows that there is no such limit any more.
_FORGOTTEN_AT = 3.0
# Threads wake late: what they missed they may catch up with.
_CREDIT_SECONDS = 0.01


class Allowance:
    """The rate at which requests are sent.

    Attributes:
        rate: Requests a second; None as long as nothing is known of a limit.
    """

    def __init__(self) -> None:
        self.rate: float | None = None
        self._taken: deque[tuple[float, int]] = deque()
        self._counts_from = float("inf")
        self._paused_seconds = 0.0
        self._cut_at = float("-inf")
        self._refused_at = 0.0
        self._hold_seconds = 0.0
        self._step = _FIRST_STEP
        self._steps_at = 0.0
        self._next_at = float("-inf")

    def accepted(self, now: float) -> None:
        """Note an answer that was no refusal."""
        if self._taken and now - self._taken[-1][0] < _PIECE_SECONDS:
            at, number = self._taken[-1]
            self._taken[-1] = (at, number + 1)
            return
        if not self._taken:
            self._counts_from = min(self._counts_from, now)
        self._taken.append((now, 1))
        while now - self._taken[0][0] > 2 * _LATELY_SECONDS:
            self._taken.popleft()

    def refused(self, now: float, goes_on_at: float) -> None:
        """Note a refusal of a request that was sent after the last one was noted.

        Args:
            now: The time.
            goes_on_at: Until then nothing is sent.
        """
        if now - self._cut_at >= _CUT_SECONDS:
            self._cut(now, goes_on_at - now)
        self._next_at = max(self._next_at, goes_on_at)
        if goes_on_at - now >= _LONG_PAUSE_SECONDS:
            self._counts_from = goes_on_at
            self._paused_seconds = goes_on_at - now

    def _cut(self, now: float, pause_seconds: float) -> None:
        began = max(self._counts_from, now - _LATELY_SECONDS)
        number = self._number_since(began)
        age = max(now - began, _LEAST_SECONDS)
        found = number / age
        is_known = age >= _KNOWN_SECONDS and (number >= _FEW or self._was_right(found))
        if self.rate is not None:
            if not is_known:
                # A server that counts by the second took them at once, and in the pause none.
                guess = number / (age + self._paused_seconds)
                found = max(guess, self.rate * _SHARE_OF_GUESS)
            found = min(found, self.rate)
        if not found:
            return  # a server that takes nothing has no rate
        self._hold_seconds = self._hold_after(found, pause_seconds) if is_known else 0.0
        if is_known:
            self._step = _FIRST_STEP
        else:
            self._step = _STEP_OF_GUESS if number >= _FEW else _STEP_OF_BAD_GUESS
        self._refused_at = found
        self.rate = max(found * _SHARE, _SLOWEST)
        self._cut_at = now
        self._steps_at = now + pause_seconds + (self._hold_seconds or _GUESS_HOLD_SECONDS)
        self._next_at = now

    def _hold_after(self, found: float, pause_seconds: float) -> float:
        hold = max(_HOLD_SECONDS, _HOLD_FOR_PAUSE * pause_seconds)
        if self._was_right(found):
            hold = max(hold, self._hold_seconds * _HOLD_GROWTH)
        return min(hold, _LONGEST_HOLD_SECONDS)

    def _was_right(self, found: float) -> bool:
        return abs(found - self._refused_at) < _RIGHT_WITHIN * self._refused_at

    def _number_since(self, began: float) -> float:
        """Return how many requests were taken since then; of a piece its share."""
        ages = ((at + _PIECE_SECONDS - began, count) for at, count in self._taken)
        return sum(count * min(1.0, age / _PIECE_SECONDS) for age, count in ages if age > 0)

    def resume(self, now: float) -> None:
        """Note that a pause is over."""
        self._next_at = min(self._next_at, now)

    def reserve(self, now: float) -> float:
        """Return how many seconds the next request has to wait for its turn."""
        if self.rate is None:
            return 0.0
        waits = self._next_at > now
        at = max(self._next_at, now - _CREDIT_SECONDS)
        self._next_at = at + 1.0 / self.rate
        if waits and now >= self._steps_at:
            self._grow(self.rate, now)
        return max(0.0, at - now)

    def _grow(self, rate: float, now: float) -> None:
        self.rate = rate * (1.0 + self._step)
        self._step = max(self._step, min(self._step * _STEP_GROWTH, _LARGEST_STEP))
        self._steps_at = now + _STEP_SECONDS
        if self.rate > _FORGOTTEN_AT * self._refused_at:
            self.rate = None
