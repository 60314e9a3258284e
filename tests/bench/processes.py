"""Processes that the benchmarks start: servers, and what is measured."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Used:
    """What a process came to: its exit code, its last words, and what it took."""

    code: int
    said: str
    seconds: float
    cpu_seconds: float
    most_memory_bytes: int


class Server:
    """A Python program that says at which URL it is ready, and takes commands on its stdin."""

    def __init__(self, process: subprocess.Popen[str], url: str) -> None:
        self._process = process
        self.url = url

    @property
    def address(self) -> str:
        """Host and port."""
        return self.url.partition("://")[2]

    def ask(self, command: str) -> str:
        """Give it a command, and return its answer."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(f"{command}\n")
        self._process.stdin.flush()
        return self._process.stdout.readline().strip()


@contextmanager
def running(module: str, *arguments: object) -> Iterator[Server]:
    """Start a program, and stop it at the end of the block."""
    process = subprocess.Popen(
        [sys.executable, "-m", module, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    with process:
        try:
            assert process.stdout
            line = process.stdout.readline()
            found = re.search(r"ready at (\S+)", line)
            if not found:
                raise RuntimeError(f"{module} did not start: {line!r}")
            yield Server(process, found[1])
        finally:
            process.terminate()
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()


def measure(
    command: Sequence[object], *, cwd: Path = ROOT, environment: Mapping[str, str] | None = None
) -> Used:
    """Run a program to its end, and return what it took."""
    started = time.monotonic()
    process = subprocess.Popen(
        [str(word) for word in command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=cwd,
        env=os.environ | (environment or {}),
    )
    memory = _Memory(process.pid)
    try:
        assert process.stdout
        with process.stdout:
            said = process.stdout.read()
        # Of this one process; `getrusage` would give the sum of all that were waited for.
        _, status, usage = os.wait4(process.pid, 0)
    except BaseException:
        process.send_signal(signal.SIGKILL)
        process.wait()
        raise
    finally:
        memory.end()
    process.returncode = os.waitstatus_to_exitcode(status)
    return Used(
        code=process.returncode,
        said=said.strip(),
        seconds=time.monotonic() - started,
        cpu_seconds=usage.ru_utime + usage.ru_stime,
        most_memory_bytes=memory.most_bytes,
    )


class _Memory(threading.Thread):
    """Looks what a process has had at most, until it ends.

    The kernel's own number for an ended process (ru_maxrss) counts who started it, too.
    """

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self._status = Path(f"/proc/{pid}/status")
        self._ended = threading.Event()
        self.most_bytes = 0
        self.start()

    def run(self) -> None:
        while not self._ended.wait(0.05):
            with suppress(OSError):  # it ends when it likes
                if found := re.search(r"VmHWM:\s+(\d+) kB", self._status.read_text()):
                    self.most_bytes = max(self.most_bytes, int(found[1]) * 1024)

    def end(self) -> None:
        self._ended.set()
        self.join()
