"""`harbor-backup backup`: keep everything that Harbor holds in a store, or copy it to a mirror."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from datetime import datetime, timezone

from airflow_provider_harbor.core.cli.arguments import (
    Commands,
    add_command,
    add_connections,
    add_limit_rate,
    add_output,
    add_project_filters,
    add_store,
    add_workers,
    connection,
    require_servers,
)
from airflow_provider_harbor.core.cli.outcome import Outcome
from airflow_provider_harbor.core.cli.progress import Console
from airflow_provider_harbor.core.cli.projects import PROJECTS_AT_ONCE, SideBySide
from airflow_provider_harbor.core.copy.opening import open_registry
from airflow_provider_harbor.core.copy.places import Place, Source
from airflow_provider_harbor.core.copy.registry_places import RegistrySource
from airflow_provider_harbor.core.copy.shared import Shared
from airflow_provider_harbor.core.copy.store_place import StorePlace
from airflow_provider_harbor.core.exceptions import (
    BackupIncompleteError,
    HarborBackupError,
    HarborConfigurationError,
    describe,
)
from airflow_provider_harbor.core.harbor.check import HarborStatus, check_harbor, list_projects
from airflow_provider_harbor.core.harbor.client import HarborClient
from airflow_provider_harbor.core.http.urls import normalise_url
from airflow_provider_harbor.core.http.waiting import check_stopped
from airflow_provider_harbor.core.human import Progress
from airflow_provider_harbor.core.jobs.backup import copy_project, finish_run, inventory_project
from airflow_provider_harbor.core.jobs.report import RunReport
from airflow_provider_harbor.core.jobs.results import ProjectResult, keeping_first_error
from airflow_provider_harbor.core.oci.registry import RegistryClient
from airflow_provider_harbor.core.store import layout
from airflow_provider_harbor.core.store.backup_store import BackupStore
from airflow_provider_harbor.core.store.leases import Lease

_EXAMPLES = """\
  harbor-backup backup harbor.example.com /backup/harbor --dry-run
  harbor-backup backup harbor.example.com /backup/harbor
  harbor-backup backup harbor.example.com s3://backups/harbor --project 'team-*'
  harbor-backup backup harbor.example.com /var/lib/harbor-backup --to mirror.example.com
