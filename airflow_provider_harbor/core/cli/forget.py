"""`harbor-backup forget`: forget nights that a policy does not keep."""

from __future__ import annotations

import argparse

from airflow_provider_harbor.core.cli.arguments import Commands, add_command, add_output, add_store
from airflow_provider_harbor.core.cli.outcome import Outcome
from airflow_provider_harbor.core.cli.progress import Console, Part
from airflow_provider_harbor.core.cli.tables import Table
from airflow_provider_harbor.core.jobs.forget import Forgotten, forget
from airflow_provider_harbor.core.store.backup_store import BackupStore
from airflow_provider_harbor.core.store.retention import Policy

_EXAMPLES = """\
  harbor-backup forget /backup/harbor --keep-daily 14 --keep-weekly 8 --keep-monthly 12 --dry-run
  harbor-backup forget /backup/harbor --keep-last 7 --keep-daily 14 --time-zone Europe/Berlin
  harbor-backup prune /backup/harbor         # then: delete what nothing names any more
"""
_RULES = {
    "last": "the newest N",
    "daily": "the newest of each of the last N days that have any",
    "weekly": "likewise by week (Monday to Sunday)",
    "monthly": "likewise by month",
    "yearly": "likewise by year",
}


def add(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        "forget",
        run,
        short="forget nights that a policy does not keep",
        description="Forget snapshots that no rule keeps, and show which rule keeps the others.\n"
        "The rules count complete snapshots; one is kept if any rule keeps it, and the newest\n"
        "complete one always is. Runs that are partial, were cut short or limited to some\n"
        "projects, and restores, are kept for 14 days; partial ones also as long as no newer one\n"
        "is complete. What only forgotten ones had is deleted by prune, two days later at the\n"
        "earliest.",
        examples=_EXAMPLES,
        uses_registries=False,
    )
    add_store(parser)
    for name, text in _RULES.items():
        parser.add_argument(f"--keep-{name}", type=_number, default=0, metavar="N", help=text)
    parser.add_argument(
        "--time-zone",
        default="UTC",
        metavar="NAME",
        help="whose days these are, such as Europe/Berlin (default: UTC)",
    )
    parser.add_argument("--dry-run", action="store_true", help="show it, and change nothing")
    add_output(parser)


def run(arguments: argparse.Namespace, console: Console) -> Outcome:
    """Forget what the policy does not keep."""
    policy = Policy(
        **{f"keep_{name}": getattr(arguments, f"keep_{name}") for name in _RULES},
        time_zone=arguments.time_zone,
    )
    store = BackupStore(arguments.store)
    done = forget(store, policy, dry_run=arguments.dry_run, progress=console.status)
    lines: list[Part] = [f"Backups of {store.harbor_url} in {store.url}: {policy}"]
    lines += [render_table(done)] if done.decisions else []
    lines += [f"KEPT, since it cannot be read: {text}" for text in done.unreadable.values()]
    lines.append(done.summary_line())
    return Outcome(
        is_complete=not done.unreadable,
        summary=[line for line in lines if line],
        document={
            "store": store.url,
            "policy": str(policy),
            "dry_run": done.dry_run,
            "kept": done.kept,
            "forgotten": done.forgotten,
            "unreadable": done.unreadable,
            "runs": [
                {
                    "key": decision.key,
                    "state": decision.state,
                    "begun": decision.begun.isoformat(timespec="seconds"),
                    "kept": decision.is_kept,
                    "reasons": list(decision.reasons),
                }
                for decision in done.decisions
            ],
        },
    )


def render_table(done: Forgotten) -> Table:
    """Return what becomes of each run, the newest first."""
    go = "go" if done.dry_run else "gone"
    rows = [
        (
            decision.key,
            f"{decision.begun:%Y-%m-%d %H:%M}",
            decision.state,
            "kept" if decision.is_kept else go,
            ", ".join(decision.reasons),
        )
        for decision in done.decisions
    ]
    columns = ("snapshot", "begun", "state", "", "why")
    return Table(columns, rows, marks={"PARTIAL": "bad", "gone": "warn", "go": "warn"})


def _number(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or int(text) > 10_000:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0 to 10000")
    return int(text)
