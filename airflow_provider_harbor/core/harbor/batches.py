"""The repositories of a project, and the batches in which they are listed.

A project may hold more than fits into memory, so no more than a batch of it is there at one time:
some repositories whose artifacts are asked for together.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from itertools import islice

from airflow_provider_harbor.core.exceptions import (
    HarborAuthError,
    HarborBackupError,
    HarborProtocolError,
    UnsettledHarborError,
)
from airflow_provider_harbor.core.harbor.client import HarborClient
from airflow_provider_harbor.core.harbor.gaps import Gaps
from airflow_provider_harbor.core.harbor.listing import Listing
from airflow_provider_harbor.core.harbor.models import Artifact, Repository

log = logging.getLogger(__name__)

# So many artifacts, as Harbor counts them, are listed together: some MB, and ten pages. A
# repository that has more is a batch of its own.
MOST_ARTIFACTS = 1000
# So many ids are in one query, which is part of the URL: 2 kB at most.
_MOST_REPOSITORIES = 100
# So much is asked for at once: Harbor has several cores, and each answer takes its time.
SIDE_BY_SIDE = 8
# So many batches of a project are listed at once; each of them asks for the less at once.
BATCHES = 4
# So often a list that lacks repositories is read, until nothing says that it lacks any.
_ROUNDS = 5


class IgnoredFilterError(HarborProtocolError):
    """Artifacts came of repositories that were not asked for."""


@dataclass(slots=True)
class Batch:
    """Some repositories of a project, which are listed together.

    Attributes:
        project: Name of the project.
        repositories: What Harbor last said of them, by name.
        is_project: Whether they are all repositories of the project. What comes into being while
            they are listed belongs to them then; of several batches it is left to the next walk.
        listings: What is known of each, by name.
        changed: Those that changed, or may have, since their listing began.
        settled: Those that were listed again, one by one.
        is_by_path: Whether each was listed by its own path.
    """

    project: str
    repositories: dict[str, Repository]
    is_project: bool
    listings: dict[str, Listing] = field(init=False)
    changed: set[str] = field(default_factory=set)
    settled: set[str] = field(default_factory=set)
    is_by_path: bool = False

    def __post_init__(self) -> None:
        self.clear()

    @property
    def artifact_count(self) -> int:
        """How many artifacts Harbor counts in them."""
        return sum(repository.artifact_count for repository in self.repositories.values())

    def clear(self) -> None:
        """Forget what was listed."""
        self.listings = {name: Listing() for name in self.repositories}

    def take(self, artifact: Artifact) -> None:
        """Add an artifact to what is known."""
        listing = self.listings.setdefault(artifact.repository, Listing())
        listing.artifacts[artifact.digest] = artifact

    def iter_artifacts(self, client: HarborClient) -> Iterator[Artifact]:
        """Yield the artifacts of these repositories by id, as `HarborClient.iter_artifacts`.

        Raises:
            IgnoredFilterError: Others came, too.
        """
        ids = [repository.repository_id for repository in self.repositories.values()]
        chosen = () if self.is_project else ids
        for artifact in client.iter_artifacts(self.project, repository_ids=chosen):
            if chosen and artifact.repository not in self.listings:
                raise IgnoredFilterError(
                    f"asked for artifacts of {len(chosen)} repositories of {self.project}, what "
                    "answers for Harbor lists those of others, too"
                )
            yield artifact


class Repositories:
    """The repositories of a project as Harbor last said them, until they are listed.

    Args:
        client: The login.
        project: Name of the project.
        gaps: Where repositories go whose names are none.
        believes: Tells of each repository whether it needs no listing.
        earlier: Full names of repositories that were there before.

    Attributes:
        believed: Those that need none, by name.
    """

    def __init__(
        self,
        client: HarborClient,
        project: str,
        gaps: Gaps,
        believes: Callable[[Repository], bool] = lambda repository: False,
        earlier: Collection[str] = (),
    ) -> None:
        self._client = client
        self._project = project
        self._gaps = gaps
        self._can_filter = True
        self._most = min(_MOST_REPOSITORIES, client.page_size)
        self._waiting = self._read_whole(set(earlier))
        self.believed = {n: r for n, r in self._waiting.items() if believes(r)}
        for name in self.believed:
            del self._waiting[name]
        self._names = deque(sorted(self._waiting))
        self._lock = threading.Lock()  # of what is waiting: batches are listed side by side

    def iter_batches(self) -> Iterator[Batch]:
        """Yield batches, in the order of the repositories' names; an empty one of an empty project.

        The caller lists each, and reads it again, in any thread.
        """
        if not self.believed:
            yield self._next(is_first=True)
        while self._names:
            yield self._next()

    def _next(self, *, is_first: bool = False) -> Batch:
        chosen: dict[str, Repository] = {}
        number = 0
        with self._lock:
            while self._names and len(chosen) < self._most:
                number += self._waiting[self._names[0]].artifact_count
                if chosen and number > MOST_ARTIFACTS:
                    break
                name = self._names.popleft()
                chosen[name] = self._waiting.pop(name)
        return Batch(self._project, chosen, is_project=is_first and not self._names)

    def __len__(self) -> int:
        """Count those that are left, and those that need no listing."""
        return len(self._waiting) + len(self.believed)

    @property
    def are_left(self) -> bool:
        """Whether any are in no batch yet."""
        return bool(self._names)

    def read_again(self, batch: Batch) -> None:
        """Ask Harbor once more for the repositories of a batch: those that are gone are not in it.

        One request. What fits in it besides are the repositories that come next, so that they need
        not count as changed for what happened before they are listed.
        """
        known = self._read() if batch.is_project else self._read_some(batch)
        with self._lock:
            for name in self._waiting.keys() & known.keys():
                self._waiting[name] = known[name]
        if not batch.is_project:
            known = {name: known[name] for name in batch.repositories if name in known}
        batch.repositories = known
        for name in known:
            batch.listings.setdefault(name, Listing())

    def _read_whole(self, earlier: set[str]) -> dict[str, Repository]:
        """Read the list; again where it lacks what is counted, or what was there before.

        Nothing else tells of a repository that it lacks: what is believed is not asked for, and of
        several batches each asks for its own. What the project does not count any more when the
        list was read is gone; and what two lists lack, where the login may not see the project.
        """
        least = self._client.known_repository_count(self._project) or 0
        counted: int | None = None
        before: Collection[str] | None = None
        for _ in range(_ROUNDS):
            if before is not None:
                log.info(
                    "%s: the list of its repositories may lack some. Reading it again",
                    self._project,
                )
            found, number, lacking = self._read_counted(least)
            is_sure = counted is not None or earlier <= found.keys() or found.keys() == before
            if is_sure and not lacking:
                return found
            counted = self._count_again()
            if counted is not None and counted <= number:
                return found
            least, before = counted or 0, found.keys()
        if lacking:
            self._gaps.fail(
                self._project,
                UnsettledHarborError(
                    f"Harbor counts {number + lacking} repositories, and lists {number}, also when "
                    f"they were listed again ({_ROUNDS} times). Those that are listed are copied. "
                    "Run the project again; if it stays so, see what answers for Harbor at this URL"
                ),
            )
        return found

    def _count_again(self) -> int | None:
        """Return how many repositories the project has now; None where it may not be seen."""
        try:
            project = self._client.get_project(self._project)
        except HarborAuthError:
            return None
        return project.repo_count if project.name == self._project else None

    def _read_counted(self, least: int) -> tuple[dict[str, Repository], int, int]:
        """Return what is listed, how many that are, and how many are counted that are not.

        Names that are none are counted, and are not in it.

        Args:
            least: So many are counted elsewhere.
        """
        counts: list[int] = []
        rows = self._client.iter_repositories(self._project, tell_count=counts.append)
        listed = {repository.name: repository for repository in rows}
        number = len(listed)
        if max(counts) > number:
            # What was deleted while the pages were read was counted on the first one.
            counts = [self._client.count_repositories(self._project)]
        return self._ours(listed), number, max(0, max(least, *counts) - number)

    def _read(self) -> dict[str, Repository]:
        listed = self._client.iter_repositories(self._project)
        return self._ours({repository.name: repository for repository in listed})

    def _ours(self, listed: dict[str, Repository]) -> dict[str, Repository]:
        return {name: item for name, item in listed.items() if self._gaps.is_ours(name)}

    def _read_some(self, batch: Batch) -> dict[str, Repository]:
        if self._can_filter:
            room = self._client.page_size - len(batch.repositories)
            with self._lock:
                names = islice(self._names, room)
                chosen = [*batch.repositories.values(), *map(self._waiting.__getitem__, names)]
            ids = {repository.repository_id for repository in chosen}
            try:
                found = self._client.find_repositories(self._project, ids)
            except HarborBackupError as err:
                # Where it is not the filter, the next request ends in the same.
                log.warning("%s. Asking for all repositories of %s", err, self._project)
            else:
                if all(repository.repository_id in ids for repository in found):
                    return {repository.name: repository for repository in found}
            self._can_filter = False
        return self._read()
