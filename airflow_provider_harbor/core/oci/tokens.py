"""How a registry wants to be logged in to: a token for each repository, Basic, or not at all.

Source: distribution-spec v1.1 leaves it to "Docker Registry v2 authentication via central service",
https://distribution.github.io/distribution/spec/auth/token/.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urljoin, urlsplit

from airflow_provider_harbor.core.exceptions import (
    HarborAuthError,
    HarborNotFoundError,
    HarborProtocolError,
)
from airflow_provider_harbor.core.http.answers import Answer, Stream
from airflow_provider_harbor.core.http.logins import login_hint
from airflow_provider_harbor.core.http.transport import HttpSession, basic_authorization
from airflow_provider_harbor.core.http.urls import origin_of, redact
from airflow_provider_harbor.core.locks import KeyedLocks
from airflow_provider_harbor.core.texts import one_line, shown

T = TypeVar("T")

# What the specification lets a client assume where the answer does not say it.
_DEFAULT_LIFETIME_SECONDS = 60.0
_LONGEST_LIFETIME_SECONDS = 86_400.0
# What a header can carry (RFC 9110, section 5.5), without the spaces that would end a token.
_TOKEN = re.compile(r"[!-~]{1,65536}")
# A parameter (its value quoted or not), or else a scheme.
_CHALLENGE_PART = re.compile(
    r'(?P<name>[\w-]+)\s*=\s*(?:"(?P<quoted>[^"]*)"|(?P<value>[^\s,"]+))|(?P<scheme>[\w-]+)'
)
# Source: Harbor src/core/service/token, which serves it beside the registry.
_HARBORS_TOKENS = "/service/token"


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

    Args:
        session: With the registry.
        user: Name of a user or robot; empty for no login.
        password: Its password or secret.
        advice: How a login is given, see `login_hint`.
    """

    def __init__(self, session: HttpSession, user: str, password: str, *, advice: str = "") -> None:
        self._session = session
        self._user = user
        self._advice = advice
        self._basic = basic_authorization(user, password) if user else None
        self._challenge: _Challenge | None = None
        self._tokens: dict[tuple[str, ...], _Token] = {}
        self._locks = KeyedLocks()
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._session!r}, user={self._user!r})"

    def send(self, method: str, path: str, scopes: Sequence[str], **kwargs: Any) -> Answer:
        """Send a request with a token that covers the scopes, see `HttpSession.request`.

        Raises:
            HarborAuthError: The login may not do this; said only after a fresh token was tried.
        """
        if not path.startswith("/"):
            # An upload that the registry hands on to another host: the login is not for that one.
            return self._session.request(method, path, **kwargs)
        # A stream is read by then: only the caller can begin it again.
        is_stream = hasattr(kwargs.get("data"), "read")
        return self._with_token(
            tuple(scopes),
            lambda token: self._session.request(method, path, authorization=token, **kwargs),
            repeatable=not is_stream,
        )

    def open(self, path: str, scopes: Sequence[str], **kwargs: Any) -> Stream:
        """Send a GET likewise, and leave its answer's body to be read, see `HttpSession.open`."""
        return self._with_token(
            tuple(scopes), lambda token: self._session.open(path, authorization=token, **kwargs)
        )

    def _with_token(
        self,
        scopes: tuple[str, ...],
        send: Callable[[str | None], T],
        *,
        repeatable: bool = True,
    ) -> T:
        authorization, is_fresh = self._authorization(scopes)
        try:
            return send(authorization)
        except HarborAuthError as err:
            # A registry may have forgotten the token (restart, a project made again).
            if is_fresh or err.status != 401:
                raise
            with self._lock:
                self._tokens.pop(scopes, None)
            if not repeatable:
                raise
        authorization, _ = self._authorization(scopes)
        return send(authorization)

    def check_login(self) -> None:
        """Make sure that a registry is there, and that it takes the login.

        Raises:
            HarborProtocolError: Something else answers.
            HarborAuthError: The login is not accepted.
        """
        challenge = self._get_challenge()
        if challenge.scheme == "basic":
            with self._saying_what_to_do():
                self._session.request("GET", "/v2/", authorization=self._basic)
        elif challenge.scheme == "bearer" and self._basic:
            self._fetch(challenge, ())

    def _authorization(self, scopes: tuple[str, ...]) -> tuple[str | None, bool]:
        """Return the header for some scopes, and whether it was made just now."""
        token = self._tokens.get(scopes)  # without a lock: it is of a kind that never changes
        if token and time.monotonic() < token.renew_at:
            return token.header, False
        challenge = self._get_challenge()
        if challenge.scheme == "":
            return None, True
        if challenge.scheme == "basic":
            return self._basic, True
        with self._locks.holding(scopes):  # one thread asks, the others wait for its token
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
            answer = self._session.request("GET", "/v2/")
        except HarborAuthError as err:
            return _parse_challenge(err.challenge, self._session.base_url)
        except HarborNotFoundError as err:
            raise self._no_registry(str(err)) from err
        version = answer.headers.get("Docker-Distribution-Api-Version", "")
        if "json" not in answer.headers.get("Content-Type", "") and not version:
            raise self._no_registry(f"{answer}, and not as a registry does it")
        return _Challenge("")

    def _no_registry(self, seen: str) -> HarborProtocolError:
        return HarborProtocolError(
            f"there is no registry at {self._session.base_url}: {seen}. Check the URL"
        )

    def _fetch(self, challenge: _Challenge, scopes: Sequence[str]) -> _Token:
        started = time.monotonic()
        query = [("service", challenge.service)] if challenge.service else []
        query += [("scope", scope) for scope in scopes]
        with self._saying_what_to_do():
            answer = self._session.request(
                "GET", challenge.realm, authorization=self._basic, params=query
            )
        token, lifetime_seconds = answer.read(_read_token)
        # At half its life, so that a long upload does not outlive the token it began with.
        return _Token(f"Bearer {token}", started + lifetime_seconds / 2)

    @contextmanager
    def _saying_what_to_do(self) -> Iterator[None]:
        try:
            yield
        except HarborAuthError as err:
            err.hint = login_hint(self._user, self._advice)
            raise


