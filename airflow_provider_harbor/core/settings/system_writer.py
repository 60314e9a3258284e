"""Writes settings of the system: those that take more than one request, or another body."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from airflow_provider_harbor.core.exceptions import HarborStatusError
from airflow_provider_harbor.core.settings.bodies import (
    Body,
    allowlist_body,
    body_of,
    with_texts,
)
from airflow_provider_harbor.core.settings.kinds import SYSTEM, Item, kind_of
from airflow_provider_harbor.core.settings.secret_values import Secret
from airflow_provider_harbor.core.settings.sending import (
    Requests,
    Written,
    location_id,
    without,
)
from airflow_provider_harbor.core.settings.versions import newer_fields

_AUDIT = "audit_log_forward_endpoint"


# What is put at once: else the old secret would be sent to the new address, if only for a moment.
_AT_ONCE = (
    {"ldap_url", "ldap_search_password"},
    {"oidc_endpoint", "oidc_client_secret"},
    {"uaa_endpoint", "uaa_client_secret"},
)


def _apart(changes: Body) -> Iterator[Body]:
    """Yield changes one by one, but an address together with its secret."""
    rest = dict(changes)
    for names in _AT_ONCE:
        if names <= rest.keys():
            yield {name: rest.pop(name) for name in sorted(names)}
    for name, value in rest.items():
        yield {name: value}


class SystemWriter(Requests):
    """Writes settings of the system."""

    def _update_configurations(
        self, scope: str, item: Item, before: Item, written: Written
    ) -> None:
        """Put what differs: the mode first, what is dialled alone, else all at once."""
        changes = {
            key: value.text if isinstance(value, Secret) else value
            for key, value in item.items()
            if before.get(key) != value and not (isinstance(value, Secret) and not value.text)
        }
        for alone in ("auth_mode", _AUDIT):
            if alone in changes:
                self._put_configurations({alone: changes.pop(alone)}, written)
        if not changes:
            return
        try:
            self._send("PUT", "/configurations", changes)
        except HarborStatusError as err:
            if len(changes) == 1 or err.status not in (400, 422, 500):
                raise
            # It is checked as a whole: one bad value has kept the others from being stored.
            for some in _apart(changes):
                self._put_configurations(some, written)

    def _put_configurations(self, changes: Body, written: Written) -> None:
        try:
            self._send("PUT", "/configurations", changes)
        except HarborStatusError as err:
            if err.status not in (400, 422, 500):
                raise
            why = "is stored, but does not answer" if _AUDIT in changes else "is refused"
            written.notes.append(f"{', '.join(changes)} {why}: {err.message}")

    def _update_cve_allowlist(self, scope: str, item: Item, before: Item, written: Written) -> None:
        self._send("PUT", kind_of(SYSTEM, "cve-allowlist").path, allowlist_body(item))

    def _create_users(self, scope: str, item: Item, secret: str, written: Written) -> None:
        body = {"password": secret, **with_texts(without(item, "sysadmin_flag"))}
        number = location_id(self._send("POST", "/users", body))
        self._target.remember(SYSTEM, "users", item["username"], number)
        if item.get("sysadmin_flag"):
            self._send("PUT", f"/users/{number}/sysadmin", {"sysadmin_flag": True})

    def _update_users(self, scope: str, item: Item, before: Item, written: Written) -> None:
        path = self._path_of(SYSTEM, "users", before)
        profile = {key: item.get(key, "") for key in ("email", "realname", "comment")}
        profile |= with_texts(newer_fields("users", item))
        if any(before.get(key, "") != value for key, value in profile.items()):
            self._send("PUT", path, profile)
        leads = bool(item.get("sysadmin_flag"))
        if leads != bool(before.get("sysadmin_flag")):
            self._send("PUT", f"{path}/sysadmin", {"sysadmin_flag": leads})

    def _update_registries(self, scope: str, item: Item, before: Item, written: Written) -> None:
        body = {key: item.get(key, "") for key in ("name", "url", "description", "ca_certificate")}
        credential = item.get("credential") or {}
        changes: Body = {**with_texts(newer_fields("registries", item)), **body}
        changes["insecure"] = bool(item.get("insecure"))
        changes["access_key"] = credential.get("access_key", "")
        changes["credential_type"] = credential.get("type", "")
        secret = credential.get("access_secret")
        if isinstance(secret, Secret) and secret.text:
            changes["access_secret"] = secret.text
        elif secret is None:
            changes["access_secret"] = ""
        self._send("PUT", self._path_of(SYSTEM, "registries", before), changes)

    def _create_scanners(self, scope: str, item: Item, secret: str, written: Written) -> None:
        number = self._create(SYSTEM, "scanners", item)
        if item.get("is_default"):
            self._send("PATCH", f"/scanners/{number}", {"is_default": True})

    def _update_scanners(self, scope: str, item: Item, before: Item, written: Written) -> None:
        path = self._path_of(SYSTEM, "scanners", before)
        if without(item, "is_default") != without(before, "is_default"):
            self._send("PUT", path, body_of(self._target, SYSTEM, "scanners", item))
        if item.get("is_default") and not before.get("is_default"):
            self._send("PATCH", path, {"is_default": True})

    def _create_preheat_instances(
        self, scope: str, item: Item, secret: str, written: Written
    ) -> None:
        # Its address is told by the name, and policies name it by the id.
        self._create(SYSTEM, "preheat-instances", item)
        made = self._target.client.get_setting(self._path_of(SYSTEM, "preheat-instances", item))
        self._target.remember(SYSTEM, "preheat-instances", item["name"], str(made["id"]))

    def _update_preheat_instances(
        self, scope: str, item: Item, before: Item, written: Written
    ) -> None:
        number = self._target.number_of(SYSTEM, "preheat-instances", before["name"])
        body = body_of(self._target, SYSTEM, "preheat-instances", item) | {"id": number}
        self._send("PUT", self._path_of(SYSTEM, "preheat-instances", before), body)

    def _put_schedule(self, kind: str, item: Item) -> None:
        path = kind_of(SYSTEM, kind).path
        self._send("PUT", path, body_of(self._target, SYSTEM, kind, item))

    def _create_garbage_collection(self, scope: str, item: Item, *more: Any) -> None:
        self._put_schedule("garbage-collection", item)

    def _create_purge_audit(self, scope: str, item: Item, *more: Any) -> None:
        self._put_schedule("purge-audit", item)

    def _create_scan_all(self, scope: str, item: Item, *more: Any) -> None:
        self._put_schedule("scan-all", item)

    _update_garbage_collection = _create_garbage_collection
    _update_purge_audit = _create_purge_audit
    _update_scan_all = _create_scan_all
