"""What the backup of one project came to: values that tasks hand on, and that the store keeps.

`to_json` and `from_json` are each other's inverse. `from_json` raises `KeyError`, `TypeError` or
`ValueError` on anything else; who reads a file says which file it was.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

from airflow_provider_harbor.core.copy.outcome import CopyReport, Finding, Status
from airflow_provider_harbor.core.copy.plan import PlanCounts
from airflow_provider_harbor.core.exceptions import HarborBackupError
from airflow_provider_harbor.core.harbor.records import Gap
from airflow_provider_harbor.core.store.inventories import InventoryRef
from airflow_provider_harbor.core.store.result_files import ResultFiles

log = logging.getLogger(__name__)

Stage = Literal["inventory", "copy"]

_STAGES: dict[str, Stage] = {"inventory": "inventory", "copy": "copy"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectResult:
    """How a project ended in a run.

    Attributes:
        run: The run's id as its caller knows it, not its `run_key`.
        inventory: None where the project could not be listed.
        gaps: Repositories that could not be listed whole; what was listed of them is copied.
        copy: None where nothing was copied: a dry run, or an error before it.
        contents: SHA-256 (hex) of what of it is in the store; empty where it is elsewhere.
        error: What stopped the project as a whole, and what to do; empty when nothing did.
        stage: Where it stopped, or the last one it passed.
        plan: What copying would come to, where it was planned only.
        dry_run: Whether the copy was planned only.
        sweep: Before which sweep of the store it was begun, see `claims`.
    """

    project: str
    run: str
    inventory: InventoryRef | None = None
    gaps: tuple[Gap, ...] = ()
    copy: CopyReport | None = None
    contents: str = ""
    plan: PlanCounts | None = None
    error: str = ""
    stage: Stage = "copy"
    dry_run: bool = False
    harbor_url: str = ""
    destination: str = ""
    sweep: str = ""

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
            "contents": self.contents,
            "plan": self.plan.to_json() if self.plan else None,
            "sweep": self.sweep,
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
            contents=data["contents"],
            plan=PlanCounts.from_json(data["plan"]) if data["plan"] else None,
            error=data["error"],
            stage=_STAGES[data["stage"]],
            dry_run=data["dry_run"],
            harbor_url=data["harbor_url"],
            destination=data["destination"],
            sweep=data["sweep"],
        )


class Results:
    """The results of a run, which a store keeps.

    Args:
        files: Of the kind of run: `BackupStore.results` or `BackupStore.restore_results`.
        run: The run's id.
    """

    def __init__(self, files: ResultFiles, run: str) -> None:
        self._files = files
        self._run = run

    def keep(self, result: ProjectResult) -> str:
        """Keep how a project ended; replaces its earlier result. Returns its path.

        Raises:
            ValueError: It is the result of another run.
        """
        if result.run != self._run:
            raise ValueError(f"a result of run {result.run!r} is not one of run {self._run!r}")
        return self._files.write(self._run, result.project, result.to_json())

    def find(self, project: str) -> ProjectResult | None:
        """Return how a project ended, or None where it has not; see `ResultFiles.read`."""
        return self._files.read(self._run, project, ProjectResult.from_json)

    def __iter__(self) -> Iterator[ProjectResult]:
        return self._files.iter_all(self._run, ProjectResult.from_json)


@contextmanager
def keeping_first_error(name: str) -> Iterator[None]:
    """Log what the store raises while an error is kept in it: the error itself says more.

    Args:
        name: Of the project, or of the run.
    """
    try:
        yield
    except HarborBackupError as err:
        log.info("How %s ended could not be kept in the store: %s", name, err)
