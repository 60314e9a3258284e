"""The login of an import, which must not lose on the way what it needs for the rest."""

from __future__ import annotations

from collections.abc import Iterable

from airflow_provider_harbor.core.settings.kinds import SYSTEM, Item
from airflow_provider_harbor.core.settings.target import SettingsTarget


class OwnLogin:
    """Tells which setting is the login itself.

    Args:
        target: The Harbor, with the login.
    """

    def __init__(self, target: SettingsTarget) -> None:
        self._target = target

    def has_importer(self, members: Iterable[str]) -> bool:
        """Tell whether the login is among some members, by their keys."""
        return f"user {self._target.client.user}" in members

    def is_it(self, kind: str, item: Item) -> bool:
        """Tell whether an item is the login itself, which is never deleted."""
        user = self._target.client.user
        if kind == "users":
            return item.get("username") == user
        return kind == "robots" and user == f"{self._target.settings.names.prefix}{item['name']}"

    def stays_administrator(self, kind: str, item: Item, before: Item | None) -> bool:
        """Tell whether an item would take from the login what it needs for all the rest."""
        leads = bool(before and before.get("sysadmin_flag"))
        return (
            kind == "users" and leads and not item.get("sysadmin_flag") and self.is_it(kind, item)
        )

    def is_own_robot(self, scope: str, item: Item) -> bool:
        """Tell whether a robot is the login itself, which would lose its secret on the way."""
        place = f"{scope}+" if scope != SYSTEM else ""
        name = f"{self._target.settings.names.prefix}{place}{item['name']}"
        return name == self._target.client.user
