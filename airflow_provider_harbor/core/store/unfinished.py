"""Large blobs of a directory while they come: what a killed run leaves, the next one goes on with.

An object storage has no such files, see `bucket_uploads`.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import logging
import os
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO

from airflow_provider_harbor.core.exceptions import DigestMismatchError, StoreError, StoreReason
from airflow_provider_harbor.core.oci.blob_reader import Rereadable, require_digest
from airflow_provider_harbor.core.store import layout
from airflow_provider_harbor.core.store.files import BLOCK_BYTES, Files, troubles

log = logging.getLogger(__name__)

_FLAGS = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


class Unfinished:
    """The files of a store that are put together. May be shared by threads and processes.

    Each is named by what it is going to be, and locked by whoever writes it. It takes its place in
    the pool when it is whole and right; until then nothing that reads a store looks at it. Prune
    deletes what nobody has gone on with.

    Args:
        files: Of the store.
    """

    def __init__(self, files: Files) -> None:
        self._files = files

    def memory_bytes(self, size_bytes: int) -> int:
        """Return how much memory `put` needs for a blob of a size."""
        return min(size_bytes, BLOCK_BYTES)

    def put(self, body: Rereadable, digest: str) -> bool:
        """Write content, and begin behind what is there of it already.

        What is there is read and hashed here, so that the digest is that of all that is in the
        file: after a power cut it can have anything in it.

        Returns:
            Whether it is in its place. False is that somebody else writes it at this moment, or
            that the store is no directory; nothing was read of the body then.

        Raises:
            DigestMismatchError: It is something else than the digest says, or has another length.
            StoreError: It cannot be written.
        """
        root = self._files.local_path("")
        if root is None:
            return False
        path = layout.unfinished(digest)
        self._files.make_root()
        try:
            with _own(root / path, self._files.url_of(path)) as stream:
                if stream is None:
                    return False
                self._fill(stream, body, digest)
        except DigestMismatchError:
            self._files.delete_leftover(path)  # so that the next one begins at the start
            raise
        except StoreError as err:
            if err.reason is StoreReason.FULL:
                self._files.delete_leftover(path)
            raise
        return True

    def _fill(self, stream: BinaryIO, body: Rereadable, digest: str) -> None:
        path, target = layout.unfinished(digest), layout.blob(digest)
        where = self._files.url_of(path)
        passed, passed_bytes = hashlib.new(digest.split(":", 1)[0]), 0
        with troubles(where):
            for block in _start(stream, len(body)):
                passed.update(block)
                passed_bytes += len(block)
        if passed_bytes:
            log.info("%s has %d bytes already", where, passed_bytes)
        body.begin_at(passed_bytes)
        while block := body.read(BLOCK_BYTES):
            passed.update(block)
            passed_bytes += len(block)
            with troubles(where):
                _write(stream, block)
        require_digest(passed, passed_bytes, digest, len(body), self._files.url)
        self._files.make_root()
        with troubles(self._files.url_of(target)):
            place = self._files.local_path(target)
            assert place is not None  # noqa: S101
            place.parent.mkdir(parents=True, exist_ok=True)
            os.replace(stream.name, place)


@contextmanager
def _own(path: Path, where: str) -> Iterator[BinaryIO | None]:
    """Open a file, and have it to oneself until the block ends.

    None where somebody else has it, or where something has its name that is no file.
    """
    with ExitStack() as opened:
        stream = None
        with troubles(where):
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                stream = opened.enter_context(open(path, "r+b", buffering=0, opener=_open))
            except OSError as err:
                if err.errno not in (errno.ELOOP, errno.EISDIR):  # a link, a directory
                    raise
        yield stream if stream is not None and _is_alone(stream, path) else None


def _open(path: str, _: int) -> int:
    return os.open(path, _FLAGS, 0o666)


def _is_alone(stream: BinaryIO, path: Path) -> bool:
    """Lock a file; False where somebody else has, or it is no file of that name any more."""
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        there, opened = os.stat(path), os.fstat(stream.fileno())
    except OSError:  # it has gone to its place, or the file system knows no locks
        return False
    is_same = (there.st_dev, there.st_ino) == (opened.st_dev, opened.st_ino)
    return is_same and stat.S_ISREG(opened.st_mode)


def _start(stream: BinaryIO, most_bytes: int) -> Iterator[bytes]:
    """Yield what is in a file, and leave it at its end; of one that is too long nothing is left."""
    size_bytes = os.fstat(stream.fileno()).st_size
    if size_bytes > most_bytes:
        stream.truncate(0)
        return
    while size_bytes:
        block = stream.read(min(size_bytes, BLOCK_BYTES))
        if not block:
            raise OSError(errno.EIO, "it became shorter while it was read")
        size_bytes -= len(block)
        yield block


def _write(stream: BinaryIO, block: bytes) -> None:
    """Write a block; a file that is not buffered takes a part of it where there is little room."""
    rest = memoryview(block)
    while rest:
        rest = rest[stream.write(rest) :]
