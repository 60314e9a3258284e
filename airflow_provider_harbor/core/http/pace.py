"""How many requests each server gets at once, and how fast: one pace for all threads of a process.

Each host (scheme, name and port) has a window of slots, see `window`, and, where it answers 429, an
allowance of requests a second, see `allowance`. A request has a slot from its sending until its
answer is read; a stream until it is closed. Who has to wait is parked, and woken alone, in the
order in which all came: with a hundred threads that run at once Python would do little else than
to switch between them.

Nobody waits for ever, whatever else threads wait for:

- A thread that has a slot of a host takes no second one there: a token that is asked for while a
  stream is open, a blob that goes on under an upload. Slots know whose they are, since a stream may
  be closed by another thread, or by the garbage collector.
- A copy has the slot of its stream at the source while it waits for one at the destination. Nobody
  in this package does it the other way round, as long as nothing is copied in both directions
  at once; and a lock may be held (of a token, of a blob) by who waits for a slot. So it is no rule
  that all is safe by, but this: where nothing at all has moved at a host for some seconds (no
  request ended, no block of a stream came), the first who waits goes ahead, above the window.

A host that asks to be left alone (429, 503 with Retry-After) is left alone by all threads. After
some refusals with no other answer in between it is no longer waited for: requests fail, and those
who count failures (`copy.giving_up`) end the rest.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable

from airflow_provider_harbor.core.http.pace_notes import PaceNote
from airflow_provider_harbor.core.http.slots import Host, HostPace

DEFAULT_CEILING = 64


class Pace:
    """The hosts of a process.

    Args:
        ceiling: So many requests are in flight to one host at most, whatever it bears.
        fixed: Let it be so many, always; for benchmarks.
        clock: What tells the time; tests give another.
    """

    def __init__(
        self,
        ceiling: int = DEFAULT_CEILING,
        *,
        fixed: int | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if min(ceiling, fixed or 1) < 1:
            raise ValueError("less than one request at once")
        self._ceiling = ceiling
        self._fixed = fixed
        self._clock = clock
        self._lock = threading.Lock()
        self._hosts: dict[str, Host] = {}
        self._name = uuid.uuid4().hex[:12]

    def notes(self) -> tuple[PaceNote, ...]:
        """Return what a result keeps of it."""
        return tuple(
            PaceNote(
                process=self._name,
                origin=host.origin,
                most=host.most,
                pauses=host.pauses,
                breaks=host.breaks,
            )
            for host in self.summary()
        )

    def host(self, origin: str) -> Host:
        """Return the slots of a server.

        Args:
            origin: What `urls.origin_of` returns.
        """
        host = self._hosts.get(origin)
        if host is None:
            with self._lock:
                host = self._hosts.setdefault(
                    origin,
                    Host(
                        origin,
                        self._fixed or self._ceiling,
                        is_fixed=self._fixed is not None,
                        clock=self._clock,
                    ),
                )
        return host

    def limit(self, ceiling: int) -> None:
        """Change the ceiling of all hosts."""
        if ceiling < 1:
            raise ValueError(f"{ceiling} requests at once is less than one")
        with self._lock:
            self._ceiling = ceiling
            if self._fixed is None:
                for host in self._hosts.values():
                    host.limit(ceiling)

    def summary(self) -> tuple[HostPace, ...]:
        """Return what it came to, for each host that was asked for anything."""
        with self._lock:
            hosts = [host for _, host in sorted(self._hosts.items())]
        return tuple(found for host in hosts if (found := host.summary()).requests)


_default = Pace()


def default_pace() -> Pace:
    """Return the pace of this process."""
    return _default


def configure(ceiling: int = DEFAULT_CEILING, *, fixed: int | None = None) -> Pace:
    """Begin the pace of this process anew, and return it.

    What was made before keeps the one that it has.
    """
    global _default
    _default = Pace(ceiling, fixed=fixed)
    return _default
