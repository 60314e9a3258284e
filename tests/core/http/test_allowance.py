"""How fast a server is asked that answers 429. All in simulated time."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from airflow_provider_harbor.core.http.allowance import Allowance
from airflow_provider_harbor.core.http.window import Window
from tests.core.http.simulated import Run, Server, bucket, each_second, sliding

LIMITS = {
    "each second": lambda: each_second(200),
    "sliding": lambda: sliding(200),
    "small bucket": lambda: bucket(200, 20),
    "large bucket": lambda: bucket(200, 200),
}


@pytest.mark.parametrize("line_seconds", [0.0005, 0.05, 0.15])
@pytest.mark.parametrize("limit", LIMITS.values(), ids=LIMITS)
def test_most_of_what_is_allowed_is_used_and_little_is_refused(
    limit: Callable[[], Callable[[float], bool]], line_seconds: float
) -> None:
    run = Run(Server(line_seconds=line_seconds, allows=limit()), Window(64))
    assert run.requests / run.seconds >= 0.9 * 200
    assert run.refused <= 0.02 * (run.requests + run.refused)


@pytest.mark.parametrize("limit", LIMITS.values(), ids=LIMITS)
def test_it_is_not_asked_again_and_again_where_each_refusal_stops_all_for_a_second(
    limit: Callable[[], Callable[[float], bool]],
) -> None:
    run = Run(Server(line_seconds=0.05, allows=limit(), asks_seconds=1.0), Window(64))
    assert run.requests / run.seconds >= 0.85 * 200
    assert run.refused <= 0.02 * (run.requests + run.refused)


def test_a_server_without_a_limit_is_not_held_back() -> None:
    run = Run(Server(), Window(64), requests=1_000)
    assert run.allowance.rate is None


def test_a_limit_that_is_gone_is_forgotten() -> None:
    server = Server(allows=bucket(50, 5))
    run = Run(server, Window(64), requests=500)
    assert run.allowance.rate is not None
    server.allows = lambda now: True
    began = run.seconds
    later = Run(server, Window(64), requests=60_000, allowance=run.allowance)
    assert run.allowance.rate is None
    assert later.seconds > began


def test_a_server_that_takes_nothing_has_no_rate() -> None:
    allowance = Allowance()
    allowance.refused(1.0, 1.1)
    assert allowance.rate is None
    assert allowance.reserve(1.2) == 0.0


def test_a_server_that_takes_nothing_more_is_asked_more_and_more_slowly() -> None:
    allowance = Allowance()
    for number in range(200):
        allowance.accepted(number / 100)
    rates = []
    for at in range(2, 40, 2):
        allowance.refused(float(at), at + 0.1)
        assert allowance.rate is not None
        rates.append(allowance.rate)
    assert rates == sorted(rates, reverse=True)
    assert rates[-1] == 0.5
