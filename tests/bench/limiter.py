"""What a server does that allows so many requests a second: 429, with Retry-After, beyond."""

from __future__ import annotations

import re
from collections.abc import Callable

_BODY = b'{"errors":[{"code":"TOOMANYREQUESTS","message":"too many requests"}]}'
_ANSWER = (
    b"HTTP/1.1 429 Too Many Requests\r\nContent-Type: application/json\r\n"
    b"Retry-After: 1\r\nContent-Length: %d\r\n\r\n%b"
)
_END = b"\r\n\r\n"
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding: *chunked", re.IGNORECASE)


class Limiter:
    """Allows `rate` requests a second, `burst` of them at once.

    Args:
        burst: By default as many as in a second.
    """

    def __init__(self, rate: float, burst: float | None, clock: Callable[[], float]) -> None:
        self._rate = rate
        self._burst = burst or rate
        self._clock = clock
        self._left = self._burst
        self._at = clock()

    def allows(self) -> bool:
        """Tell whether one more request is allowed now, and count it where it is."""
        now = self._clock()
        self._left = min(self._burst, self._left + (now - self._at) * self._rate)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True

    def stream(self) -> Stream:
        """Return what reads one connection."""
        return Stream(self)


class Stream:
    """What one client sends: requests one after the other, none before the last was answered."""

    def __init__(self, limiter: Limiter) -> None:
        self._limiter = limiter
        self._head = b""
        self._body_left = 0
        self._is_refused = False
        self._is_chunked = False
        self._is_head = False

    def receive(self, data: bytes) -> tuple[bytes, bytes]:
        """Return what of the data goes to the server, and what is answered in its place."""
        if self._body_left or self._is_chunked:
            return self._receive_body(data)
        self._head += data
        if _END not in self._head:
            return b"", b""
        head, _, rest = self._head.partition(_END)
        whole, self._head = self._head, b""
        found = _LENGTH.search(head)
        self._body_left = int(found[1]) if found else 0
        self._is_chunked = bool(_CHUNKED.search(head))
        self._is_head = head.startswith(b"HEAD ")
        self._is_refused = not self._limiter.allows()
        if not self._is_refused:
            self._receive_body(rest)
            return whole, b""
        return self._receive_body(rest) if rest or self._has_body() else (b"", self._answer())

    def _has_body(self) -> bool:
        return bool(self._body_left or self._is_chunked)

    def _receive_body(self, data: bytes) -> tuple[bytes, bytes]:
        if self._is_chunked:
            self._is_chunked = not data.endswith(b"0\r\n\r\n")
        else:
            self._body_left -= min(len(data), self._body_left)
        if not self._is_refused:
            return data, b""
        return b"", b"" if self._has_body() else self._answer()

    def _answer(self) -> bytes:
        return _ANSWER % (len(_BODY), b"" if self._is_head else _BODY)
