"""A server that answers what a test tells it to, however wrong that is, on a port of loopback."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

# What is sent: status, headers and body (text, bytes, or what becomes JSON); or else the bytes of
# the answer, head and all, whole or one piece after the other.
Said = tuple[int, dict[str, str], Any] | bytes | Iterator[bytes]


@dataclass(frozen=True)
class Asked:
    """A request as it came."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class _Server(ThreadingHTTPServer):
    # Five would do for a person: of more that come at once some wait a second to be let in.
    request_queue_size = 1024


class HostileServer:
    """A context manager; `say` is called with each request.

    Attributes:
        url: Its address.
        asked: All requests, in the order in which they came.
        is_stopped: Set at the end, so that what sends for ever knows it.
    """

    def __init__(self, say: Callable[[Asked], Said]) -> None:
        self.asked: list[Asked] = []
        self.is_stopped = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True  # else each answer takes 40 ms

            def answer(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                asked = Asked(self.command, self.path, dict(self.headers), self.rfile.read(length))
                outer.asked.append(asked)
                said = say(asked)
                if isinstance(said, tuple):
                    self._send(*said)
                    return
                self.close_connection = True
                with suppress(OSError):  # it hung up, and that is what is tested
                    for piece in [said] if isinstance(said, bytes) else said:
                        self.wfile.write(piece)

            def _send(self, status: int, headers: dict[str, str], body: Any) -> None:
                if isinstance(body, str):
                    body = body.encode()
                elif not isinstance(body, bytes):
                    body = json.dumps(body).encode()
                    headers = {"Content-Type": "application/json", **headers}
                self.send_response(status)
                for name, value in {"Content-Length": str(len(body)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)

            def log_message(self, *args: Any) -> None:
                pass

            do_GET = do_HEAD = do_PUT = do_POST = do_PATCH = do_DELETE = answer

        self._server = _Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.01,), daemon=True
        )

    def __enter__(self) -> HostileServer:
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.is_stopped.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def trickle(self, start: bytes, piece: bytes, every_seconds: float) -> Iterator[bytes]:
        """Yield the start of an answer, and then a piece now and then, without an end."""
        yield start
        while not self.is_stopped.wait(every_seconds):
            yield piece
