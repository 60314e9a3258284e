"""`harbor-backup inventory`: write down what Harbor holds."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, cast

from airflow_provider_harbor.core.cli.arguments import (
    Commands,
    add_command,
    add_connections,
    add_output,
    add_project_filters,
    connection,
)
from airflow_provider_harbor.core.cli.outcome import Outcome
from airflow_provider_harbor.core.cli.progress import Console
from airflow_provider_harbor.core.exceptions import (
    BackupIncompleteError,
    HarborConfigurationError,
    describe,
)
from airflow_provider_harbor.core.harbor.check import check_harbor, list_projects
from airflow_provider_harbor.core.harbor.client import HarborClient
from airflow_provider_harbor.core.harbor.inventory import InventoryWalk
from airflow_provider_harbor.core.harbor.models import Project
from airflow_provider_harbor.core.harbor.records import Counts, Record, count_records, write_records
from airflow_provider_harbor.core.human import human_count, human_size
from airflow_provider_harbor.core.store.documents import Packer

log = logging.getLogger(__name__)

STDOUT = "-"
_EXAMPLES = """\
  harbor-backup inventory https://harbor.example.com --output inventory.jsonl.gz
  harbor-backup inventory harbor.example.com --output - --project library \\
      | jq -r '.digest // empty'      # the first line is no artifact: it names the format
"""


def add(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        "inventory",
        run,
        short="write down what Harbor holds, one line for each digest",
        description="List every artifact, child of a multi-architecture artifact and accessory as "
        "JSON Lines,\nsorted by repository and digest; equal content gives equal bytes.",
        examples=_EXAMPLES,
        uses_store=False,
    )
    parser.add_argument("url", metavar="URL", help="of Harbor; https:// may be left out")
    parser.add_argument(
        "--output",
        required=True,
        metavar="FILE",
        help="where to write; compressed if it ends in .gz; '-' is the standard output. It is "
        "replaced only by a whole inventory; one with gaps becomes FILE.partial. Its directory "
        "must be there",
    )
    add_project_filters(parser)
    add_connections(parser)
    add_output(parser)


class _Walk:
    """Lists projects one after the other; it is what it has found, once it was iterated over."""

    def __init__(self, client: HarborClient, projects: Sequence[Project], console: Console) -> None:
        self._client = client
        self._weights = {project.name: project.repo_count for project in projects}
        # As their repositories are sorted: `a-b/x` comes before `a/x`.
        self._projects = sorted(self._weights, key=lambda name: name + "/")
        self._console = console
        self.is_begun = False
        self.counts = Counts()
        self.with_gaps = 0
        self.failures: list[str] = []

    def __iter__(self) -> Iterator[Record]:
        self.is_begun = True
        self._console.begin_projects(self._weights)
        for number, project in enumerate(self._projects, start=1):
            yield from self._list(project, f"[{number}/{len(self._projects)}]")

    def _list(self, project: str, place: str) -> Iterator[Record]:
        self._console.begin_project(place, project, "listing")
        walk = InventoryWalk(
            self._client,
            project,
            progress=lambda text: self._console.tell_project(project, text),
        )
        counts = Counts()
        try:
            for _, records in walk:
                counts += count_records(records)
                yield from records
        except Exception as err:
            log.debug("This is where it happened:", exc_info=True)
            self.with_gaps += 1
            self.failures.append(f"{project}: {describe(err)}")
            self._console.error(f"{place} FAILED {self.failures[-1]}", "bad")
            return
        finally:
            self._console.end_project(project)
            self.counts += counts
        self._console.line(f"{place} {project}: {_holdings_in_words(counts)}")
        self.with_gaps += bool(walk.gaps)
        for gap in walk.gaps:
            self.failures.append(f"repository {gap}")
            self._console.error(f"{place} FAILED {self.failures[-1]}", "bad")


def run(arguments: argparse.Namespace, console: Console) -> Outcome:
    """List a Harbor into one file."""
    uses_stdout = arguments.output == STDOUT
    if uses_stdout and arguments.json:
        raise HarborConfigurationError(
            "--json and --output - both want the standard output: give --output a file"
        )
    if uses_stdout and sys.stdout is None:
        raise HarborConfigurationError(
            "the process has no standard output for --output -: give --output a file"
        )
    if not uses_stdout:
        _require_directory(Path(arguments.output))
    with HarborClient(**connection(arguments, arguments.url, "SOURCE")) as client:
        console.begin(f"checking {client.url}")
        status = check_harbor(client)
        found = list_projects(client, arguments.project, arguments.exclude)
        projects = [project.name for project in found]
        walk = _Walk(client, found, console)
        try:
            where = _write_output(arguments.output, walk)
        except BrokenPipeError:
            raise
        except OSError as err:
            message = f"{arguments.output} cannot be written: {describe(err)}"
            if walk.is_begun:
                raise BackupIncompleteError(message, walk.failures) from err
            raise HarborConfigurationError(message) from err
    words = "NOT everything is listed" if walk.failures else "Everything is listed"
    return Outcome(
        is_complete=not walk.failures,
        used_stdout=uses_stdout,
        summary=f"{words}: {len(projects) - walk.with_gaps:,} of "
        f"{human_count(len(projects), 'project')}, {_holdings_in_words(walk.counts)}, "
        f"{human_size(walk.counts.size_bytes)}. Inventory: {where}",
        verdict=words,
        document={
            "complete": not walk.failures,
            "harbor_url": status.url,
            "harbor_version": status.harbor_version,
            "output": where,
            "projects": projects,
            "counts": walk.counts.to_json(),
            "failures": walk.failures,
        },
    )


def _holdings_in_words(counts: Counts) -> str:
    return (
        f"{human_count(counts.repositories, 'repository')}, "
        f"{human_count(counts.digests, 'digest')}, {human_count(counts.tags, 'tag')}"
    )


def _require_directory(path: Path) -> None:
    """Make sure that a mistyped path is no new directory, before a Harbor is listed for it."""
    folder = path.parent
    if not folder.is_dir():
        what = (
            "is no directory" if folder.exists() else "is not there. Make it, or correct the name"
        )
        raise HarborConfigurationError(f"{path} cannot be written: the directory {folder} {what}")


def _write_output(output: str, walk: _Walk) -> str:
    """Write an inventory, and return where it is: with gaps it does not replace a whole one."""
    if output == STDOUT:
        write_records(sys.stdout.buffer, walk)
        sys.stdout.buffer.flush()
        return "the standard output"
    path = Path(os.path.realpath(output))
    is_compressed = path.suffix == ".gz"
    if path.exists() and not path.is_file():
        # A device or a pipe is written to; a directory gives its own error.
        with path.open("wb") as stream:
            _write_records(stream, walk, is_compressed)
        return str(path)
    partial = path.with_name(path.name + ".partial")
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with unfinished.open("xb") as stream:
            _write_records(stream, walk, is_compressed)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(unfinished, partial if walk.failures else path)
    finally:
        unfinished.unlink(missing_ok=True)
    if walk.failures:
        return str(partial)
    partial.unlink(missing_ok=True)
    return str(path)


def _write_records(stream: BinaryIO, walk: _Walk, is_compressed: bool) -> None:
    if not is_compressed:
        write_records(stream, walk)
        return
    with Packer(stream) as packed:
        write_records(cast("BinaryIO", packed), walk)
