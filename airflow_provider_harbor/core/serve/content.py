"""Blobs out of the store, whole or in part, block by block.

Files of a directory are read into buffers that are used again and again; those of an object storage
come by one request. Their bytes are not hashed on the way: whoever pulls a blob does that.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from io import FileIO
from pathlib import Path

from airflow_provider_harbor.core.exceptions import DamagedContentError, MissingContentError
from airflow_provider_harbor.core.store import layout
from airflow_provider_harbor.core.store.backup_store import BackupStore
from airflow_provider_harbor.core.store.directories import open_regular
from airflow_provider_harbor.core.store.troubles import store_error

# For each client up to three of them are in memory: on its way, waiting, and being read.
BLOCK_BYTES = 256 * 1024
_IDLE_BUFFERS = 64

# A part of a file; valid until the next one is asked for, or for as long as somebody looks at it.
Block = bytes | memoryview


def check_blob(store: BackupStore, digest: str, size_bytes: int) -> None:
    """Make sure that a blob is there, with its size.

    Raises:
        MissingContentError: It is not there.
        DamagedContentError: It has another size.
        StoreError: The store cannot be read.
    """
    _check(store, digest, size_bytes, store.files.size(layout.blob(digest)))


def open_blob(
    store: BackupStore, digest: str, size_bytes: int, start: int, end: int
) -> Iterator[Block]:
    """Open a part of a blob; what comes is a generator: close it, where it is not read to its end.

    Args:
        store: Where it is.
        digest: Of the blob.
        size_bytes: Of the whole blob.
        start: Where the part begins.
        end: Where it ends: its last byte is the one before; greater than `start`.

    Raises:
        MissingContentError: It is not there; so with what `check_blob` raises. While blocks are
            read, `OSError` or `StoreError`.
    """
    path = layout.blob(digest)
    local = store.files.local_path(path)
    try:
        if local is None:
            found_bytes, blocks = store.files.open_part(path, start, end)
            _check(store, digest, size_bytes, found_bytes)
            return blocks
        return _open_local(store, digest, size_bytes, local, start, end)
    except FileNotFoundError:
        _check(store, digest, size_bytes, None)
        raise
    except OSError as err:
        raise store_error(err, store.files.url_of(path)) from None


def _open_local(
    store: BackupStore, digest: str, size_bytes: int, path: Path, start: int, end: int
) -> Iterator[Block]:
    file = os.fdopen(open_regular(path), "rb", buffering=0)
    try:
        _check(store, digest, size_bytes, os.fstat(file.fileno()).st_size)
        blocks = _read_blocks(file, start, end)
        next(blocks)  # from here on, the generator closes the file, also when nobody reads it
    except BaseException:
        file.close()
        raise
    return blocks


def _read_blocks(file: FileIO, start: int, end: int) -> Iterator[Block]:
    """Yield an empty block, then those of a part; fewer where the file ends before."""
    with file:
        yield b""
        file.seek(start)
        while start < end:
            with _BUFFERS.taken() as buffer:
                read = file.readinto(memoryview(buffer)[: end - start])
                if not read:
                    return
                start += read
                yield memoryview(buffer)[:read]


class _Buffers:
    """Buffers for blocks, used again and again. May be shared by threads.

    A new one for each block costs as much as all the rest of sending it: the system clears its
    memory, page by page, when it is first written. Measured with `tests/bench/serve.py`.
    """

    def __init__(self) -> None:
        self._idle: list[bytearray] = []

    @contextlib.contextmanager
    def taken(self) -> Iterator[bytearray]:
        """Have a buffer to write into, which nobody reads any more."""
        buffer = self._take()
        try:
            yield buffer
        finally:
            if len(self._idle) < _IDLE_BUFFERS:
                self._idle.append(buffer)

    def _take(self) -> bytearray:
        busy = []
        try:
            while self._idle:
                buffer = self._idle.pop()
                if _is_free(buffer):
                    return buffer
                busy.append(buffer)
        except IndexError:  # another thread was faster
            pass
        finally:
            self._idle[:0] = busy
        return bytearray(BLOCK_BYTES)


def _is_free(buffer: bytearray) -> bool:
    """Whether nothing looks at a buffer: what is being sent, the server may still need.

    Its size cannot change as long as there is a view of it.
    """
    try:
        buffer.append(0)
    except BufferError:
        return False
    del buffer[-1]
    return True


_BUFFERS = _Buffers()


def _check(store: BackupStore, digest: str, size_bytes: int, found_bytes: int | None) -> None:
    if found_bytes is None:
        raise MissingContentError(digest, store.url, "the file is gone from the store")
    if found_bytes != size_bytes:
        raise DamagedContentError(digest, store.files.url_of(layout.blob(digest)))
