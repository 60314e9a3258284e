"""One pace for all threads of a process: who waits for whom, and what servers are spared."""

from __future__ import annotations

import gc
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from typing import Any

import pytest

from airflow_provider_harbor.core.exceptions import (
    HarborConnectionError,
    HarborRateLimitError,
    NotTriedError,
)
from airflow_provider_harbor.core.http import slots
from airflow_provider_harbor.core.http.pace import Pace, configure, default_pace
from airflow_provider_harbor.core.http.pace_notes import PaceNote, in_words
from airflow_provider_harbor.core.http.slots import Host
from airflow_provider_harbor.core.http.transport import HttpSession
from airflow_provider_harbor.core.http.waiting import obeying
from airflow_provider_harbor.core.side_by_side import submit
from tests.hostile_server import Asked, HostileServer, Said

OK: Said = (200, {}, "content")


class Busy:
    """What a server says, with how many it was asked at once at most."""

    def __init__(self, seconds: float = 0.01) -> None:
        self._seconds = seconds
        self._lock = threading.Lock()
        self._now = 0
        self.most = 0

    def __call__(self, asked: Asked) -> Said:
        with self._lock:
            self._now += 1
            self.most = max(self.most, self._now)
        time.sleep(self._seconds)
        with self._lock:
            self._now -= 1
        return OK


class Allowing:
    """A server that takes so many a second, and a few more at once."""

    def __init__(self, rate: float, burst: int, **headers: str) -> None:
        self._rate, self._burst, self._headers = rate, burst, headers
        self._lock = threading.Lock()
        self._tokens, self._at = float(burst), time.monotonic()
        self.statuses: Counter[int] = Counter()

    def __call__(self, asked: Asked) -> Said:
        with self._lock:
            now = time.monotonic()
            self._tokens = min(self._burst, self._tokens + (now - self._at) * self._rate)
            self._at = now
            is_allowed = self._tokens >= 1
            self._tokens -= is_allowed
            self.statuses[200 if is_allowed else 429] += 1
        return OK if is_allowed else (429, dict(self._headers), {})


def ask_all(session: HttpSession, number: int, threads: int) -> None:
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(lambda at: session.request("GET", f"/{at}"), range(number)))


# -- slots


def test_all_threads_and_sessions_share_the_window_of_a_host() -> None:
    busy, pace = Busy(), Pace(fixed=3)
    with HostileServer(busy) as server:
        sessions = [HttpSession(server.url, pace=pace) for _ in range(4)]
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda session: ask_all(session, 10, 4), sessions))
    assert busy.most == 3
    (host,) = pace.summary()
    assert (host.requests, host.most) == (40, 3)


def test_each_host_has_a_window_of_its_own() -> None:
    pace = Pace(fixed=1)
    with (
        HostileServer(lambda asked: OK) as one,
        HostileServer(lambda asked: OK) as other,
        HttpSession(one.url, pace=pace).open("/"),
    ):
        assert HttpSession(other.url, pace=pace).request("GET", "/").text == "content"
    assert {host.origin for host in pace.summary()} == {one.url, other.url}


def test_the_process_has_one_pace_whose_ceiling_can_be_set() -> None:
    configure(5)
    session = HttpSession("http://127.0.0.1:1", max_attempts=1)
    with pytest.raises(HarborConnectionError):
        session.request("GET", "/")
    assert [host.origin for host in default_pace().summary()] == ["http://127.0.0.1:1"]
    default_pace().limit(2)
    assert default_pace().host("http://127.0.0.1:1").summary().window <= 2


@pytest.mark.parametrize("number", [0, -1])
def test_less_than_one_at_once_is_refused(number: int) -> None:
    with pytest.raises(ValueError, match="one"):
        Pace(number)
    with pytest.raises(ValueError, match="one"):
        Pace().limit(number)


def test_who_came_first_is_served_first() -> None:
    host, served = Host("http://a", 1, is_fixed=True), []
    first = host.enter()
    threads = []
    for number in range(20):
        waits = threading.Event()

        def take(number: int = number, waits: threading.Event = waits) -> None:
            waits.set()
            slot = host.enter()
            served.append(number)
            slot.release()

        threads.append(threading.Thread(target=take))
        threads[-1].start()
        waits.wait()
        while len(host._queue) <= number:
            time.sleep(0.001)
    first.release()
    for thread in threads:
        thread.join()
    assert served == list(range(20))


