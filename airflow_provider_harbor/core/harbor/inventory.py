"""Walk a project of Harbor, and come back with everything that it holds, or say what is lacking.

Harbor cannot show a project as it was at one moment: pages are read one after the other, and people
push meanwhile. So what changed while it was listed is listed again, see `settling`.

A walk reads the list of the project's repositories first. Those that did not change since an
earlier walk are left to who keeps what that one listed, see `earlier`; it goes through the others
in batches:

    list        the artifacts of the batch, and what hangs on them
    changes     which of its repositories changed since they were read before
    settle      list those again, one by one, and those that contradict themselves
    yield       the records of each repository, and forget them
"""

from __future__ import annotations

import functools
import logging
import threading
from collections.abc import Callable, Collection, Generator, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timezone
from itertools import chain, islice

from airflow_provider_harbor.core.exceptions import (
    HarborAuthError,
    HarborBackupError,
    HarborNotFoundError,
    HarborProtocolError,
    HarborRateLimitError,
    HarborStatusError,
)
from airflow_provider_harbor.core.harbor.batches import (
    BATCHES,
    MOST_ARTIFACTS,
    SIDE_BY_SIDE,
    Batch,
    IgnoredFilterError,
    Repositories,
)
from airflow_provider_harbor.core.harbor.changes import find_changes
from airflow_provider_harbor.core.harbor.client import HarborClient
from airflow_provider_harbor.core.harbor.earlier import Beliefs, Seen
from airflow_provider_harbor.core.harbor.gaps import Gaps
from airflow_provider_harbor.core.harbor.listing import Listing, list_repository, walk_accessories
from airflow_provider_harbor.core.harbor.models import Repository
from airflow_provider_harbor.core.harbor.records import Gap, Record
from airflow_provider_harbor.core.harbor.settling import is_same, settle
from airflow_provider_harbor.core.human import Progress
from airflow_provider_harbor.core.side_by_side import ahead, do_all, go_on_unless

log = logging.getLogger(__name__)

# What is no fault of one repository: listing them one by one would end in the same. But it may be a
# filter that somebody before Harbor denies.
_OF_ALL = (HarborAuthError, HarborNotFoundError, HarborRateLimitError)
_OF_ALL_BUT_FILTERS = (HarborNotFoundError, HarborRateLimitError)


@dataclass(frozen=True, slots=True, kw_only=True)
class Inventory:
    """What a project holds.

    Attributes:
        records: Sorted by repository, then digest.
        gaps: Repositories that could not be listed whole, sorted. Empty for a whole inventory.
    """

    records: tuple[Record, ...]
    gaps: tuple[Gap, ...] = ()


def take_inventory(
    client: HarborClient,
    project: str,
    *,
    progress: Progress | None = None,
    sleep: Callable[[float], None] | None = None,
) -> Inventory:
    """List everything that a project holds at once; all of it is in memory then.

    Arguments and errors are those of `InventoryWalk`, which holds a part at one time.
    """
    walk = InventoryWalk(client, project, progress=progress, sleep=sleep)
    records = tuple(record for _, listed in walk for record in listed)
    return Inventory(records=records, gaps=walk.gaps)


