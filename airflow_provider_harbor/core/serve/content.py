"""Blobs out of the store, whole or in part, block by block.

Files of a directory are read where they lie, by the system's own calls; those of an object storage
by one request. Their bytes are not hashed on the way: whoever pulls a blob does that.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from airflow_provider_harbor.core.exceptions import DamagedContentError, MissingContentError
from airflow_provider_harbor.core.store import layout
from airflow_provider_harbor.core.store.backup_store import BackupStore

# For each client two of them are in memory: one that is sent, and the next one.
BLOCK_BYTES = 512 * 1024


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
) -> Iterator[bytes]:
    """Open a part of a blob; what comes is a generator: close it, where it is not read to its end.

    Args:
        store: Where it is.
        digest: Of the blob.
        size_bytes: Of the whole blob.
        start: Where the part begins.
        end: Where it ends: its last byte is the one before; greater than `start`.

    Raises:
        MissingContentError: It is not there; so with what `check_blob` raises.
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


def _open_local(
    store: BackupStore, digest: str, size_bytes: int, path: Path, start: int, end: int
) -> Iterator[bytes]:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        _check(store, digest, size_bytes, os.fstat(descriptor).st_size)
        # Also when nobody reads it, the generator ends what it has begun.
        blocks = _read_blocks(descriptor, start, end)
        next(blocks)
    except BaseException:
        os.close(descriptor)
        raise
    return blocks


def _read_blocks(descriptor: int, start: int, end: int) -> Iterator[bytes]:
    """Yield an empty block, then those of a part; fewer where the file ends before."""
    try:
        yield b""
        while start < end:
            block = os.pread(descriptor, min(BLOCK_BYTES, end - start), start)
            if not block:
                return
            yield block
            start += len(block)
    finally:
        os.close(descriptor)


def _check(store: BackupStore, digest: str, size_bytes: int, found_bytes: int | None) -> None:
    if found_bytes is None:
        raise MissingContentError(digest, store.url, "the file is gone from the store")
    if found_bytes != size_bytes:
        raise DamagedContentError(digest, store.files.url_of(layout.blob(digest)))
