"""Where the inventory of a project is in a store, and what it holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from airflow_provider_harbor.core.harbor.records import Counts


@dataclass(frozen=True, slots=True, kw_only=True)
class InventoryRef:
    """Where the inventory of a project is, and what it holds: small enough for an XCom.

    Attributes:
        path: Relative to the store's root.
        sha256: 64 hex digits: of the content before compression.
        listed_at: When the listing began (ISO 8601, UTC): what tells older from newer.
        gaps: Number of repositories that could not be listed whole.
    """

    project: str
    path: str
    sha256: str
    counts: Counts
    listed_at: str
    gaps: int = 0

    def to_json(self) -> dict[str, Any]:
        """Return the reference as a task hands it on."""
        return {
            "project": self.project,
            "path": self.path,
            "sha256": self.sha256,
            "counts": self.counts.to_json(),
            "listed_at": self.listed_at,
            "gaps": self.gaps,
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> InventoryRef:
        """Read what `to_json` returned."""
        return cls(
            project=data["project"],
            path=data["path"],
            sha256=data["sha256"],
            counts=Counts.from_json(data["counts"]),
            listed_at=data["listed_at"],
            gaps=int(data["gaps"]),
        )
