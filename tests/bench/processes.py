"""What the benchmarks start: a double as a process of its own, and the command line."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Used:
    """What a process came to: its exit code, its last line, and what it took."""

    code: int
    said: str
    seconds: float
    cpu_seconds: float
    most_memory_bytes: int


@contextmanager
def running_double(*arguments: object, module: str = "tests.double") -> Iterator[str]:
    """Start a double, and stop it at the end of the block; returns its URL."""
    command = [sys.executable, "-m", module, *map(str, arguments)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        try:
            assert process.stdout
            line = process.stdout.readline()
            found = re.search(r"ready at (\S+)", line)
            if not found:
                raise RuntimeError(f"the double did not start: {line!r}")
            yield found[1]
        finally:
            process.terminate()


def run_command(*arguments: object) -> Used:
    """Run the command line to its end, and return what it took."""
    started = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "airflow_provider_harbor.core.cli", *map(str, arguments)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=os.environ
        | {
            "HARBOR_BACKUP_SOURCE_USER": "admin",
            "HARBOR_BACKUP_SOURCE_PASSWORD": "Harbor12345",
        },
    )
    assert process.stdout
    with process.stdout:
        said = process.stdout.read()
    # Of this one process; `getrusage` would give the most of all that were waited for.
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return Used(
        code=process.returncode,
        said=said.strip(),
        seconds=time.monotonic() - started,
        cpu_seconds=usage.ru_utime + usage.ru_stime,
        most_memory_bytes=usage.ru_maxrss * 1024,
    )