def test_a_thread_that_has_a_slot_takes_no_second_one() -> None:
    pace = Pace(fixed=1)
    with HostileServer(lambda asked: OK) as server:
        session = HttpSession(server.url, pace=pace)
        with session.open("/stream") as stream:
            assert session.request("GET", "/token").text == "content"
            with session.open("/other") as other:
                assert b"".join(other.blocks()) == b"content"
            assert b"".join(stream.blocks()) == b"content"
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(session.request, "GET", "/after").result(120).text == "content"


def test_a_stream_may_be_closed_by_another_thread() -> None:
    pace = Pace(fixed=1)
    with HostileServer(lambda asked: OK) as server, ThreadPoolExecutor(1) as pool:
        session = HttpSession(server.url, pace=pace)
        stream = pool.submit(session.open, "/").result()
        with stream:
            assert b"".join(stream.blocks()) == b"content"
        assert session.request("GET", "/").text == "content"
        assert pool.submit(session.request, "GET", "/").result(120).text == "content"


def test_a_stream_that_nobody_closes_gives_its_slot_back_in_the_end() -> None:
    pace = Pace(fixed=1)
    with HostileServer(lambda asked: OK) as server, ThreadPoolExecutor(1) as pool:
        session = HttpSession(server.url, pace=pace)
        streams = [pool.submit(session.open, "/").result()]
        streams.append(streams)  # a circle, which only the collector undoes
        del streams
        gc.collect()
        assert session.request("GET", "/").text == "content"


