"""The copy of one project: what its inventory holds and the destination does not."""

from __future__ import annotations

from collections.abc import Iterator

from airflow_provider_harbor.core.copy.outcome import CopyReport, Tally
from airflow_provider_harbor.core.copy.places import Place, Source
from airflow_provider_harbor.core.copy.plan import PlanCounts, RepositoryPlan, iter_plans
from airflow_provider_harbor.core.copy.shared import Shared
from airflow_provider_harbor.core.copy.transfer import Transfer
from airflow_provider_harbor.core.exceptions import HarborBackupError, LeaseError, StoreError
from airflow_provider_harbor.core.harbor.records import Record, line_of
from airflow_provider_harbor.core.http.waiting import check_stopped
from airflow_provider_harbor.core.human import Progress, human_count
from airflow_provider_harbor.core.jobs.memory import Memory
from airflow_provider_harbor.core.store.backup_store import BackupStore
from airflow_provider_harbor.core.store.inventories import InventoryRef
from airflow_provider_harbor.core.store.leases import Lease


class ProjectCopy:
    """One copy of one project."""

    def __init__(
        self,
        source: Source,
        place: Place,
        store: BackupStore,
        run: str,
        ref: InventoryRef,
        *,
        workers: int,
        shared: Shared | None = None,
    ) -> None:
        self._source = source
        self._place = place
        self._store = store
        self._run = run
        self._ref = ref
        self._workers = workers
        self._shared = shared
        self._memory = Memory(store, place, run, ref)
        self._is_prepared = False

    def _iter_plans(self) -> Iterator[list[RepositoryPlan]]:
        ref = self._ref
        view = self._place.look_at(ref.project, self._memory.remembered, workers=self._workers)
        groups = self._store.inventories.iter_repositories(ref.project, ref.sha256)
        return iter_plans(groups, view, self._memory.rule)

    def plan_only(self) -> tuple[PlanCounts, str]:
        """Write the plan; returns what it comes to, and what cannot be copied, in words."""
        counts = PlanCounts()
        excluded: list[tuple[Record, HarborBackupError]] = []
        with self._store.snapshots.write_plan(self._run, self._ref.project) as lines:
            for plans in self._iter_plans():
                for plan in plans:
                    counts += plan.counts
                    excluded += plan.excluded
                    for step in plan.steps:
                        lines.add(line_of(step.to_json()))
            lines.finish()
        if not excluded:
            return counts, ""
        record, error = excluded[0]
        number = human_count(len(excluded), "digest")
        name = f"{record.repository}@{record.digest}"
        return counts, f"{number} cannot be copied, {name} for one: {error}"

    def run(
        self, lease: Lease, progress: Progress | None
    ) -> tuple[CopyReport, str, HarborBackupError | None]:
        """Copy.

        Args:
            lease: Of the run.
            progress: Called with a line of text now and then.

        Returns:
            What it came to; the SHA-256 of the contents, where a store has any; and, where the
            store failed or the lease was lost, the error of the project as a whole.
        """
        tally, sha256 = Tally(), ""
        self._place.keep_uploads_in(self._store)
        with (
            self._store.inventories.write_contents(self._ref.project) as contents,
            Transfer(
                self._source,
                self._place,
                total=self._ref.counts.records,
                workers=self._workers,
                shared=self._shared,
                may_write=lease.check,
                progress=progress,
            ) as transfer,
        ):
            for outcome in transfer.run(self._begin_plans()):
                tally.add(outcome)
                self._memory.add(outcome)
                contents.add(outcome.repository, outcome.held.contents.values())
            if not self._place.keeps_tags:
                sha256 = contents.finish()
        report = tally.report(
            self._ref.project, self._place.url, transfer.numbers, transfer.seconds
        )
        try:
            lease.check()
        except LeaseError as err:
            # Who took over may have moved back what this run set: nothing of it is remembered.
            return report, sha256, err
        self._memory.finish()
        given_up = transfer.given_up
        return report, sha256, given_up if isinstance(given_up, StoreError) else None

    def _begin_plans(self) -> Iterator[RepositoryPlan]:
        """Yield the plans, each after what has to be done before it may be carried out."""
        for plans in self._iter_plans():
            check_stopped()
            self._memory.before(plans)
            if not self._is_prepared and any(plan.steps for plan in plans):
                self._place.prepare(self._ref.project)
                self._is_prepared = True
            yield from plans
