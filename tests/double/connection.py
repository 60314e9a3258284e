"""Spoils and cuts the connection to a client, for which ASGI has no words."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.responses import Response

from .faults import Fault

Send = Callable[[dict[str, Any]], Awaitable[None]]
Receive = Callable[[], Awaitable[dict[str, Any]]]


class ConnectionCut(Exception):
    """The connection has been cut; nothing more can be sent."""


class LostBody(Response):
    """An answer that announces a body of so many bytes, and ends before the first of them."""

    def __init__(self, size: int, status: int, headers: dict[str, str]) -> None:
        super().__init__(None, status, {**headers, "Content-Length": str(size)})

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        headers = self.raw_headers
        await send({"type": "http.response.start", "status": self.status_code, "headers": headers})
        # The head of an answer is sent with the first piece of its body.
        await send({"type": "http.response.body", "body": b"", "more_body": True})
        await cut(receive, reset=False)
        raise ConnectionCut


def spoiled(send: Send, receive: Receive, fault: Fault) -> Send:
    """Return a `send` that corrupts the body, or cuts the connection within it."""
    sent = 0
    corrupt = fault.corrupt

    async def spoil(message: dict[str, Any]) -> None:
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
            await cut(receive, reset=False)
            raise ConnectionCut
        sent += len(body)
        await send(message)

    return spoil


async def cut(receive: Receive, *, reset: bool) -> None:
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
