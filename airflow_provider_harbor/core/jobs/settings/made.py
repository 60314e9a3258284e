"""What comes with a project when it is made, and must go where the export has it not.

Harbor makes the creator of a project an administrator of it, and gives a project that caches a
registry a policy of retention. An import that is stopped before it took them away leaves them, and
the next one could not tell them from what somebody wants; so the store remembers who made it.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from airflow_provider_harbor.core.jobs.settings.compare import Settings
from airflow_provider_harbor.core.jobs.settings.remembered import UNREADABLE, Remembered
from airflow_provider_harbor.core.settings.kinds import Item, items_of, kind_of
from airflow_provider_harbor.core.settings.target import SettingsTarget
from airflow_provider_harbor.core.store import layout
from airflow_provider_harbor.core.store.backup_store import BackupStore

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


class MadeProjects(Remembered):
    """The projects that imports of a store made at a Harbor, and have not ended.

    Args:
        store: Where that is remembered.
        url: Of the Harbor.
    """

    def __init__(self, store: BackupStore, url: str) -> None:
        super().__init__(store, url, "project", layout.made)

    def is_made(self, project: str, number: int) -> bool:
        """Tell whether a project is the one that was made."""
        try:
            return self.read(project) == (True, number)
        except UNREADABLE as err:
            log.debug("%s: %s", self.shown(project), err)
            return False


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
