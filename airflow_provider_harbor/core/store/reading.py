"""Reading a file of a store over a line that breaks: it goes on where it was."""

from __future__ import annotations

import time
from collections.abc import Iterator

from airflow_provider_harbor.core.exceptions import StoreUnreachableError
from airflow_provider_harbor.core.oci.downloads import Tries
from airflow_provider_harbor.core.store.files import Files


class Reading:
    """A file that never changes, read over any number of connections, one at a time.

    Args:
        files: Of the store.
        path: Of the file.
        size_bytes: How long it is.
        opened: All of it, as it was opened; else it is opened when it is read.
    """

    def __init__(
        self, files: Files, path: str, size_bytes: int, opened: Iterator[bytes] | None = None
    ) -> None:
        self._files = files
        self._path = path
        self._size_bytes = size_bytes
        self._opened = opened

    def blocks(self, offset: int = 0) -> Iterator[bytes]:
        """Yield the file from a byte on.

        Raises:
            StoreUnreachableError: The storage breaks, too often without coming further.
            StoreError: It cannot be read.
        """
        opened, self._opened = self._opened, None
        return self._run(offset, None if offset else opened)

    def _run(self, position: int, blocks: Iterator[bytes] | None) -> Iterator[bytes]:
        tries = Tries(time.sleep)
        while position < self._size_bytes or blocks is not None:
            try:
                if blocks is None:
                    _, blocks = self._files.open_part(self._path, position, self._size_bytes)
                for block in blocks:
                    position += len(block)
                    yield block
                return
            except StoreUnreachableError as err:
                tries.note(position, err)
                blocks = None
