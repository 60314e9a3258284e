"""Bring back what a snapshot holds: to a Harbor or to any other registry.

A restore is a copy from the store's pool, or, with the store's lists, from a mirror. What is there
already is not sent, and a tag that names something else is left alone unless it is to be moved.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime, timezone

from airflow_provider_harbor.core.copy.outcome import CopyReport
from airflow_provider_harbor.core.copy.places import Place, Source
from airflow_provider_harbor.core.copy.plan import PlanCounts
from airflow_provider_harbor.core.exceptions import (
    IntegrityError,
    StoreError,
    StoreUnreachableError,
    describe,
)
from airflow_provider_harbor.core.harbor.records import Counts, count_records
from airflow_provider_harbor.core.http.pace import DEFAULT_CEILING
from airflow_provider_harbor.core.human import Progress
from airflow_provider_harbor.core.jobs.choosing import Restore, Seen
from airflow_provider_harbor.core.jobs.keeping import keep_report
from airflow_provider_harbor.core.jobs.project_restore import (
    ProjectRestore,
    advising_another_night,
)
from airflow_provider_harbor.core.jobs.report import Kind, RunReport, build_report
from airflow_provider_harbor.core.jobs.report_page import render_page
from airflow_provider_harbor.core.jobs.results import ProjectResult
from airflow_provider_harbor.core.jobs.trail import read_attempts
from airflow_provider_harbor.core.store.inventories import InventoryRef
from airflow_provider_harbor.core.store.leases import Lease

log = logging.getLogger(__name__)


def choose(restore: Restore) -> dict[str, Counts | None]:
    """Return the projects in which something is meant, with how much that is.

    Returns:
        None for a project whose inventory cannot be read: restoring it says why, and the others
        can be restored.

    Raises:
        HarborConfigurationError: A project, repository or tag that was named is not in the
            snapshot.
        StoreError: The store does not answer; or of no project the inventory can be read.
    """
    snapshot, choice, seen = restore.snapshot, restore.choice, Seen()
    failed: StoreError | None = None
    counts: dict[str, Counts | None] = {}
    for name in choice.find_projects(snapshot):
        try:
            counts[name] = _counts(restore, name, seen)
        except StoreUnreachableError:
            raise
        except (IntegrityError, StoreError) as err:
            log.warning("Project %s: %s", name, err)
            counts[name] = None
            failed = err if isinstance(err, StoreError) else failed
    if failed and not any(counts.values()):
        raise failed
    if None not in counts.values():
        where = f"the snapshot {snapshot.key}"
        choice.require_found(seen.repositories, where, seen.tags)
    if choice.is_all:
        return counts
    return {name: found for name, found in counts.items() if found is None or found.records}


def _counts(restore: Restore, project: str, seen: Seen) -> Counts:
    inventories, entry = restore.store.inventories, restore.snapshot.projects[project]
    counts = Counts()
    with advising_another_night():
        for name, records in inventories.iter_repositories(project, entry.inventory):
            seen.add(restore.choice, name, records)
            counts += count_records(restore.choice.restrict(name, records))
    return counts


def restore_project(
    restore: Restore,
    project: str,
    place: Place,
    *,
    run: str,
    keep: Callable[[ProjectResult], object],
    counts: Counts | None = None,
    source: Source | None = None,
    lease: Lease | None = None,
    workers: int = DEFAULT_CEILING,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> ProjectResult:
    """Bring one project back.

    Args:
        restore: What is to be brought back.
        project: Name of the project in the snapshot.
        place: Where to.
        run: The restore's name.
        keep: Called with what became of it, also where something is raised then.
        counts: What `choose` returned for it, if that was called.
        source: A mirror to take the content from, in place of the store.
        lease: That of the restore, if it could be taken.
        workers: At most so many manifests, and so many blobs, are on their way at once.
        dry_run: Find out what would be sent, and change nothing.
        progress: Called with a line of text, often and from many threads.

    Returns:
        What became of each record; an artifact that failed is in there, and raises nothing.

    Raises:
        HarborBackupError: The project as a whole could not be restored.
    """
    one = ProjectRestore(restore, project, place, source)

    def result(
        *, copy: CopyReport | None = None, plan: PlanCounts | None = None, error: str = ""
    ) -> ProjectResult:
        made = ProjectResult(
            project=project,
            run=run,
            inventory=InventoryRef(
                project=project,
                sha256=one.entry.inventory,
                counts=one.counts,
                listed_at=restore.snapshot.started_at,
            ),
            copy=copy,
            plan=plan,
            error=error,
            dry_run=dry_run,
            harbor_url=restore.snapshot.harbor_url,
            destination=one.target_url,
        )
        keep(made)
        return made

    try:
        one.counts = counts if counts is not None else _counts(restore, project, Seen())
        one.look(workers)
        if dry_run:
            plan, error = one.plan_only()
            return result(plan=plan, error=error)
        copy = one.run(lease, workers, progress)
    except Exception as err:
        result(error=describe(err))
        raise
    return result(copy=copy)


def finish_restore(
    restore: Restore,
    run: str,
    expected: Iterable[str],
    results: Iterable[ProjectResult],
    *,
    destination: str,
    started_at: datetime,
    dry_run: bool = False,
) -> tuple[RunReport, str]:
    """Conclude a restore, and keep its report in the store, if that can be written.

    Args:
        restore: What was to be brought back.
        run: The restore's name.
        expected: Names of the projects that were to be restored.
        results: What became of them.
        destination: URL of where to.
        started_at: When it began, with a time zone.
        dry_run: Whether it only found out what would be sent.

    Returns:
        The report, and the URL of its page; empty where it is not in the store.
    """
    report = build_report(
        run,
        expected,
        results,
        kind=Kind.RESTORE,
        snapshot=restore.snapshot.key,
        harbor_url=restore.snapshot.harbor_url,
        destination=destination,
        started_at=started_at,
        ended_at=datetime.now(timezone.utc),
        dry_run=dry_run,
    )
    if dry_run:
        return report, ""
    report = replace(report, attempts=read_attempts(restore.store, run))
    return report, keep_report(restore.store, report, render_page(report))
