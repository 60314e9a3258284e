"""How long an answer is waited for: what comes slowly ends, what is read slowly does not."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from airflow_provider_harbor.core.exceptions import HarborConnectionError, is_passing
from airflow_provider_harbor.core.http.patience import FLOOR_BYTES_PER_SECOND, answering_later
from airflow_provider_harbor.core.http.transport import HttpSession
from airflow_provider_harbor.core.http.waiting import obeying
from airflow_provider_harbor.core.stopping import StoppedError
from tests.hostile_server import Asked, HostileServer, Said

TIMEOUT = 0.3
# These servers would go on for ever; a busy machine takes its time for what ends.
SOON = 60
HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def session(server: HostileServer, timeout_seconds: float = TIMEOUT) -> HttpSession:
    return HttpSession(server.url, timeout_seconds=timeout_seconds, max_attempts=1)


@pytest.mark.parametrize(
    ("start", "piece"),
    [
        (HEAD, b"P"),
        (CHUNKED, b"1\r\nP\r\n"),
        (CHUNKED + b"5;x=", b"y"),
        (b"HTTP/1.1 200 OK\r\nX: ", b"y"),
        (b"HTTP/1.1 200 OK\r\n", b"X: y\r\n"),
        (b"HTTP/1.1 ", b"2"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (b"HTTP/1.1 500 No\r\nContent-Length: 100000\r\n\r\n", b"P"),
    ],
    ids=["body", "chunks", "chunk", "line", "head", "status", "continue", "error"],
)
def test_an_answer_that_trickles_ends_soon(start: bytes, piece: bytes) -> None:
    with HostileServer(lambda asked: server.trickle(start, piece, 0.04)) as server:
        began = time.monotonic()
        with pytest.raises(Exception, match=r"^GET http") as caught:
            session(server).request("GET", "/x")
        assert time.monotonic() - began < SOON
    assert is_passing(caught.value)


def test_a_redirect_whose_body_trickles_goes_on_soon() -> None:
    start = b"HTTP/1.1 302 Found\r\nLocation: /end\r\nContent-Length: 100000\r\n\r\n"

    def say(asked: Asked) -> Said:
        return (200, {}, "end") if asked.path == "/end" else server.trickle(start, b"P", 0.04)

    with HostileServer(say) as server:
        began = time.monotonic()
        assert session(server).request("GET", "/x").text == "end"
        assert time.monotonic() - began < SOON


def test_a_small_answer_ends_in_all_even_if_it_comes_faster_than_it_must() -> None:
    piece = b"x" * FLOOR_BYTES_PER_SECOND  # each 20 ms
    with HostileServer(lambda asked: server.trickle(HEAD, piece, 0.02)) as server:
        began = time.monotonic()
        with pytest.raises(HarborConnectionError, match=r"too slowly|in time"):
            session(server).request("GET", "/x", limit_bytes=10**9)
        assert time.monotonic() - began < SOON


@pytest.mark.parametrize(("piece", "attempts"), [(b"P", 4), (b"x" * FLOOR_BYTES_PER_SECOND, 2)])
def test_what_comes_slowly_is_not_tried_again_for_ever(piece: bytes, attempts: int) -> None:
    with HostileServer(lambda asked: server.trickle(HEAD, piece, 0.02)) as server:
        patient = HttpSession(server.url, timeout_seconds=TIMEOUT, sleep=lambda seconds: None)
        began = time.monotonic()
        with pytest.raises(HarborConnectionError, match=r"too slowly|in time"):
            patient.request("GET", "/x", limit_bytes=10**9)
        assert time.monotonic() - began < SOON
    assert len(server.asked) <= attempts


def test_a_blob_that_begins_to_trickle_ends_and_it_is_known_how_much_came() -> None:
    start = HEAD + b"x" * 1_000_000
    with HostileServer(lambda asked: server.trickle(start, b"P", 0.04)) as server:
        began = time.monotonic()
        with (
            session(server).open("/x") as stream,
            pytest.raises(HarborConnectionError, match=r"too slowly|in time") as caught,
        ):
            for _ in stream.blocks(1000):
                pass
        assert time.monotonic() - began < SOON
    assert caught.value.received_bytes == 1_000_000


def test_a_slow_blob_that_comes_steadily_is_waited_for() -> None:
    def steadily(asked: Asked) -> Iterator[bytes]:
        yield b"HTTP/1.1 200 OK\r\nContent-Length: 20000\r\n\r\n"
        for _ in range(20):
            server.is_stopped.wait(0.1)
            yield b"x" * 1000

    with HostileServer(steadily) as server, session(server, 1.5).open("/x") as stream:
        assert sum(map(len, stream.blocks())) == 20_000


def test_a_blob_is_read_as_slowly_as_its_destination_takes_it() -> None:
    body = b"x" * 3_000_000
    with (
        HostileServer(lambda asked: (200, {}, body)) as server,
        session(server, 1).open("/x") as stream,
    ):
        received = 0
        for number, block in enumerate(stream.blocks(100_000)):
            received += len(block)
            if number < 2:
                time.sleep(1.1)  # longer than anything is waited for
    assert received == len(body)


@pytest.mark.parametrize(
    "piece", [b"HTTP/1.1 100 Continue\r\n\r\n" * 1000, b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 1000]
)
def test_a_head_without_an_end_ends(piece: bytes) -> None:
    with (
        HostileServer(lambda asked: server.trickle(piece, piece, 0)) as server,
        pytest.raises(HarborConnectionError, match="is not HTTP"),
    ):
        session(server, 5).request("GET", "/x")


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf"), 86_401])
def test_a_time_that_is_none_is_refused(seconds: float) -> None:
    with pytest.raises(ValueError, match="timeout_seconds"):
        HttpSession("http://127.0.0.1:9", timeout_seconds=seconds)


# -- sending


class Blob:
    """A body that is read in blocks."""

    def __init__(self, size: int) -> None:
        self._rest = self._size = size

    def __len__(self) -> int:
        return self._size

    def read(self, size: int = -1, /) -> bytes:
        number = self._rest if size < 0 else min(size, self._rest)
        self._rest -= number
        return bytes(number)


@contextmanager
def slow_reader(pause_seconds: float, most_bytes: int) -> Iterator[str]:
    """Run a server that reads a little at a time, up to so many bytes, and answers 201 then."""
    ended = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)

        def serve() -> None:
            connection, _ = listener.accept()
            with connection, suppress(OSError):
                read = 0
                while read < most_bytes and not ended.wait(pause_seconds):
                    read += len(connection.recv(100_000))
                if read >= most_bytes:
                    connection.sendall(b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n")
                ended.wait(120)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            ended.set()
            thread.join()


def test_an_upload_over_a_slow_line_may_take_longer_than_any_time_out() -> None:
    """The time-out is for nothing at all that goes, and not for a block, nor for the whole."""
    size = 23 * 256 * 1024 + 5
    with slow_reader(0.02, size) as url:
        began = time.monotonic()
        client = HttpSession(url, timeout_seconds=1, max_attempts=1)
        # Its last block is small.
        answer = client.request("PUT", "/v2/x", data=Blob(size))
        assert answer.status == 201
        assert time.monotonic() - began > 1


def test_an_upload_of_which_nothing_goes_any_more_ends() -> None:
    with slow_reader(60, 1) as url:
        client = HttpSession(url, timeout_seconds=0.2, max_attempts=1)
        with pytest.raises(HarborConnectionError, match="no answer in time"):
            client.request("PUT", "/v2/x", data=Blob(50_000_000))


def test_an_answer_that_may_come_later_is_waited_for() -> None:
    """As that of a registry which reads again all that it was sent."""

    def say(asked: Asked) -> Iterator[bytes]:
        time.sleep(0.3)
        yield b"HTTP/1.1 201 Created\r\nContent-Length: 3\r\n\r\n"
        yield b"yes"

    with HostileServer(say) as server:
        client = HttpSession(server.url, timeout_seconds=0.1, max_attempts=1)
        with answering_later(60):
            assert client.request("PUT", "/v2/x", data=b"").content == b"yes"
        with pytest.raises(HarborConnectionError):
            client.request("PUT", "/v2/x", data=b"")


@pytest.mark.parametrize("said", [b"", HEAD], ids=["head", "body"])
def test_who_is_told_to_stop_waits_no_longer_for_a_server_that_says_nothing(said: bytes) -> None:
    stop, came = threading.Event(), threading.Event()

    def say(asked: Asked) -> Said:
        came.set()
        return server.trickle(said, b"", 600)

    with HostileServer(say) as server:
        threading.Thread(target=lambda: (came.wait(120), stop.set())).start()
        began = time.monotonic()
        with obeying(stop, StoppedError), pytest.raises(StoppedError):
            session(server, 600).request("GET", "/x")
        assert came.is_set()
        with obeying(stop, StoppedError), pytest.raises(StoppedError):
            session(server, 600).request("GET", "/x")  # what begins after it neither
        assert time.monotonic() - began < 300


def test_who_is_told_to_stop_waits_no_longer_for_a_server_that_takes_nothing() -> None:
    stop = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"

        def say_nothing() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(1)
                stop.set()
                ended.wait(120)

        ended = threading.Event()
        thread = threading.Thread(target=say_nothing)
        thread.start()
        began = time.monotonic()
        with obeying(stop, StoppedError), pytest.raises(StoppedError):
            HttpSession(url, timeout_seconds=600).request("PUT", "/x", data=bytes(1 << 26))
        assert time.monotonic() - began < 100
        ended.set()
        thread.join()


def test_what_a_stopped_run_clears_up_is_still_answered() -> None:
    stop = threading.Event()
    stop.set()
    with (
        HostileServer(lambda asked: (200, {}, "gone")) as server,
        obeying(stop, StoppedError),
    ):
        assert session(server, 600).request("DELETE", "/x").text == "gone"
