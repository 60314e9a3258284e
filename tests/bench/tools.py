"""What is measured: our command line, that of another state of the project, and `skopeo sync`."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tests.bench.destinations import Destination
from tests.bench.processes import ROOT, Used, measure
from tests.bench.workloads import Workload

_USER, _PASSWORD = "admin", "Harbor12345"


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One run: of what, from where, to where.

    Attributes:
        source_url: At which the Harbor is reached, maybe through a line.
        address: At which the destination is reached, likewise.
        directory: For files of its own.
    """

    workload: Workload
    source_url: str
    destination: Destination
    address: str
    directory: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Ours:
    """Our command line, of this or of another checkout.

    Attributes:
        program: The module that is run, and what it is told first.
        options: More of the command line.
    """

    name: str = "ours"
    checkout: Path = ROOT
    program: tuple[str, ...] = ("airflow_provider_harbor.core.cli",)
    options: tuple[str, ...] = ()

    def modes(self, destination: Destination) -> tuple[str, ...]:
        return ("cold", "unchanged")

    def share_of(self, workload: Workload) -> str:
        """Return which part of the workload it takes; empty for all of it."""
        return ""

    def always(self, number: int) -> Ours:
        """Return the same with so many requests in flight, always."""
        program = ("tests.bench.fixed", str(number))
        return replace(self, name=f"{self.name}, {number} in flight", program=program)

    def backup(self, task: Task, *more: str) -> Used:
        """Back everything up."""
        place = task.destination.arguments(task.address)
        return self.run(task, "backup", task.source_url, *place, *self.options, *more)

    def run(self, task: Task, *words: str) -> Used:
        """Run a command."""
        login = {
            "HARBOR_BACKUP_SOURCE_USER": _USER,
            "HARBOR_BACKUP_SOURCE_PASSWORD": _PASSWORD,
            "DOCKER_CONFIG": str(task.directory),  # not the logins of who runs this
        }
        return measure(
            [sys.executable, "-m", *self.program, *words],
            cwd=self.checkout,
            environment={**login, **task.destination.environment_at(task.address)},
        )


# So many repositories of one project `skopeo` is given at most.
_MOST_REPOSITORIES = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Skopeo:
    """`skopeo sync`. It takes one image after the other, so of many it gets one repository only."""

    name: str = "skopeo"

    def modes(self, destination: Destination) -> tuple[str, ...]:
        """Return what it can do there: it copies to registries, and to empty directories."""
        if not destination.skopeo("", ""):
            return ()
        return ("cold", "unchanged") if destination.address else ("cold",)

    def share_of(self, workload: Workload) -> str:
        """Return which part of the workload it takes; empty for all of it."""
        taken, number = len(self._taken(workload)), len(workload.repositories)
        return f"{taken} of {number} repositories" if taken < number else ""

    @staticmethod
    def _taken(workload: Workload) -> tuple[str, ...]:
        names = workload.repositories
        return names if len(names) <= _MOST_REPOSITORIES else names[:1]

    def backup(self, task: Task) -> Used:
        """Copy that part."""
        names = self._taken(task.workload)
        project = names[0].partition("/")[0]
        entry = {
            "tls-verify": False,
            "credentials": {"username": _USER, "password": _PASSWORD},
            "images": {name: [] for name in names},
        }
        sources = task.directory / "skopeo.yml"
        host = task.source_url.partition("://")[2]
        sources.write_text(json.dumps({host: entry}))  # JSON is YAML
        kind, place, *more = task.destination.skopeo(task.address, project)
        command = ["skopeo", "sync", "--all", "--src", "yaml", "--dest", kind, *more]
        return measure([*command, str(sources), place])


Tool = Ours | Skopeo


def has_skopeo() -> bool:
    return shutil.which("skopeo") is not None


def chosen(
    against: Path | None, in_flight: Sequence[int], with_skopeo: bool, options: Sequence[str] = ()
) -> list[Tool]:
    """Return what is to be measured."""
    ours = Ours(options=tuple(options))
    tools: list[Tool] = [ours, *(ours.always(number) for number in in_flight)]
    if against:
        tools.append(Ours(name="before", checkout=Path(os.path.abspath(against))))
    if with_skopeo and has_skopeo():
        tools.append(Skopeo())
    return tools
