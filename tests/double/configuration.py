"""Harbor's system configuration: what a fresh 2.15.2 with its own user database answers."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any

from .wire import bad_request, unprocessable

_INITIAL: dict[str, Any] = {
    "audit_log_forward_endpoint": "",
    "auth_mode": "db_auth",
    "banner_message": "",
    "disabled_audit_log_event_types": "",
    "http_authproxy_admin_groups": "",
    "http_authproxy_admin_usernames": "",
    "http_authproxy_endpoint": "",
    "http_authproxy_server_certificate": "",
    "http_authproxy_skip_search": False,
    "http_authproxy_tokenreview_endpoint": "",
    "http_authproxy_verify_cert": True,
    "ldap_base_dn": "",
    "ldap_filter": "",
    "ldap_group_admin_dn": "",
    "ldap_group_attach_parallel": False,
    "ldap_group_attribute_name": "",
    "ldap_group_base_dn": "",
    "ldap_group_membership_attribute": "memberof",
    "ldap_group_search_filter": "",
    "ldap_group_search_scope": 2,
    "ldap_scope": 2,
    "ldap_search_dn": "",
    "ldap_timeout": 5,
    "ldap_uid": "cn",
    "ldap_url": "",
    "ldap_verify_cert": True,
    "notification_enable": True,
    "oidc_admin_group": "",
    "oidc_auto_onboard": False,
    "oidc_client_id": "",
    "oidc_endpoint": "",
    "oidc_extra_redirect_parms": "{}",
    "oidc_group_filter": "",
    "oidc_groups_claim": "",
    "oidc_logout": False,
    "oidc_name": "",
    "oidc_scope": "",
    "oidc_user_claim": "",
    "oidc_verify_cert": True,
    "primary_auth_mode": False,
    "project_creation_restriction": "everyone",
    "quota_per_project_enable": True,
    "read_only": False,
    "robot_name_prefix": "robot$",
    "robot_token_duration": 30,
    "scanner_skip_update_pulltime": False,
    "self_registration": False,
    "session_timeout": 60,
    "skip_audit_log_database": False,
    "storage_per_project": -1,
    "token_expiration": 30,
    "uaa_client_id": "",
    "uaa_client_secret": "",
    "uaa_endpoint": "",
    "uaa_verify_cert": False,
}


# These can be written, and are never read.
WRITE_ONLY = ("ldap_search_password", "oidc_client_secret")
# Came with a version; before it, nothing knows them.
SINCE = {
    "skip_audit_log_database": (2, 6),
    "audit_log_forward_endpoint": (2, 6), "session_timeout": (2, 7), "oidc_group_filter": (2, 7),
    "primary_auth_mode": (2, 8), "scanner_skip_update_pulltime": (2, 8),
    "banner_message": (2, 9), "ldap_group_attach_parallel": (2, 12),
    "disabled_audit_log_event_types": (2, 13), "oidc_logout": (2, 13),
}  # fmt: skip
MODES = ("db_auth", "ldap_auth", "uaa_auth", "http_auth", "oidc_auth")
NOT_EMPTY = ("ldap_base_dn", "ldap_uid", "ldap_url")
POSITIVE = ("token_expiration", "robot_token_duration", "session_timeout")
GREATEST = 10**10 - 1  # of ten digits, which the UI has room for
KINDS = {bool: "boolean", int: "integer", str: "string"}


def initial_configuration(version: tuple[int, ...]) -> dict[str, Any]:
    return {name: value for name, value in _INITIAL.items() if version >= SINCE.get(name, (0,))}


def configuration_answer(values: dict[str, Any], fixed: Collection[str] = ()) -> dict[str, Any]:
    """Return the configuration as its API shows it, each value with whether it can be edited."""
    answer: dict[str, Any] = {
        name: {"editable": name not in fixed, "value": value} for name, value in values.items()
    }
    answer["scan_all_policy"] = {}
    return answer


def known_changes(values: dict[str, Any], body: dict[str, Any]) -> dict[str, Any]:
    """Return what of a body is configuration; the rest is ignored, wrong types are refused."""
    changes, failures = {}, []
    for name, value in body.items():
        kind = type(values.get(name, ""))
        if value is None or (name not in values and name not in WRITE_ONLY):
            continue
        if type(value) is not kind:
            failures.append(f"{name} in body must be of type {KINDS[kind]}")
        changes[name] = value
    if failures:
        raise unprocessable(*failures)
    return changes


def check_changes(values: dict[str, Any], changes: dict[str, Any]) -> None:
    """Raise what is wrong with changes; nothing of them is stored then."""
    for name, value in changes.items():
        problem = _problem(name, value)
        if problem:
            raise bad_request(f"bad request: {problem}")
    after = {**values, **changes}
    touched = {"skip_audit_log_database", "audit_log_forward_endpoint"} & changes.keys()
    if touched and after["skip_audit_log_database"] and not after["audit_log_forward_endpoint"]:
        raise bad_request(
            "bad request: audit log forward endpoint should be configured before enable skip "
            "audit log in database"
        )
    for name in POSITIVE:
        if name in changes and changes[name] <= 0:
            raise bad_request(f"the {name} value must be positive")
        if name in changes and changes[name] > GREATEST:
            raise bad_request(f"the {name} value is over the limit value: {GREATEST}")


def _problem(name: str, value: Any) -> str:
    if name == "auth_mode" and value not in MODES:
        return f"item name {name}: invalid {name}, shoud be one of {', '.join(MODES)}"
    if name in NOT_EMPTY and not value.strip():
        return f"item name {name}: the configure value can not be empty"
    if name == "project_creation_restriction" and value not in ("adminonly", "everyone"):
        return f"item name {name}: invalid {name}, should be adminonly or everyone"
    if name in ("ldap_scope", "ldap_group_search_scope") and value not in (0, 1, 2):
        return f"item name {name}: invalid scope, should be 0, 1 or 2"
    if name == "storage_per_project":
        return quota_problem(value)
    if name == "oidc_extra_redirect_parms":
        return _problem_of_map(name, value)
    return ""


def _problem_of_map(name: str, value: str) -> str:
    try:
        document = json.loads(value)
    except ValueError as err:
        return f"item name {name}: {err}"
    if not isinstance(document, dict) or not all(isinstance(v, str) for v in document.values()):
        return f"item name {name}: json: cannot unmarshal into Go value of type map[string]string"
    return ""


def quota_problem(value: int) -> str:
    """Return what is wrong with a limit of storage, or nothing."""
    if value <= 0 and value != -1:
        return f"invalid non-positive value for quota limit, value={value}"
    if value > 1 << 50:
        return f"exceeded 1024TB, which is {1 << 50} Bytes, value={value}"
    return ""
