"""What `harbor-backup inventory` and `harbor-backup copy` do, one project after the other.

Each command takes the parsed arguments of `cli` and a console, and returns an `Outcome`. It raises
only before anything was begun; from then on one project's failure does not stop the others.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, BinaryIO, Literal, cast

from airflow_provider_harbor.core.cli.credentials import credentials_for
from airflow_provider_harbor.core.cli.progress import Console
from airflow_provider_harbor.core.copy.destination import Destination, open_destination
from airflow_provider_harbor.core.copy.outcome import Status
from airflow_provider_harbor.core.exceptions import (
    BackupIncompleteError,
    HarborBackupError,
    HarborConfigurationError,
    describe,
)
from airflow_provider_harbor.core.harbor.check import HarborStatus, check_harbor, list_projects
from airflow_provider_harbor.core.harbor.client import HarborClient
from airflow_provider_harbor.core.harbor.inventory import take_inventory
from airflow_provider_harbor.core.harbor.records import Counts, Record, count_records, write_records
from airflow_provider_harbor.core.http.urls import normalise_url
from airflow_provider_harbor.core.human import human_count, human_size
from airflow_provider_harbor.core.jobs.backup import copy_project, finish_run, inventory_project
from airflow_provider_harbor.core.jobs.report import RunReport
from airflow_provider_harbor.core.jobs.results import ProjectResult
from airflow_provider_harbor.core.oci.registry import RegistryClient
from airflow_provider_harbor.core.store.backup_store import BackupStore
from airflow_provider_harbor.core.store.leases import Lease
from airflow_provider_harbor.core.store.storage import Storage, pack

log = logging.getLogger(__name__)

STDOUT = "-"
_SHOWN_FINDINGS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a command ended.

    Attributes:
        is_complete: Whether all was done that was asked for.
        is_interrupted: Whether it was told to stop before its end.
        used_stdout: Whether the standard output is taken by what was asked for.
        summary: The last line for people; may be empty.
        document: The same for machines, with all details.
    """

    is_complete: bool
    is_interrupted: bool = False
    used_stdout: bool = False
    summary: str = ""
    document: dict[str, Any] = field(default_factory=dict)


# -- what both need


def _connection(
    arguments: argparse.Namespace, url: str, prefix: Literal["SOURCE", "DESTINATION"]
) -> dict[str, Any]:
    """Return how to reach a registry, as the keyword arguments that every client takes."""
    user, password = credentials_for(url, prefix)
    verify: bool | str = not arguments.insecure
    if arguments.ca_file:
        if not Path(arguments.ca_file).is_file():
            raise HarborConfigurationError(f"--ca-file: there is no file {arguments.ca_file}")
        verify = str(arguments.ca_file)
    return {
        "url": normalise_url(url),
        "user": user,
        "password": password,
        "verify": verify,
        "timeout_seconds": arguments.timeout,
    }


def _look_at_source(
    arguments: argparse.Namespace, client: HarborClient, console: Console
) -> tuple[HarborStatus, list[str]]:
    """Prove that Harbor is fit and the login sees all, and return the projects' names, sorted."""
    console.begin(f"checking {client.url}")
    status = check_harbor(client)
    names = [
        project.name for project in list_projects(client, arguments.project, arguments.exclude)
    ]
    return status, names


# -- inventory


class _Walk:
    """Lists projects one after the other; it is what it has found, once it was iterated over."""

    def __init__(self, client: HarborClient, projects: Sequence[str], console: Console) -> None:
        self._client = client
        # As their repositories are sorted: `a-b/x` comes before `a/x`.
        self._projects = sorted(projects, key=lambda name: name + "/")
        self._console = console
        self.is_begun = False
        self.counts = Counts()
        self.with_gaps = 0
        self.failures: list[str] = []

    def __iter__(self) -> Iterator[Record]:
        self.is_begun = True
        for number, project in enumerate(self._projects, start=1):
            place = f"[{number}/{len(self._projects)}]"
            yield from self._list(project, place)

    def _list(self, project: str, place: str) -> Sequence[Record]:
        self._console.begin(f"{place} {project}: listing")
        try:
            inventory = take_inventory(
                self._client, project, progress=lambda text: self._console.status(f"{place} {text}")
            )
        except Exception as err:
            log.debug("This is where it happened:", exc_info=True)
            self.with_gaps += 1
            self.failures.append(f"{project}: {describe(err)}")
            self._console.error(f"{place} FAILED {self.failures[-1]}")
            return []
        counts = count_records(inventory.records)
        self.counts += counts
        self._console.line(f"{place} {project}: {_holdings_in_words(counts)}")
        if inventory.gaps:
            self.with_gaps += 1
        for gap in inventory.gaps:
            self.failures.append(f"repository {gap}")
            self._console.error(f"{place} FAILED {self.failures[-1]}")
        return inventory.records


