"""The two registries of the demo: a Harbor that holds something, and an empty one to copy to."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from airflow_provider_harbor.core.oci.registry import RegistryClient
from tests.double import HarborDouble
from tests.registry_server import PlainRegistry


@dataclass(frozen=True)
class Registry:
    """Where one of the two is, and how to log in.

    Attributes:
        name: What it is here.
        what: What it is by itself.
    """

    url: str
    name: str
    what: str
    user: str = ""
    password: str = ""

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

    def client(self) -> RegistryClient:
        return RegistryClient(self.url, self.user, self.password)


@contextmanager
def sample_harbor() -> Iterator[Registry]:
    """Run the double with its sample."""
    with HarborDouble(sample=True) as double:
        what = f"Harbor double, {double.user} / {double.password}"
        yield Registry(double.url, "The sample Harbor", what, double.user, double.password)


@contextmanager
def empty_registry(directory: Path) -> Iterator[Registry]:
    """Run Debian's docker-registry; where it is not installed, another double."""
    if program := shutil.which("docker-registry"):
        with PlainRegistry(directory) as registry:
            yield Registry(registry.url, "Where the backup goes", f"{_version(program)}, empty")
    else:
        with HarborDouble() as double:
            what = "Harbor double, empty (docker-registry is not installed)"
            yield Registry(double.url, "Where the backup goes", what, double.user, double.password)


def _version(program: str) -> str:
    told = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
    return f"docker-registry {told.stdout.split()[-1]}" if told.stdout else "docker-registry"
