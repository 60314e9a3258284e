"""How far large uploads into a bucket have come: what a killed run leaves for the next one.

It is a cache. What cannot be read counts as nothing: then an upload begins anew.
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

from airflow_provider_harbor.core.exceptions import (
    HarborBackupError,
    HarborConfigurationError,
    IntegrityError,
)
from airflow_provider_harbor.core.store import layout
from airflow_provider_harbor.core.store.documents import SHAPE_ERRORS, dump, parse_object
from airflow_provider_harbor.core.store.files import Files
from airflow_provider_harbor.core.store.kept_sha256 import KeptSha256
from airflow_provider_harbor.core.store.leases import has_died, this_process

log = logging.getLogger(__name__)

# After so long without a word whoever sends a blob has ended, on whatever machine.
_STALE = timedelta(minutes=15)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an upload has come.

    Attributes:
        upload: Its id.
        part_bytes: How long each part is, but the last one.
        etags: Entity tags of the parts that have arrived.
        sha256_state: Of SHA-256 behind them, see `KeptSha256.state`.
        tries: How often it was gone on with since a part arrived.
    """

    upload: str
    part_bytes: int
    etags: tuple[str, ...] = ()
    sha256_state: str = ""
    tries: int = 0

    @property
    def offset(self) -> int:
        """How many bytes have arrived."""
        return len(self.etags) * self.part_bytes


class Note:
    """The file that says how far the upload of a blob has come.

    Of several writers one at a time succeeds.

    Args:
        files: Of the store.
        digest: Of the blob.
        size_bytes: How long the blob is.

    Attributes:
        is_busy: Whether somebody else is at it, by what was read.
    """

    def __init__(self, files: Files, digest: str, size_bytes: int) -> None:
        self.digest = digest
        self.size_bytes = size_bytes
        self._files = files
        self._path = layout.unfinished(digest)
        self._content: bytes | None = None
        self.is_busy = False

    def read(self) -> Progress | None:
        """Return how far it has come; None where nothing is known, or somebody is at it.

        Raises:
            StoreError: The store cannot be read.
        """
        try:
            self._content = self._files.read(self._path)
            data = parse_object(self._files, self._path, self._content)
            progress = Progress(
                str(data["upload"]),
                int(data["part_bytes"]),
                tuple(map(str, data["etags"])),
                str(data["sha256_state"]),
                int(data["tries"]),
            )
            age = datetime.now(timezone.utc) - datetime.fromisoformat(data["kept_at"])
            process = str(data["process"])
            is_of_it = (data["digest"], data["size_bytes"]) == (self.digest, self.size_bytes)
            KeptSha256(progress.offset, progress.sha256_state)
        except FileNotFoundError:
            return None
        except (HarborConfigurationError, IntegrityError, *SHAPE_ERRORS) as err:
            log.debug("%s: %s", self._files.url_of(self._path), err)
            return None
        self.is_busy = _is_alive(process, age)
        is_possible = (
            is_of_it
            and progress.upload != ""
            and progress.offset <= self.size_bytes
            and progress.part_bytes == self._files.part_bytes(self.size_bytes)
        )
        return progress if is_possible and not self.is_busy else None

    def write(self, progress: Progress, *, is_over: bool = False) -> bool:
        """Keep how far it has come; False where somebody else has taken it over.

        Args:
            progress: What to keep.
            is_over: Whether this process does not go on with it.

        Raises:
            StoreError: It cannot be written.
        """
        content = dump(
            {
                "digest": self.digest,
                "size_bytes": self.size_bytes,
                "upload": progress.upload,
                "part_bytes": progress.part_bytes,
                "etags": list(progress.etags),
                "sha256_state": progress.sha256_state,
                "tries": progress.tries,
                "process": "" if is_over else this_process(),
                "kept_at": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            }
        )
        if self._replace(content) or self._is_there(content):
            self._content = content
            return True
        return False

    def _replace(self, content: bytes) -> bool:
        if self._content is None:
            return self._files.create(self._path, content)
        try:
            return self._files.replace(self._path, self._content, content)
        except FileNotFoundError:
            return False

    def _is_there(self, content: bytes) -> bool:
        """Tell whether it was written, and only the answer was lost: then it was tried again."""
        try:
            return self._files.read(self._path) == content
        except FileNotFoundError:
            return False

    def delete(self) -> None:
        """Delete it: the upload is over."""
        try:
            self._files.delete([self._path])
            self._content = None
        except HarborBackupError as err:
            # Who backs up need not be able to delete. The bucket does not know that upload.
            log.debug("an upload that is over stays noted: %s", err)


def _is_alive(process: str, age: timedelta) -> bool:
    """Tell whether somebody else may be at an upload."""
    if not process or process == this_process() or has_died(process):
        return False
    return abs(age) < _STALE


def upload_of(files: Files, path: str) -> str:
    """Return the id of the upload that a file is about; empty where that cannot be read."""
    try:
        return str(json.loads(files.read(path))["upload"])
    except (FileNotFoundError, *SHAPE_ERRORS):
        return ""
