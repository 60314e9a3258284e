"""A Harbor whose settings are being written: which ids it has for which names, what it knows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_provider_harbor.core.exceptions import HarborBackupError, HarborConfigurationError
from airflow_provider_harbor.core.harbor.client import HarborClient
from airflow_provider_harbor.core.harbor.paths import project_path
from airflow_provider_harbor.core.settings.kinds import SYSTEM
from airflow_provider_harbor.core.settings.values import HarborSettings, Raw

Pairs = frozenset[tuple[str, str]]


class SettingsTarget:
    """What is known of a Harbor by the names of its settings.

    Args:
        client: A login at it.
        settings: What it had, as it was read.

    Attributes:
        client, settings: As above.
        made_projects: Names of the projects that were made since.
    """

    def __init__(self, client: HarborClient, settings: HarborSettings) -> None:
        self.client = client
        self.settings = settings
        self.made_projects: set[str] = set()
        self._projects = dict(settings.project_ids)
        self._others: dict[str, bool] = {}
        self._made: dict[tuple[str, str, str], str] = {}
        self._permissions: Mapping[str, Pairs] | None = None
        self._events: frozenset[str] = frozenset()
        self._asked: set[str] = set()

    def raw(self, scope: str, kind: str, key: str) -> Raw:
        """Return an item as Harbor answered it.

        Raises:
            HarborConfigurationError: It was not there.
        """
        try:
            return self.settings.raws[scope, kind][key]
        except KeyError:
            raise HarborConfigurationError(f"there is no {key!r} among the {kind} there") from None

    def remember(self, scope: str, kind: str, key: str, number: str) -> None:
        """Note the id of what was made."""
        self._made[scope, kind, key] = number

    def has_made(self, scope: str, kind: str, key: str) -> bool:
        """Tell whether something was made since."""
        return (scope, kind, key) in self._made

    def remember_project(self, name: str, number: str) -> None:
        """Note the id of a project that was made."""
        self._projects[name] = int(number)
        self.made_projects.add(name)

    def id_of(self, scope: str, kind: str, key: str, field: str = "id") -> str:
        """Return the id of an item by its key.

        Raises:
            HarborConfigurationError: It is not there; what hangs on it cannot be written.
        """
        if made := self._made.get((scope, kind, key)):
            return made
        try:
            return str(self.raw(scope, kind, key)[field])
        except (HarborConfigurationError, KeyError):
            raise HarborConfigurationError(
                f"it needs {key!r} of the {kind}, which is not there. Make that first"
            ) from None

    def number_of(self, scope: str, kind: str, key: str) -> int:
        """Return the id of an item as a number; see `id_of`."""
        return int(self.id_of(scope, kind, key))

    def has_project(self, name: str) -> bool:
        """Tell whether there is a project now."""
        return name in self._projects

    def is_there(self, name: str) -> bool:
        """Tell whether there is a project, also one that was not looked at.

        Where Harbor does not answer it counts as there: what hangs on it is refused, and not lost.
        """
        if self.has_project(name):
            return True
        if name not in self._others:
            try:
                self._others[name] = self.client.has_project(name)
            except HarborBackupError:
                return True
        return self._others[name]

    def project_id(self, name: str) -> int:
        """Return the id of a project.

        Raises:
            HarborConfigurationError: It is not there.
        """
        if name not in self._projects:
            raise HarborConfigurationError(f"the project {name} is not there. Make that first")
        return self._projects[name]

    def owner_of(self, project: str) -> str:
        """Return the name of who made a project; empty where Harbor does not tell."""
        answer = self.client.get_setting(project_path(project), field="project_id")
        return str(answer.get("owner_name") or "")

    def permissions(self) -> Mapping[str, Pairs]:
        """Return all that a robot may be given there, by `system` and `project`.

        Empty where the login may not ask (a robot), or this Harbor does not tell.
        """
        if self._permissions is None:
            try:
                answer = self.client.get_setting("/permissions")
                self._permissions = {
                    kind: frozenset((one["resource"], one["action"]) for one in answer[kind])
                    for kind in ("system", "project")
                }
            except (HarborBackupError, KeyError, TypeError):
                self._permissions = {}
        return self._permissions

    def events(self) -> frozenset[str]:
        """Return all types of events that a webhook may have there; empty where nobody can tell."""
        # Each project tells; while there is none, nobody does.
        for project in sorted(self._projects.keys() - self._asked):
            if self._events:
                break
            self._asked.add(project)
            try:
                path = f"{project_path(project)}/webhook/events"
                answer: Mapping[str, Any] = self.client.get_setting(path)
                self._events = frozenset(map(str, answer.get("event_type") or ()))
            except (HarborBackupError, TypeError, AttributeError):
                continue
        return self._events

    def groups(self) -> Mapping[str, str]:
        """Return the type of each group there, by its name."""
        items = self.settings.values.get((SYSTEM, "groups"), ())
        return {item["name"]: item["type"] for item in items}
