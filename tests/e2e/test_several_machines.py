"""Two workers that share nothing but a store on S3; one is killed in the middle of a copy."""

from __future__ import annotations

import importlib.util
import json
import os
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_harbor.core.store.backup_store import BackupStore
from tests.celery_airflow import CeleryAirflow
from tests.debian_servers import find_postgresql, find_redis, running_postgresql, running_redis
from tests.double import Fault, HarborDouble, Image
from tests.s3_server import S3Server, find_versitygw, running_s3_server

pytestmark = pytest.mark.e2e

DAG_ID = "harbor_backup"
DAG = """\
from datetime import timedelta
from airflow_provider_harbor.dags import harbor_backup
harbor_backup(default_args={"retry_delay": timedelta(seconds=1)})
"""
WORKERS = ("worker-a", "worker-b")
PROJECTS = ("blue", "green", "red")
_PACKAGES = ("celery", "redis", "psycopg2", "asyncpg", "airflow.providers.celery")


@pytest.fixture(scope="module")
def parts() -> None:
    """Skip, by name, what is missing."""
    missing = [name for name in _PACKAGES if not _is_installed(name)]
    missing += [] if find_postgresql() else ["Debian package postgresql"]
    missing += [] if find_redis() else ["Debian package redis-server"]
    missing += [] if find_versitygw() else ["program versitygw"]
    if missing:
        reason = f"needs {', '.join(missing)}"
        if os.environ.get("HARBOR_TESTS_REQUIRE_ALL"):
            pytest.fail(reason)
        pytest.skip(reason)


def _is_installed(package: str) -> bool:
    try:
        return importlib.util.find_spec(package) is not None
    except ModuleNotFoundError:
        return False


@pytest.fixture
def harbor_with_projects(harbor: HarborDouble) -> HarborDouble:
    harbor.state.delete_project("library")
    for project in PROJECTS:
        harbor.create_project(project)
        for number in range(3):
            harbor.push(f"{project}/app", Image(f"{project} {number}"), f"v{number}")
    return harbor


@pytest.fixture
def bucket(parts: None, tmp_path: Path) -> Iterator[tuple[S3Server, str]]:
    with running_s3_server(tmp_path) as server:
        yield server, server.new_bucket()


@pytest.fixture
def airflow(
    bucket: tuple[S3Server, str], harbor_with_projects: HarborDouble, tmp_path: Path
) -> Iterator[CeleryAirflow]:
    server, name = bucket
    harbor = harbor_with_projects
    dags = tmp_path / "dags"
    dags.mkdir()
    (dags / "backup.py").write_text(DAG)
    with ExitStack() as opened:
        environment = {
            "AIRFLOW_CONN_HARBOR_DEFAULT": json.dumps(
                {
                    "conn_type": "harbor",
                    "host": harbor.url,
                    "login": harbor.user,
                    "password": harbor.password,
                }
            ),
            "AIRFLOW_CONN_BACKUPS": json.dumps(
                {
                    "conn_type": "aws",
                    "login": server.user,
                    "password": server.password,
                    "extra": {"endpoint_url": server.url, "region_name": "us-east-1"},
                }
            ),
            "AIRFLOW__HARBOR__STORE": f"s3://backups@{name}/harbor",
        }
        airflow = CeleryAirflow(
            WORKERS,
            dags,
            database=opened.enter_context(running_postgresql()),
            broker=opened.enter_context(running_redis()),
            directory=tmp_path / "machines",
            environment=environment,
        )
        yield opened.enter_context(airflow)


def test_a_worker_that_dies_in_the_middle_of_a_copy_costs_one_try(
    airflow: CeleryAirflow, harbor_with_projects: HarborDouble, bucket: tuple[S3Server, str]
) -> None:
    harbor, api = harbor_with_projects, airflow.api
    is_copying, is_dead = threading.Event(), threading.Event()

    def hold(_: object) -> None:
        is_copying.set()
        is_dead.wait(60)

    layer = next(iter(Image("green 1").blobs))
    harbor.faults.add(Fault(method="GET", path=f"/blobs/{layer}", callback=hold))
    api.wait_for_dag(DAG_ID)
    run_id = api.trigger(DAG_ID)
    api.wait_until(is_copying.is_set, "a copy that has begun")
    # All that nobody holds up has its end first, so that both workers have had something to do.
    api.wait_until(lambda: len(copied(instances(airflow, run_id))) == 2, "the other copies")
    green = instances(airflow, run_id)["backup.copy", PROJECTS.index("green")]
    airflow.kill_worker(green["hostname"])
    is_dead.set()

    assert api.wait_for_run(DAG_ID, run_id)["state"] == "success"

    after = instances(airflow, run_id)
    assert {instance["state"] for instance in after.values()} == {"success"}
    again = {key for key, instance in after.items() if instance["try_number"] > 1}
    assert again == {("backup.copy", PROJECTS.index("green"))}
    (other,) = set(WORKERS) - {green["hostname"]}
    assert after["backup.copy", PROJECTS.index("green")]["hostname"] == other
    server, name = bucket
    store = BackupStore(f"s3://{name}/harbor", **server.options)
    (snapshot,) = store.snapshots.read_all()
    assert snapshot.complete
    assert snapshot.digests == 9
    for image in (Image(f"{project} {number}") for project in PROJECTS for number in range(3)):
        for digest, content in image.blobs.items():
            assert store.files.read(f"blobs/{digest.replace(':', '/')}") == content


def instances(airflow: CeleryAirflow, run_id: str) -> dict[tuple[str, int], dict[str, Any]]:
    found = airflow.api.get_task_instances(DAG_ID, run_id)
    return {(instance["task_id"], instance["map_index"]): instance for instance in found}


def copied(found: dict[tuple[str, int], dict[str, Any]]) -> list[str]:
    return [
        instance["hostname"]
        for (task, _), instance in found.items()
        if task == "backup.copy" and instance["state"] == "success"
    ]
