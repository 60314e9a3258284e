"""`harbor-backup restore`: bring back what a snapshot holds."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone

from airflow_provider_harbor.core.cli.arguments import (
    Commands,
    add_command,
    add_connections,
    add_limit_rate,
    add_output,
    add_snapshot,
    add_store,
    add_tags,
    add_workers,
    connection,
    require_servers,
)
from airflow_provider_harbor.core.cli.outcome import Outcome, tell_result, tell_snapshot
from airflow_provider_harbor.core.cli.progress import Console
from airflow_provider_harbor.core.copy.opening import open_registry
from airflow_provider_harbor.core.copy.places import Place, Source
from airflow_provider_harbor.core.copy.registry_places import RegistrySource
from airflow_provider_harbor.core.exceptions import (
    HarborConfigurationError,
    StoreError,
    describe,
)
from airflow_provider_harbor.core.harbor.records import Counts
from airflow_provider_harbor.core.http.urls import normalise_url
from airflow_provider_harbor.core.jobs.choosing import (
    Choice,
    Restore,
    find_snapshot,
    parse_renames,
)
from airflow_provider_harbor.core.jobs.restore import (
    choose,
    finish_restore,
    restore_project,
)
from airflow_provider_harbor.core.jobs.results import ProjectResult
from airflow_provider_harbor.core.oci.registry import RegistryClient
from airflow_provider_harbor.core.store import layout
from airflow_provider_harbor.core.store.backup_store import BackupStore
from airflow_provider_harbor.core.store.leases import Lease

log = logging.getLogger(__name__)

_EXAMPLES = """\
  harbor-backup restore /backup/harbor harbor.example.com --dry-run
  harbor-backup restore /backup/harbor harbor.example.com --project library
  harbor-backup restore /backup/harbor harbor.example.com --snapshot 2026-11-25 \\
      --repository library/nginx --tag 1.27
  harbor-backup restore s3://backups/harbor harbor.example.com --project library \\
      --as library=library-restored