def _read_token(data: Any) -> tuple[str, float]:
    """Return a token and its life in seconds; no part of a token is ever shown.

    Raises:
        HarborProtocolError: There is none, or one that no header can carry.
    """
    # Harbor sends an `access_token` too, but leaves it empty.
    token = (data.get("token") or data.get("access_token")) if isinstance(data, dict) else None
    if not isinstance(token, str) or not token:
        raise HarborProtocolError("there is no token in it")
    if not _TOKEN.fullmatch(token):
        raise HarborProtocolError("the token in it has characters that no header can carry")
    lifetime = data.get("expires_in")
    if lifetime is None or lifetime == 0:
        return token, _DEFAULT_LIFETIME_SECONDS
    if isinstance(lifetime, bool) or not isinstance(lifetime, (int, float)) or lifetime < 0:
        raise HarborProtocolError(
            f"'expires_in' is {shown(lifetime)}, which is not a time in seconds"
        )
    return token, min(lifetime, _LONGEST_LIFETIME_SECONDS)


def _parse_challenge(header: str, base_url: str) -> _Challenge:
    """Return the best challenge of a `WWW-Authenticate`, which may have several (RFC 9110, 11.6.1).

    Raises:
        HarborProtocolError: There is none that is known, or it wants the password unprotected.
    """
    challenges: dict[str, dict[str, str]] = {}
    scheme = ""
    for found in _CHALLENGE_PART.finditer(header):
        if found["scheme"]:
            scheme = found["scheme"].lower()
            challenges.setdefault(scheme, {})
        elif scheme:
            value = found["value"] if found["quoted"] is None else found["quoted"]
            challenges[scheme].setdefault(found["name"].lower(), value)
    bearer = challenges.get("bearer", {})
    if bearer.get("realm"):
        realm = _realm_url(bearer["realm"], base_url)
        return _Challenge("bearer", realm, bearer.get("service", ""))
    if "basic" in challenges:
        return _Challenge("basic")
    raise HarborProtocolError(
        f"GET {base_url}/v2/ was answered 401 with the challenge {one_line(header, 80)!r}, which "
        "is neither Basic nor Bearer: is there a registry behind this URL?"
    )


def _realm_url(realm: str, base_url: str) -> str:
    """Return where to ask for tokens: as the registry says it, but never less protected than it."""
    try:
        base, target = urlsplit(base_url), urlsplit(urljoin(base_url, realm))
        origin_of(target.geturl())
    except ValueError:
        raise HarborProtocolError(
            f"{base_url} wants the login sent to an address that cannot be read. Have the "
            "registry's configuration corrected (its token realm)"
        ) from None
    target = target._replace(netloc=target.netloc.rpartition("@")[2], fragment="")
    if target.hostname == base.hostname and target.path == _HARBORS_TOKENS:
        # A Harbor behind a proxy may take its own scheme for http, and its own port for another.
        return base_url + target._replace(scheme="", netloc="").geturl()
    if base.scheme == "https" and target.scheme == "http":
        if target.hostname != base.hostname or target.port:
            raise HarborProtocolError(
                f"{base_url} wants the login sent to {redact(target.geturl(), base_url)}, which is "
                "not encrypted, so it was not sent. Have the registry's configuration corrected "
                "(its token realm)"
            )
        target = target._replace(scheme="https")
    return target.geturl()
