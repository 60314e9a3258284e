"""How many bytes a second a process moves: kept over any ten seconds, and shared fairly."""

from __future__ import annotations

import contextlib
import gc
import socket
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from airflow_provider_harbor.core.exceptions import (
    HarborAuthError,
    HarborNotFoundError,
    NotTriedError,
)
from airflow_provider_harbor.core.http import rate as rate_module
from airflow_provider_harbor.core.http.rate import ByteRate, limit_rate, parse_rate
from airflow_provider_harbor.core.http.transport import HttpSession
from airflow_provider_harbor.core.http.waiting import obeying
from airflow_provider_harbor.core.oci.blob_reader import BlobReader
from airflow_provider_harbor.core.oci.downloads import Download
from airflow_provider_harbor.core.oci.manifest import digest_of
from airflow_provider_harbor.core.store.backup_store import BackupStore
from tests.hostile_server import Asked, HostileServer, Said

RATE = 1_000_000.0


class Clock:
    """Time that passes only where somebody waits."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def limited(monkeypatch: pytest.MonkeyPatch) -> Iterator[Clock]:
    """A limit of 1 MB/s for this process."""
    clock = Clock()
    limit = ByteRate(RATE, clock=clock, sleep=clock.sleep)
    monkeypatch.setattr(rate_module, "_limit", limit)
    return clock


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("1000", 1e3), ("50M", 50e6), ("1.5G", 1.5e9), ("500k", 5e5), (" 2 MB/s ", 2e6),
        ("0.001m", 1e3), ("10MB", 10e6),
    ],
)  # fmt: skip
def test_a_rate_as_people_write_it(text: str, rate: float) -> None:
    assert parse_rate(text) == rate


@pytest.mark.parametrize(
    "text",
    ["", "0", "0M", "-5M", "fast", "M", "5T", "1e6", "nan", "inf", "999", "0.5K", "5 5", "5,5M"],
)
def test_what_is_no_rate_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a rate"):
        parse_rate(text)


@pytest.mark.parametrize("rate", [0.0, -1.0, float("nan"), 999.0])
def test_too_slow_a_rate_is_refused(rate: float) -> None:
    with pytest.raises(ValueError, match="less than"):
        ByteRate(rate)


@pytest.mark.parametrize("rate", [2_000.0, 50_000.0, RATE, 5e8])
@pytest.mark.parametrize("wanted", [1_000, 256 * 1024, -1])
def test_it_is_kept_within_five_percent_over_any_ten_seconds(rate: float, wanted: int) -> None:
    clock = Clock()
    limit = ByteRate(rate, clock=clock, sleep=clock.sleep)
    moved: list[tuple[float, int]] = []
    while clock.now < 40:
        number = limit.block_bytes(wanted)
        number = 100_000 if number < 0 else number
        limit.spend(number)
        moved.append((clock.now, number))
        clock.now += 0.0001 if len(moved) % 7 else 0.03  # work, and now and then something slow
        if len(moved) > 200_000:
            break
    for start in range(0, 30, 3):
        found = sum(number for at, number in moved if start <= at < start + 10)
        if clock.now >= start + 10:
            assert found <= 1.05 * 10 * rate
            if rate <= 50_000 or wanted < 0:
                assert found >= 0.95 * 10 * rate


def test_without_a_limit_nothing_waits() -> None:
    clock = Clock()
    limit = ByteRate(None, clock=clock, sleep=clock.sleep)
    limit.spend(10**12)
    assert (clock.now, limit.block_bytes(-1), limit.block_bytes(5)) == (0.0, -1, 5)


def test_all_threads_get_about_as_much() -> None:
    limit, counts, is_over = ByteRate(2e6), Counter[int](), threading.Event()
    together = threading.Barrier(6, timeout=120)

    def move(number: int) -> None:
        together.wait()
        while not is_over.is_set():
            limit.spend(10_000)
            counts[number] += 1
            if counts.total() >= 120:
                is_over.set()

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(move, range(6)))
    # On a busy machine not all are there each time; who is pushed aside gets next to nothing.
    assert len(counts) == 6
    assert min(counts.values()) >= 0.1 * max(counts.values())


def test_a_blob_that_is_read_counts_once(limited: Clock) -> None:
    content = b"x" * 3_000_000
    reader = BlobReader(iter([content]), digest_of(content), len(content), "here")
    blocks = list(iter(lambda: reader.read(256 * 1024), b""))
    assert b"".join(blocks) == content
    assert max(map(len, blocks)) <= 0.1 * RATE
    assert limited.now == pytest.approx(3.0, rel=0.05)


def test_a_blob_from_a_store_and_a_manifest_count_once(limited: Clock, store: BackupStore) -> None:
    content, manifest = b"y" * 2_000_000, b"z" * 1_000_000
    for some in (content, manifest):
        store.pool.put_bytes(some, digest_of(some))
    before = limited.now
    with_blocks = store.pool.open(digest_of(content), len(content))
    assert sum(map(len, iter(with_blocks.read, b""))) == len(content)
    assert store.pool.read(digest_of(manifest)) == manifest
    assert limited.now - before == pytest.approx(3.0, rel=0.05)


def test_answers_count(limited: Clock) -> None:
    with HostileServer(lambda asked: (200, {}, b"x" * 500_000)) as server:
        session = HttpSession(server.url)
        for _ in range(4):
            session.request("GET", "/")
    assert limited.now == pytest.approx(2.0, rel=0.06)


def test_the_limit_of_the_process_can_be_set_and_taken_back() -> None:
    limit_rate(5e6)
    assert rate_module.block_bytes(10**9) == 500_000
    limit_rate(None)
    assert rate_module.block_bytes(10**9) == 10**9


# -- what is received ahead


def test_little_is_received_of_a_stream_that_nobody_reads(limited: Clock) -> None:
    """A limit is kept on the line: what the system receives was moved, whoever reads it."""
    sent = [0]
    is_over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
            with connection:
                connection.recv(65_536)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n")
                connection.settimeout(0.3)
                with contextlib.suppress(TimeoutError):
                    while not is_over.is_set():
                        sent[0] += connection.send(bytes(2048))
                is_over.wait(120)

        thread = threading.Thread(target=serve)
        thread.start()
        stream = HttpSession(f"http://127.0.0.1:{listener.getsockname()[1]}").open("/x")
        came = len(next(stream.blocks()))
        # Until it takes no more.
        before = -1
        while sent[0] != before:
            before = sent[0]
            is_over.wait(0.4)
        is_over.set()
        thread.join()
        stream.close()
    assert 0 < came <= 0.05 * RATE
    assert 0 < sent[0] <= 0.25 * RATE


def test_so_few_streams_are_open_that_all_they_received_is_worth_a_part_of_a_second() -> None:
    for rate in (1e6, 5e6, 50e6, 1e9):
        limit = ByteRate(rate)
        streams = limit._rooms.qsize()
        assert limit.receive_bytes is not None
        assert 0.2 * rate <= streams * 2 * limit.receive_bytes <= 0.25 * rate
        assert streams * limit.stream_block_bytes(10**9) <= 0.1 * rate


def test_a_further_stream_waits_until_one_is_closed(limited: Clock) -> None:
    is_open = threading.Event()
    with HostileServer(lambda asked: (200, {}, b"x" * 1000)) as server:
        session = HttpSession(server.url)
        streams = [session.open("/") for _ in range(3)]

        def open_one() -> None:
            with session.open("/") as stream:
                is_open.set()
                assert b"".join(stream.blocks()) == b"x" * 1000

        thread = threading.Thread(target=open_one)
        thread.start()
        assert not is_open.wait(0.3)
        streams[0].close()
        streams[0].close()
        thread.join(120)
        assert is_open.is_set()
        assert not thread.is_alive()
        # Who is told to stop waits for none; nor does a stream that nobody closes keep its place.
        with session.open("/"), obeying(is_open), pytest.raises(NotTriedError):
            session.open("/")
        streams.clear()
        gc.collect()
        for _ in range(5):
            session.open("/").close()


def test_a_stream_that_nobody_closed_may_be_collected_at_any_place() -> None:
    """Also where another is opened or closed: what those hold would be waited for for ever."""
    limit = ByteRate(RATE)
    places = [0]

    def collect_at(place: int) -> Callable[..., Any]:
        def trace(frame: Any, event: str, arg: Any) -> Any:
            nonlocal place
            place -= 1
            if place == 0:
                places[0] += gc.collect() > 0
            return trace

        return trace

    def open_at_each_place() -> None:
        for place in range(1, 40):
            forgotten: list[Any] = [limit.enter_stream()]
            forgotten.append(forgotten)
            del forgotten
            sys.settrace(collect_at(place))
            room = limit.enter_stream()
            room.release()
            sys.settrace(None)
            gc.collect()

    thread = threading.Thread(target=open_at_each_place, daemon=True)
    gc.collect()
    gc.disable()
    gc.freeze()  # what other tests left is looked through no more: 80 times takes minutes
    try:
        thread.start()
        thread.join(120)
    finally:
        gc.unfreeze()
        gc.enable()
    assert not thread.is_alive()
    assert places[0] >= 10
    assert limit._rooms.qsize() == 3


def test_a_stream_that_is_refused_gives_its_place_back(limited: Clock) -> None:
    with HostileServer(lambda asked: (404, {}, {})) as server:
        session = HttpSession(server.url)
        for _ in range(5):
            with pytest.raises(HarborNotFoundError):
                session.open("/")


@pytest.mark.parametrize("status", [401, 503])
def test_a_stream_that_goes_on_keeps_its_place_while_it_is_tried_again(
    limited: Clock, status: int
) -> None:
    """As when its token has run out: given away meanwhile, one more than there may be is open."""
    answers = iter([(200, {}, b"x"), (status, {}, b""), (200, {}, b"x")])
    with HostileServer(lambda asked: next(answers)) as server:
        free: list[int] = []
        session = HttpSession(
            server.url, sleep=lambda seconds: free.append(rate_module._limit._rooms.qsize())
        )
        broken = session.open("/")
        broken.disconnect()
        if status == 401:
            with pytest.raises(HarborAuthError):
                session.open("/", after=broken)
        further = session.open("/", after=broken)
        broken.close()
        free.append(rate_module._limit._rooms.qsize())
        assert set(free) == {2}
        further.close()
        assert rate_module._limit._rooms.qsize() == 3


def test_a_download_that_begins_anew_keeps_its_place(limited: Clock) -> None:
    """A server that takes no ranges is asked for the whole, with the same right to be open."""
    content = bytes(100)

    def say(asked: Asked) -> Said:
        if "Range" in asked.headers:
            return 206, {"Content-Range": "bytes 1-1/2"}, b"x"
        return 200, {}, content

    with HostileServer(say) as server:
        session = HttpSession(server.url)
        download = Download(
            lambda headers, after: session.open("/", headers=headers, after=after),
            len(content),
            limited.sleep,
        )
        download.open()
        blocks = download.blocks(50)
        assert rate_module._limit._rooms.qsize() == 2
        assert b"".join(blocks) == content[50:]
        assert rate_module._limit._rooms.qsize() == 3
