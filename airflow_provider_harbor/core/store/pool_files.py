"""Look at the files of a pool: which there are, and what is in them."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from airflow_provider_harbor.core.oci.names import is_digest
from airflow_provider_harbor.core.store import layout
from airflow_provider_harbor.core.store.directories import open_regular
from airflow_provider_harbor.core.store.files import BLOCK_BYTES, Files
from airflow_provider_harbor.core.store.troubles import store_error


@dataclass(frozen=True, slots=True)
class PoolFile:
    """A file below `blobs/`.

    Attributes:
        path: Below the root of the store.
        digest: What its name says that it is; empty where that is no digest.
    """

    path: str
    digest: str
    size_bytes: int


def iter_pool(files: Files) -> Iterator[PoolFile]:
    """Yield all files below `blobs/`, in no order, by listing it once (1,000 in a request)."""
    for entry in files.iter_files(layout.POOL):
        _, _, name = entry.path.partition("/")
        digest = name.replace("/", ":", 1)
        is_named = is_digest(digest) and layout.blob(digest) == entry.path
        yield PoolFile(entry.path, digest if is_named else "", entry.size_bytes)


def hash_blob(files: Files, digest: str) -> tuple[int, str]:
    """Read all of a blob; returns how many bytes it has, and their digest by the same algorithm.

    May be called by several threads: reading and hashing leave Python's lock alone.

    Raises:
        FileNotFoundError: There is none.
        StoreError: It cannot be read.
    """
    path = layout.blob(digest)
    hashed = hashlib.new(digest.partition(":")[0])
    local = files.local_path(path)
    size_bytes = 0
    if local is None:
        for block in files.open(path)[1]:
            hashed.update(block)
            size_bytes += len(block)
    else:
        try:
            size_bytes = _read_local(local, hashed)
        except OSError as err:
            raise store_error(err, files.url_of(path)) from None
    return size_bytes, f"{hashed.name}:{hashed.hexdigest()}"


class _Buffers(threading.local):
    """A block of memory for each thread: making one takes longer than hashing a small file."""

    def __init__(self) -> None:
        self.block = memoryview(bytearray(BLOCK_BYTES))


_buffers = _Buffers()


def _read_local(path: Path, hashed: hashlib._Hash) -> int:
    block = _buffers.block
    size_bytes = 0
    descriptor = open_regular(path)
    try:
        while number := os.readv(descriptor, [block]):
            hashed.update(block[:number])
            size_bytes += number
    finally:
        os.close(descriptor)
    return size_bytes
