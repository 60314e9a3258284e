"""Keep Harbor's settings in a store: what the artifacts of a night belong to."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from airflow_provider_harbor.core.exceptions import (
    BackupInterruptedError,
    HarborConfigurationError,
    HarborSightError,
    IntegrityError,
)
from airflow_provider_harbor.core.harbor.check import list_projects
from airflow_provider_harbor.core.harbor.client import HarborClient
from airflow_provider_harbor.core.human import Progress, human_count
from airflow_provider_harbor.core.settings.kinds import SYSTEM, items_of, kind_of
from airflow_provider_harbor.core.settings.reader import read_settings, unseen_projects
from airflow_provider_harbor.core.settings.values import SECRETS, HarborSettings, Unread
from airflow_provider_harbor.core.store.backup_store import BackupStore
from airflow_provider_harbor.core.store.claims import Claim, settle_files
from airflow_provider_harbor.core.store.settings_files import NightSettings, SettingsDocument
from airflow_provider_harbor.core.store.vault import Vault

log = logging.getLogger(__name__)

# So often documents are written anew because prune has deleted some meanwhile.
_TRIES = 3
_SHOWN_SCOPES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingsExport:
    """What an export came to.

    Attributes:
        night: Which settings the run has now.
        items: How many settings, a configuration counted once.
        with_secrets: Whether those secrets that Harbor shows are kept, sealed.
    """

    night: NightSettings
    items: int
    with_secrets: bool

    @property
    def failures(self) -> list[str]:
        """A line for each kind that should have been read, and was not."""
        return problem_lines(u for u in self.night.unread if u.failed)

    @property
    def is_passing(self) -> bool:
        """Whether trying again may help."""
        return any(unread.passing for unread in self.night.unread)

    def summary_line(self) -> str:
        """Return it as a sentence."""
        text = f"{human_count(self.items, 'setting')} of "
        if self.night.system:
            text += "the system and "
        text += human_count(len(self.night.projects), "project")
        kinds = {unread.kind for unread in self.night.unread}
        return text + (f"; not read, or not whole: {', '.join(sorted(kinds))}" if kinds else "")

    def to_json(self) -> dict[str, Any]:
        """Return it by names; without the names of all documents, as it goes through XCom."""
        return {
            "summary": self.summary_line(),
            "system": self.night.system,
            "projects": len(self.night.projects),
            "items": self.items,
            "with_secrets": self.with_secrets,
            "unread": problem_lines(self.night.unread),
        }


def export_settings(
    client: HarborClient,
    store: BackupStore,
    run: str,
    *,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    configurations: HarborClient | None = None,
    passphrase: str = "",
    problems: Sequence[Unread] = (),
    progress: Progress | None = None,
) -> SettingsExport:
    """Read all settings, and keep them in a store, for a run.

    Args:
        client: The login.
        store: Of the Harbor's backups.
        run: The run's name; what it had of settings is replaced.
        include: Names and globs of projects; none for all.
        exclude: Of those that are left out.
        configurations: An administrator's login for the configurations.
        passphrase: With it those secrets that Harbor shows are kept, sealed; empty to keep only
            that they are there. If it is not the one of the nights before, all the rest is kept,
            and the night says so.
        problems: What is known before not to be had, see `secrets_left_out`; the night says so.
        progress: Called with a line of text now and then.

    Raises:
        HarborSightError: All projects are meant, and the login does not see them all, or cannot
            prove that it does. Where only some are meant, the night is incomplete then.
        HarborBackupError: Nothing could be read, or the store cannot be written.
    """
    if configurations and configurations.url != client.url:
        reason = f"the connection for them is of {configurations.url}, not {client.url}"
        other = Unread(scope=SYSTEM, kind="configurations", reason=reason, failed=True)
        problems, configurations = (*problems, other), None
    store.open_for(client.url)
    unseen = _require_sight(client, include, exclude)
    vault, unsealed = _open_vault(store, passphrase)
    read_at = datetime.now(timezone.utc).isoformat(timespec="seconds")
    found = read_settings(
        client,
        include=include,
        exclude=exclude,
        configurations=configurations,
        progress=progress,
    )
    unread = (*problems, *unsealed, *unseen, *found.unread)
    for _ in range(_TRIES):
        claim = Claim(store)
        night = NightSettings(
            **_write(store, found, vault),
            unread=unread,
            limited=bool(include or exclude),
            read_at=read_at,
            sweep=claim.sweep,
        )
        store.settings.write_night(run, night)
        if not settle_files(store, claim.sweep, night.paths):
            break
    else:
        raise BackupInterruptedError(
            "prune went on deleting the settings of this run. Run it again", []
        )
    for line in problem_lines(unread):
        log.warning("Not read: %s", line)
    made = SettingsExport(night=night, items=_count(found), with_secrets=vault is not None)
    log.info("Settings: %s", made.summary_line())
    return made


def _require_sight(
    client: HarborClient, include: Sequence[str], exclude: Sequence[str]
) -> list[Unread]:
    """Make sure that no project is overlooked; see `export_settings` for what is raised."""
    try:
        list_projects(client, include, exclude)
    except HarborSightError as err:
        if not (include or exclude):
            raise
        return [unseen_projects(err)]
    return []


def secrets_left_out(err: Exception) -> Unread:
    """Return what a night says where there is no passphrase, or not the one, to seal secrets."""
    reason = f"only that they are there is kept, since they could not be sealed: {err}"
    return Unread(scope=SYSTEM, kind=SECRETS, reason=reason, failed=True)


def _open_vault(store: BackupStore, passphrase: str) -> tuple[Vault | None, list[Unread]]:
    """Return what seals secrets, if it is wanted, and why there is none."""
    if not passphrase:
        return None, []
    try:
        return store.settings.open_vault(passphrase), []
    except (HarborConfigurationError, IntegrityError) as err:
        # Of all settings these are the least: without the others nothing comes back.
        return None, [secrets_left_out(err)]


def _write(store: BackupStore, found: HarborSettings, vault: Vault | None) -> dict[str, Any]:
    """Keep the documents; returns the names of that of the system, and of those of projects."""
    documents = {
        scope: store.settings.write(SettingsDocument(scope=scope, values=found.of(scope)), vault)
        for scope in (SYSTEM, *found.project_ids)
        if found.of(scope)
    }
    return {"system": documents.pop(SYSTEM, ""), "projects": documents}


def _count(found: HarborSettings) -> int:
    return sum(
        len(items_of(kind_of(scope, name), value)) for (scope, name), value in found.values.items()
    )


def problem_lines(unread: Iterable[Unread]) -> list[str]:
    """Return a line for each kind and reason, with the projects that it is of."""
    scopes: dict[tuple[str, str], list[str]] = {}
    for one in unread:
        scopes.setdefault((one.kind, one.reason), []).append(one.scope)
    lines = []
    for (kind, reason), names in scopes.items():
        projects = [name for name in names if name != SYSTEM]
        shown = ", ".join(projects[:_SHOWN_SCOPES])
        if more := len(projects) - _SHOWN_SCOPES:
            shown += f" and {more:,} more" if more > 0 else ""
        where = f" of {human_count(len(projects), 'project')} ({shown})" if projects else ""
        lines.append(f"{kind}{where}: {reason}")
    return lines
