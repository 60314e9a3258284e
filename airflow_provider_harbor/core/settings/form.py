"""The canonical form of settings: names for ids, nothing that Harbor makes up, secrets as secrets.

Two exports of the same settings are equal in it byte for byte, whoever read them and whichever ids
they have. What is zero is left out, since Harbor leaves it out itself; lists whose order means
nothing are sorted. What is not known here, of a newer Harbor, is kept as it is.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_harbor.core.settings.kinds import SCHEDULES, Item, Kind
from airflow_provider_harbor.core.settings.secret_values import Secret, guarded, secret_of

ROLES = {1: "projectAdmin", 2: "developer", 3: "guest", 4: "maintainer", 5: "limitedGuest"}
GROUP_TYPES = {1: "ldap", 2: "http", 3: "oidc"}
_DROPPED = frozenset({
    "id", "uuid", "creation_time", "update_time", "create_time", "setup_timestamp", "status",
    "health", "capabilities", "next_scheduled_time", "job_status", "project_id",
})  # fmt: skip
# By kind: what else is Harbor's own, or is written in other words below.
_DROPPED_OF: Mapping[str, frozenset[str]] = {
    "users": frozenset({
        "user_id", "admin_role_in_auth", "oidc_user_meta", "role_id", "role_name", "password",
        "password_version", "salt", "reset_uuid",
    }),
    "robots": frozenset({
        "level", "secret", "expires_at", "creator_type", "creator_ref", "name", "permissions",
    }),
    "labels": frozenset({"scope", "deleted"}),
    "replications": frozenset({"src_registry", "dest_registry", "replicate_deletion", "creator"}),
    "preheat-policies": frozenset({"provider_id", "provider_name"}),
    "webhooks": frozenset({"creator"}),
    # What it said of itself when it was asked.
    "scanners": frozenset({"adapter", "vendor", "version"}),
}  # fmt: skip
# Zero means something there, other than what Harbor takes where nothing is said.
_KEPT_ZEROS = frozenset({"dest_namespace_replace_count"})
# What is free within: a zero there is as good as any other value.
_FREE = frozenset({"params", "extra_attrs", "value"})
_METADATA_OF_HARBOR = frozenset({"retention_id", "projectScanner"})
_JSON_IN_TEXT = ("filters", "trigger", "extra_attrs")


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """What ids stand for.

    Attributes:
        registries: Names by id.
        scanners: Names by uuid.
        groups: Items of the kind `groups` by id.
        prefix: What the names of robots begin with; None where that is not known.
    """

    registries: Mapping[int, str] = field(default_factory=dict)
    scanners: Mapping[str, str] = field(default_factory=dict)
    groups: Mapping[int, Item] = field(default_factory=dict)
    prefix: str | None = "robot$"


class UnknownNameError(Exception):
    """Something is named by an id, and nobody can tell what that stands for."""


def canonical(kind: Kind, raw: Mapping[str, Any], names: Names, project: str = "") -> Item | None:
    """Return an item as Harbor answers it in canonical form; None for a schedule that is none.

    A schedule of the type `Manual` is none: it would run at once where it is imported.

    Raises:
        UnknownNameError: It cannot be said without an id.
        KeyError, TypeError, ValueError, AttributeError: It has not the form that it should have.
    """
    if kind.name == "configurations":
        return _configurations(raw)
    if kind.name == "quota":
        return {"storage": _whole(raw["hard"]["storage"])}
    if kind.name in SCHEDULES:
        return _schedule(raw)
    dropped = _DROPPED | _DROPPED_OF.get(kind.name, frozenset())
    item = {key: value for key, value in raw.items() if key not in dropped}
    if special := _SPECIAL.get(kind.name):
        item |= special(raw, names, project)
    return _pruned({key: guarded(key, value) for key, value in item.items()})


def sorted_items(kind: Kind, items: Iterable[Item]) -> list[Item]:
    """Return items in the order of their keys."""
    return sorted(items, key=lambda item: (kind.key_of(item), dump_item(item)))


def dump_item(value: Any) -> str:
    """Return a value as one text, the same for the same value; secrets as such only."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)


