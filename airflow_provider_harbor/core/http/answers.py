"""Answers to requests: whole ones that are read within bounds, and streams.

Whatever a server sends, reading it ends: with what was asked for, or with one error that names the
request. Nothing here shows what a server says of a login, see `echoes`.
"""

from __future__ import annotations

import http.client
import json
import re
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import requests

from airflow_provider_harbor.core.exceptions import HarborConnectionError, HarborProtocolError
from airflow_provider_harbor.core.http.connection_errors import CONNECTION_ERRORS, in_plain_words
from airflow_provider_harbor.core.http.connections import Request
from airflow_provider_harbor.core.http.echoes import Secrets, secrets_of
from airflow_provider_harbor.core.http.patience import BLOCK_BYTES, at_most
from airflow_provider_harbor.core.http.rate import StreamRoom, stream_block_bytes
from airflow_provider_harbor.core.http.slots import Slot, kind_of
from airflow_provider_harbor.core.human import human_size
from airflow_provider_harbor.core.texts import one_line, shown

if TYPE_CHECKING:
    from typing_extensions import Self

T = TypeVar("T")

# How large an answer may be; all of it is in memory. A page of Harbor's lists has a hundred items,
# with all their tags: mostly 200 kB, and thousands of tags are a few MB.
LIST_BYTES = 32 * 1024 * 1024
# Registries take 4 MiB. Source: distribution-spec v1.1, "Pushing Manifests".
MANIFEST_BYTES = 16 * 1024 * 1024
SMALL_BYTES = 1024 * 1024
# The body of a whole answer comes within so many time-outs; that of a stream may take its time.
_MOST_TIMEOUTS = 3
# What reading an answer's JSON raises where it is something else than it should be.
_SHAPE_ERRORS = (
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    ArithmeticError,
    RecursionError,
)
_NEXT = re.compile(r"<([^<>]*)>(?=[^<>]*;\s*rel\s*=\s*\"?next\b)", re.IGNORECASE)


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is not JSON")


# `NaN` and `Infinity` are Python's own, and no JSON.
_DECODER = json.JSONDecoder(parse_constant=_no_number)


class _Reply:
    """What whole answers and streams share; as a text it is what may be shown of it.

    Attributes:
        url: Where the answer came from, after all redirects. Not to be shown.
        status: HTTP status, below 400.
        headers: By name, whatever its case. Not to be shown, see `header`.
    """

    __slots__ = ("_request", "headers", "status", "url")

    def __init__(self, request: Request, response: requests.Response) -> None:
        self._request = request
        self.url = str(response.url)
        self.status = response.status_code
        self.headers: Mapping[str, str] = response.headers

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self})"

    def __str__(self) -> str:
        kind = self.header("Content-Type")
        return f"{self._request} was answered {self.status}" + (f" ({kind})" if kind else "")

    def header(self, name: str) -> str:
        """Return a header as it may be shown; empty where there is none."""
        return one_line(self._secrets.hide(self.headers.get(name, "")), 100)

    def number(self, name: str) -> int | None:
        """Return a header that is a count; None where there is none, or it is something else."""
        return number_in(self.headers, name)

    def error(self, what: str) -> HarborProtocolError:
        """Return the error to raise for an answer that is not what it should be."""
        return HarborProtocolError(f"{self}: {what}")

    @property
    def _secrets(self) -> Secrets:
        return secrets_of(self._request.authorization, self._request.secrets)


class Answer(_Reply):
    """A whole answer.

    Attributes:
        content: The body, byte for byte; only what a compressing proxy did to it is undone.
    """

    __slots__ = ("content",)

    def __init__(self, request: Request, response: requests.Response, content: bytes) -> None:
        super().__init__(request, response)
        self.content = content

    @property
    def text(self) -> str:
        """The body as text, without what the server sent back of the login."""
        return self._secrets.hide(self.content.decode(errors="replace"))

    def json(self) -> Any:
        """Return the JSON of the body, without what the server sent back of the login.

        Raises:
            HarborProtocolError: It is something else, such as a login page.
        """
        try:
            text = self.content.decode("utf-8-sig")
            return self._secrets.hide_in_json(_DECODER.decode(text), text)
        except (ValueError, RecursionError):
            raise self.error(
                "this is not JSON. Is there a Harbor behind this URL, and no login page or proxy "
                "in front of it?"
            ) from None

    def read(self, reader: Callable[[Any], T]) -> T:
        """Return what a function makes of the JSON.

        Raises:
            HarborProtocolError: The function cannot make anything of it.
        """
        data = self.json()
        try:
            return reader(data)
        except HarborProtocolError as err:
            raise self.error(str(err)) from None
        except _SHAPE_ERRORS as err:
            # Not what it holds: it may be a token.
            raise self.error(f"it cannot be read ({type(err).__name__})") from err

    @property
    def next_link(self) -> str | None:
        """The address of the next page (RFC 8288), relative to `url`; None where this is the last.

        Not to be shown.
        """
        found = _NEXT.search(self.headers.get("Link", ""))
        return found[1] if found else None


