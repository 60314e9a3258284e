"""Where a backup goes: another Harbor, or a plain registry; and what each is known to hold."""

from __future__ import annotations

import threading
import zlib
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta, timezone

from airflow_provider_harbor.core.exceptions import (
    HarborBackupError,
    HarborConfigurationError,
    HarborConnectionError,
    HarborProtocolError,
    HarborRefusedError,
    HarborStatusError,
    RefusalReason,
    UnexpectedError,
    is_passing,
)
from airflow_provider_harbor.core.harbor.client import HarborClient
from airflow_provider_harbor.core.harbor.inventory import take_inventory
from airflow_provider_harbor.core.harbor.records import Record
from airflow_provider_harbor.core.oci.registry import RegistryClient, referrers_tag
from airflow_provider_harbor.core.store.known import Holdings

_BELIEVED_FOR = timedelta(days=7)
# Two runs of one day are one night.
_A_NIGHT = timedelta(hours=12)
# So many repositories, and none that could be asked for: it is not the repositories.
_FAILURES = 3


class Destination(ABC):
    """A registry to copy to.

    Attributes:
        kind: What it is, in words.
        registry: Its distribution API.
    """

    kind: str

    def __init__(self, registry: RegistryClient) -> None:
        self.registry = registry
        self.url = registry.url

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.url!r})"

    @abstractmethod
    def find_holdings(
        self, project: str, records: Sequence[Record], remembered: Holdings, *, workers: int
    ) -> Holdings:
        """Return what it holds of the repositories that some records are of; changes nothing.

        Args:
            project: Name of the project.
            records: What is going to be there.
            remembered: What `worth_remembering` returned before.
            workers: At most so many repositories are asked for at once.

        Raises:
            HarborBackupError: It could not be asked at all. One repository that cannot be asked for
                is in `Holdings.unknown`.
        """

    @abstractmethod
    def prepare(self, project: str) -> None:
        """Make it ready to receive a project."""

    @abstractmethod
    def worth_remembering(self, held: Holdings) -> Holdings:
        """Return of what it holds what it could not be asked for in a few requests."""

    def require_other(self, source: HarborClient) -> None:
        """Make sure that it is not the source itself.

        Raises:
            HarborConfigurationError: It is.
        """
        if self.url == source.url:
            raise _same_registry(source.url, self.url)

    def close(self) -> None:
        """Close all connections."""
        self.registry.close()


def _same_registry(source: str, destination: str) -> HarborConfigurationError:
    names = source if source == destination else f"{source} and {destination}"
    return HarborConfigurationError(
        f"source and destination are the same registry, {names}: that is no backup. Name another "
        "destination"
    )


class HarborDestination(Destination):
    """Another Harbor: it lists what it holds, so nothing needs to be remembered."""

    kind = "Harbor"

    def __init__(self, client: HarborClient, registry: RegistryClient) -> None:
        super().__init__(registry)
        self.client = client

    def find_holdings(
        self, project: str, records: Sequence[Record], remembered: Holdings, *, workers: int
    ) -> Holdings:
        """Return what its listing says."""
        if not self.client.has_project(project):
            return Holdings()
        try:
            inventory = take_inventory(self.client, project)
        except HarborStatusError as err:
            err.hint = f"at the destination {err.hint}"
            raise
        unknown = {
            gap.repository: HarborProtocolError(
                f"the destination's {gap.repository} could not be listed: {gap.message}"
            )
            for gap in inventory.gaps
        }
        return replace(Holdings.of_records(inventory.records), unknown=unknown)

    def prepare(self, project: str) -> None:
        """Create the project, private whatever the source's is, if it is missing."""
        if self.client.has_project(project):
            return
        try:
            self.client.create_project(project, public=False)
        except HarborRefusedError as err:
            if err.reason is not RefusalReason.CONFLICT:  # somebody else was faster
                raise

    def worth_remembering(self, held: Holdings) -> Holdings:
        """Return nothing: the next run asks again."""
        return Holdings()

    def require_other(self, source: HarborClient) -> None:
        """Make sure that it is not the source under another name.

        Both say which address they are known by. Where that is the same, they are the same Harbor,
        unless a project of one name is not of one age.
        """
        super().require_other(source)
        address = source.system_info.external_url
        if not address or address != self.client.system_info.external_url:
            return
        theirs = {p.name: p.creation_time for p in self.client.iter_projects()}
        times = [
            (p.creation_time, theirs[p.name]) for p in source.iter_projects() if p.name in theirs
        ]
        if all(ours == other for ours, other in times):
            raise HarborConfigurationError(
                f"{source.url} and {self.url} both say that they are {address}, so they are the "
                "same Harbor, and it is no backup of itself. If they are two, give each its own "
                "external URL"
            )

    def close(self) -> None:
        """Close all connections."""
        super().close()
        self.client.close()


