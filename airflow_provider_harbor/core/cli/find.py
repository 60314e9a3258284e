"""`harbor-backup find`: in which nights something is."""

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
from airflow_provider_harbor.core.cli.tables import Table, more, short_digest
from airflow_provider_harbor.core.human import human_count
from airflow_provider_harbor.core.jobs.search import Sighting, search
from airflow_provider_harbor.core.store.backup_store import BackupStore

_EXAMPLES = """\
  harbor-backup find /backup/harbor nginx             # repositories and tags with it in their names
  harbor-backup find /backup/harbor library/nginx:1.27
  harbor-backup find /backup/harbor 1.27 --json | jq -r '.found[] | .repository + " " + .last'
  harbor-backup find /backup/harbor sha256:4f53cda1   # an artifact, or those that have a layer
"""


def add(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        "find",
        run,
        short="find a tag, a repository or a digest in all nights",
        description="Look for something in all snapshots, and show from when to when it is there.\n"
        "A text is a part of a repository's or a tag's name; repository:tag; or 6 hex digits or\n"
        "more of a digest, of an artifact or of a layer. Letters fit whatever their case.",
        examples=_EXAMPLES,
        uses_registries=False,
    )
    add_store(parser)
    parser.add_argument("text", metavar="TEXT", help="what to look for")
    add_limit(parser)
    add_output(parser)


def run(arguments: argparse.Namespace, console: Console) -> Outcome:
    """Look for something."""
    store = BackupStore(arguments.store)
    found = search(store, arguments.text, progress=console.status)
    console.clear()
    for damage in found.damages:
        console.error(damage, "bad")
    shown = found.sightings[: arguments.limit]
    places = human_count(len(found.sightings), "place")
    lines: list[Part] = [f"{places} in {human_count(found.searched, 'snapshot')} of {store.url}"]
    if shown:
        columns = ("what", "digest", "from", "to", "nights", "")
        rows = [_row(sighting) for sighting in shown]
        lines.append(Table(columns, rows, "<<<<><", {"gone since": "warn"}))
    lines += more(len(found.sightings), len(shown))
    if found.is_full:
        lines.append("There is more, which was left out: look for more of the name")
    if found.damages:
        lines.append(f"{human_count(len(found.damages), 'list')} could not be read, see above")
    return Outcome(
        is_complete=bool(found.sightings) and not found.damages and not found.is_full,
        summary=lines,
        document={
            "text": arguments.text,
            "searched": found.searched,
            "is_full": found.is_full,
            "found": [sighting.to_json() for sighting in found.sightings],
            "damages": list(found.damages),
        },
    )


def _row(sighting: Sighting) -> tuple[str, ...]:
    match = sighting.match
    what = f"{match.repository}:{match.tag}" if match.tag else match.repository
    if match.layer:
        what = f"{match.repository}, by its layer {short_digest(match.layer)}"
    return (
        what,
        short_digest(match.digest) or "-",
        sighting.first[:16],
        sighting.last[:16],
        f"{sighting.snapshots:,}",
        "" if sighting.is_in_newest else "gone since",
    )
