"""How long is waited for a server: connections that end what moves too slowly, and nothing else.

A time-out of a socket begins again with each byte, so that a server which sends one now and then is
waited for as good as for ever. Here all waiting counts: for the head of an answer together, and for
its body by how much has come meanwhile. Time in which nobody reads does not count, since a blob is
read no faster than its destination takes it.

What is sent is watched likewise: a block may take as long as it takes, as long as some of it goes.
Python's `sendall` would give the time-out to each block as a whole, and `urllib3` that of making a
connection, so that a slow line which many uploads share would end them all.

Where many threads work, most of what a small request costs is that each system call gives Python's
lock away, and waits until it is had again. So there are no more of them than it takes: Python's own
`recv` and `send` of a socket with a time-out ask each time first whether it is ready.

All waiting ends where a thread is told to stop (see `waiting`), also for a server that says
nothing. What is asked for after that, to clear up, is waited for a moment.
"""

from __future__ import annotations

import fcntl
import http.client
import io
import logging
import os
import select
import socket
import ssl
import struct
import termios
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import requests
import urllib3
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection

from airflow_provider_harbor.core.http.rate import receive_bytes
from airflow_provider_harbor.core.http.waiting import can_be_stopped, check_stopped

# Small enough for steady progress, large enough that a byte costs little work in Python.
BLOCK_BYTES = 256 * 1024
# What comes more slowly than this on average over a time-out is as good as nothing.
FLOOR_BYTES_PER_SECOND = 1024
# Python bounds the lines and fields of a head, but not the number of heads (`100 Continue`).
_MOST_HEAD_BYTES = 8 * 1024 * 1024
# What TLS sends at once at most (RFC 8446, section 5.1).
_RECORD_BYTES = 16 * 1024
_LOOK_MILLISECONDS = 50
# Who may be told to stop looks up so often while a server says, or takes, nothing.
_STOP_MILLISECONDS = 250


class _Limits(threading.local):
    """What a thread is told to wait.

    Attributes:
        ends: When reading ends at the latest, by the monotonic clock; None is never.
        later_seconds: How much longer the head of an answer is waited for.
        sent_by: Which socket (its id) was given much to send last, so that some of it may still be
            in the system's memory; 0 is none.
    """

    ends: float | None = None
    later_seconds = 0.0
    sent_by = 0


_limits = _Limits()


class TooSlowError(TimeoutError):
    """Something came, but too slowly to be waited for."""


@contextmanager
def answering_later(seconds: float) -> Iterator[None]:
    """Wait so much longer for the head of each answer that this thread gets meanwhile.

    A registry says nothing while it verifies a large upload, or has its storage put it together.
    """
    _limits.later_seconds = seconds
    try:
        yield
    finally:
        _limits.later_seconds = 0.0


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """End what this thread reads meanwhile after so many seconds, however fast it comes.

    Looked at whenever something has come, so that one more time-out may pass.
    """
    _limits.ends = time.monotonic() + seconds
    try:
        yield
    finally:
        _limits.ends = None


def _wait_for(sock: Any, event: int, timeout_seconds: float | None) -> None:
    """Wait until a socket can be read or written, in a thread that may be told to stop.

    Others wait in the call itself. TLS may have read more than it was asked for; and with TLS
    within TLS, to a proxy, there is no telling.

    Raises:
        TimeoutError: It could not for too long.
        BaseException: What `waiting.obeying` was given, as soon as the thread is to stop.
    """
    if not can_be_stopped() or not isinstance(sock, socket.socket):
        return
    if isinstance(sock, ssl.SSLSocket) and event == select.POLLIN and sock.pending():
        return
    poll = select.poll()
    poll.register(sock, event)
    began = time.monotonic()
    while not poll.poll(_STOP_MILLISECONDS):
        check_stopped()
        if timeout_seconds is not None and time.monotonic() - began >= timeout_seconds:
            raise TimeoutError("timed out")


def _wait_until_gone(sock: Any, timeout_seconds: float | None) -> None:
    """Wait until the other end has all that was sent, as long as it gets some of it.

    The system keeps megabytes of it, and a slow line takes minutes for them. Nobody answers before.

    Raises:
        TimeoutError: It got nothing for too long.
    """
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    queued, since = _queued(sock), time.monotonic()
    while queued and not poll.poll(_LOOK_MILLISECONDS):
        check_stopped()
        left, now = _queued(sock), time.monotonic()
        if left < queued:
            queued, since = left, now
        elif timeout_seconds is not None and now - since >= timeout_seconds:
            raise TimeoutError


def _queued(sock: Any) -> int:
    """Return how many bytes the other end has not got yet; 0 where the system does not say."""
    try:
        return int(struct.unpack("i", fcntl.ioctl(sock, termios.TIOCOUTQ, bytes(4)))[0])
    except OSError:
        return 0


