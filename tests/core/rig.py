"""What the core's tests begin with: clients that do not wait, and a whole backup in one call."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import requests

from airflow_provider_harbor.core.copy.places import Place
from airflow_provider_harbor.core.copy.plain_registry import PlainRegistryPlace
from airflow_provider_harbor.core.copy.registry_places import HarborPlace, RegistrySource
from airflow_provider_harbor.core.copy.store_place import StorePlace
from airflow_provider_harbor.core.exceptions import HarborBackupError
from airflow_provider_harbor.core.harbor.check import list_projects
from airflow_provider_harbor.core.harbor.client import HarborClient
from airflow_provider_harbor.core.harbor.inventory import Inventory, take_inventory
from airflow_provider_harbor.core.harbor.records import Record
from airflow_provider_harbor.core.http.transport import HttpSession
from airflow_provider_harbor.core.jobs.backup import copy_project, finish_run, inventory_project
from airflow_provider_harbor.core.jobs.report import RunReport
from airflow_provider_harbor.core.jobs.results import ProjectResult
from airflow_provider_harbor.core.oci.registry import RegistryClient
from airflow_provider_harbor.core.store import layout
from airflow_provider_harbor.core.store.backup_store import BackupStore
from airflow_provider_harbor.core.store.leases import Lease
from tests.double import HarborDouble
from tests.double.content import Content, Image, multi_arch
from tests.registry_server import PlainRegistry


def fast_session(url: str, **options: Any) -> HttpSession:
    """Return a transport that does not wait between attempts."""
    return HttpSession(url, sleep=lambda seconds: None, **options)


def login(
    harbor: HarborDouble, user: str | None = None, password: str | None = None
) -> HarborClient:
    """Return a client of a double, by default the administrator's."""
    return HarborClient(
        harbor.url,
        harbor.user if user is None else user,
        harbor.password if password is None else password,
        session=fast_session(harbor.url),
    )


def registry_login(harbor: HarborDouble) -> RegistryClient:
    return RegistryClient(
        harbor.url, harbor.user, harbor.password, session=fast_session(harbor.url)
    )


def with_another_end(content: bytes) -> bytes:
    """Return another content of the same length. Any fixed last byte may be the one it has."""
    return content[:-1] + bytes([content[-1] ^ 1])


def fill_small(harbor: HarborDouble) -> dict[str, Content]:
    """Make two projects with an image under two tags, an untagged one, and a multi-arch index."""
    harbor.create_project("alpha")
    harbor.create_project("beta")
    return {
        "image": harbor.push("alpha/app", Image("app", layers=2), "1.0", "latest"),
        "untagged": harbor.push("alpha/app", Image("untagged")),
        "index": harbor.push("beta/deep/multi", multi_arch("multi"), "2.0"),
    }


def list_patiently(client: HarborClient, project: str) -> Inventory:
    """List a project without waiting between the rounds."""
    return take_inventory(client, project, sleep=lambda seconds: None)


def list_whole(client: HarborClient, project: str) -> list[Record]:
    """List a project of which everything can be listed."""
    inventory = list_patiently(client, project)
    assert not inventory.gaps
    return list(inventory.records)


def make_immutable(harbor: HarborDouble, project: str, tags: str) -> None:
    """Set a rule that makes the tags of a project which fit a glob immutable."""
    requests.post(
        f"{harbor.url}/api/v2.0/projects/{project}/immutabletagrules",
        auth=(harbor.user, harbor.password),
        timeout=120,
        json={
            "disabled": False,
            "action": "immutable",
            "template": "immutable_template",
            "tag_selectors": [{"kind": "doublestar", "decoration": "matches", "pattern": tags}],
            "scope_selectors": {
                "repository": [{"kind": "doublestar", "decoration": "repoMatches", "pattern": "**"}]
            },
        },
    ).raise_for_status()


class Backup:
    """One source with its store; every call of `run` is a night."""

    def __init__(self, client: HarborClient, registry: RegistryClient, store: Path) -> None:
        self.client = client
        self.registry = registry
        self.store = BackupStore(store)
        self.store_path = store
        self._nights = itertools.count(1)

    @property
    def itself(self) -> StorePlace:
        """The store as the place that takes the content."""
        return StorePlace(self.store)

    def run(self, destination: Place, **options: Any) -> RunReport:
        """Back up all projects, and conclude the run."""
        run = f"night-{next(self._nights)}"
        with self.lease(destination, run) as lease:
            return self._run(destination, run, lease=lease, **options)

    @contextmanager
    def lease(self, destination: Place, run: str) -> Iterator[Lease]:
        """Hold the lease as the command line does: it is given back whatever happens."""
        lease = self.store.lease(destination.url, run, is_process=True)
        try:
            with lease:
                yield lease
        finally:
            lease.release()

    def _run(self, destination: Place, run: str, **options: Any) -> RunReport:
        started_at = datetime.now(timezone.utc)
        names = [project.name for project in list_projects(self.client)]
        for name in names:
            try:
                ref = inventory_project(self.client, self.store, run, name)
                self.copy(destination, run, ref, **options)
            except HarborBackupError:
                continue  # it is in the project's result
        return finish_run(
            self.store,
            run,
            names,
            harbor_url=self.client.url,
            destination=destination.url,
            started_at=started_at,
            dry_run=options.get("dry_run", False),
        )

    def copy(self, destination: Place, run: str, ref: Any, **options: Any) -> ProjectResult:
        source = RegistrySource(self.registry)
        return copy_project(self.client, source, destination, self.store, run, ref, **options)

    def read_report(self, report: RunReport, kind: str = "json") -> str:
        """Return the file of a report; `kind` is json or html."""
        return (self.store_path / layout.report(report.run, kind)).read_text()

    def records(self, report: RunReport) -> list[Record]:
        """Return all that the inventories of a run list."""
        refs = [result.inventory for result in report.projects if result.inventory]
        return [
            record
            for ref in refs
            for record in self.store.inventories.iter_records(ref.project, ref.sha256)
        ]


def reach(target: HarborDouble | PlainRegistry, **options: Any) -> Place:
    """Open a double or a plain registry as a destination."""
    if isinstance(target, PlainRegistry):
        client = RegistryClient(target.url, session=fast_session(target.url))
        return PlainRegistryPlace(client, **options)
    return HarborPlace(login(target), registry_login(target))
