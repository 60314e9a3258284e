"""What became of the records of a project that was copied.

`to_json` and `from_json` are each other's inverse. `from_json` raises `KeyError`, `TypeError` or
`ValueError` on anything else; who reads a file says which file it was.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_harbor.core.harbor.records import Record, Role
from airflow_provider_harbor.core.http.pace import default_pace
from airflow_provider_harbor.core.http.pace_notes import PaceNote
from airflow_provider_harbor.core.human import human_count, human_size
from airflow_provider_harbor.core.store.known import Held

_SHOWN_TAGS = 5


class Status(str, enum.Enum):
    """How a record of the inventory ended; each ends in exactly one of them."""

    COPIED = "copied"
    PRESENT = "present"
    SKIPPED = "skipped"
    FAILED = "failed"

    def __str__(self) -> str:
        return self.value


# What these are called where people read them, see `jobs.totals`.
WORDS: Mapping[Status, str] = {
    Status.COPIED: "new",
    Status.PRESENT: "unchanged",
    Status.SKIPPED: "left out",
    Status.FAILED: "failed",
}
UNCHANGED = WORDS[Status.PRESENT]


def sum_in_words(parts: Mapping[str, int]) -> str:
    """Return how many manifests there are, and in brackets what they are, which adds up to that."""
    total = human_count(sum(parts.values()), "manifest")
    return f"{total} ({parts_in_words(parts)})" if any(parts.values()) else total


def parts_in_words(parts: Mapping[str, int]) -> str:
    """Return what of a sum is not 0, in words; empty for nothing."""
    return ", ".join(f"{number:,} {word}" for word, number in parts.items() if number)


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
class RepositoryOutcome:
    """What copying one repository came to.

    Attributes:
        copied, present: Numbers of records that are there now.
        findings: One for each other record.
        tags_set: Tags put; those that were right already are not among them.
        held: What the destination holds now. Where something failed, it is to be asked for again.
    """

    repository: str
    copied: int = 0
    present: int = 0
    tags_set: int = 0
    findings: tuple[Finding, ...] = ()
    held: Held = field(default_factory=Held)


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
        pace: How much each server got at once, in this process until then.
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
    pace: tuple[PaceNote, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether nothing failed; what was skipped was skipped for a reason."""
        return self.failed == 0

    @property
    def total(self) -> int:
        """How many records it accounts for: as many as the inventory has, or something is wrong."""
        return self.copied + self.present + self.skipped + self.failed

    def __str__(self) -> str:
        numbers = (self.copied, self.present, self.skipped, self.failed)
        parts = dict(zip(WORDS.values(), numbers, strict=True))
        return f"{sum_in_words(parts)}, {human_size(self.bytes_copied)} sent"

    def to_json(self, *, with_findings: bool = True) -> dict[str, Any]:
        """Return the report; without its findings it is small enough for an XCom."""
        data: dict[str, Any] = {"project": self.project, "destination": self.destination}
        data |= {name: getattr(self, name) for name in _NUMBERS}
        data["seconds"] = self.seconds
        data["pace"] = [note.to_json() for note in self.pace]
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
            pace=tuple(PaceNote.from_json(item) for item in data.get("pace", ())),
            **{name: int(data[name]) for name in _NUMBERS},
        )


class Tally:
    """Adds up what became of the repositories of a project."""

    def __init__(self) -> None:
        self._copied = self._present = self._tags_set = 0
        self._findings: list[Finding] = []

    def add(self, outcome: RepositoryOutcome) -> None:
        """Add one repository."""
        self._copied += outcome.copied
        self._present += outcome.present
        self._tags_set += outcome.tags_set
        self._findings += outcome.findings

    def report(
        self, project: str, destination: str, blobs: Mapping[str, int], seconds: float
    ) -> CopyReport:
        """Return what it came to.

        Args:
            project: Name of the project.
            destination: URL of the destination.
            blobs: How many were `copied`, `mounted` and `present`, and how many `bytes`.
            seconds: Wall-clock time.
        """
        failed = sum(finding.status is Status.FAILED for finding in self._findings)
        return CopyReport(
            project=project,
            destination=destination,
            copied=self._copied,
            present=self._present,
            skipped=len(self._findings) - failed,
            failed=failed,
            tags_set=self._tags_set,
            blobs_copied=blobs.get("copied", 0),
            blobs_mounted=blobs.get("mounted", 0),
            blobs_present=blobs.get("present", 0),
            bytes_copied=blobs.get("bytes", 0),
            seconds=seconds,
            findings=tuple(self._findings),
            pace=default_pace().notes(),
        )
