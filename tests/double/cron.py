"""Schedules in cron's language with a field for seconds, as Harbor's parser reads them."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from .wire import bad_request

# Seconds, minutes, hours, days of the month, months, days of the week.
BOUNDS = ((0, 59), (0, 59), (0, 23), (1, 31), (1, 12), (0, 6))
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
NAMES = {name: number for number, name in enumerate(MONTHS, 1)}
NAMES |= {name: number for number, name in enumerate(WEEKDAYS)}


class CronError(ValueError):
    """What Harbor says of a cron that it cannot read."""


def parse(cron: str) -> list[set[int]]:
    """Return the values of each field."""
    fields = cron.split()
    if len(fields) != len(BOUNDS):
        found = f"found {len(fields)}: [{' '.join(fields)}]"
        raise CronError(f"expected exactly {len(BOUNDS)} fields, {found}")
    return [_values(text, *bounds) for text, bounds in zip(fields, BOUNDS, strict=True)]


def _values(text: str, low: int, high: int) -> set[int]:
    found: set[int] = set()
    for part in text.split(","):
        span, _, step = part.partition("/")
        first, _, last = span.partition("-")
        start = low if first in ("*", "?") else _number(first)
        stop = high if first in ("*", "?") or (step and not last) else _number(last or first)
        if start < low:
            raise CronError(f"beginning of range ({start}) below minimum ({low}): {part}")
        if stop > high:
            raise CronError(f"end of range ({stop}) above maximum ({high}): {part}")
        if start > stop:
            raise CronError(f"beginning of range ({start}) beyond end of range ({stop}): {part}")
        found |= set(range(start, stop + 1, _number(step) if step else 1))
    return found


def _number(text: str) -> int:
    if text.lower() in NAMES:
        return NAMES[text.lower()]
    if not text.isdigit():
        quoted = f'strconv.Atoi: parsing "{text}": invalid syntax'
        raise CronError(f"failed to parse int from {text}: {quoted}")
    return int(text)


def check_cron(cron: str, what: str) -> None:
    """Raise what Harbor answers to a cron that it does not take for a schedule of its own."""
    problem = ""
    try:
        if not cron:
            raise CronError("empty cron string is invalid")
        parse(cron)
        if cron.split(" ")[0] != "0":
            text = "the 1st field (indicating Seconds of time) of the cron setting must be 0"
            raise CronError(text)
    except CronError as err:
        problem = str(err)
    if problem:
        raise bad_request(f"invalid cron string for scheduled {what}: {cron}, error: {problem}")


def next_time(cron: str, after_milliseconds: int) -> int:
    """Return when a schedule is due next, in milliseconds; 0 where never within five years."""
    seconds, minutes, hours, days, months, weekdays = parse(cron)
    any_day, any_weekday = cron.split()[3] in ("*", "?"), cron.split()[5] in ("*", "?")
    start = datetime.fromtimestamp(after_milliseconds // 1000 + 1, timezone.utc)
    day = start.replace(hour=0, minute=0, second=0, microsecond=0)
    for _ in range(5 * 366):
        by_day, by_weekday = day.day in days, day.isoweekday() % 7 in weekdays
        # Where both are given, one of them is enough.
        both = by_day and by_weekday if any_day or any_weekday else by_day or by_weekday
        if day.month in months and both:
            for hour in sorted(hours):
                for minute in sorted(minutes):
                    for second in sorted(seconds):
                        moment = day.replace(hour=hour, minute=minute, second=second)
                        if moment >= start:
                            return int(moment.timestamp()) * 1000
        day += timedelta(days=1)
    return 0
