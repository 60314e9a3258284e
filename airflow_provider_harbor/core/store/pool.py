"""The pool of a store: all content, each digest once, named by what it is."""

from __future__ import annotations

import contextlib
import hashlib
import threading
from collections.abc import Iterator, Mapping
from datetime import datetime

from airflow_provider_harbor.core.exceptions import (
    DamagedContentError,
    DigestMismatchError,
    MissingContentError,
    WrongSizeError,
)
from airflow_provider_harbor.core.http.rate import spend
from airflow_provider_harbor.core.http.transport import Body
from airflow_provider_harbor.core.oci.blob_reader import (
    BlobReader,
    is_rereadable,
    require_digest,
)
from airflow_provider_harbor.core.store import layout
from airflow_provider_harbor.core.store.bucket_uploads import BucketUploads
from airflow_provider_harbor.core.store.files import BLOCK_BYTES, Files
from airflow_provider_harbor.core.store.reading import Reading
from airflow_provider_harbor.core.store.unfinished import Unfinished

# What is smaller goes into a file at once, what is larger in parts.
_SMALL_BYTES = 4 * 1024 * 1024
_LARGE_BYTES = 64 * 1024 * 1024
# In a bucket how far one has come is a request each 64 MiB, so below that nothing is won.
_LARGE_IN_A_BUCKET_BYTES = 2 * _LARGE_BYTES
# What all threads together keep in memory of what they write: a process has 150 MB in all.
_IN_FLIGHT_BYTES = 32 * 1024 * 1024


class Pool:
    """Content by its digest. May be shared by threads.

    Args:
        files: Of the store.

    Attributes:
        large_bytes: What is as large or larger is gone on with after a kill, in a directory and in
            a bucket of S3.
    """

    def __init__(self, files: Files) -> None:
        self._files = files
        self.large_bytes = _LARGE_BYTES if files.is_local else _LARGE_IN_A_BUCKET_BYTES
        self._unfinished = Unfinished(files) if files.is_local else BucketUploads(files)
        self._room = _Room(_IN_FLIGHT_BYTES)

    def has(self, digest: str, size_bytes: int) -> bool:
        """Tell whether content is there, with the size that it should have."""
        return self._files.size(layout.blob(digest)) == size_bytes

    def find_absent(self, sizes: Mapping[str, int]) -> set[str]:
        """Return what of some digests, with their sizes in bytes, is not there, or not whole."""
        paths = [layout.blob(digest) for digest in sizes]
        found = zip(sizes.items(), self._files.iter_sizes(paths), strict=True)
        return {digest for (digest, wanted), size in found if size != wanted}

    def put(self, body: Body, digest: str) -> None:
        """Write content from a stream; it becomes visible only when it is whole and right.

        Args:
            body: What to write.
            digest: Its name.

        Raises:
            DigestMismatchError: It is something else than the digest says, or has another length
                than it says itself.
            StoreError: It cannot be written.
        """
        path, size_bytes = layout.blob(digest), len(body)
        if size_bytes >= self.large_bytes and is_rereadable(body):
            with self._room.taken(self._unfinished.memory_bytes(size_bytes)):
                if self._unfinished.put(body, digest):
                    return
        blocks = self._verified(iter(lambda: body.read(BLOCK_BYTES), b""), digest, size_bytes)
        if size_bytes <= _SMALL_BYTES:
            # Twice: the blocks, and what they are put together to.
            with self._room.taken(2 * size_bytes):
                self._files.write(path, b"".join(blocks))
        else:
            with self._room.taken(self._files.memory_bytes(size_bytes)):
                self._files.write_stream(path, blocks, size_bytes)

    def _verified(self, blocks: Iterator[bytes], digest: str, size_bytes: int) -> Iterator[bytes]:
        """Yield blocks, and raise in place of an end that is not the right one.

        Most streams verify themselves; but that a name in the pool is true must not depend on it.
        """
        passed = hashlib.new(digest.split(":", 1)[0])
        passed_bytes = 0
        for block in blocks:
            passed.update(block)
            passed_bytes += len(block)
            yield block
        require_digest(passed, passed_bytes, digest, size_bytes, self._files.url)

    def forget_unfinished(self, before: datetime) -> None:
        """Give up uploads into a bucket that nobody has gone on with since a moment."""
        if isinstance(self._unfinished, BucketUploads):
            self._unfinished.forget_before(before)

    def put_bytes(self, content: bytes, digest: str) -> None:
        """Write content that is in memory.

        Raises:
            DigestMismatchError: It is something else than the digest says.
        """
        if (actual := _digest(content, digest)) != digest:
            raise DigestMismatchError(
                expected=digest, actual=actual, size_bytes=len(content), where=self._files.url
            )
        self._files.write(layout.blob(digest), content)

    def read(self, digest: str) -> bytes:
        """Return content, all of it: of manifests only.

        Raises:
            MissingContentError: It is not there.
            DamagedContentError: It is something else.
        """
        path = layout.blob(digest)
        try:
            content = self._files.read(path)
        except FileNotFoundError:
            raise self._missing(digest) from None
        if _digest(content, digest) != digest:
            raise DamagedContentError(digest, self._files.url_of(path))
        spend(len(content))
        return content

    def open(self, digest: str, size_bytes: int) -> BlobReader:
        """Open content for reading; it is verified on its way.

        Raises:
            MissingContentError: It is not there.
            DamagedContentError: It has another size, or turns out to be something else.
        """
        path = layout.blob(digest)
        try:
            found_bytes, blocks = self._files.open(path)
        except FileNotFoundError:
            raise self._missing(digest) from None
        where = self._files.url_of(path)
        if found_bytes != size_bytes:
            raise DamagedContentError(digest, where)
        reading = Reading(self._files, path, size_bytes, blocks)
        return _PoolReader(reading.blocks(), digest, size_bytes, where, reading.blocks)

    def _missing(self, digest: str) -> MissingContentError:
        return MissingContentError(
            digest,
            self._files.url,
            "the file is gone from the store. All nights shared it, so get the artifact from "
            "Harbor itself, or from a mirror of it",
        )


class _PoolReader(BlobReader):
    """Content of the pool on its way; what is wrong with it is wrong with the store."""

    def read(self, size: int = -1, /) -> bytes:
        try:
            return super().read(size)
        except (DigestMismatchError, WrongSizeError):
            raise DamagedContentError(self.digest, self.where) from None


def _digest(content: bytes, like: str) -> str:
    """Return the digest of some bytes, by the algorithm of another one."""
    algorithm = like.split(":", 1)[0]
    return f"{algorithm}:{hashlib.new(algorithm, content).hexdigest()}"


class _Room:
    """A number of bytes that threads take a part of and give back."""

    def __init__(self, size_bytes: int) -> None:
        self._size_bytes = self._free_bytes = size_bytes
        self._changed = threading.Condition()

    @contextlib.contextmanager
    def taken(self, size_bytes: int) -> Iterator[None]:
        """Wait for room, and hold it; more than there is at all is all there is."""
        wanted = min(size_bytes, self._size_bytes)
        with self._changed:
            self._changed.wait_for(lambda: self._free_bytes >= wanted)
            self._free_bytes -= wanted
        try:
            yield
        finally:
            with self._changed:
                self._free_bytes += wanted
                self._changed.notify_all()
