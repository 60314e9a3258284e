"""What is left out of a setting, since the Harbor that is to have it does not know it."""

from __future__ import annotations

from collections.abc import Mapping

from airflow_provider_harbor.core.jobs.settings.compare import FieldChange, Settings
from airflow_provider_harbor.core.jobs.settings.own_login import OwnLogin
from airflow_provider_harbor.core.settings.form import dump_item
from airflow_provider_harbor.core.settings.kinds import Item
from airflow_provider_harbor.core.settings.target import SettingsTarget
from airflow_provider_harbor.core.settings.versions import (
    newer_fields,
    unknown_metadata,
    with_defaults,
    without_unknown_fields,
    without_unknown_metadata,
)

# They come with Harbor.
BUILT_IN_SCANNERS = ("Trivy",)


class Fitting:
    """Makes settings such as a Harbor can have them.

    Args:
        wanted: The settings.
        target: The Harbor that is to have them.
        own: The login.
        left_names: Names of projects that come back under another one, by that.
    """

    def __init__(
        self,
        wanted: Settings,
        target: SettingsTarget,
        own: OwnLogin,
        left_names: Mapping[str, str],
    ) -> None:
        self._wanted = wanted
        self._target = target
        self._own = own
        self._left_names = left_names

    def fitted(self, kind: str, item: Item, before: Item | None) -> tuple[Item, str]:
        """Return an item without what this Harbor does not know, and what that is."""
        version = self._target.client.version
        item, unknown = without_unknown_fields(kind, item, version)
        item = with_defaults(kind, item, version)
        # What only a newer Harbor has is there as it is: an older export says nothing of it.
        item = newer_fields(kind, before or {}) | item
        item, why = self._fitted(kind, item, before)
        lost = f"without {', '.join(unknown)}, which this Harbor has not" if unknown else ""
        return item, "; ".join(filter(None, (lost, why)))

    def fitted_project(self, item: Item, before: Item | None) -> tuple[Item, list[str]]:
        """Return a project without metadata that this Harbor does not know, and their names."""
        item, unknown = without_unknown_metadata(item, self._target.client.version)
        there = (before or {}).get("metadata") or {}
        kept = {name: there[name] for name in unknown_metadata(before or {})}
        if kept:
            item = {**item, "metadata": {**kept, **(item.get("metadata") or {})}}
        return item, unknown

    def _fitted(self, kind: str, item: Item, before: Item | None) -> tuple[Item, str]:
        if kind == "robots":
            return self._fitted_robot(item, before)
        if kind == "webhooks":
            return self._fitted_webhook(item, before)
        if self._own.stays_administrator(kind, item, before):
            return {**item, "sysadmin_flag": True}, ""
        if kind == "scanners" and item.get("name") in BUILT_IN_SCANNERS and before is not None:
            # It comes with Harbor, and only whether it is the default can be changed.
            return {**before, "is_default": True} if item.get("is_default") else before, ""
        return item, ""

    def _fitted_robot(self, item: Item, before: Item | None) -> tuple[Item, str]:
        item = self._with_left_names(item, before)
        if before is not None and before.get("permissions") == item.get("permissions"):
            return item, ""
        known = self._target.permissions()
        dropped: list[str] = []
        rows = []
        for row in item.get("permissions") or ():
            if row["kind"] == "project" and not self._is_namespace(row["namespace"]):
                dropped.append(f"those on the project {row['namespace']}, which is not there")
                continue
            table = known.get(row["kind"])
            access = []
            for one in row["access"]:
                if table is None or (one["resource"], one["action"]) in table:
                    access.append(one)
                else:
                    dropped.append(f"{one['resource']}:{one['action']}, which this Harbor has not")
            rows += [{**row, "access": access}] if access else []
        if not dropped:
            return item, ""
        return {**item, "permissions": rows}, f"without {', '.join(dict.fromkeys(dropped))}"

    def _with_left_names(self, item: Item, before: Item | None) -> Item:
        """Return a robot with what it may on projects that are there beside their copies."""
        kept = [
            row
            for row in (before or {}).get("permissions") or ()
            if row["kind"] == "project" and row["namespace"] in self._left_names
        ]
        if not kept:
            return item
        rows = [*(item.get("permissions") or ()), *kept]
        return {**item, "permissions": sorted(rows, key=dump_item)}

    def _is_namespace(self, name: str) -> bool:
        return name == "*" or (name in self._wanted or self._target.is_there(name))

    def _fitted_webhook(self, item: Item, before: Item | None) -> tuple[Item, str]:
        wanted = item.get("event_types") or []
        if before is not None and before.get("event_types") == wanted:
            return item, ""
        known = self._target.events()
        kept = [event for event in wanted if not known or event in known]
        if kept == wanted or not kept:
            return item, ""
        dropped = [event for event in wanted if event not in kept]
        return {**item, "event_types": kept}, (
            f"without the events {', '.join(dropped)}, which this Harbor has not"
        )

    def relevant(self, kind: str, fields: tuple[FieldChange, ...]) -> tuple[FieldChange, ...]:
        """Return those changes of an item that can be made."""
        if kind == "scanners":
            # The default moves to another one, and is never only taken away.
            return tuple(f for f in fields if not (f.name == "is_default" and not f.after))
        return fields
