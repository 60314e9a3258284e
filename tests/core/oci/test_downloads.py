"""Reading a blob over a line that breaks, from servers that answer ranges as they like."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from airflow_provider_harbor.core.exceptions import (
    DigestMismatchError,
    HarborBackupError,
    HarborConnectionError,
    HarborProtocolError,
)
from airflow_provider_harbor.core.http.pace import Pace
from airflow_provider_harbor.core.http.transport import HttpSession
from airflow_provider_harbor.core.oci.blob_reader import BlobReader
from airflow_provider_harbor.core.oci.manifest import digest_of
from airflow_provider_harbor.core.oci.registry import RegistryClient
from tests.core.rig import fast_session
from tests.hostile_server import Asked, HostileServer, Said

SIZE = 400_000
CONTENT = os.urandom(SIZE)
DIGEST = digest_of(CONTENT)
CUT = 150_000


def head(status: str, length: int, **headers: str) -> bytes:
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    kind = "Content-Type: application/octet-stream"
    fields = "\r\n".join([f"Content-Length: {length}", kind, *lines])
    return f"HTTP/1.1 {status}\r\n{fields}\r\n\r\n".encode()


def whole(content: bytes = CONTENT, cut: int | None = None, **headers: str) -> bytes:
    return head("200 OK", len(content), **headers) + content[:cut]


def part(first: int, last: int, total: int | str = SIZE, cut: int | None = None) -> bytes:
    """Answer with a part, and say of it what it is."""
    body = CONTENT[first : last + 1]
    said = f"bytes {first}-{last}/{total}"
    return head("206 Partial Content", len(body), Content_Range=said) + body[:cut]


def offset_of(asked: Asked) -> int | None:
    found = asked.headers.get("Range")
    return int(found.removeprefix("bytes=").removesuffix("-")) if found else None


def read(answers: Callable[[int, int | None], Said]) -> tuple[bytes, list[int | None]]:
    """Read the blob from a server; `answers` gets how many were asked before, and the offset."""
    offsets: list[int | None] = []

    def say(asked: Asked) -> Said:
        if asked.path == "/v2/":
            return 200, {"Docker-Distribution-Api-Version": "registry/2.0"}, {}
        offsets.append(offset_of(asked))
        return answers(len(offsets) - 1, offsets[-1])

    with HostileServer(say) as server:
        client = RegistryClient(server.url, session=fast_session(server.url))
        with client, client.open_blob("p/app", DIGEST, SIZE) as reader:
            read.offsets = offsets  # type: ignore[attr-defined]
            return b"".join(iter(lambda: reader.read(64_000), b"")), offsets


def test_a_line_that_is_cut_goes_on_where_it_was() -> None:
    def answers(number: int, offset: int | None) -> Said:
        return part(offset, SIZE - 1, cut=CUT) if offset else whole(cut=CUT)

    content, offsets = read(answers)
    assert content == CONTENT
    assert offsets == [None, CUT, 2 * CUT]


GOING_ON = {
    "the rest": lambda o: part(o, SIZE - 1),
    "of which it does not know the whole": lambda o: part(o, SIZE - 1, "*"),
    "a shorter part": lambda o: part(o, min(o + 70_000, SIZE - 1)),
    "an earlier part": lambda o: part(o - 1_000, SIZE - 1),
    "all of it": lambda o: whole(),
    "a later part": lambda o: part(o + 1, SIZE - 1),
    "the first part": lambda o: part(0, 999),
    "a part of something longer": lambda o: part(o, SIZE - 1, SIZE + 1),
    "a part of something shorter": lambda o: part(o, SIZE - 2, SIZE - 1),
    "a part that ends behind the end": lambda o: part(o, SIZE),
    "a part without a word of which": lambda o: head("206 Partial Content", SIZE - o) + CONTENT[o:],
    "parts": lambda o: (
        head("206 Partial Content", SIZE, Content_Type="multipart/byteranges; boundary=x") + CONTENT
    ),
    "a part, packed": lambda o: (
        head(
            "206 Partial Content",
            SIZE - o,
            Content_Range=f"bytes {o}-{SIZE - 1}/{SIZE}",
            Content_Encoding="gzip",
        )
        + CONTENT[o:]
    ),
    "all of another length": lambda o: whole(CONTENT + b"more"),
    "that there is no such range": lambda o: (416, {}, b""),
    "that it knows no ranges": lambda o: (501, {}, b""),
}


@pytest.mark.parametrize("said", GOING_ON.values(), ids=GOING_ON)
def test_whatever_a_range_is_answered_with_nothing_wrong_is_mixed_in(
    said: Callable[[int], Said],
) -> None:
    def answers(number: int, offset: int | None) -> Said:
        if offset:
            return said(offset)
        return whole(cut=None if number else CUT)

    content, offsets = read(answers)
    assert content == CONTENT
    assert len(offsets) <= 6


@pytest.mark.parametrize(
    ("again", "error"),
    [
        pytest.param(whole(CONTENT[:-1]), HarborProtocolError, id="shorter"),
        pytest.param(whole(Content_Encoding="gzip"), HarborProtocolError, id="packed"),
        pytest.param(whole(bytes(SIZE)), DigestMismatchError, id="another"),
        pytest.param((404, {}, b""), HarborBackupError, id="gone"),
        pytest.param((500, {}, b""), HarborBackupError, id="failing"),
    ],
)
def test_what_cannot_be_gone_on_with_is_one_error(
    again: Said, error: type[HarborBackupError]
) -> None:
    def answers(number: int, offset: int | None) -> Said:
        return whole(cut=CUT) if number == 0 else (416, {}, b"") if offset else again

    with pytest.raises(error):
        read(answers)


def test_a_part_with_other_bytes_is_found_out_at_the_end() -> None:
    def answers(number: int, offset: int | None) -> Said:
        if offset is None:
            return whole(cut=CUT)
        said = f"bytes {offset}-{SIZE - 1}/{SIZE}"
        rest = bytes(SIZE - offset)
        return head("206 Partial Content", len(rest), Content_Range=said) + rest

    with pytest.raises(DigestMismatchError):
        read(answers)


def test_a_line_that_brings_nothing_more_ends_quickly() -> None:
    def answers(number: int, offset: int | None) -> Said:
        return part(offset, SIZE - 1, cut=0) if offset else whole(cut=CUT)

    with pytest.raises(HarborConnectionError) as caught:
        read(answers)
    assert caught.value.received_bytes == CUT
    assert read.offsets == [None, *[CUT] * 4]  # type: ignore[attr-defined]


def test_a_line_that_is_cut_again_and_again_arrives_as_long_as_it_comes_further() -> None:
    def answers(number: int, offset: int | None) -> Said:
        # Every other time nothing comes at all.
        cut = 0 if number % 2 else 70_000
        return part(offset, SIZE - 1, cut=cut) if offset else whole(cut=cut)

    content, offsets = read(answers)
    assert content == CONTENT
    assert len(offsets) == 11


def test_content_of_which_not_a_byte_comes_is_told_as_that_at_once() -> None:
    with pytest.raises(HarborConnectionError) as caught:
        read(lambda number, offset: whole(cut=0))
    assert caught.value.received_bytes == 0
    assert read.offsets == [None]  # type: ignore[attr-defined]


# -- readers


def reader_of(content: bytes, log: list[int], step: int = 1_000_000) -> BlobReader:
    def blocks(offset: int) -> Iterator[bytes]:
        log.append(offset)
        for start in range(offset, len(content), step):
            yield content[start : start + step]

    return BlobReader(blocks(0), digest_of(content), len(content), "x", blocks)


def take(reader: BlobReader, number: int) -> bytes:
    taken = b""
    while len(taken) < number and (block := reader.read(number - len(taken))):
        taken += block
    return taken


@pytest.mark.parametrize("back", [0, 1, 3_999_999, 5_500_000, 8_999_999])
def test_what_was_passed_on_can_be_read_again_and_the_digest_is_that_of_all(back: int) -> None:
    content = os.urandom(9_000_000)
    log: list[int] = []
    reader = reader_of(content, log)
    assert take(reader, len(content)) == content
    reader.rewind(back)
    assert take(reader, len(content)) == content[back:]
    # Not from the start: from what is kept of the digest before that byte.
    assert back - 5_000_001 < log[-1] <= back


def test_what_is_read_again_and_differs_is_found_out() -> None:
    content, other = os.urandom(9_000_000), os.urandom(9_000_000)
    reader = BlobReader(
        iter([content[:6_000_000]]),
        digest_of(content),
        len(content),
        "x",
        lambda offset: iter([other[offset : offset + 1_000_000], other[offset + 1_000_000 :]]),
    )
    take(reader, 6_000_000)

    def read_again() -> None:
        reader.rewind(5_000_000)
        take(reader, len(content))

    with pytest.raises(DigestMismatchError):
        read_again()


def test_what_is_left_out_is_hashed_where_all_is_read_after_all() -> None:
    content = os.urandom(5_000_000)
    reader = reader_of(content, [])
    reader.begin_at(3_000_000)
    assert take(reader, 1_000_000) == content[3_000_000:4_000_000]
    with pytest.raises(ValueError, match="cannot be gone back to"):
        reader.rewind(2_999_999)
    reader.rewind(3_500_000)
    assert take(reader, len(content)) == content[3_500_000:]
    reader.rewind(0)
    assert take(reader, len(content)) == content


@pytest.mark.parametrize("is_other_thread", [False, True], ids=["same thread", "other thread"])
def test_what_goes_on_goes_before_what_has_not_begun(is_other_thread: bool) -> None:
    """Else who has the right to send would wait for those who have begun, and these for it."""
    pace = Pace(fixed=1)
    queued = threading.Event()

    def say(asked: Asked) -> Said:
        if asked.path == "/v2/":
            return 200, {"Docker-Distribution-Api-Version": "registry/2.0"}, {}
        if asked.path == "/other":
            return 200, {}, {}
        offset = offset_of(asked)
        return part(offset, SIZE - 1) if offset else whole(cut=CUT)

    def ask(session: HttpSession) -> None:
        queued.set()
        session.request("GET", "/other")

    with HostileServer(say) as server, ThreadPoolExecutor(1) as pool, ThreadPoolExecutor(1) as two:
        session = fast_session(server.url, pace=pace)
        with RegistryClient(server.url, session=session) as client:
            client.ping()
            with client.open_blob("p/app", DIGEST, SIZE) as reader:
                content = reader.read(1_000)
                other = pool.submit(ask, session)
                assert queued.wait(120)
                while not pace.host(server.url)._queue:
                    time.sleep(0.001)

                def rest() -> bytes:
                    return b"".join(iter(lambda: reader.read(64_000), b""))

                content += two.submit(rest).result(120) if is_other_thread else rest()
            other.result(120)
        assert content == CONTENT
        paths = [asked.path for asked in server.asked][1:]
        assert paths[-1] == "/other"
        assert len(paths) == 3