@pytest.mark.parametrize(
    "said", [b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", b"rubbish", (404, {}, "")]
)
def test_what_fails_gives_its_slot_back(said: Said) -> None:
    pace = Pace(fixed=1)
    with HostileServer(lambda asked: said) as server, ThreadPoolExecutor(1) as pool:
        session = HttpSession(server.url, pace=pace, max_attempts=1)
        for _ in range(3):
            assert pool.submit(session.request, "GET", "/").exception(120) is not None
        assert pace.host(server.url)._in_flight == 0


def test_copies_in_both_directions_come_to_their_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each has the only slot of one host, and wants that of the other."""
    monkeypatch.setattr(slots, "_STUCK_SECONDS", 0.2)
    monkeypatch.setattr(slots, "_LOOK_SECONDS", 0.05)
    pace = Pace(fixed=1)
    both_have = threading.Barrier(2)
    with HostileServer(lambda asked: OK) as one, HostileServer(lambda asked: OK) as other:

        def copy(source: HttpSession, destination: HttpSession) -> str:
            with source.open("/") as stream:
                both_have.wait()
                return destination.request("PUT", "/", data=b"".join(stream.blocks())).text

        sessions = [HttpSession(server.url, pace=pace) for server in (one, other)]
        with ThreadPoolExecutor(2) as pool:
            copies = [pool.submit(copy, *sessions), pool.submit(copy, *reversed(sessions))]
            assert [each.result(120) for each in copies] == ["content"] * 2


def test_who_waits_while_something_moves_does_not_go_ahead(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(slots, "_STUCK_SECONDS", 1)
    monkeypatch.setattr(slots, "_LOOK_SECONDS", 0.02)
    host = Host("http://a", 1, is_fixed=True)
    slot = host.enter()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(host.enter)
        for _ in range(150):  # a long stream
            slot.progress(1)
            time.sleep(0.01)
        assert not waiting.done()
        slot.release()
        waiting.result(120).release()


def test_a_long_upload_moves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slots, "_STUCK_SECONDS", 1)
    monkeypatch.setattr(slots, "_LOOK_SECONDS", 0.02)
    busy, pace = Busy(), Pace(fixed=1)

    class Slow:
        left = 60

        def __len__(self) -> int:
            return 60

        def read(self, size: int = -1, /) -> bytes:
            time.sleep(0.03)
            self.left -= 1
            return b"x" if self.left >= 0 else b""

    with HostileServer(busy) as server, ThreadPoolExecutor(2) as pool:
        session = HttpSession(server.url, pace=pace)
        upload = pool.submit(session.request, "PUT", "/", data=Slow())
        while not pace.host(server.url)._in_flight:
            time.sleep(0.001)
        assert pool.submit(session.request, "GET", "/").result(120).text == "content"
        assert upload.result(120).text == "content"
    (host,) = pace.summary()
    assert host.most == 1


def test_a_thread_that_is_to_stop_waits_no_longer() -> None:
    host, is_stopped = Host("http://a", 1, is_fixed=True), threading.Event()
    slot = host.enter()
    with ThreadPoolExecutor(2) as pool, obeying(is_stopped):
        waiting = [submit(pool, host.enter) for _ in range(2)]
        is_stopped.set()
        for each in waiting:
            with pytest.raises(NotTriedError):
                each.result(120)
    slot.release()
    host.enter().release()
    assert host._in_flight == 0


def test_a_thread_that_is_to_stop_waits_for_no_pause() -> None:
    is_stopped, pace = threading.Event(), Pace()
    said = iter([(503, {"Retry-After": "60"}, {})])
    with HostileServer(lambda asked: next(said, OK)) as server:
        session = HttpSession(server.url, pace=pace)
        with ThreadPoolExecutor(1) as pool, obeying(is_stopped):
            asking = submit(pool, session.request, "GET", "/")
            while not pace.host(server.url).summary().pauses:
                time.sleep(0.001)
            is_stopped.set()
            with pytest.raises(NotTriedError):
                asking.result(120)
    assert len(server.asked) == 1
    assert pace.host(server.url)._in_flight == 0


# -- what a server is spared


def test_a_limit_of_requests_a_second_is_kept_and_nothing_fails() -> None:
    allowing, pace = Allowing(200, 20), Pace()
    with HostileServer(allowing) as server:
        ask_all(HttpSession(server.url, pace=pace), 500, 24)
    assert allowing.statuses[200] == 500
    assert allowing.statuses[429] <= 0.02 * 520
    (host,) = pace.summary()
    assert host.refusals == allowing.statuses[429] > 0
    ((origin, words),) = in_words(pace.notes()).items()
    assert origin == server.url
    assert words.startswith("at most ")
    assert "asked to slow down" in words


@pytest.mark.parametrize(
    ("value", "least", "most"),
    [
        (lambda: "7", 6.9, 7),
        (lambda: format_datetime(datetime.now(timezone.utc) + timedelta(seconds=20)), 15, 20),
        (lambda: str(365 * 86_400), 59.9, 60),
        (lambda: format_datetime(datetime.now(timezone.utc) + timedelta(days=365)), 59.9, 60),
        (lambda: "99999999999999999999", 0, 2),
        (lambda: "soon", 0, 2),
        (lambda: "-3", 0, 2),
        (lambda: "Mon, 99 Foo 2026 25:61:61 GMT", 0, 2),
    ],
    ids=["seconds", "date", "a year", "a date in a year", "digits", "word", "negative", "no date"],
)
def test_all_threads_wait_as_long_as_one_was_asked_to(
    value: Callable[[], str], least: float, most: float
) -> None:
    said = iter([(200, {}, ""), (429, {"Retry-After": value()}, {})])
    waits: list[float] = []
    pace = Pace()
    with HostileServer(lambda asked: next(said, OK)) as server:
        HttpSession(server.url, pace=pace).request("GET", "/")
        first = HttpSession(server.url, pace=pace, sleep=lambda seconds: None, max_attempts=1)
        with pytest.raises(HarborRateLimitError):
            first.request("PUT", "/", data=OnceOnly(b"content"))
        HttpSession(server.url, pace=pace, sleep=waits.append).request("GET", "/")
    assert least <= sum(waits) <= most


class OnceOnly:
    """A body that is streamed."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def __len__(self) -> int:
        return 7

    def read(self, size: int = -1) -> bytes:
        content, self._content = self._content, b""
        return content


@pytest.mark.parametrize("headers", [{}, {"Retry-After": "3600"}], ids=["", "in an hour"])
def test_a_server_that_refuses_for_ever_is_asked_a_few_times_and_one_error_says_so(
    headers: dict[str, str],
) -> None:
    waits: list[float] = []
    with HostileServer(lambda asked: (429, headers, {})) as server:
        session = HttpSession(server.url, pace=Pace(), sleep=waits.append)
        for _ in range(20):
            with pytest.raises(HarborRateLimitError, match="429"):
                session.request("GET", "/")
    assert len(server.asked) <= 4 * 20
    assert sum(waits) <= 5 * 60 + 20 * 15


def test_what_is_refused_while_others_are_taken_is_sent_again_whatever_it_is() -> None:
    """A refused request was not done; so that also one may be repeated that writes."""
    said: Iterator[Any] = iter([OK, *[(429, {}, {})] * 3])
    with HostileServer(lambda asked: next(said, OK)) as server:
        session = HttpSession(server.url, pace=Pace(), max_attempts=1)
        session.request("GET", "/")
        assert session.request("POST", "/", data=b"once").text == "content"
    assert Counter(asked.method for asked in server.asked) == {"GET": 1, "POST": 4}


def test_one_that_alone_is_refused_for_ever_fails_in_the_end() -> None:
    def say(asked: Asked) -> Said:
        return (429, {}, {}) if asked.path == "/never" else OK

    pace = Pace()
    is_over = threading.Event()
    with HostileServer(say) as server:
        session = HttpSession(server.url, pace=pace, sleep=lambda seconds: None)

        def ask_others() -> None:
            while not is_over.is_set():
                session.request("GET", "/")

        with ThreadPoolExecutor(1) as pool:
            others = pool.submit(ask_others)
            with pytest.raises(HarborRateLimitError):
                session.request("GET", "/never")
            is_over.set()
            others.result()
    assert sum(asked.path == "/never" for asked in server.asked) <= 30


@pytest.mark.parametrize("said", [(503, {}, {}), b""], ids=["503", "closed"])
def test_a_server_in_trouble_gets_fewer_at_once(said: Said) -> None:
    pace = Pace()
    with HostileServer(lambda asked: said) as server:
        session = HttpSession(server.url, pace=pace, sleep=lambda seconds: None)
        with pytest.raises(Exception, match="GET"):
            session.request("GET", "/")
        (host,) = pace.summary()
    assert host.window < 8
    assert host.breaks == (0 if isinstance(said, tuple) else 4)


def test_a_503_with_a_time_stops_everybody_for_so_long() -> None:
    said = iter([(503, {"Retry-After": "9"}, {})])
    waits: list[float] = []
    pace = Pace()
    with HostileServer(lambda asked: next(said, OK)) as server:
        with pytest.raises(Exception, match="503"):
            HttpSession(server.url, pace=pace, max_attempts=1).request("GET", "/")
        HttpSession(server.url, pace=pace, sleep=waits.append).request("GET", "/")
    assert sum(waits) == pytest.approx(9, abs=0.5)


def test_the_time_in_a_queue_is_no_time_of_the_server() -> None:
    """Else what waits long for its turn would not be tried again after an error."""
    said = iter([(503, {}, {})] * 2)
    pace = Pace(fixed=1)
    with HostileServer(lambda asked: next(said, OK)) as server:
        session = HttpSession(server.url, pace=pace, timeout_seconds=0.25, sleep=lambda s: None)
        slot = pace.host(server.url).enter()
        with ThreadPoolExecutor(1) as pool:
            asking = pool.submit(session.request, "GET", "/")
            time.sleep(1.1)
            slot.release()
            assert asking.result(120).text == "content"


def test_a_far_server_gets_more_at_once_than_a_near_one() -> None:
    far, near = Busy(0.1), Busy(0.0)
    paces = {}
    for busy, number in ((far, 600), (near, 300)):
        with HostileServer(busy) as server:
            pace = Pace(48)
            ask_all(HttpSession(server.url, pace=pace), number, 48)
            (paces[busy],) = pace.summary()
    assert paces[far].most >= 32
    assert paces[far].path[0][1] == 8


def test_the_words_of_a_report_count_each_process_once() -> None:
    def note(process: str, most: int, pauses: int) -> PaceNote:
        return PaceNote(process=process, origin="https://a", most=most, pauses=pauses)

    notes = [note("1", 8, 0), note("1", 37, 2), note("1", 37, 1), note("2", 16, 1)]
    assert in_words(notes) == {
        "https://a": "at most 37 requests at once in each of 2 processes; asked to slow down "
        "3 times"
    }
    assert in_words(notes[:1]) == {"https://a": "at most 8 requests at once"}
    assert [PaceNote.from_json(each.to_json()) for each in notes] == notes
