"""HTTP, and nothing else: time-outs, retries, error statuses as exceptions, redaction.

The only module that knows `requests`. What it sends never carries a cookie: Harbor hands out a
session cookie with every answer, and refuses each writing request that brings one back (CSRF, 403).
"""

from __future__ import annotations

import base64
import logging
import random
import ssl
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from http.cookiejar import DefaultCookiePolicy
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urljoin, urlsplit

import requests
import urllib3
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase

from airflow_provider_harbor import __version__
from airflow_provider_harbor.core.exceptions import (
    HarborBackupError,
    HarborConnectionError,
    HarborProtocolError,
    HarborStatusError,
    HarborTlsError,
)
from airflow_provider_harbor.core.statuses import error_for
from airflow_provider_harbor.core.urls import normalise_url, redact

if TYPE_CHECKING:
    from typing_extensions import Self

log = logging.getLogger(__name__)

# For the annotations of modules that are not to know `requests`.
Response = requests.Response

USER_AGENT = f"airflow-provider-harbor/{__version__}"
# Small enough for steady progress, large enough that a byte costs little work in Python.
BLOCK_BYTES = 256 * 1024
_RETRIED_STATUSES = frozenset({408, 429, 500, 502, 503, 504})
_REPEATABLE_METHODS = frozenset({"GET", "HEAD", "PUT", "DELETE"})
_FIRST_WAIT_SECONDS = 0.5
_LONGEST_WAIT_SECONDS = 60.0


class Body(Protocol):
    """A request's body that is streamed: read in blocks, of a known length in bytes."""

    def read(self, size: int = -1, /) -> bytes:
        """Return at most `size` bytes; empty at the end."""

    def __len__(self) -> int: ...


def basic_authorization(user: str, password: str) -> str:
    """Return the Authorization header of a name and a password (RFC 7617)."""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


class _BearerOrBasic(AuthBase):
    """Set exactly the given Authorization header, and keep `requests` from reading ~/.netrc."""

    def __init__(self, header: str | None) -> None:
        self.header = header

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self.header:
            request.headers["Authorization"] = self.header
        return request


class _Session(requests.Session):
    """A session that takes no login from ~/.netrc when it is redirected, either."""

    def rebuild_auth(
        self, prepared_request: requests.PreparedRequest, response: requests.Response
    ) -> None:
        sent_to = response.request.url or ""
        going_to = prepared_request.url or ""
        if self.should_strip_auth(sent_to, going_to):  # type: ignore[no-untyped-call]
            prepared_request.headers.pop("Authorization", None)


