"""Copy one repository: its manifests, then the lists of what refers to them, then the last tags.

Each part begins when all of the one before has ended. Whoever ends the last piece of a part begins
the next one, so that nobody has to wait for it.
"""

from __future__ import annotations

import logging
import threading
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import CancelledError, Executor, Future
from dataclasses import dataclass, replace
from typing import Any

from airflow_provider_harbor.core.copy.blobs import BlobCopier
from airflow_provider_harbor.core.copy.failures import explain
from airflow_provider_harbor.core.copy.giving_up import GivingUp
from airflow_provider_harbor.core.copy.manifests import Manifests
from airflow_provider_harbor.core.copy.outcome import Finding, RepositoryOutcome, Status
from airflow_provider_harbor.core.copy.places import Place, Source
from airflow_provider_harbor.core.copy.plan import RepositoryPlan, Step, TagRule
from airflow_provider_harbor.core.exceptions import (
    HarborBackupError,
    HarborNotFoundError,
    HarborRefusedError,
    HarborStatusError,
    MissingContentError,
    NotTriedError,
    RefusalReason,
    UnexpectedError,
)
from airflow_provider_harbor.core.harbor.records import Record
from airflow_provider_harbor.core.oci.manifest import Manifest
from airflow_provider_harbor.core.oci.referrers import Subject
from airflow_provider_harbor.core.oci.registry import referrers_tag
from airflow_provider_harbor.core.side_by_side import result_of
from airflow_provider_harbor.core.store.inventories import Content
from airflow_provider_harbor.core.store.known import Held

log = logging.getLogger(__name__)

