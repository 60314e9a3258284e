"""A blob on its way from one registry to the next: hashed as it passes, and never spooled."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from airflow_provider_harbor.core.exceptions import DigestMismatchError, WrongSizeError
from airflow_provider_harbor.core.http.rate import block_bytes, spend


class BlobReader:
    """A blob on its way: a stream that hashes what passes, and refuses to end with another digest.

    Usable as a request's body, so that a blob goes from one place to the next in blocks, with no
    copy on disk and one block in memory.

    Args:
        blocks: What comes.
        digest: What it has to be.
        size_bytes: How long it has to be.
        where: What it is read from, for errors.
    """

    def __init__(self, blocks: Iterator[bytes], digest: str, size_bytes: int, where: str) -> None:
        self._blocks = blocks
        self.digest = digest
        self._size_bytes = size_bytes
        self.where = where
        self._hash = hashlib.new(digest.split(":", 1)[0])
        self._rest = b""
        self.read_bytes = 0

    def __len__(self) -> int:
        return self._size_bytes

    def read(self, size: int = -1, /) -> bytes:
        """Return the next bytes, at most `size`; empty at the end.

        Errors are raised in place of the last block, so that whoever receives the stream never gets
        it whole.

        Raises:
            DigestMismatchError: The content is not what its digest says.
            WrongSizeError: It is, but has another size than it should have.
        """
        size = block_bytes(size)
        if not self._rest:
            self._rest = next(self._blocks, b"")
            self._hash.update(self._rest)
            self.read_bytes += len(self._rest)
            if not self._rest or self.read_bytes >= self._size_bytes:
                self._check()
        if size < 0:
            block, self._rest = self._rest, b""
        else:
            block, self._rest = self._rest[:size], self._rest[size:]
        spend(len(block))
        return block

    def _check(self) -> None:
        actual = f"{self._hash.name}:{self._hash.hexdigest()}"
        if actual != self.digest:
            raise DigestMismatchError(
                expected=self.digest,
                actual=actual,
                size_bytes=self.read_bytes,
                where=self.where,
            )
        if self.read_bytes != self._size_bytes:
            raise WrongSizeError(
                self.digest,
                expected_bytes=self._size_bytes,
                actual_bytes=self.read_bytes,
                where=self.where,
            )
