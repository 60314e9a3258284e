"""That the directory of a store is there, and the same as ever."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from airflow_provider_harbor.core.exceptions import StoreError, StoreReason


class Root:
    """A directory that must not go away, nor become another one.

    obstore would make it anew where it has gone, because a disk was unmounted, say, and a run would
    end there whose beginning is elsewhere. May be shared by threads.

    Args:
        path: Where it is.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._identity: tuple[int, int] | None = None

    def look(self, *, make: bool) -> None:
        """Make sure that it is there, and that it is the one that it was.

        Args:
            make: Whether it is made where it was never seen.

        Raises:
            StoreError: It has gone, or cannot be made.
            OSError: It was never there, or is no directory.
        """
        known = self._identity  # once: another thread may be about to set it
        if make and known is None:
            self._make()
        try:
            status = os.stat(self.path)
        except FileNotFoundError:
            if known is None:
                raise FileNotFoundError(self.path.as_uri()) from None
            raise self._missing("it is not there any more") from None
        if not stat.S_ISDIR(status.st_mode):
            raise NotADirectoryError(20, os.strerror(20), str(self.path))
        identity = (status.st_dev, status.st_ino)
        if known is not None and known != identity:
            raise self._missing("another directory is in its place")
        self._identity = identity

    def _make(self) -> None:
        try:
            # Not its parents: below a mount point that is misspelt, or where nothing is mounted, a
            # store would begin on the machine's own disk.
            self.path.mkdir(exist_ok=True)
        except FileNotFoundError:  # also where a file system makes no directories
            what = "the directory cannot be made"
            if not self.path.parent.is_dir():
                what = f"{what}, since {self.path.parent} is not there"
            raise self._missing(what) from None

    def _missing(self, what: str) -> StoreError:
        what = f"{what}. Is everything mounted?"
        return StoreError(StoreReason.MISSING, what, where=self.path.as_uri())
