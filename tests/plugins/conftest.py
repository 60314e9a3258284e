"""Airflow's own API server, with logins, and stores that DAGs of it name; one for all tests.

It runs in this process: with a scheduler and processes of its own it would take half a minute.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import requests

from airflow_provider_harbor.core.harbor.models import Tag
from airflow_provider_harbor.core.harbor.records import Record, Role
from airflow_provider_harbor.core.jobs.report import RunReport
from airflow_provider_harbor.core.jobs.report_page import render_page
from airflow_provider_harbor.core.jobs.settings.compare import (
    Change,
    FieldChange,
    SettingChange,
)
from airflow_provider_harbor.core.jobs.settings.report import SettingsReport
from airflow_provider_harbor.core.jobs.verification.page import render_verify_page
from airflow_provider_harbor.core.jobs.verification.report import Stage
from airflow_provider_harbor.core.store.backup_store import BackupStore
from airflow_provider_harbor.core.store.settings_files import NightSettings
from airflow_provider_harbor.core.store.snapshots import ProjectContents, Snapshot
from tests.core.jobs.test_report import SKIPPED, copied, finding, report, result
from tests.core.jobs.verification.test_page import WHOLE, damage

# What Harbor refuses as a name, and others may have put there.
HOSTILE = "<script>alert('x')</script>"
DIGEST = "sha256:" + "5ca1ab1e" * 8
VERIFY_RUN = "2026-11-25T06-30-00Z.pages_verify.scheduled__25.verify"
USERS = "admin:admin,reader:viewer,nobody:"
PASSWORDS = {name: f"password-of-{name}" for name in ("admin", "reader", "nobody")}

_DAG = """\
from airflow.sdk import DAG, Param
from airflow_provider_harbor.operators.backup import HarborSnapshotOperator
from airflow_provider_harbor.operators.restore import (
    HarborChooseSnapshotOperator, HarborRestoreOperator,
)

params = {{"place": Param({store!r})}}
with DAG("pages_backup", schedule=None, tags=["harbor"], params=params) as dag:
    HarborSnapshotOperator(task_id="snapshot", units=[], store=dag.param("place"))

with DAG("pages_restore", schedule=None, tags=["harbor"], params={{"store": Param({store!r})}}):
    HarborChooseSnapshotOperator(task_id="choose", store="{{{{ params.store }}}}")
    HarborRestoreOperator(task_id="restore", unit={{}}, store="{{{{ params.store }}}}")

with DAG("pages_other", schedule=None, tags=["harbor"]):
    HarborSnapshotOperator(task_id="snapshot", units=[], store={other!r})

with DAG("pages_untagged", schedule=None):
    HarborSnapshotOperator(task_id="snapshot", units=[], store="/nowhere")
"""


@dataclass
class Pages:
    """The server, and who may ask it.

    Attributes:
        url: Of Airflow.
        store: The store that `pages_backup` writes to; it holds hostile names.
        other: That of `pages_other`, which is not there.
    """

    url: str
    store: BackupStore
    other: str
    _tokens: dict[str, str] = field(default_factory=dict)

    def token(self, user: str) -> str:
        if user not in self._tokens:
            body = {"username": user, "password": PASSWORDS[user]}
            answer = requests.post(f"{self.url}/auth/token", json=body, timeout=120)
            self._tokens[user] = answer.json()["access_token"]
        return self._tokens[user]

    def get(self, path: str, user: str | None = "admin", **options: Any) -> requests.Response:
        """Ask for a page of the plugin, and follow nothing."""
        headers = options.pop("headers", {})
        if user:
            headers["Authorization"] = f"Bearer {self.token(user)}"
        return requests.get(
            f"{self.url}/harbor{path}",
            headers=headers,
            timeout=60,
            allow_redirects=False,
            **options,
        )

    @property
    def site(self) -> str:
        """Path of the store's pages."""
        from airflow_provider_harbor.plugins.sites import Site

        return f"/stores/{Site(str(self.store.files.local_path(''))).id}"


@pytest.fixture(scope="session")
def pages(airflow_db: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pages]:
    directory = tmp_path_factory.mktemp("pages")
    passwords = directory / "passwords.json"
    passwords.write_text(json.dumps(PASSWORDS))
    store = BackupStore(directory / "store")
    fill(store)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS", USERS)
        patch.setenv("AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE", str(passwords))
        patch.setenv("AIRFLOW__API_AUTH__JWT_SECRET", "a secret of these tests " * 4)
        file = directory / "dags" / "pages.py"
        file.parent.mkdir()
        other = str(directory / "other")
        file.write_text(_DAG.format(store=str(directory / "store"), other=other))
        add_dags(file)
        with serving() as url:
            yield Pages(url, store, other)


