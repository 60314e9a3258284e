"""Sending a large blob to a registry in chunks, which outlive a broken line.

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
from typing import NamedTuple, Protocol
from urllib.parse import parse_qsl, urlsplit

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
from airflow_provider_harbor.core.oci.blob_reader import Rereadable
from airflow_provider_harbor.core.oci.downloads import Tries
from airflow_provider_harbor.core.oci.endpoint import Endpoint
from airflow_provider_harbor.core.oci.registry_answers import upload_location

log = logging.getLogger(__name__)

# So often an upload is begun for one blob, where the registry forgets it.
_MOST_UPLOADS = 4
# What a registry says to its first chunk that takes none.
_TAKES_NO_CHUNKS = frozenset({400, 404, 405, 411, 415, 416, 501})
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


class ChunkedUpload:
    """One blob on its way in chunks.

    Args:
        endpoint: Of the registry.
        repository: Full name.
        digest: Of the blob.
        body: The blob.
        chunk_bytes: How large chunks are, if the registry wants no larger ones.
        kept: Where it is remembered how far it has come; None is nowhere.
        is_taken: Whether the registry is known to take chunks.

    Attributes:
        is_taken: The same, as it showed since.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        repository: str,
        digest: str,
        body: Rereadable,
        *,
        chunk_bytes: int,
        kept: KeptUploads | None,
        is_taken: bool,
    ) -> None:
        self._endpoint = endpoint
        self._repository = repository
        self._digest = digest
        self._body = body
        self._size = len(body)
        self._least_chunk_bytes = self._chunk_bytes = chunk_bytes
        self._kept = kept
        self.is_taken = is_taken
        self._location = ""
        # How many bytes the registry has, as far as it said so.
        self._offset = 0
        self._was_refused = False
        self._tries = Tries(endpoint.pause)

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
                while self._offset < self._size:
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
                log.info("%s: the upload of %s begins anew", self._endpoint.url, self._digest)

    def _begin(self) -> None:
        location, least_bytes = self._endpoint.begin(self._repository)
        self._location, self._offset = location, 0
        self._chunk_bytes = max(self._least_chunk_bytes, least_bytes)
        self._tries = Tries(self._endpoint.pause)
        self._body.rewind(0)

    # -- what an earlier process has sent

    def _go_on(self) -> bool:
        """Go on with what an earlier process has begun; False where there is nothing to."""
        kept = self._kept.read(self._repository, self._digest) if self._kept else None
        if kept is None or not 0 < kept.offset <= self._size:
            return False
        self._location, self._offset = kept
        try:
            self._ask(kept.offset + self._chunk_bytes)
        except (_LostUploadError, HarborStatusError) as err:
            if is_passing(err):
                raise
            self._forget()
            return False
        self._body.begin_at(self._offset)
        log.info("%s has %d bytes of %s already", self._endpoint.url, self._offset, self._digest)
        return True

    def _keep(self) -> None:
        # On another host the address itself is what lets in; and so may an unknown part of it be.
        if self._kept and _may_be_kept(self._location):
            self._kept.keep(self._repository, self._digest, Kept(self._location, self._offset))

    def _forget(self) -> None:
        if self._kept:
            self._kept.forget(self._repository, self._digest)

    # -- chunks

    def _send_chunk(self) -> bool:
        """Send the next chunk, or what has to be sent of it again; False where none is taken."""
        piece = _Piece(self._body, min(self._chunk_bytes, self._size - self._offset))
        last = self._offset + len(piece) - 1
        try:
            answer = self._endpoint.request(
                "PATCH",
                self._repository,
                self._location,
                writes=True,
                data=piece,
                headers={
                    "Content-Type": "application/octet-stream",
                    "Content-Range": f"{self._offset}-{last}",
                },
            )
            # Some say 201 or 204 for 202; what the digest is at the end is what counts.
            location = upload_location(answer, self._endpoint.url, statuses=(202, 201, 204))
        except HarborBackupError as err:
            if piece.error is not None:
                raise
            if self._is_without_chunks(err):
                return False
            self._recover(err, self._offset + piece.passed_bytes)
            return True
        self.is_taken = True
        before = self._offset
        self._location = location
        self._offset = self._arrived(answer, last + 1)
        if self._offset == before:
            self._tries.note(before, answer.error("it has kept nothing of what was sent"))
        self._body.rewind(self._offset)
        self._keep()
        return True

    def _arrived(self, answer: Answer, sent: int) -> int:
        """Return how many bytes the registry has by its answer; without a word of it, all."""
        end = _read_end(answer)
        if end is None or (end == 1 and self._offset == 0):  # 0-0 is one byte, or none
            return sent
        if not self._offset <= end <= sent:
            raise _LostUploadError from answer.error(
                f"it says that it has {end} bytes, of {self._offset} to {sent} that it can have"
            )
        return end

    def _is_without_chunks(self, err: HarborBackupError) -> bool:
        return (
            not self.is_taken
            and self._offset == 0
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
        self._tries.note(self._offset, err, min(asked or 0.0, _LONGEST_WAIT_SECONDS))
        try:
            self._ask(most)
        except _LostUploadError as lost:
            if lost.__cause__ is None:
                raise _LostUploadError from err
            if isinstance(lost.__cause__, HarborStatusError):
                lost.__cause__.hint = f"an upload that breaks has to start again there ({err})"
            raise
        self._body.rewind(self._offset)

    def _ask(self, most: int) -> None:
        """Ask the registry how much of the upload it has, at least `offset` and at most `most`."""
        try:
            answer = self._endpoint.request("GET", self._repository, self._location, writes=True)
        except (HarborNotFoundError, HarborRefusedError) as err:
            raise _LostUploadError from err
        end = _read_end(answer)
        if end == 1 and self._offset == 0:
            raise _LostUploadError  # 0-0 is one byte, or none: nothing is lost by beginning anew
        if answer.status != 204 or end is None or not self._offset <= end <= min(most, self._size):
            raise _LostUploadError from answer.error(
                "it does not say how much of the upload there is, or what cannot be. See what "
                "answers in the registry's place"
            )
        if answer.headers.get("Location"):
            self._location = upload_location(answer, self._endpoint.url, statuses=(204,))
        self._offset = end

    # -- the end

    def _conclude(self) -> bool:
        try:
            self._endpoint.conclude(self._repository, self._digest, self._location, b"", self._size)
        except HarborNotFoundError as err:
            # It may be there, if an answer was lost.
            if self._endpoint.has_blob(self._repository, self._digest, self._size):
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
