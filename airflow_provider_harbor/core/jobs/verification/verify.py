"""Verify a backup store, and what can still be had of it: structure, content, source, mirror.

    structure   all that the snapshots name is there, with its size: by one listing of the pool
    content     the bytes of a part of the pool are what their names say
    source      what the newest snapshot lists, Harbor can serve
    mirror      the same of a mirror

Looked at are snapshots, results, inventories, contents and the pool. Reports, plans, restores and
what may be lost (see `store.layout`) are not: nothing depends on them.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone

from airflow_provider_harbor.core.exceptions import (
    HarborBackupError,
    HarborConfigurationError,
    IntegrityError,
    describe,
)
from airflow_provider_harbor.core.http.pace import DEFAULT_CEILING
from airflow_provider_harbor.core.http.urls import normalise_url
from airflow_provider_harbor.core.human import Progress, human_count
from airflow_provider_harbor.core.jobs.choosing import find_snapshot
from airflow_provider_harbor.core.jobs.side_by_side import PlaceStoppedError
from airflow_provider_harbor.core.jobs.verification.lists import Lists, ListsCheck
from airflow_provider_harbor.core.jobs.verification.pool import PoolCheck
from airflow_provider_harbor.core.jobs.verification.registry import RegistryCheck, RegistryUnderTest
from airflow_provider_harbor.core.jobs.verification.repair import Repairs
from airflow_provider_harbor.core.jobs.verification.report import (
    EVERYTHING,
    Damage,
    Findings,
    Kind,
    Part,
    Stage,
    VerifyReport,
)
from airflow_provider_harbor.core.jobs.verification.uses import UsesSearch
from airflow_provider_harbor.core.store import layout
from airflow_provider_harbor.core.store.backup_store import BackupStore
from airflow_provider_harbor.core.store.leases import Lease
from airflow_provider_harbor.core.store.snapshots import Snapshot

log = logging.getLogger(__name__)

# So many files are read side by side.
_FILES_AT_ONCE = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """What is to be verified.

    Attributes:
        run: Name of the verification: the name of its report, and of its leases.
        which: One snapshot, see `choosing.find_snapshot`; empty for all that are kept.
        part: Which part of the content is read, and asked for; None for the structure only. Of a
            registry all is asked for then.
        registries: The source and the mirror, as far as they are to be asked.
        repairs: Whether what is damaged is to be repaired.
        workers: How many manifests registries are asked for at once at most; files are read and
            repaired some at once only, since more do not make a disk or a processor faster.
        is_process: Whether the verification is this process, and ends with it.
    """

    store: BackupStore
    run: str
    which: str = ""
    part: Part | None = None
    registries: Sequence[RegistryUnderTest] = ()
    repairs: bool = False
    workers: int = DEFAULT_CEILING
    is_process: bool = False


def require_source(store: BackupStore, url: str) -> None:
    """Make sure that a registry is the Harbor whose backups a store has.

    Raises:
        HarborConfigurationError: It is another one.
    """
    wanted = store.harbor_url
    if normalise_url(url) != wanted:
        raise HarborConfigurationError(
            f"the source is {normalise_url(url)}, and the store {store.url} is that of {wanted}. "
            "Name that one; a registry that holds a copy is a mirror"
        )


def verify(wanted: Verification, *, progress: Progress | None = None) -> VerifyReport:
    """Verify a store, and repair it if that is wanted.

    Returns:
        The report. Whether something is damaged is for the caller to raise. A place that stops to
        answer, or Ctrl-C, ends one question; what was found by then is in the report.

    Raises:
        HarborConfigurationError: There is no store, or no snapshot in it, or none that fits.
        StoreError: The store cannot be read at all.
    """
    return _Verify(wanted, progress or (lambda text: None)).run()


class _Verify:
    def __init__(self, wanted: Verification, progress: Progress) -> None:
        self._wanted = wanted
        self._store = wanted.store
        self._progress = progress
        self._findings = Findings()
        self._stages: list[Stage] = []
        self._is_interrupted = False

    def run(self) -> VerifyReport:
        started_at = datetime.now(timezone.utc)
        harbor_url = self._read_store()
        keys = self._keys()
        check = ListsCheck(self._store, self._findings, self._progress)
        pool = PoolCheck(self._store, check.lists, self._findings, self._progress)
        with self._stage("structure") as stage:
            check.run(keys)
            pool.compare()
            stage.checked = len(check.lists.sizes)
            stage.what = (
                f"{human_count(len(check.lists.snapshots), 'snapshot')}, "
                f"{human_count(check.results, 'result')}, {human_count(check.read_lists, 'list')}, "
                f"and {human_count(len(check.lists.sizes), 'file')} that they name, among "
                f"{pool.files:,} in the pool"
            )
        if self._wanted.part and not self._has_stopped:
            with self._stage("content") as stage:
                # Where one snapshot is looked at, nobody knows what the others name.
                pool.read(
                    self._wanted.part,
                    min(self._wanted.workers, _FILES_AT_ONCE),
                    stage,
                    reads_unnamed=not self._wanted.which,
                )
        self._ask_registries(check.lists)
        self._conclude(check.lists)
        return VerifyReport(
            run=self._wanted.run,
            store_url=self._store.url,
            harbor_url=harbor_url,
            started_at=started_at,
            ended_at=datetime.now(timezone.utc),
            snapshots=tuple(snapshot.key for snapshot in check.lists.snapshots),
            part=self._wanted.part,
            stages=tuple(self._stages),
            damages=tuple(self._findings.damages.values()),
            notes=tuple(self._findings.notes),
            not_looked_at=tuple(self._findings.not_looked_at),
            is_interrupted=self._is_interrupted,
        )

    # -- what is there

    def _read_store(self) -> str:
        try:
            return self._store.harbor_url
        except IntegrityError as err:
            message = str(err).removeprefix(self._store.files.url_of(layout.STORE)).strip()
            self._findings.add(
                Damage(kind=Kind.STORE, where=self._store.url, thing=layout.STORE, message=message)
            )
            return ""

    def _keys(self) -> list[str]:
        """Return the keys of the runs that are looked at."""
        if self._wanted.which:
            key = find_snapshot(self._store, self._wanted.which).key
            self._findings.not_looked_at.append(f"snapshots other than {key}")
            return [key]
        keys = self._store.snapshots.list_keys()
        if not keys:
            raise HarborConfigurationError(
                f"the store {self._store.url} has no snapshot yet, so there is nothing to verify. "
                "Make a backup first"
            )
        return keys

    @property
    def _has_stopped(self) -> bool:
        return self._is_interrupted or any(s.error for s in self._stages if s.name == "structure")

    @contextmanager
    def _stage(self, name: str) -> Iterator[Stage]:
        """Note how far one question came, and what stopped it."""
        stage = Stage(name=name)
        self._stages.append(stage)
        began = time.monotonic()
        try:
            yield stage
        except PlaceStoppedError as err:
            stage.error = describe(err.cause)
        except HarborBackupError as err:
            stage.error = describe(err)
        except KeyboardInterrupt:
            self._is_interrupted = True
            stage.error = "it was told to stop"
        finally:
            stage.seconds = time.monotonic() - began

    # -- registries

    def _ask_registries(self, lists: Lists) -> None:
        snapshot = _newest(lists.snapshots)
        for registry in self._wanted.registries:
            if self._has_stopped or snapshot is None:
                self._findings.not_looked_at.append(f"the {registry.name} {registry.url}")
                continue
            if not snapshot.complete:
                self._findings.notes.append(
                    f"the {registry.name} was asked for what the partial snapshot {snapshot.key} "
                    "lists: there is no complete one"
                )
            check = RegistryCheck(registry, self._store, snapshot, self._findings, self._progress)
            with self._stage(registry.name) as stage:
                check.run(self._wanted.part or EVERYTHING, self._wanted.workers, stage)

    # -- the end

    def _conclude(self, lists: Lists) -> None:
        registries = self._wanted.registries
        with self._noting_interrupts():
            places = [self._store.url, *(registry.url for registry in registries)]
            UsesSearch(self._store, lists, self._progress).add_to(self._findings, places)
            workers = min(self._wanted.workers, _FILES_AT_ONCE)
            repairs = Repairs(
                self._store, lists, registries, self._findings, self._progress, workers
            )
            if self._wanted.repairs and self._findings.damages and not self._is_interrupted:
                with self._stage("repair") as stage:
                    repairs.run(self._lease, stage)
            repairs.look()
        self._say_what_was_not_looked_at(lists)

    def _lease(self, place: str) -> Lease:
        return self._store.lease(place, self._wanted.run, is_process=self._wanted.is_process)

    @contextmanager
    def _noting_interrupts(self) -> Iterator[None]:
        try:
            yield
        except KeyboardInterrupt:
            self._is_interrupted = True

    def _say_what_was_not_looked_at(self, lists: Lists) -> None:
        left_out = self._findings.not_looked_at
        part = self._wanted.part
        if part is None:
            left_out.append("the bytes of the pool: give a part, or all of it, to have them read")
        elif part.of > 1:
            left_out.append(f"the bytes of the other {part.of - 1:,} parts of {part.of:,}")
        names = {registry.name for registry in self._wanted.registries}
        if "source" not in names:
            left_out.append("whether the Harbor itself can serve what it lists: name it as source")
        mirrors = {s.destination for s in lists.snapshots if s.is_mirrored}
        if mirrors and "mirror" not in names:
            left_out.append(f"content that went to a mirror: {', '.join(sorted(mirrors))}")
        if lists.damaged:
            left_out.append(
                f"what only the {human_count(len(lists.damaged), 'damaged list')} named. Once "
                "repaired, verify again"
            )


def _newest(snapshots: Sequence[Snapshot]) -> Snapshot | None:
    """Return the newest complete snapshot, of all projects if there is one; else the newest."""
    complete = [snapshot for snapshot in snapshots if snapshot.complete]
    whole = [snapshot for snapshot in complete if not snapshot.limited_to]
    found = whole or complete or list(snapshots)
    return found[-1] if found else None
