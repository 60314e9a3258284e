"""Carry out a copy plan between two registries. All concurrency of copying lives here.

Manifests go byte for byte, blobs in blocks from one registry's answer into the next one's request.
One bad artifact is one finding, and the others go on; what is built on it fails with it. When the
destination refuses everything, or nobody answers any more, the rest is not tried, see `giving_up`.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait

from airflow_provider_harbor.core.attempts import attempt
from airflow_provider_harbor.core.blobs import BlobCopier
from airflow_provider_harbor.core.exceptions import (
    HarborBackupError,
    HarborNotFoundError,
    HarborRefusedError,
    NotTriedError,
    RefusalReason,
)
from airflow_provider_harbor.core.failures import explain
from airflow_provider_harbor.core.giving_up import GivingUp
from airflow_provider_harbor.core.human import Progress, human_count, human_size
from airflow_provider_harbor.core.locks import KeyedLocks
from airflow_provider_harbor.core.manifest import Manifest
from airflow_provider_harbor.core.plan import CopyPlan, Holdings, Step
from airflow_provider_harbor.core.records import Record
from airflow_provider_harbor.core.referrers import ReferrersTags
from airflow_provider_harbor.core.registry import RegistryClient, referrers_tag
from airflow_provider_harbor.core.results import CopyReport, Finding, Status

_SIGNAL_SECONDS = 0.5


class _Manifests:
    """The source's manifests, each fetched once, however many repositories need it."""

    def __init__(
        self, source: RegistryClient, plan: CopyPlan, sleep: Callable[[float], None]
    ) -> None:
        self._source = source
        self._sleep = sleep
        self._uses = Counter(s.record.digest for s in plan.steps if s.needs_content)
        self._kept: dict[str, Manifest] = {}
        self._locks = KeyedLocks()

    def get(self, record: Record) -> Manifest:
        with self._locks[record.digest]:
            manifest = self._kept.get(record.digest)
            if manifest is None:
                manifest = attempt(
                    lambda: self._source.get_manifest(record.repository, record.digest),
                    sleep=self._sleep,
                )
            # Kept for exactly as long as another repository is going to ask for it.
            self._uses[record.digest] -= 1
            if self._uses[record.digest] > 0:
                self._kept[record.digest] = manifest
            else:
                self._kept.pop(record.digest, None)
            return manifest


