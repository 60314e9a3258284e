"""Do a thing again when that can help: for what is more than one request."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeVar

from airflow_provider_harbor.core.exceptions import (
    HarborBackupError,
    HarborRateLimitError,
    HarborStatusError,
    is_passing,
)

log = logging.getLogger(__name__)

T = TypeVar("T")

_ATTEMPTS = 3
# So many more where the server only wanted it later.
_MOST_REFUSALS = 6
_FIRST_WAIT_SECONDS = 0.5
_LONGEST_WAIT_SECONDS = 60.0
# What a server wants later, again and again, is tried no more after so long in all.
_LATER_SECONDS = 120.0


def attempt(
    work: Callable[[], T],
    *,
    sleep: Callable[[float], None],
    goes_on: Callable[[], bool] = lambda: True,
) -> T:
    """Return what `work` returns, called up to three times, with waits in between.

    They grow, and are as long at least as the server has asked for, up to a minute. A refusal that
    is a matter of the pace counts as no call, up to a number; but where the server goes on to want
    it later for two minutes, or refuses all such things for good, it is called no more.

    Args:
        work: Safe to call again after it failed.
        sleep: What waits, in seconds.
        goes_on: Asked before each further call; False ends it with the error at hand.

    Raises:
        HarborBackupError: What `work` raised last, or raised and no further call can mend.
    """
    number, refused, later_seconds = 1, 0, 0.0
    while True:
        try:
            return work()
        except HarborBackupError as err:
            is_early = isinstance(err, HarborRateLimitError) and err.is_pace
            refused += is_early
            is_counted = not is_early or refused > _MOST_REFUSALS
            if (is_counted and number == _ATTEMPTS) or not is_passing(err) or not goes_on():
                raise
            if isinstance(err, HarborStatusError):
                later_seconds += err.waited_seconds
            if later_seconds >= _LATER_SECONDS or _is_for_good(err):
                raise
            log.info("%s. Trying again", err)
            # A stream is not sent again by the transport, which honours this for all the rest.
            asked = err.retry_after_seconds if isinstance(err, HarborStatusError) else None
        wait_seconds = _FIRST_WAIT_SECONDS * 2.0 ** (number - 1)
        wait_seconds = max(wait_seconds, min(asked or 0.0, _LONGEST_WAIT_SECONDS))
        sleep(wait_seconds)
        later_seconds += wait_seconds if is_early or asked is not None else 0.0
        number += is_counted


def _is_for_good(err: HarborBackupError) -> bool:
    return isinstance(err, HarborRateLimitError) and err.is_for_good
