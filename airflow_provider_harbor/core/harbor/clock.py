"""What time it is at a Harbor, as its answers say."""

from __future__ import annotations

import email.utils
import time
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone

# Answers say the time by the second.
_SECOND = 1.0


class Clock:
    """The clock of a Harbor. May be shared by threads."""

    def __init__(self) -> None:
        self._heard: tuple[datetime, float] | None = None

    def hear(self, headers: Mapping[str, str]) -> None:
        """Note what an answer says of the time (`Date`), if it says anything."""
        now = time.monotonic()
        if self._heard and now - self._heard[1] < _SECOND:
            return
        try:
            said = email.utils.parsedate_to_datetime(headers["Date"])
        except (LookupError, ValueError, TypeError, OverflowError):
            return
        if said.tzinfo is not None:
            self._heard = (said, now)

    def now(self) -> datetime | None:
        """Return what time it is by this clock, or by ours where that one is behind.

        So what Harbor says to have happened before it is over, whichever of the two is right. None
        where no answer said the time.
        """
        if self._heard is None:
            return None
        said, heard_at = self._heard
        try:
            theirs = said + timedelta(seconds=time.monotonic() - heard_at)
        except OverflowError:
            return None
        return min(theirs, datetime.now(timezone.utc))
