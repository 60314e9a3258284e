"""`harbor-backup prune`: delete what nothing in a store names any more."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from datetime import datetime, timedelta, timezone

from airflow_provider_harbor.core.cli.arguments import Commands, add_command, add_output, add_store
from airflow_provider_harbor.core.cli.outcome import Outcome
from airflow_provider_harbor.core.cli.progress import Console, Part
from airflow_provider_harbor.core.cli.tables import Table
from airflow_provider_harbor.core.human import human_count, human_size
from airflow_provider_harbor.core.jobs.prune import (
    GRACE,
    LIMIT_PERCENT,
    Amount,
    Pruned,
    Tally,
    prune,
)
from airflow_provider_harbor.core.store import layout
from airflow_provider_harbor.core.store.backup_store import BackupStore

_EXAMPLES = """\
  harbor-backup prune /backup/harbor --dry-run
  harbor-backup prune /backup/harbor
  harbor-backup prune s3://backups/harbor --limit 60      # after many nights were forgotten
"""
_SHOWN_FOREIGN = 5


def add(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add the command."""
    hours = GRACE // timedelta(hours=1)
    parser = add_command(
        commands,
        "prune",
        run,
        short="delete what no night names any more",
        description="Delete content, lists and reports that no snapshot names any more, in two\n"
        f"steps: this run marks them, and one that comes {hours} hours later or more deletes\n"
        "them, if still nothing names them. A backup or a restore may go on meanwhile.\n"
        "Needs the right to delete, as forget does and nothing else.",
        examples=_EXAMPLES,
        uses_registries=False,
    )
    add_store(parser)
    parser.add_argument(
        "--grace",
        type=_hours,
        default=GRACE,
        metavar="HOURS",
        help=f"how long it must have been marked (default: {hours})",
    )
    parser.add_argument(
        "--limit",
        type=_percent,
        default=LIMIT_PERCENT,
        metavar="PERCENT",
        help=f"refuse where more of the pool than this would go (default: {LIMIT_PERCENT:g})",
    )
    parser.add_argument("--dry-run", action="store_true", help="show it, and change nothing")
    add_output(parser)


def run(arguments: argparse.Namespace, console: Console) -> Outcome:
    """Delete what nothing names any more."""
    store = BackupStore(arguments.store)
    name = f"prune.{layout.run_name(datetime.now(timezone.utc))}"
    console.begin(f"looking at {store.url}")
    try:
        done = prune(
            store,
            name,
            grace=arguments.grace,
            limit_percent=arguments.limit,
            dry_run=arguments.dry_run,
            progress=console.status,
        )
    except KeyboardInterrupt:
        return Outcome(
            is_complete=False,
            is_interrupted=True,
            summary="Stopped. Only what nothing names was deleted. Run the same command again to "
            "go on",
        )
    lines: list[Part] = [f"The store {store.url}", render_table(done)]
    if done.leftovers.files:
        lines.append(f"Deleted leftovers of writers that were killed: {done.leftovers}")
    if done.foreign:
        shown = ", ".join(done.foreign[:_SHOWN_FOREIGN])
        more = ", ..." if len(done.foreign) > _SHOWN_FOREIGN else ""
        number = human_count(len(done.foreign), "file")
        lines.append(f"Left alone, since they are not of a backup: {number} ({shown}{more})")
    lines.append(done.summary_line())
    return Outcome(is_complete=True, summary=lines, document=_document(store, done))


def render_table(done: Pruned) -> Table:
    """Return what was found of each kind of files."""
    columns = ("files", "there", "named", "marked", "deleted", "bytes deleted")
    rows = [_row(kind, tally) for kind, tally in done.tallies.items() if tally.there.files]
    return Table(columns, rows, "<>>>>>")


def _row(kind: str, tally: Tally) -> tuple[str, ...]:
    amounts = (tally.there, tally.named, tally.marked, tally.deleted)
    return (
        kind,
        *(f"{amount.files:,}" for amount in amounts),
        human_size(tally.deleted.size_bytes),
    )


def _document(store: BackupStore, done: Pruned) -> dict[str, object]:
    def total(name: str) -> dict[str, int]:
        amount: Amount = done.total(name)
        return asdict(amount)

    return {
        "store": store.url,
        "dry_run": done.dry_run,
        "deleted": total("deleted"),
        "marked": total("marked"),
        "named": total("named"),
        "next_at": done.next_at.isoformat(timespec="seconds") if done.next_at else None,
        "leftovers": asdict(done.leftovers),
        "foreign": list(done.foreign),
        "kinds": {kind: asdict(tally) for kind, tally in done.tallies.items()},
    }


def _hours(text: str) -> timedelta:
    return timedelta(hours=_real(text, 24 * 366, "hours"))


def _percent(text: str) -> float:
    return _real(text, 100, "percent")


def _real(text: str, most: float, noun: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= most:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of {noun}, 0 to {most:g}")
    return value
