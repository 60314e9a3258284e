"""Writes settings of projects: those that take more than one request, or another body."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from airflow_provider_harbor.core.exceptions import (
    HarborConfigurationError,
    HarborConnectionError,
    HarborStatusError,
)
from airflow_provider_harbor.core.harbor.paths import project_path
from airflow_provider_harbor.core.settings.bodies import (
    LATE_METADATA,
    Body,
    allowlist_body,
    body_of,
    with_texts,
)
from airflow_provider_harbor.core.settings.kinds import SYSTEM, Item
from airflow_provider_harbor.core.settings.sending import (
    Requests,
    Written,
    location_id,
    without,
)


class ProjectWriter(Requests):
    """Writes settings of projects."""

    def _create_project(self, scope: str, item: Item, secret: str, written: Written) -> None:
        """Create a project without what has to wait for the artifacts, a quota among it."""
        metadata = {k: v for k, v in (item.get("metadata") or {}).items() if k not in LATE_METADATA}
        body: Body = {"project_name": scope, "metadata": with_texts(metadata)}
        if scope in self.with_room:
            body["storage_limit"] = -1
        if item.get("registry"):
            body["registry_id"] = self._target.number_of(SYSTEM, "registries", item["registry"])
        try:
            number = location_id(self._send("POST", "/projects", body))
        except HarborConnectionError:
            # Only the answer may be lost; and later nobody could tell what Harbor added to it, such
            # as its creator as a member, from what somebody wanted.
            if not self._target.client.has_project(scope):
                raise
            number = ""
        if not number.isdecimal():
            number = str(self._target.client.get_project(scope).project_id)
        self._target.remember_project(scope, number)
        # That of `POST` is ignored.
        if item.get("cve_allowlist"):
            self._put_allowlist(scope, item)

    def _put_allowlist(self, scope: str, item: Item) -> None:
        body = {"cve_allowlist": allowlist_body(item.get("cve_allowlist") or {})}
        self._send("PUT", project_path(scope), body)

    def _update_metadata(self, scope: str, item: Item, before: Item, *, late: bool) -> None:
        wanted, there = item.get("metadata") or {}, before.get("metadata") or {}
        changes = {
            key: value
            for key, value in wanted.items()
            if there.get(key) != value and (key in LATE_METADATA) == late
        }
        if changes:
            self._send("PUT", project_path(scope), {"metadata": with_texts(changes)})
        for key in sorted(there.keys() - wanted.keys()):
            if (key in LATE_METADATA) == late:
                self._target.client.delete(f"{project_path(scope)}/metadatas/{quote(key)}")
        if not late and item.get("cve_allowlist") != before.get("cve_allowlist"):
            self._put_allowlist(scope, item)
        if late and item.get("scanner") not in (None, before.get("scanner")):
            number = self._target.id_of(SYSTEM, "scanners", item["scanner"], "uuid")
            self._send("PUT", f"{project_path(scope)}/scanner", {"uuid": number})

    def _update_quota(self, scope: str, item: Item, before: Item, written: Written) -> None:
        number = self._quota_id(scope)
        self._send("PUT", f"/quotas/{number}", body_of(self._target, scope, "quota", item))

    _create_quota = _update_quota

    def _quota_id(self, scope: str) -> str:
        if scope not in self._target.made_projects:
            return self._target.id_of(scope, "quota", "")
        params = {"reference": "project", "reference_id": str(self._target.project_id(scope))}
        for quota in self._target.client.list_settings("/quotas", params).items:
            if (quota.get("ref") or {}).get("name") == scope:
                return str(quota["id"])
        raise HarborConfigurationError(
            "this project has no quota there: quota_per_project_enable is off"
        )

    def _create_members(self, scope: str, item: Item, secret: str, written: Written) -> None:
        try:
            self._create(scope, "members", item)
        except HarborStatusError as err:
            # The creator of a project, a user, is a member of it from the first.
            is_new = scope in self._target.made_projects
            if err.status != 409 or not is_new or item["type"] != "user":
                raise
            self._change_role(scope, item)

    def _change_role(self, scope: str, item: Item) -> None:
        role = body_of(self._target, scope, "members", item)["role_id"]
        for member in self.list_members(scope):
            is_it = (member["entity_type"], member["entity_name"]) == ("u", item["name"])
            if is_it and member["role_id"] != role:
                path = f"{project_path(scope)}/members/{member['id']}"
                self._send("PUT", path, {"role_id": role})

    def list_members(self, scope: str) -> list[Mapping[str, Any]]:
        """Return the members of a project, as Harbor answers them."""
        return self._target.client.list_settings(f"{project_path(scope)}/members", {}).items

    def delete_member(self, scope: str, member: Mapping[str, Any]) -> None:
        """Delete a member, as `list_members` returned it."""
        self._target.client.delete(f"{project_path(scope)}/members/{member['id']}")

    def _update_members(self, scope: str, item: Item, before: Item, written: Written) -> None:
        role = body_of(self._target, scope, "members", item)["role_id"]
        self._send("PUT", self._path_of(scope, "members", before), {"role_id": role})

    def _create_retention(self, scope: str, item: Item, secret: str, written: Written) -> None:
        made_with_project = self._made_retention(scope)
        body = body_of(self._target, scope, "retention", item)
        if made_with_project:
            self._send("PUT", f"/retentions/{made_with_project}", body)
        else:
            self._send("POST", "/retentions", body)

    def _made_retention(self, scope: str) -> str:
        """Return the policy that a new proxy project has from the first; empty for none."""
        if scope not in self._target.made_projects:
            return ""
        # An answer without any of them does not say that there is no policy.
        path = f"{project_path(scope)}/metadatas/"
        metadata = self._target.client.get_setting(path, field="public", may_be_none=False)
        return str(metadata.get("retention_id") or "")

    def delete_made_retention(self, scope: str) -> bool:
        """Delete the policy that a proxy project got when it was made, if it has one."""
        if number := self._made_retention(scope):
            self._target.client.delete(f"/retentions/{number}")
        return bool(number)

    def _create_immutability(self, scope: str, item: Item, secret: str, written: Written) -> None:
        number = self._create(scope, "immutability", item)
        if item.get("disabled"):
            # A new rule is in force, whatever it says.
            body = body_of(self._target, scope, "immutability", item) | {"id": int(number)}
            self._send("PUT", f"{self._list_path(scope, 'immutability')}/{number}", body)

    def _update_immutability(self, scope: str, item: Item, before: Item, written: Written) -> None:
        path = self._path_of(scope, "immutability", before)
        body = body_of(self._target, scope, "immutability", item)
        body["id"] = int(path.rpartition("/")[2])
        # To switch it changes nothing else, so the rest takes a second request.
        if bool(item.get("disabled")) != bool(before.get("disabled")):
            self._send("PUT", path, body)
        if without(item, "disabled") != without(before, "disabled"):
            self._send("PUT", path, body)

    def _update_preheat_policies(
        self, scope: str, item: Item, before: Item, written: Written
    ) -> None:
        number = self._target.number_of(scope, "preheat-policies", before["name"])
        body = body_of(self._target, scope, "preheat-policies", item) | {"id": number}
        self._send("PUT", self._path_of(scope, "preheat-policies", before), body)

    def label_artifact(self, project: str, path: str, scope: str, label: str) -> None:
        """Put a label on an artifact, given by its path; one that is there already is no error."""
        number = self._target.number_of(scope, "labels", label)
        try:
            self._send("POST", f"{path}/labels", {"id": number})
        except HarborStatusError as err:
            if err.status != 409:
                raise
