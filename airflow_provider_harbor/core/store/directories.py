"""What a directory has by the operating system's own calls: its small files, whole, and more.

A backup of small images reads and writes two files for each, and each way through obstore hands the
work to another thread and waits for it. What it leaves is the same.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import itertools
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress


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


# Of a file that its owner alone may read; of others the umask decides.
PRIVATE, SHARED = 0o600, 0o666


def write(path: str, content: bytes, mode: int = SHARED) -> None:
    """Write a file, which becomes visible only when it is whole; replaces an older one.

    Args:
        path: Of the file.
        content: What is in it.
        mode: Who may read it, less what the umask takes away.

    Raises:
        OSError: It cannot be written; nothing is left of it then.
    """
    part = _write_beside(path, content, mode)
    try:
        os.rename(part, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(part)
        raise


def create(path: str, content: bytes, mode: int = SHARED) -> None:
    """Write a file that is not there yet; else as `write`.

    Raises:
        FileExistsError: It is there. Of several at the same time exactly one succeeds.
        OSError: It cannot be written; nothing is left of it then.
    """
    part = _write_beside(path, content, mode)
    try:
        os.link(part, path)
    finally:
        os.unlink(part)


def _write_beside(path: str, content: bytes, mode: int) -> str:
    """Write a file beside another, and return where."""
    part, descriptor = _open_beside(path, mode)
    try:
        try:
            rest = memoryview(content)
            while rest:
                rest = rest[os.write(descriptor, rest) :]
        finally:
            os.close(descriptor)
    except BaseException:
        with suppress(OSError):
            os.unlink(part)
        raise
    return part


def _open_beside(path: str, mode: int) -> tuple[str, int]:
    """Open a new file beside another, under a name that `files` knows for one that is not whole."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    is_directory_made = False
    for number in itertools.count(1):
        part = f"{path}#{number}"
        try:
            return part, os.open(part, flags, mode)
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


def sync(directory: str | os.PathLike[str]) -> None:
    """Have the whole file system of a directory written to its disk.

    Syncing each of 100,000 files takes minutes.

    Raises:
        OSError: The disk does not take it.
    """
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        if not hasattr(libc, "syncfs"):
            os.sync()
        elif libc.syncfs(descriptor) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
    finally:
        os.close(descriptor)


def remove_empty(directory: str | os.PathLike[str]) -> None:
    """Delete directories that hold nothing, below a directory and itself."""
    for found, _, _ in os.walk(directory, topdown=False):
        # It is not empty, or somebody was faster.
        with suppress(OSError):
            os.rmdir(found)


def dangling_link(directory: str | os.PathLike[str]) -> str | None:
    """Return the name of a link in a directory that leads nowhere; None where there is none."""
    with suppress(FileNotFoundError, NotADirectoryError), os.scandir(directory) as entries:
        for entry in entries:
            if entry.is_symlink() and not os.path.exists(entry.path):
                return entry.name
    return None


@contextmanager
def locked(path: str | os.PathLike[str]) -> Iterator[None]:
    """Hold the lock of a file, which is made, and keep other processes out.

    Raises:
        OSError: It cannot be made.
    """
    with open(path, "w", opener=_open_at_once) as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def _open_at_once(path: str, flags: int) -> int:
    """Open a file, and fail where that would be to wait for somebody: at a pipe."""
    return os.open(path, flags | os.O_NONBLOCK, 0o666)
