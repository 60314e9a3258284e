"""A line that is cut every so many bytes, on loopback: whatever is asked of it goes to a server."""

from __future__ import annotations

import socket
import struct
import threading
from contextlib import suppress
from urllib.parse import urlsplit

_BLOCK = 64 * 1024


class CutLine:
    """Passes connections on to a server, and resets them; a context manager.

    Args:
        target: URL of the server.
        down_bytes: The line is cut each time that so many bytes came from the server; 0 is never.
        up_bytes: The same for what is sent to the server.
        most_cuts: After so many cuts it holds.

    Attributes:
        url: Its address.
        down, up: How many bytes passed in each direction.
        cuts: How often it was cut.
    """

    def __init__(
        self, target: str, *, down_bytes: int = 0, up_bytes: int = 0, most_cuts: int = 1_000_000
    ) -> None:
        parts = urlsplit(target)
        self._target = (parts.hostname, parts.port or 80)
        self._every = {"down": down_bytes, "up": up_bytes}
        self._left = dict(self._every)
        self._most_cuts = most_cuts
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self.down = self.up = self.cuts = 0
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._accept, daemon=True)

    def __enter__(self) -> CutLine:
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            opened = list(self._open)
        for one in opened:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        self._thread.join()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(self._target, timeout=60)
            except OSError:
                client.close()
                continue
            ends = (client, server)
            for one in ends:
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                self._open.update(ends)
            for way, source, sink in (("up", client, server), ("down", server, client)):
                threading.Thread(
                    target=self._pass, args=(way, source, sink, ends), daemon=True
                ).start()

    def _pass(
        self,
        way: str,
        source: socket.socket,
        sink: socket.socket,
        ends: tuple[socket.socket, ...],
    ) -> None:
        with suppress(OSError):
            while block := source.recv(_BLOCK):
                allowed = self._take(way, len(block))
                sink.sendall(block[:allowed])
                with self._lock:
                    setattr(self, way, getattr(self, way) + allowed)
                if allowed < len(block):
                    self._reset(ends)
                    return
        # What the one end has closed the other one sees as closed, too.
        with suppress(OSError):
            sink.shutdown(socket.SHUT_WR)
        with self._lock:
            if way == "down":
                self._open.difference_update(ends)
        if way == "down":
            for one in ends:
                one.close()

    def _take(self, way: str, number: int) -> int:
        """Return how many of some bytes may pass before the line is cut."""
        with self._lock:
            if not self._every[way] or self.cuts >= self._most_cuts:
                return number
            if number < self._left[way]:
                self._left[way] -= number
                return number
            allowed = self._left[way] - 1 if self._left[way] == number else self._left[way]
            self._left[way] = self._every[way]
            self.cuts += 1
            return allowed

    def _reset(self, ends: tuple[socket.socket, ...]) -> None:
        with self._lock:
            self._open.difference_update(ends)
        for one in ends:
            with suppress(OSError):  # the other end may have hung up before
                one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                one.shutdown(socket.SHUT_RDWR)
            one.close()
