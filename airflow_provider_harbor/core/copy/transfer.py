"""Carry out a copy plan between two registries. All concurrency of copying lives here.

Manifests go byte for byte, blobs in blocks from one registry's answer into the next one's request.
One bad artifact is one finding, whatever it raises, and the others go on; an index that lists it
fails with it. When the destination refuses everything, or nobody answers any more, the rest is not
tried, see `giving_up`.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait

from airflow_provider_harbor.core.copy.blobs import BlobCopier
from airflow_provider_harbor.core.copy.failures import explain
from airflow_provider_harbor.core.copy.giving_up import GivingUp
from airflow_provider_harbor.core.copy.outcome import CopyReport, Finding, Status
from airflow_provider_harbor.core.copy.plan import CopyPlan, Step
from airflow_provider_harbor.core.exceptions import (
    HarborBackupError,
    HarborNotFoundError,
    HarborRefusedError,
    HarborStatusError,
    NotTriedError,
    RefusalReason,
    UnexpectedError,
)
from airflow_provider_harbor.core.harbor.records import Record
from airflow_provider_harbor.core.http.attempts import attempt
from airflow_provider_harbor.core.human import Progress, human_count, human_size
from airflow_provider_harbor.core.locks import KeyedLocks
from airflow_provider_harbor.core.oci.manifest import Manifest
from airflow_provider_harbor.core.oci.referrers import ReferrersTags, Subject
from airflow_provider_harbor.core.oci.registry import RegistryClient, referrers_tag
from airflow_provider_harbor.core.store.known import Holdings

log = logging.getLogger(__name__)

_SIGNAL_SECONDS = 0.5
_NEWER_TAG = (
    "a newer run has moved {} at the destination, and this run's inventory is older: not moved back"
)


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
        may_write: Called before each step; raises where the run may not write any more.
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
        may_write: Callable[[], None] = lambda: None,
        progress: Progress | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        if workers < 1:
            raise ValueError(f"workers is {workers}, not 1 or more")
        self._source = source
        self._destination = destination
        self._plan = plan
        self._held = held
        self._may_write = may_write
        self._progress = progress
        self._manifests = _Manifests(source, plan, sleep)
        self._referrers = ReferrersTags(destination, sleep=sleep)
        self._to_list: dict[Subject, list[tuple[Record, Manifest]]] = defaultdict(list)
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
            self._list_referrers()
            last = [step for step in self._plan.steps if step.record.key in self._waiting_tags]
            self._run_all(self._put_waiting_tags, last)
            self._confirm_referrers()
        finally:
            # After Ctrl-C nothing new begins, and what is on its way ends with its block.
            self._blobs.stop()
            self._blob_pool.shutdown(wait=False, cancel_futures=True)
            self._pool.shutdown(cancel_futures=True)
            self._blob_pool.shutdown()
        return self._report(project, time.monotonic() - self._started)

    def holdings(self) -> Holdings:
        """Return what the destination holds after `run`.

        Where something failed, what is there is not known any more: it is to be asked for.
        """
        digests = {name: set(held) for name, held in self._held.digests.items()}
        tags = {name: dict(held) for name, held in self._held.tags.items()}
        for step in self._plan.steps:
            record = step.record
            if record.key not in self._errors:
                digests.setdefault(record.repository, set()).add(record.digest)
                tags.setdefault(record.repository, {}).update(
                    {tag: record.digest for tag in step.tags}
                )
        held = Holdings(
            digests={name: frozenset(held) for name, held in digests.items()},
            tags=tags,
            asked=self._held.asked,
        )
        return held.unsure({repository for repository, _ in self._errors})

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
                self._errors.setdefault(step.record.key, error)

    def _guarded(self, work: Callable[[Step], None], step: Step) -> HarborBackupError | None:
        repository = step.record.repository
        try:
            self._giving_up.check(repository)
            self._may_write()
            work(step)
        except HarborBackupError as err:
            self._giving_up.failed(repository, err)
            return err
        except Exception as err:
            log.debug("This is where it happened:", exc_info=True)
            return UnexpectedError(err)
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
        self._put_tags(record, tags, manifest)

    def _put_waiting_tags(self, step: Step) -> None:
        manifest = self._waiting_tags.pop(step.record.key)
        self._put_tags(step.record, step.tags, manifest)

    def _wait_for_needed(self, step: Step) -> None:
        for digest in step.after:
            future = self._futures.get((step.record.repository, digest))
            error = future.result() if future else None
            if error is not None:
                raise NotTriedError(f"it needs {digest}, which failed: {error}") from error
        for digest in step.behind:
            # A signature is copied also where its subject is lost: one day that may be found.
            if future := self._futures.get((step.record.repository, digest)):
                future.result()

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
        if step.tags and not step.tags_last:
            try:
                self._put_whole(step.record, step.tags[0], manifest)
            except (HarborRefusedError, HarborNotFoundError) as err:
                if (
                    isinstance(err, HarborRefusedError)
                    and err.reason is not RefusalReason.IMMUTABLE
                ):
                    raise
                # Whatever becomes of the tag, the content is kept. (A Harbor denies the tag of a
                # signature whose image is not there: 404.)
            else:
                self._count_tag()
                return step.tags[1:]
        self._put_whole(step.record, step.record.digest, manifest)
        return step.tags

    def _put_whole(self, record: Record, reference: str, manifest: Manifest) -> None:
        repository = record.repository
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
            with self._lock:
                self._to_list[repository, manifest.subject].append((record, manifest))

    def _put_tags(self, record: Record, tags: Sequence[str], manifest: Manifest) -> None:
        refused: HarborStatusError | None = None
        for tag in tags:
            try:
                self._put_tag(record, tag, manifest)
            except (HarborRefusedError, HarborNotFoundError) as err:
                refused = refused or err
        if refused:
            raise refused

    def _put_tag(self, record: Record, tag: str, manifest: Manifest) -> None:
        try:
            self._put_whole(record, tag, manifest)
        except HarborRefusedError as err:
            # An immutable tag refuses what it names already, too: after an answer that was lost.
            if (
                err.reason is not RefusalReason.IMMUTABLE
                or self._destination.find_manifest(record.repository, tag) != manifest.digest
            ):
                raise
        self._count_tag()

    def _count_tag(self) -> None:
        with self._lock:
            self._tags_set += 1

    # -- referrers, where the registry does not list them itself

    def _list_referrers(self) -> None:
        """Put what was pushed on the lists of its subjects, before tags show it to anybody."""
        futures = [
            (key, entries, self._pool.submit(self._list_some, key[0], entries))
            for key, entries in self._to_list.items()
        ]
        for key, entries, future in futures:
            if error := future.result():
                self._note(entries, error)
                del self._to_list[key]

    def _list_some(
        self, repository: str, entries: Sequence[tuple[Record, Manifest]]
    ) -> HarborBackupError | None:
        try:
            self._may_write()
            self._referrers.put(repository, _unique(entries))
        except HarborBackupError as err:
            return err
        except Exception as err:
            return UnexpectedError(err)
        return None

    def _confirm_referrers(self) -> None:
        written = {key: _unique(entries) for key, entries in self._to_list.items()}
        for key, error in self._referrers.confirm(written).items():
            self._note(self._to_list[key], error)

    def _note(self, entries: Sequence[tuple[Record, Manifest]], error: HarborBackupError) -> None:
        for record, _ in entries:
            self._errors.setdefault(record.key, error)

    # -- the report

    def _report(self, project: str, seconds: float) -> CopyReport:
        numbers = self._blobs.numbers
        findings = [self._failed(record, error) for record, error in self._plan.excluded]
        copied = present = 0
        for record, is_step in (
            *((step.record, True) for step in self._plan.steps),
            *((record, False) for record in self._plan.present),
        ):
            if error := self._errors.get(record.key):
                findings.append(self._failed(record, error))
            elif tags := self._plan.withheld.get(record.key):
                message = _NEWER_TAG.format(", ".join(tags))
                findings.append(Finding.of(record, Status.SKIPPED, "newer-tag", message))
            else:
                copied += is_step
                present += not is_step
        failed = sum(finding.status is Status.FAILED for finding in findings)
        return CopyReport(
            project=project,
            destination=self._destination.url,
            copied=copied,
            present=present,
            skipped=len(findings) - failed,
            failed=failed,
            tags_set=self._tags_set,
            blobs_copied=numbers["copied"],
            blobs_mounted=numbers["mounted"],
            blobs_present=numbers["present"],
            bytes_copied=numbers["bytes"],
            seconds=seconds,
            findings=tuple(findings),
        )

    def _failed(self, record: Record, error: HarborBackupError) -> Finding:
        reason, message = explain(error, self._source.url)
        return Finding.of(record, Status.FAILED, reason, message)


def _unique(entries: Sequence[tuple[Record, Manifest]]) -> list[Manifest]:
    """Return each manifest once: one that has several tags was pushed several times."""
    return list({manifest.digest: manifest for _, manifest in entries}.values())
