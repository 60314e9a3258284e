"""Walk a project of Harbor, and come back with everything that it holds, or say what is lacking.

Harbor cannot show a project as it was at one moment: pages are read one after the other, and people
push meanwhile. So each repository that changed while it was listed is listed again, until it was
quiet for the length of one listing, or two listings in a row were equal.
"""

from __future__ import annotations

import logging
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from airflow_provider_harbor.core.exceptions import (
    HarborAuthError,
    HarborBackupError,
    HarborConnectionError,
    HarborNotFoundError,
    HarborProtocolError,
    HarborRateLimitError,
    HarborRouteError,
    HarborServerError,
    HarborStatusError,
    UnexpectedError,
    UnsettledHarborError,
)
from airflow_provider_harbor.core.harbor.client import HarborClient
from airflow_provider_harbor.core.harbor.listing import Listing, list_repository, walk_accessories
from airflow_provider_harbor.core.harbor.models import Artifact, Repository
from airflow_provider_harbor.core.harbor.paths import split_repository
from airflow_provider_harbor.core.harbor.records import Gap, Record
from airflow_provider_harbor.core.human import Progress
from airflow_provider_harbor.core.oci.names import is_repository_name

log = logging.getLogger(__name__)

# How long to wait before a repository that goes on to change is listed again: half a minute in all,
# so that a pipeline gets to its end which pushes one tag after the other.
_PAUSES_SECONDS = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0)
# A repository that contradicts itself although nothing changes will not get better by waiting.
_QUIET_ROUNDS = 3
# So many repositories in a row, and none that could be listed: it is not the repositories.
_FAILURES = 3
_SERVERS_ERRORS = (
    HarborConnectionError,
    HarborAuthError,
    HarborRateLimitError,
    HarborServerError,
)
_REASONS: tuple[tuple[type[HarborBackupError], str], ...] = (
    (UnsettledHarborError, "unsettled"),
    (HarborConnectionError, "connection"),
    (HarborRateLimitError, "rate-limit"),
    (HarborServerError, "server-error"),
    (HarborAuthError, "denied-at-source"),
    (HarborProtocolError, "odd-answer"),
)


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
    sleep: Callable[[float], None] = time.sleep,
) -> Inventory:
    """List everything that a project holds, and make sure that it is everything.

    What was found is compared with the count that Harbor itself keeps of each repository. Where
    they differ, where the list contradicts itself, or where a repository changed since the listing
    began, it is listed again. One repository that cannot be listed is a gap, and the others go on.

    An accessory whose subject is not in its repository (a signature that was pushed before its
    image, say) is in none of Harbor's lists and counts: it is found once its subject is there.

    Args:
        client: The login.
        project: Name of the project.
        progress: Called with a line of text now and then.
        sleep: What waits, in seconds, before a repository is listed again.

    Raises:
        HarborNotFoundError: The project is gone.
        HarborAuthError: The login may not list it; to all but administrators Harbor says the same
            of a project that is gone.
        HarborBackupError: Nothing of it could be listed.
    """
    try:
        return _Walk(client, project, progress or (lambda text: None), sleep).run()
    except HarborStatusError as err:
        err.hint = err.hint or _advice(err, project)
        raise


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
        f"project {project!r} could not be listed, since Harbor, or a proxy before it, goes on to "
        "fail. Run the project again; if it stays so, the logs of both say why"
    )


