"""What stands before the registry: logins, and the log of who asked for what."""

from __future__ import annotations

import asyncio
import base64
import logging
import time
from concurrent.futures import ThreadPoolExecutor

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from airflow_provider_harbor.core.serve.answers import ApiError, Code
from airflow_provider_harbor.core.serve.logins import Logins
from airflow_provider_harbor.core.texts import one_line

log = logging.getLogger(__name__)

_REALM = "harbor-backup"
# Who tries passwords is not to keep all threads, and all processors, busy.
_CHECKS_AT_ONCE = 2
_API_VERSION = (b"docker-distribution-api-version", b"registry/2.0")


class Guard:
    """An ASGI application before another one.

    Args:
        app: What is guarded.
        logins: Who may read; None for everybody.

    Attributes:
        requests: How many there were.
        sent_bytes: Of all bodies.
    """

    def __init__(self, app: ASGIApp, logins: Logins | None = None) -> None:
        self._app = app
        self._logins = logins
        self._threads = ThreadPoolExecutor(_CHECKS_AT_ONCE, thread_name_prefix="logins")
        self.requests = 0
        self.sent_bytes = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or let it be answered."""
        if scope["type"] != "http":
            return
        began = time.monotonic()
        status = sent_bytes = 0

        async def watch(message: Message) -> None:
            nonlocal status, sent_bytes
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], _API_VERSION]
            else:
                sent_bytes += len(message.get("body", b""))
            await send(message)

        user, password = _login_of(Headers(scope=scope))
        try:
            if self._logins and not await self._is_right(self._logins, user, password):
                await _refusal(bool(user)).response()(scope, receive, watch)
            else:
                await self._app(scope, receive, watch)
        finally:
            self.requests += 1
            sent_bytes = 0 if scope["method"] == "HEAD" else sent_bytes
            self.sent_bytes += sent_bytes
            log.info(
                '%s %s "%s %s" %s, %d bytes in %.3f s',
                (scope.get("client") or ("-",))[0],
                one_line(user, 64) if user and status != 401 else "-",
                scope["method"],
                one_line(_target_of(scope)),
                status or "cut",
                sent_bytes,
                time.monotonic() - began,
            )

    async def _is_right(self, logins: Logins, user: str, password: str) -> bool:
        if not user:
            return False
        if logins.knows(user, password):
            return True
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, logins.check, user, password)


def _refusal(has_login: bool) -> ApiError:
    said = "the login is not right" if has_login else "log in first"
    challenge = {"WWW-Authenticate": f'Basic realm="{_REALM}", charset="UTF-8"'}
    return ApiError(401, Code.UNAUTHORIZED, said, headers=challenge)


def _target_of(scope: Scope) -> str:
    """Return what was asked for, as it came: escaped, with its query."""
    target: bytes = scope.get("raw_path") or scope["path"].encode()
    query: bytes = scope["query_string"]
    return (target + (b"?" + query if query else b"")).decode("ascii", "backslashreplace")


def _login_of(headers: Headers) -> tuple[str, str]:
    """Return user and password of a request; empty where it has none that can be read."""
    scheme, _, encoded = headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return "", ""
    try:
        user, _, password = base64.b64decode(encoded, validate=True).decode().partition(":")
    except ValueError:  # no base64, no UTF-8, or no ASCII even
        return "", ""
    return user, password
