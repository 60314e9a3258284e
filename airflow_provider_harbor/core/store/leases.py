"""The lease of a run: who may write to a destination from a store, so that no two runs do at once.

Two runs at the same time would undo each other's tags, and each would end green. So a run holds a
lease on the pair of its store and its destination. All tasks of a run share it; whoever works on
the run renews it; and a run that nobody works on any more loses it after some minutes.

Layout, `/` below the root of the store:

    leases/<place>.json    {"format_version": 1, "run", "host", "process", "since", "renewed_at",
                            "released"}

It is created once, and from then on written anew by whoever finds it as it was read: of several at
the same time one succeeds. It needs no right to delete.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from airflow_provider_harbor.core.exceptions import LeaseError, StoreError
from airflow_provider_harbor.core.human import human_duration
from airflow_provider_harbor.core.store import layout
from airflow_provider_harbor.core.store.files import Files

if TYPE_CHECKING:
    from typing_extensions import Self

log = logging.getLogger(__name__)

FORMAT_VERSION = 1
RENEWED_EVERY_SECONDS = 30.0
# After so long without being renewed it may be taken over, ...
STALE_SECONDS = 300.0
# ... and a little earlier its own run does not trust it any more.
_TRUSTED_SECONDS = 240.0
_TRIES = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """Who holds a lease.

    Attributes:
        run: Name of the run.
        host: Name of the machine that last renewed it.
        process: What tells whether the run still lives, where the run is one process: the machine's
            boot, its process namespace, the process and when it started. Empty where a run is many.
        since: When the run took it, seconds since 1970.
        renewed_at: When it was last renewed, likewise.
        released: Whether the run gave it back.
    """

    run: str
    host: str = ""
    process: str = ""
    since: float = 0.0
    renewed_at: float = 0.0
    released: bool = False

    def is_gone(self, now: float) -> bool:
        """Whether somebody else may have the lease."""
        if self.released or now - self.renewed_at > STALE_SECONDS:
            return True
        return has_died(self.process)


class Lease:
    """The lease of one run; a context manager, which renews it as long as it is open.

    At the end of the block it is kept, since other tasks of the run may go on: `release` gives it
    back. May be shared by threads.

    Args:
        files: The store's.
        place: URL of what is written to.
        run: Name of the run.
        is_process: Whether the run is this process, and ends with it.
        clock: What tells the seconds since 1970; tests give another.
    """

    def __init__(
        self,
        files: Files,
        place: str,
        run: str,
        *,
        is_process: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._files = files
        self._path = layout.lease(place)
        self._run = run
        self._process = this_process() if is_process else ""
        self._clock = clock
        self._lock = threading.Lock()
        self._holder = Holder(run=run)
        self._lost: LeaseError | None = None
        self._ends = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        self.acquire()
        self._ends.clear()
        self._thread = threading.Thread(target=self._go_on, name="lease", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._ends.set()
        if self._thread:
            self._thread.join()

    def acquire(self) -> None:
        """Take the lease; one that the run holds already is its own.

        Raises:
            LeaseError: Another run holds it.
        """
        with self._lock:
            for _ in range(_TRIES):
                if self._take():
                    return
        raise LeaseError(
            f"the lease {self._files.url_of(self._path)} could not be taken, since several runs "
            "want it at the same time. Run it again"
        )

    def _take(self) -> bool:
        """Take the lease; False where somebody has changed it meanwhile."""
        content, holder = self._read()
        now = self._clock()
        if holder and holder.run == self._run and not holder.released:
            self._holder = holder
            if now - holder.renewed_at <= RENEWED_EVERY_SECONDS:
                return True
            return self._replace(content, self._mine(now, since=holder.since))
        if holder and not holder.is_gone(now):
            raise self._is_held(holder, now)
        return self._replace(content, self._mine(now, since=now))

    def check(self) -> None:
        """Make sure that the run still holds the lease, before something is written.

        Raises:
            LeaseError: Another run has taken it over, since this one was not heard of for minutes;
                or the store cannot be asked.
        """
        if self._lost is None and self._clock() - self._holder.renewed_at > _TRUSTED_SECONDS:
            # The machine slept, or the store could not be reached.
            try:
                self._renew()
            except StoreError as err:
                raise LeaseError(
                    f"the lease of the run could not be renewed for minutes: {err}. Run it again"
                ) from err
        if self._lost:
            raise self._lost

    def release(self) -> None:
        """Give the lease back, if the run holds it.

        Where the store cannot be written any more, it is left: it ends by itself.
        """
        try:
            self._release()
        except StoreError as err:
            log.info("The lease could not be given back: %s", err)

    def _release(self) -> None:
        with self._lock:
            for _ in range(_TRIES):
                content, holder = self._read()
                if not holder or holder.run != self._run or holder.released:
                    return
                if self._replace(content, replace(holder, released=True)):
                    return

    def _go_on(self) -> None:
        while not self._ends.wait(RENEWED_EVERY_SECONDS):
            try:
                self._renew()
            except Exception as err:  # the next one may go well; `check` says if none does
                log.info("The lease could not be renewed: %s", err)

    def _renew(self) -> None:
        with self._lock:
            content, holder = self._read()
            now = self._clock()
            if holder and holder.run != self._run:
                self._lost = LeaseError(
                    "this run was not heard of for minutes, and "
                    f"{_in_words(holder, now)} has taken over. What this one did not do is left to "
                    "the other one",
                    run=holder.run,
                    host=holder.host,
                    since=_moment(holder.since),
                )
                return
            # Where it fails, another task of this run has just renewed it.
            self._replace(content, self._mine(now, since=self._holder.since))

    def _replace(self, content: bytes | None, mine: Holder) -> bool:
        new = _dump(mine)
        if content is None:
            is_mine = self._files.create(self._path, new)
        else:
            is_mine = self._files.replace(self._path, content, new)
        if is_mine:
            self._holder = mine
        return is_mine

    def _mine(self, now: float, *, since: float) -> Holder:
        return Holder(
            run=self._run,
            host=socket.gethostname(),
            process=self._process,
            since=since,
            renewed_at=now,
        )

    def _read(self) -> tuple[bytes | None, Holder | None]:
        """Return the file, and who holds the lease by it; one that cannot be read is nobody's."""
        try:
            content = self._files.read(self._path)
        except FileNotFoundError:
            return None, None
        return content, _holder_of(content)

    def _is_held(self, holder: Holder, now: float) -> LeaseError:
        return LeaseError(
            f"{_in_words(holder, now)} writes to the same destination from the same store. Wait "
            "until it has ended; if it was killed, its lease ends "
            f"{human_duration(STALE_SECONDS)} after it was last renewed "
            f"({_moment(holder.renewed_at)}), and this can be run again. Where no run goes on, "
            f"{self._files.url_of(self._path)} can be deleted",
            run=holder.run,
            host=holder.host,
            since=_moment(holder.since),
        )