def run_inventory(arguments: argparse.Namespace, console: Console) -> Outcome:
    """List a Harbor into one file.

    Args:
        arguments: `url`, `output`, and what is common to all commands.
        console: Where to show how it goes.
    """
    uses_stdout = arguments.output == STDOUT
    if uses_stdout and arguments.json:
        raise HarborConfigurationError(
            "--json and --output - both want the standard output: give --output a file"
        )
    with HarborClient(**_connection(arguments, arguments.url, "SOURCE")) as client:
        status, projects = _look_at_source(arguments, client, console)
        walk = _Walk(client, projects, console)
        try:
            where = _write_output(arguments.output, walk)
        except BrokenPipeError:
            raise
        except OSError as err:
            message = f"{arguments.output} cannot be written: {describe(err)}"
            if walk.is_begun:
                raise BackupIncompleteError(message, walk.failures) from err
            raise HarborConfigurationError(message) from err
    words = "NOT everything is listed" if walk.failures else "Everything is listed"
    return Outcome(
        is_complete=not walk.failures,
        used_stdout=uses_stdout,
        summary=f"{words}: {len(projects) - walk.with_gaps:,} of "
        f"{human_count(len(projects), 'project')}, {_holdings_in_words(walk.counts)}, "
        f"{human_size(walk.counts.size_bytes)}. Inventory: {where}",
        document={
            "complete": not walk.failures,
            "harbor_url": status.url,
            "harbor_version": status.harbor_version,
            "output": where,
            "projects": projects,
            "counts": walk.counts.to_json(),
            "failures": walk.failures,
        },
    )


def _holdings_in_words(counts: Counts) -> str:
    return (
        f"{human_count(counts.repositories, 'repository')}, "
        f"{human_count(counts.digests, 'digest')}, {human_count(counts.tags, 'tag')}"
    )


def _write_output(output: str, walk: _Walk) -> str:
    """Write an inventory, and return where it is: with gaps it does not replace a whole one."""
    if output == STDOUT:
        write_records(sys.stdout.buffer, walk)
        sys.stdout.buffer.flush()
        return "the standard output"
    path = Path(output).resolve()
    is_compressed = path.suffix == ".gz"
    if path.exists() and not path.is_file():
        # A device or a pipe is written to; a directory gives its own error.
        with path.open("wb") as stream:
            _write_records(stream, walk, is_compressed)
        return str(path)
    partial = path.with_name(path.name + ".partial")
    Storage(path.parent).put(
        partial.name, lambda stream: _write_records(stream, walk, is_compressed)
    )
    if walk.failures:
        return str(partial)
    os.replace(partial, path)
    return str(path)


def _write_records(stream: BinaryIO, records: Iterable[Record], is_compressed: bool) -> None:
    if not is_compressed:
        write_records(stream, records)
        return
    with pack(stream) as packed:
        write_records(cast(BinaryIO, packed), records)


# -- copy


@dataclass(frozen=True, slots=True, kw_only=True)
class _Copy:
    """One run of the command `copy`, with all that it has opened."""

    client: HarborClient
    registry: RegistryClient
    destination: Destination
    store: BackupStore
    lease: Lease | None
    console: Console
    run: str
    workers: int
    dry_run: bool

    def all(self, projects: Sequence[str]) -> bool:
        """Take all projects in turn; False when it was told to stop."""
        try:
            for number, project in enumerate(projects, start=1):
                self._one(project, f"[{number}/{len(projects)}]")
        except KeyboardInterrupt:
            return False
        return True

    def _one(self, project: str, place: str) -> None:
        self.console.begin(f"{place} {project}: listing")
        try:
            ref = inventory_project(
                self.client,
                self.store,
                self.run,
                project,
                progress=lambda text: self.console.status(f"{place} {text}"),
            )
            result = copy_project(
                self.client,
                self.registry,
                self.destination,
                self.store,
                self.run,
                ref,
                lease=self.lease,
                workers=self.workers,
                dry_run=self.dry_run,
                progress=lambda text: self.console.status(f"{place} {project}: {text}"),
            )
        except Exception as err:
            log.debug("This is where it happened:", exc_info=True)
            self.console.error(f"{place} FAILED {project}: {describe(err)}")
            return
        self._tell(result, place)

    def _tell(self, result: ProjectResult, place: str) -> None:
        counts = result.inventory.counts if result.inventory else Counts()
        held = human_count(counts.digests, "digest")
        if counts.attestations:  # they are copied too, so that the sum is right
            held += f" and {human_count(counts.attestations, 'attestation')}"
        self.console.line(f"{place} {result.project}: {held}; {result.outcome}")
        self._tell_failures(place, [f"repository {gap}" for gap in result.gaps], "repository")
        findings = [str(finding) for finding in result.iter_findings(Status.FAILED)]
        self._tell_failures(place, findings, "artifact")

    def _tell_failures(self, place: str, lines: Sequence[str], noun: str) -> None:
        for line in lines[:_SHOWN_FINDINGS]:
            self.console.error(f"{place} FAILED {line}")
        if len(lines) > _SHOWN_FINDINGS:
            more = human_count(len(lines) - _SHOWN_FINDINGS, f"further {noun}")
            self.console.error(f"{place} FAILED {more}, all in the report")


