"""Sending a blob to a registry: in one request, or in chunks that outlive a broken line.

Source: distribution-spec v1.1, "Pushing a blob in chunks". What registries really do, tried:

- distribution 3 keeps what has arrived of a chunk that broke, and says how much that is to whoever
  asks the upload, by any Location of it. So a break costs nothing.
- distribution 2.8, which is the registry of a Harbor, keeps it as well, but then takes no request
  to that upload any more (404), since the Location that the client has says another length. So
  what can be gone on from there is an upload that broke between two chunks; else it begins anew.

What verifies what. The reader hashes what it passes on, and refuses to end with another digest. The
registry hashes all that it has, and takes an upload only where the digest is the one with which it
is concluded. So what was sent by an earlier process, and is not read again by this one, is verified
by the registry alone; where it then says that the digest is wrong, all is sent once more.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from typing import NamedTuple, Protocol
from urllib.parse import parse_qsl, quote, urlsplit

from airflow_provider_harbor.core.exceptions import (
    HarborAuthError,
    HarborBackupError,
    HarborConnectionError,
    HarborNotFoundError,
    HarborRateLimitError,
    HarborRefusedError,
    HarborServerError,
    HarborStatusError,
    HarborTlsError,
    RefusalReason,
    is_passing,
)
from airflow_provider_harbor.core.http.answers import Answer
from airflow_provider_harbor.core.http.patience import answering_later
from airflow_provider_harbor.core.http.transport import Body
from airflow_provider_harbor.core.oci.blob_reader import Rereadable, is_rereadable
from airflow_provider_harbor.core.oci.downloads import Tries
from airflow_provider_harbor.core.oci.registry_answers import not_stored, upload_location

log = logging.getLogger(__name__)

CHUNK_BYTES = 64 * 1024 * 1024
# So often an upload is begun for one blob, where the registry forgets it.
_MOST_UPLOADS = 4
# What a registry says to its first chunk that takes none.
_TAKES_NO_CHUNKS = frozenset({400, 404, 405, 411, 415, 416, 501})
# A registry that has all of a blob reads it again, or has its storage copy it, before it answers:
# at so many bytes a second at least, and no longer than that.
_SETTLING_RATE = 4 * 1024 * 1024
_MOST_SETTLING_SECONDS = 3600.0
_LONGEST_WAIT_SECONDS = 60.0
_RANGE = re.compile(r"(?:bytes[= ])?0-([0-9]{1,18})")
# Queries of Locations that may be kept: the signed state of an upload, which lets nobody in.
_KEPT_KEYS = frozenset({"_state", "_nouploadcache"})


class Kept(NamedTuple):
    """How far an upload has come.

    Attributes:
        location: Where it goes on: path and query at the registry.
        offset: How many bytes the registry had then.
    """

    location: str
    offset: int


class KeptUploads(Protocol):
    """Remembers uploads for the next process. What it raises or forgets costs time only."""

    def read(self, repository: str, digest: str) -> Kept | None:
        """Return how far the upload of a blob has come; None where nothing is known of one."""

    def keep(self, repository: str, digest: str, kept: Kept) -> None:
        """Remember it, in place of what was known."""

    def forget(self, repository: str, digest: str) -> None:
        """Forget it; what was not known does no harm."""


class Requests(Protocol):
    """Sends a request about a repository; see `RegistryClient._request`."""

    def __call__(
        self,
        method: str,
        repository: str,
        path: str,
        *,
        writes: bool = ...,
        data: Body | bytes | None = ...,
        headers: dict[str, str] | None = ...,
        repeatable: bool | None = ...,
    ) -> Answer:
        """Return its answer; raises what the registry says."""


class Uploads:
    """Sends blobs to one registry. May be shared by threads.

    Args:
        url: Of the registry.
        request: Sends a request to it.
        has_blob: Tells whether a repository has a blob of a digest and size.
        pause: What waits, in seconds.

    Attributes:
        chunk_bytes: What is larger goes in chunks of this size; 0 is never.
        kept: Where uploads are remembered; None is nowhere.
    """

    def __init__(
        self,
        url: str,
        request: Requests,
        has_blob: Callable[[str, str, int], bool],
        pause: Callable[[float], None],
    ) -> None:
        self.url = url
        self.request = request
        self.has_blob = has_blob
        self.pause = pause
        self.chunk_bytes = CHUNK_BYTES
        self.kept: KeptUploads | None = None
        # None is not known yet. That it takes none is believed for as long as this process runs.
        self.takes_chunks: bool | None = None

    def put(self, repository: str, digest: str, body: Body | bytes) -> None:
        """Upload a blob.

        The registry makes it visible only when it is whole and its digest is right.

        Raises:
            HarborProtocolError: It was answered with something else than that it is stored, and it
                is not there.
            HarborNotFoundError: The registry forgets the upload, each time.
        """
        is_large = 0 < self.chunk_bytes < len(body)
        if is_large and self.takes_chunks is not False and is_rereadable(body):
            if _Chunked(self, repository, digest, body).run():
                return
            log.info("%s takes no chunks. Sending in one request", self.url)
            body.rewind(0)
        location, _ = self.begin(repository)
        self.conclude(repository, digest, location, body)

    def begin(self, repository: str) -> tuple[str, int]:
        """Open an upload; returns where it goes on, and how large a chunk has to be at least."""
        answer = self.request("POST", repository, "blobs/uploads/", writes=True, repeatable=True)
        return upload_location(answer, self.url), answer.number("OCI-Chunk-Min-Length") or 0

    def conclude(
        self,
        repository: str,
        digest: str,
        location: str,
        body: Body | bytes,
        size_bytes: int | None = None,
    ) -> None:
        """Send the rest of an upload, and have it stored under its digest.

        Args:
            repository: Full name.
            digest: Of the whole blob.
            location: Where the upload goes on.
            body: The rest; all of it, where nothing was sent yet.
            size_bytes: Of the whole blob, if that is more.
        """
        size_bytes = len(body) if size_bytes is None else size_bytes
        mark = "&" if urlsplit(location).query else "?"
        with answering_later(min(size_bytes / _SETTLING_RATE, _MOST_SETTLING_SECONDS)):
            answer = self.request(
                "PUT",
                repository,
                f"{location}{mark}digest={quote(digest, safe='')}",
                writes=True,
                data=body,
                headers={"Content-Type": "application/octet-stream"},
            )
        if answer.status != 201 and not self.has_blob(repository, digest, size_bytes):
            raise not_stored(answer, "blob")


class _Piece:
    """A part of a blob, as the body of a request.

    Attributes:
        error: What the source raised on the way, which is not the registry's doing.
        passed_bytes: How much was passed on; not more than that can have arrived.
    """

    def __init__(self, body: Rereadable, size_bytes: int) -> None:
        self._body = body
        self._size_bytes = size_bytes
        self.error: BaseException | None = None
        self.passed_bytes = 0

    def __len__(self) -> int:
        return self._size_bytes

    def read(self, size: int = -1, /) -> bytes:
        rest = self._size_bytes - self.passed_bytes
        if not rest:
            return b""
        try:
            block = self._body.read(rest if size < 0 else min(size, rest))
        except BaseException as err:
            self.error = err
            raise
        self.passed_bytes += len(block)
        return block


class _LostUploadError(Exception):
    """The registry does not know the upload any more, or what it says of it cannot be."""


class _Chunked:
    """One blob on its way in chunks.

    Attributes:
        offset: How many bytes the registry has, as far as it said so.
    """

    def __init__(self, uploads: Uploads, repository: str, digest: str, body: Rereadable) -> None:
        self._uploads = uploads
        self._repository = repository
        self._digest = digest
        self._body = body
        self._size = len(body)
        self._chunk_bytes = uploads.chunk_bytes
        self._location = ""
        self.offset = 0
        self._was_refused = False
        self._tries = Tries(uploads.pause)

    def run(self) -> bool:
        """Send it; False where the registry takes no chunks at all.

        Raises:
            HarborBackupError: It is not there.
        """
        is_going_on = self._go_on()
        number = 0 if is_going_on else 1
        while True:
            if not is_going_on:
                self._begin()
            is_going_on = False
            try:
                while self.offset < self._size:
                    if not self._send_chunk():
                        return False
                if self._conclude():
                    self._forget()
                    return True
            except _LostUploadError as err:
                self._forget()
                number += 1
                if number > _MOST_UPLOADS:
                    raise err.__cause__ or err from None
                log.info("%s: the upload of %s begins anew", self._uploads.url, self._digest)

    def _begin(self) -> None:
        location, least_bytes = self._uploads.begin(self._repository)
        self._location, self.offset = location, 0
        self._chunk_bytes = max(self._uploads.chunk_bytes, least_bytes)
        self._tries = Tries(self._uploads.pause)
        self._body.rewind(0)

    # -- what an earlier process has sent

    def _go_on(self) -> bool:
        """Go on with what an earlier process has begun; False where there is nothing to."""
        keeper = self._uploads.kept
        kept = keeper.read(self._repository, self._digest) if keeper else None
        if kept is None or not 0 < kept.offset <= self._size:
            return False
        self._location, self.offset = kept
        try:
            self._ask(kept.offset + self._chunk_bytes)
        except (_LostUploadError, HarborStatusError) as err:
            if is_passing(err):
                raise
            self._forget()
            return False
        self._body.begin_at(self.offset)
        log.info("%s has %d bytes of %s already", self._uploads.url, self.offset, self._digest)
        return True

    def _keep(self) -> None:
        # On another host the address itself is what lets in; and so may an unknown part of it be.
        if (keeper := self._uploads.kept) and _may_be_kept(self._location):
            keeper.keep(self._repository, self._digest, Kept(self._location, self.offset))

    def _forget(self) -> None:
        if keeper := self._uploads.kept:
            keeper.forget(self._repository, self._digest)

    # -- chunks

    def _send_chunk(self) -> bool:
        """Send the next chunk, or what has to be sent of it again; False where none is taken."""
        piece = _Piece(self._body, min(self._chunk_bytes, self._size - self.offset))
        last = self.offset + len(piece) - 1
        try:
            answer = self._uploads.request(
                "PATCH",
                self._repository,
                self._location,
                writes=True,
                data=piece,
                headers={
                    "Content-Type": "application/octet-stream",
                    "Content-Range": f"{self.offset}-{last}",
                },
            )
            # Some say 201 or 204 for 202; what the digest is at the end is what counts.
            location = upload_location(answer, self._uploads.url, statuses=(202, 201, 204))
        except HarborBackupError as err:
            if piece.error is not None:
                raise
            if self._is_without_chunks(err):
                self._uploads.takes_chunks = False
                return False
            self._recover(err, self.offset + piece.passed_bytes)
            return True
        if self._uploads.takes_chunks is None:
            self._uploads.takes_chunks = True
        before = self.offset
        self._location = location
        self.offset = self._arrived(answer, last + 1)
        if self.offset == before:
            self._tries.note(before, answer.error("it has kept nothing of what was sent"))
        self._body.rewind(self.offset)
        self._keep()
        return True

    def _arrived(self, answer: Answer, sent: int) -> int:
        """Return how many bytes the registry has by its answer; without a word of it, all."""
        end = _read_end(answer)
        if end is None or (end == 1 and self.offset == 0):  # 0-0 is one byte, or none
            return sent
        if not self.offset <= end <= sent:
            raise _LostUploadError from answer.error(
                f"it says that it has {end} bytes, of {self.offset} to {sent} that it can have"
            )
        return end

    def _is_without_chunks(self, err: HarborBackupError) -> bool:
        return (
            self._uploads.takes_chunks is None
            and self.offset == 0
            and isinstance(err, HarborStatusError)
            and err.status in _TAKES_NO_CHUNKS
        )

    def _recover(self, err: HarborBackupError, most: int) -> None:
        """Find out what of a chunk that failed has arrived, and go on from there.

        Args:
            err: How it failed.
            most: More than so many bytes cannot have arrived.
        """
        if isinstance(err, HarborNotFoundError):
            raise _LostUploadError from err
        if not _may_go_on(err):
            raise err
        asked = err.retry_after_seconds if isinstance(err, HarborStatusError) else None
        self._tries.note(self.offset, err, min(asked or 0.0, _LONGEST_WAIT_SECONDS))
        try:
            self._ask(most)
        except _LostUploadError as lost:
            if isinstance(lost.__cause__, HarborStatusError):
                lost.__cause__.hint = f"an upload that breaks has to begin anew there ({err})"
            raise
        self._body.rewind(self.offset)

    def _ask(self, most: int) -> None:
        """Ask the registry how much of the upload it has, at least `offset` and at most `most`."""
        try:
            answer = self._uploads.request("GET", self._repository, self._location, writes=True)
        except (HarborNotFoundError, HarborRefusedError) as err:
            raise _LostUploadError from err
        end = _read_end(answer)
        if end == 1 and self.offset == 0:
            end = 0  # 0-0 is one byte, or none; and it is none, mostly
        if answer.status != 204 or end is None or not self.offset <= end <= min(most, self._size):
            raise _LostUploadError from answer.error(
                "it does not say how much of the upload there is, or what cannot be. See what "
                "answers in the registry's place"
            )
        if answer.headers.get("Location"):
            self._location = upload_location(answer, self._uploads.url, statuses=(204,))
        self.offset = end

    # -- the end

    def _conclude(self) -> bool:
        try:
            self._uploads.conclude(self._repository, self._digest, self._location, b"", self._size)
        except HarborNotFoundError as err:
            # It may be there, if an answer was lost.
            if self._uploads.has_blob(self._repository, self._digest, self._size):
                return True
            raise _LostUploadError from err
        except HarborRefusedError as err:
            if err.reason is not RefusalReason.INVALID or self._was_refused:
                raise
            self._was_refused = True
            raise _LostUploadError from err
        return True


def _may_go_on(err: HarborBackupError) -> bool:
    """Tell whether a chunk that failed may be sent again, as far as it has not arrived."""
    if isinstance(err, HarborConnectionError):
        return not isinstance(err, HarborTlsError)
    if isinstance(err, HarborAuthError):
        return err.status == 401  # a token that has ended; the next one is new
    if isinstance(err, (HarborServerError, HarborRateLimitError)):
        return True
    return isinstance(err, HarborStatusError) and err.status in (408, 416)


def _read_end(answer: Answer) -> int | None:
    """Return how many bytes an upload has by the answer's Range; None where it says nothing."""
    found = _RANGE.fullmatch(answer.headers.get("Range", "").strip())
    return int(found[1]) + 1 if found else None


def _may_be_kept(location: str) -> bool:
    if not location.startswith("/"):
        return False
    keys = {key for key, _ in parse_qsl(urlsplit(location).query, keep_blank_values=True)}
    return keys <= _KEPT_KEYS
