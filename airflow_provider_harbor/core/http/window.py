"""How many requests to one server are in flight at once: found by trying, and never stood still.

No thread and no clock is in here, so that it can be tried out in simulated time. `pace` tells it
what happens.

A size is tried over an epoch: until twice as many requests as it has slots have begun and ended in
it (as many, while it climbs). Then the sizes before and after a change are compared by how long a
request of the same kind took: twice the slots bring twice as much where requests take as long as
before, and nothing where they take twice as long. Kinds are compared with their like only (a HEAD
is no upload), so that it does not look like a slow server when the work changes. What is taken out
of a slot's time, and why, `slots.Slot` says.

    climbing   double it, as long as that brings at least so much more
    settled    try a bit more, later a bit less; keep more if it brings more, less if it costs
               nothing
    trouble    halve it at once, and do not grow again for a moment
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

# It begins with so many, and goes below only in trouble; or, where the server is so far away that
# these would be few, with so many requests a second. Nobody is hurt by as many.
_FIRST = 8
_FIRST_PER_SECOND = 200
_MOST_FIRST = 32
# The fastest of so many answers tells how far it is.
_ANSWERS_TO_START = 3
_LEAST_PROBED = 4
_LEAST = 1
# An epoch takes so many seconds and so many requests for each slot, both at least.
_EPOCH_SECONDS = 0.2
_ROUNDS = 2
_LEAST_ENDED = 8
# While it climbs these are enough, and each round of a server far away is long.
_CLIMBING_ENDED = 16
# One that has not come to its end by then is begun again: what it measured is of another time.
_LONGEST_EPOCH_SECONDS = 30.0
# Of a kind less is chance.
_LEAST_SAMPLES = 4
# What more have to bring, as a power of how many times more they are: twice as many bring 1.3 times
# as much, to go on doubling; or 1.1 times, not to be taken back. Half as many again bring 1.12
# times as much, and three quarters may cost 4 %.
_TO_DOUBLE = 0.38
_TO_KEEP = 0.14
_OF_MORE = 0.28
_OF_LESS = 0.14
# Slots that are not in use say nothing: so many have to be, and so much more of them than before.
_IN_USE = 0.8
_MORE_IN_USE = 1.1
# Between two trials; doubled after each that changed nothing.
_FIRST_REST_SECONDS = 1.0
_LONGEST_REST_SECONDS = 8.0
_REST_AFTER_TROUBLE_SECONDS = 2.0


@dataclass(slots=True)
class _Kind:
    number: int = 0
    seconds: float = 0.0


@dataclass(slots=True)
class _Epoch:
    """What was seen of one size."""

    number: int
    size: int
    began: float
    begun: int = 0
    ended: int = 0
    in_flight: int = 0
    kinds: dict[str, _Kind] = field(default_factory=lambda: defaultdict(_Kind))

    @property
    def in_use(self) -> float:
        """How many slots were in use, on average."""
        return min(self.in_flight / max(self.begun, 1), self.size)


class Window:
    """The size of a window.

    Args:
        ceiling: What it never goes above.
        fixed: Whether it is that always.

    Attributes:
        size: So many may be in flight.
        peak: The most it was.
        path: How it moved, as pairs of a time and a size; the last ones.
    """

    def __init__(self, ceiling: int, *, fixed: bool = False) -> None:
        self._ceiling = ceiling
        self._is_fixed = fixed
        self.size = ceiling if fixed else min(_FIRST, ceiling)
        self.peak = self.size
        self.path: list[tuple[float, int]] = []
        self.is_climbing = not fixed
        self._answers = 0
        self._fastest_seconds = float("inf")
        self._epochs = 0
        self._epoch: _Epoch | None = None
        self._before: _Epoch | None = None
        self._home = self.size
        self._rest_seconds = _FIRST_REST_SECONDS
        self._rests_until = 0.0
        self._tries_more = True
        self._shrunk_at = float("-inf")

    def limit(self, ceiling: int) -> None:
        """Change the ceiling."""
        self._ceiling = ceiling
        if self.size > ceiling:
            self.size = self._home = ceiling

    def begun(self, now: float, in_flight: int) -> int:
        """Note that a request was given a slot; returns what `ended` wants to know."""
        epoch = self._epoch
        if epoch is None:
            epoch = self._begin_epoch(now)
            if not self.path:
                self.path.append((now, self.size))
        epoch.begun += 1
        epoch.in_flight += in_flight
        return epoch.number

    def _begin_epoch(self, now: float) -> _Epoch:
        self._epochs += 1
        self._epoch = _Epoch(self._epochs, self.size, now)
        return self._epoch

    def ended(self, token: int, kind: str, seconds: float, now: float) -> None:
        """Note that a request ended well, or that a part of a large one did.

        Args:
            token: What `begun` returned.
            kind: Requests of one kind take about as long.
            seconds: How long it kept its slot.
            now: The time.
        """
        epoch = self._epoch
        if epoch is None or epoch.number != token or self._is_fixed:
            return
        epoch.ended += 1
        seen = epoch.kinds[kind]
        seen.number += 1
        seen.seconds += seconds
        if self._answers < _ANSWERS_TO_START and self._starts_at_once(seconds, now):
            return
        age = now - epoch.began
        if age >= _EPOCH_SECONDS and epoch.ended >= self._wanted(epoch):
            self._judge(epoch, now)
        elif age > _LONGEST_EPOCH_SECONDS:
            self._epoch = None

    def _starts_at_once(self, seconds: float, now: float) -> bool:
        """Begin with more, where the first answers tell that the server is far away."""
        self._answers += 1
        self._fastest_seconds = min(self._fastest_seconds, seconds)
        if self._answers < _ANSWERS_TO_START or not self.is_climbing or self._before:
            return False
        wanted = min(int(_FIRST_PER_SECOND * self._fastest_seconds), _MOST_FIRST, self._ceiling)
        if wanted <= self.size:
            return False
        self._home = wanted
        self._resize(wanted, now)
        return True

    def _wanted(self, epoch: _Epoch) -> int:
        """Return how many have to end in an epoch."""
        if self.is_climbing:
            return max(epoch.size, min(_ROUNDS * epoch.size, _CLIMBING_ENDED), _LEAST_ENDED)
        return max(_ROUNDS * epoch.size, _LEAST_ENDED)

    def trouble(self, began: float, now: float, most: int | None = None) -> None:
        """Note that the server refused a request, or that its connection broke: shrink at once.

        Many requests that were in flight together fail together, and count once.

        Args:
            began: When the request was sent.
            now: The time.
            most: Shrink to so many; to half where it is not known.
        """
        if began < self._shrunk_at or self._is_fixed:
            return
        self._shrunk_at = now
        target = self.size // 2 if most is None else min(most, self.size)
        self._home = max(_LEAST, target)
        self._settle(now, _REST_AFTER_TROUBLE_SECONDS)
        self._resize(self._home, now)

    # -- what an epoch says

    def _judge(self, epoch: _Epoch, now: float) -> None:
        before, self._before = self._before, None
        if before is None:
            if epoch.in_use >= _IN_USE * epoch.size:
                self._try_another(epoch, now)
            else:
                self._epoch = None  # more of them would not be used either
            return
        found = _gain(before, epoch)
        if found is None:
            self._wait_for_more(before, now)
            return
        ratio, gain = found
        if epoch.size > before.size and ratio < _MORE_IN_USE:
            # Nobody has used them: they do no harm as long as it is so, and are tried again.
            self._settle(now, _FIRST_REST_SECONDS)
            self._epoch = None
        elif self.is_climbing:
            self._climb(epoch, ratio, gain, now)
        else:
            self._weigh(epoch, ratio, gain, now)

    def _wait_for_more(self, before: _Epoch, now: float) -> None:
        """Go on with an epoch that had too little of what the one before it had."""
        if now - before.began > _LONGEST_EPOCH_SECONDS:
            self._resize(self._home, now)
        else:
            self._before = before
            self._begin_epoch(now)

    def _try_another(self, epoch: _Epoch, now: float) -> None:
        self._home = self.size
        if self.is_climbing:
            wanted = 2 * self.size
        elif now < self._rests_until:
            self._epoch = None
            return
        elif self._tries_more or self.size <= _LEAST_PROBED:
            wanted = self.size + max(1, self.size // 2)
        else:
            wanted = max(_LEAST_PROBED, self.size - max(1, self.size // 4))
        wanted = min(wanted, self._ceiling)
        if wanted == self.size:
            if self.is_climbing:
                self._settle(now, _FIRST_REST_SECONDS)
            self._tries_more = not self._tries_more
            self._epoch = None
            return
        self._before = epoch
        self._resize(wanted, now)

    def _climb(self, epoch: _Epoch, ratio: float, gain: float, now: float) -> None:
        if gain >= ratio**_TO_DOUBLE and self.size < self._ceiling:
            self._try_another(epoch, now)
            return
        self._settle(now, _FIRST_REST_SECONDS)
        self._resize(self.size if gain >= ratio**_TO_KEEP else self._home, now)

    def _weigh(self, epoch: _Epoch, ratio: float, gain: float, now: float) -> None:
        is_more = epoch.size > self._home
        self._tries_more = not is_more
        if gain >= ratio ** (_OF_MORE if is_more else _OF_LESS):
            self._settle(now, 0.0 if is_more else _FIRST_REST_SECONDS)
            self._tries_more = is_more
            self._resize(epoch.size, now)
        else:
            self._settle(now, min(2 * self._rest_seconds, _LONGEST_REST_SECONDS))
            self._resize(self._home, now)

    def _settle(self, now: float, rest_seconds: float) -> None:
        self.is_climbing = False
        self._rest_seconds = max(rest_seconds, _FIRST_REST_SECONDS)
        self._rests_until = now + rest_seconds
        self._before = None

    def _resize(self, size: int, now: float) -> None:
        if size != self.size:
            self.path = [*self.path[-199:], (now, size)]
        self.size = size
        self.peak = max(self.peak, size)
        self._epoch = None


def _gain(before: _Epoch, after: _Epoch) -> tuple[float, float] | None:
    """Return how many times more slots were in use, and how many times more that brought.

    None where too little was seen.
    """
    took = would_have_taken = 0.0
    for name, seen in after.kinds.items():
        was = before.kinds.get(name)
        if was and min(was.number, seen.number) >= _LEAST_SAMPLES:
            took += seen.seconds
            would_have_taken += was.seconds / was.number * seen.number
    if not took or not would_have_taken or not before.in_use:
        return None
    ratio = after.in_use / before.in_use
    return ratio, ratio * would_have_taken / took
