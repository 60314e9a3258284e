"""Requests of one kind that a server goes on to refuse, and pauses that one address asks for.

A server may refuse all uploads, say, for ever, and answer everything else: that is no pace that
could be found. And one content may be answered 503 with Retry-After each time: that is no reason to
leave the whole server alone again and again. No lock is in here: `slots` has it.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

# What was refused for so long, and after so many pauses, with none of its kind taken in between.
LONG_SECONDS = 30.0
_PAUSES = 3
# After so long without a refusal, or a request for a pause, it begins anew.
_FORGOTTEN_SECONDS = 300.0
# So often an address has everybody wait.
_PAUSES_OF_ONE = 2
_MOST = 1024


def kind_of_path(method: str, path: str) -> str:
    """Return which requests are refused together: of one method, to like addresses.

    `PUT manifests` for `PUT /v2/library/app/manifests/1.0`: what comes last is a name mostly.
    """
    parts = path.partition("?")[0].rstrip("/").rsplit("/", 2)
    return f"{method} {parts[-2] if len(parts) > 1 else ''}"


@dataclass(slots=True)
class _Row:
    began: float
    last: float
    number: int = 1


class Refusals:
    """What of a server's answers is no matter of the pace."""

    def __init__(self) -> None:
        self._refused: OrderedDict[str, _Row] = OrderedDict()
        self._paused: OrderedDict[str, _Row] = OrderedDict()
        self._given_up: set[str] = set()

    def taken(self, kind: str) -> None:
        """Note that one of a kind was taken."""
        if self._refused:
            self._refused.pop(kind, None)
            self._given_up.discard(kind)

    def refused(self, kind: str, now: float, *, is_new: bool) -> tuple[bool, bool]:
        """Note that one of a kind was refused.

        Args:
            kind: See `kind_of_path`.
            now: In seconds.
            is_new: Whether it was sent after the last refusal's pause, not together with that one.

        Returns:
            Whether there is no sense in waiting for it, and whether that is news.
        """
        row = _noted(self._refused, kind, now, is_new)
        if row.number < _PAUSES or now - row.began < LONG_SECONDS:
            self._given_up.discard(kind)
            return False, False
        is_news = kind not in self._given_up
        self._given_up.add(kind)
        return True, is_news

    def asks_everybody(self, path: str, now: float) -> bool:
        """Note that an address asked for a pause; tells whether everybody is to wait for it."""
        return _noted(self._paused, path, now, True).number <= _PAUSES_OF_ONE


def _noted(rows: OrderedDict[str, _Row], key: str, now: float, is_new: bool) -> _Row:
    row = rows.pop(key, None)
    if row is None or now - row.last > _FORGOTTEN_SECONDS:
        row = _Row(now, now)
    else:
        row.last = now
        row.number += is_new
    rows[key] = row
    if len(rows) > _MOST:  # what is left out of them is as good as forgotten
        rows.popitem(last=False)
    return row
