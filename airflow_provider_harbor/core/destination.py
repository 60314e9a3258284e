"""Where a backup goes: another Harbor, or a plain registry; and what each is known to hold."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from airflow_provider_harbor.core.exceptions import (
    HarborConnectionError,
    HarborProtocolError,
    HarborRefusedError,
    HarborStatusError,
    RefusalReason,
)
from airflow_provider_harbor.core.harbor import HarborClient
from airflow_provider_harbor.core.inventory import take_inventory
from airflow_provider_harbor.core.plan import Holdings
from airflow_provider_harbor.core.records import Record
from airflow_provider_harbor.core.registry import RegistryClient
from airflow_provider_harbor.core.store import BackupStore


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
        return Holdings.of_records(take_inventory(self.client, project))

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
    else each manifest is asked for.
    """

    kind = "plain registry"

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
        return Holdings(
            digests={name: digests for name, (digests, _) in zip(names, found, strict=True)},
            tags={name: tags for name, (_, tags) in zip(names, found, strict=True)},
        )

    def _find_one(
        self, repository: str, records: Sequence[Record], known: Holdings
    ) -> tuple[frozenset[str], dict[str, str]]:
        remembered = dict(known.tags.get(repository, {}))
        listed = set(self.registry.iter_tags(repository))
        if remembered and remembered.keys() <= listed:
            return known.digests.get(repository, frozenset()), remembered
        if not listed and not known.digests.get(repository):
            return frozenset(), {}
        find = self.registry.find_manifest
        digests = frozenset(r.digest for r in records if find(repository, r.digest))
        wanted = {tag.name for record in records for tag in record.tags} & listed
        return digests, {tag: find(repository, tag) or "" for tag in sorted(wanted)}

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
    if not client.get_system_info().harbor_version:
        raise client.login_refused()
    return HarborDestination(client, registry)
