"""Reading a blob over a line that breaks: it goes on where it was.

A content never changes under its digest, so that the rest of it may come by any other connection.
Whoever reads it verifies the digest over all that came, whatever connection it came by.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

from airflow_provider_harbor.core.exceptions import HarborBackupError, HarborConnectionError
from airflow_provider_harbor.core.http.answers import Stream

log = logging.getLogger(__name__)

# So often in a row nothing worth mentioning may come. Each time that more came it counts anew.
_MOST_TRIES = 5
_PROGRESS_BYTES = 64 * 1024
_FIRST_WAIT_SECONDS = 0.5

_RANGE = re.compile(r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18}|\*)")


class Tries:
    """How often something broke since it last came further. Bounds endless trying, not the whole.

    Args:
        pause: What waits, in seconds.
    """

    def __init__(self, pause: Callable[[float], None]) -> None:
        self._pause = pause
        self._number = 0
        self._mark = 0

    def note(self, position: int, err: HarborBackupError, asked_seconds: float = 0) -> None:
        """Note that it broke at a byte, and wait: not at all the first time.

        Args:
            position: How far it has come, in bytes.
            err: How it broke.
            asked_seconds: How long at least to wait.

        Raises:
            HarborBackupError: `err`, where it has come no further for too long.
        """
        if position - self._mark >= _PROGRESS_BYTES:
            self._number, self._mark = 0, position
        self._number += 1
        if self._number >= _MOST_TRIES:
            raise err
        log.info("%s. Going on from byte %d", err, position)
        wait_seconds = _FIRST_WAIT_SECONDS * 2.0 ** (self._number - 2) if self._number > 1 else 0.0
        if wait_seconds := max(wait_seconds, asked_seconds):
            self._pause(wait_seconds)


class _Part(NamedTuple):
    """An answer that holds a part of a blob: what is to be left out of it, and where it ends."""

    stream: Stream
    skip_bytes: int
    end: int | None


class Download:
    """A blob that is read from a registry, over any number of connections, one at a time.

    Args:
        get: Asks for the blob, with headers, and after which stream that broke; raises what the
            registry says to it.
        size_bytes: How long it is.
        pause: What waits, in seconds.
    """

    def __init__(
        self,
        get: Callable[[dict[str, str], Stream | None], Stream],
        size_bytes: int,
        pause: Callable[[float], None],
    ) -> None:
        self._get = get
        self._size_bytes = size_bytes
        self._pause = pause
        self._stream: Stream | None = None
        self._is_unread = False
        self._takes_ranges = True
        self._came_bytes = 0

    def open(self) -> Stream:
        """Ask for the blob as a whole; returns the answer, whose body `blocks` will read."""
        self._stream = self._get({}, None)
        self._is_unread = True
        return self._stream

    def blocks(self, offset: int = 0) -> Iterator[bytes]:
        """Yield the blob from a byte on; what was read before that ends.

        Raises:
            HarborConnectionError: It broke, too often without coming further. `received_bytes` is
                what came of the blob in all; 0 says that a registry announces content and has none
                of it, see `RegistryClient.read_first_byte`.
            HarborStatusError: The registry does not have it any more.
            HarborProtocolError: It answers with something that cannot be the rest.
        """
        if self._stream is not None and self._is_unread and not offset:
            part = _Part(self._stream, 0, None)
        else:
            part = self._open_after(self._stream, offset)
        self._is_unread = False
        return self._run(part, offset)

    def close(self) -> None:
        """Close the connection that is open."""
        if self._stream is not None:
            self._stream.close()

    def _run(self, part: _Part, position: int) -> Iterator[bytes]:
        tries = Tries(self._pause)
        while True:
            self._stream = part.stream
            broken: HarborConnectionError | None = None
            try:
                for block in self._wanted(part, position):
                    position += len(block)
                    yield block
            except HarborConnectionError as err:
                err.received_bytes = self._came_bytes
                broken = err
            except BaseException:
                part.stream.close()
                raise
            if position >= self._size_bytes or (broken is None and part.end is None):
                part.stream.close()
                return
            if broken is None:  # a part of what was asked for, whole: nothing is wrong with that
                broken = HarborConnectionError(
                    f"{part.stream}: it ended at byte {position}", received_bytes=self._came_bytes
                )
            part = self._go_on(part.stream, position, broken, tries)

    def _go_on(
        self, stream: Stream, position: int, broken: HarborConnectionError, tries: Tries
    ) -> _Part:
        stream.disconnect()
        try:
            if not self._came_bytes:
                raise broken
            tries.note(position, broken)
        except BaseException:
            stream.close()
            raise
        return self._open_after(stream, position)

    def _open_after(self, stream: Stream | None, offset: int) -> _Part:
        """Ask for what begins at a byte, by the slot of the stream that was read before.

        Who has begun may have what others wait for (room in memory, a slot at the destination), so
        that it must not wait for those who have not.
        """
        if stream is None:
            return self._open_at(offset, None)
        stream.disconnect()
        try:
            return self._open_at(offset, stream)
        finally:
            stream.close()

    def _wanted(self, part: _Part, position: int) -> Iterator[bytes]:
        """Yield what of an answer is from a byte on, and before the end that it says."""
        skip = part.skip_bytes
        for block in part.stream.blocks():
            self._came_bytes += len(block)
            if skip:
                dropped = min(skip, len(block))
                skip -= dropped
                block = block[dropped:]
            if part.end is not None:
                block = block[: part.end - position]
            position += len(block)
            if block:
                yield block

    def _open_at(self, offset: int, after: Stream | None) -> _Part:
        """Ask for what begins at a byte; where that is not understood for all, and leave it out."""
        if not offset:
            return _Part(self._get({}, after), 0, None)
        if self._takes_ranges:
            stream = self._get_range(offset, after)
            part = stream and self._read_range(stream, offset)
            if part:
                return part
            if stream:
                if after:
                    after.keep_room(stream.hand_on_room())
                stream.close()
            self._takes_ranges = False
        stream = self._get({}, after)
        announced = stream.number("Content-Length")
        if stream.status != 200 or "Content-Encoding" in stream.headers:
            stream.close()
            raise stream.error("that is not the blob as it is stored, which had begun to come")
        if announced not in (None, self._size_bytes):
            stream.close()
            raise stream.error(
                f"it has {announced} bytes now, and had {self._size_bytes} when it began to come"
            )
        return _Part(stream, offset, None)

    def _get_range(self, offset: int, after: Stream | None) -> Stream | None:
        try:
            return self._get({"Range": f"bytes={offset}-"}, after)
        except HarborBackupError as err:
            if getattr(err, "status", None) in (400, 416, 501):  # it takes no ranges
                return None
            raise

    def _read_range(self, stream: Stream, offset: int) -> _Part | None:
        """Return what an answer to a range holds; None where nothing can be made of it."""
        if "Content-Encoding" in stream.headers:
            return None
        announced = stream.number("Content-Length")
        if stream.status == 200 and announced in (None, self._size_bytes):
            return _Part(stream, offset, None)
        # One of several parts (multipart/byteranges) has its range in its body, and none here.
        found = _RANGE.fullmatch(stream.headers.get("Content-Range", "").strip())
        if stream.status != 206 or not found:
            return None
        first, last = int(found[1]), int(found[2])
        total = self._size_bytes if found[3] == "*" else int(found[3])
        is_ours = first <= offset <= last < total == self._size_bytes
        if not is_ours or announced not in (None, last + 1 - first):
            return None
        return _Part(stream, offset - first, last + 1)
