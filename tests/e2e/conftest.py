"""One Airflow for all of these tests, and the registries that it backs up and copies to."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.airflow_server import ROOT, AirflowApi, AirflowServer
from tests.double import HarborDouble


@dataclass(frozen=True)
class Site:
    """Airflow, and what it is connected to.

    Attributes:
        source: Connection `harbor_default`, empty.
        destination: Connection `harbor_destination`, empty.
        store: Directory of the backup store.
    """

    api: AirflowApi
    source: HarborDouble
    destination: HarborDouble
    store: Path


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    directory = tmp_path_factory.mktemp("site")
    dags = directory / "dags"
    shutil.copytree(ROOT / "dags", dags)
    shutil.copytree(Path(__file__).parent / "dags", dags, dirs_exist_ok=True)
    with HarborDouble() as source, HarborDouble() as destination:
        environment = {
            "AIRFLOW_CONN_HARBOR_DEFAULT": _connection(source),
            "AIRFLOW_CONN_HARBOR_DESTINATION": _connection(destination),
            "AIRFLOW__HARBOR__STORE": str(directory / "store"),
        }
        with AirflowServer(dags, environment=environment, triggerer=True) as airflow:
            yield Site(airflow.api, source, destination, directory / "store")


def _connection(double: HarborDouble) -> str:
    fields = {"host": double.url, "login": double.user, "password": double.password}
    return json.dumps({"conn_type": "harbor", **fields})
