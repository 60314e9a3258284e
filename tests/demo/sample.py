"""The Harbor of the demo: what it holds, the accident, and how its content is looked at."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

import requests

from airflow_provider_harbor.core.harbor.client import HarborClient
from airflow_provider_harbor.core.harbor.inventory import take_inventory
from tests.double import Fault, HarborDouble
from tests.double.faults import Faults

# A digest of a repository, and its tags.
Holding = dict[tuple[str, str], tuple[str, ...]]


@dataclass(frozen=True)
class Harbor:
    """Where it is, and how to log in.

    Attributes:
        what: What it is.
        faults: What goes wrong in it.
    """

    url: str
    what: str
    user: str
    password: str
    faults: Faults

    def connection(self) -> dict[str, Any]:
        """Return the fields of an Airflow connection.

        The port is a field of its own: without one the UI's button "Test connection" sends port 0,
        which Airflow 3.3 takes for another address than the stored one, and refuses.
        """
        address = urlsplit(self.url)
        return {
            "conn_type": "harbor",
            "host": address.hostname,
            "port": address.port,
            "schema": address.scheme,
            "login": self.user,
            "password": self.password,
        }

    def connection_variable(self) -> str:
        """Return the connection as the value of an `AIRFLOW_CONN_...` variable."""
        return json.dumps(self.connection())

    def look(self) -> Holding:
        """Return all that it holds, as it lists it itself."""
        with HarborClient(self.url, self.user, self.password) as client:
            return {
                record.key: tuple(sorted(tag.name for tag in record.tags))
                for project in client.iter_projects()
                for record in take_inventory(client, project.name).records
            }

    def delete(self, repositories: Sequence[str]) -> None:
        """Delete repositories, as somebody does with a button of Harbor's UI."""
        for name in repositories:
            project, _, rest = name.partition("/")
            path = f"/api/v2.0/projects/{project}/repositories/{quote(quote(rest, safe=''))}"
            login = (self.user, self.password)
            requests.delete(self.url + path, auth=login, timeout=30).raise_for_status()

    @contextmanager
    def closing_project(self, name: str) -> Iterator[None]:
        """Refuse to show what a project holds, as to a login that lost its rights on it."""
        path = f"^/api/v2.0/projects/{name}/(artifacts|repositories)"
        answer = {"errors": [{"code": "FORBIDDEN", "message": "forbidden"}]}
        fault = Fault(
            path=path,
            status=403,
            body=json.dumps(answer),
            content_type="application/json",
            times=None,
        )
        self.faults.add(fault)
        try:
            yield
        finally:
            self.faults.clear()


@contextmanager
def sample_harbor() -> Iterator[Harbor]:
    """Run the double with its sample."""
    with HarborDouble(sample=True) as double:
        what = f"Harbor double, {double.user} / {double.password}"
        yield Harbor(double.url, what, double.user, double.password, double.faults)
