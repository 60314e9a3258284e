"""The steps of a backup, as the command line and the operators take them: list, copy, conclude.

Each leaves its result in the store, so that the next one needs nothing but the run's name and can
run on another machine. A project that failed is run again by taking its steps again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from functools import partial
from typing import Any

from airflow_provider_harbor.core.copy.outcome import CopyReport, Finding, Status
from airflow_provider_harbor.core.copy.places import Place, Source
from airflow_provider_harbor.core.copy.shared import Shared
from airflow_provider_harbor.core.exceptions import (
    BackupInterruptedError,
    HarborAuthError,
    HarborBackupError,
    HarborNotFoundError,
    IntegrityError,
    describe,
)
from airflow_provider_harbor.core.harbor.client import HarborClient
from airflow_provider_harbor.core.harbor.records import Gap
from airflow_provider_harbor.core.http.pace import DEFAULT_CEILING
from airflow_provider_harbor.core.human import Progress, human_count
from airflow_provider_harbor.core.jobs.listing import list_project
from airflow_provider_harbor.core.jobs.losses import find_losses
from airflow_provider_harbor.core.jobs.overview import remember_nights
from airflow_provider_harbor.core.jobs.project_copy import ProjectCopy
from airflow_provider_harbor.core.jobs.report import RunReport, build_report
from airflow_provider_harbor.core.jobs.report_page import render_page
from airflow_provider_harbor.core.jobs.results import (
    ProjectResult,
    Results,
    keeping_first_error,
)
from airflow_provider_harbor.core.jobs.settings.report import report_settings
from airflow_provider_harbor.core.jobs.trail import find_last_protected, read_attempts
from airflow_provider_harbor.core.store.backup_store import BackupStore
from airflow_provider_harbor.core.store.claims import Claim, settle
from airflow_provider_harbor.core.store.inventories import InventoryRef
from airflow_provider_harbor.core.store.layout import run_key, run_name
from airflow_provider_harbor.core.store.leases import Lease
from airflow_provider_harbor.core.store.snapshots import ProjectContents, Snapshot

log = logging.getLogger(__name__)

# So often a project is begun anew because prune has deleted meanwhile what it needs.
_TRIES = 3


def inventory_project(
    client: HarborClient,
    store: BackupStore,
    run: str,
    project: str,
    *,
    progress: Progress | None = None,
) -> InventoryRef:
    """List a project into the store.

    Args:
        client: The login.
        store: Where the inventory goes, and the project's result.
        run: The run's name.
        project: Name of the project.
        progress: Called with a line of text now and then.

    Returns:
        Which inventory it is. It may have gaps: repositories that could not be listed whole. They
        are in the project's result, which is not more than that yet, see `copy_project`.

    Raises:
        HarborBackupError: Nothing could be listed; the reason is the project's result then.
    """

    def leave(
        *,
        ref: InventoryRef | None = None,
        gaps: tuple[Gap, ...] = (),
        error: str = "",
        sweep: str = "",
    ) -> None:
        made = ProjectResult(
            project=project,
            run=run,
            inventory=ref,
            gaps=gaps,
            error=error,
            stage="inventory",
            harbor_url=client.url,
            sweep=sweep,
        )
        Results(store.results, run).keep(made)

    try:
        # Proves the login: of a public project Harbor would list something to anybody.
        _ = client.version
        for _ in range(_TRIES):
            claim = Claim(store)
            ref, gaps = list_project(client, store, project, progress=progress)
            leave(ref=ref, gaps=gaps, sweep=claim.sweep)
            if not claim.settle(project, ref.sha256, ""):
                break
        else:
            raise _pruned_again_and_again(project)
    except Exception as err:
        with keeping_first_error(project):
            leave(error=describe(err))
        raise
    for gap in gaps:
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


def _pruned_again_and_again(project: str) -> BackupInterruptedError:
    return BackupInterruptedError(
        f"project {project}: prune deleted what this run needs, again and again. Run it again", []
    )


def copy_project(
    client: HarborClient,
    source: Source,
    place: Place,
    store: BackupStore,
    run: str,
    ref: InventoryRef,
    *,
    lease: Lease | None = None,
    workers: int = DEFAULT_CEILING,
    shared: Shared | None = None,
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
        shared: What it shares with copies of other projects between the same two places.
        dry_run: Write the plan only; nothing changes at the destination.
        progress: Called with a line of text, often and from many threads.

    Returns:
        What became of each record; an artifact that failed is in there, and raises nothing.

    Raises:
        HarborBackupError: The project as a whole could not be copied; the reason is the project's
            result then.
    """
    keeper = _Keeper(
        results=Results(store.results, run),
        blank=ProjectResult(
            project=ref.project,
            run=run,
            inventory=ref,
            gaps=_gaps(store, run, ref),
            dry_run=dry_run,
            harbor_url=client.url,
            destination=place.url,
        ),
    )
    copy = partial(ProjectCopy, source, place, store, run, ref, workers=workers, shared=shared)
    try:
        place.require_other(client)
        store.inventories.verify(ref.project, ref.sha256)
        if _is_proxy_cache(client, ref.project):
            return keeper.keep(copy=_all_skipped(store, ref, place))
        if dry_run:
            plan, error = copy().plan_only()
            return keeper.keep(plan=plan, error=error)
        with ExitStack() as opened:
            lease = lease or opened.enter_context(store.lease(place.url, run))
            lease.check()
            made = _copy_claimed(store, ref, keeper, lambda: copy().run(lease, progress))
    except Exception as err:
        with keeping_first_error(ref.project):
            keeper.keep(error=describe(err))
        raise
    if isinstance(made, HarborBackupError):
        raise made
    if made.contents:
        store.snapshots.write_latest(ref.project, run, ref.sha256, made.contents)
    return made


