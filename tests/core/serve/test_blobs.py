"""Blobs, whole and in parts, out of directories and out of S3."""

from __future__ import annotations

import hashlib
import itertools
import os
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from airflow_provider_harbor.core.serve.content import BLOCK_BYTES, open_blob
from airflow_provider_harbor.core.store.backup_store import BackupStore
from tests.core.night import REPOSITORY, Night, shared_layer
from tests.core.serve.running import Served, serving

LAYER = shared_layer()
DIGEST = "sha256:" + hashlib.sha256(LAYER).hexdigest()
PATH = f"/v2/{REPOSITORY}/blobs/{DIGEST}"
SIZE = len(LAYER)


@pytest.fixture(scope="module")
def on_s3(night: Night, s3) -> Iterator[Served]:
    """The same night, in a bucket."""
    store = BackupStore(f"s3://{s3.new_bucket()}/a/prefix", **s3.options)
    for path in night.path.rglob("*"):
        if path.is_file():
            store.files.write(str(path.relative_to(night.path)), path.read_bytes())
    with serving(store) as running:
        yield running


@pytest.fixture(params=["directory", "s3"])
def either(request: pytest.FixtureRequest) -> Served:
    name = {"directory": "served", "s3": "on_s3"}[request.param]
    running: Served = request.getfixturevalue(name)
    return running


def test_the_layer_is_larger_than_a_block():
    assert SIZE > 3 * BLOCK_BYTES


def test_every_blob_is_there(either: Served, night: Night):
    for name, content in night.contents.items():
        if name in ("chart", "other"):
            continue
        for part in content.walk():
            for digest, blob in part.blobs.items():
                answer = either.get(f"/v2/{REPOSITORY}/blobs/{digest}")
                assert (answer.status_code, answer.content) == (200, blob)
                assert answer.headers["Docker-Content-Digest"] == digest
                assert answer.headers["Content-Length"] == str(len(blob))


def test_head_says_how_large_it_is(either: Served):
    answer = either.head(PATH)
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["Content-Length"] == str(SIZE)
    assert answer.headers["Accept-Ranges"] == "bytes"
    assert answer.headers["ETag"] == f'"{DIGEST}"'


@pytest.mark.parametrize(
    ("asked", "start", "end"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=0-9", 0, 10),
        ("bytes=10-", 10, SIZE),
        (f"bytes=5-{SIZE - 1}", 5, SIZE),
        (f"bytes={SIZE - 1}-", SIZE - 1, SIZE),
        (f"bytes=1000-{10**17}", 1000, SIZE),
        ("bytes=-7", SIZE - 7, SIZE),
        (f"bytes=-{10**17}", 0, SIZE),
        ("Bytes= 3 - 4 ", 3, 5),
        (f"bytes={BLOCK_BYTES - 1}-{2 * BLOCK_BYTES}", BLOCK_BYTES - 1, 2 * BLOCK_BYTES + 1),
    ],
)
def test_a_part_is_that_part(either: Served, asked: str, start: int, end: int):
    answer = either.get(PATH, headers={"Range": asked})
    assert (answer.status_code, answer.content) == (206, LAYER[start:end])
    assert answer.headers["Content-Range"] == f"bytes {start}-{end - 1}/{SIZE}"
    assert answer.headers["Content-Length"] == str(end - start)


@pytest.mark.parametrize("asked", [f"bytes={SIZE}-", f"bytes={SIZE}-{SIZE + 5}", "bytes=-0"])
def test_a_part_behind_the_end_is_refused(either: Served, asked: str):
    answer = either.get(PATH, headers={"Range": asked})
    assert answer.status_code == 416
    assert answer.headers["Content-Range"] == f"bytes */{SIZE}"
    assert answer.json()["errors"][0]["code"] == "RANGE_INVALID"


@pytest.mark.parametrize(
    "asked", ["bytes=0-1,5-6", "bytes=9-3", "bytes=x-y", "bytes=-", "lines=1-2", "bytes", "bytes=1"]
)
def test_what_is_no_single_range_is_answered_with_all(served: Served, asked: str):
    answer = served.get(PATH, headers={"Range": asked})
    assert (answer.status_code, answer.content) == (200, LAYER)


def test_a_download_goes_on_where_it_broke(served: Served):
    part = served.get(PATH, headers={"Range": "bytes=1000000-", "If-Range": f'"{DIGEST}"'})
    assert LAYER[:1_000_000] + part.content == LAYER
    other = served.get(PATH, headers={"Range": "bytes=1000000-", "If-Range": '"another"'})
    assert (other.status_code, other.content) == (200, LAYER)


