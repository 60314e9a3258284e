"""A blob on its way from one place to the next: hashed as it passes, and never spooled."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Iterator
from typing import Protocol, TypeGuard

from airflow_provider_harbor.core.exceptions import DigestMismatchError, WrongSizeError
from airflow_provider_harbor.core.http.rate import block_bytes, spend

# In such steps it is kept how far the digest has come. The last of them reach back over a chunk
# of an upload, and half of that again, so that whatever of it has arrived can be gone on from.
_STEP_BYTES = 4 * 1024 * 1024
_STEPS = 24


class Rereadable(Protocol):
    """A request's body of which a part can be read again."""

    def read(self, size: int = -1, /) -> bytes:
        """Return at most `size` bytes; empty at the end."""

    def __len__(self) -> int: ...

    @property
    def can_reread(self) -> bool:
        """Whether `rewind` and `begin_at` can be called at all."""

    def rewind(self, offset: int) -> None:
        """Go back to a byte that was passed on before."""

    def begin_at(self, offset: int) -> None:
        """Leave out what is before a byte, where nothing was read yet."""


def is_rereadable(body: object) -> TypeGuard[Rereadable]:
    """Tell whether a part of a body can be read again."""
    return bool(getattr(body, "can_reread", False))


class Hash(Protocol):
    """What hashes blocks as they pass: a hash of `hashlib`, or one like it."""

    @property
    def name(self) -> str:
        """Name of its algorithm, as digests begin with it."""

    def hexdigest(self) -> str:
        """Return the digest of all that has passed."""


def require_digest(
    passed: Hash, passed_bytes: int, digest: str, size_bytes: int, where: str
) -> None:
    """Make sure that what has passed is what its digest says, and as long as it should be.

    Raises:
        DigestMismatchError: It is not.
    """
    actual = f"{passed.name}:{passed.hexdigest()}"
    if actual != digest or passed_bytes != size_bytes:
        raise DigestMismatchError(
            expected=digest, actual=actual, size_bytes=passed_bytes, where=where
        )


class BlobReader:
    """A blob on its way: a stream that hashes what passes, and refuses to end with another digest.

    Usable as a request's body, so that a blob goes from one place to the next in blocks, with no
    copy on disk and one block in memory.

    Args:
        blocks: What comes.
        digest: What it has to be.
        size_bytes: How long it has to be.
        where: What it is read from, for errors.
        reopen: Returns the blocks from a byte on, for `rewind` and `begin_at`; without it nothing
            can be read again.
    """

    def __init__(
        self,
        blocks: Iterator[bytes],
        digest: str,
        size_bytes: int,
        where: str,
        reopen: Callable[[int], Iterator[bytes]] | None = None,
    ) -> None:
        self._blocks = blocks
        self.digest = digest
        self._size_bytes = size_bytes
        self.where = where
        self._reopen = reopen
        self._hash: hashlib._Hash | None = hashlib.new(digest.split(":", 1)[0])
        self._rest = b""
        self.read_bytes = 0
        self._start = 0
        # How far the digest had come at some bytes, the last one last.
        self._steps: deque[tuple[int, hashlib._Hash]] = deque(maxlen=_STEPS)

    def __len__(self) -> int:
        return self._size_bytes

    @property
    def can_reread(self) -> bool:
        """Whether `rewind` and `begin_at` can be called at all."""
        return self._reopen is not None

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
            self.read_bytes += len(self._rest)
            if self._hash is not None:
                self._hash.update(self._rest)
            if not self._rest or self.read_bytes >= self._size_bytes:
                self._check()
            elif self._reopen is not None:
                self._note_step()
        if size < 0:
            block, self._rest = self._rest, b""
        else:
            block, self._rest = self._rest[:size], self._rest[size:]
        spend(len(block))
        return block

    def rewind(self, offset: int) -> None:
        """Go back to a byte that was passed on before.

        The digest goes back with it, to the last step before that byte: what is read from there on
        is hashed again, and only that, so that the digest is always that of what was passed on
        last. Back to the very start everything is hashed, also what was left out by `begin_at`.

        Raises:
            ValueError: It was not passed on, or is before the start, or nothing can be read again.
        """
        position = self.read_bytes - len(self._rest)
        if offset == position:
            return
        if self._reopen is None or not (offset == 0 or self._start <= offset < position):
            raise ValueError(f"byte {offset} cannot be gone back to, from {position}")
        if offset == 0:
            self._start = 0
        while self._steps and self._steps[-1][0] > offset:
            self._steps.pop()
        if self._start:
            step, passed = offset, None
        elif self._steps:
            step, passed = self._steps[-1][0], self._steps[-1][1].copy()
        else:
            step, passed = 0, hashlib.new(self.digest.split(":", 1)[0])
        self._go_to(step, passed)
        while (behind := offset - (self.read_bytes - len(self._rest))) > 0:
            self.read(behind)

    def begin_at(self, offset: int) -> None:
        """Leave out what is before a byte, where nothing was read yet.

        Whoever has received that earlier has to verify the whole: a registry does it when an upload
        is concluded, by the digest that it is concluded with. What comes is not hashed here.

        Raises:
            ValueError: Something was read, or nothing can be read again.
        """
        if self._reopen is None or self.read_bytes or not 0 <= offset <= self._size_bytes:
            raise ValueError(f"cannot begin at byte {offset}")
        if offset:
            self._start = offset
            self._go_to(offset, None)

    def _go_to(self, offset: int, passed: hashlib._Hash | None) -> None:
        assert self._reopen is not None  # noqa: S101
        self._rest, self._hash, self.read_bytes = b"", passed, offset
        self._blocks = iter(()) if offset == self._size_bytes else self._reopen(offset)

    def _note_step(self) -> None:
        if self._hash is not None:
            last = self._steps[-1][0] if self._steps else 0
            if self.read_bytes - last >= _STEP_BYTES:
                self._steps.append((self.read_bytes, self._hash.copy()))

    def _check(self) -> None:
        if self._hash is not None:
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
