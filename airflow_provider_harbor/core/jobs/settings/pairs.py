"""Which setting that is there is which of the wanted ones, and why a surplus may not be one."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from airflow_provider_harbor.core.jobs.settings.compare import Settings
from airflow_provider_harbor.core.settings.kinds import SYSTEM, Item, Kind
from airflow_provider_harbor.core.settings.target import SettingsTarget

# Where people log in so, Harbor lists no groups but these.
_LISTED_GROUPS = {"ldap_auth": "ldap", "http_auth": "http"}
_OF_A_GROUP = ("group_type", "ldap_group_dn")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairs:
    """The items of a kind in a scope, wanted and there.

    Attributes:
        wanted: By key, each item with what it is there; None where it is not.
        surplus: By key, what is there and not wanted.
        has_unknown: Whether it is not known of one what exactly it is.
    """

    wanted: Mapping[str, tuple[Item, Item | None]]
    surplus: Mapping[str, Item]
    has_unknown: bool = False


def pair(kind: Kind, wanted: Mapping[str, Item], there: Mapping[str, Item]) -> Pairs:
    """Return which item is which.

    By their keys; but a group is found by its name alone where its type is not known on one side,
    as where the groups could not be read. Else it would be taken for two: one to create, which
    Harbor refuses, and one to delete.
    """
    found = {key: (item, there.get(key)) for key, item in wanted.items()}
    surplus = {key: item for key, item in there.items() if key not in wanted}
    if kind.name != "members":
        return Pairs(wanted=found, surplus=surplus)
    for key, (item, before) in found.items():
        if before is None and item.get("type") == "group":
            same = [other for other in surplus if _may_be(item, surplus[other])]
            if len(same) == 1:
                before = surplus.pop(same[0])
                own = {name: each for name, each in item.items() if name not in _OF_A_GROUP}
                kept = {name: before[name] for name in _OF_A_GROUP if name in before}
                found[key] = ({**own, **kept}, before)
    has_unknown = any(
        item.get("type") == "group" and not item.get("group_type")
        for item in (*wanted.values(), *there.values())
    )
    return Pairs(wanted=found, surplus=surplus, has_unknown=has_unknown)


def _may_be(item: Item, other: Item) -> bool:
    is_known = item.get("group_type") and other.get("group_type")
    return other.get("type") == "group" and other["name"] == item["name"] and not is_known


class Surplus:
    """Tells which surplus must be left, since it may be none.

    Args:
        wanted: The settings.
        target: The Harbor that is to have them.
        incomplete: Scopes and kinds that the export has not, or not whole.
    """

    def __init__(
        self, wanted: Settings, target: SettingsTarget, incomplete: Collection[tuple[str, str]]
    ) -> None:
        self._wanted = wanted
        self._target = target
        self._incomplete = incomplete
        self._unread = {(each.scope, each.kind) for each in target.settings.unread}

    def why_left(self, scope: str, kind: str, pairs: Pairs) -> str:
        """Return why nothing of a kind is deleted; empty where nothing is known against it."""
        if (scope, kind) in self._incomplete:
            return "the export has not all of them"
        if (scope, kind) in self._unread:
            return "they could not be read whole there"
        if kind == "members" and (pairs.has_unknown or (SYSTEM, "groups") in self._unread):
            return "the groups could not be read, here or there, so a member may be another one"
        if kind == "groups":
            return self._why_no_group(pairs)
        return ""

    def _why_no_group(self, pairs: Pairs) -> str:
        mode = (self._wanted.get(SYSTEM, {}).get("configurations") or {}).get("auth_mode")
        if mode is None and (SYSTEM, "configurations") in self._incomplete:
            listed = {item.get("type") for item in pairs.surplus.values()}
            known = {item.get("type") for item, _ in pairs.wanted.values()}
            return "" if listed <= known else "the export may not have groups of their type"
        only = _LISTED_GROUPS.get(str(mode))
        if only and any(item.get("type") != only for item in pairs.surplus.values()):
            return f"the export lists only groups of the type {only}"
        return ""
