"""What comes with a project when it is made, and must go where the export has it not.

Harbor makes the creator of a project an administrator of it, and gives a project that caches a
registry a policy of retention. An import that is stopped before it took them away leaves them, and
the next one could not tell them from what somebody wants; so the store remembers who made it.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from airflow_provider_harbor.core.exceptions import (
    HarborBackupError,
    HarborConfigurationError,
    HarborStatusError,
    IntegrityError,
    StoreError,
)
from airflow_provider_harbor.core.jobs.settings_compare import Settings
from airflow_provider_harbor.core.settings.kinds import Item, items_of, kind_of
from airflow_provider_harbor.core.settings.target import SettingsTarget
from airflow_provider_harbor.core.store import layout
from airflow_provider_harbor.core.store.backup_store import BackupStore
from airflow_provider_harbor.core.store.documents import SHAPE_ERRORS, dump, read_object

log = logging.getLogger(__name__)

KINDS = ("members", "retention")
OF_THIS = "it came with the project, which an import of this store made, and the export has it not"
OF_WHOM = {
    "members": (
        "it is an administrator of the project, as whoever makes one is, and the export lacks it. "
        "Remove it there if nobody wants it, or run with --delete-surplus"
    ),
    "retention": (
        "it is what Harbor gives each project that caches a registry, is in force there, and the "
        "export has none. Delete it there if nobody wants it, or run with --delete-surplus"
    ),
}


class MadeProjects:
    """The projects that imports of a store made at a Harbor, and have not ended.

    Args:
        store: Where that is remembered. One that cannot be written is no error: then the next
            import says what it finds, instead of taking it away.
        url: Of the Harbor.
    """

    def __init__(self, store: BackupStore, url: str) -> None:
        self._files = store.files
        self._url = url

    def begin(self, project: str) -> None:
        """Remember that a project is going to be made."""
        self._keep(project, None)

    def fail(self, project: str, err: HarborBackupError) -> None:
        """Forget it, where Harbor refused to; a proxy's 5xx may hide that it did not."""
        if isinstance(err, HarborStatusError) and err.status < 500:
            self.end(project)

    def made(self, project: str, number: int) -> None:
        """Remember that a project was made, with its id."""
        self._keep(project, number)

    def _keep(self, project: str, number: int | None) -> None:
        content = dump({"harbor_url": self._url, "project": project, "project_id": number})
        try:
            self._files.write(layout.made(self._url, project), content)
        except StoreError as err:
            log.warning("That this import makes %s cannot be kept in the store: %s", project, err)

    def is_made(self, project: str, number: int) -> bool:
        """Tell whether a project is the one that was made."""
        path = layout.made(self._url, project)
        try:
            data = read_object(self._files, path)
            whose = (self._url, project, number)
            return data is not None and whose == (
                data["harbor_url"], data["project"], data["project_id"]
            )  # fmt: skip
        except (HarborConfigurationError, IntegrityError, StoreError, *SHAPE_ERRORS) as err:
            log.debug("%s: %s", self._files.url_of(path), err)
            return False

    def end(self, project: str) -> None:
        """Forget a project: nothing is left that came with it."""
        try:
            self._files.delete([layout.made(self._url, project)])
        except StoreError as err:
            log.warning("That %s was made cannot be taken from the store: %s", project, err)


def left_by_making(
    wanted: Settings, target: SettingsTarget, scope: str, *, is_known: bool = True
) -> dict[str, str]:
    """Return what a project has as one that was just made, and the export has not.

    Args:
        wanted: The settings.
        target: The Harbor.
        scope: The project.
        is_known: Whether it is known that an import made it. Else its owner may be anybody, and is
            the creator only where this login would make him that.

    Returns:
        Keys of items, by their kind.
    """
    found = {}
    for name in KINDS:
        there = target.settings.values.get((scope, name))
        if there is None or name not in wanted[scope]:
            continue
        kind = kind_of(scope, name)
        known = items_of(kind, wanted[scope][name])
        for key, item in items_of(kind, there).items():
            if key not in known and _comes_with_it(target, scope, name, item, is_known):
                found[name] = key
    return found


def _comes_with_it(
    target: SettingsTarget, scope: str, kind: str, item: Item, is_known: bool
) -> bool:
    if kind == "members":
        lead = (item["type"], item["role"]) == ("user", "projectAdmin")
        return lead and item["name"] in _creators(target, scope, is_known)
    project: Mapping[str, Any] = target.settings.values.get((scope, "project")) or {}
    is_proxy = bool(project.get("registry") or project.get("registry_unknown"))
    rules = item.get("rules") or [{}]
    cron = ((item.get("trigger") or {}).get("settings") or {}).get("cron")
    # So Harbor 2.15 makes it: what was pulled in 7 days stays, daily at 0:00.
    days = (rules[0].get("params") or {}).get("nDaysSinceLastPull")
    return is_proxy and (len(rules), days, cron) == (1, 7, "0 0 0 * * *")


def _creators(target: SettingsTarget, scope: str, is_known: bool) -> set[str]:
    user = target.client.user
    raw = target.settings.raws.get((scope, "project"), {}).get("", {})
    # What a robot makes is owned by the first administrator.
    is_robot = user.startswith(target.settings.names.prefix or "robot$")
    return {user, str(raw.get("owner_name") or user)} if is_known or is_robot else {user}