class PlainDestination(Destination):
    """A registry with nothing but the distribution API, which cannot tell tags' digests in bulk.

    What was copied is remembered. That is believed of a repository as long as the registry still
    lists all the tags that it names, which is one request for each repository; else each manifest
    is asked for. So it is at least once in a week, a seventh of the repositories each night, since
    the list shows neither a tag that was moved there, nor what a garbage collection took that had
    no tag. One manifest without a tag is asked for each night: where that one is gone, a garbage
    collection was there, and nothing is believed.
    """

    kind = "plain registry"

    def __init__(
        self,
        registry: RegistryClient,
        *,
        believed_for: timedelta = _BELIEVED_FOR,
        now: Callable[[], datetime] = lambda: datetime.now(timezone.utc),
    ) -> None:
        super().__init__(registry)
        self._believed_for = believed_for
        self._now = now

    def find_holdings(
        self, project: str, records: Sequence[Record], remembered: Holdings, *, workers: int
    ) -> Holdings:
        """Return what is remembered and still there, or what the registry answers one by one."""
        by_repository: dict[str, list[Record]] = defaultdict(list)
        for record in records:
            by_repository[record.repository].append(record)
        if not self._holds_untagged(by_repository, remembered):
            remembered = replace(remembered, asked={})
        answers = _Answers()
        with ThreadPoolExecutor(workers, thread_name_prefix="ask") as pool:
            for name in sorted(by_repository):
                pool.submit(answers.add, name, self._find_one, by_repository[name], remembered)
        return answers.holdings()

    def _holds_untagged(
        self, by_repository: Mapping[str, Sequence[Record]], remembered: Holdings
    ) -> bool:
        """Ask for one manifest without a tag that is remembered, another one each night."""
        untagged = [
            record
            for name in sorted(by_repository)
            if name in remembered.asked
            for record in by_repository[name]
            if not record.tags and remembered.has(record)
        ]
        if not untagged:
            return True
        record = untagged[self._now().toordinal() % len(untagged)]
        try:
            return self.registry.find_manifest(record.repository, record.digest) is not None
        except HarborBackupError:
            return False  # which repositories cannot be asked for shows when each of them is

    def _find_one(
        self, repository: str, records: Sequence[Record], remembered: Holdings
    ) -> Holdings:
        known_tags = dict(remembered.tags.get(repository, {}))
        digests = remembered.digests.get(repository, frozenset())
        asked, now = remembered.asked.get(repository), self._now()
        listed = set(self.registry.iter_tags(repository))
        tags = {tag.name for record in records for tag in record.tags}
        if (
            asked is None
            or self._is_due(repository, asked, now)
            or not known_tags
            or not known_tags.keys() <= listed
        ):
            asked = now
            if listed or repository in remembered.digests or self._has_first(records, tags):
                digests = frozenset(
                    record.digest for record in records if self._has(repository, record, tags)
                )
            find = self.registry.find_manifest
            known_tags = {tag: find(repository, tag) or "" for tag in sorted(tags & listed)}
        return Holdings(
            digests={repository: digests},
            tags={repository: known_tags},
            asked={repository: asked},
        )

    def _is_due(self, repository: str, asked: datetime, now: datetime) -> bool:
        """Tell whether it is time to ask for everything in a repository."""
        age = now - asked
        # A time to come was taken from a wrong clock, and is believed as little as an old one.
        if abs(age) >= self._believed_for:
            return True
        is_its_night = (zlib.crc32(repository.encode()) + now.toordinal()) % 7 == 0
        return is_its_night and age > _A_NIGHT

    def _has_first(self, records: Sequence[Record], tags: Set[str]) -> bool:
        """Tell whether there may be something although no tag is listed: nothing has a tag."""
        first = records[0]
        return not tags and self.registry.find_manifest(first.repository, first.digest) is not None

    def _has(self, repository: str, record: Record, tags: Set[str]) -> bool:
        """Tell whether a manifest is there, and known as what refers to its subject.

        A run that was killed may have pushed it, and not have put it on the subject's list yet.
        """
        if not self.registry.find_manifest(repository, record.digest):
            return False
        by_tag = referrers_tag(record.subject) if record.subject else ""
        # cosign's own tags name the subject; a list that the source has under its tag is copied.
        if not by_tag or by_tag in tags or any(t.name.startswith(by_tag) for t in record.tags):
            return True
        listed = self.registry.iter_referrers(repository, record.subject)
        try:
            return any(referrer.digest == record.digest for referrer in listed)
        except HarborStatusError as err:
            if is_passing(err):
                raise
            return False  # a registry that knows no such list

    def prepare(self, project: str) -> None:
        """Do nothing: repositories come into being with the first push."""

    def worth_remembering(self, held: Holdings) -> Holdings:
        """Return all of it."""
        return held


