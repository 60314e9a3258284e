"""`harbor-backup settings`: Harbor's settings, kept, compared, brought back."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from datetime import datetime, timezone
from typing import Any

from airflow_provider_harbor.core.cli.arguments import (
    Commands,
    add_command,
    add_connections,
    add_limit,
    add_output,
    add_project_filters,
    add_store,
    connection,
)
from airflow_provider_harbor.core.cli.outcome import Outcome
from airflow_provider_harbor.core.cli.passphrases import (
    HELP,
    add_passphrase,
    passphrase_of,
    require_passphrase,
)
from airflow_provider_harbor.core.cli.progress import Console
from airflow_provider_harbor.core.cli.settings_import import add_import
from airflow_provider_harbor.core.exceptions import HarborConfigurationError
from airflow_provider_harbor.core.harbor.check import is_meant
from airflow_provider_harbor.core.harbor.client import HarborClient
from airflow_provider_harbor.core.jobs.choosing import LATEST
from airflow_provider_harbor.core.jobs.settings.compare import (
    SettingChange,
    Settings,
    compare,
    describe_changes,
    not_compared,
    split_unseen,
    summarise,
)
from airflow_provider_harbor.core.jobs.settings.exporting import (
    export_settings,
    problem_lines,
    secrets_left_out,
)
from airflow_provider_harbor.core.jobs.settings.forms import without_odd
from airflow_provider_harbor.core.jobs.settings.nights import (
    SettingsNight,
    damage_lines,
    find_night,
    read_whole_documents,
)
from airflow_provider_harbor.core.settings.kinds import SYSTEM
from airflow_provider_harbor.core.settings.reader import find_unseen, read_settings
from airflow_provider_harbor.core.settings.values import Unread
from airflow_provider_harbor.core.store import layout
from airflow_provider_harbor.core.store.backup_store import BackupStore
from airflow_provider_harbor.core.store.settings_files import SettingsDocument
from airflow_provider_harbor.core.store.vault import WrongPassphraseError

_EXPORT_EXAMPLES = """\
  harbor-backup settings export harbor.example.com /backup/harbor
  harbor-backup settings export harbor.example.com /backup/harbor --project 'team-*'
  harbor-backup settings export harbor.example.com /backup/harbor --with-secrets \\
      --passphrase-file /etc/harbor-backup/passphrase
"""
_DIFF_EXAMPLES = """\
  harbor-backup settings diff /backup/harbor
  harbor-backup settings diff /backup/harbor 2026-11-01 2026-11-25
  harbor-backup settings diff /backup/harbor latest https://harbor.example.com
"""
_ADMIN = """\
configurations:
  No robot may read them. With HARBOR_BACKUP_ADMIN_USER and HARBOR_BACKUP_ADMIN_PASSWORD (or
  HARBOR_BACKUP_ADMIN_PASSWORD_FILE) they are read by that login, and all else by the one of
  HARBOR_BACKUP_SOURCE_USER.
"""


def add(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add the commands."""
    parser = commands.add_parser(
        "settings",
        help="keep, compare and bring back what is no artifact: members, robots, rules, ...",
        description="Harbor's settings: what the artifacts of a backup belong to.",
    )
    below = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_export(below)
    _add_diff(below)
    add_import(below)


def _add_export(commands: Commands[argparse.ArgumentParser]) -> None:
    parser = add_command(
        commands,
        "export",
        run_export,
        short="keep all settings of a Harbor in a store",
        description="Keep all settings of a Harbor that the login may read in its store. What it\n"
        "may not read is named. Equal settings are kept once.",
        examples=f"{_EXPORT_EXAMPLES}\n{HELP}\n{_ADMIN}",
    )
    parser.add_argument("url", metavar="URL", help="of the Harbor")
    add_store(parser)
    add_project_filters(parser)
    parser.add_argument(
        "--with-secrets", action="store_true", help="keep secrets that Harbor shows, sealed"
    )
    add_passphrase(parser)
    add_connections(parser)
    add_output(parser)


