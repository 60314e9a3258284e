"""What the report of a run says of Harbor's settings: which were kept, and what has changed."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

from airflow_provider_harbor.core.exceptions import HarborBackupError, HarborConfigurationError
from airflow_provider_harbor.core.human import human_count
from airflow_provider_harbor.core.jobs.settings.compare import (
    SettingChange,
    compare,
    describe_changes,
    split_unseen,
    summarise,
)
from airflow_provider_harbor.core.jobs.settings.exporting import problem_lines
from airflow_provider_harbor.core.jobs.settings.nights import (
    find_night,
    read_documents,
    settled_night,
)
from airflow_provider_harbor.core.settings.kinds import SYSTEM
from airflow_provider_harbor.core.store.backup_store import BackupStore
from airflow_provider_harbor.core.store.layout import run_key
from airflow_provider_harbor.core.store.settings_files import NightSettings

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingsReport:
    """What became of the settings in a run.

    Attributes:
        night: Which ones it has; None where they are not whole.
        compared_to: Key of the night before; empty where there is none.
        changes: What has changed since.
        unseen: A line for each that may have come or gone, and that nobody can tell of.
        problem: Why the settings that were read are not kept; empty where they are.
    """

    night: NightSettings | None = None
    compared_to: str = ""
    changes: tuple[SettingChange, ...] = ()
    unseen: tuple[str, ...] = ()
    problem: str = ""

    def summary_line(self) -> str:
        """Return it in some words."""
        if self.night is None:
            return f"NOT kept: {self.problem}"
        text = "the system and " if self.night.system else ""
        text += human_count(len(self.night.projects), "project")
        if self.compared_to:
            text += f"; since {self.compared_to}: {summarise(self.changes)}"
        if kinds := sorted({unread.kind for unread in self.night.unread}):
            text += f"; not read, or not whole: {', '.join(kinds)}"
        return text + (f"; {self.problem}" if self.problem else "")

    def change_lines(self, limit: int = 0) -> list[str]:
        """Return what has changed as lines."""
        return describe_changes(self.changes, limit)

    def unread_lines(self) -> list[str]:
        """Return a line for each kind that could not be read, and for what is not seen for that."""
        return [*problem_lines(self.night.unread), *self.unseen] if self.night else []

    def failures(self) -> list[str]:
        """Return a line for what failed; what the login may not read did not."""
        failed = [u for u in self.night.unread if u.failed] if self.night else []
        lines = [f"settings: {line}" for line in problem_lines(failed)]
        return [f"settings: {self.problem}", *lines] if self.problem else lines

    def to_json(self) -> dict[str, Any]:
        """Return it by names."""
        return {
            "summary": self.summary_line(),
            "compared_to": self.compared_to,
            "changes": [change.to_json() for change in self.changes],
            "unread": self.unread_lines(),
            "problem": self.problem,
            **({"night": self.night.to_json()} if self.night else {}),
        }


def report_settings(store: BackupStore, run: str) -> SettingsReport | None:
    """Return what became of the settings in a run; None where they were not read."""
    night, problem = settled_night(store, run)
    if night is None:
        return SettingsReport(problem=problem) if problem else None
    try:
        before = find_night(store, before=run_key(run))
        changes, unseen = compare_nights(store, before.settings, night)
        return SettingsReport(
            night=night, compared_to=before.key, changes=tuple(changes), unseen=tuple(unseen)
        )
    except HarborConfigurationError:
        return SettingsReport(night=night)  # the first one
    except HarborBackupError as err:
        log.warning("The settings are not compared with those of the night before: %s", err)
        return SettingsReport(night=night)


def compare_nights(
    store: BackupStore, before: NightSettings, after: NightSettings
) -> tuple[list[SettingChange], list[str]]:
    """Return what differs between two nights, and a line for what one of them has not seen.

    Reads only those documents that differ. Where one of them was limited to some projects, only
    those are compared that both have.

    Raises:
        IntegrityError: A document is gone or damaged.
    """
    scopes = {SYSTEM, *before.projects, *after.projects}
    if before.limited or after.limited:
        scopes = {SYSTEM, *(before.projects.keys() & after.projects.keys())}
    differ = [s for s in sorted(scopes) if before.sha256_of(s) != after.sha256_of(s)]
    old, new = (read_documents(store, night, differ) for night in (before, after))
    changes = compare(
        {scope: document.values for scope, document in old.items()},
        {scope: document.values for scope, document in new.items()},
    )
    return split_unseen(changes, before.unread, after.unread)
