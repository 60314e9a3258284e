"""`harbor-backup export`: a repository of a snapshot as an OCI layout."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path

from airflow_provider_harbor.core.cli.arguments import (
    Commands,
    add_command,
    add_limit_rate,
    add_output,
    add_snapshot,
    add_store,
    add_tags,
)
from airflow_provider_harbor.core.cli.outcome import Outcome, tell_snapshot
from airflow_provider_harbor.core.cli.progress import Console
from airflow_provider_harbor.core.jobs.choosing import find_snapshot
from airflow_provider_harbor.core.jobs.export import Export, export_repository
from airflow_provider_harbor.core.jobs.export_report import ExportReport
from airflow_provider_harbor.core.store.backup_store import BackupStore

_EXAMPLES = """\
  harbor-backup export /backup/harbor library/nginx ./nginx
  harbor-backup export /backup/harbor library/nginx ./nginx --tag 1.27 --snapshot 2026-11-25
  skopeo copy --all oci:./nginx:1.27 docker://registry.example.com/library/nginx:1.27
"""


def add(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        "export",
        run,
        short="write a repository as an OCI layout, for other tools",
        description="Write a repository of a snapshot into a directory, as an OCI image layout:\n"
        "all of it, or some tags with what belongs to them. It needs nothing else, and is read by\n"
        "skopeo, oras, regctl and crane. Where the directory is in the store's own file system,\n"
        "its files are hard links, and take no room. All content is verified.",
        examples=_EXAMPLES,
        uses_registries=False,
    )
    add_store(parser)
    parser.add_argument(
        "repository", metavar="REPOSITORY", help="full name of the repository: library/nginx"
    )
    parser.add_argument(
        "directory", metavar="DIR", type=Path, help="where to; not there yet, or empty"
    )
    add_snapshot(parser)
    add_tags(parser)
    parser.add_argument(
        "--copy",
        action="store_true",
        help="make copies, no hard links: where something will write into DIR. Whoever changes a "
        "linked file changes the store",
    )
    add_limit_rate(parser)
    add_output(parser)


def run(arguments: argparse.Namespace, console: Console) -> Outcome:
    """Write the layout."""
    store = BackupStore(arguments.store)
    console.begin(f"reading {store.url}")
    _ = store.harbor_url  # that it is a store
    project = arguments.repository.partition("/")[0]
    export = Export(
        store=store,
        snapshot=find_snapshot(store, arguments.snapshot, (project,)),
        repository=arguments.repository,
        tags=tuple(arguments.tag),
        directory=arguments.directory,
        may_link=not arguments.copy,
    )
    tell_snapshot(console, store, export.snapshot)
    report = export_repository(export, console.status)
    for failure in report.failures:
        console.error(f"FAILED {failure}")
    return Outcome(
        is_complete=not report.failures,
        summary=_summary(export, report),
        document={
            "store": store.url,
            "snapshot": export.snapshot.key,
            "complete": export.snapshot.complete,
            "repository": export.repository,
            "directory": str(export.directory),
            **report.to_json(),
        },
    )


def _summary(export: Export, report: ExportReport) -> str:
    if not report.manifests:
        return f"Nothing of {export.repository} could be exported; {export.directory} is not kept."
    text = f"{export.repository} is in {export.directory}: {report.summary()}"
    if not report.tags:
        return text
    where = shlex.quote(f"oci:{export.directory}:{report.tags[0]}")
    return f"{text}\nRead it, for instance, with: skopeo inspect --raw {where}"