def run_export(arguments: argparse.Namespace, console: Console) -> Outcome:
    """Keep settings."""
    run = layout.settings_run_name(datetime.now(timezone.utc))
    passphrase, problems = _sealing(arguments)
    with ExitStack() as opened:
        client = opened.enter_context(
            HarborClient(**connection(arguments, arguments.url, "SOURCE"))
        )
        store = BackupStore(arguments.store)
        console.begin(f"checking {client.url}")
        client.check_login()
        if store.begin_for(client.url):
            console.line(f"a new store begins at {store.url}")
        made = export_settings(
            client,
            store,
            run,
            include=arguments.project,
            exclude=arguments.exclude,
            configurations=_administrator(arguments, opened),
            passphrase=passphrase,
            problems=problems,
            progress=console.status,
        )
    lines = [f"Kept {made.summary_line()}, as {run}"]
    lines += [f"  not read: {line}" for line in problem_lines(made.night.unread)]
    return Outcome(
        is_complete=not made.failures,
        summary="\n".join(lines),
        document={"run": run, "store": store.url, **made.to_json(), "failures": made.failures},
    )


def _sealing(arguments: argparse.Namespace) -> tuple[str, list[Unread]]:
    """Return the passphrase that seals secrets, and why there is none.

    Raises:
        HarborConfigurationError: Secrets are asked for, and no passphrase is named.
    """
    if not arguments.with_secrets:
        return "", []
    try:
        return require_passphrase(arguments), []
    except HarborConfigurationError as err:
        if not arguments.passphrase_file:
            raise
        # It was probably there when this command was written: no reason for a night without all.
        return "", [secrets_left_out(err)]


def _administrator(
    arguments: argparse.Namespace,
    opened: ExitStack,
    environ: Mapping[str, str] = os.environ,
) -> HarborClient | None:
    """Return the login for the configurations, where one is given."""
    names = ("USER", "PASSWORD", "PASSWORD_FILE")
    if not any(environ.get(f"HARBOR_BACKUP_ADMIN_{name}") for name in names):
        return None
    return opened.enter_context(HarborClient(**connection(arguments, arguments.url, "ADMIN")))


def _add_diff(commands: Commands[argparse.ArgumentParser]) -> None:
    parser = add_command(
        commands,
        "diff",
        run_diff,
        short="show which settings changed between two nights, or since one",
        description="Show which settings were added (+), removed (-) or changed (~) between two\n"
        "nights, or between a night and a Harbor as it is now.",
        examples=f"{_DIFF_EXAMPLES}\n{_ADMIN}",
    )
    add_store(parser)
    parser.add_argument(
        "older",
        nargs="?",
        default="",
        metavar="A",
        help="the older night (default: the one before B, or the newest where B is a URL)",
    )
    parser.add_argument(
        "newer",
        nargs="?",
        default=LATEST,
        metavar="B",
        help="the newer one (default: the newest), or the URL of a Harbor, with https://",
    )
    add_project_filters(parser)
    add_passphrase(parser)
    add_limit(parser)
    add_connections(parser)
    add_output(parser)


def run_diff(arguments: argparse.Namespace, console: Console) -> Outcome:
    """Compare the settings of two nights, or of one and now."""
    store = BackupStore(arguments.store)
    _ = store.harbor_url  # that it is a store
    if "://" in arguments.older:  # one argument only, and it is the Harbor
        arguments.older, arguments.newer = LATEST, arguments.older
    unread: list[Unread] = []
    not_seen: tuple[Unread, ...] = ()
    limited = False
    nights = _Opened(store, arguments)
    if "://" in arguments.newer:
        older = find_night(store, arguments.older or LATEST)
        arguments.url = name = arguments.newer
        with ExitStack() as opened:
            login = connection(arguments, arguments.url, "SOURCE")
            client = opened.enter_context(HarborClient(**login))
            client.check_login()
            found = read_settings(
                client,
                include=arguments.project,
                exclude=arguments.exclude,
                configurations=_administrator(arguments, opened),
                progress=console.status,
            )
            unseen = find_unseen(client, arguments.project, arguments.exclude)
        name = client.url
        unread = [*found.unread, *([unseen] if unseen else [])]
        not_seen = tuple(unread)
        after: Settings = {s: found.of(s) for s in (SYSTEM, *found.project_ids)}
    else:
        newer = find_night(store, arguments.newer)
        older = (
            find_night(store, arguments.older)
            if arguments.older
            else find_night(store, before=newer.key)
        )
        name, after, not_seen = newer.key, nights.values_of(newer), newer.settings.unread
        limited = limited or newer.settings.limited
    before = nights.values_of(older)
    nights.require_one()
    before, after = nights.without_damage(before), nights.without_damage(after)
    if limited or older.settings.limited:
        both = before.keys() & after.keys()
        before, after = ({s: v for s, v in side.items() if s in both} for side in (before, after))
    changes, unseen_lines = split_unseen(compare(before, after), older.settings.unread, not_seen)
    left_out = [f"{line}: read once only" for line in not_compared(before, after)]
    damage = [*damage_lines(nights.damaged), *sorted(nights.odd)]
    return _outcome(
        older.key,
        name,
        changes,
        left_out + unseen_lines,
        problem_lines(unread),
        arguments.limit,
        damage,
    )