def run_copy(arguments: argparse.Namespace, console: Console) -> Outcome:
    """Copy a Harbor to another registry.

    Args:
        arguments: `url`, `destination`, `state`, `workers`, `dry_run`, and what is common to all
            commands.
        console: Where to show how it goes.
    """
    started_at = datetime.now(timezone.utc)
    if normalise_url(arguments.url) == normalise_url(arguments.destination):
        raise HarborConfigurationError("source and destination are the same registry")
    source = _connection(arguments, arguments.url, "SOURCE")
    target = _connection(arguments, arguments.destination, "DESTINATION")
    with ExitStack() as opened:
        client = opened.enter_context(HarborClient(**source))
        registry = opened.enter_context(RegistryClient(**source))
        store = BackupStore(arguments.state)
        store.open_for(client.url)
        run = f"cli-{started_at:%Y-%m-%dT%H-%M-%S.%fZ}"
        try:
            status, projects = _look_at_source(arguments, client, console)
            console.begin(f"checking {target['url']}")
            destination = opened.enter_context(closing(open_destination(**target)))
            destination.require_other(client)
            lease = (
                None if arguments.dry_run else store.lease(destination.url, run, is_process=True)
            )
            if lease:
                opened.callback(lease.release)
                opened.enter_context(lease)
        except HarborBackupError as err:
            finish_run(
                store,
                run,
                [],
                harbor_url=client.url,
                destination=normalise_url(arguments.destination),
                started_at=started_at,
                dry_run=arguments.dry_run,
                error=str(err),
            )
            raise
        copy = _Copy(
            client=client,
            registry=registry,
            destination=destination,
            store=store,
            lease=lease,
            console=console,
            run=run,
            workers=arguments.workers,
            dry_run=arguments.dry_run,
        )
        is_whole = copy.all(projects)
        try:
            report = _conclude(copy, projects, status, started_at)
        except KeyboardInterrupt:
            summary = "Stopped while the report was written. What was copied stays copied; run the "
            summary += "same command again to go on"
            return Outcome(is_complete=False, is_interrupted=True, summary=summary)
    return _outcome(copy, report, is_whole)


def _conclude(
    copy: _Copy, projects: Sequence[str], status: HarborStatus, started_at: datetime
) -> RunReport:
    try:
        return finish_run(
            copy.store,
            copy.run,
            projects,
            harbor_url=status.url,
            harbor_version=status.harbor_version,
            destination=copy.destination.url,
            started_at=started_at,
            dry_run=copy.dry_run,
        )
    except (HarborBackupError, OSError) as err:
        raise BackupIncompleteError(
            f"the report of the run {copy.run} could not be written: {describe(err)}", []
        ) from err


def _outcome(copy: _Copy, report: RunReport, is_whole: bool) -> Outcome:
    key = BackupStore.run_key(copy.run)
    page = f"{copy.store.url}/reports/{key}.html"
    summary = f"{report.summary_line()}. Report: {page}"
    if not is_whole:
        summary = f"Stopped; run the same command again to go on. {summary}"
    if copy.dry_run:
        summary += f". Plans: {copy.store.url}/plans/{key}"
    return Outcome(
        is_complete=not report.failures(),
        is_interrupted=not is_whole,
        summary=summary,
        document={
            **report.to_json(),
            "interrupted": not is_whole,
            "failures": report.failures(),
            "store": copy.store.url,
            "report": page,
        },
    )
