"""Copy repositories from one place to another. All concurrency of copying lives here.

Manifests go byte for byte, blobs in blocks from one place into the other. One bad artifact is one
finding, whatever it raises, and the others go on; an index that lists it fails with it. When the
destination refuses everything, or nobody answers any more, the rest is not tried, see `giving_up`.

Memory is bounded by the largest repository: plans are taken as there is room for them.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING

from airflow_provider_harbor.core.copy.blobs import BlobCopier
from airflow_provider_harbor.core.copy.giving_up import GivingUp
from airflow_provider_harbor.core.copy.manifests import Manifests
from airflow_provider_harbor.core.copy.outcome import RepositoryOutcome
from airflow_provider_harbor.core.copy.places import Place, Source
from airflow_provider_harbor.core.copy.plan import RepositoryPlan
from airflow_provider_harbor.core.copy.repository_copy import RepositoryCopy, Tools
from airflow_provider_harbor.core.copy.shared import Shared
from airflow_provider_harbor.core.copy.threads import end_all
from airflow_provider_harbor.core.exceptions import HarborBackupError
from airflow_provider_harbor.core.http import waiting
from airflow_provider_harbor.core.http.pace import DEFAULT_CEILING
from airflow_provider_harbor.core.human import HowFar, Progress
from airflow_provider_harbor.core.oci.manifest import Manifest
from airflow_provider_harbor.core.oci.referrers import Subject

if TYPE_CHECKING:
    from typing_extensions import Self

# Python sees a signal only when the main thread wakes.
_SIGNAL_SECONDS = 0.5
# How far things are is told no more often.
_SECONDS_BETWEEN_WORDS = 0.1
# So many lists of referrers are looked at again together, since that begins with a wait.
_LISTS = 1_000


class Transfer:
    """One copy. A context manager: at the end of the block nothing is under way any more.

    Args:
        source: Where the content is.
        destination: Where it goes.
        total: How many records there are, for the progress.
        workers: At most so many manifests, and so many blobs, are on their way at once.
        shared: What it shares with copies between the same two places that go on beside it; then
            `workers` does not count.
        may_write: Called before each step; raises where the run may not write any more.
        progress: Called with a line of text now and then, from many threads.
        sleep: What waits between attempts; tests give another.
    """

    def __init__(
        self,
        source: Source,
        destination: Place,
        *,
        total: int,
        workers: int = DEFAULT_CEILING,
        shared: Shared | None = None,
        may_write: Callable[[], None] = lambda: None,
        progress: Progress | None = None,
        sleep: Callable[[float], None] = waiting.sleep,
    ) -> None:
        self._own = ExitStack()
        shared = shared or self._own.enter_context(Shared(source, destination, workers))
        self._destination = destination
        self._total = total
        self._progress = progress
        self._started = time.monotonic()
        self._window = shared.window
        self._lock = threading.Lock()
        self._done = 0
        self._told_at = float("-inf")
        self._blobs = BlobCopier(
            source, destination, shared=shared, on_bytes=lambda number: self._tell(), sleep=sleep
        )
        self._shares = shared.shares()
        steps, blobs, ends = self._shares
        self._tools = Tools(
            source=source,
            destination=destination,
            manifests=Manifests(source, sleep),
            blobs=self._blobs,
            giving_up=GivingUp(),
            steps=steps,
            blobs_pool=blobs,
            ends=ends,
            may_write=may_write,
            on_done=self._add_done,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        # After Ctrl-C nothing new begins, and what is on its way ends with its block.
        self._blobs.stop()
        end_all(self._shares)
        self._own.close()

    @property
    def numbers(self) -> Mapping[str, int]:
        """How many blobs were `copied`, `mounted`, `present`, `foreign`, and how many `bytes`."""
        return self._blobs.numbers

    @property
    def given_up(self) -> HarborBackupError | None:
        """Why what was left was not tried; None where all was."""
        return self._tools.giving_up.reason

    @property
    def seconds(self) -> float:
        """How long it has been going on."""
        return time.monotonic() - self._started

    def run(self, plans: Iterable[RepositoryPlan]) -> Iterator[RepositoryOutcome]:
        """Carry out plans, and yield what became of each repository.

        An artifact that cannot be copied is a finding, and raises nothing.

        Args:
            plans: Of repositories, each once. A plan is taken when there is room for it.

        Yields:
            In the order of the plans; but at the end come those whose lists of referrers the
            destination cannot keep by itself.
        """
        unconfirmed = _Unconfirmed(self._destination)
        for copy in self._run(plans):
            if copy.unconfirmed():
                unconfirmed.add(copy)
                if unconfirmed.number >= _LISTS:
                    yield from unconfirmed.confirm()
            else:
                yield copy.outcome()
        yield from unconfirmed.confirm()

    def _run(self, plans: Iterable[RepositoryPlan]) -> Iterator[RepositoryCopy]:
        """Yield copies that have come to their end, in the order of their plans."""
        under_way: deque[RepositoryCopy] = deque()
        size = 0
        for plan in plans:
            copy = RepositoryCopy(plan, self._tools)
            copy.start()
            under_way.append(copy)
            size += copy.size
            while under_way and (size > self._window or under_way[0].is_finished()):
                first = self._wait_for(under_way.popleft())
                size -= first.size
                yield first
        while under_way:
            yield self._wait_for(under_way.popleft())

    def _wait_for(self, copy: RepositoryCopy) -> RepositoryCopy:
        while not copy.wait(_SIGNAL_SECONDS):
            waiting.check_stopped()
        return copy

    def _add_done(self, number: int) -> None:
        with self._lock:
            self._done += number
        self._tell(always=self._done >= self._total)

    def _tell(self, *, always: bool = False) -> None:
        if not self._progress:
            return
        now = time.monotonic()
        if now - self._told_at < _SECONDS_BETWEEN_WORDS and not always:
            return
        self._told_at = now
        self._progress(
            HowFar(
                done=self._done,
                total=self._total,
                noun="manifest",
                size_bytes=self._blobs.numbers["bytes"],
                seconds=self.seconds,
            )
        )


class _Unconfirmed:
    """Copies whose lists of referrers are to be looked at again."""

    def __init__(self, destination: Place) -> None:
        self._destination = destination
        self._copies: list[RepositoryCopy] = []
        self.number = 0

    def add(self, copy: RepositoryCopy) -> None:
        self._copies.append(copy)
        self.number += len(copy.unconfirmed())

    def confirm(self) -> Iterator[RepositoryOutcome]:
        copies, self._copies, self.number = self._copies, [], 0
        written: dict[Subject, list[Manifest]] = {}
        for copy in copies:
            written.update({key: list(found) for key, found in copy.unconfirmed().items()})
        errors = self._destination.confirm_referrers(written) if written else {}
        for copy in copies:
            for repository, subject in errors:
                if repository == copy.plan.repository:
                    copy.note_unlisted(subject, errors[repository, subject])
            yield copy.outcome()
