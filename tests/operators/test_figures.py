"""The figures of a run, as StatsD and OpenTelemetry get them from Airflow's own clients."""

from __future__ import annotations

import gzip
import importlib.util
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk.observability import stats
from airflow.sdk.observability.metrics.stats_utils import get_stats_factory

from airflow_provider_harbor.core.store.backup_store import BackupStore
from airflow_provider_harbor.core.store.snapshots import Snapshot
from airflow_provider_harbor.operators import figures
from tests.double import HarborDouble, Image
from tests.operators.test_harbor import Task, snapshot, unit
from tests.operators.test_restore import back_up

Figures = dict[str, str]


@pytest.fixture
def listener(monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """A port to which Airflow sends its metrics, as its settings say."""
    if importlib.util.find_spec("statsd") is None:
        reason = "needs the package statsd"
        if os.environ.get("HARBOR_TESTS_REQUIRE_ALL"):
            pytest.fail(reason)
        pytest.skip(reason)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as port:
        port.bind(("127.0.0.1", 0))
        port.settimeout(0.2)
        monkeypatch.setenv("AIRFLOW__METRICS__STATSD_ON", "True")
        monkeypatch.setenv("AIRFLOW__METRICS__STATSD_HOST", "127.0.0.1")
        monkeypatch.setenv("AIRFLOW__METRICS__STATSD_PORT", str(port.getsockname()[1]))
        yield port
        # No other test sends anything.
        monkeypatch.setenv("AIRFLOW__METRICS__STATSD_ON", "False")
        begin()


def begin() -> None:
    """Do what Airflow does when a task begins."""
    stats.initialize(factory=get_stats_factory(), export_legacy_names=True)


def received(port: socket.socket) -> Figures:
    found: Figures = {}
    while True:
        try:
            line = port.recv(4096).decode()
        except TimeoutError:
            return found
        name, _, value = line.partition(":")
        if ".harbor." in name:
            found[name.removeprefix("airflow.harbor.")] = value


@pytest.fixture
def filled(harbor: HarborDouble, connect: Any, store: BackupStore) -> HarborDouble:
    for name in ("team-a", "team-b"):
        harbor.create_project(name)
        harbor.push(f"{name}/app", Image(name), "v1")
    connect("harbor_default", harbor)
    store.begin_for(harbor.url)
    return harbor


def test_a_complete_night_sends_its_figures(
    filled: HarborDouble, store: BackupStore, listener: socket.socket
) -> None:
    begin()
    back_up(store)
    found = received(listener)

    (snapshot,) = store.snapshots.read_all()
    sizes = {"backup.size_bytes": f"{snapshot.size_bytes}|g"}
    copied = found.pop("backup.bytes_copied")
    assert int(copied.removesuffix("|c")) > 0
    assert found.pop("backup.duration").endswith("|ms")
    ended = datetime.fromisoformat(snapshot.ended_at).timestamp()
    assert float(found.pop("backup.last_complete").removesuffix("|g")) == pytest.approx(ended)
    assert 0 <= float(found.pop("backup.age").removesuffix("|g")) < 600
    assert found == sizes | {
        "backup.complete": "1|g",
        "backup.projects": "2|g",
        "backup.projects_failed": "0|g",
        "backup.digests": "2|g",
        "backup.digests_copied": "2|c",
        "backup.digests_failed": "0|c",
    }


def test_a_partial_night_says_how_old_the_last_complete_one_is(
    filled: HarborDouble, store: BackupStore, listener: socket.socket
) -> None:
    ended = datetime.now(timezone.utc) - timedelta(hours=30)
    store.snapshots.commit(
        Snapshot(
            key="1999",
            run="1999",
            complete=True,
            harbor_url=filled.url,
            destination=store.url,
            started_at=ended.isoformat(),
            ended_at=ended.isoformat(),
            projects={},
        )
    )
    filled.state.lose_blob(next(iter(Image("team-a").blobs)))
    begin()
    began = time.time()
    with pytest.raises(Exception, match="1 of 1 digests"):
        back_up(store)
    with pytest.raises(Exception, match="NOT everything"):
        Task().execute(snapshot(store, [unit("team-a"), unit("team-b")], destination_conn_id=None))
    found = received(listener)

    assert found["backup.complete"] == "0|g"
    assert found["backup.projects_failed"] == "2|g"
    assert found["backup.digests_failed"] == "1|c"
    age = float(found["backup.age"].removesuffix("|g"))
    assert 30 * 3600 <= age <= 30 * 3600 + (time.time() - began) + 60


def test_projects_have_figures_of_their_own_where_metrics_have_tags(
    filled: HarborDouble,
    store: BackupStore,
    listener: socket.socket,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AIRFLOW__METRICS__STATSD_INFLUXDB_ENABLED", "True")
    begin()
    back_up(store)
    found = received(listener)

    assert found["backup.complete,dag_id=backup"] == "1|g"
    assert found["project.protected,dag_id=backup,project=team-a"] == "1|g"
    assert found["project.digests,dag_id=backup,project=team-b"] == "1|g"
    monkeypatch.setattr(figures, "_PROJECTS", 1)
    back_up(store)
    tagged = [name for name in received(listener) if name.startswith("project.protected")]
    assert tagged == ["project.protected,dag_id=backup,project=team-a"]


def test_metrics_that_cannot_be_sent_are_no_reason_to_fail(
    filled: HarborDouble, store: BackupStore, listener: socket.socket
) -> None:
    listener.close()
    begin()
    back_up(store)

    (snapshot,) = store.snapshots.read_all()
    assert snapshot.complete


# A process of its own, since OpenTelemetry has one provider of meters for all of one.
_BY_OPENTELEMETRY = """
import sys
from airflow.sdk.observability import stats
from airflow.sdk.observability.metrics.stats_utils import get_stats_factory
from opentelemetry import metrics
from airflow_provider_harbor.core.store.backup_store import BackupStore
from airflow_provider_harbor.operators.figures import send_figures
from tests.core.jobs.test_report import report, result

stats.initialize(factory=get_stats_factory(), export_legacy_names=True)
store = BackupStore(sys.argv[1])
store.begin_for("https://harbor.example.com")
send_figures(store, report(result()), "harbor_backup", ())
metrics.get_meter_provider().force_flush()
"""


def test_opentelemetry_gets_them_with_their_tags(tmp_path: Path) -> None:
    bodies: list[bytes] = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            packed = self.headers.get("Content-Encoding") == "gzip"
            bodies.append(gzip.decompress(body) if packed else body)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Collector) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            subprocess.run(
                [sys.executable, "-c", _BY_OPENTELEMETRY, str(tmp_path / "store")],
                check=True,
                timeout=120,
                env={
                    **os.environ,
                    "PYTHONPATH": str(Path(__file__).parents[2]),
                    "AIRFLOW_HOME": str(tmp_path),
                    "AIRFLOW__METRICS__OTEL_ON": "True",
                    "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{server.server_address[1]}",
                    "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
                },
            )
        finally:
            server.shutdown()
            thread.join()
    sent = b"".join(bodies)
    for name in ("backup.complete", "backup.bytes_copied", "backup.duration", "project.protected"):
        assert f"airflow.harbor.{name}".encode() in sent
    assert b"harbor_backup" in sent
    assert b"library" in sent
