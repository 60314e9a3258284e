"""What people read in reports and logs: numbers in words, and how far things are."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timezone

# Called with a line of text that says how far a long work is; often, and maybe from many threads.
Progress = Callable[[str], None]

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
