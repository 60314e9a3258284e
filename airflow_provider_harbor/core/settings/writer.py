"""Writes settings: creates, updates and deletes one item at a time.

Many writes are accepted and ignored, or accepted though wrong: read back what was written.
"""

from __future__ import annotations

from airflow_provider_harbor.core.settings.kinds import SCHEDULES, SYSTEM, Item, kind_of
from airflow_provider_harbor.core.settings.project_writer import ProjectWriter
from airflow_provider_harbor.core.settings.robot_writer import RobotWriter
from airflow_provider_harbor.core.settings.sending import Written
from airflow_provider_harbor.core.settings.system_writer import SystemWriter


class SettingsWriter(SystemWriter, ProjectWriter, RobotWriter):
    """Writes the settings of one Harbor, in the order in which it is called.

    A kind that takes more than the one request has methods of its own, `_create_<kind>` and
    `_update_<kind>`.

    What all methods raise:
        HarborBackupError: It was not written, or not whole; the others can be.
    """

    def create(self, scope: str, kind: str, item: Item, secret: str = "") -> Written:
        """Create an item.

        Args:
            scope: The system, or a project.
            kind: Its kind.
            item: It, in canonical form, with the secrets that are known.
            secret: The password of a user or robot, if it is given.
        """
        written = Written()
        special = getattr(self, f"_create_{kind.replace('-', '_')}", None)
        if special:
            special(scope, item, secret, written)
        else:
            self._create(scope, kind, item)
        return written

    def update(self, scope: str, kind: str, item: Item, before: Item, *, late: bool) -> Written:
        """Make an item that is there what it should be.

        Args:
            scope: The system, or a project.
            kind: Its kind.
            item: It, in canonical form, with the secrets that are known.
            before: What it is now.
            late: Whether the artifacts have been brought back, for what has to wait for them.
        """
        written = Written()
        special = getattr(self, f"_update_{kind.replace('-', '_')}", None)
        if kind == "project":
            self._update_metadata(scope, item, before, late=late)
        elif special:
            special(scope, item, before, written)
        else:
            self._replace(scope, kind, item, before)
        return written

    def delete(self, scope: str, kind: str, item: Item) -> None:
        """Delete an item."""
        if kind in SCHEDULES:
            # Parameters are required even to switch it off.
            parameters = {"audit_retention_hour": 1, "include_event_types": ""}
            body = {"schedule": {"type": "None"}, "parameters": parameters}
            self._send("PUT", kind_of(SYSTEM, kind).path, body)
            return
        self._target.client.delete(self._path_of(scope, kind, item))
