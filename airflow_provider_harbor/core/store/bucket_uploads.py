"""Large blobs on their way into a bucket of S3: the next run goes on with what a killed one left.

A bucket keeps the parts of an upload until it is completed, and shows them to nobody. So how far
the upload has come is kept beside it, with the state of SHA-256 there: what was sent is neither
read again nor hashed again, and still the digest is that of all parts. Each was sent with its own
checksum, and the bucket puts together only the parts whose entity tags it is told.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from typing import NamedTuple

from airflow_provider_harbor.core.exceptions import (
    IntegrityError,
    StoreError,
    StoreReason,
    StoreUnreachableError,
)
from airflow_provider_harbor.core.oci.blob_reader import Rereadable, require_digest
from airflow_provider_harbor.core.side_by_side import result_of
from airflow_provider_harbor.core.store import kept_sha256, layout
from airflow_provider_harbor.core.store.bucket_notes import Note, Progress, upload_of
from airflow_provider_harbor.core.store.files import BLOCK_BYTES, PARTS_AT_ONCE, Files
from airflow_provider_harbor.core.store.kept_sha256 import KeptSha256
from airflow_provider_harbor.core.store.multipart import Multipart, UploadGoneError

log = logging.getLogger(__name__)

# So much is sent again after a kill, at most, and what was on its way.
_KEPT_EVERY_BYTES = 64 * 1024 * 1024
# And that often at least, so that it is known to go on.
_KEPT_EVERY_SECONDS = 60.0
# Where nothing has arrived for so many tries an upload is not gone on with any more.
_MOST_TRIES = 6
# What this process sends at the moment: URL of the store, and digest.
_under_way: set[tuple[str, str]] = set()
_lock = threading.Lock()


class BucketUploads:
    """Uploads of a store's large blobs. May be shared by threads and processes.

    Args:
        files: Of the store.
    """

    def __init__(self, files: Files) -> None:
        self._files = files
        self._buffers = _Buffers()

    def memory_bytes(self, size_bytes: int) -> int:
        """Return how much memory `put` needs for a blob of a size."""
        return self._files.memory_bytes(size_bytes)

    def put(self, body: Rereadable, digest: str) -> bool:
        """Write content, and begin behind what an earlier process has sent of it.

        Returns:
            Whether it is in its place. False is that somebody else writes it at this moment, or
            that this is no bucket in which an upload can be gone on with; nothing was read of the
            body then.

        Raises:
            DigestMismatchError: It is something else than the digest says, or has another length.
            StoreError: It cannot be written.
        """
        multipart = self._files.multipart
        if multipart is None or not digest.startswith("sha256:") or not kept_sha256.is_available():
            return False
        with _alone(self._files.url, digest) as is_alone:
            return is_alone and self._put(multipart, body, digest)

    def _put(self, multipart: Multipart, body: Rereadable, digest: str) -> bool:
        sending = _Sending(multipart, Note(self._files, digest, len(body)), body, self._buffers)
        try:
            return self._is_sent(sending)
        except StoreError as err:
            is_passing = sending.is_running and err.reason is StoreReason.UNREACHABLE
            if is_passing or err.reason is StoreReason.FULL:
                raise
            # What one way cannot do the other one may: no layer is lost for being gone on with.
            log.info("a large layer is sent in another way, and starts again after a kill: %s", err)
            body.rewind(0)
            return False

    def _is_sent(self, sending: _Sending) -> bool:
        kept = sending.note.read()
        if sending.note.is_busy:
            return False
        if kept and kept.tries >= _MOST_TRIES:
            sending.abort(kept)
            kept = None
        if kept:
            kept = replace(kept, tries=kept.tries + 1)
            if not sending.note.write(kept):  # somebody else goes on with it, or has ended it
                return False
            log.info(
                "%s: %d bytes are there already", self._files.url_of(sending.path), kept.offset
            )
            sending.require_same_place()
            try:
                return self._is_in_place(sending, kept)
            except UploadGoneError as err:
                log.info("%s. It starts again", err)
                sending.body.rewind(0)
        begun = sending.begin(self._files.part_bytes(sending.note.size_bytes))
        return begun is not None and self._is_in_place(sending, begun)

    def _is_in_place(self, sending: _Sending, progress: Progress) -> bool:
        """Send the rest, and look whether the blob is where it is going to be looked for."""
        sending.run(progress)
        if self._files.size(sending.path) == sending.note.size_bytes:
            return True
        raise StoreError(StoreReason.OTHER, "it was sent, and is not there", where=self._files.url)

    def forget_before(self, moment: datetime) -> None:
        """Give up uploads that nobody has gone on with since a moment."""
        multipart = self._files.multipart
        if multipart is None:
            return
        over = []
        for entry in self._files.iter_files(layout.UNFINISHED):
            if entry.modified < moment:
                upload = upload_of(self._files, entry.path)
                path = entry.path.replace(layout.UNFINISHED, layout.POOL, 1)
                if not upload or multipart.abort(path, upload):
                    over.append(entry.path)
        if over:
            self._files.delete(over)


@contextmanager
def _alone(url: str, digest: str) -> Iterator[bool]:
    """Tell whether no other thread of this process sends the same, until the block ends."""
    key = (url, digest)
    with _lock:
        is_alone = key not in _under_way
        _under_way.add(key)
    try:
        yield is_alone
    finally:
        if is_alone:
            with _lock:
                _under_way.discard(key)


class _Buffers:
    """Buffers that are used again and again: of new ones each thread's memory would keep some."""

    def __init__(self) -> None:
        self._spare: list[bytearray] = []

    @contextmanager
    def taken(self, number: int, size_bytes: int) -> Iterator[list[bytearray]]:
        """Lend some of a size until the block ends."""
        lent: list[bytearray] = []
        while len(lent) < number:
            try:
                buffer = self._spare.pop()
            except IndexError:
                buffer = bytearray(size_bytes)
            if len(buffer) == size_bytes:
                lent.append(buffer)
        buffers = list(lent)
        try:
            yield buffers
        finally:
            self._spare += lent


