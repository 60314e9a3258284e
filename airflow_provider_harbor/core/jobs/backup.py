"""The steps of a backup, as the command line and the operators take them: list, copy, conclude.

Each leaves its result in the store, so that the next one needs nothing but the run's name and can
run on another machine. A project that failed is run again by taking its steps again.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import datetime, timezone

from airflow_provider_harbor.core.copy.destination import Destination
from airflow_provider_harbor.core.copy.outcome import CopyReport, Finding, Status
from airflow_provider_harbor.core.copy.plan import CopyPlan, PlanCounts, plan_copy
from airflow_provider_harbor.core.copy.transfer import Transfer
from airflow_provider_harbor.core.exceptions import HarborAuthError, HarborNotFoundError, describe
from airflow_provider_harbor.core.harbor.client import HarborClient
from airflow_provider_harbor.core.harbor.inventory import take_inventory
from airflow_provider_harbor.core.harbor.records import Gap, Record
from airflow_provider_harbor.core.human import Progress, human_count
from airflow_provider_harbor.core.jobs.report import RunReport, build_report
from airflow_provider_harbor.core.jobs.report_page import render_page
from airflow_provider_harbor.core.jobs.results import ProjectResult, Results
from airflow_provider_harbor.core.oci.registry import RegistryClient
from airflow_provider_harbor.core.store.backup_store import BackupStore
from airflow_provider_harbor.core.store.inventories import InventoryRef
from airflow_provider_harbor.core.store.known import Holdings, Known
from airflow_provider_harbor.core.store.leases import Lease

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
        Where the inventory is. It may have gaps: repositories that could not be listed whole. They
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
        Results(store, run).keep(made)

    try:
        # Proves the login: of a public project Harbor would list something to anybody.
        _ = client.version
        listed_at = datetime.now(timezone.utc)
        inventory = take_inventory(client, project, progress=progress)
        ref = store.write_inventory(
            run, project, inventory.records, listed_at=listed_at, gaps=len(inventory.gaps)
        )
    except Exception as err:
        leave(error=describe(err))
        raise
    leave(ref=ref, gaps=inventory.gaps)
    for gap in inventory.gaps:
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
    log.info("The inventory is %s of the store %s", ref.path, store.url)
    return ref


def copy_project(
    client: HarborClient,
    registry: RegistryClient,
    destination: Destination,
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
        registry: The source's distribution API.
        destination: Where to copy to.
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
        *, copy: CopyReport | None = None, plan: PlanCounts | None = None, error: str = ""
    ) -> ProjectResult:
        made = ProjectResult(
            project=ref.project,
            run=run,
            inventory=ref,
            gaps=gaps,
            copy=copy,
            plan=plan,
            error=error,
            dry_run=dry_run,
            harbor_url=client.url,
            destination=destination.url,
        )
        Results(store, run).keep(made)
        return made

    try:
        destination.require_other(client)
        records = list(store.iter_inventory(ref))
        if _is_proxy_cache(client, ref.project):
            return result(copy=_all_skipped(ref.project, destination, records))
        known = store.read_known(destination.url, ref.project)
        held = destination.find_holdings(ref.project, records, known.holdings, workers=workers)
        plan = plan_copy(records, held, moves_tags=known.listed_at <= ref.listed_at)
        if dry_run:
            store.write_plan(run, ref.project, {"project": ref.project, **plan.to_json()})
            return result(plan=plan.counts, error=_first_exclusion(plan))
        with ExitStack() as opened:
            lease = lease or opened.enter_context(store.lease(destination.url, run))
            lease.check()

            def remembered(holds: Holdings) -> Holdings:
                # What could not be asked for is as it was.
                whole = holds.with_those_of(known.holdings, held.unknown)
                return destination.worth_remembering(whole)

            if plan.steps:
                # Whatever becomes of this run: what it is about to change is not believed.
                changing = {step.record.repository for step in plan.steps}
                known = replace(
                    _newest(known, run, ref), holdings=remembered(held.unsure(changing))
                )
                store.write_known(destination.url, ref.project, known)
                destination.prepare(ref.project)
            transfer = Transfer(
                registry,
                destination.registry,
                plan,
                held,
                workers=workers,
                may_write=lease.check,
                progress=progress,
            )
            report = transfer.run(ref.project)
            after = replace(known, holdings=remembered(transfer.holdings()))
            if after != known:
                store.write_known(destination.url, ref.project, after)
    except Exception as err:
        result(error=describe(err))
        raise
    return result(copy=report)


def _newest(known: Known, run: str, ref: InventoryRef) -> Known:
    """Note whose inventory is the newest that was copied to the destination."""
    if known.listed_at > ref.listed_at:
        return known
    return replace(known, run=run, listed_at=ref.listed_at)


def _gaps(store: BackupStore, run: str, ref: InventoryRef) -> tuple[Gap, ...]:
    """Return the gaps of an inventory, which the result that it left has, or an earlier copy's."""
    left = Results(store, run).find(ref.project)
    if left and left.inventory == ref:
        return left.gaps
    if not ref.gaps:
        return ()
    message = (
        f"{human_count(ref.gaps, 'repository')} could not be listed whole; the log of the "
        "inventory says which, and why. Run the project again"
    )
    return (Gap(repository=ref.project, reason="error", message=message),)


def _first_exclusion(plan: CopyPlan) -> str:
    if not plan.excluded:
        return ""
    record, error = plan.excluded[0]
    number = human_count(len(plan.excluded), "digest")
    return f"{number} cannot be copied, {record.repository}@{record.digest} for one: {error}"


def finish_run(
    store: BackupStore,
    run: str,
    expected: Iterable[str],
    *,
    harbor_url: str,
    destination: str,
    started_at: datetime,
    harbor_version: str = "",
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
        dry_run: Whether the run only planned.
        error: What ended the run before there was a list of projects; empty when nothing did.

    Returns:
        The report. Whether anything is missing is for the caller to raise, see `RunReport`.
    """
    report = build_report(
        run,
        expected,
        Results(store, run),
        harbor_url=harbor_url,
        harbor_version=harbor_version,
        destination=destination,
        started_at=started_at,
        ended_at=datetime.now(timezone.utc),
        dry_run=dry_run,
        error=error,
    )
    document = report.to_json()
    store.write_report(run, document, render_page(report))
    if not dry_run:
        store.write_snapshot(run, document, complete=report.complete)
    store.lease(destination, run).release()
    return report


def _is_proxy_cache(client: HarborClient, project: str) -> bool:
    try:
        return client.get_project(project).is_proxy_cache
    except (HarborAuthError, HarborNotFoundError):
        # Gone, or without `project:read`: what copying it meets will say more.
        return False


def _all_skipped(project: str, destination: Destination, records: Sequence[Record]) -> CopyReport:
    """Leave all out: a pull from a proxy cache may become a pull from upstream."""
    message = "the project caches another registry, where the artifact can be had again"
    return CopyReport(
        project=project,
        destination=destination.url,
        skipped=len(records),
        findings=tuple(
            Finding.of(record, Status.SKIPPED, "proxy-cache", message) for record in records
        ),
    )
