"""The ASGI application: what Harbor does around every request; faults and counters."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import uuid
from typing import Any

from starlette.requests import ClientDisconnect
from starlette.responses import Response

from . import control, nginx, registry_blobs, rest, routes, sessions, v2
from .access import identify
from .connection import ConnectionCut, Receive, Send, cut, spoiled
from .counters import RequestCounter
from .faults import Fault, Faults
from .state import State
from .wire import HarborError, Panic, Request, answer, bad_request, internal_error, not_found

log = logging.getLogger(__name__)

WRITABLE_WHEN_READ_ONLY = (
    ("PUT", "/api/v2.0/configurations"), ("POST", "/service/token"), ("POST", "/c/login"),
)  # fmt: skip
REST = rest  # imported for its routes


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
        if request.raw_path.startswith(control.PREFIX):
            controlled = await control.answer(request, self._faults, self._counter)
            await controlled(scope, receive, send)  # type: ignore[arg-type]
            return
        fault = self._faults.take(request.method, request.target)
        if fault is not None:
            await self._hold(fault)
        try:
            response = await self._respond(request, fault)
        except ClientDisconnect:
            response = None
        if response is None:
            self._counter.add(request.method, request.target, 0)
            await cut(receive, reset=True)
            return
        self._counter.add(request.method, request.target, response.status_code)
        if fault is not None:
            send = spoiled(send, receive, fault)
        with contextlib.suppress(ConnectionCut):
            await response(scope, receive, send)  # type: ignore[arg-type]

    async def _hold(self, fault: Fault) -> None:
        """Do what a fault does before the request is answered."""
        await asyncio.sleep(fault.delay_seconds)
        while fault.until is not None and not fault.until.is_set():
            await asyncio.sleep(0.01)
        if fault.callback is not None:
            await asyncio.to_thread(fault.callback, self._owner)

    async def _respond(self, request: Request, fault: Fault | None) -> Response | None:
        """Return the answer, or None where the connection is to be cut instead."""
        if fault is None:
            return await self._answer(request)
        if fault.reset:
            return None
        if fault.status is not None:
            await request.drain()
            headers = {"Content-Type": fault.content_type, **fault.headers}
            return Response(fault.body, fault.status, headers)
        response = await self._answer(request)
        response.headers.update(fault.headers)
        return None if fault.lose_answer else response

    async def _answer(self, request: Request) -> Response:
        """Return what answers this request: storage, nginx, or Harbor behind it."""
        if request.raw_path.startswith("/_storage/"):
            return registry_blobs.stored(self._state, request)
        if self._state.behind_nginx:
            response = nginx.pass_through(request)
            if response is not None:
                await request.drain()
                return response
        return await self._harbor(request)

    async def _harbor(self, request: Request) -> Response:
        csrf = sessions.Csrf(self._state, request)
        with_cookie = "sid" not in request.cookies
        try:
            if request.has_broken_query():
                raise bad_request("invalid query string")
            csrf.check()
            request.caller = identify(self._state, request)
            if self._state.login_seconds and request.names_user:
                await asyncio.sleep(self._state.login_seconds)
            if self._refuses_writes(request):
                with_cookie = False
                text = "The system is in read only mode. Any modification is prohibited."
                raise HarborError(403, "DENIED", text)
            response = await self._dispatch(request)
        except HarborError as err:
            await request.drain()
            response = err.response()
        except Panic:
            response = Response(status_code=500)
        except (ClientDisconnect, asyncio.CancelledError):
            raise
        except Exception:
            log.exception("the double failed at %s %s", request.method, request.target)
            response = internal_error().response()
        response.headers["X-Request-ID"] = request.headers.get("x-request-id") or str(uuid.uuid4())
        secure = "; Secure" if request.scheme == "https" else ""
        csrf.attach(response, secure)
        if with_cookie and request.raw_path != "/c/login":
            cookie = sessions.session_cookie(secrets.token_hex(16), secure)
            response.headers.append("Set-Cookie", cookie)
        return response

    async def _dispatch(self, request: Request) -> Response:
        path = request.raw_path
        if path == "/v2" or path.startswith("/v2/"):
            return await v2.dispatch(self._state, request)
        if path == "/service/token":
            with self._state.lock:
                return v2.token(self._state, request)
        if path == "/api/version":
            return answer({"version": "v2.0"})
        if path.startswith("/c/"):
            response = await sessions.answer(self._state, request)
            if response is not None:
                return response
        if path.startswith(routes.PREFIX + "/"):
            if request.method not in sessions.SAFE:
                await request.body()
            with self._state.lock:
                result = routes.dispatch(self._state, request)
            # Handlers that look elsewhere first take the lock themselves.
            return result if isinstance(result, Response) else await result
        raise not_found(f"path {path} was not found")

    def _refuses_writes(self, request: Request) -> bool:
        return (
            self._state.read_only
            and request.method not in sessions.SAFE
            and not any(
                request.method == method and request.raw_path.startswith(path)
                for method, path in WRITABLE_WHEN_READ_ONLY
            )
        )
