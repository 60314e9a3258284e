"""`harbor-backup ls`: what a snapshot holds."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from typing import Any

from airflow_provider_harbor.core.cli.arguments import (
    Commands,
    add_command,
    add_output,
    add_snapshot,
    add_store,
)
from airflow_provider_harbor.core.cli.outcome import Outcome
from airflow_provider_harbor.core.cli.progress import Console, Part
from airflow_provider_harbor.core.cli.tables import Table, short_digest
from airflow_provider_harbor.core.harbor.records import Record, count_records
from airflow_provider_harbor.core.human import human_count, human_size
from airflow_provider_harbor.core.jobs.choosing import find_snapshot, unknown_name
from airflow_provider_harbor.core.store.backup_store import BackupStore
from airflow_provider_harbor.core.store.snapshots import Snapshot

_EXAMPLES = """\
  harbor-backup ls /backup/harbor
  harbor-backup ls /backup/harbor library
  harbor-backup ls /backup/harbor library/nginx --snapshot 2026-11-25
"""


def add(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        "ls",
        run,
        short="show what a snapshot holds",
        description="Show the projects of a snapshot; the repositories of a project; or the\n"
        "artifacts of a repository with their tags, sizes and times.",
        examples=_EXAMPLES,
        uses_registries=False,
    )
    add_store(parser)
    parser.add_argument(
        "path",
        nargs="?",
        default="",
        metavar="PROJECT[/REPOSITORY]",
        help="what to look into (default: the snapshot as a whole)",
    )
    add_snapshot(parser)
    add_output(parser)


def run(arguments: argparse.Namespace, console: Console) -> Outcome:
    """Show a snapshot, a project or a repository."""
    store = BackupStore(arguments.store)
    _ = store.harbor_url  # that it is a store
    path = arguments.path.strip("/")
    project = path.partition("/")[0]
    snapshot = find_snapshot(store, arguments.snapshot, (project,) if project else ())
    if not path:
        return _outcome(snapshot, *_projects(snapshot))
    if project not in snapshot.projects:
        where = f"the snapshot {snapshot.key}"
        raise unknown_name(project, "project", where, snapshot.projects.keys())
    if "/" in path:
        return _outcome(snapshot, *_artifacts(store, snapshot, project, path))
    return _outcome(snapshot, *_repositories(store, snapshot, project))


def _outcome(snapshot: Snapshot, parts: Sequence[Part], document: dict[str, Any]) -> Outcome:
    state = "" if snapshot.complete else " (PARTIAL)"
    return Outcome(
        is_complete=True,
        summary=[f"Snapshot {snapshot.key}{state} of {snapshot.harbor_url}", *parts],
        document={"snapshot": snapshot.key, "complete": snapshot.complete, **document},
    )


def _projects(snapshot: Snapshot) -> tuple[list[Part], dict[str, Any]]:
    rows = [
        (name, f"{item.digests:,}", human_size(item.size_bytes), "" if item.ok else "NOT whole")
        for name, item in sorted(snapshot.projects.items())
    ]
    projects = {name: item.to_json() for name, item in sorted(snapshot.projects.items())}
    table = Table(("project", "digests", "size", ""), rows, "<>><", {"NOT": "bad"})
    return [table], {"projects": projects}


def _iter_repositories(
    store: BackupStore, snapshot: Snapshot, project: str
) -> Iterator[tuple[str, list[Record]]]:
    sha256 = snapshot.projects[project].inventory
    yield from store.inventories.iter_repositories(project, sha256)


def _repositories(
    store: BackupStore, snapshot: Snapshot, project: str
) -> tuple[list[Part], dict[str, Any]]:
    found = {
        name: count_records(records)
        for name, records in _iter_repositories(store, snapshot, project)
    }
    rows = [
        (name, f"{counts.tags:,}", f"{counts.digests:,}", human_size(counts.size_bytes))
        for name, counts in found.items()
    ]
    if not rows:
        return ["The project was empty."], {"repositories": {}}
    return [Table(("repository", "tags", "digests", "size"), rows, "<>>>")], {
        "repositories": {name: counts.to_json() for name, counts in found.items()}
    }


def _artifacts(
    store: BackupStore, snapshot: Snapshot, project: str, path: str
) -> tuple[list[Part], dict[str, Any]]:
    names = set()
    records: list[Record] = []
    for name, listed in _iter_repositories(store, snapshot, project):
        names.add(name)
        if name == path:
            records = listed
    if path not in names:
        raise unknown_name(path, "repository", f"the snapshot {snapshot.key}", names)
    counts = count_records(records)
    table = Table(
        ("tags", "digest", "kind", "size", "pushed"),
        [_row(record) for record in sorted(records, key=_order)],
        "<<<><",
    )
    total = (
        f"{human_count(counts.digests, 'digest')}, {human_count(counts.tags, 'tag')}, "
        f"{human_size(counts.size_bytes)}"
    )
    return [table, total], {
        "repository": path,
        "artifacts": [record.to_json() for record in records],
    }


def _order(record: Record) -> tuple[bool, str, str]:
    """Sort by tag, what has none at the end."""
    return (not record.tags, record.tags[0].name if record.tags else "", record.digest)


def _row(record: Record) -> tuple[str, ...]:
    what = f" {record.platform}" if record.platform else ""
    return (
        ", ".join(tag.name for tag in record.tags) or "-",
        short_digest(record.digest),
        f"{record.role}{what}",
        human_size(record.size_bytes),
        (record.push_time or "")[:16].replace("T", " "),
    )