class _PatientStream(io.RawIOBase):
    """What a socket receives of one answer, with all waiting counted."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._raw = sock.makefile("rb", buffering=0)
        self._timeout_seconds = sock.gettimeout()
        self._head_seconds = self._timeout_seconds
        later_seconds = _limits.later_seconds
        if later_seconds and self._head_seconds is not None:
            self._head_seconds += later_seconds
            sock.settimeout(self._head_seconds)
        self._waited_seconds = 0.0
        self._came_bytes = 0
        self._is_head = True

    def readable(self) -> bool:
        return True

    def close(self) -> None:
        self._raw.close()
        super().close()

    def begin_body(self) -> None:
        """Count anew: the head has come."""
        self._is_head = False
        if self._head_seconds != self._timeout_seconds:
            self._sock.settimeout(self._timeout_seconds)
        self._waited_seconds = self._came_bytes = 0

    def readinto(self, buffer: Any, /) -> int | None:
        # While it was sent, others were read: what it was made of, say.
        if _limits.sent_by == id(self._sock):
            _limits.sent_by = 0
            _wait_until_gone(self._sock, self._timeout_seconds)
        began = time.monotonic()
        number = self._receive(buffer)
        now = time.monotonic()
        self._waited_seconds += now - began
        self._came_bytes += number or 0
        timeout_seconds = self._head_seconds if self._is_head else self._timeout_seconds
        if timeout_seconds is not None and number:
            self._check(timeout_seconds, now)
        return number

    def _receive(self, buffer: Any) -> int | None:
        timeout_seconds = self._sock.gettimeout()
        if type(self._sock) is not socket.socket or not timeout_seconds or not can_be_stopped():
            _wait_for(self._sock, select.POLLIN, timeout_seconds)
            return self._raw.readinto(buffer)
        is_awaited = self._is_head  # while the body is there, or comes in a moment
        while True:
            if is_awaited:
                _wait_for(self._sock, select.POLLIN, timeout_seconds)
            with suppress(BlockingIOError):
                return os.readv(self._sock.fileno(), [buffer])
            is_awaited = True

    def _check(self, timeout_seconds: float, now: float) -> None:
        if self._is_head and self._came_bytes > _MOST_HEAD_BYTES:
            raise http.client.HTTPException("endless head")
        ends = _limits.ends
        if ends is not None and now > ends:
            raise TooSlowError
        if self._waited_seconds < timeout_seconds:
            return
        if self._is_head or self._came_bytes < FLOOR_BYTES_PER_SECOND * self._waited_seconds:
            raise TooSlowError
        self._waited_seconds = self._came_bytes = 0


class _Opened:
    """As much of a socket as an answer needs, which opens it once as a file."""

    def __init__(self, stream: _PatientStream) -> None:
        self._stream = stream

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(self._stream)


class _PatientResponse(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        self._stream = _PatientStream(sock)
        super().__init__(_Opened(self._stream), *args, **kwargs)  # type: ignore[arg-type]

    def begin(self) -> None:
        super().begin()
        self._stream.begin_body()

    def _read_next_chunk_size(self) -> int:
        size: int = super()._read_next_chunk_size()  # type: ignore[misc]
        if size < 0:
            # Python 3.11 reads all that comes, into memory, for a chunk of -1 bytes.
            raise ValueError("a chunk of a negative size")
        return size


class _Sending:
    """What connections of both kinds share: how they send.

    Attributes:
        longest_seconds: How long at most nothing may go; None is for ever.
    """

    longest_seconds: float | None = None
    sock: Any
    socket_options: Any

    def _new_conn(self) -> socket.socket:
        """Connect; what is received ahead of a limit is set before that, or it has no effect."""
        most = receive_bytes()
        if most is not None:
            option = (socket.SOL_SOCKET, socket.SO_RCVBUF, most)
            self.socket_options = [*(self.socket_options or ()), option]
        made: socket.socket = super()._new_conn()  # type: ignore[misc]
        return made

    def send(self, data: Any) -> None:
        """Send some bytes; raises `TimeoutError` when none of them goes for too long."""
        if self.sock is None or not isinstance(data, (bytes, bytearray, memoryview)):
            super().send(data)  # type: ignore[misc]
            return
        if len(data) <= _RECORD_BYTES:
            went = self._send_at_once(data)
            if went < len(data):
                self.sock.sendall(memoryview(data)[went:])
            return
        # TLS tells of a whole record only, and of nothing before that all it was given has gone.
        most = _RECORD_BYTES if isinstance(self.sock, ssl.SSLSocket) else len(data)
        _limits.sent_by = id(self.sock)
        before = self.sock.gettimeout()
        self.sock.settimeout(self.longest_seconds)
        rest = memoryview(data)
        began, went = time.monotonic(), 0
        while rest:
            number = self._send_at_once(rest[:most])
            if not number:
                _wait_for(self.sock, select.POLLOUT, self.longest_seconds)
                number = self.sock.send(rest[:most])
            rest = rest[number:]
            went += number
            seconds = time.monotonic() - began
            if self.longest_seconds is not None and seconds >= self.longest_seconds:
                if went < FLOOR_BYTES_PER_SECOND * seconds:
                    raise TooSlowError
                began, went = time.monotonic(), 0
        self.sock.settimeout(before)

    def _send_at_once(self, data: Any) -> int:
        """Send what a plain socket takes without waiting; returns how much that was."""
        if type(self.sock) is socket.socket and self.sock.gettimeout():
            with suppress(BlockingIOError):
                return os.write(self.sock.fileno(), data)
        return 0


class _Connection(_Sending, HTTPConnection):
    response_class = _PatientResponse


class _SecureConnection(_Sending, HTTPSConnection):
    response_class = _PatientResponse


class _Patience:
    """What pools of both kinds share: they tell a connection how long it may wait."""

    def _make_request(self, conn: Any, *args: Any, **kwargs: Any) -> Any:
        conn.longest_seconds = kwargs["timeout"].read_timeout
        return super()._make_request(conn, *args, **kwargs)  # type: ignore[misc]


class _Pool(_Patience, urllib3.HTTPConnectionPool):
    ConnectionCls = _Connection


class _SecurePool(_Patience, urllib3.HTTPSConnectionPool):
    ConnectionCls = _SecureConnection


_POOLS = {"http": _Pool, "https": _SecurePool}


class PatientAdapter(HTTPAdapter):
    """Connections that end what comes too slowly, and that send in blocks worth a system call.

    It is asked with the same proxies and the same trust always. What `requests` finds out anew
    for each request, at a third of its cost, is found out once for each server; and cookies, which
    nobody here keeps, are not read.
    """

    def __init__(self, most_origins: int, most_idle: int) -> None:
        self._pools: dict[str, Any] = {}
        self._most_pools = most_origins // 2
        super().__init__(pool_connections=most_origins, pool_maxsize=most_idle)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Have pools made of such connections."""
        super().init_poolmanager(*args, **kwargs, blocksize=BLOCK_BYTES)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        """Have pools to and through a proxy made of such connections, too."""
        manager = super().proxy_manager_for(proxy, **kwargs)
        if not proxy.lower().startswith("socks"):  # which has connections of its own
            manager.pool_classes_by_scheme = _POOLS
        return manager

    def close(self) -> None:
        """Close all connections; what is asked for later opens new ones."""
        self._pools = {}
        super().close()

    def get_connection_with_tls_context(
        self,
        request: requests.PreparedRequest,
        verify: Any,
        proxies: Any = None,
        cert: Any = None,
    ) -> Any:
        """Return the pool of a server."""
        url = str(request.url)
        origin = url[: url.find("/", len("https://"))]
        pool = self._pools.get(origin)
        if pool is None:
            pool = super().get_connection_with_tls_context(request, verify, proxies, cert)
            super().cert_verify(pool, url, verify, cert)  # type: ignore[no-untyped-call]
            # The manager closes the pool that was not asked for the longest time.
            if len(self._pools) < self._most_pools:
                self._pools[origin] = pool
        return pool

    def request_url(self, request: requests.PreparedRequest, proxies: Any) -> str:
        """Return what of an address is sent to a server: its path and query."""
        url = str(request.url)
        if proxies or "#" in url:
            return str(super().request_url(request, proxies))
        return url[url.find("/", len("https://")) :]

    def cert_verify(self, *args: Any, **kwargs: Any) -> None:
        """Do nothing: it was done when the pool was made."""

    def build_response(self, req: requests.PreparedRequest, resp: Any) -> requests.Response:
        """Return an answer, without cookies."""
        response = requests.Response()
        response.status_code = resp.status
        response.headers = resp.headers
        response.raw = resp
        response.reason = resp.reason
        response.url = str(req.url)
        response.request = req
        return response


class _WithoutQueries(logging.Filter):
    """Keeps queries out of what urllib3 logs: those of signed addresses are as good as a login."""

    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.args, tuple):
            record.args = tuple(
                arg.partition("?")[0] if isinstance(arg, str) else arg for arg in record.args
            )
        # This one shows what a server sent, too, and all that led there.
        return not str(record.msg).startswith("Failed to parse headers")


for _name in ("urllib3.connection", "urllib3.connectionpool"):
    logging.getLogger(_name).addFilter(_WithoutQueries())
