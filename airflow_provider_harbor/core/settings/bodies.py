"""What is sent to write a setting: the canonical form, as Harbor takes it.

Nothing but what Harbor reads, with what is zero said where leaving it out would keep the old one.
A secret without a text is left out: its mask is never sent.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from airflow_provider_harbor.core.exceptions import HarborConfigurationError
from airflow_provider_harbor.core.settings.form import GROUP_TYPES, ROLES
from airflow_provider_harbor.core.settings.kinds import SYSTEM, Item
from airflow_provider_harbor.core.settings.secret_values import MASK, Secret
from airflow_provider_harbor.core.settings.target import SettingsTarget
from airflow_provider_harbor.core.settings.versions import newer_fields

Body = dict[str, Any]
# Of a project what would act on the artifacts while they are brought back, so it comes after them.
LATE_METADATA = frozenset({
    "auto_scan", "auto_sbom_generation", "prevent_vul", "enable_content_trust",
    "enable_content_trust_cosign",
})  # fmt: skip

_GROUP_NUMBERS = {name: number for number, name in GROUP_TYPES.items()}
_ROLE_NUMBERS = {name: number for number, name in ROLES.items()}


def body_of(target: SettingsTarget, scope: str, kind: str, item: Item) -> Body:
    """Return what is sent to create an item, or to replace it whole.

    Raises:
        HarborConfigurationError: What it needs is not there.
    """
    make = _BODIES.get(kind)
    body = newer_fields(kind, item) | make(target, scope, item) if make else dict(item)
    sent: Body = with_texts(body)
    return sent


def with_texts(value: Any) -> Any:
    """Return a value with the texts of secrets; those without one are left out."""
    if isinstance(value, Mapping):
        return {
            key: with_texts(each)
            for key, each in value.items()
            if not (isinstance(each, Secret) and not each.text)
        }
    if isinstance(value, list):
        return [with_texts(each) for each in value]
    if isinstance(value, Secret):
        if value.text == MASK:
            raise ValueError("a mask is no secret")
        return value.text
    return value


def allowlist_body(item: Mapping[str, Any]) -> Body:
    """Return an allowlist as Harbor takes it."""
    body: Body = {"items": [{"cve_id": name} for name in item.get("items") or ()]}
    return {**body, "expires_at": item["expires_at"]} if item.get("expires_at") else body


def _allowlist(target: SettingsTarget, scope: str, item: Item) -> Body:
    return allowlist_body(item)


def _group(target: SettingsTarget, scope: str, item: Item) -> Body:
    body: Body = {"group_name": item["name"], "group_type": _GROUP_NUMBERS[item["type"]]}
    return body | _dn(item)


def _dn(item: Item) -> Body:
    return {"ldap_group_dn": item["ldap_group_dn"]} if item.get("ldap_group_dn") else {}


def _registry(target: SettingsTarget, scope: str, item: Item) -> Body:
    return {**item, "insecure": bool(item.get("insecure"))}


def _label(target: SettingsTarget, scope: str, item: Item) -> Body:
    texts = {name: item.get(name, "") for name in ("name", "description", "color")}
    if scope == SYSTEM:
        return {**texts, "scope": "g"}
    return {**texts, "scope": "p", "project_id": target.project_id(scope)}


def _member(target: SettingsTarget, scope: str, item: Item) -> Body:
    body: Body = {"role_id": _ROLE_NUMBERS[item["role"]]}
    if item["type"] == "user":
        return {**body, "member_user": {"username": item["name"]}}
    return {**body, "member_group": _member_group(target, item)}


def _member_group(target: SettingsTarget, item: Item) -> Body:
    kind = item.get("group_type") or target.groups().get(item["name"], "")
    key = f"{kind} {item.get('ldap_group_dn') or item['name']}"
    if kind == "ldap":
        return {"group_type": _GROUP_NUMBERS[kind], **_dn(item)}
    try:
        return {"id": target.number_of(SYSTEM, "groups", key)}
    except HarborConfigurationError:
        # Harbor makes it by itself where OIDC logs people in.
        if kind == "oidc" and target.client.system_info.auth_mode == "oidc_auth":
            return {"group_name": item["name"], "group_type": _GROUP_NUMBERS[kind]}
        raise


def _robot(target: SettingsTarget, scope: str, item: Item) -> Body:
    return {
        "name": item["name"],
        "description": item.get("description", ""),
        "disable": bool(item.get("disable")),
        "duration": item.get("duration", -1),
        "level": "system" if scope == SYSTEM else "project",
        "permissions": item.get("permissions") or [],
    }


def _retention(target: SettingsTarget, scope: str, item: Item) -> Body:
    trigger = item.get("trigger") or {}
    settings = {"cron": "", **(trigger.get("settings") or {})}
    return {
        "algorithm": item.get("algorithm", "or"),
        "scope": {"level": "project", "ref": target.project_id(scope)},
        "trigger": {"kind": trigger.get("kind", "Schedule"), "settings": settings},
        "rules": [
            {"tag_selectors": [], "scope_selectors": {}, **rule} for rule in item.get("rules") or ()
        ],
    }


def _rule(target: SettingsTarget, scope: str, item: Item) -> Body:
    body: Body = {"tag_selectors": [], "scope_selectors": {}, **item}
    return {**body, "disabled": bool(item.get("disabled"))}


def _webhook(target: SettingsTarget, scope: str, item: Item) -> Body:
    return {
        "description": "",
        "event_types": [],
        **item,
        "enabled": bool(item.get("enabled")),
        "targets": [{"skip_cert_verify": False, **one} for one in item.get("targets") or ()],
    }


def _instance(target: SettingsTarget, scope: str, item: Item) -> Body:
    flags = {name: bool(item.get(name)) for name in ("enabled", "default", "insecure")}
    body: Body = {"description": "", "auth_mode": "NONE", **item, **flags}
    info = item.get("auth_info")
    if isinstance(info, Secret) and info.text:
        body["auth_info"] = json.loads(info.text)
    return body


def _preheat_policy(target: SettingsTarget, scope: str, item: Item) -> Body:
    provider = item.get("provider", "")
    body: Body = {
        "name": item["name"],
        "description": item.get("description", ""),
        "enabled": bool(item.get("enabled")),
        "project_id": target.project_id(scope),
        "provider_id": target.number_of(SYSTEM, "preheat-instances", provider),
        "provider_name": provider,
    }
    if item.get("scope"):
        body["scope"] = item["scope"]
    for name in ("filters", "trigger", "extra_attrs"):
        value = item.get(name)
        if isinstance(value, (dict, list)):
            body[name] = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
        else:
            body[name] = value or ""
    return body


def _replication(target: SettingsTarget, scope: str, item: Item) -> Body:
    known = {
        "description": "", "dest_namespace": "", "filters": [], "deletion": False,
        "override": False, "enabled": False, "speed": 0, "copy_by_chunk": False,
        "single_active_replication": False,
    }  # fmt: skip
    body: Body = {**known, **item}
    for side in ("src_registry", "dest_registry"):
        name = body.pop(side, None)
        if name:
            body[side] = {"id": target.number_of(SYSTEM, "registries", name)}
    return body


def _scanner(target: SettingsTarget, scope: str, item: Item) -> Body:
    flags = {
        name: bool(item.get(name)) for name in ("disabled", "skip_certVerify", "use_internal_addr")
    }
    body: Body = {"description": "", "auth": "", **item, **flags}
    body.pop("is_default", None)
    return body


def _schedule(target: SettingsTarget, scope: str, item: Item) -> Body:
    return {
        "schedule": {"type": item["type"], "cron": item.get("cron", "")},
        "parameters": item.get("parameters") or {},
    }


def _quota(target: SettingsTarget, scope: str, item: Item) -> Body:
    return {"hard": {"storage": item["storage"]}}


_BODIES: Mapping[str, Callable[[SettingsTarget, str, Item], Body]] = {
    "cve-allowlist": _allowlist,
    "groups": _group,
    "registries": _registry,
    "labels": _label,
    "members": _member,
    "robots": _robot,
    "retention": _retention,
    "immutability": _rule,
    "webhooks": _webhook,
    "preheat-instances": _instance,
    "preheat-policies": _preheat_policy,
    "replications": _replication,
    "scanners": _scanner,
    "garbage-collection": _schedule,
    "purge-audit": _schedule,
    "scan-all": _schedule,
    "quota": _quota,
}
