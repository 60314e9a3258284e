"""Where a backup goes: another Harbor, or a plain registry; and what each is known to hold."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone

from airflow_provider_harbor.core.exceptions import (
    HarborConnectionError,
    HarborProtocolError,
    HarborRefusedError,
    HarborStatusError,
    RefusalReason,
    is_passing,
)
from airflow_provider_harbor.core.harbor import HarborClient
from airflow_provider_harbor.core.inventory import take_inventory
from airflow_provider_harbor.core.plan import Holdings
from airflow_provider_harbor.core.records import Record
from airflow_provider_harbor.core.registry import RegistryClient, referrers_tag
from airflow_provider_harbor.core.store import BackupStore

_BELIEVED_FOR = timedelta(days=7)


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
        self, project: str, records: Sequence[Record], store: BackupStore, *, workers: int
    ) -> Holdings:
        """Return what it holds of the repositories that some records are of; changes nothing."""

    @abstractmethod
    def prepare(self, project: str) -> None:
        """Make it ready to receive a project."""

    @abstractmethod
    def remember(self, project: str, held: Holdings, store: BackupStore) -> None:
        """Keep what it holds now, where it cannot be asked for that in a few requests."""

    def close(self) -> None:
        """Close all connections."""
        self.registry.close()


class HarborDestination(Destination):
    """Another Harbor: it lists what it holds, so nothing needs to be remembered."""

    kind = "Harbor"

    def __init__(self, client: HarborClient, registry: RegistryClient) -> None:
        super().__init__(registry)
        self.client = client

    def find_holdings(
        self, project: str, records: Sequence[Record], store: BackupStore, *, workers: int
    ) -> Holdings:
        """Return what its listing says."""
        if not self.client.has_project(project):
            return Holdings()
        try:
            return Holdings.of_records(take_inventory(self.client, project))
        except HarborStatusError as err:
            err.hint = f"at the destination {err.hint}"
            raise

    def prepare(self, project: str) -> None:
        """Create the project, private whatever the source's is, if it is missing."""
        if self.client.has_project(project):
            return
        try:
            self.client.create_project(project, public=False)
        except HarborRefusedError as err:
            if err.reason is not RefusalReason.CONFLICT:  # somebody else was faster
                raise

    def remember(self, project: str, held: Holdings, store: BackupStore) -> None:
        """Do nothing: the next run asks again."""

    def close(self) -> None:
        """Close all connections."""
        super().close()
        self.client.close()


class PlainDestination(Destination):
    """A registry with nothing but the distribution API, which cannot tell tags' digests in bulk.

    What was copied is remembered in the store. The record is believed of a repository as long as
    the registry still lists all the tags that it names, which is one request for each repository;
    else each manifest is asked for. So it is at least once in `believed_for`, since the list shows
    neither a tag that was moved there, nor what a garbage collection took that had no tag.
    """

    kind = "plain registry"

    def __init__(
        self, registry: RegistryClient, *, believed_for: timedelta = _BELIEVED_FOR
    ) -> None:
        super().__init__(registry)
        self._believed_for = believed_for

    def find_holdings(
        self, project: str, records: Sequence[Record], store: BackupStore, *, workers: int
    ) -> Holdings:
        """Return what is remembered and still there, or what the registry answers one by one."""
        by_repository: dict[str, list[Record]] = defaultdict(list)
        for record in records:
            by_repository[record.repository].append(record)
        known = store.read_known(self.url, project) or Holdings()
        names = sorted(by_repository)
        with ThreadPoolExecutor(workers, thread_name_prefix="ask") as pool:
            found = list(
                pool.map(lambda name: self._find_one(name, by_repository[name], known), names)
            )
        parts = list(zip(names, found, strict=True))
        return Holdings(
            digests={name: part.digests[name] for name, part in parts},
            tags={name: part.tags[name] for name, part in parts},
            asked={name: part.asked[name] for name, part in parts},
        )

    def _find_one(self, repository: str, records: Sequence[Record], known: Holdings) -> Holdings:
        remembered = dict(known.tags.get(repository, {}))
        digests = known.digests.get(repository, frozenset())
        asked, now = known.asked.get(repository), datetime.now(timezone.utc)
        listed = set(self.registry.iter_tags(repository))
        tags = {tag.name for record in records for tag in record.tags}
        # A time to come was taken from a wrong clock, and is believed as little as an old one.
        is_due = asked is None or abs(now - asked) >= self._believed_for
        if is_due or not remembered or not remembered.keys() <= listed:
            asked = now
            if listed or digests:
                digests = frozenset(r.digest for r in records if self._has(repository, r, tags))
            find = self.registry.find_manifest
            remembered = {tag: find(repository, tag) or "" for tag in sorted(tags & listed)}
        return Holdings(
            digests={repository: digests},
            tags={repository: remembered},
            asked={repository: asked or now},
        )

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

    def remember(self, project: str, held: Holdings, store: BackupStore) -> None:
        """Write the record of this project."""
        store.write_known(self.url, project, held)


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
    client.check_login()
    return HarborDestination(client, registry)