def _in_words(holder: Holder, now: float) -> str:
    age = human_duration(max(now - holder.since, 0))
    return f"the run {holder.run} on {holder.host or 'another machine'}, begun {age} ago,"


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, timezone.utc).isoformat(timespec="seconds")


def _dump(holder: Holder) -> bytes:
    return json.dumps({"format_version": FORMAT_VERSION, **asdict(holder)}).encode()


def _holder_of(content: bytes) -> Holder | None:
    try:
        data = json.loads(content)
        holder = Holder(
            run=str(data["run"]),
            host=str(data["host"]),
            process=str(data["process"]),
            since=float(data["since"]),
            renewed_at=float(data["renewed_at"]),
            released=bool(data["released"]),
        )
        _moment(holder.since), _moment(holder.renewed_at)  # numbers that are no times: damaged
    except (ValueError, KeyError, TypeError, OverflowError, OSError, RecursionError):
        return None
    return holder


def this_process(pid: int | None = None) -> str:
    """Return what names a process for ever: of this machine, and of this start of it.

    Empty where the system does not tell it (it does on Linux).
    """
    pid = pid or os.getpid()
    with suppress(OSError, IndexError):
        with open("/proc/sys/kernel/random/boot_id") as stream:
            boot = stream.read().strip()
        with open(f"/proc/{pid}/stat") as stream:
            # Behind the name, which may have spaces and brackets; see proc(5), `starttime`.
            fields = stream.read().rpartition(")")[2].split()
        state, started = fields[0], fields[19]
        return (
            ""
            if state == "Z"
            else " ".join([boot, os.readlink("/proc/self/ns/pid"), str(pid), started])
        )
    return ""


def has_died(process: str) -> bool:
    """Tell whether a process of this machine is no more; False for one of another, or for none."""
    own = this_process().split(" ")
    theirs = process.split(" ")
    if len(own) != 4 or len(theirs) != 4 or own[:2] != theirs[:2]:
        return False
    try:
        return this_process(int(theirs[2])) != process
    except (ValueError, OverflowError):  # it names no process at all
        return False
