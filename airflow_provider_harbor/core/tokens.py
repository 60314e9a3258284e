"""How a registry wants to be logged in to: a token for each repository, Basic, or not at all.

Source: distribution-spec v1.1 leaves it to "Docker Registry v2 authentication via central service",
https://distribution.github.io/distribution/spec/auth/token/.
"""

from __future__ import annotations

import re
import threading
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from airflow_provider_harbor.core.exceptions import (
    HarborAuthError,
    HarborNotFoundError,
    HarborProtocolError,
)
from airflow_provider_harbor.core.transport import (
    HttpSession,
    Response,
    basic_authorization,
    read_json,
)

# What the specification lets a client assume where the answer does not say it.
_DEFAULT_LIFETIME_SECONDS = 60
_PARAMETER = re.compile(r'(\w+)="([^"]*)"')


@dataclass(frozen=True, slots=True)
class _Challenge:
    """What `GET /v2/` asks for: `scheme` is bearer, basic or empty for nothing."""

    scheme: str
    realm: str = ""
    service: str = ""


@dataclass(frozen=True, slots=True)
class _Token:
    header: str
    renew_at: float


class Authenticator:
    """Sends requests to a registry with the right Authorization. May be shared by threads.

    Tokens are asked for each repository on its own: one for all of them outgrows the header size
    that proxies accept (8 kB) at some 70 repositories. They are renewed before they end.
    """

    def __init__(self, session: HttpSession, user: str, password: str) -> None:
        self._session = session
        self._user = user
        self._basic = basic_authorization(user, password) if user else None
        self._challenge: _Challenge | None = None
        self._tokens: dict[tuple[str, ...], _Token] = {}
        self._locks: dict[tuple[str, ...], threading.Lock] = defaultdict(threading.Lock)
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._session!r}, user={self._user!r})"

    def send(self, method: str, path: str, scopes: Sequence[str], **kwargs: Any) -> Response:
        """Send a request with a token that covers the scopes, see `HttpSession.request`.

        Raises:
            HarborAuthError: The login may not do this; said only after a fresh token was tried.
        """
        if "://" in path:
            # An upload that the registry hands on to another host: the login is not for that one.
            return self._session.request(method, path, **kwargs)
        authorization, is_fresh = self._authorization(tuple(scopes))
        try:
            return self._session.request(method, path, authorization=authorization, **kwargs)
        except HarborAuthError as err:
            # A registry may have forgotten the token (restart, a project made again).
            if is_fresh or err.status != 401 or hasattr(kwargs.get("data"), "read"):
                raise
            with self._lock:
                self._tokens.pop(tuple(scopes), None)
        authorization, _ = self._authorization(tuple(scopes))
        return self._session.request(method, path, authorization=authorization, **kwargs)

    def check_login(self) -> None:
        """Make sure that a registry is there, and that it takes the login.

        Raises:
            HarborProtocolError: Something else answers.
            HarborAuthError: The login is not accepted.
        """
        challenge = self._get_challenge()
        if challenge.scheme == "basic":
            self._session.request("GET", "/v2/", authorization=self._basic)
        elif challenge.scheme == "bearer" and self._basic:
            self._fetch(challenge, ())

    def _authorization(self, scopes: tuple[str, ...]) -> tuple[str | None, bool]:
        """Return the header for some scopes, and whether it was made just now."""
        challenge = self._get_challenge()
        if challenge.scheme == "":
            return None, True
        if challenge.scheme == "basic":
            return self._basic, True
        with self._lock:
            lock = self._locks[scopes]
        with lock:  # one thread asks, the others wait for its token
            token = self._tokens.get(scopes)
            if token and time.monotonic() < token.renew_at:
                return token.header, False
            token = self._fetch(challenge, scopes)
            with self._lock:
                self._tokens[scopes] = token
            return token.header, True

    def _get_challenge(self) -> _Challenge:
        with self._lock:
            if self._challenge is None:
                self._challenge = self._ask_challenge()
            return self._challenge

    def _ask_challenge(self) -> _Challenge:
        try:
            response = self._session.request("GET", "/v2/")
        except HarborAuthError as err:
            return _parse_challenge(err.challenge, self._session.base_url)
        except HarborNotFoundError as err:
            raise self._no_registry(str(err)) from err
        version = response.headers.get("Docker-Distribution-Api-Version", "")
        if "json" not in response.headers.get("Content-Type", "") and not version:
            raise self._no_registry("GET /v2/ was not answered as a registry does")
        return _Challenge("")

    def _no_registry(self, seen: str) -> HarborProtocolError:
        return HarborProtocolError(
            f"there is no registry at {self._session.base_url}: {seen}. Check the URL"
        )

    def _fetch(self, challenge: _Challenge, scopes: Sequence[str]) -> _Token:
        started = time.monotonic()
        query = [("service", challenge.service)] if challenge.service else []
        query += [("scope", scope) for scope in scopes]
        try:
            response = self._session.request(
                "GET", challenge.realm, authorization=self._basic, params=query
            )
        except HarborAuthError as err:
            err.hint = f"the registry did not accept the login {self._user!r}"
            raise
        data = read_json(response)
        # Harbor sends an `access_token` too, but leaves it empty.
        token = (data.get("token") or data.get("access_token")) if isinstance(data, dict) else None
        if not isinstance(token, str) or not token:
            raise HarborProtocolError(f"{challenge.realm} was not answered with a token")
        lifetime = data.get("expires_in") or _DEFAULT_LIFETIME_SECONDS
        # At half its life, so that a long upload does not outlive the token it began with.
        return _Token(f"Bearer {token}", started + float(lifetime) / 2)


def _parse_challenge(header: str, base_url: str) -> _Challenge:
    scheme, _, rest = header.partition(" ")
    parameters = dict(_PARAMETER.findall(rest))
    if scheme.lower() == "bearer" and parameters.get("realm"):
        realm = urlsplit(parameters["realm"])
        if realm.hostname == urlsplit(base_url).hostname:
            # A Harbor behind a proxy may take its own scheme for http: never send a password there.
            realm_url = base_url + realm.path
        else:
            realm_url = parameters["realm"]
        return _Challenge("bearer", realm_url, parameters.get("service", ""))
    if scheme.lower() == "basic":
        return _Challenge("basic")
    raise HarborProtocolError(
        f"GET {base_url}/v2/ was answered 401 with the challenge {header[:80]!r}, which is neither "
        "Basic nor Bearer: is there a registry behind this URL?"
    )
