"""`harbor-backup snapshots`: which nights a store has."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from airflow_provider_harbor.core.cli.arguments import Commands, add_command, add_output, add_store
from airflow_provider_harbor.core.cli.outcome import Outcome
from airflow_provider_harbor.core.cli.progress import Console, Part
from airflow_provider_harbor.core.cli.tables import Table
from airflow_provider_harbor.core.exceptions import HarborBackupError
from airflow_provider_harbor.core.human import human_count, human_size
from airflow_provider_harbor.core.store.backup_store import BackupStore
from airflow_provider_harbor.core.store.layout import is_of_settings
from airflow_provider_harbor.core.store.snapshots import Snapshot

_EXAMPLES = """\
  harbor-backup snapshots /backup/harbor
  harbor-backup snapshots s3://backups/harbor --json | jq -r '.snapshots[0].key'
"""


def add(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        "snapshots",
        run,
        short="show which nights a store has",
        description="Show all snapshots of a store, newest first: whether each is complete, and\n"
        "what it holds. Runs that were cut short are named at the end.",
        examples=_EXAMPLES,
        uses_registries=False,
    )
    add_store(parser)
    add_output(parser)


def run(arguments: argparse.Namespace, console: Console) -> Outcome:
    """Show all snapshots."""
    store = BackupStore(arguments.store)
    harbor_url = store.harbor_url
    damaged: dict[str, str] = {}
    found = list(store.snapshots.read_all(damaged.setdefault))
    ended = {snapshot.key for snapshot in found} | damaged.keys()
    unended = [key for key in store.snapshots.list_keys() if key not in ended]
    alone = [key for key in unended if is_of_settings(key)]
    cut_short = [key for key in unended if key not in alone]
    lines: list[Part] = [f"Backups of {harbor_url} in {store.url}"]
    if found:
        lines.append(_table(found))
    else:
        lines.append("No run has come to its end yet.")
    states = {key: _state_of_settings(store, key) for key in alone}
    if alone:
        shown = [f"{key} ({states[key]})" if states[key] else key for key in reversed(alone)]
        lines.append(f"Settings alone: {', '.join(shown)}")
    if cut_short:
        lines.append(
            f"{human_count(len(cut_short), 'run')} cut short, or still going on: "
            + ", ".join(cut_short)
        )
    lines += [f"DAMAGED: {damaged[key]}" for key in sorted(damaged)]
    return Outcome(
        is_complete=not damaged,
        summary=lines,
        document={
            "store": store.url,
            "harbor_url": harbor_url,
            "snapshots": [
                {
                    "key": snapshot.key,
                    "digests": snapshot.digests,
                    "size_bytes": snapshot.size_bytes,
                    **snapshot.to_json(),
                }
                for snapshot in found
            ],
            "settings_alone": alone,
            "settings_not_whole": {key: state for key, state in states.items() if state},
            "cut_short": cut_short,
            "damaged": damaged,
        },
    )


def _state_of_settings(store: BackupStore, key: str) -> str:
    """Return what is wrong with settings that were exported alone; empty where they are whole."""
    try:
        night = store.settings.read_night(key)
    except HarborBackupError:
        return "unreadable"
    return night.state if night else ""


def _table(snapshots: Sequence[Snapshot]) -> Table:
    """Return what there is, with columns only that say something; a name begins with its time."""
    columns = ["snapshot", "state", "projects", "digests", "size"]
    has_mirrors = not all(snapshot.has_contents for snapshot in snapshots)
    has_settings = any(snapshot.settings for snapshot in snapshots)
    columns += ["content"] if has_mirrors else []
    columns += ["settings"] if has_settings else []
    rows = []
    for snapshot in snapshots:
        row = list(_row(snapshot))
        if has_mirrors:
            row.append(_content(snapshot))
        if has_settings:
            row.append((snapshot.settings.state or "yes") if snapshot.settings else "-")
        rows.append(row)
    return Table(columns, rows, "<<>>>", {"PARTIAL": "bad", "complete": "good"})


def _content(snapshot: Snapshot) -> str:
    if snapshot.has_contents:
        return "in the store"
    return f"at {snapshot.destination}" if snapshot.is_mirrored else "none"


def _row(snapshot: Snapshot) -> tuple[str, ...]:
    state = "complete" if snapshot.complete else "PARTIAL"
    if snapshot.limited_to:
        state += ", limited"
    return (
        snapshot.key,
        state,
        f"{len(snapshot.projects):,}",
        f"{snapshot.digests:,}",
        human_size(snapshot.size_bytes),
    )
