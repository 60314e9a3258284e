"""The steps of a nightly backup as operators.

They are thin: each opens what its connections name and calls :mod:`airflow_provider_harbor.core`.
Put together they are the DAG ``harbor_backup``::

    check -> projects -> [ inventory -> copy ] for each unit -> snapshot

A *unit* is ``{"name": ..., "projects": [...]}``: one project, or several where Harbor has more
projects than Airflow maps. Only references and counts go through XCom; inventories and results go
through the store, which all workers must reach.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING, Any

from airflow.sdk import (
    Asset,
    BaseOperator,
)
from airflow.sdk.exceptions import AirflowSkipException

from airflow_provider_harbor.core.copy.failures import PASSING_REASONS
from airflow_provider_harbor.core.exceptions import (
    BackupIncompleteError,
    BackupInterruptedError,
    HarborBackupError,
)
from airflow_provider_harbor.core.http.pace import DEFAULT_CEILING
from airflow_provider_harbor.core.human import human_count
from airflow_provider_harbor.core.jobs.backup import copy_project, finish_run, inventory_project
from airflow_provider_harbor.core.jobs.report import RunReport
from airflow_provider_harbor.core.jobs.results import ProjectResult, Results, keeping_first_error
from airflow_provider_harbor.core.store import layout
from airflow_provider_harbor.core.store.backup_store import BackupStore
from airflow_provider_harbor.core.store.inventories import InventoryRef
from airflow_provider_harbor.hooks.harbor import HarborHook
from airflow_provider_harbor.hooks.store import open_store
from airflow_provider_harbor.notifications.message import NOTICE_KEY, notice_of, run_failed
from airflow_provider_harbor.operators.figures import send_figures
from airflow_provider_harbor.operators.report_link import ReportLink
from airflow_provider_harbor.operators.telling import tell_report, tells
from airflow_provider_harbor.operators.units import (
    ERROR_KEY,
    Heartbeat,
    as_flag,
    as_number,
    as_patterns,
    combined,
    describe,
    do_each,
    open_place,
    raise_if_incomplete,
    run_name,
    set_pace,
    url_of,
)

if TYPE_CHECKING:
    from airflow.sdk import Context

_NO_INVENTORY = (
    "project {}: this run has no inventory of it, so nothing of it was copied. The log of its "
    "inventory task says why; clear that task when it is mended"
)


def _errors_of_gaps(
    store: BackupStore, run: str, refs: Iterable[dict[str, Any]]
) -> dict[str, Exception]:
    """Return an error for each project of which some repositories could not be listed."""
    errors: dict[str, Exception] = {}
    for project in (ref["project"] for ref in refs if ref["gaps"]):
        left = Results(store.results, run).find(project)
        gaps = left.gaps if left else ()
        kind = BackupIncompleteError
        if any(gap.reason in PASSING_REASONS for gap in gaps):
            kind = BackupInterruptedError
        errors[project] = kind(
            f"project {project}: {human_count(len(gaps), 'repository')} could not be listed whole; "
            "the others are copied",
            [f"repository {gap}" for gap in gaps],
        )
    return errors


class HarborInventoryOperator(BaseOperator):
    """List all that the projects of a unit hold, into the store, which ``check`` has begun.

    Returns a reference to each inventory. A project that cannot be listed does not keep the others
    of its unit from being listed; then the task fails at its end, with the references of the others
    in its XCom, so that they can still be copied.

    :param unit: What to list.
    :param harbor_conn_id: Connection of the Harbor to back up.
    :param store: Directory or URL of the store; by default ``[harbor] store``.
    """

    template_fields: Sequence[str] = ("unit", "harbor_conn_id", "store")
    ui_color = "#d6e9f8"

    def __init__(
        self,
        *,
        unit: dict[str, Any],
        harbor_conn_id: str = HarborHook.default_conn_name,
        store: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.unit = unit
        self.harbor_conn_id = harbor_conn_id
        self.store = store

    @tells
    def execute(self, context: Context) -> list[dict[str, Any]]:
        """List each project of the unit, and return references to the inventories."""
        hook = HarborHook(self.harbor_conn_id)
        store = open_store(self.store)
        store.open_for(hook.url)
        run, tell = run_name(context), Heartbeat(self.log)
        with closing(hook.get_conn()) as client:
            refs, errors = do_each(
                self.unit["projects"],
                lambda name: inventory_project(client, store, run, name, progress=tell).to_json(),
            )
        errors |= _errors_of_gaps(store, run, refs)
        if errors:
            context["ti"].xcom_push(key="return_value", value=refs)
            raise combined(errors, self.unit)
        return refs


class HarborCopyOperator(BaseOperator):
    """Copy all that the projects of a unit hold into the store, or to another registry.

    Returns the counts of each project. One artifact or project that fails does not stop the others;
    then the task fails at its end, and is tried again if that may help. What was copied stays
    copied, so another try costs little.

    In the DAG it runs whatever became of the inventory (``trigger_rule="all_done"``): what could be
    listed is copied, and a project that could not be listed fails here by its name.

    :param unit: What to copy.
    :param inventories: What ``HarborInventoryOperator`` returned for the unit.
    :param destination_conn_id: Connection of a Harbor or plain registry that takes the content;
        None to keep it in the store.
    :param harbor_conn_id: Connection of the Harbor to back up.
    :param store: Directory or URL of the store; by default ``[harbor] store``.
    :param workers: At most so many requests to one server at once. How many really are found out:
        more follow as long as that is faster, fewer at once where a server answers 429 or 503.
    :param limit_mb_per_second: Move at most so many millions of bytes a second; what is read at one
        end and written at the other counts once. None for no limit.
    :param limit_shares: Among how many tasks that run at once the limit is divided: one process
        knows nothing of the others. A share that no task uses is not given to the others.
    :param plan_only: Dry run: write the plan into the store, and copy nothing.
    """

    template_fields: Sequence[str] = (
        "unit",
        "inventories",
        "destination_conn_id",
        "harbor_conn_id",
        "store",
        "workers",
        "limit_mb_per_second",
        "limit_shares",
        "plan_only",
    )
    ui_color = "#d6e9f8"
    report_link = ReportLink()
    operator_extra_links = (report_link,)

    def __init__(
        self,
        *,
        unit: dict[str, Any],
        inventories: list[dict[str, Any]] | None,
        destination_conn_id: str | None = None,
        harbor_conn_id: str = HarborHook.default_conn_name,
        store: str | None = None,
        workers: int = DEFAULT_CEILING,
        limit_mb_per_second: float | None = None,
        limit_shares: int = 1,
        plan_only: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.unit = unit
        self.inventories = inventories
        self.destination_conn_id = destination_conn_id
        self.harbor_conn_id = harbor_conn_id
        self.store = store
        self.workers = workers
        self.limit_mb_per_second = limit_mb_per_second
        self.limit_shares = limit_shares
        self.plan_only = plan_only

    @tells
    def execute(self, context: Context) -> list[dict[str, Any]]:
        """Copy each project of the unit, and return how it ended."""
        self.report_link.leave(context)
        set_pace(self.workers, self.limit_mb_per_second, self.limit_shares)
        run = run_name(context)
        refs = {ref["project"]: InventoryRef.from_json(ref) for ref in self.inventories or ()}
        hook, store = HarborHook(self.harbor_conn_id), open_store(self.store)
        with ExitStack() as opened:
            try:
                place = opened.enter_context(open_place(self.destination_conn_id, store))
            except HarborBackupError as err:
                self._leave_results(store, run, refs.values(), err)
                raise
            client = opened.enter_context(closing(hook.get_conn()))
            source = opened.enter_context(closing(hook.get_source()))

            def copy(project: str) -> dict[str, Any]:
                if project not in refs:
                    raise BackupIncompleteError(_NO_INVENTORY.format(project), [])
                result = copy_project(
                    client,
                    source,
                    place,
                    store,
                    run,
                    refs[project],
                    workers=as_number(self.workers),
                    dry_run=as_flag(self.plan_only),
                    progress=Heartbeat(self.log, project),
                )
                self.log.info("%s", describe(result))
                raise_if_incomplete(result)
                return result.to_json(with_findings=False)

            results, errors = do_each(self.unit["projects"], copy)
        if errors:
            raise combined(errors, self.unit)
        return results

    def _leave_results(
        self,
        store: BackupStore,
        run: str,
        refs: Iterable[InventoryRef],
        err: HarborBackupError,
    ) -> None:
        """Let the report say why nothing was copied: the destination could not be reached.

        Where the store fails, too, the first error is still the one to be seen.
        """
        for ref in refs:
            left = Results(store.results, run).find(ref.project)
            result = ProjectResult(
                project=ref.project,
                run=run,
                inventory=ref,
                gaps=left.gaps if left and left.inventory == ref else (),
                error=str(err),
                dry_run=as_flag(self.plan_only),
                harbor_url=HarborHook(self.harbor_conn_id).url,
            )
            with keeping_first_error(ref.project):
                Results(store.results, run).keep(result)


class HarborSnapshotOperator(BaseOperator):
    """Conclude a run: write report and snapshot, and fail when anything is not protected.

    It reads from the store what became of each project, so it has to run whatever became of the
    tasks before it (``trigger_rule="all_done"``). Only when all is protected it ends green and its
    outlets get an asset event, with ``run``, ``complete`` and ``counts`` in the event's extra. A
    dry run ends it as skipped, with a report and without snapshot and event.

    :param units: What ``HarborListProjectsOperator`` returned.
    :param projects: What that was limited to: the snapshot says so.
    :param destination_conn_id: Connection of the registry that took the content; None where the
        store did.
    :param harbor_conn_id: Connection of the Harbor that was backed up.
    :param status: What ``HarborHealthCheckOperator`` returned, for the report.
    :param store: Directory or URL of the store; by default ``[harbor] store``.
    :param plan_only: Whether it was a dry run.
    """

    template_fields: Sequence[str] = (
        "units",
        "projects",
        "destination_conn_id",
        "harbor_conn_id",
        "status",
        "store",
        "plan_only",
    )
    ui_color = "#fbe7c6"
    report_link = ReportLink()
    operator_extra_links = (report_link,)

    def __init__(
        self,
        *,
        units: list[dict[str, Any]] | None,
        projects: Sequence[str] | None = None,
        destination_conn_id: str | None = None,
        harbor_conn_id: str = HarborHook.default_conn_name,
        status: dict[str, Any] | None = None,
        store: str | None = None,
        plan_only: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.units = units
        self.projects = projects
        self.destination_conn_id = destination_conn_id
        self.harbor_conn_id = harbor_conn_id
        self.status = status
        self.store = store
        self.plan_only = plan_only

    @tells
    def execute(self, context: Context) -> dict[str, Any]:
        """Write report and snapshot, and return a summary."""
        self.report_link.leave(context)
        error = "" if self.units is not None else self._reason(context)
        store, plan_only, run = open_store(self.store), as_flag(self.plan_only), run_name(context)
        if not error:
            _ = store.harbor_url  # where there is no store, no project is to blame
        report = finish_run(
            store,
            run,
            [project for unit in self.units or () for project in unit["projects"]],
            harbor_url=url_of(self.harbor_conn_id),
            harbor_version=(self.status or {}).get("harbor_version", ""),
            destination=url_of(self.destination_conn_id) if self.destination_conn_id else store.url,
            # Not `start_date`, which Airflow sets anew when a task of the run is cleared.
            started_at=context["dag_run"].run_after,
            limited_to=as_patterns(self.projects),
            dry_run=plan_only,
            error=error,
        )
        # Results of an earlier try may be whole although this one failed: that is no green end.
        failed_tasks = [] if report.error else self._failed_tasks(context)
        if report.unprotected:
            # Mapped ones are projects, of which the report says more.
            failed_tasks = [task for task in failed_tasks if task in self.upstream_task_ids]
        failures = [
            *report.failures(),
            *(f"task {t} failed, its log says why" for t in failed_tasks),
        ]
        tell_report(self.log, report.to_text(with_failures=False), has_failed=bool(failures))
        page = store.files.url_of(layout.report(report.run, "html"))
        self.log.info("The report is %s", page)
        # Before it may fail: whoever tells people of the run finds it there.
        context["ti"].xcom_push(key=NOTICE_KEY, value=notice_of(report, page, failed_tasks))
        if not plan_only:
            self._send_figures(context, store, report)
        if failures:
            ended = run_failed(failed_tasks) if report.complete else report.summary_line()
            raise BackupIncompleteError(ended, failures, report.unprotected_lines())
        if plan_only:
            raise AirflowSkipException(f"{report.summary_line()}. The plans are in {store.url}")
        summary: dict[str, Any] = {
            "run": report.run,
            "complete": report.complete,
            "summary": report.summary_line(),
            "store": store.url,
            "counts": report.counts.to_json(),
        }
        for outlet in self.outlets:
            if isinstance(outlet, Asset):
                context["outlet_events"][outlet].extra.update(summary)
        return summary

    def _send_figures(self, context: Context, store: BackupStore, report: RunReport) -> None:
        run = context["dag_run"]
        # Who runs it by hand for some projects has no complete backup in mind.
        is_planned = getattr(run, "run_type", "") == "scheduled"
        send_figures(store, report, run.dag_id, as_patterns(self.projects) if is_planned else ())

    def _reason(self, context: Context) -> str:
        """Return why there is no list of projects, as the task that failed left it."""
        reasons = [
            reason
            for task_id in sorted(self.upstream_task_ids)
            if (reason := context["ti"].xcom_pull(task_ids=task_id, key=ERROR_KEY))
        ]
        return "; ".join(reasons) or (
            "there is no list of projects. The log of the failed task before this one says why; "
            "mend that, then clear that task"
        )

    def _failed_tasks(self, context: Context) -> list[str]:
        """Return the ids of the tasks before this one that failed."""
        if not (before := sorted(self.upstream_task_ids)):
            return []
        run = context["run_id"]
        states = context["ti"].get_task_states(
            dag_id=context["dag_run"].dag_id, task_ids=before, run_ids=[run]
        )
        ended = states.get(run, {})
        return sorted(task for task, s in ended.items() if s in ("failed", "upstream_failed"))
