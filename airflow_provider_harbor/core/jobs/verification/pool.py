"""Verify the pool of a store: is all there that the lists name, and is it what its name says?"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass

from airflow_provider_harbor.core.exceptions import StoreError, StoreReason
from airflow_provider_harbor.core.human import Progress, human_count, human_size
from airflow_provider_harbor.core.jobs.side_by_side import FailuresInARow
from airflow_provider_harbor.core.jobs.verification.lists import Lists
from airflow_provider_harbor.core.jobs.verification.report import (
    Damage,
    Findings,
    Kind,
    Part,
    Stage,
)
from airflow_provider_harbor.core.oci.names import pack_digest, unpack_digest
from airflow_provider_harbor.core.side_by_side import do_all
from airflow_provider_harbor.core.store import layout
from airflow_provider_harbor.core.store.backup_store import BackupStore
from airflow_provider_harbor.core.store.pool_files import hash_blob, iter_pool

_SHOWN_FOREIGN = 3
_TOLD_EVERY = 10_000
# Where more is missing, it is not because of something that goes on beside this.
_ASKED_FOR = 1_000
_BELIEVED = ". No snapshot names it, but the next backup would take it for what its name says"


@dataclass(frozen=True, slots=True)
class _Blob:
    """A file of the pool that is to be read."""

    digest: str
    size_bytes: int
    is_named: bool


class PoolCheck:
    """Looks at the pool, and notes what is wrong with it.

    Args:
        store: The store.
        lists: What its snapshots name.
        findings: Where to.
        progress: Called with a line of text now and then.
    """

    def __init__(
        self, store: BackupStore, lists: Lists, findings: Findings, progress: Progress
    ) -> None:
        self._store = store
        self._lists = lists
        self._findings = findings
        self._progress = progress
        self._lock = threading.Lock()
        self._failures: FailuresInARow[_Blob] = FailuresInARow()
        # What no snapshot names, by the bytes of its digest.
        self._unnamed: dict[bytes, int] = {}
        self._known: list[Damage] = []
        self._to_read: list[tuple[dict[bytes, int], bool]] = []
        self.files = 0

    # -- structure

    def compare(self) -> None:
        """List the pool once, and compare it with what is named."""
        missing = dict(self._lists.sizes)
        foreign: list[str] = []
        foreign_files = 0
        for entry in iter_pool(self._store.files):
            self.files += 1
            if self.files % _TOLD_EVERY == 0:
                self._progress(f"{human_count(self.files, 'file')} of the pool listed")
            if not entry.digest:
                foreign_files += 1
                foreign += [entry.path] if len(foreign) < _SHOWN_FOREIGN else []
                continue
            key = pack_digest(entry.digest)
            wanted_bytes = missing.pop(key, None)
            if wanted_bytes is None:
                self._unnamed[key] = entry.size_bytes
            elif wanted_bytes != entry.size_bytes:
                self._wrong_size(entry.digest, wanted_bytes, entry.size_bytes)
        # A repair beside this may have written some since the list began.
        are_asked_for = len(missing) <= _ASKED_FOR
        if missing and not self.files:
            raise StoreError(
                StoreReason.MISSING,
                f"there is no file, and the lists name {len(missing):,}. Is everything mounted?",
                where=self._store.files.url_of(layout.POOL),
            )
        for key, size_bytes in sorted(missing.items()):
            self._missing(unpack_digest(key), size_bytes, is_asked_for=are_asked_for)
        self._note_others(foreign_files, foreign)

    def _missing(self, digest: str, size_bytes: int, *, is_asked_for: bool = True) -> None:
        if not is_asked_for or self._store.files.size(layout.blob(digest)) != size_bytes:
            self._damage(Kind.MISSING, digest, "it is gone from the pool", size_bytes)

    def _wrong_size(self, digest: str, wanted_bytes: int, found_bytes: int) -> None:
        message = f"it has {found_bytes:,} bytes in the pool, and should have {wanted_bytes:,}"
        self._damage(Kind.WRONG_SIZE, digest, message, wanted_bytes)

    def _note_others(self, foreign_files: int, foreign: list[str]) -> None:
        notes = self._findings.notes
        if self._unnamed:
            size = human_size(sum(self._unnamed.values()))
            notes.append(
                f"{human_count(len(self._unnamed), 'file')} of the pool ({size}) are named by no "
                "snapshot that was looked at: of runs that go on, that were cut short, or were "
                "forgotten"
            )
        if foreign_files:
            shown = ", ".join(foreign) + (", ..." if foreign_files > len(foreign) else "")
            notes.append(
                f"{human_count(foreign_files, 'file')} in the pool whose names are no digests, put "
                f"there by something else: {shown}. They do no harm"
            )

    # -- content

    def read(self, part: Part, workers: int, stage: Stage, *, reads_unnamed: bool = True) -> None:
        """Read and hash a part of the pool; what is known to be damaged is not read again.

        Args:
            part: Which.
            reads_unnamed: Whether files are read that no snapshot which was looked at names.
            workers: How many files are read side by side.
            stage: Where it is noted how far it came.

        Raises:
            PlaceStoppedError: The store does not answer any more. What was found is noted.
        """
        self._known = self._findings.of(self._store.url)
        self._to_read = [(self._lists.sizes, True)]
        if reads_unnamed:
            self._to_read.append((self._unnamed, False))
        total = human_count(sum(1 for _ in self._iter_part(part)), "file")

        def read(blob: _Blob) -> None:
            size_bytes = self._read(blob)
            with self._lock:
                stage.checked += 1
                stage.checked_bytes += size_bytes
            self._progress(
                f"{stage.checked:,} of {total} read and hashed, {human_size(stage.checked_bytes)}"
            )

        is_over = False
        try:
            do_all(self._iter_part(part), read, workers, "hash")
            is_over = True
        finally:
            for blob, err in self._failures.own(is_over=is_over):
                self._damage(
                    Kind.UNREADABLE, blob.digest, f"it cannot be read: {err}", blob.size_bytes
                )
            stage.what = (
                f"{stage.checked:,} of {total}{part.suffix} read and hashed "
                f"({human_size(stage.checked_bytes)})"
            )

    def _iter_part(self, part: Part) -> Iterator[_Blob]:
        known = frozenset(damage.thing for damage in self._known)
        for sizes, is_named in self._to_read:
            for key, size_bytes in sizes.items():
                if part.covers(key) and (digest := unpack_digest(key)) not in known:
                    yield _Blob(digest, size_bytes, is_named)

    def _read(self, blob: _Blob) -> int:
        try:
            size_bytes, actual = hash_blob(self._store.files, blob.digest)
        except FileNotFoundError:
            if blob.is_named:  # what nothing names may be taken away meanwhile
                self._missing(blob.digest, blob.size_bytes)
            return 0
        except StoreError as err:
            self._failures.failed(blob, err)
            return 0
        self._failures.succeeded()
        if actual != blob.digest:
            unnamed = "" if blob.is_named else _BELIEVED
            self._damage(
                Kind.WRONG_CONTENT,
                blob.digest,
                f"its {size_bytes:,} bytes are {actual}{unnamed}",
                blob.size_bytes,
            )
        elif size_bytes != blob.size_bytes:
            self._wrong_size(blob.digest, blob.size_bytes, size_bytes)
        return size_bytes

    def _damage(self, kind: Kind, digest: str, message: str, size_bytes: int) -> None:
        self._findings.add(
            Damage(
                kind=kind,
                where=self._store.url,
                thing=digest,
                message=message,
                size_bytes=size_bytes,
            )
        )
