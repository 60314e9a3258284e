"""Whether a request is sent again, and what its failure says of a server's pace."""

from __future__ import annotations

import random
import time

from airflow_provider_harbor.core.exceptions import (
    HarborBackupError,
    HarborConnectionError,
    HarborRateLimitError,
    HarborStatusError,
    HarborTlsError,
)
from airflow_provider_harbor.core.http.slots import LONGEST_PAUSE_SECONDS, Slot

_RETRIED_STATUSES = frozenset({408, 429, 500, 502, 503, 504})
_OVERLOADED = frozenset({502, 503, 504})
_FIRST_WAIT_SECONDS = 0.5
# So often a request is refused because of the pace before that counts as attempts.
_MOST_REFUSALS = 20
# A request that the server wants later, again and again, is sent no more after so long in all,
# and so many times at least.
_LATER_SECONDS = 60.0
_LEAST_REFUSALS = 3


def tell(slot: Slot, err: BaseException, url: str) -> None:
    """Tell the pace of a host why a request failed, and note in the error what follows."""
    if isinstance(err, HarborRateLimitError):
        err.is_pace, err.is_for_good = slot.refused(_asked_seconds(err))
    elif isinstance(err, HarborStatusError):
        slot.taken()
        if err.status in _OVERLOADED:
            slot.troubled()
        if err.status in _RETRIED_STATUSES and (asked_seconds := _asked_seconds(err)):
            err.pauses_all = slot.paused(asked_seconds, url.partition("?")[0])
    elif isinstance(err, HarborConnectionError) and not isinstance(err, HarborTlsError):
        slot.broke()


def _asked_seconds(err: HarborStatusError) -> float | None:
    """Return how long a server asked to wait, as far as it is done."""
    asked = err.retry_after_seconds
    return None if asked is None else min(asked, LONGEST_PAUSE_SECONDS)


class Tries:
    """How often one request was sent, and whether it is sent again.

    A refusal that is only a matter of the pace counts as no attempt, up to a number; and what was
    refused was not done, so that it may be sent again whatever it is.

    Args:
        attempts: How often it may fail.
        is_stream: Whether its body can be read once only.
    """

    def __init__(self, attempts: int, is_stream: bool = False) -> None:
        self._attempts = attempts
        self._is_stream = is_stream
        self._failed = self._refused = 0
        self._spent_seconds = 0.0
        self._later = 0
        self._later_since = 0.0

    def spent(self, slot: Slot) -> None:
        """Note how long it took, without the time in which it was not sent yet."""
        self._spent_seconds += time.monotonic() - slot.began

    def wait_seconds(self, err: HarborBackupError, most_seconds: float) -> float | None:
        """Return how long to wait before it is sent again; None where it is not.

        Args:
            err: What happened.
            most_seconds: What took so long is not tried again.
        """
        if not _may_pass(err) or self._spent_seconds >= most_seconds or self._is_stream:
            return None
        if self._is_for_good(err):
            return None
        if isinstance(err, HarborRateLimitError) and err.is_pace:
            self._refused += 1
            if self._refused < _MOST_REFUSALS:
                return 0.0
        self._failed += 1
        if self._failed >= self._attempts:
            return None
        if isinstance(err, HarborStatusError) and err.retry_after_seconds is not None:
            if err.pauses_all:
                return 0.0  # the host has a pause, which is waited for before it is sent
            return _asked_seconds(err)
        return _wait_seconds(self._failed)

    def _is_for_good(self, err: HarborBackupError) -> bool:
        """Note that the server wants it later, if so; tells whether that has gone on for long."""
        is_refusal = isinstance(err, HarborRateLimitError)
        if not isinstance(err, HarborStatusError):
            return False
        if not is_refusal and err.retry_after_seconds is None:
            return False
        now = time.monotonic()
        self._later += 1
        if self._later == 1:
            self._later_since = now
        err.waited_seconds = now - self._later_since
        return (isinstance(err, HarborRateLimitError) and err.is_for_good) or (
            self._later >= _LEAST_REFUSALS and err.waited_seconds >= _LATER_SECONDS
        )


def _wait_seconds(failed: int) -> float:
    # Spread, so that threads which failed together do not come back together.
    return _FIRST_WAIT_SECONDS * 2.0 ** (failed - 1) * random.uniform(0.75, 1.25)  # noqa: S311


def _may_pass(err: HarborBackupError) -> bool:
    if isinstance(err, HarborStatusError):
        return err.status in _RETRIED_STATUSES
    return not isinstance(err, HarborTlsError)