"""


def add(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        "restore",
        run,
        short="bring back what a snapshot holds",
        description="Copy what a snapshot holds to a Harbor or another registry: all of it, or\n"
        "some projects, repositories or tags. Missing projects are created, private. Only what is\n"
        "missing there is sent, and nothing is deleted. A tag that names something else there is\n"
        "left alone and shown, unless --overwrite is given.",
        examples=_EXAMPLES,
    )
    add_store(parser)
    parser.add_argument("url", metavar="URL", help="of the Harbor or registry to restore to")
    add = parser.add_argument
    add_snapshot(parser)
    add(
        "--project",
        action="append",
        default=[],
        metavar="GLOB",
        help="only such projects; may be repeated (default: all)",
    )
    add(
        "--repository",
        action="append",
        default=[],
        metavar="NAME",
        help="only this repository (library/nginx), or a glob; may be repeated",
    )
    add_tags(parser)
    add(
        "--as",
        dest="renames",
        action="append",
        default=[],
        metavar="PROJECT=NEW",
        help="restore a project under another name; may be repeated",
    )
    add(
        "--from",
        dest="mirror",
        default="",
        metavar="MIRROR_URL",
        help="take the content from this registry, and only the lists from the store",
    )
    add(
        "--overwrite",
        action="store_true",
        help="also move tags that name something else there",
    )
    add("--dry-run", action="store_true", help="show what would be sent, and change nothing")
    add_workers(parser)
    add_limit_rate(parser)
    add_connections(parser, {"": "URL, the destination", "from": "the mirror after --from"})
    add_output(parser)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    """One run of the command, with all that it has opened."""

    restore: Restore
    place: Place
    source: Source | None
    lease: Lease | None
    console: Console
    name: str
    workers: int
    dry_run: bool
    results: dict[str, ProjectResult]

    def all(self, projects: Mapping[str, Counts | None]) -> bool:
        """Take all projects in turn; False when it was told to stop."""
        weights = {name: counts.repositories if counts else 0 for name, counts in projects.items()}
        self.console.begin_projects(
            {self._name_of(project): weight for project, weight in weights.items()}
        )
        try:
            for number, (project, counts) in enumerate(projects.items(), start=1):
                self._one(project, counts, f"[{number}/{len(projects)}]")
        except KeyboardInterrupt:
            return False
        return True

    def _one(self, project: str, counts: Counts | None, place: str) -> None:
        name = self._name_of(project)
        self.console.begin_project(place, name, "comparing")
        try:
            result = restore_project(
                self.restore,
                project,
                self.place,
                run=self.name,
                keep=self._keep,
                counts=counts,
                source=self.source,
                lease=self.lease,
                workers=self.workers,
                dry_run=self.dry_run,
                progress=lambda text: self.console.tell_project(name, text),
            )
        except Exception as err:
            log.debug("This is where it happened:", exc_info=True)
            self.console.end_project(name)
            self.console.error(f"{place} FAILED {name}: {describe(err)}", "bad")
            return
        self.console.end_project(name)
        tell_result(self.console, place, name, result)

    def _name_of(self, project: str) -> str:
        target = self.restore.target_of(project)
        return project if target == project else f"{project} as {target}"

    def _keep(self, result: ProjectResult) -> None:
        self.results[result.project] = result


def run(arguments: argparse.Namespace, console: Console) -> Outcome:
    """Restore a snapshot, or a part of it."""
    started_at = datetime.now(timezone.utc)
    require_servers(arguments, {"from": arguments.mirror})
    target = connection(arguments, arguments.url, "DESTINATION")
    with ExitStack() as opened:
        store = BackupStore(arguments.store)
        console.begin(f"reading {store.url}")
        _ = store.harbor_url  # that it is a store
        restore = _choose_snapshot(arguments, store)
        projects = choose(restore)
        tell_snapshot(console, store, restore.snapshot)
        console.begin(f"checking {target['url']}")
        place = opened.enter_context(closing(open_registry(**target)))
        one = _Run(
            restore=restore,
            place=place,
            source=_open_mirror(arguments, restore, opened),
            lease=None
            if arguments.dry_run
            else opened.enter_context(_lease(store, place, started_at, console)),
            console=console,
            name=_name(started_at),
            workers=arguments.workers,
            dry_run=arguments.dry_run,
            results={},
        )
        is_whole = one.all(projects)
        return _outcome(one, list(projects), started_at, is_whole)


def _name(started_at: datetime) -> str:
    return f"{layout.run_name(started_at)}.restore"


def _choose_snapshot(arguments: argparse.Namespace, store: BackupStore) -> Restore:
    choice = Choice(
        projects=tuple(arguments.project),
        repositories=tuple(arguments.repository),
        tags=tuple(arguments.tag),
    )
    snapshot = find_snapshot(
        store,
        arguments.snapshot,
        choice.project_patterns,
        needs_content=not arguments.mirror,
    )
    return Restore(
        store=store,
        snapshot=snapshot,
        choice=choice,
        renames=parse_renames(arguments.renames, choice.find_projects(snapshot)),
        overwrites=arguments.overwrite,
    )


def _open_mirror(
    arguments: argparse.Namespace, restore: Restore, opened: ExitStack
) -> Source | None:
    if not arguments.mirror:
        return None
    if normalise_url(arguments.mirror) == normalise_url(arguments.url):
        raise HarborConfigurationError(
            f"--from names the registry that is restored to, {normalise_url(arguments.url)}. Name "
            "another mirror, or leave it out"
        )
    registry = RegistryClient(**connection(arguments, arguments.mirror, "SOURCE", "from"))
    source = RegistrySource(registry, rename=restore.original_name)
    opened.enter_context(closing(source))
    registry.ping()
    return source


@contextmanager
def _lease(
    store: BackupStore, place: Place, started_at: datetime, console: Console
) -> Iterator[Lease | None]:
    """Hold the lease of the place, unless the store is one that can only be read."""
    lease = store.lease(place.url, _name(started_at), is_process=True)
    try:
        lease.acquire()
    except StoreError as err:
        console.error(
            f"warning: another restore at the same time would not be noticed: {err}", "warn"
        )
        yield None
        return
    try:
        with lease:
            yield lease
    finally:
        lease.release()


def _outcome(one: _Run, projects: Sequence[str], started_at: datetime, is_whole: bool) -> Outcome:
    store = one.restore.store
    report, page = finish_restore(
        one.restore,
        one.name,
        projects,
        one.results.values(),
        destination=one.place.url,
        started_at=started_at,
        dry_run=one.dry_run,
    )
    summary, verdict = report.summary_line(), report.headline
    if page:
        summary += f". Report: {page}"
    if not is_whole:
        verdict = "Stopped"
        summary = f"Stopped; run the same command again to go on. {summary}"
    return Outcome(
        is_complete=not report.failures(),
        is_interrupted=not is_whole,
        summary=summary,
        verdict=verdict,
        document={
            **report.to_json(),
            "interrupted": not is_whole,
            "failures": report.failures(),
            "store": store.url,
            "report": page,
        },
    )
