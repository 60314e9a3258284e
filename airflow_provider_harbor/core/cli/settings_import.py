"""`harbor-backup settings import`: bring settings back."""

from __future__ import annotations

import argparse
import secrets
from contextlib import ExitStack

from airflow_provider_harbor.core.cli.arguments import (
    Commands,
    add_command,
    add_connections,
    add_output,
    add_store,
    connection,
)
from airflow_provider_harbor.core.cli.new_secrets import NewSecrets
from airflow_provider_harbor.core.cli.outcome import Outcome
from airflow_provider_harbor.core.cli.passphrases import add_passphrase, passphrase_of
from airflow_provider_harbor.core.cli.progress import Console
from airflow_provider_harbor.core.harbor.client import HarborClient
from airflow_provider_harbor.core.jobs.choosing import LATEST
from airflow_provider_harbor.core.jobs.settings.importing import import_settings
from airflow_provider_harbor.core.jobs.settings.made_robots import MadeRobots
from airflow_provider_harbor.core.jobs.settings.nights import find_night
from airflow_provider_harbor.core.jobs.settings.secrets import GivenSecrets, read_secrets
from airflow_provider_harbor.core.jobs.settings.steps import Stage, stages_of
from airflow_provider_harbor.core.jobs.settings.wanted import ARTIFACT_LABELS, SettingsImport
from airflow_provider_harbor.core.settings.kinds import KIND_NAMES
from airflow_provider_harbor.core.store.backup_store import BackupStore

_EXAMPLES = """\
  harbor-backup settings import /backup/harbor harbor.example.com --dry-run
  harbor-backup settings import /backup/harbor harbor.example.com --secrets vault.json
  harbor-backup settings import /backup/harbor harbor.example.com --project 'team-*' --kind members

with the artifacts in the middle, as after a disaster:
  harbor-backup settings import /backup/harbor harbor.example.com --stage before
  harbor-backup restore /backup/harbor harbor.example.com
  harbor-backup settings import /backup/harbor harbor.example.com --stage after
"""
_SECRETS = """\
secrets:
  What no Harbor shows is in no backup. --secrets takes it from a file, a JSON object such as
    {"robots/ci": "...", "team/robots/ci": "...", "users/ann": "...", "registries/upstream": "...",
     "scanners/clair": "...", "preheat-instances/p2p": {"username": "...", "password": "..."},
     "configurations/oidc_client_secret": "...", "team/webhooks/chat": "Bearer ..."}
  A webhook with several targets has one for each, by its address: team/webhooks/chat/https://...
  What is given, and nobody can compare, is written each time. Users keep their own passwords.
  The plan names each that is needed. Sealed secrets are opened with --passphrase-file.
  New robots get new secrets, and new users passwords, where none is given: --new-secrets writes
  them to a file that only you may read; without it those of robots are shown once, at the end,
  on the standard error, and users are not made.
"""
_STOPPED = (
    "Stopped on the way. What was written stays, and was not read back; run the same command again "
    "to go on"
)


def add_import(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        "import",
        run_import,
        short="bring settings back, to the same or another Harbor",
        description="Bring back the settings of a night: what is missing is created, what differs\n"
        "is updated, what is the same is left, and nothing is deleted. All is read back and\n"
        "compared. See the plan first, with --dry-run. The login must be an administrator's.",
        examples=f"{_EXAMPLES}\n{_SECRETS}",
    )
    add_store(parser)
    parser.add_argument("url", metavar="URL", help="of the Harbor that is to have them")
    parser.add_argument(
        "--snapshot",
        default=LATEST,
        metavar="WHICH",
        help="'latest' (the newest night that has all settings, the default), a date, or a name "
        "that `snapshots` shows",
    )
    parser.add_argument(
        "--project",
        action="append",
        default=[],
        metavar="GLOB",
        help="only such projects, and nothing of the system; may be repeated",
    )
    parser.add_argument(
        "--kind",
        action="append",
        default=[],
        choices=(*KIND_NAMES, ARTIFACT_LABELS),
        metavar="KIND",
        help=f"only such settings; may be repeated: {', '.join((*KIND_NAMES, ARTIFACT_LABELS))}",
    )
    parser.add_argument(
        "--as",
        action="append",
        default=[],
        dest="renames",
        metavar="PROJECT=NEW",
        help="bring a project back under another name; may be repeated",
    )
    parser.add_argument(
        "--stage",
        choices=[stage.value for stage in Stage],
        help="only what comes before the artifacts are restored, or only what comes after that",
    )
    parser.add_argument("--secrets", metavar="FILE", help="secrets that no backup has, see below")
    parser.add_argument(
        "--new-secrets", metavar="FILE", help="write secrets that are made to this new file"
    )
    parser.add_argument(
        "--delete-surplus",
        action="store_true",
        help="also delete what is there, and not in the export (never a project)",
    )
    parser.add_argument("--dry-run", action="store_true", help="show the plan, and change nothing")
    add_passphrase(parser)
    add_connections(parser)
    add_output(parser)


def run_import(arguments: argparse.Namespace, console: Console) -> Outcome:
    """Bring settings back."""
    store = BackupStore(arguments.store)
    _ = store.harbor_url  # that it is a store
    wanted = SettingsImport(
        store=store,
        night=find_night(store, arguments.snapshot),
        projects=arguments.project,
        kinds=arguments.kind,
        renames=arguments.renames,
        given=read_secrets(arguments.secrets) if arguments.secrets else GivenSecrets(),
        passphrase=passphrase_of(arguments),
        delete_surplus=arguments.delete_surplus,
        stages=stages_of(arguments.stage),
    )
    made = NewSecrets(arguments.new_secrets if not arguments.dry_run else None, console)
    with ExitStack() as opened:
        opened.callback(made.leave_no_empty_file)
        login = connection(arguments, arguments.url, "DESTINATION")
        client = opened.enter_context(HarborClient(**login))
        # Also where it is stopped on the way: nobody could be told them later.
        opened.callback(made.show, MadeRobots(store, client.url))
        console.begin(f"checking {client.url}")
        try:
            report = import_settings(
                client,
                wanted,
                dry_run=arguments.dry_run,
                on_secret=made.add,
                new_password=_password if arguments.new_secrets else None,
                progress=console.status,
            )
        except KeyboardInterrupt:
            if arguments.dry_run:
                raise
            return Outcome(is_complete=False, is_interrupted=True, summary=_STOPPED)
        made.is_done = True
    lines = [*report.lines(), *made.lines(), report.summary_line()]
    return Outcome(
        is_complete=not report.failures(),
        summary="\n".join(lines),
        document={**report.to_json(), "new_secrets": str(made.path or "")},
    )


def _password() -> str:
    """Return a password that Harbor takes: with a capital, a small letter and a number."""
    return f"{secrets.token_urlsafe(24)}aA1"