class _Opened:
    """The settings of nights, as far as they are meant, with the secrets that a passphrase opens.

    Of two nights it may open one: what the other has is sealed with another key then, and is not
    compared.

    Attributes:
        damaged: Why documents of one of the nights cannot be read, by their scopes.
        odd: A line for each setting that has another form than it should.
    """

    def __init__(self, store: BackupStore, arguments: argparse.Namespace) -> None:
        self._store = store
        self._arguments = arguments
        self._passphrase = passphrase_of(arguments)
        self._wrong: list[WrongPassphraseError] = []
        self._is_right = False
        self.damaged: dict[str, str] = {}
        self.odd: set[str] = set()

    def values_of(self, night: SettingsNight) -> dict[str, Mapping[str, Any]]:
        """Return the settings of a night."""
        include, exclude = self._arguments.project, self._arguments.exclude
        names = [name for name in night.settings.projects if is_meant(name, include, exclude)]
        read = read_whole_documents(self._store, night.settings, (SYSTEM, *names))
        self.damaged |= read.damaged
        found = {}
        for scope, document in read.found.items():
            document, odd = without_odd(document)
            self.odd |= {str(each) for each in odd}
            # Not half of a kind: what is left out would seem to be gone.
            kinds = {each.kind for each in odd}
            whole = {k: v for k, v in document.values.items() if k not in kinds}
            found[scope] = self._opened(replace(document, values=whole)).values
        return found

    def without_damage(self, side: Settings) -> dict[str, Mapping[str, Any]]:
        """Return settings but for those of which a document is damaged at one of the two times.

        Else such a project would seem to have come, or to be gone.
        """
        return {scope: values for scope, values in side.items() if scope not in self.damaged}

    def _opened(self, document: SettingsDocument) -> SettingsDocument:
        if not self._passphrase or not document.encryption:
            return document
        try:
            document = document.opened(self._passphrase)
        except WrongPassphraseError as err:
            self._wrong.append(err)
            return document
        self._is_right = True
        return document

    def require_one(self) -> None:
        """Make sure that the passphrase has opened something, if anything is sealed.

        Raises:
            WrongPassphraseError: It has not.
        """
        if self._wrong and not self._is_right:
            raise self._wrong[0]


def _outcome(
    older: str,
    newer: str,
    changes: list[SettingChange],
    left_out: list[str],
    unread: list[str],
    limit: int,
    damage: list[str],
) -> Outcome:
    lines = [f"Settings from {older} to {newer}", *describe_changes(changes, limit)]
    lines += [f"not compared: {line}" for line in left_out]
    lines += [f"not read now: {line}" for line in unread]
    lines += [f"NOT compared: {line}" for line in damage]
    lines.append(summarise(changes))
    return Outcome(
        is_complete=not damage,
        summary="\n".join(lines),
        document={
            "older": older,
            "newer": newer,
            "changes": [change.to_json() for change in changes],
            "not_compared": left_out,
            "unread": unread,
            "damage": damage,
        },
    )