class InventoryWalk:
    """A walk through everything that a project holds, which makes sure that it is everything.

    Iterating over it, which can be done once, yields each repository that holds something, but for
    those of `believed`: its full name, and its records sorted by digest. Repositories come in the
    order of their names. In memory are the names of all repositories, and the artifacts of some
    thousand, or of one repository that has more.

    What was found is compared with the count that Harbor itself keeps of each repository. Where
    they differ, where the list contradicts itself, or where a repository changed since the listing
    began, it is listed again. One repository that cannot be listed is a gap, and the others go on.

    An accessory whose subject is not in its repository (a signature that was pushed before its
    image, say) is in none of Harbor's lists and counts: it is found once its subject is there.

    Args:
        client: The login.
        project: Name of the project.
        earlier: What an earlier walk of the same project of the same Harbor has `seen`, where the
            caller still has all that was listed of these; None for nothing.
        progress: Called with a line of text now and then.
        sleep: What waits, in seconds, before a repository is listed again; tests give another.
        now: What tells the time; tests give another.

    What iterating raises:
        HarborNotFoundError: The project is gone.
        HarborAuthError: The login may not list it; to all but administrators Harbor says the same
            of a project that is gone.
        HarborBackupError: Nothing of it could be listed, or Harbor does not answer any more.
        RuntimeError: It was iterated over before.
    """

    def __init__(
        self,
        client: HarborClient,
        project: str,
        *,
        earlier: Mapping[str, Seen] | None = None,
        progress: Progress | None = None,
        sleep: Callable[[float], None] | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(timezone.utc),
    ) -> None:
        self._client = client
        self._project = project
        self._earlier = earlier
        self._now = now
        self._beliefs = Beliefs(None, client.user, None, now())
        self._believed: Collection[str] = frozenset()
        self._tell = progress or (lambda text: None)
        self._sleep = sleep
        self._gaps = Gaps(project, self._probe)
        self._lists_by_path = False
        self._artifacts = 0
        self._side_by_side = 1  # for each batch
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._is_begun = False
        self._is_empty = False
        self._is_whole = False

    def __iter__(self) -> Generator[tuple[str, list[Record]], None, None]:
        if self._is_begun:
            raise RuntimeError("a walk can be iterated over once; make another one")
        self._is_begun = True
        return self._run()

    @property
    def gaps(self) -> tuple[Gap, ...]:
        """Repositories that could not be listed whole, sorted; empty where all could.

        Raises:
            RuntimeError: The walk did not come to its end, so that nobody knows.
        """
        if not self._is_whole:
            raise RuntimeError("the gaps of a walk are known when it has come to its end")
        return self._gaps.sorted()

    @property
    def believed(self) -> Collection[str]:
        """Full names of repositories that are as they were, known once the first one was yielded.

        Nothing was listed of them. They may hold nothing.
        """
        return self._believed

    @property
    def seen(self) -> Mapping[str, Seen] | None:
        """What to give to the next walk, as long as all that was listed is kept.

        Empty where nothing was there; None where nothing of it would be believed.

        Raises:
            RuntimeError: The walk did not come to its end.
        """
        # What could not be listed and is of no repository may be of any.
        if any(gap.repository == self._project for gap in self.gaps):
            return None
        is_empty = self._is_empty and self._beliefs.knows_anything
        return self._beliefs.seen or ({} if is_empty else None)

    def _run(self) -> Generator[tuple[str, list[Record]], None, None]:
        try:
            # Proves the login: of a public project Harbor would list something to anybody.
            self._lists_by_path = not self._client.lists_whole_projects
            self._beliefs = self._begin_beliefs()
            repositories = Repositories(
                self._client,
                self._project,
                self._gaps,
                self._beliefs.believes,
                self._earlier or (),
            )
            self._believed = repositories.believed.keys()
            self._is_empty = not (repositories or self._gaps)
            with closing(self._ahead(repositories)) as worked:
                for batch, before in worked:
                    yield from self._take_records(batch, before)
        except HarborStatusError as err:
            err.hint = err.hint or _advice(err, self._project)
            raise
        self._is_whole = True

    def _ahead(
        self, repositories: Repositories
    ) -> Generator[tuple[Batch, Mapping[str, Repository]], None, None]:
        """Yield batches, and their repositories as they were before; some are worked on at once."""
        # Of a project that was empty, and is, there is nothing to list.
        batches = iter(
            () if self._is_empty and self._beliefs.was_empty else repositories.iter_batches()
        )
        first = list(islice(batches, 1))
        workers = BATCHES if repositories.are_left else 1
        self._side_by_side = SIDE_BY_SIDE // workers
        return ahead(
            chain(first, batches),
            functools.partial(self._work, repositories),
            workers=workers,
            weigh=lambda batch: batch.artifact_count,
            most=BATCHES * MOST_ARTIFACTS,
            name="batches",
            stopping=self._stopping,
        )

    def _work(self, repositories: Repositories, batch: Batch) -> Mapping[str, Repository]:
        """Do all that is to be asked for a batch; returns its repositories as they were before."""
        before = dict(batch.repositories)
        self._list(batch)
        if not self._is_as_before(batch):
            find_changes(self._client, repositories, batch, self._gaps)
        self._settle(batch)
        return before

    def _probe(self) -> None:
        next(self._client.iter_repositories(self._project), None)

    # -- what did not change

    def _begin_beliefs(self) -> Beliefs:
        listed_at = self._client.clock.now() if self._client.tells_changes else None
        return Beliefs(self._earlier, self._client.user, listed_at, self._now())

    def _is_as_before(self, batch: Batch) -> bool:
        """Tell whether a batch is just as it was seen: then nothing changed while it was listed."""
        return bool(batch.listings) and all(
            name not in self._gaps
            and name in batch.repositories
            and self._beliefs.is_as_seen(
                batch.repositories[name], _sorted_records(listing, self._project, name)
            )
            for name, listing in batch.listings.items()
        )

    def _is_quiet(self, batch: Batch, name: str, before: Mapping[str, Repository]) -> bool:
        """Tell whether a repository was quiet while it was listed, and all was listed of it."""
        then, now = before.get(name), batch.repositories.get(name)
        return (
            then is not None
            and now is not None
            and is_same(then, now)
            and then.artifact_count == now.artifact_count
            and not (name in self._gaps or name in batch.changed or name in batch.settled)
        )

    # -- the first listing

    def _list(self, batch: Batch) -> None:
        if self._lists_by_path:
            self._list_each(batch, raised=(HarborAuthError, HarborRateLimitError))
            return
        number = 0
        try:
            for artifact in batch.iter_artifacts(self._client):
                batch.take(artifact)
                self._count(1)
                number += 1
                go_on_unless(self._stopping)
        except HarborBackupError as err:
            if isinstance(err, _OF_ALL if batch.is_project else _OF_ALL_BUT_FILTERS):
                raise
            # One artifact that Harbor cannot show spoils the page that it is on.
            log.warning("%s. Listing the repositories of %s one by one", err, self._project)
            self._count(-number)
            self._list_one_by_one(batch, err)
            return
        for name in list(batch.listings):
            if not self._gaps.is_ours(name):
                del batch.listings[name]
        walk = functools.partial(self._walk_accessories, batch)
        have_links = {name for name, listing in batch.listings.items() if listing.links()}
        for name in batch.listings.keys() - have_links:  # nothing is asked for
            self._gaps.guard(name, functools.partial(walk, workers=1))
        self._each(sorted(have_links), walk)

    def _list_one_by_one(self, batch: Batch, err: HarborBackupError) -> None:
        if not batch.repositories and not self._gaps:
            raise err
        batch.clear()
        self._list_each(batch)
        is_any_lacking = any(name in self._gaps for name in batch.listings)
        if not batch.is_project:
            # Where each repository can be listed, or the filter is what is refused, the next batch
            # would end here, too. No row is lost by that: each repository's number is compared.
            is_refused = isinstance(err, HarborStatusError) and err.status < 500
            self._lists_by_path = (
                is_refused or isinstance(err, IgnoredFilterError) or not is_any_lacking
            )
        elif isinstance(err, HarborProtocolError) and not self._gaps:
            # There is a row that nobody can read, and no repository that it belongs to.
            self._gaps.fail(self._project, err)

    def _list_each(self, batch: Batch, *, raised: tuple[type[HarborBackupError], ...] = ()) -> None:
        batch.is_by_path = True
        work = functools.partial(self._list_repository, batch)
        self._each(batch.listings, work, raised=raised)

    def _each(
        self,
        names: Collection[str],
        work: Callable[..., object],
        *,
        raised: tuple[type[HarborBackupError], ...] = (),
    ) -> None:
        """Do a part of the listing for some repositories, several at once; see `Gaps.guard`.

        Args:
            names: Of the repositories.
            work: Called with a name; `workers` is how much it may ask for at once.
            raised: What ends all of it.
        """
        if not names:
            return
        alone = functools.partial(work, workers=max(1, self._side_by_side // len(names)))
        do_all(
            list(names),
            lambda name: self._gaps.guard(name, alone, raised=raised),
            self._side_by_side,
            "listing",
            stopping=self._stopping,
        )

    def _list_repository(self, batch: Batch, name: str, *, workers: int) -> None:
        listing = list_repository(self._client, name, workers=workers)
        batch.listings[name] = listing
        self._count(len(listing.artifacts))

    def _walk_accessories(self, batch: Batch, name: str, *, workers: int) -> None:
        walk_accessories(self._client, name, batch.listings[name], workers=workers)

    def _count(self, number: int) -> None:
        with self._lock:
            before, self._artifacts = self._artifacts, self._artifacts + number
        if before // 1000 < self._artifacts // 1000:
            self._tell(f"{self._project}: {self._artifacts} artifacts listed")

    # -- again, and done

    def _settle(self, batch: Batch) -> None:
        for name in batch.changed - batch.listings.keys():
            batch.listings[name] = Listing()  # it came into being meanwhile
        batch.settled = {
            name
            for name in batch.listings
            if name not in self._gaps and self._gaps.is_ours(name) and _is_unsettled(batch, name)
        }
        work = functools.partial(settle, self._client, batch.listings, self._pause)
        self._each(sorted(batch.settled), work)

    def _pause(self, seconds: float) -> None:
        if self._sleep is None:
            self._stopping.wait(seconds)
        else:
            self._sleep(seconds)
        go_on_unless(self._stopping)

    def _take_records(
        self, batch: Batch, before: Mapping[str, Repository]
    ) -> Iterator[tuple[str, list[Record]]]:
        """Yield what a batch holds, and forget it.

        Args:
            batch: What was listed.
            before: What Harbor said of its repositories before they were listed.
        """
        self._is_empty &= not batch.listings
        for name in sorted(batch.listings):
            listing = batch.listings.pop(name)
            self._gaps.note_odd_tags(name, listing.take_odd_tags())
            records = _sorted_records(listing, self._project, name)
            del listing
            if self._is_quiet(batch, name, before):
                self._beliefs.note(before[name], records)
            if records:
                yield name, records


def _sorted_records(listing: Listing, project: str, name: str) -> list[Record]:
    return sorted(listing.iter_records(project, name), key=lambda record: record.digest)


def _is_unsettled(batch: Batch, name: str) -> bool:
    repository = batch.repositories.get(name)
    return (
        repository is None
        or name in batch.changed
        or bool(batch.listings[name].contradiction(repository.artifact_count))
    )


def _advice(err: HarborStatusError, project: str) -> str:
    if isinstance(err, HarborNotFoundError):
        return (
            f"project {project!r} was deleted since it was listed. Run the whole backup again, and "
            "it will not be listed any more"
        )
    if isinstance(err, HarborAuthError):
        return (
            f"the login may not list project {project!r}, or the project was deleted since it was "
            "listed. Give the login its permissions on the project, or run the whole backup again"
        )
    return (
        f"project {project!r} could not be listed, since Harbor, or a proxy in front of it, keeps "
        "failing. Run the project again; if it stays so, the logs of both say why"
    )
