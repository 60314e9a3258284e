"""What is under way, and how far: what the screen draws, and lines in a file are made of."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from airflow_provider_harbor.core.human import (
    HowFar,
    human_count,
    human_left,
    human_rate,
    human_size,
    time_left,
)

# The rate is that of so many seconds: what it is now, and yet steady.
_RATE_SECONDS = 15.0
# In a file something that goes on is told after so long, and later more and more rarely.
_FIRST_LINE_SECONDS = 30.0
_MOST_SECONDS = 300.0


class Rate:
    """How many bytes a second pass at present."""

    def __init__(self) -> None:
        self._samples: deque[tuple[float, int]] = deque()

    def add(self, now: float, size_bytes: int) -> None:
        """Note how many bytes have passed in all."""
        self._samples.append((now, size_bytes))
        while len(self._samples) > 2 and self._samples[1][0] <= now - _RATE_SECONDS:
            self._samples.popleft()

    @property
    def bytes_per_second(self) -> float:
        """The rate; 0 as long as nothing is known."""
        if not self._samples:
            return 0.0
        (began, before), (now, after) = self._samples[0], self._samples[-1]
        return (after - before) / (now - began) if now > began else 0.0


@dataclass(slots=True)
class Row:
    """One thing that is under way.

    Attributes:
        place: Which one of how many, such as `[2/7]`; empty for the only one.
        name: Of a project; empty for the only one.
        text: What was said of it last.
    """

    place: str
    name: str
    text: str
    began: float
    weight: int = 1
    rate: Rate = field(default_factory=Rate)
    told_at: float = 0.0
    wait_seconds: float = _FIRST_LINE_SECONDS

    def __post_init__(self) -> None:
        self.told_at = self.began

    @property
    def how_far(self) -> HowFar | None:
        """Its numbers; None where there are none."""
        return self.text if isinstance(self.text, HowFar) else None

    @property
    def share(self) -> float:
        """How much of it is done, 0 to 1."""
        if (far := self.how_far) is None:
            return 0.0
        return far.done / far.total if far.total else 1.0

    @property
    def size_bytes(self) -> int:
        """How much was sent for it."""
        return self.how_far.size_bytes if self.how_far else 0

    @property
    def left_seconds(self) -> float | None:
        """How long it may still take; None where nobody can tell."""
        return time_left(self.share, self.how_far.seconds) if self.how_far else None

    def line(self) -> str:
        """Return it as a line of text, its rate that of now."""
        text: str = self.text
        if far := self.how_far:
            parts = [f"{far.done:,} of {human_count(far.total, 'manifest')}"]
            parts += _sent_in_words(far.size_bytes, self.rate, self.left_seconds)
            text = ", ".join(parts)
        begin = " ".join(filter(None, (self.place, self.name)))
        return f"{begin}: {text}" if begin else text

    def is_due(self, now: float) -> bool:
        """Tell whether it is to be told again in a file; asked once in a while."""
        if now - self.told_at < self.wait_seconds:
            return False
        self.told_at = now
        self.wait_seconds = min(2 * self.wait_seconds, _MOST_SECONDS)
        return True


def _sent_in_words(size_bytes: int, rate: Rate, left: float | None) -> list[str]:
    words = [f"{human_size(size_bytes)} sent", human_rate(rate.bytes_per_second)]
    return [*words, f"about {human_left(left)}"] if left else words


@dataclass(frozen=True, slots=True)
class Sum:
    """What all projects of a run come to.

    Attributes:
        ended, total: Numbers of projects.
        share: How much of all is done, 0 to 1, projects weighed by their repositories.
        size_bytes: How much was sent.
        left_seconds: How long it may still take; None where nobody can tell.
    """

    ended: int
    total: int
    share: float
    size_bytes: int
    rate: Rate
    left_seconds: float | None

    @property
    def title(self) -> str:
        """How many projects are done."""
        return f"{self.ended:,} of {human_count(self.total, 'project')}"

    def line(self) -> str:
        """Return it as a line of text."""
        sent = ", ".join(_sent_in_words(self.size_bytes, self.rate, self.left_seconds))
        return f"{self.title} done, {sent}"


class Projects:
    """The projects of a run, of which some are under way. May be used by threads.

    Args:
        weights: How many repositories each one has, as far as that is known; by name.
        began: When the run began, by the clock that all methods are given the time of.
    """

    def __init__(self, weights: Mapping[str, int], began: float) -> None:
        self._weights = {name: weight + 1 for name, weight in weights.items()}
        self._began = began
        self._lock = threading.Lock()
        self._rows: dict[str, Row] = {}
        self._ended = self._ended_weight = self._ended_bytes = 0
        self._rate = Rate()

    def begin(self, place: str, name: str, text: str, now: float) -> None:
        """Note that a project began."""
        with self._lock:
            self._rows[name] = Row(place, name, text, now, self._weights.get(name, 1))

    def tell(self, name: str, text: str) -> None:
        """Note how far a project is; of one that has ended nothing is noted."""
        with self._lock:
            if row := self._rows.get(name):
                is_plain = not isinstance(text, HowFar)
                row.text = text.removeprefix(f"{name}: ") if is_plain else text

    def end(self, name: str) -> None:
        """Note that a project ended."""
        with self._lock:
            if row := self._rows.pop(name, None):
                self._ended += 1
                self._ended_weight += row.weight
                self._ended_bytes += row.size_bytes

    def look(self, now: float) -> tuple[list[Row], Sum]:
        """Return what is under way, what has numbers first, and what all of it comes to."""
        with self._lock:
            rows = list(self._rows.values())
            for row in rows:
                row.rate.add(now, row.size_bytes)
            size_bytes = self._ended_bytes + sum(row.size_bytes for row in rows)
            self._rate.add(now, size_bytes)
            done = self._ended_weight + sum(row.share * row.weight for row in rows)
            share = done / max(sum(self._weights.values()), 1)
            left = time_left(share, now - self._began)
            if left is not None:  # never less than what one of them alone still takes
                left = max([left, *(row.left_seconds or 0.0 for row in rows)])
            return sorted(rows, key=lambda row: row.how_far is None), Sum(
                ended=self._ended,
                total=len(self._weights),
                share=min(share, 1.0),
                size_bytes=size_bytes,
                rate=self._rate,
                left_seconds=left,
            )