def test_what_a_client_has_is_not_sent_again(served: Served):
    answer = served.get(PATH, headers={"If-None-Match": f'"{DIGEST}"'})
    assert (answer.status_code, answer.content) == (304, b"")


def test_a_buffer_is_not_written_while_somebody_looks_at_it(night: Night):
    """What is handed out stays what it was, however many blocks are read after it."""
    store = night.store
    kept = []
    for _ in range(5):
        blocks = open_blob(store, DIGEST, SIZE, 0, SIZE)
        kept += list(itertools.islice(blocks, 3))
        assert b"".join(blocks) == LAYER[3 * BLOCK_BYTES :]
    for number, block in enumerate(kept):
        start = number % 3 * BLOCK_BYTES
        assert bytes(block) == LAYER[start : start + BLOCK_BYTES]


def test_many_clients_get_it_at_the_same_time(either: Served):
    with ThreadPoolExecutor(16) as threads:
        contents = list(threads.map(lambda _: either.get(PATH).content, range(48)))
    assert set(contents) == {LAYER}


def test_clients_that_go_away_leave_nothing_open(served: Served):
    """A layer is cut by each of them; the files that were opened for it are closed again."""
    host, _, port = served.host.rpartition(":")
    for _ in range(20):
        with socket.create_connection((host, int(port)), timeout=120) as connection:
            connection.sendall(f"GET {PATH} HTTP/1.1\r\nHost: {served.host}\r\n\r\n".encode())
            assert connection.recv(1000).startswith(b"HTTP/1.1 200")
    assert served.get(PATH).content == LAYER
    wait_until(lambda: open_layers() == 0)


def open_layers() -> int:
    found = 0
    for name in os.listdir("/proc/self/fd"):
        try:
            found += os.readlink(f"/proc/self/fd/{name}").endswith(DIGEST.partition(":")[2])
        except OSError:
            continue
    return found


def wait_until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.01)


def test_head_has_no_parts(served: Served):
    answer = served.head(PATH, headers={"Range": "bytes=0-9"})
    assert (answer.status_code, answer.headers["Content-Length"]) == (200, str(SIZE))


def test_what_the_system_cannot_read_is_not_there_now(own_night: Night):
    """As on a disk that fails: neither a defect of this program, nor gone for good."""
    path = own_night.file_of(DIGEST)
    path.unlink()
    os.symlink(path, path)  # a circle
    with serving(own_night.store) as served:
        answer = served.get(PATH)
        assert answer.status_code == 503
        assert answer.json()["errors"][0]["code"] == "UNAVAILABLE"
        assert served.get(f"/v2/{REPOSITORY}/manifests/1.0").ok


@pytest.mark.parametrize("how", ["cut", "gone", "longer"])
def test_a_blob_of_another_size_is_not_sent(own_night: Night, how: str):
    path = own_night.file_of(DIGEST)
    if how == "gone":
        path.unlink()
    else:
        os.truncate(path, 100 if how == "cut" else SIZE + 1)
    with serving(own_night.store) as served:
        for method in ("GET", "HEAD"):
            assert served.ask(method, PATH).status_code == 404
        answer = served.get(PATH, headers={"Range": "bytes=0-9"})
        assert answer.json()["errors"][0]["code"] == "BLOB_UNKNOWN"
        for other in own_night.contents["untagged"].blobs:
            assert served.get(f"/v2/{REPOSITORY}/blobs/{other}").ok


def test_a_blob_that_is_gone_from_the_bucket_is_not_there(night: Night, s3):
    store = BackupStore(f"s3://{s3.new_bucket()}/b", **s3.options)
    for path in night.path.rglob("*"):
        if path.is_file() and path.name != DIGEST.partition(":")[2]:
            store.files.write(str(path.relative_to(night.path)), path.read_bytes())
    with serving(store) as served:
        assert served.get(PATH).status_code == 404
        assert served.head(PATH).status_code == 404


def test_a_file_that_is_cut_while_it_is_sent_is_no_whole_answer(own_night: Night):
    """What comes is less than was promised, and the connection ends: no client takes it for all."""
    with serving(own_night.store) as served:
        host, _, port = served.host.rpartition(":")
        with socket.create_connection((host, int(port)), timeout=120) as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
            connection.sendall(f"GET {PATH} HTTP/1.1\r\nHost: {served.host}\r\n\r\n".encode())
            received = len(connection.recv(1000))
            os.truncate(own_night.file_of(DIGEST), 200)
            while data := connection.recv(1 << 20):
                received += len(data)
        assert received < SIZE
