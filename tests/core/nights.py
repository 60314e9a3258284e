"""Nights of one Harbor, one after the other, with a clock that tests set."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import datetime, timedelta, timezone

from airflow_provider_harbor.core.harbor.client import HarborClient
from airflow_provider_harbor.core.harbor.records import Record
from airflow_provider_harbor.core.jobs.listing import list_project
from airflow_provider_harbor.core.store.backup_store import BackupStore
from airflow_provider_harbor.core.store.inventories import InventoryRef
from tests.core.rig import list_whole, login
from tests.double import HarborDouble


class FixedClock:
    """The clock of some doubles, and ours: it stands still until it is moved."""

    def __init__(self, *harbors: HarborDouble) -> None:
        self._states = [harbor.state for harbor in harbors]
        self._pretending = ExitStack()
        self._now = datetime(2026, 5, 4, 1, tzinfo=timezone.utc)
        self.move()

    def now(self) -> datetime:
        return self._now

    def hear(self, headers: Mapping[str, str]) -> None:
        """Take no notice of what answers say, which is the real time."""

    def move(self, **by: float) -> None:
        """Move it by `days`, `minutes`, ..."""
        self._now += timedelta(**by)
        self._pretending.close()
        for state in self._states:
            moment = int(self._now.timestamp() * 1000)
            self._pretending.enter_context(state.pretended_time(moment))

    def close(self) -> None:
        self._pretending.close()


class Nights:
    """Lists the project `p` of a double into a store, night after night."""

    def __init__(self, harbor: HarborDouble, store: BackupStore) -> None:
        self.harbor = harbor
        self.store = store
        self.clock = FixedClock(harbor)
        harbor.create_project("p")

    def login(self, user: str | None = None, password: str | None = None) -> HarborClient:
        client = login(self.harbor, user, password)
        client.clock = self.clock  # type: ignore[assignment]
        return client

    def list(self, client: HarborClient | None = None) -> InventoryRef:
        """List the project; what was asked for is in the double's requests, and nothing else."""
        client = client or self.login()
        assert client.version
        self.harbor.requests.reset()
        ref, gaps = list_project(client, self.store, "p", now=self.clock.now)
        assert ref.gaps == len(gaps)
        return ref

    def records(self, ref: InventoryRef) -> list[Record]:
        return list(self.store.inventories.iter_records("p", ref.sha256))

    def is_whole(self, ref: InventoryRef) -> bool:
        """Tell whether an inventory holds just what a listing of everything finds."""
        return self.records(ref) == list_whole(self.login(), "p")

    def really_listed(self) -> set[str]:
        """Return the short names of repositories whose artifacts were asked for last."""
        names = {row.id: row.short_name for row in self.harbor.state.repositories.values()}
        asked: set[str] = set()
        for _, target, _ in self.harbor.requests.log:
            if "/projects/p/artifacts?" in target:
                found = target.partition("repository_id%3D%7B")[2].partition("%7D")[0]
                chosen = {int(number) for number in found.split("+") if number}
                asked |= {names[number] for number in chosen or names}
        return asked


@contextmanager
def nights_of(harbor: HarborDouble, store: BackupStore) -> Iterator[Nights]:
    """Begin with an empty project `p`."""
    nights = Nights(harbor, store)
    try:
        yield nights
    finally:
        nights.clock.close()