class Stream(_Reply):
    """An answer whose body is read in blocks; a context manager, which closes it.

    Until then it has its slot of the server's pace. Any thread may read and close it.

    Attributes:
        slot: That of the server that answered.
    """

    __slots__ = ("_early", "_response", "_room", "slot")

    def __init__(
        self, request: Request, response: requests.Response, slot: Slot, room: StreamRoom
    ) -> None:
        super().__init__(request, response)
        self._response = response
        self.slot = slot
        self._early: tuple[bytes, HarborConnectionError | None] | None = None
        self._room = room

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the connection back, or close it where the body was not read to its end."""
        try:
            self._response.close()
        finally:
            self.slot.release()
            self._room.release()

    def hand_on_room(self) -> StreamRoom:
        """Return the right to have a stream open, for another that goes on with this one."""
        room, self._room = self._room, StreamRoom(None)
        return room

    def keep_room(self, room: StreamRoom) -> None:
        """Take back what was handed on in vain: another stream may go on with this one yet."""
        self._room = room

    def disconnect(self) -> None:
        """Close the connection, and keep the slot for another stream that goes on with this one."""
        self._response.close()

    def read_if_small(self) -> None:
        """Read a body that fits a block now, and give the slot back, as the server is done with it.

        Else the slot would be taken as long as the body is on its way to somewhere else, and a
        server that is near would be sent no more than one that is far away can take. What is wrong
        with the body is raised by `blocks`.
        """
        announced = self.number("Content-Length")
        if announced is None or announced > stream_block_bytes(BLOCK_BYTES):
            return
        content, error = bytearray(), None
        try:
            for block in self._read(BLOCK_BYTES):
                content += block
        except HarborConnectionError as err:
            error = err
        self._early = bytes(content), error
        if error is None:
            self.close()

    def blocks(self, block_bytes: int = BLOCK_BYTES) -> Iterator[bytes]:
        """Yield the body as it was sent, never decoded.

        Raises:
            HarborConnectionError: Fewer bytes come than were announced, or they come too slowly.
                `received_bytes` says how many came.
        """
        if self._early is None:
            yield from self._read(block_bytes)
            return
        (content, error), self._early = self._early, (b"", None)
        for start in range(0, len(content), block_bytes):
            yield content[start : start + block_bytes]
        if error:
            raise error

    def _read(self, block_bytes: int) -> Iterator[bytes]:
        announced = self.number("Content-Length")
        received = 0
        block_bytes = stream_block_bytes(block_bytes)
        try:
            while block := self._response.raw.read(block_bytes, decode_content=False):
                received += len(block)
                self.slot.progress(len(block))
                yield block
        except CONNECTION_ERRORS as err:
            raise self._cut(received, in_plain_words(err)) from None
        if announced is not None and announced != received:
            raise self._cut(received, f"{announced} were announced")
        self.slot.ended(kind_of(self._request.method, received))

    def _cut(self, received: int, why: str) -> HarborConnectionError:
        self.slot.broke()
        return HarborConnectionError(
            f"{self._request} was cut short after {received} bytes: {why}",
            method=self._request.method,
            url=self._request.shown_url,
            received_bytes=received,
        )


def number_in(headers: Mapping[str, str], name: str) -> int | None:
    """Return a header that is a count; None where there is none, or it is something else."""
    return read_number(headers.get(name, ""))


def read_number(text: str) -> int | None:
    """Return a count that a server wrote; None where it is something else."""
    found = re.fullmatch(r"[0-9]{1,18}", text.strip())
    return int(found[0]) if found else None


def read_body(
    response: requests.Response, limit_bytes: int, timeout_seconds: float
) -> tuple[bytes, str]:
    """Read a whole body, and give the connection back.

    Compression is undone, though no request asks for it: some proxies do it all the same.

    Args:
        response: An answer of which nothing was read yet.
        limit_bytes: How large it may be, also after it was unpacked.
        timeout_seconds: How long each next byte is waited for; the whole takes a few times as long
            at most.

    Returns:
        The body, or as much of it as may be looked at, and what is wrong with it, which is empty
        where nothing is.

    Raises:
        OSError: It came too slowly, or in part; so any of `CONNECTION_ERRORS`.
    """
    encoding = response.headers.get("Content-Encoding", "").strip().lower()
    if encoding not in ("", "identity", "gzip", "x-gzip"):
        response.close()
        return b"", f"it is compressed as {shown(encoding)}, which was not asked for"
    try:
        with at_most(_MOST_TIMEOUTS * timeout_seconds):
            content, problem = _read_blocks(response, "gzip" in encoding, limit_bytes)
    except zlib.error:
        content, problem = b"", "it says that it is gzip, and is not"
    if problem:
        response.close()
    return content, problem


def _read_blocks(
    response: requests.Response, is_packed: bool, limit_bytes: int
) -> tuple[bytes, str]:
    unpack = zlib.decompressobj(zlib.MAX_WBITS | 16) if is_packed else None
    announced = number_in(response.headers, "Content-Length")
    content, received = bytearray(), 0
    while block := response.raw.read(BLOCK_BYTES, decode_content=False):
        received += len(block)
        content += unpack.decompress(block, limit_bytes + 1) if unpack else block
        # What comes counts, too: it may be unpacked to nothing, and without an end.
        if max(received, len(content)) > limit_bytes:
            return bytes(content[:limit_bytes]), f"it is larger than {human_size(limit_bytes)}"
        if received == announced:
            break
    is_empty = response.request.method == "HEAD" or response.status_code in (204, 304)
    if announced is not None and received != announced and not is_empty:
        raise http.client.IncompleteRead(b"", announced - received)
    if unpack and received and not unpack.eof:
        return bytes(content), "it is gzip, and has no end"
    return bytes(content), ""
