"""`harbor-backup diff`: what came, went or moved between two nights."""

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
from airflow_provider_harbor.core.cli.progress import Console
from airflow_provider_harbor.core.cli.tables import more, short_digest
from airflow_provider_harbor.core.human import human_size
from airflow_provider_harbor.core.jobs.choosing import LATEST, find_snapshot
from airflow_provider_harbor.core.jobs.comparing import (
    Change,
    Difference,
    Totals,
    compare,
    previous,
)
from airflow_provider_harbor.core.store.backup_store import BackupStore

_EXAMPLES = """\
  harbor-backup diff /backup/harbor                         # the last night, with the one before
  harbor-backup diff /backup/harbor 2026-11-01 2026-11-25
  harbor-backup diff /backup/harbor 2026-11-01 latest --json | jq '.totals'
"""
_MARKS = {
    Change.ADDED: "+",
    Change.REMOVED: "-",
    Change.TAG_ADDED: "+",
    Change.TAG_REMOVED: "-",
    Change.TAG_MOVED: ">",
}


def add(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        "diff",
        run,
        short="show what changed between two nights",
        description="Show which artifacts and tags were added (+), removed (-) or moved (>)\n"
        "between two snapshots. Sizes are as Harbor counts them: a shared layer counts in each\n"
        "artifact that has it.",
        examples=_EXAMPLES,
        uses_registries=False,
    )
    add_store(parser)
    parser.add_argument(
        "older",
        nargs="?",
        default="",
        metavar="A",
        help="the older snapshot (default: the complete one before B)",
    )
    parser.add_argument(
        "newer",
        nargs="?",
        default=LATEST,
        metavar="B",
        help="the newer one (default: latest); names and dates are those of `restore --snapshot`",
    )
    add_limit(parser)
    add_output(parser)


def run(arguments: argparse.Namespace, console: Console) -> Outcome:
    """Compare two snapshots."""
    store = BackupStore(arguments.store)
    _ = store.harbor_url  # that it is a store
    newer = find_snapshot(store, arguments.newer)
    older = find_snapshot(store, arguments.older) if arguments.older else previous(store, newer)
    totals = Totals()
    lines = [f"From {older.key} to {newer.key}"]
    # All are kept where they are to be shown as one document, and only then.
    kept: list[Difference] = []
    number = 0
    for difference in compare(store, older, newer):
        number += 1
        totals.add(difference)
        if number <= arguments.limit:
            lines.append(_line(difference))
        if arguments.json:
            kept.append(difference)
    lines += more(number, min(number, arguments.limit))
    lines.append(str(totals) if number else "Nothing differs")
    for snapshot in (older, newer):
        if not snapshot.complete:
            lines.append(f"{snapshot.key} is PARTIAL: what it lacks looks as if it were removed")
        elif snapshot.limited_to:
            lines.append(f"{snapshot.key} is limited to {', '.join(snapshot.limited_to)}")
    return Outcome(
        is_complete=True,
        summary="\n".join(lines),
        document={
            "older": older.key,
            "newer": newer.key,
            "totals": totals.to_json(),
            "differences": [difference.to_json() for difference in kept],
        },
    )


def _line(difference: Difference) -> str:
    mark, digest = _MARKS[difference.change], short_digest(difference.digest)
    if difference.change is Change.TAG_MOVED:
        before = short_digest(difference.before)
        return f"{mark} {difference.repository}:{difference.tag}  {before} to {digest}"
    if difference.tag:
        return f"{mark} {difference.repository}:{difference.tag}  {digest}"
    parts = [f"{mark} {difference.repository}@{digest}", difference.role]
    parts += [", ".join(difference.tags)] if difference.tags else []
    parts += [human_size(difference.size_bytes)] if difference.size_bytes else []
    return "  ".join(parts)
