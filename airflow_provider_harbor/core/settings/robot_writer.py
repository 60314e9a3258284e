"""Writes robots, of the system and of projects."""

from __future__ import annotations

import re
from typing import Any

from airflow_provider_harbor.core.exceptions import (
    HarborBackupError,
    HarborConfigurationError,
    HarborStatusError,
)
from airflow_provider_harbor.core.http.answers import Answer
from airflow_provider_harbor.core.settings.bodies import Body, body_of
from airflow_provider_harbor.core.settings.kinds import Item
from airflow_provider_harbor.core.settings.sending import Requests, Written

_MOST_STRIPPED = 200


class RobotWriter(Requests):
    """Writes robots."""

    def _create_robots(self, scope: str, item: Item, secret: str, written: Written) -> None:
        body, answer = self._send_stripped("POST", "/robots", scope, item, written)
        made = answer.json()
        number, name = str(made["id"]), str(made["name"])
        self._target.remember(scope, "robots", str(item["name"]), number)
        key = f"{scope}/robots/{item['name']}" if scope else f"robots/{item['name']}"
        if secret:
            self._keeping_new_secret(number, secret, key, str(made.get("secret") or ""))
        else:
            self._on_secret(key, str(made.get("secret") or ""))
        if item.get("disable"):
            # `disable` of the first request is ignored.
            self._send("PUT", f"/robots/{number}", {**body, "name": name, "disable": True})

    def _keeping_new_secret(self, number: str, secret: str, key: str, made: str) -> None:
        """Give a robot its old secret; where that is refused the new one is not lost."""
        try:
            self._send("PATCH", f"/robots/{number}", {"secret": secret})
        except HarborBackupError:
            self._on_secret(key, made)
            raise

    def put_robot_secret(self, scope: str, item: Item, secret: str) -> None:
        """Give a robot that is there a secret; once more is harmless."""
        self._send("PATCH", self._path_of(scope, "robots", item), {"secret": secret})

    def _update_robots(self, scope: str, item: Item, before: Item, written: Written) -> None:
        path = self._path_of(scope, "robots", before)
        # Its name of this moment: a new prefix renames all robots at once.
        name = str(self._target.client.get_setting(path)["name"])
        self._send_stripped("PUT", path, scope, item, written, name=name)

    def _send_stripped(
        self, method: str, path: str, scope: str, item: Item, written: Written, **more: Any
    ) -> tuple[Body, Answer]:
        """Send a robot; permissions that this Harbor does not know are left out, and noted."""
        body = body_of(self._target, scope, "robots", item) | more
        for _ in range(_MOST_STRIPPED):
            try:
                return body, self._send(method, path, body)
            except HarborStatusError as err:
                found = re.search(r"bad request permission: ([\w-]+):([\w-]+)", err.message)
                if err.status != 400 or not found:
                    raise
                kept = _without_permission(body["permissions"], *found.groups())
                if kept == body["permissions"] or not kept:
                    raise
                body["permissions"] = kept
                written.notes.append(f"this Harbor has no permission {found[1]}:{found[2]}")
        raise HarborConfigurationError("this Harbor knows hardly any of its permissions")


def _without_permission(permissions: Any, resource: str, action: str) -> list[Body]:
    kept = []
    for row in permissions:
        access = [a for a in row["access"] if (a["resource"], a["action"]) != (resource, action)]
        if access:
            kept.append({**row, "access": access})
    return kept
