"""Sending one request, and nothing around it.

Of `requests` only the sending is used: no cookie is ever kept or sent (Harbor hands out a session
cookie with every answer, and refuses each writing request that brings one back with 403), no login
is taken from ~/.netrc, and no redirect is followed here.
"""

from __future__ import annotations

import base64
import functools
import os
import re
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import requests
from requests.structures import CaseInsensitiveDict
from requests.utils import get_auth_from_url, get_environ_proxies, select_proxy

from airflow_provider_harbor.core.exceptions import HarborConfigurationError, HarborProtocolError
from airflow_provider_harbor.core.http.connection_errors import CONNECTION_ERRORS, connection_error
from airflow_provider_harbor.core.http.patience import PatientAdapter
from airflow_provider_harbor.core.http.urls import redact

_LONGEST_CONNECT_SECONDS = 10.0
# So many servers, since each may redirect elsewhere; and so many connections to one that are kept.
_MOST_ORIGINS = 64
_MOST_IDLE = 256
# What `requests` would send as it is: no dots to be resolved, no escapes but of what has to be one.
_EASY_URL = re.compile(
    r"https?://[a-z0-9][a-z0-9.-]*(?::[0-9]{1,5})?(?:/(?!\.)[A-Za-z0-9._~:@!$&'()*+,;=-]*)+"
    r"(?:\?(?:[A-Za-z0-9/?._~:@!$&'()*+,;=-]|%2[1-9A-CF]|%3[A-F]|%40|%5[BD])*)?"
)
_EASY_VALUE = re.compile(r"[!-~](?:[ -~]*[!-~])?")
_PROXY_ADVICE = (
    "the proxy that the environment names cannot be used. See whether HTTP_PROXY, HTTPS_PROXY and "
    "ALL_PROXY are URLs (special characters of a password are escaped, such as %2F for /); one of "
    "SOCKS needs the package PySocks"
)


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is sent, maybe several times; as a text it is what may be shown of it.

    Attributes:
        url: The whole address.
        origin: Scheme, host and port of it.
        base_url: Of the server that is meant; of another one less is shown.
        authorization: The whole value of the header; it goes to `origin` only.
        secrets: What else is not to be shown: the login at a proxy.
        options: Other headers, query and body, as `requests.Request` takes them.
    """

    method: str
    url: str
    origin: str
    base_url: str
    authorization: str | None = field(default=None, repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)
    options: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def __str__(self) -> str:
        return f"{self.method} {self.shown_url}"

    @functools.cached_property
    def shown_url(self) -> str:
        """The address as it may be shown."""
        return redact(self.url, self.base_url)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Route:
    """Which proxies the environment names for a server, and what of them is not to be shown."""

    proxies: dict[str, str]
    has_proxy: bool
    secrets: tuple[str, ...]


class _Passing:
    """A body that is streamed, and tells what passes."""

    def __init__(self, body: Any, on_bytes: Callable[[int], None]) -> None:
        self._body = body
        self._on_bytes = on_bytes

    def __len__(self) -> int:
        return len(self._body)

    def read(self, size: int = -1, /) -> bytes:
        block: bytes = self._body.read(size)
        self._on_bytes(len(block))
        return block


class Connections:
    """The connections of all threads.

    There are as many as were ever in use at once, and the one that was used last is used next, so
    that the others are closed by the server in time. `requests` promises nothing of an adapter that
    threads share; but all that is shared of it is the pool of `urllib3`, which is made for that.

    Args:
        verify: Whether to verify TLS certificates, or the path of a CA bundle.
        timeout_seconds: How long to wait, see `patience`.
    """

    def __init__(self, verify: bool | str, timeout_seconds: float) -> None:
        self._verify = _ca_bundle(verify)
        self._timeouts = (min(_LONGEST_CONNECT_SECONDS, timeout_seconds), timeout_seconds)
        self._adapter = PatientAdapter(_MOST_ORIGINS, _MOST_IDLE)
        self._routes: dict[str, _Route] = {}

    def close(self) -> None:
        """Close all of them; what is asked for later opens new ones."""
        self._adapter.close()

    def send(
        self,
        request: Request,
        url: str,
        origin: str,
        authorization: str | None,
        on_bytes: Callable[[int], None],
    ) -> requests.Response:
        """Send a request once, and return its answer, whatever it is, with its body unread.

        Args:
            request: What is sent.
            url: Where it goes, after redirects.
            origin: Of that URL.
            authorization: The header, if it may go there.
            on_bytes: Called with the number of bytes of each block of a streamed body.

        Raises:
            HarborConnectionError: No answer.
            HarborProtocolError: An address, a header or an answer is broken.
            HarborConfigurationError: The environment names a proxy that cannot be used.
        """
        options = dict(request.options)
        if authorization:
            options["headers"] = {**options["headers"], "Authorization": authorization}
        if url is not request.url:
            options["params"] = None  # a redirect says all of its address
        if hasattr(options.get("data"), "read"):
            options["data"] = _Passing(options["data"], on_bytes)
        route = self._route(url, origin)
        try:
            prepared = _prepared(request.method, url, **options)
            return self._adapter.send(
                prepared,
                stream=True,
                timeout=self._timeouts,
                verify=self._verify,
                proxies=route.proxies,
            )
        except ValueError as err:
            if route.has_proxy and not isinstance(err, requests.exceptions.InvalidHeader):
                raise HarborConfigurationError(f"{request}: {_PROXY_ADVICE}") from None
            raise HarborProtocolError(
                f"{request} cannot be sent, or is answered with something that is not HTTP "
                f"({type(err).__name__})"
            ) from None
        except CONNECTION_ERRORS as err:
            asked = redact(url, request.base_url) if url is not request.url else ""
            raise connection_error(err, request.method, request.shown_url, asked) from None

    def secrets(self, url: str, origin: str) -> tuple[str, ...]:
        """Return the login at a proxy that requests to an address go through."""
        return self._route(url, origin).secrets

    def _route(self, url: str, origin: str) -> _Route:
        route = self._routes.get(origin)
        if route is None:
            route = self._routes[origin] = _route(url)
        return route


def _prepared(
    method: str,
    url: str,
    headers: Mapping[str, str],
    params: Any = None,
    json: Any = None,
    data: Any = None,
) -> requests.PreparedRequest:
    """Return what is sent, as `requests` makes it, and by itself where that is easy.

    `requests` takes a third of the time of a small request to read an address that needs no change.
    """
    is_easy = (
        not params
        and _EASY_URL.fullmatch(url)
        and all(_EASY_VALUE.fullmatch(value) for value in headers.values())
        and (data is None or isinstance(data, bytes) or hasattr(data, "read"))
    )
    if not is_easy or json is not None:
        return requests.Request(
            method, url, headers=headers, params=params, json=json, data=data
        ).prepare()
    made = requests.PreparedRequest()
    made.method, made.url, made.body = method, url, data or None
    made.headers = CaseInsensitiveDict(headers)
    if data or method not in ("GET", "HEAD"):
        made.headers["Content-Length"] = str(len(data) if data is not None else 0)
    return made


def _route(url: str) -> _Route:
    proxies = get_environ_proxies(url, no_proxy=None)
    proxy = select_proxy(url, proxies)
    if not proxy:
        return _Route(proxies=proxies, has_proxy=False, secrets=())
    try:
        user, password = get_auth_from_url(proxy)
    except ValueError:
        raise HarborConfigurationError(f"{redact(url, url)}: {_PROXY_ADVICE}") from None
    login = f"{user}:{password}".encode("latin-1", "replace")  # as `requests` sends it
    sent = base64.b64encode(login).decode().rstrip("=")
    return _Route(proxies=proxies, has_proxy=True, secrets=(password, sent) if password else ())


def _ca_bundle(verify: bool | str) -> bool | str:
    """Return what to verify certificates with; the environment may name it, as for `requests`."""
    if verify is True:
        environ = os.environ
        verify = environ.get("REQUESTS_CA_BUNDLE") or environ.get("CURL_CA_BUNDLE") or True
    if isinstance(verify, str) and not os.path.exists(verify):
        raise HarborConfigurationError(f"there is no file {verify} with the CA's certificates")
    if isinstance(verify, str) and os.path.isfile(verify):
        _require_certificates(verify)
    return verify


def _require_certificates(path: str) -> None:
    """Make sure that a file has certificates: else the first request would blame the server."""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
    except ssl.SSLError:  # which is an OSError
        raise HarborConfigurationError(
            f"the file {path} has no certificates of a CA in the form PEM, or damaged ones. Give "
            "one with lines of BEGIN CERTIFICATE"
        ) from None
    except OSError as err:
        raise HarborConfigurationError(
            f"the file {path} with the CA's certificates cannot be read: {err.strerror}"
        ) from None
