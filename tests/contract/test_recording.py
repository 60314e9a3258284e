"""The double answers each recorded request as the real Harbor did; the replayer would notice."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from tests.contract.replay import Exchange, Replayer, load_exchanges
from tests.double import Fault, HarborDouble
from tests.double.__main__ import RECORDED_UNHEALTHY

EXCHANGES = load_exchanges()


@contextmanager
def seeded_double() -> Iterator[tuple[HarborDouble, Replayer]]:
    # Recorded at core itself, with no nginx before it.
    with HarborDouble(behind_nginx=False) as harbor:
        for component, message in RECORDED_UNHEALTHY.items():
            harbor.state.set_unhealthy(component, message)
        replayer = Replayer(harbor.url, harbor.user, harbor.password)
        replayer.seed()
        yield harbor, replayer


@pytest.fixture(scope="module")
def seeded():
    """A double as it was when the recording began; only exchanges that read are sent to it."""
    with seeded_double() as both:
        yield both


def test_all_recorded_exchanges_are_answered_as_harbor_answered_them():
    assert len(EXCHANGES) == 292
    assert len({exchange.name for exchange in EXCHANGES}) == 292
    with seeded_double() as (_, replayer):
        report = [
            f"{exchange.name}: {difference}"
            for exchange in EXCHANGES
            for difference in replayer.replay(exchange)
        ]
    assert not report, "\n".join(report)


def named(name: str) -> Exchange:
    return next(exchange for exchange in EXCHANGES if exchange.name == name)


def tampered(name: str, *path: str | int, value: object) -> Exchange:
    """Return an exchange in whose recorded answer one value is another one."""
    exchange = named(name)
    answer = copy.deepcopy(exchange.answer)
    place = answer
    for step in path[:-1]:
        place = place[step]
    if value is None:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return replace(exchange, answer=answer)


@pytest.mark.parametrize(
    "exchange",
    [
        tampered("projects [admin]", "status", value=201),
        tampered("projects [admin]", "headers", "x-total-count", value="4"),
        tampered("projects [admin]", "headers", "link", value="</next>"),
        tampered("projects [admin]", "headers", "x-total-count", value=None),
        tampered("projects [admin]", "cookies", value=[]),
        tampered("projects [admin]", "body", 0, "metadata", "public", value="true"),
        tampered("projects [admin]", "body", 0, "metadata", value=None),
        tampered("projects [admin]", "body", 0, "togglable", value=False),
        tampered("projects [admin]", "body", 0, value=None),
        tampered("projects [admin]", "body", 0, "project_id", value="<str>"),
        tampered("projects [admin]", "body", 0, "repo_count", value=False),
        tampered("artifact child by digest [admin]", "body", "size", value=1925),
        tampered("v2 [anonymous]", "headers", "www-authenticate", value="Bearer realm=<url>"),
        tampered("v2 manifest without token [admin]", "body", value="{}"),
        tampered("ping [admin]", "body", value="pong"),
        tampered("token pull [robot-one]", "body", "claims", "lifetime", value=1801),
        tampered("token pull [robot-one]", "body", "claims", "access", 0, "actions", value=[]),
    ],
    ids=lambda exchange: exchange.name,
)
def test_an_answer_that_differs_from_the_recording_is_reported(seeded, exchange):
    _, replayer = seeded
    assert not replayer.replay(named(exchange.name))
    assert replayer.replay(exchange)


def test_an_answer_that_is_no_json_is_reported(seeded):
    double, replayer = seeded
    double.faults.add(Fault(path="/api/v2.0/health", status=502, body="<html>Bad Gateway</html>"))
    report = replayer.replay(named("health [admin]"))
    assert report[0] == "status: 502 instead of 200"
    assert report[-1].startswith("body: cannot be read")
