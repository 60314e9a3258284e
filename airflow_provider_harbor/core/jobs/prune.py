"""Delete what nothing in a store names any more; in two steps, so that nobody loses anything.

What is not named is marked with the time. What has been marked for the grace, is still not named
and was not written since is deleted, see `layout` under "Deleting".
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone

from airflow_provider_harbor.core.exceptions import (
    HarborBackupError,
    HarborConfigurationError,
    IntegrityError,
    LeaseError,
    StoreError,
    StoreReason,
)
from airflow_provider_harbor.core.human import Progress, human_count, human_size
from airflow_provider_harbor.core.jobs.rights import deleting
from airflow_provider_harbor.core.store import layout
from airflow_provider_harbor.core.store.backup_store import BackupStore
from airflow_provider_harbor.core.store.files import Entry
from airflow_provider_harbor.core.store.leases import Lease
from airflow_provider_harbor.core.store.reach import Reach
from airflow_provider_harbor.core.store.sweeps import OVER, Mark, Sweep
from airflow_provider_harbor.core.store.upload_files import LIFE

GRACE = timedelta(hours=48)
LIMIT_PERCENT = 30.0
# Deleted in this order: what names something before what it names.
KINDS = ("latest", "plans", "reports", "contents", "inventories", "settings", "blobs")
_SHAPES: Mapping[str, re.Pattern[str]] = {
    "latest": re.compile(r"latest/[^/]+\.json"),
    "plans": re.compile(r"plans/[^/]+/[^/]+\.jsonl\.gz"),
    "reports": re.compile(r"reports/[^/]+\.(?:json|html)"),
    "contents": re.compile(r"contents/[^/]+/[0-9a-f]{64}\.jsonl\.gz"),
    "inventories": re.compile(r"inventories/[^/]+/[0-9a-f]{64}\.jsonl\.gz"),
    "settings": re.compile(r"settings/[0-9a-f]{64}\.json"),
    "blobs": re.compile(r"blobs/(?:sha256/[0-9a-f]{64}|sha512/[0-9a-f]{128})"),
}
_AT_ONCE = 1_000
# After half of the time after which others take a sweep for dead it deletes no more.
_LONGEST_SWEEP_SECONDS = 1_800.0
_PLACE = "prune"


@dataclass(slots=True)
class Amount:
    """A number of files, and their bytes."""

    files: int = 0
    size_bytes: int = 0

    def add(self, size_bytes: int) -> None:
        """Add a file."""
        self.files += 1
        self.size_bytes += size_bytes

    def __str__(self) -> str:
        return f"{human_count(self.files, 'file')} ({human_size(self.size_bytes)})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """What was found of one kind of files.

    Attributes:
        there: All.
        named: Reached by snapshots, results and pointers.
        marked: Not named; deleted when it has been marked for the grace.
        deleted: Not named for the grace: it is deleted now; in a dry run, it would be.
    """

    there: Amount = field(default_factory=Amount)
    named: Amount = field(default_factory=Amount)
    marked: Amount = field(default_factory=Amount)
    deleted: Amount = field(default_factory=Amount)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruned:
    """What a prune came to.

    Attributes:
        tallies: By kind, see `KINDS`.
        leftovers: Files of writers that were killed, deleted now.
        foreign: Files that are none of this program's; they are left alone.
        next_at: When the first of what is marked may be deleted; None where nothing is.
        dry_run: Whether it was only found out.
    """

    tallies: Mapping[str, Tally]
    leftovers: Amount
    foreign: tuple[str, ...]
    next_at: datetime | None
    dry_run: bool

    def total(self, name: str) -> Amount:
        """Return one of the amounts of `Tally`, over all kinds."""
        amounts = [getattr(tally, name) for tally in self.tallies.values()]
        return Amount(sum(a.files for a in amounts), sum(a.size_bytes for a in amounts))

    def summary_line(self) -> str:
        """Return it as a sentence."""
        did = "Would delete" if self.dry_run else "Deleted"
        text = f"{did} {self.total('deleted')}; {self.total('named')} named"
        if self.next_at:
            text += (
                f"; {self.total('marked')} not named any more, deleted from "
                f"{self.next_at.astimezone(timezone.utc):%Y-%m-%d %H:%M} UTC on"
            )
        return text


def prune(
    store: BackupStore,
    run: str,
    *,
    grace: timedelta = GRACE,
    limit_percent: float = LIMIT_PERCENT,
    dry_run: bool = False,
    is_process: bool = True,
    progress: Progress | None = None,
) -> Pruned:
    """Delete what nothing names any more.

    Args:
        store: Of which store.
        run: Name of this prune; one at a time works on a store.
        grace: How long a file must have been marked.
        limit_percent: It refuses where more of the pool than this would go, in files or in bytes.
        dry_run: Find out what would be deleted, and change nothing.
        is_process: Whether the run is this process, and ends with it.
        progress: Called with a line of text, often.

    Raises:
        HarborConfigurationError: There is no store; or more than the limit would go.
        IntegrityError: Something that names other files cannot be read.
        LeaseError: Another prune works on the store.
        StoreError: It cannot be read or written, or may not be deleted from.
    """
    if grace < timedelta(0):
        raise HarborConfigurationError("the grace is negative")
    if not 0 <= limit_percent <= 100:
        raise HarborConfigurationError(f"the limit is {limit_percent}, not a percentage")
    _ = store.harbor_url  # that it is a store
    with ExitStack() as opened:
        lease = None
        if not dry_run:
            lease = store.lease(_PLACE, run, is_process=is_process)
            opened.callback(lease.release)
            opened.enter_context(lease)
        return _Prune(store, lease, grace, limit_percent, progress).run()


class _Prune:
    """One prune; without a lease it is a dry run."""

    def __init__(
        self,
        store: BackupStore,
        lease: Lease | None,
        grace: timedelta,
        limit_percent: float,
        progress: Progress | None,
    ) -> None:
        self._store = store
        self._lease = lease
        self._grace = grace
        self._limit_percent = limit_percent
        self._tell: Callable[[str], None] = progress or (lambda text: None)
        self._reach = Reach(store.files, store.inventories, self._tell)
        self._tallies = {kind: Tally() for kind in KINDS}
        self._foreign: list[str] = []
        self._unnamed: list[Entry] = []
        self._own_marks: set[str] = set()

    def run(self) -> Pruned:
        dry_run = self._lease is None
        now = datetime.now(timezone.utc) if dry_run else self._store.now()
        before = self._store.sweeps.read()
        if not self._store.sweeps.is_over(before, now):
            raise LeaseError(
                f"somebody on {before.host} deletes from {self._store.url} since "
                f"{before.announced_at}. Run it again when that has ended; if it was killed, in an "
                "hour",
                host=before.host,
            )
        self._reach.look()
        self._list()
        self._check_limit()
        marks = self._marks(before, now)
        due = {p: mark for p, mark in marks.items() if now - mark.since >= self._grace}
        left = Amount()
        if dry_run:
            deleted = set(due)
        else:
            deleted = self._sweep(before, marks, due)
            with deleting(self._store):
                left = self._delete_leftovers(now)
                self._tidy(before, now)
        for entry in self._unnamed:
            tally = self._tallies[entry.path.split("/")[0]]
            (tally.deleted if entry.path in deleted else tally.marked).add(entry.size_bytes)
        waiting = [mark.since + self._grace for p, mark in marks.items() if p not in deleted]
        return Pruned(
            tallies=self._tallies,
            leftovers=left,
            foreign=tuple(sorted(self._foreign)),
            next_at=min(waiting, default=None),
            dry_run=dry_run,
        )

    # -- what is there

    def _list(self) -> None:
        number = 0
        for kind in KINDS:
            for entry in self._store.files.iter_files(kind):
                number += 1
                self._tell(f"what is there: {number:,} files")
                if not _SHAPES[kind].fullmatch(entry.path):
                    self._foreign.append(entry.path)
                    continue
                self._tallies[kind].there.add(entry.size_bytes)
                if self._is_named(kind, entry.path):
                    self._tallies[kind].named.add(entry.size_bytes)
                else:
                    self._unnamed.append(entry)

    def _is_named(self, kind: str, path: str) -> bool:
        if kind == "reports":
            name = path.split("/")[1].rpartition(".")[0]
            return self._reach.has_run(name.removesuffix(layout.OF_TOLD))
        if kind == "plans":
            return self._reach.has_run(path.split("/")[1])
        return self._reach.has(path)

    def _check_limit(self) -> None:
        there, named = self._tallies["blobs"].there, self._tallies["blobs"].named
        going = Amount(there.files - named.files, there.size_bytes - named.size_bytes)
        percent = 100 * max(
            going.files / max(there.files, 1), going.size_bytes / max(there.size_bytes, 1)
        )
        if percent > self._limit_percent:
            raise HarborConfigurationError(
                f"no snapshot names {going} of {there} in the pool of {self._store.url}: "
                f"{percent:.0f} %, more than the limit of {self._limit_percent:g} %. Nothing was "
                "marked or deleted. If that is right, for instance after many nights were "
                "forgotten, raise the limit"
            )

    # -- what is marked

    def _marks(self, before: Sweep, now: datetime) -> dict[str, Mark]:
        """Return the marks of all that is not named: as old as they are, or from now on."""
        since: dict[str, datetime] = {}
        try:
            since = {mark.path: mark.since for mark in self._store.sweeps.iter_marks(before)}
        except IntegrityError:
            self._tell("the marks cannot be read, and are made again")
        marks = {}
        for entry in self._unnamed:
            at = since.get(entry.path, now)
            # Written since; or the clock was ahead when it was marked.
            if entry.modified >= at or at > now:
                at = now
            marks[entry.path] = Mark(entry.path, at)
        return marks

    # -- what is deleted

    def _sweep(self, before: Sweep, marks: Mapping[str, Mark], due: Mapping[str, Mark]) -> set[str]:
        """Mark, and delete what is due; returns what was deleted."""
        sweeps = self._store.sweeps
        if not due:
            # As long as one of a killed prune is said to go on, backups look twice.
            sweeps.end(before, marks.values())
            return set()
        doomed = [Mark(m.path, m.since, m.path in due) for m in marks.values()]
        sweep = sweeps.announce(before, doomed)
        self._own_marks.add(layout.marks(sweep.marks))
        deadline = time.monotonic() + _LONGEST_SWEEP_SECONDS
        deleted: set[str] = set()
        # Whether the storage may go on deleting, since it did not say how it ended.
        is_unsure = False
        try:
            self._tell("what is named: once more")
            self._reach.look()
            for batch in self._batches(due):
                self._tell(f"deleting: {len(deleted):,} of {len(due):,} files")
                if time.monotonic() > deadline:
                    break
                self._check_that_it_is_mine(sweep)
                is_unsure = True
                with deleting(self._store):
                    self._store.files.delete(batch)
                is_unsure = False
                deleted.update(batch)
        except BaseException as err:
            if isinstance(err, StoreError) and err.reason is not StoreReason.DENIED and is_unsure:
                raise
            # Nobody need wait for this one any more.
            with suppress(HarborBackupError):
                self._end(sweep, marks, deleted)
            raise
        self._end(sweep, marks, deleted)
        return deleted

    def _batches(self, due: Mapping[str, Mark]) -> Iterator[Sequence[str]]:
        for kind in KINDS:
            paths = [p for p in sorted(due) if p.startswith(f"{kind}/")]
            paths = [p for p in paths if not self._is_named(kind, p)]
            for at in range(0, len(paths), _AT_ONCE):
                yield paths[at : at + _AT_ONCE]

    def _check_that_it_is_mine(self, sweep: Sweep) -> None:
        if self._lease:
            self._lease.check()
        if not self._store.sweeps.is_current(sweep):
            raise LeaseError("another prune has taken over, since this one was not heard of")

    def _end(self, sweep: Sweep, marks: Mapping[str, Mark], deleted: set[str]) -> None:
        self._store.sweeps.end(sweep, [m for m in marks.values() if m.path not in deleted])

    # -- what nobody can see

    def _delete_leftovers(self, now: datetime) -> Amount:
        amount = Amount()
        for entry in list(self._store.files.iter_leftovers()):
            if now - entry.modified > self._grace:
                self._store.files.delete_leftover(entry.path)
                amount.add(entry.size_bytes)
        return amount

    def _tidy(self, before: Sweep, now: datetime) -> None:
        """Delete old files of marks and of uploads, old uploads, and directories that are empty."""
        files = self._store.files
        current = layout.marks(self._store.sweeps.read().marks)
        # Another one that is young may be that of a prune which took this one for dead.
        old = [
            entry.path
            for entry in files.iter_files(layout.MARKS)
            if entry.path in self._own_marks | {layout.marks(before.marks)}
            or now - entry.modified > OVER
        ]
        old = [path for path in old if path != current]
        # What a registry has forgotten by now.
        old += [e.path for e in files.iter_files(layout.UPLOADS) if now - e.modified > LIFE]
        if old:
            files.delete(old)
        self._store.pool.forget_unfinished(now - LIFE)
        emptied = ("plans", "contents", "inventories", layout.UPLOADS)
        for kind in (layout.MARKS, *emptied):
            files.delete_empty_directories(kind)
