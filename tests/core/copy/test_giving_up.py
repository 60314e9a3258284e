"""When a copy tries no more: by what fails in a row, and never by one artifact's own failure."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from airflow_provider_harbor.core.copy.giving_up import GivingUp
from airflow_provider_harbor.core.exceptions import (
    DamagedContentError,
    HarborAuthError,
    HarborBackupError,
    HarborConnectionError,
    HarborProtocolError,
    HarborRateLimitError,
    HarborRefusedError,
    HarborServerError,
    MissingContentError,
    NotTriedError,
    RefusalReason,
    StoreError,
    StoreReason,
)

MANY = [f"p/{name}" for name in "abcdefgh"]


def server_error() -> HarborBackupError:
    return HarborServerError(status=500)


def refused(reason: RefusalReason) -> HarborBackupError:
    return HarborRefusedError(reason, status=403)


def is_tried(giving_up: GivingUp, repository: str) -> bool:
    try:
        giving_up.check(repository)
    except NotTriedError:
        return False
    return True


@pytest.mark.parametrize(
    "make",
    [
        server_error,
        lambda: HarborConnectionError("reset"),
        lambda: HarborAuthError(status=403),
        lambda: HarborRateLimitError(status=429),
    ],
)
def test_five_failures_in_a_row_stop_a_repository_and_no_other(
    make: Callable[[], HarborBackupError],
) -> None:
    giving_up = GivingUp()
    for _ in range(4):
        giving_up.failed("p/a", make())
        assert is_tried(giving_up, "p/a")
    giving_up.failed("p/a", make())
    assert not is_tried(giving_up, "p/a")
    assert is_tried(giving_up, "p/b")


def test_what_was_copied_in_between_begins_the_row_anew() -> None:
    giving_up = GivingUp()
    for _ in range(4):
        giving_up.failed("p/a", server_error())
    giving_up.succeeded("p/a")
    for _ in range(4):
        giving_up.failed("p/a", server_error())
    assert is_tried(giving_up, "p/a")


def test_what_another_repository_copied_does_not_begin_the_row_anew() -> None:
    giving_up = GivingUp()
    for _ in range(5):
        giving_up.failed("p/a", server_error())
        giving_up.succeeded("p/b")
    assert not is_tried(giving_up, "p/a")


def test_three_repositories_in_a_row_stop_all() -> None:
    giving_up = GivingUp()
    for repository in MANY[:3]:
        assert is_tried(giving_up, "p/h")
        for _ in range(5):
            giving_up.failed(repository, server_error())
    assert not is_tried(giving_up, "p/h")


def test_three_repositories_with_one_that_is_copied_in_between_do_not() -> None:
    """Three broken ones must not keep the others from being copied, night after night."""
    giving_up = GivingUp()
    for repository in MANY[:6]:
        for _ in range(5):
            giving_up.failed(repository, server_error())
        giving_up.succeeded("p/g")
    assert is_tried(giving_up, "p/h")


@pytest.mark.parametrize(
    "make",
    [
        lambda: refused(RefusalReason.READ_ONLY),
        lambda: refused(RefusalReason.QUOTA),
        lambda: StoreError(StoreReason.DENIED, "it may not be written", where="/backup"),
    ],
)
def test_a_destination_that_takes_nothing_stops_all_at_once(
    make: Callable[[], HarborBackupError],
) -> None:
    giving_up = GivingUp()
    for repository in MANY[:4]:
        giving_up.failed(repository, make())
    assert is_tried(giving_up, "p/h")
    giving_up.failed(MANY[4], make())
    assert not is_tried(giving_up, "p/h")


def test_a_store_that_is_full_stops_all_with_its_first_failure() -> None:
    giving_up = GivingUp()
    giving_up.failed("p/a", StoreError(StoreReason.FULL, "the disk is full", where="/backup"))
    assert not is_tried(giving_up, "p/h")


def test_a_destination_that_takes_something_in_between_does_not() -> None:
    """What is small may still fit into a quota that is nearly used up."""
    giving_up = GivingUp()
    for number in range(12):
        giving_up.failed(MANY[number % 6], refused(RefusalReason.QUOTA))
        if number % 3 == 2:
            giving_up.succeeded("p/h")
    assert is_tried(giving_up, "p/h")


@pytest.mark.parametrize(
    "make",
    [
        lambda: refused(RefusalReason.IMMUTABLE),
        lambda: refused(RefusalReason.INVALID),
        lambda: MissingContentError("sha256:0", "p/a"),
        lambda: DamagedContentError("sha256:0", "/backup"),
        lambda: HarborProtocolError("odd"),
    ],
)
def test_an_artifacts_own_failure_stops_nothing(
    make: Callable[[], HarborBackupError],
) -> None:
    giving_up = GivingUp()
    for _ in range(50):
        giving_up.failed("p/a", make())
    assert is_tried(giving_up, "p/a")


def test_one_failure_of_many_artifacts_counts_once() -> None:
    """A layer that cannot be fetched fails all the images that have it."""
    giving_up = GivingUp()
    shared = server_error()
    for _ in range(50):
        giving_up.failed("p/a", shared)
    assert is_tried(giving_up, "p/a")


def test_why_nothing_more_is_tried_is_told_with_the_first_reason() -> None:
    giving_up = GivingUp()
    errors = [HarborConnectionError(f"reason {number}") for number in range(7)]
    for error in errors:
        giving_up.failed("p/a", error)
    with pytest.raises(NotTriedError, match="those before it failed: reason 4"):
        giving_up.check("p/a")