class _Walk:
    """One listing of one project."""

    def __init__(
        self,
        client: HarborClient,
        project: str,
        tell: Progress,
        sleep: Callable[[float], None],
    ) -> None:
        self._client = client
        self._project = project
        self._tell = tell
        self._sleep = sleep
        self._listings: dict[str, Listing] = defaultdict(Listing)
        self._gaps: dict[str, Gap] = {}
        self._listed = 0

    def run(self) -> Inventory:
        changes = _Changes(self._client, self._project)
        self._list_all()
        repositories = {r.name: r for r in self._client.iter_repositories(self._project)}
        changed = changes.find(repositories, self._listings)
        for name in sorted(self._listings.keys() | repositories.keys()):
            repository = repositories.get(name)
            if name in self._gaps:
                continue
            if self._is_ours(name) and (
                repository is None
                or name in changed
                or self._listings[name].contradiction(repository.artifact_count)
            ):
                self._guarded(name, self._settle)
        self._take_odd_tags()
        records = [
            record
            for name, listing in self._listings.items()
            for record in listing.iter_records(self._project, name)
        ]
        records.sort(key=lambda record: record.key)
        return Inventory(
            records=tuple(records), gaps=tuple(self._gaps[n] for n in sorted(self._gaps))
        )

    # -- the first listing

    def _list_all(self) -> None:
        try:
            for number, artifact in enumerate(self._client.iter_artifacts(self._project), start=1):
                self._listings[artifact.repository].artifacts[artifact.digest] = artifact
                if number % 1000 == 0:
                    self._tell(f"{self._project}: {number} artifacts listed")
        except (HarborAuthError, HarborNotFoundError, HarborRateLimitError):
            raise
        except HarborBackupError as err:
            # One artifact that Harbor cannot show spoils the page of the project that it is on.
            log.warning("%s. Listing the repositories of %s one by one", err, self._project)
            self._listings.clear()
            self._list_one_by_one(err)
            return
        for name in list(self._listings):
            if self._is_ours(name):
                self._guarded(name, self._walk_accessories)

    def _list_one_by_one(self, err: HarborBackupError) -> None:
        repositories = list(self._client.iter_repositories(self._project))
        if not repositories:
            raise err
        for repository in repositories:
            if self._is_ours(repository.name):
                self._guarded(repository.name, self._list)
        if isinstance(err, HarborProtocolError) and not self._gaps:
            # There is a row that nobody can read, and no repository that it belongs to.
            self._fail(self._project, err)

    def _walk_accessories(self, name: str) -> None:
        walk_accessories(self._client, name, self._listings[name])

    def _list(self, name: str) -> None:
        self._listings[name] = list_repository(self._client, name)

    def _is_ours(self, name: str) -> bool:
        """Tell whether this can be a repository of the project; what cannot is a gap, and left."""
        if is_repository_name(name) and name.startswith(f"{self._project}/"):
            return True
        self._gaps[name] = Gap(
            repository=ascii(name)[1:-1][:80],
            reason="odd-name",
            message="Harbor lists it in this project, where no repository can be called so. "
            "Nothing of it was listed; see what answers for Harbor at this URL",
        )
        self._listings.pop(name, None)
        return False

    # -- again

    def _settle(self, name: str) -> None:
        """List one repository again until it is quiet, and keep the last listing in any case."""
        before = self._look_up(name)
        contradiction = ""
        quiet_rounds = rounds = 0
        while before and rounds < len(_PAUSES_SECONDS) and quiet_rounds < _QUIET_ROUNDS:
            self._sleep(_PAUSES_SECONDS[rounds])
            rounds += 1
            last, now = self._listings[name], list_repository(self._client, name)
            self._listings[name] = now
            after = self._look_up(name)
            if after:
                contradiction = now.contradiction(after.artifact_count)
                is_quiet = now == last or (self._client.tells_changes and _is_same(before, after))
                if is_quiet and not contradiction:
                    return
                quiet_rounds += is_quiet
            before = after
        if before is None:
            self._listings.pop(name, None)
            return
        raise UnsettledHarborError(
            f"{contradiction or 'it went on to change while it was listed'}, also when it was "
            f"listed again ({rounds} times). What was listed last is copied; a tag or an artifact "
            "that moved meanwhile may be missing. Run the project again; if it stays so and nobody "
            "pushes, Harbor's database is damaged there"
        )

    def _look_up(self, name: str) -> Repository | None:
        """Return one repository; None only where Harbor denies it and does not list it, either."""
        project, short_name = split_repository(name)
        try:
            return self._client.get_repository(project, short_name)
        except HarborNotFoundError as err:
            if not err.names(name):
                raise HarborRouteError(err) from err
        listed = self._client.find_repository(project, short_name)
        if listed is None and any(self._client.iter_artifacts(project, short_name)):
            raise HarborProtocolError(
                "Harbor lists artifacts of it, and says that it is not there. Harbor's database is "
                "damaged there"
            )
        return listed

    # -- gaps

    def _take_odd_tags(self) -> None:
        for name, listing in self._listings.items():
            if (odd := listing.take_odd_tags()) and name not in self._gaps:
                self._gaps[name] = Gap(
                    repository=name,
                    reason="odd-name",
                    message=f"Harbor lists the tag {odd[0]}, which no tag can be called. It was "
                    "left out; see what answers for Harbor at this URL",
                )

    def _guarded(self, name: str, work: Callable[[str], None]) -> None:
        """Do a part of the listing that concerns one repository only."""
        try:
            work(name)
        except HarborBackupError as err:
            self._fail(name, err)
        except Exception as err:
            log.debug("This is where it happened:", exc_info=True)
            self._fail(name, UnexpectedError(err))
        else:
            self._listed += 1

    def _fail(self, name: str, err: HarborBackupError) -> None:
        if isinstance(err, HarborStatusError) and not err.hint:
            err.hint = "it could not be listed whole"
        reason = next((word for kind, word in _REASONS if isinstance(err, kind)), "error")
        self._gaps[name] = Gap(repository=name, reason=reason, message=str(err))
        if not self._listed and len(self._gaps) >= _FAILURES and isinstance(err, _SERVERS_ERRORS):
            raise err


class _Changes:
    """Which repositories changed since this object was made.

    Harbor 2.15.2 and newer tell it by each repository's time: that of the hundred newest is kept,
    and any other that is newer than those must have changed. Of older ones the whole project is
    listed a second time.
    """

    def __init__(self, client: HarborClient, project: str) -> None:
        self._client = client
        self._project = project
        self._times: dict[str, str | None] = {}
        self._oldest = ""
        if client.tells_changes:
            recent = client.recent_repositories(project)
            self._times = {r.name: r.update_time for r in recent}
            if len(recent) == client.page_size:
                # Text sorts as time does: all have one form, and are in UTC.
                self._oldest = min(time or "" for time in self._times.values())

    def find(self, repositories: dict[str, Repository], listings: dict[str, Listing]) -> set[str]:
        if self._client.tells_changes:
            return {name for name, r in repositories.items() if self._has_changed(r)}
        try:
            return set(self._differing(listings))
        except (HarborProtocolError, HarborServerError):
            return set(listings)  # listed one by one, and so they are again

    def _has_changed(self, repository: Repository) -> bool:
        if repository.name in self._times:
            return self._times[repository.name] != repository.update_time
        return not self._oldest or (repository.update_time or "9") > self._oldest

    def _differing(self, listings: dict[str, Listing]) -> Iterator[str]:
        numbers: Counter[str] = Counter()
        for artifact in self._client.iter_artifacts(self._project):
            numbers[artifact.repository] += 1
            if not _is_known(artifact, listings):
                yield artifact.repository
        for name, listing in listings.items():
            if numbers[name] != len(listing.artifacts):
                yield name


def _is_known(artifact: Artifact, listings: dict[str, Listing]) -> bool:
    listing = listings.get(artifact.repository)
    return listing is not None and listing.artifacts.get(artifact.digest) == artifact


def _is_same(before: Repository, after: Repository) -> bool:
    return before.update_time is not None and before.update_time == after.update_time
