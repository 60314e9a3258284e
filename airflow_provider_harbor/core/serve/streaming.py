"""Blobs on their way to a client: while a block is sent, the next one is read in a thread."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from airflow_provider_harbor.core.exceptions import StoreError, describe
from airflow_provider_harbor.core.serve.content import Block

log = logging.getLogger(__name__)


class BlobResponse(Response):
    """A blob, or a part of it, or its headers only.

    Args:
        first: The first block of what to send.
        rest: The other ones; closed at the end, where it can be.
        threads: In which they are read.
        where: What it is, for the log.
        status: 200 or 206.
        headers: Content-Length among them.
    """

    def __init__(
        self,
        first: Block,
        rest: Iterator[Block],
        threads: ThreadPoolExecutor,
        where: str,
        status: int,
        headers: dict[str, str],
    ) -> None:
        super().__init__(None, status, headers)
        self._first = first
        self._rest = rest
        self._threads = threads
        self._where = where

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it; where the client goes away, or the file ends before it should, end there."""
        await send(
            {
                "type": "http.response.start",
                "status": self.status_code,
                "headers": self.raw_headers,
            }
        )
        length = int(self.headers["content-length"]) if scope["method"] != "HEAD" else 0
        if length > len(self._first):
            await self._send_blocks(receive, send, length)
        else:
            await send({"type": "http.response.body", "body": self._first if length else b""})
            self._close()

    async def _send_blocks(self, receive: Receive, send: Send, length: int) -> None:
        gone = asyncio.ensure_future(_wait_until_gone(receive))
        loop = asyncio.get_running_loop()
        block, sent = self._first, 0
        waiting = loop.run_in_executor(self._threads, self._next)
        try:
            while block and not gone.done():
                sent += len(block)
                is_last = sent == length
                await send({"type": "http.response.body", "body": block, "more_body": not is_last})
                if is_last:
                    return
                block = await waiting
                waiting = loop.run_in_executor(self._threads, self._next)
            if not gone.done():
                # What was promised does not come: the connection is cut, so nobody is misled.
                log.error("%s: the file of the store ended before its end", self._where)
        finally:
            gone.cancel()
            waiting.add_done_callback(lambda future: self._close())

    def _close(self) -> None:
        self._first = b""
        close = getattr(self._rest, "close", None)
        if close:
            # A block may still be read, where the answer was given up meanwhile: it ends by itself.
            with contextlib.suppress(ValueError):
                close()

    def _next(self) -> Block:
        try:
            return next(self._rest, b"")
        except (OSError, StoreError) as err:
            log.error("%s: %s", self._where, describe(err))
            return b""


async def _wait_until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        continue
