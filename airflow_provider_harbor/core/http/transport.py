"""HTTP as the clients use it: redirects, trying again, error statuses as exceptions.

With the modules of the line below it in the package's map the only one that knows `requests`.
"""

from __future__ import annotations

import base64
import itertools
import logging
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol, TypeVar
from urllib.parse import urljoin, urlsplit

import requests

from airflow_provider_harbor import __version__
from airflow_provider_harbor.core.exceptions import (
    HarborConnectionError,
    HarborProtocolError,
    HarborStatusError,
)
from airflow_provider_harbor.core.http import waiting
from airflow_provider_harbor.core.http.answers import SMALL_BYTES, Answer, Stream, read_body
from airflow_provider_harbor.core.http.connection_errors import CONNECTION_ERRORS, connection_error
from airflow_provider_harbor.core.http.connections import Connections, Request
from airflow_provider_harbor.core.http.echoes import secrets_of
from airflow_provider_harbor.core.http.pace import Pace, default_pace
from airflow_provider_harbor.core.http.rate import enter_stream, spend
from airflow_provider_harbor.core.http.refusals import kind_of_path
from airflow_provider_harbor.core.http.slots import Slot, kind_of
from airflow_provider_harbor.core.http.statuses import error_for
from airflow_provider_harbor.core.http.tries import Tries, tell
from airflow_provider_harbor.core.http.urls import normalise_url, origin_of, redact, secrets_in

if TYPE_CHECKING:
    from typing_extensions import Self

log = logging.getLogger(__name__)

T = TypeVar("T")

USER_AGENT = f"airflow-provider-harbor/{__version__}"
LONGEST_TIMEOUT_SECONDS = 86_400.0
_HEADERS = {
    "User-Agent": USER_AGENT,
    "Accept": "*/*",
    # A compressing proxy in between would make lengths and ranges meaningless.
    "Accept-Encoding": "identity",
}
# A cache in between is to ask the server (RFC 9111, section 5.2.1.4): an old list lacks what was
# pushed since, and nobody would see it. Not of a stream, which is had by its digest and hashed.
_NOW = {"Cache-Control": "no-cache"}
_REPEATABLE_METHODS = frozenset({"GET", "HEAD", "PUT", "DELETE"})
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_READING_METHODS = frozenset({"GET", "HEAD"})
_MOST_REDIRECTS = 5
# What took so many time-outs, without the waits in between, is not tried again.
_MOST_TIMEOUTS = 4


class Body(Protocol):
    """A request's body that is streamed: read in blocks, of a known length in bytes."""

    def read(self, size: int = -1, /) -> bytes:
        """Return at most `size` bytes; empty at the end."""

    def __len__(self) -> int: ...


def basic_authorization(user: str, password: str) -> str:
    """Return the Authorization header of a name and a password (RFC 7617)."""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


