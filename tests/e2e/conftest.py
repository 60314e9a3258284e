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
from tests.post_office import PostOffice, running_post_office

_TELLING = """\
from airflow.providers.http.notifications.http import HttpNotifier
from airflow.providers.smtp.notifications.smtp import SmtpNotifier

from airflow_provider_harbor.dags import harbor_backup

NOTIFIERS = [SmtpNotifier(to="ops@example.com"), HttpNotifier(http_conn_id="hook")]
"""


@dataclass(frozen=True)
class Site:
    """Airflow, and what it is connected to.

    Attributes:
        source: Connection `harbor_default`, empty.
        destination: Connection `harbor_destination`, empty.
        store: Directory of the backup store.
        office: Where the notifiers of `harbor_backup` send their messages.
    """

    api: AirflowApi
    source: HarborDouble
    destination: HarborDouble
    store: Path
    office: PostOffice


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    directory = tmp_path_factory.mktemp("site")
    dags = directory / "dags"
    shutil.copytree(ROOT / "dags", dags)
    shutil.copytree(Path(__file__).parent / "dags", dags, dirs_exist_ok=True)
    tell_people(dags / "harbor_backup.py")
    with (
        HarborDouble() as source,
        HarborDouble() as destination,
        running_post_office() as office,
    ):
        environment = {
            "AIRFLOW_CONN_HARBOR_DEFAULT": _connection(source),
            "AIRFLOW_CONN_HARBOR_DESTINATION": _connection(destination),
            "AIRFLOW_CONN_HOOK": office.webhook,
            "AIRFLOW_CONN_SMTP_DEFAULT": office.smtp,
            "AIRFLOW__HARBOR__STORE": str(directory / "store"),
        }
        with AirflowServer(dags, environment=environment, triggerer=True) as airflow:
            yield Site(airflow.api, source, destination, directory / "store", office)


def tell_people(file: Path) -> None:
    """Give notifiers to a DAG, as its file says where, and a deadline of seconds."""
    text = file.read_text()
    for line, other in (
        ("from airflow_provider_harbor.dags import harbor_backup\n", _TELLING),
        ("    notifiers=[],\n", "    notifiers=NOTIFIERS,\n"),
        ("    deadline_hours=None,\n", "    deadline_hours=5 / 3600,\n"),
    ):
        assert line in text
        text = text.replace(line, other)
    file.write_text(text)


def _connection(double: HarborDouble) -> str:
    fields = {"host": double.url, "login": double.user, "password": double.password}
    return json.dumps({"conn_type": "harbor", **fields})
