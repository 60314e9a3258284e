"""What the backup of one project came to: values that tasks hand on, and that the store keeps.

`to_json` and `from_json` are each other's inverse. `from_json` raises `KeyError`, `TypeError` or
`ValueError` on anything else; who reads a file says which file it was.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from airflow_provider_harbor.core.human import human_size
from airflow_provider_harbor.core.plan import PlanCounts
from airflow_provider_harbor.core.records import Counts, Gap, Record, Role

Stage = Literal["inventory", "copy"]

_STAGES: dict[str, Stage] = {"inventory": "inventory", "copy": "copy"}
_SHOWN_TAGS = 5


class Status(str, enum.Enum):
    """How a record of the inventory ended; each ends in exactly one of them."""

    COPIED = "copied"
    PRESENT = "present"
    SKIPPED = "skipped"
    FAILED = "failed"

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A record that was skipped or failed, and why.

    Attributes:
        repository: Full name, the project in front.
        tags: Names, sorted; empty for what has none.
        status: `Status.SKIPPED` or `Status.FAILED`.
        reason: Short code that findings are grouped by, such as `quota` or `missing-blob`.
        message: What happened, and what to do.
    """

    repository: str
    digest: str
    tags: tuple[str, ...] = ()
    role: Role = Role.ARTIFACT
    status: Status
    reason: str
    message: str

    @classmethod
    def of(cls, record: Record, status: Status, reason: str, message: str) -> Finding:
        """Return what is to be said of a record."""
        return cls(
            repository=record.repository,
            digest=record.digest,
            tags=tuple(tag.name for tag in record.tags),
            role=record.role,
            status=status,
            reason=reason,
            message=message,
        )

    def __str__(self) -> str:
        shown = ", ".join(self.tags[:_SHOWN_TAGS])
        if len(self.tags) > _SHOWN_TAGS:
            shown += f" and {len(self.tags) - _SHOWN_TAGS} more"
        return f"{self.repository}@{self.digest}{f' ({shown})' if shown else ''}: {self.message}"

    def to_json(self) -> dict[str, Any]:
        """Return one item of a copy report's `findings`."""
        return {
            "repository": self.repository,
            "digest": self.digest,
            "tags": list(self.tags),
            "role": self.role.value,
            "status": self.status.value,
            "reason": self.reason,
            "message": self.message,
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Finding:
        """Read what `to_json` returned."""
        return cls(
            repository=data["repository"],
            digest=data["digest"],
            tags=tuple(data["tags"]),
            role=Role(data["role"]),
            status=Status(data["status"]),
            reason=data["reason"],
            message=data["message"],
        )


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


_NUMBERS = (
    "copied",
    "present",
    "skipped",
    "failed",
    "tags_set",
    "blobs_copied",
    "blobs_mounted",
    "blobs_present",
    "bytes_copied",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyReport:
    """What copying a project came to.

    Attributes:
        copied, present, skipped, failed: Numbers of inventory records, each in exactly one.
        tags_set: Tags put; those that were right already are not among them.
        blobs_copied, blobs_mounted, blobs_present: Sent; taken from another repository of the
            destination; there already.
        bytes_copied: Of blobs that were sent, broken attempts included.
        seconds: Wall-clock time.
        findings: One for each record that was skipped or failed.
    """

    project: str
    destination: str
    copied: int = 0
    present: int = 0
    skipped: int = 0
    failed: int = 0
    tags_set: int = 0
    blobs_copied: int = 0
    blobs_mounted: int = 0
    blobs_present: int = 0
    bytes_copied: int = 0
    seconds: float = 0.0
    findings: tuple[Finding, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether nothing failed; what was skipped was skipped for a reason."""
        return self.failed == 0

    @property
    def total(self) -> int:
        """How many records it accounts for: as many as the inventory has, or something is wrong."""
        return self.copied + self.present + self.skipped + self.failed

    def __str__(self) -> str:
        return (
            f"{self.copied:,} copied ({human_size(self.bytes_copied)}), {self.present:,} present, "
            f"{self.skipped:,} skipped, {self.failed:,} failed"
        )

    def to_json(self, *, with_findings: bool = True) -> dict[str, Any]:
        """Return the report; without its findings it is small enough for an XCom."""
        data: dict[str, Any] = {"project": self.project, "destination": self.destination}
        data |= {name: getattr(self, name) for name in _NUMBERS}
        data["seconds"] = self.seconds
        if with_findings:
            data["findings"] = [finding.to_json() for finding in self.findings]
        return data

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> CopyReport:
        """Read what `to_json` returned."""
        return cls(
            project=data["project"],
            destination=data["destination"],
            seconds=float(data["seconds"]),
            findings=tuple(Finding.from_json(item) for item in data.get("findings", ())),
            **{name: int(data[name]) for name in _NUMBERS},
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectResult:
    """How a project ended in a run.

    Attributes:
        run: The run's id as its caller knows it, not its `run_key`.
        inventory: None where the project could not be listed.
        gaps: Repositories that could not be listed whole; what was listed of them is copied.
        copy: None where nothing was copied: a dry run, or an error before it.
        error: What stopped the project as a whole, and what to do; empty when nothing did.
        stage: Where it stopped, or the last one it passed.
        plan: What copying would come to, where it was planned only.
        dry_run: Whether the copy was planned only.
    """

    project: str
    run: str
    inventory: InventoryRef | None = None
    gaps: tuple[Gap, ...] = ()
    copy: CopyReport | None = None
    plan: PlanCounts | None = None
    error: str = ""
    stage: Stage = "copy"
    dry_run: bool = False
    harbor_url: str = ""
    destination: str = ""

    @property
    def ok(self) -> bool:
        """Whether all of it was done that was asked for: of a dry run, that it could be planned."""
        if self.error or self.gaps or self.inventory is None:
            return False
        return self.dry_run if self.copy is None else self.copy.ok

    @property
    def outcome(self) -> str:
        """What was copied, or in a dry run would be, in words."""
        return str(self.plan or PlanCounts()) if self.copy is None else str(self.copy)

    def iter_findings(self, status: Status) -> Iterator[Finding]:
        """Yield what was skipped, or what failed."""
        for finding in self.copy.findings if self.copy else ():
            if finding.status is status:
                yield finding

    def to_json(self, *, with_findings: bool = True) -> dict[str, Any]:
        """Return the result; without its findings it is small enough for an XCom."""
        return {
            "project": self.project,
            "run": self.run,
            "ok": self.ok,
            "error": self.error,
            "stage": self.stage,
            "dry_run": self.dry_run,
            "harbor_url": self.harbor_url,
            "destination": self.destination,
            "inventory": self.inventory.to_json() if self.inventory else None,
            "gaps": [gap.to_json() for gap in self.gaps] if with_findings else [],
            "copy": self.copy.to_json(with_findings=with_findings) if self.copy else None,
            "plan": self.plan.to_json() if self.plan else None,
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> ProjectResult:
        """Read what `to_json` returned."""
        return cls(
            project=data["project"],
            run=data["run"],
            inventory=InventoryRef.from_json(data["inventory"]) if data["inventory"] else None,
            gaps=tuple(Gap.from_json(item) for item in data["gaps"]),
            copy=CopyReport.from_json(data["copy"]) if data["copy"] else None,
            plan=PlanCounts.from_json(data["plan"]) if data["plan"] else None,
            error=data["error"],
            stage=_STAGES[data["stage"]],
            dry_run=data["dry_run"],
            harbor_url=data["harbor_url"],
            destination=data["destination"],
        )
