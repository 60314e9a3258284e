"""Settings that name projects which come back under another name."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any

from airflow_provider_harbor.core.settings.form import dump_item
from airflow_provider_harbor.core.settings.kinds import Item


def left_names(scopes: Mapping[str, str]) -> dict[str, str]:
    """Return new names by old ones, of the projects whose old name no other one takes."""
    taken = set(scopes.values())
    return {old: new for old, new in scopes.items() if old != new and old not in taken}


def renamed(values: Mapping[str, Any], scopes: Mapping[str, str]) -> dict[str, Any]:
    """Return settings in which robots and policies name projects as they are to be called.

    Args:
        values: By kind.
        scopes: New names by old ones; also those that stay.
    """
    found = dict(values)
    if "robots" in found:
        found["robots"] = [_robot(robot, scopes) for robot in found["robots"]]
    if "replications" in found:
        found["replications"] = [with_new_names(each, scopes) for each in found["replications"]]
    return found


def _robot(robot: Item, scopes: Mapping[str, str]) -> Item:
    rows: dict[tuple[str, str], Item] = {}
    for row in robot.get("permissions") or ():
        name = row["namespace"]
        if row["kind"] == "project":
            name = scopes.get(name, name)
        # It may have rights on a project of the new name, too.
        known = rows.get((row["kind"], name), {"access": []})["access"]
        access = [*known, *(each for each in row["access"] if each not in known)]
        access.sort(key=dump_item)
        rows[row["kind"], name] = {**row, "namespace": name, "access": access}
    # Their order is by what they are.
    return {**robot, "permissions": sorted(rows.values(), key=dump_item)}


def with_new_names(policy: Item, scopes: Mapping[str, str]) -> Item:
    """Return a policy of replication in which projects of this Harbor have their new names.

    What is pulled goes into one of them; what is pushed comes from them. At the other end nothing
    is renamed.
    """
    if policy.get("src_registry"):
        target = policy.get("dest_namespace")
        return {**policy, "dest_namespace": _path(target, scopes)} if target else policy
    if not policy.get("filters"):
        return policy
    return {**policy, "filters": [_filter(each, scopes) for each in policy["filters"]]}


def _filter(rule: Item, scopes: Mapping[str, str]) -> Item:
    is_name = rule.get("type") == "name" and isinstance(rule.get("value"), str)
    return {**rule, "value": _path(rule["value"], scopes)} if is_name else rule


def _path(path: str, scopes: Mapping[str, str]) -> str:
    project, slash, rest = path.partition("/")
    return f"{scopes.get(project, project)}{slash}{rest}"


def names_by_pattern(policy: Item, old: str, new: str) -> bool:
    """Tell whether a policy is about a project in words that cannot be put otherwise.

    So it is where a pattern fits its old name and not the new one (`**` fits both), and where what
    is pulled goes into the project that is called as at the other end.
    """
    if policy.get("dest_namespace") and policy.get("src_registry"):
        return False
    for rule in policy.get("filters") or ():
        value = rule.get("value")
        if rule.get("type") != "name" or not isinstance(value, str):
            continue
        if [name for name in (old, new) if _may_fit(_first_part(value), name)] == [old]:
            return True
    return False


def _first_part(pattern: str) -> str:
    """Return the part of a pattern that is of the project; braces may hold more of it."""
    depth = 0
    for place, sign in enumerate(pattern):
        depth += (sign == "{") - (sign == "}")
        if sign == "/" and depth == 0:
            return pattern[:place]
    return pattern


def _may_fit(pattern: str, name: str) -> bool:
    begin, brace, rest = pattern.partition("{")
    if not brace:
        return fnmatchcase(name, pattern)
    inner, _, end = rest.partition("}")
    return any(_may_fit(f"{begin}{each.partition('/')[0]}{end}", name) for each in inner.split(","))
