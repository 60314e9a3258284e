"""The benchmarks themselves: that they run, and measure what they say. No figure is judged here."""

from __future__ import annotations

import io
import json
import threading
import time
from pathlib import Path

import pytest
import requests

from tests.bench.__main__ import main
from tests.bench.copying import Bench, Trouble
from tests.bench.destinations import new_place
from tests.bench.limiter import Limiter
from tests.bench.processes import running
from tests.bench.tables import kinds, table
from tests.bench.tools import Ours, chosen
from tests.bench.workloads import w1
from tests.double import HarborDouble
from tests.registry_server import require_program

RTT_MS = 100


@pytest.fixture
def harbor():
    with HarborDouble() as harbor:
        yield harbor


def test_counts_requests_of_a_first_and_an_unchanged_night_at_both_ends(tmp_path: Path):
    require_program("docker-registry")
    bench = Bench(
        tmp_path, lambda text: None, rtts_ms=[20], places=["registry"], tools=[Ours()],
        trouble=Trouble(),
    )  # fmt: skip

    cold, unchanged = bench.copies(w1(1, 1))

    assert (cold.code, unchanged.code) == (0, 0), (cold.said, unchanged.said)
    # 14 images, 4 indexes, and 4 signatures.
    assert cold.at_source["manifest.get"] == 22
    assert cold.at_destination["blob_upload.post"] == cold.at_source["blob.get"] > 30
    assert "manifest.get" not in unchanged.at_source
    assert cold.line["bytes"] > unchanged.line["bytes"] > 0
    assert cold.cpu_seconds > 0
    assert cold.most_memory_bytes > 10_000_000
    text = table([cold, unchanged]) + kinds([cold, unchanged])
    assert "w1 to registry, 20 ms" in text
    assert "manifest.get 22" in text


def test_says_what_there_is_to_measure_and_what_there_is_not(capsys: pytest.CaptureFixture[str]):
    assert main(["--list"]) == 0
    assert "w3" in capsys.readouterr().out
    with pytest.raises(SystemExit) as exited:
        main(["w4"])
    assert exited.value.code == 2
    assert "there is no w4" in capsys.readouterr().err


def test_runs_with_a_fixed_number_in_flight_beside_the_default(tmp_path: Path):
    tools = chosen(None, [2], with_skopeo=False)
    bench = Bench(
        tmp_path, lambda text: None, rtts_ms=[0], places=["directory"], tools=tools,
        trouble=Trouble(),
    )  # fmt: skip
    runs = list(bench.copies(w1(1, 1)))
    assert [run.tool for run in runs] == ["ours"] * 2 + ["ours, 2 in flight"] * 2
    assert {run.code for run in runs} == {0}, runs
    assert len({run.at_source["manifest.get"] for run in runs if run.mode == "cold"}) == 1


def test_line_delays_each_answer_but_not_one_after_the_other(harbor: HarborDouble):
    seconds: list[float] = []

    def ask(session: requests.Session) -> None:
        started = time.monotonic()
        assert session.get(f"{line.url}/api/v2.0/ping", timeout=30).ok
        seconds.append(time.monotonic() - started)

    with running("tests.bench.line", harbor.url[7:], "--rtt", RTT_MS) as line:
        sessions = [requests.Session() for _ in range(32)]
        threads = [threading.Thread(target=ask, args=(session,)) for session in sessions]
        started = time.monotonic()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        together = time.monotonic() - started
        # A round trip for the handshake of each connection, and one for the request.
        assert min(seconds) >= 2 * RTT_MS / 1000
        assert together < sum(seconds) / 4
        seconds.clear()
        ask(sessions[0])
        assert seconds[0] >= RTT_MS / 1000
        assert line.ask("rtt 0") == "ok"
        assert "connections=32" in line.ask("figures")
    for session in sessions:
        session.close()


def test_line_passes_large_bodies_whole_and_can_be_cut(harbor: HarborDouble):
    harbor.create_project("large")
    body = bytes(range(256)) * 4096 * 6
    login = (harbor.user, harbor.password)

    def push(url: str) -> requests.Response:
        begun = requests.post(f"{url}/v2/large/app/blobs/uploads/", auth=login, timeout=30)
        path = begun.headers["Location"].partition("/v2/")[2]
        return requests.patch(f"{url}/v2/{path}", data=io.BytesIO(body), auth=login, timeout=30)

    with running("tests.bench.line", harbor.url[7:], "--rtt", 10) as line:
        answer = push(line.url)
        assert answer.status_code == 202
        assert answer.headers["Range"] == f"0-{len(body) - 1}"
    with running("tests.bench.line", harbor.url[7:], "--cut-every", 5) as line:
        with pytest.raises(requests.ConnectionError):
            push(line.url)
        assert "cuts=1" in line.ask("figures")


def test_limiter_allows_a_burst_and_then_its_rate():
    now = 0.0
    limiter = Limiter(10, 5, lambda: now)
    assert [limiter.allows() for _ in range(6)] == [True] * 5 + [False]
    now = 0.1
    assert [limiter.allows() for _ in range(2)] == [True, False]
    now = 100.0
    assert sum(limiter.allows() for _ in range(20)) == 5


@pytest.mark.parametrize("at", [1, 20, 60, 70])
def test_limiter_reads_requests_however_they_are_cut(at: int):
    def send(limiter: Limiter) -> tuple[bytes, bytes]:
        stream = limiter.stream()
        passed, answered = zip(stream.receive(whole[:at]), stream.receive(whole[at:]), strict=True)
        return b"".join(passed), b"".join(answered)

    whole = (
        b"PUT /v2/a/manifests/b HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n" + b"0123456789"
    )
    assert at < len(whole)
    limiter = Limiter(1, 1, lambda: 0.0)

    assert send(limiter) == (whole, b"")
    passed, answer = send(limiter)

    assert passed == b""
    assert answer.startswith(b"HTTP/1.1 429 ")
    assert b"Retry-After: 1" in answer
    assert answer.count(b"HTTP/1.1") == 1
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["errors"]


def test_limiter_sends_no_body_to_who_asked_for_the_head_only():
    limiter = Limiter(1, 1, lambda: 0.0)
    limiter.allows()
    _, answer = limiter.stream().receive(b"HEAD /v2/a/blobs/b HTTP/1.1\r\nHost: x\r\n\r\n")
    assert answer.endswith(b"\r\n\r\n")


def test_a_place_gives_back_the_room_of_large_files(tmp_path: Path) -> None:
    with new_place("directory", tmp_path / "place") as place:
        (place.directory / "large").write_bytes(bytes(2 * 1024 * 1024))
        (place.directory / "small").write_bytes(b"small")
    assert (tmp_path / "place/large").stat().st_size == 0
    assert (tmp_path / "place/small").read_bytes() == b"small"