def add_dags(file: Path) -> None:
    """Let the database have the DAGs of a file."""
    from airflow.dag_processing.dagbag import DagBag, sync_bag_to_db
    from airflow.models.dagbundle import DagBundleModel
    from airflow.utils.session import create_session

    bag = DagBag(file)
    assert not bag.import_errors
    with create_session() as session:
        session.merge(DagBundleModel(name="pages"))
    sync_bag_to_db(bag, "pages", None)


class serving:
    """Serve Airflow's API and UI on a free port, until the end of the block."""

    def __enter__(self) -> str:
        import uvicorn
        from airflow.api_fastapi.app import create_app

        config = uvicorn.Config(
            create_app(apps="core"), host="127.0.0.1", port=0, log_level="error"
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, name="airflow")
        self._thread.start()
        deadline = time.monotonic() + 60
        while not self._server.started:
            assert self._thread.is_alive()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        host, port = self._server.servers[0].sockets[0].getsockname()[:2]
        return f"http://{host}:{port}"

    def __exit__(self, *exc_info: object) -> None:
        self._server.should_exit = True
        self._thread.join(timeout=120)


def fill(store: BackupStore) -> None:
    """Make nights: the newest one lacks a project, and everything has hostile names."""
    store.begin_for("https://harbor.example.com")
    record = Record(
        project="team",
        repository="team/app",
        digest=DIGEST,
        role=Role.ARTIFACT,
        tags=(Tag(name="1.0"), Tag(name=HOSTILE)),
        labels=(HOSTILE,),
    )
    with store.inventories.write("team") as writer:
        writer.add([record])
        inventory = writer.finish()
    for day in (23, 24, 25):
        held = {
            name: ProjectContents(
                inventory=inventory,
                contents="",
                ok=name == "team" or day < 25,
                digests=1,
                size_bytes=day * 10_000_000,
            )
            for name in ("team", HOSTILE)
        }
        if day < 25:
            held.pop(HOSTILE)
        began = f"2026-11-{day}T03:30:00+00:00"
        run = f"2026-11-{day}T03-30-00Z.pages_backup.scheduled__{day}"
        store.snapshots.commit(
            Snapshot(
                key=run,
                run=run,
                complete=day < 25,
                harbor_url="https://harbor.example.com",
                destination=store.url,
                started_at=began,
                ended_at=began,
                projects=held,
                lacking=(),
            )
        )
        page = f"<!doctype html><body>\n<main>\nthe report of {day}<script>alert(1)</script></main>"
        store.snapshots.write_report(run, {"run": run}, page)
    store.snapshots.write_report(run, {"run": run}, render_page(wide_report()))
    verified = replace(
        WHOLE,
        damages=(replace(damage(), message="it is gone " * 9, thing="x" * 200),),
        notes=("y" * 200,),
        stages=(Stage(name="structure", what="2 snapshots " * 9, checked_bytes=9, seconds=1),),
        store_url="s3://backups@" + "b" * 63 + "/harbor",
    )
    store.snapshots.write_report(VERIFY_RUN, verified.to_json(), render_verify_page(verified))


def wide_report() -> RunReport:
    """Return a report with all that a report may have, and long names in it."""
    name = "a-project-with-a-name-as-long-as-a-name-of-a-project-may-be"
    bad = finding(repository=f"{name}/deep/" + "x" * 80, message="the quota is used up " * 5)
    return report(
        result(name),
        result("b", copy=copied("b", copied=3, failed=1, findings=(bad,))),
        result("c", inventory=None, copy=None, error="403 at https://h/" + "y" * 120),
        SKIPPED,
        expected=[name, "b", "c", "d", "library"],
        settings=SettingsReport(
            night=NightSettings(system="", projects={}),
            compared_to="2026-11-24T03-30-00Z.harbor_backup.scheduled__2026-11-24",
            changes=(
                SettingChange(
                    scope=name,
                    kind="policies",
                    noun="policy",
                    key="z" * 150,
                    change=Change.CHANGED,
                    fields=(FieldChange(name="pattern", before="u" * 99, after="v" * 99),),
                ),
            ),
        ),
        harbor_url="https://harbor.of-a-department.example.com:8443",
    )
