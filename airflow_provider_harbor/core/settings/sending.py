"""How settings are written: one request each, to the path of a list or of an item."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from airflow_provider_harbor.core.http.answers import Answer
from airflow_provider_harbor.core.settings.bodies import body_of
from airflow_provider_harbor.core.settings.kinds import Item, kind_of
from airflow_provider_harbor.core.settings.target import SettingsTarget

# Given the key of a new login and its secret: what nobody sees again.
OnSecret = Callable[[str, str], object]

_LOCATION_ID = re.compile(r"/([^/]+)/?$")


@dataclass(slots=True)
class Written:
    """What became of one item.

    Attributes:
        notes: What was done otherwise than it was wanted, and why.
    """

    notes: list[str] = field(default_factory=list)


class Requests:
    """Sends what writes settings.

    Args:
        target: The Harbor.
        on_secret: Called with each secret that Harbor made, such as a new robot's.
    """

    def __init__(self, target: SettingsTarget, on_secret: OnSecret) -> None:
        self._target = target
        self._on_secret = on_secret
        # Projects that are made with room for all, since their quota comes after the artifacts.
        self.with_room: set[str] = set()

    def _send(self, method: str, path: str, body: Mapping[str, Any]) -> Answer:
        return self._target.client.write_setting(method, path, body)

    def _list_path(self, scope: str, kind: str) -> str:
        return kind_of(scope, kind).path_in(scope).rstrip("/")

    def _path_of(self, scope: str, kind: str, item: Item) -> str:
        """Return where an item is changed."""
        key = kind_of(scope, kind).key_of(item)
        if kind in ("preheat-instances", "preheat-policies"):
            return f"{self._list_path(scope, kind)}/{quote(item['name'], safe='')}"
        if kind == "retention":
            return f"/retentions/{self._target.raw(scope, kind, '')['id']}"
        fields = {"users": "user_id", "scanners": "uuid"}
        number = self._target.id_of(scope, kind, key, fields.get(kind, "id"))
        return f"{self._list_path(scope, kind)}/{number}"

    def _create(self, scope: str, kind: str, item: Item, **more: Any) -> str:
        """Create an item, and return its id."""
        body = body_of(self._target, scope, kind, item) | more
        answer = self._send("POST", self._list_path(scope, kind), body)
        number = location_id(answer)
        self._target.remember(scope, kind, kind_of(scope, kind).key_of(item), number)
        return number

    def _replace(self, scope: str, kind: str, item: Item, before: Item) -> None:
        body = body_of(self._target, scope, kind, item)
        self._send("PUT", self._path_of(scope, kind, before), body)


def location_id(answer: Answer) -> str:
    """Return the id that the answer names of what was made; empty where it names none."""
    found = _LOCATION_ID.search(answer.headers.get("Location", ""))
    return found[1] if found else ""


def without(item: Item, *names: str) -> Item:
    """Return an item without some of its fields."""
    return {key: value for key, value in item.items() if key not in names}