@dataclass(frozen=True, slots=True, kw_only=True)
class _Keeper:
    """Keeps the result of one project, which differs in some fields only."""

    results: Results
    blank: ProjectResult

    def keep(self, **changes: Any) -> ProjectResult:
        made = replace(self.blank, **changes)
        self.results.keep(made)
        return made


def _copy_claimed(
    store: BackupStore,
    ref: InventoryRef,
    keeper: _Keeper,
    copy: Callable[[], tuple[CopyReport, str, HarborBackupError | None]],
) -> ProjectResult | HarborBackupError:
    """Copy until prune has deleted nothing of it; returns the error of what has its result."""
    for _ in range(_TRIES):
        claim = Claim(store)
        report, contents, cause = copy()
        if cause:
            with keeping_first_error(ref.project):
                keeper.keep(copy=report, contents=contents, error=str(cause), sweep=claim.sweep)
            return cause
        made = keeper.keep(copy=report, contents=contents, sweep=claim.sweep)
        missing = claim.settle(ref.project, ref.sha256, contents)
        if not missing:
            return made
        log.info("Prune has deleted %s and maybe more meanwhile. Copying again", missing[0])
    raise _pruned_again_and_again(ref.project)


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
        Results(store.results, run) if dry_run else _settled(store, run),
        harbor_url=harbor_url,
        harbor_version=harbor_version,
        destination=destination,
        started_at=started_at,
        ended_at=datetime.now(timezone.utc),
        dry_run=dry_run,
        error=error,
        settings=None if dry_run else report_settings(store, run),
    )
    if not dry_run:
        report = _apart_from_before(store, _snapshot(report, limited_to), report)
    report = replace(report, attempts=read_attempts(store, report.run))
    if not dry_run:
        made = _snapshot(report, limited_to)
        report = replace(
            report,
            last_protected=find_last_protected(store, report.unprotected, besides=report.run),
            losses=find_losses(
                store,
                made,
                besides=[result.project for result in report.projects if result.gaps],
            ),
        )
        if report.losses:
            log.warning("Far less than the night before: %s", report.losses)
    store.snapshots.write_report(report.run, report.to_json(), render_page(report))
    if not dry_run:
        store.snapshots.commit(made)
        remember_nights(store, run_key(report.run))
    store.lease(destination, run).release()
    return report


def _settled(store: BackupStore, run: str) -> list[ProjectResult]:
    """Return the results of a run, and make sure that what they name is there, and stays."""
    results = list(Results(store.results, run))
    sweep = store.sweeps.read()
    return [r if sweep.has_spared(r.sweep) else _settle(store, r) for r in results]


def _settle(store: BackupStore, result: ProjectResult) -> ProjectResult:
    if result.inventory is None:
        return result
    error = ""
    try:
        missing = settle(
            store, result.sweep, result.project, result.inventory.sha256, result.contents
        )
        if missing:
            error = f"prune has deleted {missing[0]} and maybe more. Run the project again"
    except IntegrityError as err:
        error = describe(err)
    if not error:
        return result
    # Not kept: the result is a claim, and the project may be under way again.
    error = result.error or error
    return replace(result, inventory=None, gaps=(), copy=None, contents="", error=error)


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
        settings=report.settings.night if report.settings else None,
        lacking=None if report.error else _lacking(report),
    )


def _lacking(report: RunReport) -> tuple[str, ...]:
    """Return the projects that were to be backed up, and of which there is no inventory."""
    unlisted = (result.project for result in report.projects if result.inventory is None)
    return tuple(sorted([*report.missing, *unlisted]))


def _apart_from_before(store: BackupStore, made: Snapshot, report: RunReport) -> RunReport:
    """Return the report, as that of a run of its own where it would replace another night.

    A run that is cleared lists anew what is there now. Where it had ended, what it protected then
    stays as it was, and what is there now is a snapshot of the time when it was listed.
    """
    try:
        before = store.snapshots.read(made.key)
    except IntegrityError:
        return report
    if before is None or not (
        _has_other_settings(before, made)
        or any(
            was.ok and (name not in made.projects or made.projects[name].inventory != was.inventory)
            for name, was in before.projects.items()
        )
    ):
        return report
    listed_at = max(
        (result.inventory.listed_at for result in report.projects if result.inventory),
        default=made.ended_at,
    )
    moment = datetime.fromisoformat(listed_at)
    run = f"{run_name(moment)}.again.{made.run}"
    log.warning(
        "The run had ended before, with other lists: that snapshot stays as it is, and this one is "
        "%s",
        run_key(run),
    )
    projects = tuple(replace(result, run=run) for result in report.projects)
    for result in projects:
        Results(store.results, run).keep(result)
    return replace(report, run=run, started_at=moment, projects=projects)


def _has_other_settings(before: Snapshot, made: Snapshot) -> bool:
    was, now = before.settings, made.settings
    return was is not None and (
        now is None or (was.system, was.projects) != (now.system, now.projects)
    )


def _is_proxy_cache(client: HarborClient, project: str) -> bool:
    try:
        return client.is_proxy_cache(project)
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