class Transfer:
    """One run of one plan.

    Args:
        source: Where the content is.
        destination: Where it goes.
        plan: What to do.
        held: What the plan was made from.
        workers: At most so many manifests, and so many blobs, are on their way at once.
        progress: Called with a line of text after each step and each block, from many threads.
        sleep: What waits between attempts; tests give another.
    """

    def __init__(
        self,
        source: RegistryClient,
        destination: RegistryClient,
        plan: CopyPlan,
        held: Holdings,
        *,
        workers: int = 8,
        progress: Progress | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        if workers < 1:
            raise ValueError(f"workers is {workers}, not 1 or more")
        self._source = source
        self._destination = destination
        self._plan = plan
        self._held = held
        self._progress = progress
        self._manifests = _Manifests(source, plan, sleep)
        self._referrers = ReferrersTags(destination)
        # Lists of referrers that the source itself keeps under a tag are copied, and not written.
        self._tags_of_source = {
            (record.repository, tag.name)
            for record in (*(step.record for step in plan.steps), *plan.present)
            for tag in record.tags
        }
        self._blobs = BlobCopier(
            source,
            destination,
            has_repository=lambda repository: bool(held.digests.get(repository)),
            on_bytes=lambda number: self._tell(),
            sleep=sleep,
        )
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="manifest")
        self._blob_pool = ThreadPoolExecutor(workers, thread_name_prefix="blob")
        self._lock = threading.Lock()
        self._futures: dict[tuple[str, str], Future[HarborBackupError | None]] = {}
        self._blob_futures: dict[tuple[str, str], Future[None]] = {}
        self._waiting_tags: dict[tuple[str, str], Manifest] = {}
        self._errors: dict[tuple[str, str], HarborBackupError] = {}
        self._started = time.monotonic()
        self._done = 0
        self._tags_set = 0
        self._giving_up = GivingUp(step.record.repository for step in plan.steps)

    def run(self, project: str) -> CopyReport:
        """Do all steps, once, and say of each record of the plan what became of it.

        An artifact that cannot be copied is a finding of the report, and raises nothing.
        """
        self._started = time.monotonic()
        try:
            self._run_all(self._copy_step, self._plan.steps)
            last = [step for step in self._plan.steps if step.record.key in self._waiting_tags]
            self._run_all(self._put_waiting_tags, last)
        finally:
            # After Ctrl-C nothing new begins, and what is on its way ends with its block.
            self._blobs.stop()
            self._blob_pool.shutdown(wait=False, cancel_futures=True)
            self._pool.shutdown(cancel_futures=True)
            self._blob_pool.shutdown()
        return self._report(project, time.monotonic() - self._started)

    def holdings(self) -> Holdings:
        """Return what the destination holds after `run`."""
        digests = {name: set(held) for name, held in self._held.digests.items()}
        tags = {name: dict(held) for name, held in self._held.tags.items()}
        asked = dict(self._held.asked)
        for step in self._plan.steps:
            record = step.record
            if _misses_content(self._errors.get(record.key)):
                asked.pop(record.repository, None)
            if record.key not in self._errors:
                digests.setdefault(record.repository, set()).add(record.digest)
                tags.setdefault(record.repository, {}).update(
                    {tag: record.digest for tag in step.tags}
                )
        return Holdings(
            digests={name: frozenset(held) for name, held in digests.items()},
            tags=tags,
            asked=asked,
        )

    # -- scheduling

    def _run_all(self, work: Callable[[Step], None], steps: Sequence[Step]) -> None:
        for step in steps:
            # In the plan's order, so that what a step waits for has always begun before it: the
            # pool starts work in the order in which it was given.
            self._futures[step.record.key] = self._pool.submit(self._guarded, work, step)
        for step in steps:
            future = self._futures[step.record.key]
            while not future.done():
                # Not for ever: Python sees a signal only when the main thread wakes.
                wait([future], timeout=_SIGNAL_SECONDS)
            error = future.result()
            if error is not None:
                self._errors[step.record.key] = error

    def _guarded(self, work: Callable[[Step], None], step: Step) -> HarborBackupError | None:
        repository = step.record.repository
        try:
            self._giving_up.check(repository)
            work(step)
        except HarborBackupError as err:
            self._giving_up.failed(repository, err)
            return err
        self._giving_up.succeeded(repository)
        if step.record.key not in self._waiting_tags:
            with self._lock:
                self._done += 1
        self._tell()
        return None

    def _tell(self) -> None:
        if self._progress:
            sent = self._blobs.numbers["bytes"]
            rate = sent / max(time.monotonic() - self._started, 0.001)
            self._progress(
                f"{self._done} of {human_count(len(self._plan.steps), 'manifest')}, "
                f"{human_size(sent)} copied, {human_size(int(rate))}/s"
            )

    # -- one step

    def _copy_step(self, step: Step) -> None:
        record = step.record
        self._wait_for_needed(step)
        manifest = None if step.needs_content else self._find_at_destination(record)
        tags = step.tags
        if manifest is None:
            manifest = self._manifests.get(record)
            self._copy_blobs(record.repository, manifest)
            tags = self._put_content(step, manifest)
        if step.tags_last:
            self._waiting_tags[record.key] = manifest
            return
        self._put_tags(record.repository, tags, manifest)

    def _put_waiting_tags(self, step: Step) -> None:
        manifest = self._waiting_tags.pop(step.record.key)
        self._put_tags(step.record.repository, step.tags, manifest)

    def _wait_for_needed(self, step: Step) -> None:
        for digest in step.after:
            future = self._futures.get((step.record.repository, digest))
            error = future.result() if future else None
            if error is not None:
                raise NotTriedError(f"it needs {digest}, which failed: {error}") from error

    def _find_at_destination(self, record: Record) -> Manifest | None:
        """Return a manifest that needs only tags; None where it has gone from there meanwhile."""
        try:
            return self._destination.get_manifest(record.repository, record.digest)
        except HarborNotFoundError:
            return None

    def _copy_blobs(self, repository: str, manifest: Manifest, *, force: bool = False) -> None:
        futures = []
        for blob in manifest.blobs:
            key = (repository, blob.digest)
            with self._lock:
                if force or key not in self._blob_futures:
                    self._blob_futures[key] = self._blob_pool.submit(
                        self._blobs.copy, repository, blob, force=force
                    )
                futures.append(self._blob_futures[key])
        for future in futures:
            future.result()

    def _put_content(self, step: Step, manifest: Manifest) -> tuple[str, ...]:
        """Push a manifest, under its first tag where none has to wait; return the tags left."""
        repository = step.record.repository
        if step.tags and not step.tags_last:
            try:
                self._put_whole(repository, step.tags[0], manifest)
            except HarborRefusedError as err:
                if err.reason is not RefusalReason.IMMUTABLE:
                    raise
                # Whatever becomes of the tag, the content is kept.
            else:
                self._count_tag()
                return step.tags[1:]
        self._put_whole(repository, step.record.digest, manifest)
        return step.tags

    def _put_whole(self, repository: str, reference: str, manifest: Manifest) -> None:
        try:
            result = self._destination.put_manifest(repository, reference, manifest)
        except HarborRefusedError as err:
            if err.reason is not RefusalReason.INVALID or not manifest.blobs:
                raise
            # The destination said that it had a blob, or has the very manifest, and now that it
            # has not: its garbage collection was faster (goharbor/harbor#18343), or its storage
            # lost the blob. Send them all, once.
            self._copy_blobs(repository, manifest, force=True)
            result = self._destination.put_manifest(repository, reference, manifest)
        if not manifest.subject or result.handles_subject:
            return
        if (repository, referrers_tag(manifest.subject)) not in self._tags_of_source:
            self._referrers.add(repository, manifest)

    def _put_tags(self, repository: str, tags: Sequence[str], manifest: Manifest) -> None:
        refused: HarborRefusedError | None = None
        for tag in tags:
            try:
                self._put_tag(repository, tag, manifest)
            except HarborRefusedError as err:
                refused = refused or err
        if refused:
            raise refused

    def _put_tag(self, repository: str, tag: str, manifest: Manifest) -> None:
        try:
            self._put_whole(repository, tag, manifest)
        except HarborRefusedError as err:
            # An immutable tag refuses what it names already, too: after an answer that was lost.
            if (
                err.reason is not RefusalReason.IMMUTABLE
                or self._destination.find_manifest(repository, tag) != manifest.digest
            ):
                raise
        self._count_tag()

    def _count_tag(self) -> None:
        with self._lock:
            self._tags_set += 1

    # -- the report

    def _report(self, project: str, seconds: float) -> CopyReport:
        numbers = self._blobs.numbers
        return CopyReport(
            project=project,
            destination=self._destination.url,
            copied=len(self._plan.steps) - len(self._errors),
            present=len(self._plan.present),
            skipped=0,
            failed=len(self._errors),
            tags_set=self._tags_set,
            blobs_copied=numbers["copied"],
            blobs_mounted=numbers["mounted"],
            blobs_present=numbers["present"],
            bytes_copied=numbers["bytes"],
            seconds=seconds,
            findings=tuple(
                self._finding(step.record)
                for step in self._plan.steps
                if step.record.key in self._errors
            ),
        )

    def _finding(self, record: Record) -> Finding:
        reason, message = explain(self._errors[record.key], self._source.url)
        return Finding.of(record, Status.FAILED, reason, message)


def _misses_content(error: HarborBackupError | None) -> bool:
    """Whether the destination has said that it lacks what it was believed to hold."""
    return isinstance(error, HarborRefusedError) and error.reason is RefusalReason.INVALID