_WITHHELD = {
    TagRule.KEEP_NEWER: (
        Status.SKIPPED,
        "newer-tag",
        "{} names something else at the destination, where a newer inventory was copied since: not "
        "moved back",
    ),
    TagRule.KEEP_OTHER: (
        Status.FAILED,
        "tag-conflict",
        "{} names something else at the destination, and was left as it is. To have it moved, run "
        "it again with overwriting allowed",
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """What all repositories of a copy are copied with.

    Attributes:
        steps: Runs steps, in the order in which they are given.
        blobs_pool: Runs the copying of blobs.
        ends: Runs what comes after the steps of a repository, ahead of the steps of others.
        may_write: Raises where the run may not write any more.
        on_done: Called with the number of records that have come to their end.
    """

    source: Source
    destination: Place
    manifests: Manifests
    blobs: BlobCopier
    giving_up: GivingUp
    steps: Executor
    blobs_pool: Executor
    ends: Executor
    may_write: Callable[[], None]
    on_done: Callable[[int], None]


class RepositoryCopy:
    """The copy of one repository.

    Args:
        plan: What to do.
        tools: What to do it with.
    """

    def __init__(self, plan: RepositoryPlan, tools: Tools) -> None:
        self.plan = plan
        self._tools = tools
        self._repository = plan.repository
        # Lists of referrers that the source itself keeps under a tag are copied, and not written.
        self._tags_of_source = {
            tag.name
            for record in (*(step.record for step in plan.steps), *plan.present)
            for tag in record.tags
        }
        self._lock = threading.Lock()
        self._left = 0
        self._finished = threading.Event()
        self._futures: dict[str, Future[HarborBackupError | None]] = {}
        # By digest and size: a manifest with a wrong size fails alone, and is not saved by others.
        self._blob_futures: dict[tuple[str, int], Future[bool]] = {}
        self._waiting_tags: dict[str, tuple[Step, Manifest]] = {}
        self._to_list: dict[str, dict[str, Manifest]] = defaultdict(dict)
        self._contents: dict[str, Content] = {}
        self._errors: dict[str, HarborBackupError] = {}
        self._tags_set = 0
        self._broken: BaseException | None = None

    @property
    def size(self) -> int:
        """How much there is to do and to remember."""
        return len(self.plan.steps) + len(self.plan.present)

    def start(self) -> None:
        """Begin; returns at once."""
        self._tools.on_done(len(self.plan.present) + len(self.plan.excluded))
        self._left = len(self.plan.steps)
        if not self._left:
            self._finished.set()
        for step in self.plan.steps:
            # In the plan's order, so that what a step waits for has always begun before it.
            future = self._tools.steps.submit(self._guarded, step.record, self._copy_step, step)
            self._futures[step.record.digest] = future
        for future in list(self._futures.values()):
            future.add_done_callback(self._count_down(self._begin_lists))

    def is_finished(self) -> bool:
        """Tell whether everything has come to its end."""
        return self._finished.is_set()

    def wait(self, timeout_seconds: float) -> bool:
        """Wait until everything has come to its end; False where it has not.

        Raises:
            BaseException: What is no error of an artifact, such as `SystemExit`.
        """
        is_finished = self._finished.wait(timeout_seconds)
        if self._broken is not None:
            raise self._broken
        return is_finished

    # -- one part after the other

    def _count_down(self, following: Callable[[], None]) -> Callable[[Future[Any]], None]:
        def done(future: Future[Any]) -> None:
            broken = CancelledError() if future.cancelled() else future.exception()
            with self._lock:
                self._left -= 1
                if self._broken is None and not isinstance(broken, CancelledError):
                    self._broken = broken
                is_last = self._left == 0
            if broken is not None:
                self._finished.set()
            elif is_last:
                following()

        return done

    def _begin_lists(self) -> None:
        """Put what was pushed on the lists of its subjects, before tags show it to anybody."""
        subjects = list(self._to_list)
        work = [(self._list_referrers, subject) for subject in subjects]
        self._begin(work, self._begin_waiting_tags)

    def _begin_waiting_tags(self) -> None:
        work = [(self._put_waiting_tags, digest) for digest in list(self._waiting_tags)]
        self._begin(work, self._finished.set)

    def _begin(
        self, work: Sequence[tuple[Callable[[str], None], str]], following: Callable[[], None]
    ) -> None:
        self._left = len(work)
        if not work:
            following()
            return
        try:
            futures = [self._tools.ends.submit(function, digest) for function, digest in work]
        except RuntimeError:  # the copy was stopped
            self._finished.set()
            return
        for future in futures:
            future.add_done_callback(self._count_down(following))

    def _guarded(
        self, record: Record, work: Callable[..., None], *args: object
    ) -> HarborBackupError | None:
        giving_up = self._tools.giving_up
        try:
            giving_up.check(self._repository)
            self._tools.may_write()
            work(*args)
        except HarborBackupError as err:
            giving_up.failed(self._repository, err)
            return self._note(record.digest, err)
        except Exception as err:
            log.debug("This is where it happened:", exc_info=True)
            return self._note(record.digest, UnexpectedError(err))
        giving_up.succeeded(self._repository)
        if record.digest not in self._waiting_tags:
            self._tools.on_done(1)
        return None

    def _note(self, digest: str, err: HarborBackupError) -> HarborBackupError:
        with self._lock:
            return self._errors.setdefault(digest, err)

    # -- one step

    def _copy_step(self, step: Step) -> None:
        record = step.record
        self._wait_for_needed(step)
        manifest, tags = self._find_there(step), step.tags
        is_there = manifest is not None
        if manifest is None:
            manifest = self._tools.manifests.get(record)
        if step.needs_content:
            self._require_children(manifest)
            foreign = self._copy_blobs(manifest)
            self._contents[record.digest] = Content.of(record.digest, manifest, foreign)
        if not is_there:
            tags = self._put_content(step, manifest)
        if step.tags_last:
            self._waiting_tags[record.digest] = (step, manifest)
            return
        self._put_tags(record, tags, manifest)

    def _wait_for_needed(self, step: Step) -> None:
        for digest in step.after:
            error = result_of(self._futures[digest])
            if error is not None:
                raise NotTriedError(f"it needs {digest}, which failed: {error}") from error
        for digest in step.behind:
            # A signature is copied also where its subject is lost: one day that may be found.
            result_of(self._futures[digest])

    def _find_there(self, step: Step) -> Manifest | None:
        """Return a manifest that the destination has; None where it has gone from there."""
        if step.needs_content and not self._tools.destination.shares_content:
            return None
        return self._tools.destination.find_manifest(step.record)

    def _require_children(self, manifest: Manifest) -> None:
        """Make sure that an index is kept only with all that it lists, as registries do."""
        if not self._tools.destination.shares_content:
            return
        for child in manifest.children:
            if child.digest not in self._contents and child.digest not in self.plan.held.digests:
                raise MissingContentError(child.digest, f"{self._repository}@{manifest.digest}")

    def _copy_blobs(self, manifest: Manifest, *, force: bool = False) -> list[str]:
        """Copy all blobs of a manifest; returns those that nobody need hold, and that are lost.

        The last one that nobody copies yet is copied by this thread, which would only wait for it.
        """
        copier = self._tools.blobs
        is_new = self.plan.held.is_new
        own: Future[bool] = Future()
        with self._lock:
            begun = self._blob_futures
            to_copy = [b for b in manifest.blobs if force or (b.digest, b.size_bytes) not in begun]
            for blob in to_copy[:-1]:
                begun[blob.digest, blob.size_bytes] = self._tools.blobs_pool.submit(
                    copier.copy, self._repository, blob, is_new=is_new, force=force
                )
            for blob in to_copy[-1:]:
                begun[blob.digest, blob.size_bytes] = own
            futures = [(b.digest, begun[b.digest, b.size_bytes]) for b in manifest.blobs]
        for blob in to_copy[-1:]:
            try:
                own.set_result(copier.copy(self._repository, blob, is_new=is_new, force=force))
            except BaseException as err:  # whoever needs the blob is told, as by an executor
                own.set_exception(err)
        return [digest for digest, future in futures if not result_of(future)]

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
        put = self._tools.destination.put_manifest
        try:
            is_listed = put(self._repository, reference, manifest)
        except HarborRefusedError as err:
            if err.reason is not RefusalReason.INVALID or not manifest.blobs:
                raise
            # The destination said that it had a blob, or has the very manifest, and now that it
            # has not: its garbage collection was faster (goharbor/harbor#18343), or its storage
            # lost the blob. Send them all, once.
            self._copy_blobs(manifest, force=True)
            is_listed = put(self._repository, reference, manifest)
        if not manifest.subject or is_listed:
            return
        if referrers_tag(manifest.subject) not in self._tags_of_source:
            with self._lock:
                self._to_list[manifest.subject][record.digest] = manifest

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
            if err.reason is not RefusalReason.IMMUTABLE or not self._tools.destination.names(
                self._repository, tag, manifest.digest
            ):
                raise
        self._count_tag()

    def _count_tag(self) -> None:
        with self._lock:
            self._tags_set += 1

    # -- after the steps

    def _list_referrers(self, subject: str) -> None:
        try:
            self._tools.may_write()
            manifests = list(self._to_list[subject].values())
            self._tools.destination.list_referrers(self._repository, manifests)
        except Exception as err:
            self.note_unlisted(subject, err)
            del self._to_list[subject]

    def _put_waiting_tags(self, digest: str) -> None:
        step, manifest = self._waiting_tags.pop(digest)
        self._guarded(step.record, self._put_tags, step.record, step.tags, manifest)

    def unconfirmed(self) -> Mapping[Subject, Sequence[Manifest]]:
        """Return what was put on lists of referrers, by its subject."""
        return {
            (self._repository, subject): list(manifests.values())
            for subject, manifests in self._to_list.items()
        }

    def note_unlisted(self, subject: str, err: Exception) -> None:
        """Note that what refers to a subject is not on its list."""
        error = err if isinstance(err, HarborBackupError) else UnexpectedError(err)
        for digest in self._to_list[subject]:
            self._note(digest, error)

    # -- the end

    def outcome(self) -> RepositoryOutcome:
        """Return what became of all records, once everything has come to its end."""
        copied = present = 0
        findings = [self._failed(record, error) for record, error in self.plan.excluded]
        records = [
            *((step.record, True) for step in self.plan.steps),
            *((record, False) for record in self.plan.present),
        ]
        for record, is_step in records:
            if error := self._errors.get(record.digest):
                findings.append(self._failed(record, error))
            elif tags := self.plan.withheld.get(record.digest):
                status, reason, message = _WITHHELD[self.plan.rule]
                findings.append(Finding.of(record, status, reason, message.format(", ".join(tags))))
            else:
                copied += is_step
                present += not is_step
        return RepositoryOutcome(
            repository=self._repository,
            copied=copied,
            present=present,
            tags_set=self._tags_set,
            findings=tuple(findings),
            held=self._held(),
        )

    def _held(self) -> Held:
        held = self.plan.held
        done = [s for s in self.plan.steps if s.record.digest not in self._errors]
        contents = {**held.contents, **self._contents}
        wanted = [*(step.record for step in done), *self.plan.present]
        after = replace(
            held,
            digests=held.digests.union(step.record.digest for step in done),
            tags={**held.tags, **{tag: s.record.digest for s in done for tag in s.tags}},
            contents={r.digest: contents[r.digest] for r in wanted if r.digest in contents},
            is_new=False,
        )
        return after.unsure() if self._errors else after

    def _failed(self, record: Record, error: HarborBackupError) -> Finding:
        reason, message = explain(error, self._tools.source.url)
        return Finding.of(record, Status.FAILED, reason, message)
