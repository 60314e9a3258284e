"""How much is in flight: as much as helps, and no more. All in simulated time."""

from __future__ import annotations

import pytest

from airflow_provider_harbor.core.http.window import Window
from tests.core.http.simulated import Run, Server

SIZES = (4, 8, 16, 32, 64)


@pytest.mark.parametrize("line_seconds", [0.0005, 0.05, 0.15])
@pytest.mark.parametrize(("cores", "work_seconds"), [(1, 0.002), (4, 0.01), (16, 0.1), (64, 0.1)])
def test_it_is_about_as_fast_as_the_best_fixed_size(
    line_seconds: float, cores: int, work_seconds: float
) -> None:
    server = Server(line_seconds=line_seconds, cores=cores, work_seconds=work_seconds)
    found = Run(server, Window(64), requests=6_000).seconds
    best = min(Run(server, Window(n, fixed=True), requests=6_000).seconds for n in SIZES)
    assert found <= 1.15 * best


def test_a_server_with_one_core_beside_us_gets_few_at_once() -> None:
    window = Window(64)
    Run(Server(cores=1), window)
    assert window.size <= 12


def test_the_ceiling_is_never_passed() -> None:
    window = Window(24)
    Run(Server(line_seconds=0.15), window, requests=2_000)
    assert window.peak == 24
    assert max(size for _, size in window.path) == 24


def test_it_grows_again_when_the_line_becomes_long() -> None:
    server, window = Server(cores=1), Window(64)
    first = Run(server, window, requests=3_000)
    small = window.size
    server.line_seconds, server.cores = 0.15, 16
    Run(server, window, requests=6_000, seconds=first.seconds)
    assert window.size >= 4 * small


def test_what_nobody_uses_does_not_grow() -> None:
    window = Window(64)
    for number in range(1_000):  # one after the other
        token = window.begun(number * 0.01, 1)
        window.ended(token, "GET 0", 0.01, (number + 1) * 0.01)
    assert (window.size, window.peak) == (8, 8)


@pytest.mark.parametrize(
    ("seconds", "ceiling", "size"),
    [(0.001, 64, 8), (0.05, 64, 10), (0.15, 64, 30), (2.0, 64, 32), (0.15, 12, 12)],
)
def test_it_begins_with_more_where_the_server_is_far_away(
    seconds: float, ceiling: int, size: int
) -> None:
    window = Window(ceiling)
    for slower in (1.5, 1.0, 4.0):
        token = window.begun(0.0, 1)
        window.ended(token, "GET 0", slower * seconds, slower * seconds)
    assert window.size == size


def test_it_does_not_begin_with_more_after_trouble() -> None:
    window = Window(64)
    window.trouble(began=0.0, now=0.1)
    for _ in range(3):
        window.ended(window.begun(0.2, 1), "GET 0", 0.15, 0.35)
    assert window.size == 4


def test_other_work_is_no_slower_server() -> None:
    """Requests of 10 ms, of which few are enough, and then others of 200 ms."""
    server, window = Server(cores=16, work_seconds=0.01), Window(64)
    run = Run(server, window, requests=8_000)
    before = window.size
    server.kind, server.work_seconds = "PUT 0", 0.2
    Run(server, window, requests=1_000, seconds=run.seconds)
    assert window.size >= before // 2


def test_trouble_shrinks_at_once_and_once_for_what_failed_together() -> None:
    window = Window(64)
    Run(Server(line_seconds=0.15), window, requests=3_000)
    before = window.size
    for _ in range(20):
        window.trouble(began=100.0, now=100.2)
    assert window.size == before // 2
    window.trouble(began=100.3, now=100.5)
    assert window.size == before // 4


def test_after_trouble_it_grows_again() -> None:
    window, server = Window(64), Server(line_seconds=0.15)
    run = Run(server, window, requests=2_000)
    for at in range(10):
        window.trouble(began=run.seconds + at, now=run.seconds + at + 0.1)
    assert window.size == 1
    Run(server, window, requests=6_000, seconds=run.seconds + 10)
    assert window.size >= 32


def test_a_fixed_one_stays_as_it_is() -> None:
    window = Window(8, fixed=True)
    window.trouble(began=0.0, now=0.1)
    Run(Server(line_seconds=0.15), window, requests=1_000)
    assert (window.size, window.peak) == (8, 8)
