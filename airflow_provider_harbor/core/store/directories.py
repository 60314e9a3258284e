"""Whole small files of a directory, by the operating system's own calls.

A backup of small images reads and writes two files for each, and each way through obstore hands the
work to another thread and waits for it. What it leaves is the same.
"""

from __future__ import annotations

import errno
import itertools
import os
import stat
from contextlib import suppress


def size(path: str) -> int | None:
    """Return a file's size in bytes; None where there is none, or something else has its name."""
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return None
    return status.st_size if stat.S_ISREG(status.st_mode) else None


def read(path: str) -> bytes:
    """Return what a file holds.

    Raises:
        OSError: It is not there, or cannot be read.
    """
    descriptor = open_regular(path)
    try:
        blocks = []
        wanted = os.fstat(descriptor).st_size + 1
        while block := os.read(descriptor, wanted):
            blocks.append(block)
            wanted = max(wanted - len(block), 4096)
    finally:
        os.close(descriptor)
    return blocks[0] if len(blocks) == 1 else b"".join(blocks)


def write(path: str, content: bytes) -> None:
    """Write a file, which becomes visible only when it is whole; replaces an older one.

    Raises:
        OSError: It cannot be written; nothing is left of it then.
    """
    part, descriptor = _open_beside(path)
    try:
        try:
            rest = memoryview(content)
            while rest:
                rest = rest[os.write(descriptor, rest) :]
        finally:
            os.close(descriptor)
        os.rename(part, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(part)
        raise


def _open_beside(path: str) -> tuple[str, int]:
    """Open a new file beside another, under a name that `files` knows for one that is not whole."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    is_directory_made = False
    for number in itertools.count(1):
        part = f"{path}#{number}"
        try:
            return part, os.open(part, flags, 0o666)
        except FileExistsError:  # of another thread, or left by a run that was killed
            continue
        except FileNotFoundError:
            if is_directory_made:
                raise
            os.makedirs(os.path.dirname(path), exist_ok=True)
            is_directory_made = True
    raise AssertionError  # there is always a next number


def open_regular(path: str | os.PathLike[str]) -> int:
    """Return a descriptor to read a file by; a pipe or a device counts as not there.

    Opening a pipe would wait until somebody writes into it.

    Raises:
        OSError: It is not there, or cannot be read.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return descriptor
    os.close(descriptor)
    raise FileNotFoundError(errno.ENOENT, "it is no regular file", str(path))
