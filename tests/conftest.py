"""Fixtures of the whole suite, and the surroundings it runs in: clean, and off the network.

Airflow reads its settings when it is imported, so they are set here, before anything imports it.
Nothing here imports it: the tests of `core` run where it is not installed.
"""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import socket
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from airflow_provider_harbor.core.store.backup_store import BackupStore
    from tests.double import HarborDouble
    from tests.s3_server import S3Server

_HOME = tempfile.mkdtemp(prefix="harbor-tests-")
atexit.register(shutil.rmtree, _HOME, ignore_errors=True)
for _name in [name for name in os.environ if name.startswith("AIRFLOW")]:
    del os.environ[_name]
os.environ.update(
    AIRFLOW_HOME=_HOME,
    AIRFLOW__CORE__LOAD_EXAMPLES="False",
    AIRFLOW__CORE__DAGS_FOLDER=str(Path(__file__).parents[1] / "dags"),
)

# Who starts the tests in the background (`nohup`, `&`) has them ignore these, and with them all
# that they start. What has a handler here is not ignored by those.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, lambda *_: None)

# What would lead a client elsewhere, or give it another login.
_FOREIGN = (
    "DOCKER_CONFIG", "DOCKER_AUTH_CONFIG", "REGISTRY_AUTH_FILE",
    "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR",
    "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY",
    "http_proxy", "https_proxy", "all_proxy", "no_proxy",
)  # fmt: skip
_LOOPBACK = ("localhost", "127.0.0.1", "::1", "0.0.0.0", "::")


_LONGEST = ("e2e", "packaging")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes minutes, so that no core waits for it at the end."""
    items.sort(key=lambda item: item.path.parent.name not in _LONGEST)


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if name in _FOREIGN or name.startswith(("HARBOR_BACKUP_", "AIRFLOW_CONN_", "AWS_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "no-docker-config"))


@pytest.fixture(autouse=True)
def own_pace() -> None:
    """Let no test be slowed down by what a server of an earlier one did on the same port."""
    from airflow_provider_harbor.core.http.pace import configure

    configure()


@pytest.fixture(autouse=True)
def loopback_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no test reach another machine, and no test fail or pass because of one."""
    connect, resolve = socket.socket.connect, socket.getaddrinfo

    def guarded_connect(self: socket.socket, address: Any) -> Any:
        if self.family != socket.AF_UNIX and address[0] not in _LOOPBACK:
            raise ConnectionRefusedError(f"the tests stay off the network: {address}")
        return connect(self, address)

    def guarded_resolve(host: Any, *args: Any, **kwargs: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        if name is not None and name not in _LOOPBACK and name != socket.gethostname():
            raise socket.gaierror(socket.EAI_NONAME, f"the tests stay off the network: {name}")
        return resolve(host, *args, **kwargs)

    monkeypatch.setattr(socket.socket, "connect", guarded_connect)
    monkeypatch.setattr(socket, "getaddrinfo", guarded_resolve)


@pytest.fixture
def harbor() -> Iterator[HarborDouble]:
    """An empty Harbor, running."""
    from tests.double import HarborDouble

    with HarborDouble() as double:
        yield double


@pytest.fixture
def other_harbor() -> Iterator[HarborDouble]:
    """Another empty Harbor, as a destination."""
    from tests.double import HarborDouble

    with HarborDouble() as double:
        yield double


@pytest.fixture
def store(tmp_path: Path) -> BackupStore:
    """An empty backup store on the file system."""
    from airflow_provider_harbor.core.store.backup_store import BackupStore

    return BackupStore(tmp_path / "store")


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """A server of S3, one for all tests: each makes its own bucket."""
    from tests.s3_server import running_s3_server

    with running_s3_server(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture(params=["directory", "s3"])
def any_store(request: pytest.FixtureRequest, tmp_path: Path) -> BackupStore:
    """An empty backup store, in a directory and on S3."""
    from airflow_provider_harbor.core.store.backup_store import BackupStore

    if request.param == "directory":
        return BackupStore(tmp_path / "store")
    server: S3Server = request.getfixturevalue("s3")
    return BackupStore(f"s3://{server.new_bucket()}/a/prefix", **server.options)


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Define an Airflow connection to a double, and return its id.

    Call it with an id and the double; other fields of the connection by keyword.
    """
    import json

    def define(conn_id: str, double: HarborDouble | None = None, **fields: Any) -> str:
        known: dict[str, Any] = {"conn_type": "harbor"}
        if double is not None:
            known |= {"host": double.url, "login": double.user, "password": double.password}
        monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(known | fields))
        return conn_id

    return define


@pytest.fixture(scope="session")
def airflow_db() -> None:
    """Airflow's metadata database, made once, in SQLite."""
    from airflow.utils.db import initdb

    initdb()
