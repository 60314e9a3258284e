"""Copy blobs between places: each is fetched once, hashed on the way, and never spooled."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping

from airflow_provider_harbor.core.copy.places import Place, Source
from airflow_provider_harbor.core.copy.shared import Homes, Shared
from airflow_provider_harbor.core.exceptions import (
    HarborAuthError,
    HarborConnectionError,
    MissingContentError,
    NotTriedError,
)
from airflow_provider_harbor.core.http.attempts import attempt
from airflow_provider_harbor.core.locks import KeyedLocks
from airflow_provider_harbor.core.oci.blob_reader import BlobReader
from airflow_provider_harbor.core.oci.manifest import Descriptor

log = logging.getLogger(__name__)


class _CountingReader:
    """A blob's reader that tells what passes, and ends when the copying was stopped.

    What passes again, since it did not arrive, is not told again.
    """

    def __init__(self, reader: BlobReader, on_block: Callable[[int], None]) -> None:
        self._reader = reader
        self._on_block = on_block
        self._position = self._told = 0

    def __len__(self) -> int:
        return len(self._reader)

    def read(self, size: int = -1, /) -> bytes:
        block = self._reader.read(size)
        self._position += len(block)
        self._on_block(max(self._position - self._told, 0))
        self._told = max(self._position, self._told)
        return block

    @property
    def can_reread(self) -> bool:
        return self._reader.can_reread

    def rewind(self, offset: int) -> None:
        self._reader.rewind(offset)
        self._position = offset

    def begin_at(self, offset: int) -> None:
        self._reader.begin_at(offset)
        self._position = self._told = offset


class BlobCopier:
    """Copies blobs between two places. May be shared by threads.

    A blob that several repositories need is sent to the first of them; the others take it over
    from there at the destination (a mount), so that the source is asked for it once.

    Args:
        source: Where blobs are.
        destination: Where they go.
        shared: What it shares with copies that go on beside it.
        on_bytes: Called with the number of bytes of each block that was sent.
        sleep: What waits between attempts.
    """

    def __init__(
        self,
        source: Source,
        destination: Place,
        *,
        shared: Shared | None = None,
        on_bytes: Callable[[int], None] = lambda number: None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._source = source
        self._destination = destination
        self._on_bytes = on_bytes
        self._sleep = sleep
        self._lock = threading.Lock()
        self._locks = shared.locks if shared else KeyedLocks()
        # What a registry takes over from one of its repositories it has. A store is looked into by
        # each copy: what another one has seen there may have been pruned before this one began.
        self._homes = shared.homes if shared and not destination.shares_content else Homes()
        self._numbers: Counter[str] = Counter()
        self._is_stopped = False

    @property
    def numbers(self) -> Mapping[str, int]:
        """How many blobs were `copied`, `mounted`, `present`, `foreign`, and how many `bytes`."""
        return self._numbers

    def stop(self) -> None:
        """Have what is on its way end with its next block."""
        self._is_stopped = True

    def copy(
        self, repository: str, blob: Descriptor, *, is_new: bool = False, force: bool = False
    ) -> bool:
        """Make sure that a blob is in a repository of the destination.

        Args:
            repository: Full name, the same at both ends.
            blob: What to copy.
            is_new: Whether nothing can be in the destination's repository, so that nothing is
                asked.
            force: Send it even if the destination says that it has it.

        Returns:
            Whether it is there; False for a layer that a registry need not hold, where the source
            does not hold it.

        Raises:
            MissingContentError: The source does not have it any more.
            HarborBackupError: Whatever else went wrong, after several attempts where that helps.
        """
        with self._locks.holding(blob.digest):
            how = self._copy(repository, blob, is_new, force)
            if how != "foreign":
                self._homes.add(blob, repository)
        self._count(how)
        return how != "foreign"

    def _copy(self, repository: str, blob: Descriptor, is_new: bool, force: bool) -> str:
        if not force:
            home = self._homes.find(blob)
            if home and self._destination.take_over(repository, blob.digest, home):
                return "mounted"
            may_be_there = not is_new or self._destination.shares_content
            if may_be_there and self._destination.has_blob(repository, blob):
                return "present"
        try:
            return self._send_if_held(repository, blob, force)
        except MissingContentError:
            if not blob.is_foreign_layer:
                raise
            log.warning("%s: foreign layer %s is not in the source", repository, blob.digest)
            return "foreign"

    def _send_if_held(self, repository: str, blob: Descriptor, force: bool) -> str:
        try:
            return self._send_somehow(repository, blob, force)
        except HarborAuthError as err:
            # The token was good for opening the upload, so it ended, or was forgotten, since: a
            # proxy may check it only when it has all of a long upload. The next one is new.
            if err.status != 401 or err.method != "PUT" or self._is_stopped:
                raise
            log.info("%s. Trying again", err)
            return self._send_somehow(repository, blob, force)

    def _send_somehow(self, repository: str, blob: Descriptor, force: bool) -> str:
        tries = came_to_nothing = 0

        def send() -> str:
            nonlocal tries, came_to_nothing
            tries += 1
            # Only the answer may have been lost, or may have come too late: a registry can be busy
            # with a large blob for minutes after it has all of it.
            is_again = tries > 1 and not force
            if is_again and self._destination.has_blob(repository, blob):
                return "copied"
            try:
                return self._send(repository, blob)
            except HarborConnectionError as err:
                came_to_nothing += err.received_bytes == 0
                raise

        try:
            return attempt(send, sleep=self._sleep, goes_on=lambda: not self._is_stopped)
        except HarborConnectionError as err:
            # Of a layer whose file is gone Harbor's cache still knows the length: it answers 200,
            # and then not one byte comes, each time. Seen on Harbor 2.15.2.
            if came_to_nothing < tries or tries == 1:
                raise
            raise self._source.lacks(repository, blob.digest) from err

    def _send(self, repository: str, blob: Descriptor) -> str:
        with self._source.open_blob(repository, blob) as reader:
            counting = _CountingReader(reader, self._on_block)
            self._destination.put_blob(repository, blob, counting)
        return "copied"

    def _on_block(self, number: int) -> None:
        if self._is_stopped:
            raise NotTriedError("the run was stopped")
        self._count("bytes", number)
        self._on_bytes(number)

    def _count(self, name: str, number: int = 1) -> None:
        with self._lock:
            self._numbers[name] += number
