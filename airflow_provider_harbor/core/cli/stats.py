"""`harbor-backup stats`: how much room a store takes."""

from __future__ import annotations

import argparse

from airflow_provider_harbor.core.cli.arguments import (
    Commands,
    add_command,
    add_limit,
    add_output,
    add_store,
)
from airflow_provider_harbor.core.cli.outcome import Outcome
from airflow_provider_harbor.core.cli.progress import Console, Part
from airflow_provider_harbor.core.cli.tables import Table, more
from airflow_provider_harbor.core.human import human_count, human_size
from airflow_provider_harbor.core.jobs.usage import Usage, measure
from airflow_provider_harbor.core.store.backup_store import BackupStore

_EXAMPLES = """\
  harbor-backup stats /backup/harbor
  harbor-backup stats s3://backups/harbor --json | jq '.projects | map_values(.alone_bytes)'
"""


def add(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        "stats",
        run,
        short="show how much room a store takes",
        description="Show what is in the pool, what each project takes of it alone, and what each\n"
        "night added. All files of the store are listed, and all lists of contents are read.",
        examples=_EXAMPLES,
        uses_registries=False,
    )
    add_store(parser)
    add_limit(parser)
    add_output(parser)


def run(arguments: argparse.Namespace, console: Console) -> Outcome:
    """Measure a store."""
    store = BackupStore(arguments.store)
    usage = measure(store, progress=console.status)
    console.clear()
    for damage in usage.damages:
        console.error(damage, "bad")
    summary: list[Part] = [store.url, _totals(usage)]
    for parts in (_projects(usage), _nights(usage, arguments.limit)):
        summary += ["", *parts] if parts else []
    return Outcome(
        is_complete=not usage.damages,
        summary=summary,
        document=usage.to_json(),
    )


def _projects(usage: Usage) -> list[Part]:
    # What takes the most first.
    items = sorted(usage.projects.items(), key=lambda item: (-item[1].alone_bytes, item[0]))
    rows = [
        (name, human_size(item.newest_bytes), human_size(item.alone_bytes)) for name, item in items
    ]
    return [Table(("project", "newest night", "alone, all nights"), rows, "<>>")] if rows else []


def _nights(usage: Usage, limit: int) -> list[Part]:
    newest = usage.nights[::-1]
    rows = [
        (night.snapshot, f"{night.digests:,}", f"{night.new_files:,}", human_size(night.new_bytes))
        for night in newest[:limit]
    ]
    if not rows:
        return []
    columns = ("snapshot", "digests", "new files", "new")
    return [Table(columns, rows, "<>>>"), *more(len(newest), len(rows))]


def _totals(usage: Usage) -> str:
    lines = [
        f"Pool: {human_count(usage.pool_files, 'file')}, {human_size(usage.pool_bytes)}; lists and "
        f"reports: {human_size(usage.lists_bytes)}",
        f"Named by snapshots: {human_count(usage.named_files, 'file')}, "
        f"{human_size(usage.named_bytes)}",
    ]
    if usage.damages:
        lines.append(
            f"{human_count(len(usage.damages), 'list')} could not be read, see above: what they "
            "name is not counted"
        )
    return "\n".join(lines)
