"""The part of the state that is settings, but for projects and accounts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .tables import Row, Table

# What Harbor schedules for itself.
OWN_SCHEDULES = ("EXECUTION_SWEEP", -1), ("SYSTEM_ARTIFACT_CLEANUP", 0)
MIDNIGHT = "0 0 0 * * *"
# What a proxy cache gets with its project: what nobody pulled for a week goes.
PROXY_RETENTION: dict[str, Any] = {
    "algorithm": "or",
    "rules": [
        {
            "action": "retain",
            "id": 1,
            "params": {"nDaysSinceLastPull": 7},
            "priority": 1,
            "scope_selectors": {
                "repository": [{"decoration": "repoMatches", "kind": "doublestar", "pattern": "**"}]
            },
            "tag_selectors": [{"decoration": "matches", "kind": "doublestar", "pattern": "**"}],
            "template": "nDaysSinceLastPull",
        }
    ],
    "trigger": {"kind": "Schedule", "settings": {"cron": MIDNIGHT}},
}


class Settings:
    """Tables of all that can be set, each with rows as its module of the REST API writes them."""

    def __init__(self, now: Callable[[], int]) -> None:
        self.groups = Table(now)
        self.labels = Table(now)
        self.retentions = Table(now)
        self.webhooks = Table(now)
        self.registries = Table(now)
        self.replications = Table(now)
        self.preheat_instances = Table(now)
        self.preheat_policies = Table(now)
        self.scanners = Table(now)
        self.schedules = Table(now)
        self.allowlist: dict[str, Any] | None = None
        self.secrets: dict[str, str] = {}
        for vendor, number in OWN_SCHEDULES:
            self.schedule(vendor, number, MIDNIGHT)

    # -- schedules -----------------------------------------------------------------------------

    def schedule(self, vendor: str, number: int, cron: str, **more: Any) -> Row:
        """Schedule a job of a kind (its vendor) for something that has this number."""
        return self.schedules.add(vendor_type=vendor, vendor_id=number, cron=cron, **more)

    def unschedule(self, vendor: str, number: int | None = None) -> None:
        for row in self.schedules.where(vendor_type=vendor):
            if number in (None, row["vendor_id"]):
                self.schedules.remove(row)

    def add_retention(self, project_id: int, policy: dict[str, Any]) -> Row:
        row = self.retentions.add(project_id=project_id, **policy)
        cron = policy["trigger"].get("settings", {}).get("cron", "")
        if cron:
            self.schedule("RETENTION", row["id"], cron)
        return row

    def forget_settings(self, project_id: int) -> None:
        """Delete what belongs to a project, as its schedules."""
        for table, vendor in (
            (self.labels, ""), (self.webhooks, ""), (self.preheat_policies, "P2P_PREHEAT"),
            (self.retentions, "RETENTION"),
        ):  # fmt: skip
            for row in table.where(project_id=project_id):
                table.remove(row)
                if vendor:
                    self.unschedule(vendor, row["id"])