class HttpSession:
    """Requests to one server, from any number of threads.

    A request is tried again, with growing waits, after a connection error or a status that says
    "later" (408, 429, 500, 502, 503, 504), when sending it twice does no harm.

    Args:
        base_url: Scheme, host and port.
        verify: Whether to verify TLS certificates, or the path of a CA bundle.
        timeout_seconds: How long to wait for a connection, for the head of an answer, and for each
            next byte of its body; see `patience` for what comes slowly. At most a day.
        max_attempts: How often one request is sent at most.
        sleep: What waits between attempts; tests give another.
        pace: How much is sent at once; by default that of the process.
    """

    def __init__(
        self,
        base_url: str,
        *,
        verify: bool | str = True,
        timeout_seconds: float = 60,
        max_attempts: int = 4,
        sleep: Callable[[float], None] = waiting.sleep,
        pace: Pace | None = None,
    ) -> None:
        if not 0 < timeout_seconds <= LONGEST_TIMEOUT_SECONDS:
            raise ValueError(f"timeout_seconds is {timeout_seconds}, not above 0 and at most a day")
        self.base_url = normalise_url(base_url)
        self._connections = Connections(verify, timeout_seconds)
        self._timeout_seconds = timeout_seconds
        self._max_attempts = max_attempts
        self._sleep = sleep
        self._pace = pace or default_pace()
        # Random numbers for each request are a system call, which costs more than it seems.
        self._first_half, self._numbers = uuid.uuid4().hex[:16], itertools.count(1)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.base_url!r})"

    def close(self) -> None:
        """Close the connections of all threads."""
        self._connections.close()

    @property
    def window(self) -> int:
        """So many requests may be in flight now, of all who ask this server."""
        return self._pace.host(self.base_url).window

    def pause(self, seconds: float) -> None:
        """Wait, as between attempts: for what is tried again by more than one request."""
        self._sleep(seconds)

    def request(
        self,
        method: str,
        path: str,
        *,
        authorization: str | None = None,
        params: Mapping[str, str | int] | Sequence[tuple[str, str]] | None = None,
        headers: Mapping[str, str] | None = None,
        json_body: object = None,
        data: bytes | Body | None = None,
        repeatable: bool | None = None,
        limit_bytes: int = SMALL_BYTES,
    ) -> Answer:
        """Send a request, and return its answer when that is no error.

        A GET or HEAD is redirected a few times at most. Its login goes to the server that was asked
        only.

        Args:
            method: `GET`, `PUT`, ...
            path: Path with query, or a whole URL (of an upload, which may be on another host).
            authorization: The whole value of the Authorization header.
            params: More of a query.
            headers: More headers.
            json_body: What to send as JSON.
            data: What to send as it is.
            repeatable: Whether sending it twice does no harm; by default GET, HEAD, PUT and DELETE
                are, unless the body is a stream.
            limit_bytes: How large the answer may be.

        Raises:
            HarborConnectionError: No answer, after all attempts.
            HarborStatusError: An error status; its subclass says of what kind.
            HarborProtocolError: A request that writes was redirected, or any to TLS; or the answer
                is larger than it may be, or cannot be read as HTTP.
            HarborConfigurationError: The environment names a proxy that cannot be used.
        """
        if method in _READING_METHODS:
            headers = {**_NOW, **(headers or {})}
        request = self._made(
            method, path, authorization, headers, params=params, json=json_body, data=data
        )
        if repeatable is None:
            repeatable = method in _REPEATABLE_METHODS and not hasattr(data, "read")

        size_bytes = len(data) if data is not None else 0

        def once(tries: Tries) -> Answer:
            response, slot = self._exchange(request, tries)
            try:
                content, problem = read_body(response, limit_bytes, self._timeout_seconds)
                slot.ended(kind_of(method, max(size_bytes, len(content))))
            except CONNECTION_ERRORS as err:
                response.close()
                slot.broke()
                raise connection_error(err, method, request.shown_url) from None
            finally:
                tries.spent(slot)
                slot.release()
            spend(len(content))
            answer = Answer(request, response, content)
            if problem:
                raise answer.error(problem)
            return answer

        is_stream = hasattr(data, "read")
        return self._repeated(once, Tries(self._max_attempts if repeatable else 1, is_stream))

    def open(
        self,
        path: str,
        *,
        authorization: str | None = None,
        headers: Mapping[str, str] | None = None,
        after: Stream | None = None,
    ) -> Stream:
        """Send a GET, and return its answer when that is no error, its body yet to be read.

        Arguments and errors are those of `request`. The caller closes the stream, which is a
        context manager. Where it goes on with one that broke (`after`), it waits for nobody who has
        not begun.
        """
        request = self._made("GET", path, authorization, headers)

        def once(tries: Tries) -> Stream:
            room = after.hand_on_room() if after else enter_stream()
            try:
                slot = after.slot if after else None
                return Stream(request, *self._exchange(request, tries, slot), room)
            except BaseException:
                if after:
                    after.keep_room(room)
                else:
                    room.release()
                raise

        return self._repeated(once, Tries(self._max_attempts))

    def _next_id(self) -> str:
        return f"{self._first_half}{next(self._numbers):016x}"

    def _made(
        self,
        method: str,
        path: str,
        authorization: str | None,
        headers: Mapping[str, str] | None,
        **options: Any,
    ) -> Request:
        if path.startswith("/"):
            url, origin = self.base_url + path, self.base_url
        else:
            url, origin = path, origin_of(path)
        options["headers"] = {**_HEADERS, "X-Request-Id": self._next_id(), **(headers or {})}
        return Request(
            method=method,
            url=url,
            origin=origin,
            base_url=self.base_url,
            authorization=authorization,
            secrets=self._connections.secrets(url, origin),
            options=options,
        )

    def _repeated(self, once: Callable[[Tries], T], tries: Tries) -> T:
        while True:
            try:
                return once(tries)
            except (HarborConnectionError, HarborStatusError) as err:
                wait_seconds = tries.wait_seconds(err, _MOST_TIMEOUTS * self._timeout_seconds)
                if wait_seconds is None:
                    raise
                log.info("%s. Trying again in %.1f s", err, wait_seconds)
            if wait_seconds:
                self._sleep(wait_seconds)

    def _exchange(
        self, request: Request, tries: Tries, after: Slot | None = None
    ) -> tuple[requests.Response, Slot]:
        """Return an answer that is no error, with its body unread, and the slot that it has."""
        url, origin, authorization = request.url, request.origin, request.authorization
        for _ in range(_MOST_REDIRECTS + 1):
            slot = self._pace.host(origin).enter(self._sleep, after)
            slot.kind = kind_of_path(request.method, url)
            try:
                response = self._connections.send(
                    request, url, origin, authorization, slot.progress
                )
                location = response.headers.get("Location")
                if response.status_code not in _REDIRECTS or location is None:
                    if response.status_code >= 400:
                        raise self._error(request, response, url, origin)
                    slot.taken()
                    return response, slot
                slot.taken()
                self._discard(response)
            except BaseException as err:
                tell(slot, err, url)
                tries.spent(slot)
                slot.release()
                raise
            slot.release()
            url = _redirected(request, url, location, response.status_code)
            origin = origin_of(url)
            if origin != request.origin:
                authorization = None  # nor when it comes back
        raise HarborProtocolError(f"{request} was redirected more than {_MOST_REDIRECTS} times")

    def _error(
        self, request: Request, response: requests.Response, url: str, origin: str
    ) -> HarborStatusError:
        others = (*self._connections.secrets(url, origin), *secrets_in(url, self.base_url))
        error = error_for(
            response.status_code,
            response.headers,
            self._discard(response).decode(errors="replace"),
            request.method,
            request.shown_url,
            hide=secrets_of(request.authorization, (*request.secrets, *others)).hide,
        )
        if origin != request.origin:
            elsewhere = redact(url, self.base_url)
            error.hint = f"see why {elsewhere}, to which it was redirected, says so"
        return error

    def _discard(self, response: requests.Response) -> bytes:
        """Read a body that is only for people, or for nobody: one that is broken does no harm."""
        body = b""
        with suppress(*CONNECTION_ERRORS):
            body, _ = read_body(response, SMALL_BYTES, self._timeout_seconds)
        response.close()
        return body