class _Adapter(HTTPAdapter):
    """Send request bodies in blocks that are worth a system call."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs, blocksize=BLOCK_BYTES)


class HttpSession:
    """Requests to one server, from any number of threads.

    Each thread has its own `requests.Session`, since that class is not documented as safe to share.
    A request is tried again, with growing waits, after a connection error or a status that says
    "later" (408, 429, 500, 502, 503, 504), when sending it twice does no harm.

    Args:
        base_url: Scheme, host and port.
        verify: Whether to verify TLS certificates, or the path of a CA bundle.
        timeout_seconds: How long to wait for a connection, and for each next byte.
        max_attempts: How often one request is sent at most.
        sleep: What waits between attempts; tests give another.
    """

    def __init__(
        self,
        base_url: str,
        *,
        verify: bool | str = True,
        timeout_seconds: float = 60,
        max_attempts: int = 4,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.base_url = normalise_url(base_url)
        self._verify = verify
        self._timeout = (min(10.0, timeout_seconds), timeout_seconds)
        self._max_attempts = max_attempts
        self._sleep = sleep
        self._local = threading.local()
        self._sessions: list[requests.Session] = []
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.base_url!r})"

    def close(self) -> None:
        """Close the connections of all threads."""
        with self._lock:
            sessions, self._sessions = self._sessions, []
        for session in sessions:
            session.close()
        self._local = threading.local()

    def _session(self) -> requests.Session:
        session: requests.Session | None = getattr(self._local, "session", None)
        if session is None:
            session = _Session()
            session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
            session.mount("http://", _Adapter(pool_maxsize=4))
            session.mount("https://", _Adapter(pool_maxsize=4))
            # A compressing proxy in between would make lengths and ranges meaningless.
            session.headers.update({"User-Agent": USER_AGENT, "Accept-Encoding": "identity"})
            self._local.session = session
            with self._lock:
                self._sessions.append(session)
        return session

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
        stream: bool = False,
        repeatable: bool | None = None,
    ) -> requests.Response:
        """Send a request, and return its answer when that is no error.

        Args:
            method: `GET`, `PUT`, ...
            path: Path with query, or a whole URL (of an upload, which may be on another host).
            authorization: The whole value of the Authorization header.
            params: More of a query.
            headers: More headers.
            json_body: What to send as JSON.
            data: What to send as it is.
            stream: Leave the answer's body to be read by the caller, who must close it.
            repeatable: Whether sending it twice does no harm; by default GET, HEAD, PUT and DELETE
                are, unless the body is a stream.

        Raises:
            HarborConnectionError: No answer, after all attempts.
            HarborStatusError: An error status; its subclass says of what kind.
            HarborProtocolError: A request that writes was redirected, or any to TLS.
        """
        url = path if "://" in path else self.base_url + path
        if repeatable is None:
            repeatable = method in _REPEATABLE_METHODS and not hasattr(data, "read")
        request_id = uuid.uuid4().hex
        attempt = 1
        while True:
            try:
                return self._send_once(
                    method,
                    url,
                    auth=_BearerOrBasic(authorization),
                    params=params,
                    headers={"X-Request-Id": request_id, **(headers or {})},
                    json=json_body,
                    data=data,
                    stream=stream,
                )
            except (HarborConnectionError, HarborStatusError) as err:
                if not repeatable or attempt >= self._max_attempts or not _may_pass(err):
                    raise
                wait_seconds = _wait_seconds(err, attempt)
                log.info("%s. Trying again in %.1f s", err, wait_seconds)
            self._sleep(wait_seconds)
            attempt += 1

    def _send_once(self, method: str, url: str, **kwargs: Any) -> requests.Response:
        shown = redact(url)
        try:
            response = self._session().request(
                method,
                url,
                verify=self._verify,
                timeout=self._timeout,
                # `requests` turns a redirected PUT or POST into a GET, whose answer would pass for
                # a thing written.
                allow_redirects=method in ("GET", "HEAD"),
                **kwargs,
            )
        except requests.RequestException as err:
            # Its text can have the whole address that it was redirected to, signature and all.
            raise _connection_error(err, method, shown) from None
        if response.is_redirect:
            response.close()
            target = redact(urljoin(url, response.headers["Location"]))
            raise HarborProtocolError(
                f"{method} {shown} was answered {response.status_code}, a redirect to {target}, "
                "and what writes is not sent elsewhere. Give the URL at which the server takes it"
            )
        if response.history and _is_secured(url, response.url):
            response.close()
            raise HarborProtocolError(
                f"{method} {shown} was redirected to the same address with TLS. Write the URL with "
                "https://, or each request sends the login unencrypted first"
            )
        if response.status_code >= 400:
            with response:
                error = error_for(
                    response.status_code, response.headers, _text(response), method, shown
                )
            if _host(response.url) != _host(url):
                error.hint = f"see why {redact(response.url)}, to which it was redirected, says so"
            raise error
        return response

    def get_json(self, path: str, **kwargs: Any) -> tuple[Any, Mapping[str, str]]:
        """Return the JSON of an answer, and its headers.

        Raises:
            HarborProtocolError: The answer is not JSON.
        """
        response = self.request("GET", path, **kwargs)
        return read_json(response), response.headers


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

    def close(self) -> None:
        """Close all connections."""
        self._session.close()


def read_json(response: requests.Response) -> Any:
    """Return an answer's JSON; anything else, such as a login page, is a `HarborProtocolError`."""
    try:
        return response.json()
    except (ValueError, requests.RequestException) as err:
        kind = response.headers.get("Content-Type", "no content type")
        raise HarborProtocolError(
            f"{response.request.method} {redact(response.url)} was answered {response.status_code} "
            f"with {kind}, not with JSON: is there a Harbor behind this URL, and no login page or "
            "proxy before it?"
        ) from err


