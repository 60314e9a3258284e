"""A line with a delay, between a client and a server: `python -m tests.bench.line --help`.

Each direction takes half of the round trip, whatever is on its way besides; a new connection takes
one round trip more, as its handshake does. The line itself has any bandwidth: TCP's slow start and
the loss of packets are not modelled. It is one thread with one timer for all connections, since a
line that costs as much as what is measured would be measured, too.

It can be worse than far: cut every so many bytes, or with a server at its end that allows only so
many requests a second.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from tests.bench.limiter import Limiter, Stream

# So much of one direction is on its way at most, as TCP's window has an end, too.
_WINDOW_BYTES = 32 * 1024 * 1024


@dataclass
class Figures:
    """What has passed."""

    connections: int = 0
    cuts: int = 0
    bytes: int = 0
    refused: int = 0


@dataclass
class Line:
    """What all connections of one line share.

    Attributes:
        rtt_seconds: Of the round trip; it may be changed at any time.
        cut_bytes: After each so many bytes all connections are cut; 0 is never.
    """

    host: str
    port: int
    rtt_seconds: float = 0.0
    cut_bytes: int = 0
    limiter: Limiter | None = None
    figures: Figures = field(default_factory=Figures)

    def __post_init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.ends: set[End] = set()
        self._queue: deque[tuple[float, End, bytes | None]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def send(self, to: End, data: bytes | None) -> None:
        """Let data, or the end of a connection, arrive after half a round trip."""
        if not self.rtt_seconds and not self._queue:
            to.arrive(data)
            return
        self._queue.append((self.loop.time() + self.rtt_seconds / 2, to, data))
        if self._timer is None:
            self._timer = self.loop.call_at(self._queue[0][0], self._deliver)

    def _deliver(self) -> None:
        now = self.loop.time() + 0.000_5
        while self._queue and self._queue[0][0] <= now:
            _, to, data = self._queue.popleft()
            to.arrive(data)
        self._timer = self.loop.call_at(self._queue[0][0], self._deliver) if self._queue else None

    def count(self, number: int) -> None:
        """Count bytes that have passed, and cut the line where it is time."""
        before = self.figures.bytes
        self.figures.bytes += number
        if self.cut_bytes and before // self.cut_bytes != self.figures.bytes // self.cut_bytes:
            self.figures.cuts += 1
            for end in list(self.ends):
                if end.transport:
                    end.transport.abort()


class End(asyncio.Protocol):
    """One end of a connection; `other` is where its data goes."""

    transport: asyncio.Transport | None = None
    other: End

    def __init__(self, line: Line) -> None:
        self.line = line
        self._on_way = 0
        self._kept = 0
        self._is_paused = False
        self._is_ended = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.line.ends.add(self)

    def data_received(self, data: bytes) -> None:
        self.pass_on(data)

    def pass_on(self, data: bytes) -> None:
        """Send data to the other end."""
        self.line.count(len(data))
        self._on_way += len(data)
        if self._on_way > _WINDOW_BYTES and self.transport:
            self.transport.pause_reading()
        self.line.send(self.other, data)

    def arrive(self, data: bytes | None) -> None:
        """Hand to this end's program what has arrived; None is the end of the connection."""
        if data is None:
            self._is_ended = True
            if self.transport:
                self.transport.close()
            return
        if self.transport and not self.transport.is_closing():
            self.transport.write(data)
        if self._is_paused:
            self._kept += len(data)
        else:
            self.other.has_arrived(len(data))

    def has_arrived(self, number: int) -> None:
        """Note that so much is not on its way any more."""
        self._on_way -= number
        if self._on_way <= _WINDOW_BYTES and self.transport and not self.transport.is_closing():
            self.transport.resume_reading()

    def pause_writing(self) -> None:
        self._is_paused = True

    def resume_writing(self) -> None:
        self._is_paused = False
        kept, self._kept = self._kept, 0
        self.other.has_arrived(kept)

    def connection_lost(self, exc: Exception | None) -> None:
        self.line.ends.discard(self)
        if not self._is_ended:
            self.line.send(self.other, None)


class ServerEnd(End):
    """The end at the server."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        if self._is_ended:
            transport.close()
            return
        assert isinstance(self.other, ClientEnd)
        self.other.begin()


class ClientEnd(End):
    """The end at the client, which begins the connection."""

    other: ServerEnd

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        line = self.line
        line.figures.connections += 1
        self.stream: Stream | None = line.limiter.stream() if line.limiter else None
        self.other = ServerEnd(line)
        self.other.other = self
        self._early: list[bytes] | None = []
        self._begin_at = line.loop.time() + line.rtt_seconds
        self._task = line.loop.create_task(self._connect())

    async def _connect(self) -> None:
        try:
            await self.line.loop.create_connection(
                lambda: self.other, self.line.host, self.line.port
            )
        except OSError:
            if self.transport:
                self.transport.abort()

    def begin(self) -> None:
        """Pass on what came before the handshake can have ended."""
        wait = self._begin_at - self.line.loop.time()
        if wait > 0:
            self.line.loop.call_later(wait, self.begin)
            return
        early, self._early = self._early or [], None
        for data in early:
            self.data_received(data)

    def data_received(self, data: bytes) -> None:
        if self._early is not None:
            self._early.append(data)
            return
        if self.stream is None:
            self.pass_on(data)
            return
        passes, answer = self.stream.receive(data)
        if answer:
            self.line.figures.refused += 1
            self.line.loop.call_later(self.line.rtt_seconds, self._answer, answer)
        if passes:
            self.pass_on(passes)

    def _answer(self, answer: bytes) -> None:
        if self.transport and not self.transport.is_closing():
            self.transport.write(answer)


async def _run(options: argparse.Namespace) -> None:
    host, _, port = options.to.rpartition(":")
    limiter = None
    if options.requests_per_second:
        limiter = Limiter(options.requests_per_second, options.burst, time.monotonic)
    line = Line(host, int(port), options.rtt / 1000, options.cut_every * 1024 * 1024, limiter)
    server = await line.loop.create_server(lambda: ClientEnd(line), "127.0.0.1", 0, backlog=1024)
    address = server.sockets[0].getsockname()
    print(f"ready at http://{address[0]}:{address[1]} ", flush=True)
    ended = asyncio.Event()
    line.loop.add_reader(sys.stdin, _command, line, ended)
    async with server:
        await ended.wait()


def _command(line: Line, ended: asyncio.Event) -> None:
    """Follow a command; when who started it is gone, end."""
    words = sys.stdin.readline().split()
    if not words:
        ended.set()
    elif words[0] == "rtt":
        line.rtt_seconds = float(words[1]) / 1000
        print("ok", flush=True)
    elif words[0] == "figures":
        figures: dict[str, Any] = vars(line.figures)
        print(" ".join(f"{name}={number}" for name, number in figures.items()), flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.line", description=__doc__)
    parser.add_argument("to", metavar="HOST:PORT", help="where the server is")
    parser.add_argument("--rtt", type=float, default=0, metavar="MS", help="round trip (default 0)")
    parser.add_argument(
        "--cut-every", type=int, default=0, metavar="MIB", help="cut it after each so many MiB"
    )
    parser.add_argument(
        "--requests-per-second", type=float, default=0, metavar="N", help="more of them get a 429"
    )
    parser.add_argument("--burst", type=float, metavar="N", help="so many at once (default: N)")
    options = parser.parse_args()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who started it ends it
    asyncio.run(_run(options))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