class _Answers:
    """What a registry answers of several repositories. May be shared by threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._found: list[Holdings] = []
        self._unknown: dict[str, HarborBackupError] = {}

    def add(
        self,
        repository: str,
        ask: Callable[[str, Sequence[Record], Holdings], Holdings],
        records: Sequence[Record],
        remembered: Holdings,
    ) -> None:
        """Ask for one repository, unless the registry has proved to answer nothing."""
        with self._lock:
            if len(self._unknown) >= _FAILURES and not self._found:
                self._unknown[repository] = next(iter(self._unknown.values()))
                return
        try:
            found = ask(repository, records, remembered)
        except Exception as err:
            error = err if isinstance(err, HarborBackupError) else UnexpectedError(err)
            with self._lock:
                self._unknown[repository] = error
        else:
            with self._lock:
                self._found.append(found)

    def holdings(self) -> Holdings:
        """Return all of it; raises the first error where there is nothing else."""
        if self._unknown and not self._found:
            raise next(iter(self._unknown.values()))
        return Holdings(
            digests={name: held for part in self._found for name, held in part.digests.items()},
            tags={name: held for part in self._found for name, held in part.tags.items()},
            asked={name: at for part in self._found for name, at in part.asked.items()},
            unknown=self._unknown,
        )


def open_destination(
    url: str,
    user: str = "",
    password: str = "",
    *,
    verify: bool | str = True,
    timeout_seconds: float = 60,
) -> Destination:
    """Find out what a destination is, and that it takes the login.

    Raises:
        HarborConnectionError: Nobody answers.
        HarborProtocolError: Neither a Harbor nor a registry answers.
        HarborAuthError: The login is not accepted.
        HarborRouteError: A proxy before a Harbor changes paths.
    """
    registry = RegistryClient(url, user, password, verify=verify, timeout_seconds=timeout_seconds)
    client = HarborClient(url, user, password, verify=verify, timeout_seconds=timeout_seconds)
    try:
        client.ping()
    except HarborConnectionError:
        raise
    except (HarborProtocolError, HarborStatusError):
        # No Harbor. Whether it is a registry at all is told by its own API.
        registry.ping()
        return PlainDestination(registry)
    registry.ping()
    _ = client.system_info  # proves the login
    client.check_paths()
    return HarborDestination(client, registry)
