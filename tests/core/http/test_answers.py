"""Answers: read within bounds, as what was asked for, or as one error that names the request."""

from __future__ import annotations

import base64
import gzip
import zlib
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest

from airflow_provider_harbor.core.exceptions import (
    HarborConnectionError,
    HarborProtocolError,
    HarborStatusError,
)
from airflow_provider_harbor.core.http import answers
from airflow_provider_harbor.core.http.answers import SMALL_BYTES, Answer, number_in
from airflow_provider_harbor.core.http.transport import HttpSession
from tests.core.rig import fast_session
from tests.hostile_server import HostileServer, Said

MIB = 1024 * 1024
LOGIN = "Basic " + base64.b64encode(b"admin:Hush-Hush1").decode()


def ask(said: Said, path: str = "/x", **options: Any) -> Answer:
    """Return what becomes of an answer."""
    with HostileServer(lambda asked: said) as server, closing(fast_session(server.url)) as session:
        return session.request("GET", path, **options)


def bomb(size: int, start: bytes = b"") -> bytes:
    """Return gzip that unpacks to so many bytes."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    parts = [packer.compress(start)]
    parts += [packer.compress(b"a" * MIB) for _ in range(size // MIB)]
    return b"".join([*parts, packer.flush()])


def chunked(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (
        len(body),
        body,
    )


GZIP = {"Content-Encoding": "gzip"}


# -- bounds


@pytest.mark.parametrize("size", [0, 1, 70_000, SMALL_BYTES])
@pytest.mark.parametrize("how", ["plain", "chunks", "gzip", "until the end"])
def test_what_is_within_bounds_comes_whole(size: int, how: str) -> None:
    body = b"x" * size
    said: dict[str, Said] = {
        "plain": (200, {}, body),
        "chunks": chunked(body),
        "gzip": (200, GZIP, gzip.compress(body)),
        "until the end": b"HTTP/1.1 200 OK\r\n\r\n" + body,
    }
    assert ask(said[how]).content == body


@pytest.mark.parametrize(
    "said",
    [
        (200, {}, b"x" * (SMALL_BYTES + 1)),
        chunked(b"x" * (SMALL_BYTES + 1)),
        b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * (SMALL_BYTES + 1),
        (200, GZIP, bomb(200 * MIB)),
        (200, {"Content-Encoding": "x-gzip"}, bomb(200 * MIB)),
        (200, GZIP, gzip.compress(b"", mtime=0) + b"x" * 2 * SMALL_BYTES),
    ],
    ids=["plain", "chunks", "until the end", "gzip", "x-gzip", "behind gzip"],
)
def test_what_is_larger_is_not_read_to_its_end(said: Said) -> None:
    with pytest.raises(HarborProtocolError, match=r"^GET http.*/x was .*larger than 1\.0 MiB"):
        ask(said)


def test_endless_chunks_are_not_read_to_their_end() -> None:
    start = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    piece = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
    with (
        HostileServer(lambda asked: server.trickle(start, piece, 0)) as server,
        pytest.raises(HarborProtocolError, match="larger than"),
    ):
        fast_session(server.url).request("GET", "/x")


def test_an_error_that_is_a_bomb_is_still_the_error() -> None:
    for said in ((400, GZIP, bomb(200 * MIB)), (400, {}, b"b" * 5 * MIB)):
        with pytest.raises(HarborStatusError, match="was answered 400") as caught:
            ask(said)
        assert len(str(caught.value)) < 1000


def test_what_may_be_large_can_be() -> None:
    body = b"x" * 3 * MIB
    assert ask((200, {}, body), limit_bytes=3 * MIB).content == body
    assert answers.LIST_BYTES > answers.MANIFEST_BYTES > 4 * MIB


@pytest.mark.parametrize("encoding", ["br", "deflate", "zstd", "gzip, gzip", "\x1b[2J"])
def test_a_compression_that_nobody_asked_for_is_named(encoding: str) -> None:
    with pytest.raises(HarborProtocolError, match=r"^GET .*is compressed as") as caught:
        ask((200, {"Content-Encoding": encoding}, b"x"))
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    "body", [b"no gzip", gzip.compress(b"x" * 1000, mtime=0)[:-10], b"\x1f\x8b"]
)
def test_gzip_that_is_none_is_told(body: bytes) -> None:
    with pytest.raises(HarborProtocolError, match=r"^GET .*gzip"):
        ask((200, GZIP, body))


@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nx",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nab\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\nab\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\nab\r\n0\r\n\r\n",
    ],
)
def test_an_answer_that_is_cut_short_is_an_error(raw: bytes) -> None:
    with pytest.raises(HarborConnectionError, match=r"^GET http.*before the end of the answer"):
        ask(raw)


@pytest.mark.parametrize(
    "raw",
    [
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"HTTP/1.1 abc OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx",
        b"HTTP/3 200 OK\r\n\r\n",
    ],
)
def test_what_is_not_http_is_an_error_that_names_the_request(raw: bytes) -> None:
    with pytest.raises((HarborConnectionError, HarborProtocolError), match=r"^GET http.*not HTTP"):
        ask(raw)


@pytest.mark.parametrize("status", [204, 304])
def test_an_answer_without_a_body_is_whole(status: int) -> None:
    assert ask((status, {"Content-Length": "10"}, b"")).content == b""


def test_a_head_has_no_body_whatever_it_announces() -> None:
    with HostileServer(lambda asked: (200, {"Content-Length": "999999999"}, b"")) as server:
        session = fast_session(server.url)
        for _ in range(2):
            answer = session.request("HEAD", "/x")
            assert (answer.content, answer.number("Content-Length")) == (b"", 999_999_999)


# -- JSON


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>", b"{", b'{"a": NaN}', b"[Infinity]", b"\xff\xfe", b"[" * 200_000, b"1" * 5000],
)
def test_what_is_not_json_says_so_and_names_the_request(body: bytes) -> None:
    with pytest.raises(HarborProtocolError, match=r"^GET http.*/x.*200 \(text/css\).*not JSON"):
        ask((200, {"Content-Type": "text/css"}, body)).json()


def test_json_is_read() -> None:
    assert ask((200, {}, {"a": ["é", None, 1.5]})).json() == {"a": ["é", None, 1.5]}
    assert ask((200, {}, b"\xef\xbb\xbf[]")).json() == []


@pytest.mark.parametrize(
    "reader",
    [
        lambda data: data["missing"],
        lambda data: data[0],
        lambda data: data.name,
        lambda data: int(data["word"]),
        lambda data: data["word"] + 1,
        lambda data: 1 / data["zero"],
        lambda data: float(10 ** data["large"]),
        lambda data: (lambda f: f(f))(lambda f: f(f)),
        lambda data: data["word"].encode("ascii"),
    ],
)
def test_whatever_goes_wrong_while_an_answer_is_read_names_the_request(
    reader: Callable[[Any], Any],
) -> None:
    answer = ask((200, {}, {"word": "Hush-é", "zero": 0, "large": 9999}))
    with pytest.raises(HarborProtocolError, match=r"^GET http.*/x was answered 200") as caught:
        answer.read(reader)
    assert "Hush" not in str(caught.value)


def test_what_a_reader_says_is_said_with_the_request() -> None:
    def refuse(data: Any) -> None:
        raise HarborProtocolError("there is no name in it")

    with pytest.raises(HarborProtocolError, match=r"^GET http.*: there is no name in it$"):
        ask((200, {}, {})).read(refuse)


# -- what is sent back of a login


def test_a_login_in_an_answer_is_hidden() -> None:
    said = (200, {"X-Kind": f"a {LOGIN}"}, {"version": f"{LOGIN} Hush-Hush1", "plain": "kept"})
    answer = ask(said, authorization=LOGIN)
    assert answer.json() == {"version": "Basic *** ***", "plain": "kept"}
    assert answer.header("X-Kind") == "a Basic ***"
    assert "Hush" not in f"{answer.text} {answer} {answer!r}"
    assert b"Hush-Hush1" in answer.content  # whose digest may be asked for


def test_the_kind_of_an_answer_is_shown_on_one_line() -> None:
    answer = ask((200, {"Content-Type": "a\x1b[2J\x9b" + "x" * 1000}, b""))
    assert str(answer).isprintable()
    assert len(str(answer)) < 300


# -- headers


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("0", 0), ("17", 17), (" 5 ", 5), ("", None), ("\xb2", None), ("\u0663", None),
        ("-1", None), ("+1", None), ("1_0", None), ("1.0", None), ("9" * 5000, None), ("x", None),
    ],
)  # fmt: skip
def test_only_a_count_is_a_count(text: str, number: int | None) -> None:
    assert number_in({"X-Total-Count": text}, "X-Total-Count") == number
    assert number_in({}, "X-Total-Count") is None


@pytest.mark.parametrize(
    ("link", "following"),
    [
        ("", None),
        ("</v2/a?n=1>; rel=\"next\"", "/v2/a?n=1"),
        ("</a>; rel=next", "/a"),
        ('</a>; rel="prev" , </b?x=1,2>; rel="next"', "/b?x=1,2"),
        ('</a>; title="x"; rel="next"', "/a"),
        ('</a>; rel="prev"', None),
        ("</a>", None),
        ("nonsense", None),
        ("<" * 10_000, None),
    ],
)  # fmt: skip
def test_the_next_page_is_found(link: str, following: str | None) -> None:
    assert ask((200, {"Link": link}, b"")).next_link == following


# -- streams


def read_stream(session: HttpSession) -> bytes:
    with session.open("/x") as stream:
        return b"".join(stream.blocks(1000))


def test_a_stream_comes_as_it_was_sent_and_as_large_as_it_is() -> None:
    packed = gzip.compress(b"content") * 100_000
    with HostileServer(lambda asked: (200, GZIP, packed)) as server:
        assert read_stream(fast_session(server.url)) == packed


@pytest.mark.parametrize(
    ("raw", "received"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n", 0),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n" + b"x" * 3000, 3000),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3e8\r\n" + b"x" * 1000, 1000),
    ],
)
def test_a_stream_that_breaks_says_how_much_came(raw: bytes, received: int) -> None:
    with (
        HostileServer(lambda asked: raw) as server,
        pytest.raises(HarborConnectionError, match=r"^GET http.*cut short after") as caught,
    ):
        read_stream(fast_session(server.url))
    assert caught.value.received_bytes == received
    assert caught.value.url == f"{server.url}/x"


def test_a_stream_that_nobody_reads_can_be_closed() -> None:
    with HostileServer(lambda asked: (200, {}, b"x" * 10_000_000)) as server:
        session = fast_session(server.url)
        for _ in range(3):
            with session.open("/x") as stream:
                assert next(stream.blocks())
