"""`harbor-backup verify`: is all there, and is it what it should be?"""

from __future__ import annotations

import argparse
from contextlib import ExitStack, closing
from datetime import datetime, timezone

from airflow_provider_harbor.core.cli.arguments import (
    Commands,
    add_command,
    add_connections,
    add_limit_rate,
    add_output,
    add_store,
    add_workers,
    connection,
    require_servers,
)
from airflow_provider_harbor.core.cli.outcome import Outcome, outcome_of
from airflow_provider_harbor.core.cli.progress import Console
from airflow_provider_harbor.core.exceptions import HarborConfigurationError
from airflow_provider_harbor.core.harbor.client import HarborClient
from airflow_provider_harbor.core.http.urls import normalise_url
from airflow_provider_harbor.core.jobs.keeping import keep_report
from airflow_provider_harbor.core.jobs.verification.page import render_verify_page
from airflow_provider_harbor.core.jobs.verification.registry import RegistryUnderTest
from airflow_provider_harbor.core.jobs.verification.report import EVERYTHING, Part
from airflow_provider_harbor.core.jobs.verification.verify import (
    Verification,
    require_source,
    verify,
)
from airflow_provider_harbor.core.oci.registry import RegistryClient
from airflow_provider_harbor.core.store import layout
from airflow_provider_harbor.core.store.backup_store import BackupStore

_EXAMPLES = """\
  harbor-backup verify /backup/harbor                      # structure: nothing is missing
  harbor-backup verify /backup/harbor --part 3/28          # and a 28th of the bytes is right
  harbor-backup verify /backup/harbor --all --source https://harbor.example.com
  harbor-backup verify /backup/harbor --all --source https://harbor.example.com --repair
"""


def add(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        "verify",
        run,
        short="make sure that the store is whole; repair it",
        description="Read all snapshots and lists, and make sure that all they name is in the\n"
        "pool, with its size. With --part or --all the content itself is read and hashed, too.\n"
        "With --source Harbor is asked for all that the newest snapshot lists, or for that part:\n"
        "what it lists and has lost is found, and can be given back from the store. The report is\n"
        "kept in the store.",
        examples=_EXAMPLES,
    )
    add_store(parser)
    add = parser.add_argument
    add(
        "--snapshot",
        default="",
        metavar="WHICH",
        help="only what this snapshot names: 'latest', a date, or a name that `snapshots` shows "
        "(default: all)",
    )
    how_much = parser.add_mutually_exclusive_group()
    how_much.add_argument(
        "--part",
        default="",
        metavar="K/N",
        help="read and hash part K of N parts of the content, by digest: 3/28 is the third of 28",
    )
    how_much.add_argument("--all", action="store_true", help="read and hash all content")
    add(
        "--source",
        default="",
        metavar="URL",
        help="ask the Harbor of the store whether it can serve what it lists",
    )
    add(
        "--mirror",
        default="",
        metavar="URL",
        help="ask another Harbor or registry, which should have it all, likewise",
    )
    add(
        "--repair",
        action="store_true",
        help="repair what is damaged: the store from source or mirror, these from the store",
    )
    add_workers(parser)
    add_limit_rate(parser)
    add_connections(
        parser,
        {"source": "the Harbor after --source", "mirror": "the registry after --mirror"},
    )
    add_output(parser)


def run(arguments: argparse.Namespace, console: Console) -> Outcome:
    """Verify a store."""
    require_servers(arguments, {"source": arguments.source, "mirror": arguments.mirror})
    part = EVERYTHING if arguments.all else None
    part = Part.parse(arguments.part) if arguments.part else part
    store = BackupStore(arguments.store)
    console.begin(f"reading {store.url}")
    with ExitStack() as opened:
        registries = []
        if arguments.source:
            require_source(store, arguments.source)
            registries.append(_source(arguments, opened))
        if arguments.mirror:
            registries.append(_mirror(arguments, opened))
        wanted = Verification(
            store=store,
            run=f"{layout.run_name(datetime.now(timezone.utc))}.verify",
            which=arguments.snapshot,
            part=part,
            registries=registries,
            repairs=arguments.repair,
            workers=arguments.workers,
            is_process=True,
        )
        report = verify(wanted, progress=console.status)
    console.clear()
    page = keep_report(store, report, render_verify_page(report))
    return outcome_of(report, page, failures=report.failures())


def _source(arguments: argparse.Namespace, opened: ExitStack) -> RegistryUnderTest:
    login = connection(arguments, arguments.source, "SOURCE", "source")
    client = opened.enter_context(closing(HarborClient(**login)))
    client.ping()
    _ = client.system_info  # proves the login
    return RegistryUnderTest("source", _registry(login, opened), client)


def _mirror(arguments: argparse.Namespace, opened: ExitStack) -> RegistryUnderTest:
    login = connection(arguments, arguments.mirror, "DESTINATION", "mirror")
    if arguments.source and login["url"] == normalise_url(arguments.source):
        raise HarborConfigurationError("--mirror names the source. Name another registry")
    return RegistryUnderTest("mirror", _registry(login, opened))


def _registry(login: dict[str, object], opened: ExitStack) -> RegistryClient:
    registry = opened.enter_context(closing(RegistryClient(**login)))  # type: ignore[arg-type]
    registry.ping()
    return registry