class Client:
    """A login at one server; a context manager, which closes the connections at its end.

    Attributes:
        url: Base URL of the server.
        user: Name that is logged in; empty for nobody.
    """

    def __init__(self, session: HttpSession, user: str) -> None:
        self._session = session
        self.url = session.base_url
        self.user = user

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.url!r}, user={self.user!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    @property
    def window(self) -> int:
        """So many requests may be in flight now, of all who ask this server."""
        return self._session.window

    def close(self) -> None:
        """Close all connections."""
        self._session.close()


def _redirected(request: Request, url: str, location: str, status: int) -> str:
    """Return where a request goes on, if it may go there."""
    try:
        parts = urlsplit(urljoin(url, location))
        # Without a login: `requests` would send it.
        target = parts._replace(netloc=parts.netloc.rpartition("@")[2], fragment="").geturl()
        origin_of(target)  # of http or https, and nothing else
    except ValueError:
        raise HarborProtocolError(
            f"{request} was answered {status}, a redirect to an address that cannot be read"
        ) from None
    if request.method not in _READING_METHODS:
        raise HarborProtocolError(
            f"{request} was answered {status}, a redirect to {redact(target, request.base_url)}, "
            "and what writes is not sent elsewhere. Give the URL at which the server takes it"
        )
    if _is_secured(request.url, target):
        raise HarborProtocolError(
            f"{request} was redirected to the same address with TLS. Write the URL with https://, "
            "or each request sends the login unencrypted first"
        )
    return target


def _is_secured(before: str, after: str) -> bool:
    old, new = urlsplit(before), urlsplit(after)
    return (
        (old.scheme, new.scheme) == ("http", "https")
        and old.hostname == new.hostname
        and old.path == new.path
    )
