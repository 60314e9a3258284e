"""PostgreSQL and redis for tests: Debian's programs, on ports of loopback, to be thrown away."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.ports import find_free_port

# Debian keeps PostgreSQL's programs out of PATH, by version.
_POSTGRESQL = Path("/usr/lib/postgresql")
_QUICK = ("fsync=off", "full_page_writes=off", "synchronous_commit=off", "max_connections=200")
_LONGEST_START_SECONDS = 120


def find_postgresql() -> Path | None:
    """Return the directory of PostgreSQL's programs; None where they are not installed."""
    if found := shutil.which("initdb"):
        return Path(found).resolve().parent
    versions = sorted(_POSTGRESQL.glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    return versions[-1].parent if versions else None


def find_redis() -> str | None:
    """Return the path of the program; None where it is not installed."""
    return shutil.which("redis-server")


@contextmanager
def running_postgresql() -> Iterator[str]:
    """Start a server with an empty database; yields `user@host:port/database` of it."""
    programs = find_postgresql()
    assert programs, "see `find_postgresql`"
    # It refuses to be run by root; Debian's package makes a user for it.
    user = "postgres" if os.geteuid() == 0 else None
    port = find_free_port()
    home = Path(tempfile.mkdtemp(prefix="harbor-postgresql-"))
    try:
        if user:
            shutil.chown(home, user)
        subprocess.run(
            [
                *(programs / "initdb", "--no-sync", "--auth=trust", "--username=airflow"),
                *("--encoding=UTF8", "--no-locale", home / "data"),
            ],
            check=True,
            capture_output=True,
            user=user,
            cwd=home,
        )
        settings = [f"--{setting}" for setting in _QUICK]
        command = [
            *(programs / "postgres", "-D", home / "data", "-h", "127.0.0.1", "-p", str(port)),
            *("-k", home, *settings),
        ]
        with _running(command, home, lambda: _answers(port), user):
            yield f"airflow@127.0.0.1:{port}/postgres"
    finally:
        shutil.rmtree(home, ignore_errors=True)


@contextmanager
def running_redis() -> Iterator[str]:
    """Start a server that keeps nothing on the disk; yields its URL."""
    program = find_redis()
    assert program, "see `find_redis`"
    port = find_free_port()
    home = Path(tempfile.mkdtemp(prefix="harbor-redis-"))
    command = [
        *(program, "--bind", "127.0.0.1", "--port", str(port)),
        *("--save", "", "--appendonly", "no", "--dir", str(home)),
    ]
    try:
        with _running(command, home, lambda: _answers(port)):
            yield f"redis://127.0.0.1:{port}/0"
    finally:
        shutil.rmtree(home, ignore_errors=True)


@contextmanager
def _running(
    command: list[str | Path], home: Path, is_there: Callable[[], bool], user: str | None = None
) -> Iterator[None]:
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=home, user=user
    )
    try:
        deadline = time.monotonic() + _LONGEST_START_SECONDS
        while not is_there():
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{command[0]} did not start")
            time.sleep(0.05)
        yield
    finally:
        # To PostgreSQL SIGINT says: end now, without waiting for anybody.
        process.send_signal(2)
        try:
            process.wait(timeout=120)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True