"""


def add(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        "backup",
        run,
        short="keep everything that Harbor holds in a store",
        description="List Harbor, and keep what is new in the store, which has every night; or,\n"
        "with --to, copy it to a mirror: another Harbor (missing projects are created, private)\n"
        "or any other registry, and keep only the lists in the store. Run it again at any time.\n"
        "The login must see all projects, as an administrator or a system robot does; else name\n"
        "them with --project.",
        examples=_EXAMPLES,
    )
    parser.add_argument("url", metavar="URL", help="of the Harbor to back up")
    add_store(parser)
    parser.add_argument(
        "--to",
        default="",
        metavar="REGISTRY_URL",
        help="a registry that takes the content, in place of the store",
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="write inventories and plans, and copy nothing"
    )
    add_project_filters(parser)
    add_workers(parser)
    add_limit_rate(parser)
    add_connections(parser, {"": "URL, the source", "to": "the registry after --to"})
    add_output(parser)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Backup:
    """One run of the command, with all that it has opened."""

    client: HarborClient
    source: Source
    place: Place
    store: BackupStore
    lease: Lease | None
    console: Console
    run: str
    workers: int
    dry_run: bool

    def all(self, projects: Mapping[str, int]) -> bool:
        """Take all projects, some at once; False when it was told to stop.

        Args:
            projects: Their names, and how many repositories each one has.
        """
        with Shared(self.source, self.place, self.workers, PROJECTS_AT_ONCE) as shared:

            def back_up(project: str, progress: Progress) -> ProjectResult:
                def tell(text: str) -> None:
                    check_stopped()
                    progress(text)

                ref = inventory_project(self.client, self.store, self.run, project, progress=tell)
                return copy_project(
                    self.client,
                    self.source,
                    self.place,
                    self.store,
                    self.run,
                    ref,
                    lease=self.lease,
                    workers=self.workers,
                    shared=shared,
                    dry_run=self.dry_run,
                    progress=progress,
                )

            return SideBySide(projects, self.console).run(back_up)


def run(arguments: argparse.Namespace, console: Console) -> Outcome:
    """Back up a Harbor."""
    started_at = datetime.now(timezone.utc)
    require_servers(arguments, {"to": arguments.to})
    if arguments.to and normalise_url(arguments.url) == normalise_url(arguments.to):
        raise HarborConfigurationError("source and destination are the same registry")
    source = connection(arguments, arguments.url, "SOURCE")
    target = connection(arguments, arguments.to, "DESTINATION", "to") if arguments.to else None
    with ExitStack() as opened:
        client = opened.enter_context(HarborClient(**source))
        store = BackupStore(arguments.store)
        console.begin(f"checking {store.url}")
        is_there = store.is_there()
        if is_there:
            store.open_for(client.url)
            store.check()
        run_name = layout.run_name(started_at)
        where = target["url"] if target else store.url
        try:
            console.begin(f"checking {client.url}")
            status = check_harbor(client)
            found = list_projects(client, arguments.project, arguments.exclude)
            projects = {project.name: project.repo_count for project in found}
            if not is_there:  # not before Harbor answered: its URL may be mistyped
                store.begin_for(client.url)
                is_there = True
                console.line(f"a new store begins at {store.url}")
                store.check()
            place: Place = StorePlace(store)
            if target:
                console.begin(f"checking {target['url']}")
                place = opened.enter_context(closing(open_registry(**target)))
            place.require_other(client)
            lease = None if arguments.dry_run else store.lease(place.url, run_name, is_process=True)
            if lease:
                opened.callback(lease.release)
                opened.enter_context(lease)
        except HarborBackupError as err:
            if is_there:
                with keeping_first_error(run_name):
                    finish_run(
                        store,
                        run_name,
                        [],
                        harbor_url=client.url,
                        destination=where,
                        started_at=started_at,
                        dry_run=arguments.dry_run,
                        error=str(err),
                    )
            raise
        backup = _Backup(
            client=client,
            source=opened.enter_context(closing(RegistrySource(RegistryClient(**source)))),
            place=place,
            store=store,
            lease=lease,
            console=console,
            run=run_name,
            workers=arguments.workers,
            dry_run=arguments.dry_run,
        )
        is_whole = backup.all(projects)
        try:
            report = _conclude(backup, projects, status, started_at, arguments.project)
        except KeyboardInterrupt:
            return Outcome(
                is_complete=False,
                is_interrupted=True,
                summary="Stopped while the report was written. What was copied stays copied; run "
                "the same command again to go on",
            )
    return _outcome(backup, report, is_whole)


def _conclude(
    backup: _Backup,
    projects: Iterable[str],
    status: HarborStatus,
    started_at: datetime,
    limited_to: Sequence[str],
) -> RunReport:
    try:
        return finish_run(
            backup.store,
            backup.run,
            projects,
            harbor_url=status.url,
            harbor_version=status.harbor_version,
            destination=backup.place.url,
            started_at=started_at,
            limited_to=limited_to,
            dry_run=backup.dry_run,
        )
    except (HarborBackupError, OSError) as err:
        raise BackupIncompleteError(
            f"the report of the run {backup.run} could not be written: {describe(err)}", []
        ) from err


def _outcome(backup: _Backup, report: RunReport, is_whole: bool) -> Outcome:
    page = backup.store.files.url_of(layout.report(backup.run, "html"))
    summary = f"{report.summary_line()}. Report: {page}"
    verdict = report.headline
    if not is_whole:
        verdict = "Stopped"
        summary = f"Stopped; run the same command again to go on. {summary}"
    if backup.dry_run:
        summary += f". Plans: {backup.store.files.url_of(layout.plans(backup.run))}"
    return Outcome(
        is_complete=not report.failures(),
        is_interrupted=not is_whole,
        summary=summary,
        verdict=verdict,
        document={
            **report.to_json(),
            "interrupted": not is_whole,
            "failures": report.failures(),
            "store": backup.store.url,
            "report": page,
        },
    )
