"""What people read in reports and logs: numbers in words, and how far things are."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timezone

# Called with a line of text that says how far a long work is, which may be a `HowFar`; often, and
# maybe from many threads.
Progress = Callable[[str], None]

# Before, how long it takes says nothing about how long the rest will take.
_ESTIMATED_AFTER_SECONDS = 5.0
_UNITS = ("KiB", "MiB", "GiB", "TiB", "PiB")


def human_size(size_bytes: int) -> str:
    """Return a size with a binary unit: `980 B`, `1.5 KiB`, `12.0 GiB`; 1 KiB is 1024 bytes."""
    if size_bytes < 1024:
        return f"{size_bytes} B"
    value = float(size_bytes)
    for unit in _UNITS:
        value /= 1024
        # What would be shown as 1024.0 is 1.0 of the next unit.
        if value < 1023.95:
            return f"{value:.1f} {unit}"
    return f"{value:,.1f} {_UNITS[-1]}"


def human_duration(seconds: float) -> str:
    """Return a duration in its two greatest units: `0.4 s`, `12 s`, `4 min 12 s`, `2 h 05 min`."""
    if seconds < 9.95:
        return f"{max(seconds, 0):.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02} min"


def human_count(number: int, noun: str) -> str:
    """Return a number with its noun: `1 project`, `1,200 projects`, `2 repositories`."""
    if number == 1:
        return f"1 {noun}"
    plural = noun[:-1] + "ies" if noun.endswith("y") else noun + "s"
    return f"{number:,} {plural}"


def human_time(moment: datetime) -> str:
    """Return a moment to the minute: `2025-11-25 01:00 UTC`; it must have a time zone."""
    return f"{moment.astimezone(timezone.utc):%Y-%m-%d %H:%M} UTC"


def human_moment(text: str) -> str:
    """Return a moment that is kept as a text (ISO 8601, with a time zone), as `human_time` does.

    Raises:
        ValueError: It is none.
        OverflowError: It is too near to the first or last day of all.
    """
    return human_time(datetime.fromisoformat(text))


def human_rate(bytes_per_second: float) -> str:
    """Return a rate with a unit of powers of 1000: `870 kB/s`, `45.3 MB/s`, `1.2 GB/s`."""
    if bytes_per_second < 999_500:
        return f"{bytes_per_second / 1e3:.0f} kB/s"
    if bytes_per_second < 999_950_000:
        return f"{bytes_per_second / 1e6:.1f} MB/s"
    return f"{bytes_per_second / 1e9:.1f} GB/s"


def human_left(seconds: float) -> str:
    """Return how long something may still take, as roughly as it is known: `12 min left`."""
    if seconds < 55:
        return f"{max(5 * round(seconds / 5), 5)} s left"
    minutes = max(round(seconds / 60), 1)
    if minutes < 60:
        return f"{minutes} min left"
    return f"{minutes // 60} h {minutes % 60:02} min left"


def time_left(share: float, seconds: float) -> float | None:
    """Return how many seconds something may still take; None where nobody can tell.

    Args:
        share: How much of it is done, 0 to 1.
        seconds: How long that took.
    """
    if share <= 0 or seconds < _ESTIMATED_AFTER_SECONDS:
        return None
    return seconds * max(1 - share, 0) / share


class HowFar(str):
    """A line of text that says how far something is, which has its numbers for who draws them.

    Attributes:
        done: How much of it is done.
        total: How much it is.
        size_bytes: How much was sent for it.
        seconds: How long it has been going on.
    """

    __slots__ = ("done", "seconds", "size_bytes", "total")

    done: int
    total: int
    size_bytes: int
    seconds: float

    def __new__(
        cls, *, done: int, total: int, noun: str, size_bytes: int, seconds: float
    ) -> HowFar:
        """Make the text of the numbers; `noun` is what is counted."""
        left = time_left(done / total if total else 1, seconds)
        parts = [
            f"{done:,} of {human_count(total, noun)}",
            f"{human_size(size_bytes)} sent",
            human_rate(size_bytes / max(seconds, 0.001)),
            *([f"about {human_left(left)}"] if left else []),
        ]
        made = super().__new__(cls, ", ".join(parts))
        made.done, made.total = done, total
        made.size_bytes, made.seconds = size_bytes, seconds
        return made
