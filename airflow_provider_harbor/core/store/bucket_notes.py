"""How far large uploads into a bucket have come: what a killed run leaves for the next one.

It is a cache. What cannot be read counts as nothing: then an upload begins anew.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

from airflow_provider_harbor.core.exceptions import (
    HarborBackupError,
    HarborConfigurationError,
    IntegrityError,
    StoreError,
)
from airflow_provider_harbor.core.store import layout
from airflow_provider_harbor.core.store.documents import SHAPE_ERRORS, dump, parse_object
from airflow_provider_harbor.core.store.files import Files
from airflow_provider_harbor.core.store.kept_sha256 import KeptSha256
from airflow_provider_harbor.core.store.leases import has_died, this_process

log = logging.getLogger(__name__)

# After so long without a word whoever sends a blob has ended, on whatever machine.
_STALE = timedelta(minutes=5)
# As of 10,000 parts.
_LONGEST_BYTES = 4 * 1024 * 1024
_UPLOAD_ID = re.compile(r"[!-~]{1,2000}")


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
        path: Where it is.
        content: What is in it, as far as this process knows.
        is_busy: Whether somebody else is at it, by what was read.
    """

    def __init__(self, files: Files, digest: str, size_bytes: int) -> None:
        self.digest = digest
        self.size_bytes = size_bytes
        self._files = files
        self.path = layout.unfinished(digest)
        self.content: bytes | None = None
        self.is_busy = False

    def read(self) -> Progress | None:
        """Return how far it has come; None where nothing is known, or somebody is at it.

        Raises:
            StoreError: The store cannot be read.
        """
        try:
            size_bytes, blocks = self._files.open(self.path)
            if size_bytes > _LONGEST_BYTES:
                raise ValueError("it is too long")
            self.content = b"".join(blocks)
            data = parse_object(self._files, self.path, self.content)
            progress = self._parse(data)
            age = datetime.now(timezone.utc) - datetime.fromisoformat(data["kept_at"])
            self.is_busy = _is_alive(str(data["process"]), age)
        except FileNotFoundError:
            return None
        except (HarborConfigurationError, IntegrityError, *SHAPE_ERRORS) as err:
            log.debug("%s: %s", self._files.url_of(self.path), err)
            return None
        return None if self.is_busy else progress

    def _parse(self, data: Mapping[str, Any]) -> Progress | None:
        """Return what is in a note; None where that is no upload of this blob, as it is sent now.

        Raises:
            Any of SHAPE_ERRORS: It is none at all.
        """
        progress = Progress(
            str(data["upload"]),
            int(data["part_bytes"]),
            tuple(map(str, data["etags"])),
            str(data["sha256_state"]),
            int(data["tries"]),
        )
        KeptSha256(progress.offset, progress.sha256_state)
        is_right = (
            (data["digest"], data["size_bytes"]) == (self.digest, self.size_bytes)
            and _UPLOAD_ID.fullmatch(progress.upload)
            and progress.offset <= self.size_bytes
            and progress.part_bytes == self._files.part_bytes(self.size_bytes)
            and progress.tries >= 0
        )
        return progress if is_right else None

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
            self.content = content
            return True
        return False

    def _replace(self, content: bytes) -> bool:
        try:
            if self.content is None:
                return self._files.create(self.path, content)
            return self._files.replace(self.path, self.content, content)
        except FileNotFoundError:
            return False

    def _is_there(self, content: bytes) -> bool:
        """Tell whether it was written, and only the answer was lost: then it was tried again."""
        try:
            return self._files.read(self.path) == content
        except FileNotFoundError:
            return False

    def read_upload(self) -> str:
        """Return the id of the upload that it is about now; empty where that cannot be read."""
        try:
            return upload_of(self._files, self.path)
        except StoreError:
            return ""

    def delete(self) -> None:
        """Delete it: the upload is over."""
        try:
            self._files.delete([self.path])
            self.content = None
        except (HarborBackupError, FileNotFoundError) as err:
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
        upload = str(json.loads(files.read(path))["upload"])
    except (FileNotFoundError, *SHAPE_ERRORS):
        return ""
    return upload if _UPLOAD_ID.fullmatch(upload) else ""