def iter_content(response: requests.Response, block_bytes: int = BLOCK_BYTES) -> Iterator[bytes]:
    """Yield an answer's body in blocks, and raise when fewer bytes come than were announced.

    Raises:
        HarborConnectionError: The connection ended early, or stalled.
    """
    announced = response.headers.get("Content-Length")
    received = 0
    try:
        # `raw.stream` and not `iter_content`: the bytes as sent, never decoded.
        for block in response.raw.stream(block_bytes, decode_content=False):
            received += len(block)
            yield block
    except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as err:
        raise HarborConnectionError(
            f"{redact(response.url)} was cut short after {received} bytes: {type(err).__name__}",
            method="GET",
            url=redact(response.url),
            received_bytes=received,
        ) from err
    if announced is not None and announced.isdigit() and int(announced) != received:
        raise HarborConnectionError(
            f"{redact(response.url)} was cut short: {received} of {announced} bytes came",
            method="GET",
            url=redact(response.url),
            received_bytes=received,
        )


def _text(response: requests.Response) -> str:
    """Return an error's body; it is only for people, so that one cut short does no harm."""
    try:
        return response.text
    except requests.RequestException:
        return ""


def _connection_error(
    err: requests.RequestException, method: str, url: str
) -> HarborConnectionError:
    inner: BaseException = err
    while following := inner.__cause__ or inner.__context__:
        if isinstance(following, HarborBackupError):
            break  # what the caller was just dealing with, and not the reason
        inner = following
    asked = redact((err.request.url if err.request else "") or url)
    elsewhere = "" if _host(asked) == _host(url) else f", redirected to {asked}"
    if isinstance(err, requests.exceptions.ProxyError):
        elsewhere += ", through the proxy that the environment names"
    if getattr(inner, "reason", "") == "WRONG_VERSION_NUMBER":
        return HarborTlsError(
            f"{method} {url}{elsewhere}: the server does not speak TLS on this port. If that is "
            "meant, write the URL with http://",
            method=method,
            url=url,
        )
    # A connection that is cut in the middle of the handshake is an SSLError too, but may pass.
    is_cut = isinstance(inner, (ssl.SSLEOFError, ssl.SSLZeroReturnError))
    if isinstance(err, requests.exceptions.SSLError) and not is_cut:
        what, remedy = "no TLS connection can be made", "See which versions of TLS it speaks"
        if "certificate" in str(inner).lower():
            what = "the TLS certificate does not verify"
            remedy = "Give the CA's file, or have the certificate mended"
        return HarborTlsError(
            f"{method} {url}{elsewhere}: {what} ({inner}). {remedy}", method=method, url=url
        )
    if isinstance(err, requests.Timeout):
        what = "no answer in time"
    else:
        what = str(inner) or type(inner).__name__
    return HarborConnectionError(
        f"{method} {url}{elsewhere}: {redact(what)}", method=method, url=url
    )


def _is_secured(before: str, after: str) -> bool:
    old, new = urlsplit(before), urlsplit(after)
    return (
        (old.scheme, new.scheme) == ("http", "https")
        and old.hostname == new.hostname
        and old.path == new.path
    )


def _host(url: str) -> str:
    return urlsplit(url).netloc.lower()


def _may_pass(err: HarborBackupError) -> bool:
    if isinstance(err, HarborStatusError):
        return err.status in _RETRIED_STATUSES
    return not isinstance(err, HarborTlsError)


def _wait_seconds(err: HarborBackupError, attempt: int) -> float:
    if isinstance(err, HarborStatusError) and err.retry_after_seconds is not None:
        return min(err.retry_after_seconds, _LONGEST_WAIT_SECONDS)
    # Spread, so that threads which failed together do not come back together.
    return _FIRST_WAIT_SECONDS * 2.0 ** (attempt - 1) * random.uniform(0.75, 1.25)  # noqa: S311
