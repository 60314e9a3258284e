"""The steps of a restore as operators.

Put together they are the DAG ``harbor_restore``::

    choose -> [ restore ] for each unit -> report

``choose`` decides once which snapshot it is; a project that is cleared later is restored from the
same one.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator
from airflow.sdk.configuration import conf
from airflow.sdk.exceptions import AirflowSkipException

from airflow_provider_harbor.core.copy.places import Source
from airflow_provider_harbor.core.exceptions import BackupIncompleteError, HarborConfigurationError
from airflow_provider_harbor.core.http.pace import DEFAULT_CEILING
from airflow_provider_harbor.core.human import human_count, human_size
from airflow_provider_harbor.core.jobs.choosing import (
    LATEST,
    Choice,
    Restore,
    find_lacking,
    find_snapshot,
    parse_renames,
    read_renames,
)
from airflow_provider_harbor.core.jobs.restore import (
    choose,
    finish_restore,
    restore_project,
)
from airflow_provider_harbor.core.jobs.results import Results
from airflow_provider_harbor.hooks.harbor import HarborHook
from airflow_provider_harbor.hooks.store import open_store
from airflow_provider_harbor.operators.report_link import ReportLink
from airflow_provider_harbor.operators.telling import tell_report, tells
from airflow_provider_harbor.operators.units import (
    Heartbeat,
    as_flag,
    as_number,
    as_patterns,
    combined,
    describe,
    do_each,
    make_units,
    raise_if_incomplete,
    run_name,
    set_pace,
)

if TYPE_CHECKING:
    from airflow.sdk import Context

_CHOICE: tuple[str, ...] = (
    "store",
    "mirror_conn_id",
    "repositories",
    "tags",
    "renames",
    "overwrite",
)


class _RestoreOperator(BaseOperator):
    """What the operators of a restore have in common: what is to be restored.

    :param store: Directory or URL of the store; by default ``[harbor] store``.
    :param mirror_conn_id: Connection of a registry to take the content from; None to take it from
        the store.
    :param repositories: Full names or globs of repositories; empty for all.
    :param tags: Names or globs of tags; empty for all.
    :param renames: New names of projects, as texts ``old=new``.
    :param overwrite: Whether tags may be moved that name something else at the target.
    """

    ui_color = "#e3dcf5"

    def __init__(
        self,
        *,
        store: str | None = None,
        mirror_conn_id: str | None = None,
        repositories: Sequence[str] | None = None,
        tags: Sequence[str] | None = None,
        renames: Sequence[str] | None = None,
        overwrite: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.store = store
        self.mirror_conn_id = mirror_conn_id
        self.repositories = repositories
        self.tags = tags
        self.renames = renames
        self.overwrite = overwrite

    def _find(self, snapshot: str, projects: Sequence[str] | None = None) -> Restore:
        """Return what is to be restored of a snapshot.

        :param snapshot: Which one.
        :param projects: Names or globs of projects; None where they have been chosen already.
        """
        store = open_store(self.store)
        _ = store.harbor_url  # that it is a store
        choice = Choice(
            projects=tuple(projects or ()),
            repositories=tuple(as_patterns(self.repositories)),
            tags=tuple(as_patterns(self.tags)),
        )
        found = find_snapshot(
            store, snapshot, choice.project_patterns, needs_content=not self.mirror_conn_id
        )
        texts, names = as_patterns(self.renames), choice.find_projects(found)
        # Of the chosen ones no two become one; a new name may be that of one that was not chosen.
        renames = (read_renames if projects is None else parse_renames)(texts, names)
        return Restore(
            store=store,
            snapshot=found,
            choice=choice,
            renames=renames,
            overwrites=as_flag(self.overwrite),
        )


class HarborChooseSnapshotOperator(_RestoreOperator):
    """Decide which snapshot is restored, and find out which of its projects.

    Returns units to map over, each with the snapshot and the names of its projects.

    :param snapshot: ``latest`` (the newest complete one), a date such as ``2026-11-25`` (the newest
        complete one of that day, UTC), or the name of a run.
    :param projects: Names or globs of projects; empty for all.
    :param harbor_conn_id: Connection of the Harbor or registry to restore to: it is looked at.
    :param max_units: How many units at most; by default Airflow's ``[core] max_map_length``.
    """

    template_fields: Sequence[str] = (
        *_CHOICE,
        "snapshot",
        "projects",
        "harbor_conn_id",
        "max_units",
    )

    def __init__(
        self,
        *,
        snapshot: str = LATEST,
        projects: Sequence[str] | None = None,
        harbor_conn_id: str = HarborHook.default_conn_name,
        max_units: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.snapshot = snapshot
        self.projects = projects
        self.harbor_conn_id = harbor_conn_id
        self.max_units = max_units

    @tells
    def execute(self, context: Context) -> list[dict[str, Any]]:
        """Choose, and return the units."""
        restore = self._find(self.snapshot or LATEST, as_patterns(self.projects))
        snapshot = restore.snapshot
        # Results are kept there; better to know now than after all is restored.
        restore.store.check()
        with closing(HarborHook(self.harbor_conn_id).get_place()) as place:
            self.log.info("Restoring to the %s %s", place.kind, place.url)
        self.log.info("The snapshot is %s, begun %s", snapshot.key, snapshot.started_at)
        if not snapshot.complete:
            lacking = ", ".join(find_lacking(restore.store, snapshot))
            self.log.warning(
                "It is PARTIAL: what it lacks cannot be restored from it (not whole: %s)", lacking
            )
        found = choose(restore)
        for name, counts in found.items():
            held = "its inventory cannot be read"
            if counts:
                held = f"{human_count(counts.digests, 'digest')}, {human_size(counts.size_bytes)}"
            self.log.info("%s as %s: %s", name, restore.target_of(name), held)
        if not found:
            raise HarborConfigurationError(
                f"nothing of the snapshot {snapshot.key} is meant. Check projects, repositories "
                "and tags"
            )
        max_units = as_number(self.max_units or 0) or conf.getint("core", "max_map_length")
        return [{**unit, "snapshot": snapshot.key} for unit in make_units(list(found), max_units)]


class HarborRestoreOperator(_RestoreOperator):
    """Restore the projects of a unit: only what is missing is sent, and nothing is deleted.

    Returns the counts of each project. One artifact or project that fails does not stop the others;
    then the task fails at its end, and is tried again if that may help.

    :param unit: What ``HarborChooseSnapshotOperator`` returned.
    :param harbor_conn_id: Connection of the Harbor or registry to restore to.
    :param workers: At most so many requests to one server at once. How many really are found out:
        more follow as long as that is faster, fewer at once where a server answers 429 or 503.
    :param limit_mb_per_second: Move at most so many millions of bytes a second; what is read at one
        end and written at the other counts once. None for no limit.
    :param limit_shares: Among how many tasks that run at once the limit is divided: one process
        knows nothing of the others. A share that no task uses is not given to the others.
    :param plan_only: Dry run: find out what would be sent, and change nothing.
    """

    template_fields: Sequence[str] = (
        *_CHOICE,
        "unit",
        "harbor_conn_id",
        "workers",
        "limit_mb_per_second",
        "limit_shares",
        "plan_only",
    )
    report_link = ReportLink()
    operator_extra_links = (report_link,)

    def __init__(
        self,
        *,
        unit: dict[str, Any],
        harbor_conn_id: str = HarborHook.default_conn_name,
        workers: int = DEFAULT_CEILING,
        limit_mb_per_second: float | None = None,
        limit_shares: int = 1,
        plan_only: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.unit = unit
        self.harbor_conn_id = harbor_conn_id
        self.workers = workers
        self.limit_mb_per_second = limit_mb_per_second
        self.limit_shares = limit_shares
        self.plan_only = plan_only

    @tells
    def execute(self, context: Context) -> list[dict[str, Any]]:
        """Restore each project of the unit, and return how it ended."""
        self.report_link.leave(context)
        set_pace(self.workers, self.limit_mb_per_second, self.limit_shares)
        run, plan_only = run_name(context), as_flag(self.plan_only)
        restore = self._find(self.unit["snapshot"])
        results = Results(restore.store.restore_results, run)
        with ExitStack() as opened:
            place = opened.enter_context(closing(HarborHook(self.harbor_conn_id).get_place()))
            source = self._open_mirror(restore, place.url, opened)
            lease = None
            if not plan_only:
                lease = opened.enter_context(restore.store.lease(place.url, run))

            def bring_back(project: str) -> dict[str, Any]:
                result = restore_project(
                    restore,
                    project,
                    place,
                    run=run,
                    keep=results.keep,
                    source=source,
                    lease=lease,
                    workers=as_number(self.workers),
                    dry_run=plan_only,
                    progress=Heartbeat(self.log, project),
                )
                self.log.info("%s", describe(result))
                raise_if_incomplete(result)
                return result.to_json(with_findings=False)

            done, errors = do_each(self.unit["projects"], bring_back)
        if errors:
            raise combined(errors, self.unit)
        return done

    def _open_mirror(self, restore: Restore, url: str, opened: ExitStack) -> Source | None:
        if not self.mirror_conn_id:
            return None
        hook = HarborHook(self.mirror_conn_id)
        if hook.url == url:
            raise HarborConfigurationError(
                f"the mirror is the registry that is restored to, {url}. Name another one, or none"
            )
        return opened.enter_context(closing(hook.get_source(restore.original_name)))


class HarborRestoreReportOperator(_RestoreOperator):
    """Conclude a restore: write its report, and fail when anything is not restored.

    It runs whatever became of the tasks before it (``trigger_rule="all_done"``).

    :param units: What ``HarborChooseSnapshotOperator`` returned.
    :param harbor_conn_id: Connection of the Harbor or registry that was restored to.
    :param plan_only: Whether it was a dry run.
    """

    template_fields: Sequence[str] = (*_CHOICE, "units", "harbor_conn_id", "plan_only")
    ui_color = "#fbe7c6"
    report_link = ReportLink()
    operator_extra_links = (report_link,)

    def __init__(
        self,
        *,
        units: list[dict[str, Any]] | None,
        harbor_conn_id: str = HarborHook.default_conn_name,
        plan_only: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.units = units
        self.harbor_conn_id = harbor_conn_id
        self.plan_only = plan_only

    @tells
    def execute(self, context: Context) -> dict[str, Any]:
        """Write the report, and return a summary."""
        self.report_link.leave(context)
        if not self.units:
            raise BackupIncompleteError(
                "NOTHING was restored: no snapshot was chosen. The log of the task before this one "
                "says why",
                [],
            )
        run, plan_only = run_name(context), as_flag(self.plan_only)
        restore = self._find(self.units[0]["snapshot"])
        url = HarborHook(self.harbor_conn_id).url
        report, page = finish_restore(
            restore,
            run,
            [project for unit in self.units for project in unit["projects"]],
            Results(restore.store.restore_results, run),
            destination=url,
            started_at=context["dag_run"].run_after,
            dry_run=plan_only,
        )
        restore.store.lease(url, run).release()
        failures = report.failures()
        tell_report(self.log, report.to_text(with_failures=False), has_failed=bool(failures))
        if page:
            self.log.info("The report is %s", page)
        if failures:
            raise BackupIncompleteError(report.summary_line(), failures, report.unprotected_lines())
        if plan_only:
            raise AirflowSkipException(report.summary_line())
        return {
            "run": report.run,
            "snapshot": report.snapshot,
            "complete": report.complete,
            "summary": report.summary_line(),
            "counts": report.counts.to_json(),
        }
