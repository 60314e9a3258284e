"""What a server refuses for ever ends soon, and holds up nothing else."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from airflow_provider_harbor.core.exceptions import HarborRateLimitError, HarborStatusError
from airflow_provider_harbor.core.http import slots as slots_module
from airflow_provider_harbor.core.http.attempts import attempt
from airflow_provider_harbor.core.http.pace import Pace
from airflow_provider_harbor.core.http.refusals import Refusals, kind_of_path
from airflow_provider_harbor.core.http.transport import HttpSession
from tests.hostile_server import Asked, HostileServer, Said

OK: Said = (200, {}, "content")


class Clock:
    """A time that passes quickly where somebody waits."""

    def __init__(self) -> None:
        self.slept = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.slept

    def sleep(self, seconds: float) -> None:
        self.slept += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(slots_module, "wait_or_stop", made.sleep)
    return made


def refused_until_given_up(session: HttpSession, clock: Clock, path: str) -> tuple[float, int]:
    """Return how long it took until a refusal was for good, and how many were not."""
    began = clock()
    for number in range(500):
        clock.sleep(0.3)
        session.request("GET", "/v2/app/manifests/1")  # which is taken each time
        with pytest.raises(HarborRateLimitError) as caught:
            session.request("POST", path, data=b"")
        if caught.value.is_for_good:
            return clock() - began, number
    raise AssertionError("it was never given up")


@pytest.mark.parametrize("asked", ["", "1", "60"])
def test_what_is_refused_for_ever_is_given_up_although_all_else_is_taken(
    clock: Clock, asked: str
) -> None:
    headers = {"Retry-After": asked} if asked else {}

    def say(asked: Asked) -> Said:
        return (429, headers, {}) if asked.method == "POST" else OK

    with HostileServer(say) as server:
        session = HttpSession(server.url, pace=Pace(clock=clock), sleep=clock.sleep, max_attempts=1)
        seconds, _ = refused_until_given_up(session, clock, "/v2/app/blobs/uploads/")
        assert 30 <= seconds <= 400
        # From then on each fails with one request, and nobody waits for it.
        began, before = clock.slept, len(server.asked)
        with pytest.raises(HarborRateLimitError):
            attempt(
                lambda: session.request("POST", "/v2/b/blobs/uploads/", data=b""),
                sleep=clock.sleep,
            )
        session.request("GET", "/v2/app/manifests/1")
        assert len(server.asked) == before + 2
        assert clock.slept == began


def test_one_that_is_taken_again_makes_up_for_all_refusals() -> None:
    refusals = Refusals()
    for now in range(100):
        is_for_good, _ = refusals.refused("POST uploads", float(now), is_new=True)
    assert is_for_good
    refusals.taken("POST uploads")
    assert refusals.refused("POST uploads", 101.0, is_new=True) == (False, False)


def test_refusals_of_requests_that_were_in_flight_together_count_once() -> None:
    refusals = Refusals()
    for _ in range(64):
        refusals.refused("GET blobs", 0.0, is_new=False)
    assert refusals.refused("GET blobs", 40.0, is_new=True) == (False, False)


def test_a_kind_is_a_method_and_like_addresses() -> None:
    base = "http://a/v2/library/app"
    assert kind_of_path("POST", f"{base}/blobs/uploads/?mount=x/y") == "POST blobs"
    assert kind_of_path("PUT", f"{base}/manifests/1.0") == "PUT manifests"
    assert kind_of_path("GET", f"{base}/blobs/sha256:12") == "GET blobs"


def test_one_content_that_is_always_later_does_not_hold_up_the_others(clock: Clock) -> None:
    def say(asked: Asked) -> Said:
        return (503, {"Retry-After": "30"}, {}) if asked.path == "/v2/a/blobs/bad" else OK

    with HostileServer(say) as server:
        once = HttpSession(server.url, pace=Pace(clock=clock), sleep=clock.sleep, max_attempts=1)
        waited: list[float] = []
        for _ in range(20):
            with pytest.raises(HarborStatusError, match="503"):
                once.request("GET", "/v2/a/blobs/bad")
            began = clock.slept
            once.request("GET", "/v2/a/blobs/good")
            waited.append(clock.slept - began)
    assert sum(waited) <= 2 * 30 + 1
    assert waited[-1] == 0


def test_what_waits_alone_waits_as_long_as_it_was_asked_to(clock: Clock) -> None:
    said = iter([(503, {"Retry-After": "7"}, {})] * 3)
    with HostileServer(lambda asked: next(said, OK)) as server:
        session = HttpSession(server.url, pace=Pace(clock=clock), sleep=clock.sleep)
        began = clock.slept
        assert session.request("GET", "/x").text == "content"
        assert clock.slept - began == pytest.approx(21, abs=1)


@pytest.mark.parametrize("is_pace", [True, False])
def test_one_thing_is_not_tried_for_longer_than_two_minutes_when_it_is_wanted_later(
    is_pace: bool,
) -> None:
    waits: list[float] = []

    def refuse() -> None:
        error = HarborRateLimitError(status=429)
        error.is_pace, error.retry_after_seconds, error.waited_seconds = is_pace, 20.0, 30.0
        waits.append(30.0)
        raise error

    tried: Callable[[], None] = refuse
    with pytest.raises(HarborRateLimitError):
        attempt(tried, sleep=waits.append)
    assert sum(waits) <= 150
