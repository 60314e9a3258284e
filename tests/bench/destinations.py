"""Where a backup goes in a benchmark, and what was asked of it."""

from __future__ import annotations

import os
import re
import shutil
import urllib.request
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.registry_server import PlainRegistry
from tests.s3_server import S3Server, find_versitygw, running_s3_server

_METRIC = re.compile(
    r'^registry_http_requests_total\{code="\d+",handler="(\w+)",method="(\w+)"\} (\d+)',
    re.MULTILINE,
)
_S3_REQUEST = re.compile(r" s3_(\w+) ")
_LARGE_BYTES = 1024 * 1024


class Destination(ABC):
    """A new place, empty, until it is closed.

    Attributes:
        address: Host and port, where a line may be put before it; empty for a directory.
    """

    address = ""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    @abstractmethod
    def arguments(self, address: str) -> list[str]:
        """Return what the command line is told, when the place is reached at an address."""

    def environment_at(self, address: str) -> Mapping[str, str]:
        """Return what the command line needs besides."""
        return {}

    def skopeo(self, address: str, project: str) -> list[str]:
        """Return what skopeo is told to copy a project; nothing where it cannot copy there."""
        return []

    def counts(self) -> Counter[str]:
        """Return how many requests of which kind it has had."""
        return Counter()


class Directory(Destination):
    def arguments(self, address: str) -> list[str]:
        return [str(self.directory / "store")]

    def skopeo(self, address: str, project: str) -> list[str]:
        return ["dir", str(self.directory / "skopeo"), "--scoped"]


class Registry(Destination):
    def __init__(self, directory: Path, server: PlainRegistry) -> None:
        super().__init__(directory)
        self._server = server
        self.address = server.url.partition("://")[2]

    def arguments(self, address: str) -> list[str]:
        return [str(self.directory / "lists"), "--to", f"http://{address}"]

    def skopeo(self, address: str, project: str) -> list[str]:
        # Not `--scoped`: it would put the port of the source into the name of the repository.
        return ["docker", f"{address}/{project}", "--dest-tls-verify=false"]

    def counts(self) -> Counter[str]:
        with urllib.request.urlopen(self._server.metrics_url, timeout=10) as answer:
            text = answer.read().decode()
        counts: Counter[str] = Counter()
        for handler, method, number in _METRIC.findall(text):
            counts[f"{handler}.{method}"] += int(number)
        return counts


class S3(Destination):
    def __init__(self, directory: Path, server: S3Server, log: Path) -> None:
        super().__init__(directory)
        self._server = server
        self._log = log
        self._bucket = server.new_bucket()
        self.address = server.url.partition("://")[2]

    def arguments(self, address: str) -> list[str]:
        return [f"s3://{self._bucket}/harbor"]

    def environment_at(self, address: str) -> Mapping[str, str]:
        return {**self._server.environment, "AWS_ENDPOINT_URL": f"http://{address}"}

    def counts(self) -> Counter[str]:
        counts: Counter[str] = Counter()
        if self._log.exists():
            counts.update(f"s3.{kind}" for kind in _S3_REQUEST.findall(self._log.read_text()))
        return counts


@contextmanager
def new_place(kind: str, directory: Path) -> Iterator[Destination]:
    """Make a new place; what is large in it is gone at the end of the block."""
    directory.mkdir()
    with ExitStack() as stack:
        stack.callback(_empty, directory)
        if kind == "registry":
            registry = stack.enter_context(PlainRegistry(directory, with_metrics=True))
            yield Registry(directory, registry)
        elif kind == "s3":
            log = directory / "access.log"
            # Without it, it closes each connection after one request, as no real one does.
            more = ("--keep-alive", "--access-log", str(log))
            yield S3(directory, stack.enter_context(running_s3_server(directory, *more)), log)
        else:
            yield Directory(directory)


def _empty(directory: Path) -> None:
    """Give the room of large files back, and leave it to the end of all to delete files.

    For a minute and more ext4 looks at each file that was deleted when it makes a new one: what is
    measured next would take up to twice the CPU.
    """
    for path in directory.rglob("*"):
        if path.is_file() and path.stat().st_size > _LARGE_BYTES:
            os.truncate(path, 0)


def missing(kind: str) -> str:
    """Return the program that a place needs and that is not installed; empty where all is."""
    if kind == "registry" and shutil.which("docker-registry") is None:
        return "docker-registry (Debian package docker-registry)"
    if kind == "s3" and find_versitygw() is None:
        return "versitygw (go install github.com/versity/versitygw/cmd/versitygw@latest)"
    return ""


PLACES = ("directory", "s3", "registry")
