"""The steps of a backup, as the command line and the operators take them: list, copy, conclude.

Each leaves its result in the store, so that the next one needs nothing but the run's name and can
run on another machine. A project that failed is run again by taking its steps again.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import datetime, timezone

from airflow_provider_harbor.core.copy.outcome import CopyReport, Finding, Status, Tally
from airflow_provider_harbor.core.copy.places import Place, Source
from airflow_provider_harbor.core.copy.plan import PlanCounts, RepositoryPlan, iter_plans
from airflow_provider_harbor.core.copy.transfer import Transfer
from airflow_provider_harbor.core.exceptions import (
    HarborAuthError,
    HarborBackupError,
    HarborNotFoundError,
    IntegrityError,
    LeaseError,
    StoreError,
    describe,
)
from airflow_provider_harbor.core.harbor.client import HarborClient
from airflow_provider_harbor.core.harbor.inventory import InventoryWalk
from airflow_provider_harbor.core.harbor.records import Gap, Record, line_of
from airflow_provider_harbor.core.human import Progress, human_count
from airflow_provider_harbor.core.jobs.memory import Memory
from airflow_provider_harbor.core.jobs.report import RunReport, build_report
from airflow_provider_harbor.core.jobs.report_page import render_page
from airflow_provider_harbor.core.jobs.results import (
    ProjectResult,
    Results,
    keeping_first_error,
)
from airflow_provider_harbor.core.store.backup_store import BackupStore
from airflow_provider_harbor.core.store.inventories import InventoryRef
from airflow_provider_harbor.core.store.layout import run_key
from airflow_provider_harbor.core.store.leases import Lease
from airflow_provider_harbor.core.store.snapshots import ProjectContents, Snapshot

log = logging.getLogger(__name__)


def inventory_project(
    client: HarborClient,
    store: BackupStore,
    run: str,
    project: str,
    *,
    progress: Progress | None = None,
) -> InventoryRef:
    """List a project into the store.

    Returns:
        Which inventory it is. It may have gaps: repositories that could not be listed whole. They
        are in the project's result, which is not more than that yet, see `copy_project`.

    Raises:
        HarborBackupError: Nothing could be listed; the reason is the project's result then.
    """

    def leave(
        *, ref: InventoryRef | None = None, gaps: tuple[Gap, ...] = (), error: str = ""
    ) -> None:
        made = ProjectResult(
            project=project,
            run=run,
            inventory=ref,
            gaps=gaps,
            error=error,
            stage="inventory",
            harbor_url=client.url,
        )
        Results(store.results, run).keep(made)

    try:
        # Proves the login: of a public project Harbor would list something to anybody.
        _ = client.version
        listed_at = datetime.now(timezone.utc)
        walk = InventoryWalk(client, project, progress=progress)
        with store.inventories.write(project) as writer:
            for _, records in walk:
                writer.add(records)
            ref = InventoryRef(
                project=project,
                sha256=writer.finish(),
                counts=writer.counts,
                listed_at=listed_at.isoformat(timespec="microseconds"),
                gaps=len(walk.gaps),
            )
    except Exception as err:
        with keeping_first_error(project):
            leave(error=describe(err))
        raise
    leave(ref=ref, gaps=walk.gaps)
    for gap in walk.gaps:
        log.warning("Not listed whole: %s", gap)
    counts = ref.counts
    log.info(
        "%s: %d artifacts, %d children, %d attestations, %d accessories, %d tags",
        project,
        counts.artifacts,
        counts.children,
        counts.attestations,
        counts.accessories,
        counts.tags,
    )
    log.info("The inventory is %s of the store %s", ref.sha256, store.url)
    return ref


def copy_project(
    client: HarborClient,
    source: Source,
    place: Place,
    store: BackupStore,
    run: str,
    ref: InventoryRef,
    *,
    lease: Lease | None = None,
    workers: int = 8,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> ProjectResult:
    """Copy what an inventory holds and the destination does not.

    Args:
        client: The source's REST API.
        source: The source's content.
        place: Where to copy to: the store itself, or a registry.
        store: Where the inventory is, and where the result goes.
        run: The run's name.
        ref: The project's inventory.
        lease: That of the run, where the caller holds it; else it is taken for this call.
        workers: At most so many manifests, and so many blobs, are on their way at once.
        dry_run: Write the plan only; nothing changes at the destination.
        progress: Called with a line of text, often and from many threads.

    Returns:
        What became of each record; an artifact that failed is in there, and raises nothing.

    Raises:
        HarborBackupError: The project as a whole could not be copied; the reason is the project's
            result then.
    """
    gaps = _gaps(store, run, ref)

    def result(
        *,
        copy: CopyReport | None = None,
        contents: str = "",
        plan: PlanCounts | None = None,
        error: str = "",
    ) -> ProjectResult:
        made = ProjectResult(
            project=ref.project,
            run=run,
            inventory=ref,
            gaps=gaps,
            copy=copy,
            contents=contents,
            plan=plan,
            error=error,
            dry_run=dry_run,
            harbor_url=client.url,
            destination=place.url,
        )
        Results(store.results, run).keep(made)
        return made

    try:
        place.require_other(client)
        store.inventories.verify(ref.project, ref.sha256)
        if _is_proxy_cache(client, ref.project):
            return result(copy=_all_skipped(store, ref, place))
        copy = _ProjectCopy(source, place, store, run, ref, workers=workers)
        if dry_run:
            plan, error = copy.plan_only()
            return result(plan=plan, error=error)
        with ExitStack() as opened:
            lease = lease or opened.enter_context(store.lease(place.url, run))
            lease.check()
            report, contents, cause = copy.run(lease, progress)
    except Exception as err:
        with keeping_first_error(ref.project):
            result(error=describe(err))
        raise
    if cause:
        with keeping_first_error(ref.project):
            result(copy=report, contents=contents, error=str(cause))
        raise cause
    made = result(copy=report, contents=contents)
    if contents:
        store.snapshots.write_latest(ref.project, run, ref.sha256, contents)
    return made


class _ProjectCopy:
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
    ) -> None:
        self._source = source
        self._place = place
        self._store = store
        self._run = run
        self._ref = ref
        self._workers = workers
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

        Returns:
            What it came to; the SHA-256 of the contents, where a store has any; and, where the
            store failed or the lease was lost, the error of the project as a whole.
        """
        tally, sha256 = Tally(), ""
        with (
            self._store.inventories.write_contents(self._ref.project) as contents,
            Transfer(
                self._source,
                self._place,
                total=self._ref.counts.records,
                workers=self._workers,
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
            self._memory.before(plans)
            if not self._is_prepared and any(plan.steps for plan in plans):
                self._place.prepare(self._ref.project)
                self._is_prepared = True
            yield from plans


def _gaps(store: BackupStore, run: str, ref: InventoryRef) -> tuple[Gap, ...]:
    """Return the gaps of an inventory, which the result that it left has, or an earlier copy's."""
    left = Results(store.results, run).find(ref.project)
    if left and left.inventory == ref:
        return left.gaps
    if not ref.gaps:
        return ()
    message = (
        f"{human_count(ref.gaps, 'repository')} could not be listed whole; the log of the "
        "inventory says which, and why. Run the project again"
    )
    return (Gap(repository=ref.project, reason="error", message=message),)


def finish_run(
    store: BackupStore,
    run: str,
    expected: Iterable[str],
    *,
    harbor_url: str,
    destination: str,
    started_at: datetime,
    harbor_version: str = "",
    limited_to: Sequence[str] = (),
    dry_run: bool = False,
    error: str = "",
) -> RunReport:
    """Conclude a run: read what became of its projects, write report and snapshot, end its lease.

    Args:
        store: Where the results are.
        run: The run's name.
        expected: Names of the projects that were to be backed up.
        harbor_url: Of the source.
        destination: URL of the destination.
        started_at: When the run began, with a time zone.
        harbor_version: Of the source, if it is known.
        limited_to: Names and globs of projects to which the run was limited; empty for all.
        dry_run: Whether the run only planned.
        error: What ended the run before there was a list of projects; empty when nothing did.

    Returns:
        The report. Whether anything is missing is for the caller to raise, see `RunReport`.
    """
    report = build_report(
        run,
        expected,
        Results(store.results, run),
        harbor_url=harbor_url,
        harbor_version=harbor_version,
        destination=destination,
        started_at=started_at,
        ended_at=datetime.now(timezone.utc),
        dry_run=dry_run,
        error=error,
    )
    store.snapshots.write_report(run, report.to_json(), render_page(report))
    if not dry_run:
        store.snapshots.commit(_apart_from_before(store, _snapshot(report, limited_to), report))
    store.lease(destination, run).release()
    return report


def _snapshot(report: RunReport, limited_to: Sequence[str]) -> Snapshot:
    return Snapshot(
        key=run_key(report.run),
        run=report.run,
        complete=report.complete,
        harbor_url=report.harbor_url,
        destination=report.destination,
        started_at=report.started_at.isoformat(),
        ended_at=report.ended_at.isoformat(),
        projects={
            result.project: ProjectContents(
                inventory=result.inventory.sha256,
                contents=result.contents,
                ok=result.ok,
                digests=result.inventory.counts.digests,
                size_bytes=result.inventory.counts.size_bytes,
            )
            for result in report.projects
            if result.inventory
        },
        limited_to=tuple(limited_to),
    )


def _apart_from_before(store: BackupStore, made: Snapshot, report: RunReport) -> Snapshot:
    """Return a snapshot, under a name of its own where it would take the place of another night.

    A run that is cleared lists anew what is there now. Where it had ended, what it protected then
    stays as it was, and what is there now is a snapshot of the time when it was listed.
    """
    try:
        before = store.snapshots.read(made.key)
    except IntegrityError:
        return made
    if before is None or not any(
        was.ok and (name not in made.projects or made.projects[name].inventory != was.inventory)
        for name, was in before.projects.items()
    ):
        return made
    listed_at = max(
        (result.inventory.listed_at for result in report.projects if result.inventory),
        default=made.ended_at,
    )
    moment = datetime.fromisoformat(listed_at)
    run = f"{moment:%Y-%m-%dT%H-%M-%S.%fZ}.again.{made.run}"
    log.warning(
        "The run had ended before, with other lists: that snapshot stays as it is, and this one is "
        "%s",
        run_key(run),
    )
    return replace(made, key=run_key(run), run=run, started_at=listed_at)


def _is_proxy_cache(client: HarborClient, project: str) -> bool:
    try:
        return client.get_project(project).is_proxy_cache
    except (HarborAuthError, HarborNotFoundError):
        # Gone, or without `project:read`: what copying it meets will say more.
        return False


def _all_skipped(store: BackupStore, ref: InventoryRef, place: Place) -> CopyReport:
    """Leave all out: a pull from a proxy cache may become a pull from upstream."""
    message = "the project caches another registry, where the artifact can be had again"
    records = store.inventories.iter_records(ref.project, ref.sha256)
    return CopyReport(
        project=ref.project,
        destination=place.url,
        skipped=ref.counts.records,
        findings=tuple(
            Finding.of(record, Status.SKIPPED, "proxy-cache", message) for record in records
        ),
    )
