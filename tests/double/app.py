"""The ASGI application: what Harbor does around every request, faults, counters, and /_double/."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import json
import logging
import secrets
import socket
import struct
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.requests import ClientDisconnect
from starlette.responses import Response

from . import rest_artifacts, rest_projects, rest_robots, rest_system, routes, v2
from .access import identify
from .counters import RequestCounter
from .faults import Fault, Faults
from .state import State
from .wire import JSON, HarborError, Request, answer, bad_request, internal_error, not_found

log = logging.getLogger(__name__)

SAFE = ("GET", "HEAD", "OPTIONS")
WRITABLE_WHEN_READ_ONLY = (("PUT", "/api/v2.0/configurations"), ("POST", "/service/token"))
REST = (rest_artifacts, rest_projects, rest_robots, rest_system)  # imported for their routes
Send = Callable[[dict[str, Any]], Awaitable[None]]
Receive = Callable[[], Awaitable[dict[str, Any]]]


class Application:
    """Answers requests from a state. `owner` is what the callbacks of faults are given."""

    def __init__(
        self, state: State, counter: RequestCounter, faults: Faults, owner: object
    ) -> None:
        self._state = state
        self._counter = counter
        self._faults = faults
        self._owner = owner

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        if request.raw_path.startswith("/_double/"):
            await (await self._control(request))(scope, receive, send)  # type: ignore[arg-type]
            return
        fault = self._faults.take(request.method, request.target)
        if fault is not None and (fault.delay_seconds or fault.callback is not None):
            await asyncio.sleep(fault.delay_seconds)
            if fault.callback is not None:
                await asyncio.to_thread(fault.callback, self._owner)
        try:
            response = await self._respond(request, fault)
        except ClientDisconnect:
            response = None
        if response is None:
            self._counter.add(request.method, request.target, 0)
            await _cut(receive, reset=True)
            return
        self._counter.add(request.method, request.target, response.status_code)
        if fault is not None:
            send = _spoiled(send, receive, fault)
        with contextlib.suppress(_Done):
            await response(scope, receive, send)  # type: ignore[arg-type]

    async def _respond(self, request: Request, fault: Fault | None) -> Response | None:
        """Return the answer, or None where the connection is to be cut instead."""
        if fault is None:
            return await self._harbor(request)
        if fault.reset:
            return None
        if fault.status is not None:
            await request.drain()
            headers = {"Content-Type": fault.content_type, **fault.headers}
            return Response(fault.body, fault.status, headers)
        response = await self._harbor(request)
        response.headers.update(fault.headers)
        return None if fault.lose_answer else response

    async def _harbor(self, request: Request) -> Response:
        session = request.cookies.get("sid")
        with_cookie = session is None
        try:
            if request.has_broken_query():
                raise bad_request("invalid query string")
            self._check_csrf(request, session)
            request.caller = identify(self._state, request)
            if self._refuses_writes(request):
                with_cookie = False
                text = "The system is in read only mode. Any modification is prohibited."
                raise HarborError(403, "DENIED", text)
            response = await self._dispatch(request)
        except HarborError as err:
            await request.drain()
            response = err.response()
        except (ClientDisconnect, asyncio.CancelledError):
            raise
        except Exception:
            log.exception("the double failed at %s %s", request.method, request.target)
            response = internal_error().response()
        response.headers["X-Request-ID"] = request.headers.get("x-request-id") or str(uuid.uuid4())
        secure = "; Secure" if request.scheme == "https" else ""
        if with_cookie:
            sid = secrets.token_hex(16)
            response.headers.append("Set-Cookie", f"sid={sid}; Path=/; HttpOnly{secure}")
        elif session is not None and request.method in SAFE:
            response.headers["X-Harbor-CSRF-Token"] = self._csrf_token(session)
            csrf = f"_gorilla_csrf={secrets.token_hex(16)}; Path=/; HttpOnly{secure}"
            response.headers.append("Set-Cookie", csrf)
        return response

    async def _dispatch(self, request: Request) -> Response:
        path = request.raw_path
        if path == "/v2" or path.startswith("/v2/"):
            return await v2.dispatch(self._state, request)
        if path == "/service/token":
            with self._state.lock:
                return v2.token(self._state, request)
        if path.startswith("/_storage/"):
            return v2.stored_blob(self._state, request)
        if path == "/api/version":
            return answer({"version": "v2.0"})
        if path.startswith(routes.PREFIX + "/"):
            if request.method not in SAFE:
                await request.body()
            with self._state.lock:
                return routes.dispatch(self._state, request)
        raise not_found(f"path {path} was not found")

    def _refuses_writes(self, request: Request) -> bool:
        return (
            self._state.read_only
            and request.method not in SAFE
            and (request.method, request.raw_path) not in WRITABLE_WHEN_READ_ONLY
        )

    def _csrf_token(self, session: str) -> str:
        return hmac.new(self._state.secret, session.encode(), hashlib.sha256).hexdigest()

    def _check_csrf(self, request: Request, session: str | None) -> None:
        """Refuse writes of clients that send the session cookie back without a token."""
        if session is None or request.method in SAFE:
            return
        sent = request.headers.get("x-harbor-csrf-token")
        if sent is None:
            raise HarborError(403, "FORBIDDEN", "CSRF token not found in request")
        if not hmac.compare_digest(sent, self._csrf_token(session)):
            raise HarborError(403, "FORBIDDEN", "CSRF token invalid")

    async def _control(self, request: Request) -> Response:
        """Answer /_double/, by which other processes set faults and read the counters."""
        what = (request.method, request.raw_path)
        if what == ("POST", "/_double/faults"):
            try:
                self._faults.add(Fault(**json.loads(await request.body())))
            except (TypeError, ValueError) as err:
                return Response(f"{err}\n", 400)
            return Response(status_code=201)
        if what == ("DELETE", "/_double/faults"):
            self._faults.clear()
            return Response(status_code=204)
        if what == ("GET", "/_double/requests"):
            body = {"by_kind": self._counter.by_kind(), "total": self._counter.total()}
            return Response(json.dumps(body), headers={"Content-Type": JSON})
        if what == ("DELETE", "/_double/requests"):
            self._counter.reset()
            return Response(status_code=204)
        return Response("not found\n", 404)


class _Done(Exception):
    """The connection has been cut; nothing more can be sent."""


def _spoiled(send: Send, receive: Receive, fault: Fault) -> Send:
    """Return a `send` that corrupts the body, or cuts the connection within it."""
    sent = 0
    corrupt = fault.corrupt

    async def spoiled(message: dict[str, Any]) -> None:
        nonlocal sent, corrupt
        body = message.get("body", b"")
        if body and corrupt:
            corrupt = False
            middle = len(body) // 2
            body = body[:middle] + bytes([body[middle] ^ 0xFF]) + body[middle + 1 :]
            message = {**message, "body": body}
        limit = fault.truncate_after_bytes
        if limit is not None and sent + len(body) > limit:
            await send({**message, "body": body[: limit - sent], "more_body": True})
            await _cut(receive, reset=False)
            raise _Done
        sent += len(body)
        await send(message)

    return spoiled


async def _cut(receive: Receive, *, reset: bool) -> None:
    """Cut the connection of a request, with a TCP reset or after what was sent.

    ASGI has no word for that, so this reaches for the connection behind uvicorn's `receive`.
    """
    cycle = receive.__self__  # type: ignore[attr-defined]
    transport = cycle.transport
    if cycle.disconnected:
        return
    if reset:
        linger = struct.pack("ii", 1, 0)
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        transport.abort()
    else:
        transport.close()
    while not cycle.disconnected:
        await asyncio.sleep(0.001)