# -- what all kinds have in common


def _is_zero(value: Any) -> bool:
    return value is None or (not isinstance(value, Secret) and value in ("", 0, [], {}))


def _pruned(item: Mapping[str, Any]) -> Item:
    """Return an object without what is zero, at any depth, but not where all is free."""
    found: Item = {}
    for key, value in item.items():
        small = value if key in _FREE else _pruned_value(value)
        if key in _KEPT_ZEROS or not _is_zero(small):
            found[key] = small
    return found


def _pruned_value(value: Any) -> Any:
    if isinstance(value, Mapping):
        return _pruned(value)
    if isinstance(value, list):
        return [_pruned_value(each) for each in value]
    return value


# -- the kinds


def _list(raw: Mapping[str, Any], name: str) -> list[Any]:
    """Return a field that is a list; an empty one where there is none.

    Raises:
        TypeError: It is something else, which is not to be taken for nothing.
    """
    value = raw.get(name)
    if value is not None and not isinstance(value, list):
        raise TypeError(f"{name} is no list")
    return value or []


def _object(raw: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return a field that is an object; see `_list`."""
    value = raw.get(name)
    if value is not None and not isinstance(value, Mapping):
        raise TypeError(f"{name} is no object")
    return value or {}


def _whole(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError("it is no number")
    return value


def _text(raw: Mapping[str, Any], name: str) -> str:
    """Return a field that is a text; see `_list`."""
    if not isinstance(raw[name], str):
        raise TypeError(f"{name} is no text")
    return str(raw[name])


def _configurations(raw: Mapping[str, Any]) -> Item:
    """Return the configurations: every key that has a value, zero or not."""
    found: Item = {}
    _text(_object(raw, "auth_mode"), "value")
    for key, each in raw.items():
        if isinstance(each, Mapping) and "value" in each:
            value = each["value"]
            # A number of minutes is no secret, whatever its key says.
            is_number = isinstance(value, (int, float))
            kept = value if is_number else guarded(key, value)
            found[key] = "" if kept is None else kept
    return found


def _schedule(raw: Mapping[str, Any]) -> Item | None:
    schedule = _object(raw, "schedule")
    if schedule.get("type") in (None, "", "None", "Manual", "Schedule"):
        return None
    return _pruned({
        "type": schedule["type"],
        "cron": schedule.get("cron"),
        "parameters": guarded("", _parsed(raw.get("job_parameters"))),
    })  # fmt: skip


def _allowlist(raw: Mapping[str, Any]) -> Item:
    items = [str(one["cve_id"]) for one in _list(raw, "items")]
    return {"items": sorted(items), "expires_at": raw.get("expires_at")}


def _groups(raw: Mapping[str, Any], names: Names, project: str) -> Item:
    kind = raw["group_type"]
    return {
        "name": raw["group_name"],
        "type": GROUP_TYPES.get(kind, str(kind)),
        "group_name": None,
        "group_type": None,
    }


def _members(raw: Mapping[str, Any], names: Names, project: str) -> Item:
    made: Item = {
        "name": raw["entity_name"],
        "role": ROLES.get(raw["role_id"], raw["role_id"]),
        "type": "user" if raw["entity_type"] == "u" else "group",
        **dict.fromkeys(("entity_name", "entity_id", "entity_type", "role_id", "role_name")),
    }
    if made["type"] == "group" and (group := names.groups.get(raw["entity_id"])):
        made["group_type"] = group["type"]
        made["ldap_group_dn"] = group.get("ldap_group_dn")
    return made


def _robots(raw: Mapping[str, Any], names: Names, project: str) -> Item:
    name = str(raw["name"])
    if project:
        name = name.rpartition("+")[2]
    elif names.prefix is None or not name.startswith(names.prefix):
        raise UnknownNameError(
            "nobody can tell with what the names of robots begin (robot_name_prefix)"
        )
    else:
        name = name.removeprefix(names.prefix)
    permissions = [
        {
            "kind": one["kind"],
            "namespace": one["namespace"],
            "access": sorted((_pruned(access) for access in _list(one, "access")), key=dump_item),
        }
        for one in _list(raw, "permissions")
    ]
    return {
        "name": name,
        "permissions": sorted(permissions, key=dump_item),
        # Of those of Harbor 1, which cannot be made again.
        "editable": None if raw.get("editable", True) else "no",
    }


def _registries(raw: Mapping[str, Any], names: Names, project: str) -> Item:
    credential = dict(_object(raw, "credential"))
    if credential.get("access_secret"):
        credential["access_secret"] = Secret()
    return {"credential": credential}


def _scanners(raw: Mapping[str, Any], names: Names, project: str) -> Item:
    if not raw.get("auth"):
        return {"access_credential": None}
    # Harbor before 2.14.4 and 2.15.1 shows it; that is no reason to keep it where others hide it.
    return {"access_credential": Secret(str(raw.get("access_credential") or ""))}


def _instances(raw: Mapping[str, Any], names: Names, project: str) -> Item:
    if raw.get("auth_mode") in (None, "", "NONE"):
        return {"auth_info": None, "auth_mode": "NONE"}
    return {"auth_info": secret_of(raw.get("auth_info")) or Secret()}


def _replications(raw: Mapping[str, Any], names: Names, project: str) -> Item:
    def name(side: str) -> str | None:
        registry = _object(raw, side)
        return str(registry["name"]) if registry.get("id") else None

    return {"src_registry": name("src_registry"), "dest_registry": name("dest_registry")}


def _retention(raw: Mapping[str, Any], names: Names, project: str) -> Item:
    trigger = _object(raw, "trigger")
    settings = dict(_object(trigger, "settings"))
    settings.pop("next_scheduled_time", None)
    rules = [{k: v for k, v in rule.items() if k != "id"} for rule in _list(raw, "rules")]
    return {
        "algorithm": _text(raw, "algorithm"),
        "scope": None,
        "trigger": {**trigger, "settings": settings},
        "rules": rules,
    }


def _preheat_policies(raw: Mapping[str, Any], names: Names, project: str) -> Item:
    return {
        "provider": raw.get("provider_name"),
        **{key: _parsed(raw.get(key)) for key in _JSON_IN_TEXT},
    }


def _parsed(text: Any) -> Any:
    """Return the JSON of a text, which Harbor may write anew; a text that is none stays."""
    try:
        return json.loads(text) if text else None
    except (ValueError, TypeError, RecursionError):
        return text


_SPECIAL: Mapping[str, Callable[[Mapping[str, Any], Names, str], Item]] = {
    "groups": _groups,
    "members": _members,
    "robots": _robots,
    "registries": _registries,
    "scanners": _scanners,
    "preheat-instances": _instances,
    "replications": _replications,
    "retention": _retention,
    "preheat-policies": _preheat_policies,
    "cve-allowlist": lambda raw, names, project: _allowlist(raw),
}


def canonical_project(
    raw: Mapping[str, Any], metadata: Mapping[str, Any] | None, names: Names
) -> Item:
    """Return what a project itself is set to.

    Args:
        raw: The project, of the list of all.
        metadata: Its raw metadata; None where they cannot be read, and those of the list are
            taken, without what the list does not tell.
        names: What ids stand for.
    """
    own = dict(_object(raw, "metadata") if metadata is None else metadata)
    for name in own:
        _text(own, name)
    if metadata is None and own.get("severity") == "unknown":
        del own["severity"]
    registry_id = raw.get("registry_id") or 0
    return _pruned({
        "metadata": {k: guarded(k, v) for k, v in own.items() if k not in _METADATA_OF_HARBOR},
        "registry": names.registries.get(registry_id),
        # Where registries cannot be read: that it caches one is known, and not which.
        "registry_unknown": bool(registry_id) and registry_id not in names.registries,
        "scanner": names.scanners.get(str(own.get("projectScanner") or "")),
        "cve_allowlist": _allowlist(_object(raw, "cve_allowlist")),
    })  # fmt: skip