class _Part(NamedTuple):
    """A part on its way, what it is in, and the state of SHA-256 behind it."""

    etag: Future[str]
    buffer: bytearray
    sha256_state: str


class _Sending:
    """One upload, from where it is to its end; `is_running` when anything was sent of it."""

    def __init__(
        self, multipart: Multipart, note: Note, body: Rereadable, buffers: _Buffers
    ) -> None:
        self.body = body
        self.note = note
        self.path = layout.blob(note.digest)
        self._multipart = multipart
        self._on_their_way: deque[_Part] = deque()
        self._buffers = buffers
        self._progress = Progress("", 0)
        self._kept_bytes = 0
        self._kept_at = time.monotonic()
        self._is_lost = False
        self.is_running = False

    def begin(self, part_bytes: int) -> Progress | None:
        """Begin an upload, and note it; None where somebody else was faster.

        Raises:
            StoreError: It cannot be begun, or not be noted, or would go elsewhere.
        """
        begun, is_noted = Progress(self._multipart.begin(self.path), part_bytes), False
        try:
            is_noted = self.note.write(begun)
            if is_noted:
                self.require_same_place()
        except StoreError:
            self.abort(begun)
            if is_noted:
                self.note.delete()
            raise
        if is_noted:
            return begun
        self.abort(begun)
        return None

    def require_same_place(self) -> None:
        """Make sure that uploads go where the store is.

        Which server, bucket and prefix an address means the one library and the other can see
        otherwise, by the environment and by what is escaped.

        Raises:
            StoreError: They do not, or it cannot be seen.
        """
        content = self.note.content or b""
        if self._multipart.read(self.note.path, len(content) + 1) != content:
            what = "uploads would go elsewhere than the store is"
            raise StoreError(StoreReason.OTHER, what, where=self._multipart.url)

    def run(self, progress: Progress) -> None:
        """Send what is missing, and have the blob take its place.

        Raises:
            UploadGoneError: The bucket does not know the upload.
            DigestMismatchError: It is something else than the digest says, or has another length.
            StoreError: It cannot be written.
        """
        self._progress, self._kept_bytes = progress, progress.offset
        self._on_their_way.clear()
        self.is_running = True
        try:
            passed = self._send_rest()
            require_digest(
                passed,
                passed.passed_bytes,
                self.note.digest,
                self.note.size_bytes,
                self._multipart.url,
            )
            self._multipart.complete(self.path, progress.upload, self._progress.etags)
        except StoreUnreachableError:
            raise  # the next one goes on
        except (IntegrityError, StoreError) as err:
            self._give_up(is_wrong=isinstance(err, IntegrityError))
            raise
        self.note.delete()

    def abort(self, progress: Progress) -> bool:
        """Give up an upload; False where it is there still."""
        return self._multipart.abort(self.path, progress.upload)

    def _give_up(self, *, is_wrong: bool) -> None:
        """Have the next one begin at the start; what cannot be ended stays noted, if it is right.

        Else there would be one upload more each night.
        """
        if self._is_lost:
            # Where the other one has begun an upload of its own, this one is nobody's.
            if self.note.read_upload() != self._progress.upload:
                self.abort(self._progress)
        elif self.abort(self._progress) or is_wrong:
            self.note.delete()

    def _send_rest(self) -> KeptSha256:
        passed = KeptSha256(self._progress.offset, self._progress.sha256_state)
        self.body.begin_at(self._progress.offset)
        with (
            self._buffers.taken(PARTS_AT_ONCE + 1, self._progress.part_bytes) as free,
            ThreadPoolExecutor(PARTS_AT_ONCE, thread_name_prefix="parts") as pool,
        ):
            try:
                self._send_parts(passed, free, pool)
            except BaseException as err:
                self._keep_what_arrived(err)
                raise
        return passed

    def _send_parts(
        self, passed: KeptSha256, free: list[bytearray], pool: ThreadPoolExecutor
    ) -> None:
        number = len(self._progress.etags)
        while size := self._read_part(buffer := free.pop(), passed):
            number += 1
            if len(self._on_their_way) >= PARTS_AT_ONCE:
                free.append(self._wait_for_one())
            content = buffer if size == len(buffer) else buffer[:size]
            upload = self._progress.upload
            sent = pool.submit(self._multipart.send, self.path, upload, number, content)
            self._on_their_way.append(_Part(sent, buffer, passed.state))
        while self._on_their_way:
            self._wait_for_one()

    def _read_part(self, buffer: bytearray, passed: KeptSha256) -> int:
        """Fill a buffer, and return how much is in it."""
        size = 0
        while block := self.body.read(min(BLOCK_BYTES, len(buffer) - size)):
            passed.update(block)
            buffer[size : size + len(block)] = block
            size += len(block)
            if size == len(buffer):
                break
        return size

    def _wait_for_one(self) -> bytearray:
        """Wait until the first part on its way has arrived, and return its buffer."""
        buffer = self._note_one()
        is_much = self._progress.offset - self._kept_bytes >= _KEPT_EVERY_BYTES
        if is_much or time.monotonic() - self._kept_at > _KEPT_EVERY_SECONDS:
            self._keep()
        return buffer

    def _note_one(self) -> bytearray:
        part = self._on_their_way[0]  # which stays the first one where it did not arrive
        etags = (*self._progress.etags, result_of(part.etag))
        self._on_their_way.popleft()
        self._progress = replace(
            self._progress, etags=etags, sha256_state=part.sha256_state, tries=0
        )
        return part.buffer

    def _keep(self, *, is_over: bool = False) -> None:
        if self._progress.offset > self.note.size_bytes:
            return  # the last part is a short one, and nothing begins behind it
        self._kept_bytes, self._kept_at = self._progress.offset, time.monotonic()
        try:
            self._is_lost = not self.note.write(self._progress, is_over=is_over)
        except StoreError as err:
            log.warning("if this run is killed, a part of a layer is sent again: %s", err)
            return
        if self._is_lost and not is_over:
            what = "another process has taken over the upload of this layer"
            raise StoreError(StoreReason.OTHER, what, where=self._multipart.url)

    def _keep_what_arrived(self, err: BaseException) -> None:
        """Wait for what is on its way, and keep how far it has come by that."""
        if not isinstance(err, StoreError):  # the upload is not to blame
            self._progress = replace(self._progress, tries=max(self._progress.tries - 1, 0))
        try:
            while self._on_their_way:
                self._note_one()
        except StoreError as late:
            log.debug("of what was on its way not all arrived: %s", late)
        if not self._is_lost:
            self._keep(is_over=True)
