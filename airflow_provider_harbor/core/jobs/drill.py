"""Restore a sample into a scratch project of a Harbor, compare it byte for byte, and remove it.

The sample is drawn at random from the repositories of a snapshot. What comes back is listed by
Harbor as a backup lists it (digests, tags, children, signatures and what they belong to), and every
byte of it is read back and hashed.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone

from airflow_provider_harbor.core.copy.outcome import Status, Tally
from airflow_provider_harbor.core.copy.places import Place
from airflow_provider_harbor.core.copy.plan import TagRule, iter_plans
from airflow_provider_harbor.core.copy.registry_places import HarborPlace, HeldView
from airflow_provider_harbor.core.copy.store_place import StorePlace
from airflow_provider_harbor.core.copy.transfer import Transfer
from airflow_provider_harbor.core.exceptions import (
    HarborBackupError,
    HarborConfigurationError,
    describe,
)
from airflow_provider_harbor.core.harbor.inventory import InventoryWalk
from airflow_provider_harbor.core.harbor.records import Record
from airflow_provider_harbor.core.harbor.scratch import ScratchProject
from airflow_provider_harbor.core.http.attempts import attempt
from airflow_provider_harbor.core.http.pace import DEFAULT_CEILING
from airflow_provider_harbor.core.human import Progress, human_count, human_size
from airflow_provider_harbor.core.jobs.drill_report import DrillReport
from airflow_provider_harbor.core.jobs.side_by_side import ask_all
from airflow_provider_harbor.core.oci.manifest import Descriptor
from airflow_provider_harbor.core.oci.names import is_project_name
from airflow_provider_harbor.core.store.backup_store import BackupStore
from airflow_provider_harbor.core.store.inventories import Content
from airflow_provider_harbor.core.store.known import Held
from airflow_provider_harbor.core.store.snapshots import Snapshot

log = logging.getLogger(__name__)

_BLOCK_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Drill:
    """What is to be tried.

    Attributes:
        run: Name of the drill.
        snapshot: Of which night.
        place: The Harbor to restore to.
        project: Name of the scratch project; there must be none of this name.
        sample: How many repositories.
        seed: What they are drawn with.
        workers: At most so many manifests, and so many blobs, are on their way at once.
        is_process: Whether the drill is this process, and ends with it.
        sleep: What waits between attempts, in seconds.
    """

    store: BackupStore
    run: str
    snapshot: Snapshot
    place: Place
    project: str
    sample: int = 5
    seed: int
    workers: int = DEFAULT_CEILING
    is_process: bool = False
    sleep: Callable[[float], None] = time.sleep


def drill(wanted: Drill, *, progress: Progress | None = None) -> DrillReport:
    """Restore a sample, compare it, and remove it.

    Returns:
        The report, also where something did not come back as it was, or the scratch project could
        not be removed. Ctrl-C ends it early; the project is removed then, too.

    Raises:
        HarborConfigurationError: Nothing was begun: the place is no Harbor, the project is there
            already, the login may not remove what it makes, or the snapshot has nothing to restore.
        LeaseError: Another run writes to the Harbor from the same store.
    """
    return _Drill(wanted, progress or (lambda text: None)).run()


@dataclass(slots=True)
class _Wanted:
    """One repository of the sample: what is to be there, under its new name."""

    records: list[Record]
    contents: dict[str, Content] = field(default_factory=dict)


class _Drill:
    def __init__(self, wanted: Drill, progress: Progress) -> None:
        if wanted.sample < 1:
            raise HarborConfigurationError(
                f"the sample is {wanted.sample}, and has to be 1 or more"
            )
        if not is_project_name(wanted.project):
            raise HarborConfigurationError(
                f"{wanted.project!r} is not a name that a project can have"
            )
        if not isinstance(wanted.place, HarborPlace):
            raise HarborConfigurationError(
                f"{wanted.place.url} is no Harbor, but a {wanted.place.kind}: a drill makes a "
                "project and removes it, which only a Harbor can"
            )
        self._wanted = wanted
        self._place = wanted.place
        self._progress = progress
        self._lock = threading.Lock()
        self._failures: list[str] = []
        self._not_restored: set[tuple[str, str]] = set()
        self._blobs: dict[str, tuple[str, Descriptor]] = {}
        self._read_bytes = 0
        self._read_blobs = 0

    def run(self) -> DrillReport:
        wanted = self._wanted
        started_at = datetime.now(timezone.utc)
        names = sorted(self._iter_names())
        if not names:
            raise HarborConfigurationError(
                f"the snapshot {wanted.snapshot.key} has no repository whose content is in the "
                "store, so there is nothing to try"
            )
        chance = random.Random(wanted.seed)  # noqa: S311 - it must be the same for a seed
        sample = sorted(chance.sample(names, min(wanted.sample, len(names))))
        groups = {self._renamed(name): item for name, item in self._read(sample)}
        is_interrupted, left = self._try(groups)
        return DrillReport(
            run=wanted.run,
            store_url=wanted.store.url,
            url=self._place.url,
            project=wanted.project,
            snapshot=wanted.snapshot.key,
            seed=wanted.seed,
            started_at=started_at,
            ended_at=datetime.now(timezone.utc),
            repositories=tuple(sample),
            of_repositories=len(names),
            manifests=sum(len(item.records) for item in groups.values()),
            tags=sum(len(record.tags) for item in groups.values() for record in item.records),
            blobs=self._read_blobs,
            blob_bytes=self._read_bytes,
            failures=tuple(self._failures),
            left=left,
            is_interrupted=is_interrupted,
        )

    # -- what to restore

    def _iter_names(self) -> Iterator[str]:
        inventories = self._wanted.store.inventories
        for project, item in self._wanted.snapshot.projects.items():
            if item.contents:
                for name, _ in inventories.iter_repositories(project, item.inventory):
                    yield name

    def _renamed(self, repository: str) -> str:
        return f"{self._wanted.project}/{repository}"

    def _read(self, sample: list[str]) -> Iterator[tuple[str, _Wanted]]:
        """Yield each repository of the sample, with what it is made of."""
        inventories = self._wanted.store.inventories
        for project in sorted({name.partition("/")[0] for name in sample}):
            item = self._wanted.snapshot.projects[project]
            contents = {
                name: found
                for name, found in inventories.iter_contents(project, item.contents)
                if name in sample
            }
            for name, records in inventories.iter_repositories(project, item.inventory):
                if name in sample:
                    yield name, self._one(name, records, contents.get(name, {}))

    def _one(self, name: str, records: list[Record], contents: Mapping[str, Content]) -> _Wanted:
        there = []
        for record in records:
            content = contents.get(record.digest)
            if content is None:
                self._failures.append(f"{name}@{record.digest}: it is not in the store")
                continue
            there.append(
                replace(
                    record,
                    project=self._wanted.project,
                    repository=self._renamed(name),
                    media_type=content.media_type,
                )
            )
        return _Wanted(there, dict(contents))

    # -- trying it

    def _try(self, groups: Mapping[str, _Wanted]) -> tuple[bool, str]:
        """Restore, compare, remove; returns whether it was stopped, and how to remove what is left.

        What was made is removed whatever happens.
        """
        wanted = self._wanted
        scratch = ScratchProject(self._place.client, wanted.project)
        lease = wanted.store.lease(self._place.url, wanted.run, is_process=wanted.is_process)
        is_interrupted = False
        with lease:
            try:
                self._create(scratch)
                try:
                    self._restore(groups, lease.check)
                    self._compare(groups)
                except KeyboardInterrupt:
                    is_interrupted = True
                except HarborBackupError as err:
                    self._failures.append(f"project {wanted.project}: {describe(err)}")
                left = self._remove(scratch)
            finally:
                lease.release()
        return is_interrupted, left

    def _create(self, scratch: ScratchProject) -> None:
        self._progress(f"making the scratch project {self._wanted.project}")
        try:
            scratch.create()
        except KeyboardInterrupt:
            scratch.remove()
            raise

    def _remove(self, scratch: ScratchProject) -> str:
        self._progress(f"removing the scratch project {self._wanted.project}")
        try:
            attempt(scratch.remove, sleep=self._wanted.sleep)
        except KeyboardInterrupt:
            return f"To be removed: {scratch.how_to_remove()}"
        except HarborBackupError as err:
            return f"To be removed: {scratch.how_to_remove()} ({describe(err)})"
        return ""

    def _restore(self, groups: Mapping[str, _Wanted], may_write: Callable[[], None]) -> None:
        wanted, tally = self._wanted, Tally()
        listed = ((name, groups[name].records) for name in sorted(groups))
        view = HeldView({}, unlisted=Held(is_new=True))
        with Transfer(
            StorePlace(wanted.store),
            self._place,
            total=sum(len(item.records) for item in groups.values()),
            workers=wanted.workers,
            may_write=may_write,
            progress=lambda text: self._progress(f"restoring: {text}"),
            sleep=wanted.sleep,
        ) as transfer:
            plans = (plan for some in iter_plans(listed, view, TagRule.MOVE) for plan in some)
            for outcome in transfer.run(plans):
                tally.add(outcome)
        report = tally.report(wanted.project, self._place.url, transfer.numbers, transfer.seconds)
        failed = [finding for finding in report.findings if finding.status is Status.FAILED]
        self._failures += map(str, failed)
        self._not_restored |= {(finding.repository, finding.digest) for finding in failed}

    # -- comparing

    def _compare(self, groups: Mapping[str, _Wanted]) -> None:
        self._progress("comparing what Harbor lists")
        walk = InventoryWalk(self._place.client, self._wanted.project, sleep=self._wanted.sleep)
        found = {name: {r.digest: r for r in records} for name, records in walk}
        self._failures += [f"repository {gap}" for gap in walk.gaps]
        for name, item in groups.items():
            self._compare_lists(name, item.records, found.pop(name, {}))
        self._failures += [f"{name}: Harbor lists it, and nobody restored it" for name in found]
        records = [
            record
            for item in groups.values()
            for record in item.records
            if record.key not in self._not_restored
        ]
        ask_all(records, lambda r: self._compare_manifest(r, groups), self._wanted.workers, "drill")
        ask_all(list(self._blobs.values()), self._read_blob, self._wanted.workers, "drill")

    def _compare_lists(self, name: str, records: list[Record], found: Mapping[str, Record]) -> None:
        for record in records:
            if record.key in self._not_restored:  # why, is said
                continue
            other = found.get(record.digest)
            if other is None:
                self._fail(record, "Harbor does not list it")
                continue
            for what, ours, theirs in (
                ("tags", _tags(record), _tags(other)),
                ("children", record.children, other.children),
                ("subject", record.subject, other.subject),
                ("role", record.role, other.role),
            ):
                if ours != theirs:
                    self._fail(record, f"its {what}: {ours!s} in the snapshot, {theirs!s} there")
        extra = found.keys() - {record.digest for record in records}
        self._failures += [f"{name}@{digest}: it is not in the snapshot" for digest in extra]

    def _compare_manifest(self, record: Record, groups: Mapping[str, _Wanted]) -> None:
        """Read a manifest back, by digest and by each of its tags, and note its blobs."""
        registry, name = self._place.registry, record.repository
        try:
            kept = self._wanted.store.pool.read(record.digest)
            for reference in (record.digest, *(tag.name for tag in record.tags)):
                manifest = attempt(
                    lambda r=reference: registry.get_manifest(name, r),  # type: ignore[misc]
                    sleep=self._wanted.sleep,
                )
                if manifest.content != kept:
                    self._fail(record, f"under {reference} is {manifest.digest}")
        except HarborBackupError as err:
            self._fail(record, describe(err))
            return
        for blob in groups[name].contents[record.digest].blobs:
            with self._lock:
                known = Descriptor(digest=blob.digest, size_bytes=blob.size_bytes)
                self._blobs.setdefault(blob.digest, (name, known))

    def _read_blob(self, item: tuple[str, Descriptor]) -> None:
        """Read a blob back: what it is read with refuses an end that is not the right one."""
        repository, blob = item

        def read() -> None:
            with self._place.open_blob(repository, blob) as reader:
                while reader.read(_BLOCK_BYTES):
                    continue

        try:
            attempt(read, sleep=self._wanted.sleep)
        except HarborBackupError as err:
            with self._lock:
                self._failures.append(f"{repository}, blob {blob.digest}: {describe(err)}")
            return
        with self._lock:
            self._read_blobs += 1
            self._read_bytes += blob.size_bytes
        self._progress(
            f"comparing: {human_count(self._read_blobs, 'blob')} of {len(self._blobs):,} read, "
            f"{human_size(self._read_bytes)}"
        )

    def _fail(self, record: Record, what: str) -> None:
        with self._lock:
            self._failures.append(f"{record.repository}@{record.digest}: {what}")


def _tags(record: Record) -> tuple[str, ...]:
    return tuple(sorted(tag.name for tag in record.tags))
