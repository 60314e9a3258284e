"""`harbor-backup drill`: try whether what is kept can be brought back."""

from __future__ import annotations

import argparse
import random
from contextlib import closing
from datetime import datetime, timezone

from airflow_provider_harbor.core.cli.arguments import (
    Commands,
    add_command,
    add_connections,
    add_limit_rate,
    add_output,
    add_snapshot,
    add_store,
    add_workers,
    connection,
    number,
)
from airflow_provider_harbor.core.cli.outcome import Outcome, outcome_of
from airflow_provider_harbor.core.cli.progress import Console
from airflow_provider_harbor.core.copy.opening import open_registry
from airflow_provider_harbor.core.jobs.choosing import find_snapshot
from airflow_provider_harbor.core.jobs.drill import Drill, drill
from airflow_provider_harbor.core.jobs.drill_report import render_drill_page
from airflow_provider_harbor.core.jobs.keeping import keep_report
from airflow_provider_harbor.core.store import layout
from airflow_provider_harbor.core.store.backup_store import BackupStore

_EXAMPLES = """\
  harbor-backup drill /backup/harbor harbor.example.com --into backup-drill
  harbor-backup drill /backup/harbor test-harbor.example.com --into backup-drill --sample 20
  harbor-backup drill /backup/harbor harbor.example.com --into backup-drill --seed 4711
"""


def add(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        "drill",
        run,
        short="restore a random sample, compare it byte for byte, remove it",
        description="Restore some repositories of a snapshot, drawn at random, into a scratch\n"
        "project of a Harbor; compare lists, manifests, tags, signatures and every byte; and\n"
        "remove it. The project must not exist: a drill touches none that it did not make.",
        examples=_EXAMPLES,
    )
    add_store(parser)
    add = parser.add_argument
    add("url", metavar="URL", help="of the Harbor to restore to")
    add("--into", required=True, metavar="PROJECT", help="name of the scratch project")
    add_snapshot(parser)
    add(
        "--sample",
        type=number,
        default=5,
        metavar="N",
        help="how many repositories (default: 5); all where there are fewer",
    )
    add(
        "--seed",
        type=int,
        default=None,
        metavar="S",
        help="draw the same sample again; the report of a drill names its seed",
    )
    add_workers(parser)
    add_limit_rate(parser)
    add_connections(parser)
    add_output(parser)


def run(arguments: argparse.Namespace, console: Console) -> Outcome:
    """Try a restore."""
    store = BackupStore(arguments.store)
    console.begin(f"reading {store.url}")
    _ = store.harbor_url  # that it is a store
    snapshot = find_snapshot(store, arguments.snapshot)
    seed = arguments.seed
    if seed is None:
        seed = random.SystemRandom().randrange(1_000_000)
    target = connection(arguments, arguments.url, "DESTINATION")
    console.begin(f"checking {target['url']}")
    with closing(open_registry(**target)) as place:
        wanted = Drill(
            store=store,
            run=f"{layout.run_name(datetime.now(timezone.utc))}.drill",
            snapshot=snapshot,
            place=place,
            project=arguments.into,
            sample=arguments.sample,
            seed=seed,
            workers=arguments.workers,
            is_process=True,
        )
        report = drill(wanted, progress=console.status)
    console.clear()
    page = keep_report(store, report, render_drill_page(report))
    return outcome_of(report, page)
