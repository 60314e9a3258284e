"""The steps of a nightly backup as operators.

They are thin: each opens what its connections name and calls :mod:`airflow_provider_harbor.core`.
Put together they are the DAG ``harbor_backup``::

    check -> projects -> [ inventory -> copy ] for each unit -> snapshot

A *unit* is ``{"name": ..., "projects": [...]}``: one project, or several where Harbor has more
projects than Airflow maps. Only references and counts go through XCom; inventories and results go
through the store, which all workers must reach.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from typing import TYPE_CHECKING, Any

from airflow.sdk import (
    Asset,
    BaseOperator,
    ExceptionRetryPolicy,
    RetryAction,
    RetryRule,
)
from airflow.sdk.configuration import conf
from airflow.sdk.exceptions import AirflowSkipException

from airflow_provider_harbor.core.copy.failures import PASSING_REASONS
from airflow_provider_harbor.core.copy.places import Place
from airflow_provider_harbor.core.copy.store_place import StorePlace
from airflow_provider_harbor.core.exceptions import (
    PASSING_ERRORS,
    BackupIncompleteError,
    BackupInterruptedError,
    HarborBackupError,
    HarborConfigurationError,
    HarborTlsError,
)
from airflow_provider_harbor.core.human import human_count
from airflow_provider_harbor.core.jobs.backup import copy_project, finish_run, inventory_project
from airflow_provider_harbor.core.jobs.results import ProjectResult, Results
from airflow_provider_harbor.core.store import layout
from airflow_provider_harbor.core.store.backup_store import BackupStore
from airflow_provider_harbor.core.store.inventories import InventoryRef
from airflow_provider_harbor.hooks.harbor import HarborHook
from airflow_provider_harbor.hooks.store import open_store
from airflow_provider_harbor.operators.units import (
    ERROR_KEY,
    Heartbeat,
    as_flag,
    as_patterns,
    combined,
    describe,
    do_each,
    leaving_the_reason,
    make_units,
    raise_if_incomplete,
    run_name,
)

if TYPE_CHECKING:
    from airflow.sdk import Context

# What trying again can mend is tried again, everything else fails at once. For `default_args`.
RETRY_POLICY = ExceptionRetryPolicy(
    rules=[
        RetryRule(HarborTlsError, RetryAction.FAIL, reason="trying again does not help"),
        RetryRule([*PASSING_ERRORS], RetryAction.RETRY, reason="may pass"),
        RetryRule(HarborBackupError, RetryAction.FAIL, reason="trying again does not help"),
    ]
)

_NO_INVENTORY = (
    "project {}: this run has no inventory of it, so nothing of it was copied. The log of its "
    "inventory task says why; clear that task when it is mended"
)


@contextmanager
def _open_place(conn_id: str | None, store: BackupStore) -> Iterator[Place]:
    """Open where the content goes: a registry, or without a connection the store."""
    if not conn_id:
        yield StorePlace(store)
        return
    with closing(HarborHook(conn_id).get_place()) as place:
        yield place


def _url_of(conn_id: str) -> str:
    """Return where a connection leads, for a report that is written whatever is wrong with it."""
    try:
        return HarborHook(conn_id).url
    except HarborConfigurationError:
        return f"connection {conn_id!r}"


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


class HarborHealthCheckOperator(BaseOperator):
    """Make sure that Harbor is there, is healthy and accepts the login, and where it is copied to.

    Returns what was found, without credentials: version, state of each component, counts.

    :param harbor_conn_id: Connection of the Harbor to back up.
    :param store: Directory or URL of the store; by default ``[harbor] store``. It has to be this
        Harbor's, and it has to be possible to write there.
    :param destination_conn_id: Connection of a registry that takes the content; None where the
        store does.
    :param require_healthy: Whether an unhealthy component of Harbor is an error.
    """

    template_fields: Sequence[str] = (
        "harbor_conn_id",
        "store",
        "destination_conn_id",
        "require_healthy",
    )
    ui_color = "#d9f0e3"

    def __init__(
        self,
        *,
        harbor_conn_id: str = HarborHook.default_conn_name,
        store: str | None = None,
        destination_conn_id: str | None = None,
        require_healthy: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.harbor_conn_id = harbor_conn_id
        self.store = store
        self.destination_conn_id = destination_conn_id
        self.require_healthy = require_healthy

    def execute(self, context: Context) -> dict[str, Any]:
        """Check, and return what was found."""
        with leaving_the_reason(context):
            return self._check()

    def _check(self) -> dict[str, Any]:
        hook = HarborHook(self.harbor_conn_id)
        with closing(hook.get_conn()) as client:
            status = hook.check(require_healthy=as_flag(self.require_healthy))
            self.log.info("Harbor %s at %s is there", status.harbor_version, status.url)
            store = open_store(self.store)
            store.open_for(client.url)
            store.check()
            self.log.info("The store %s can be written", store.url)
            with _open_place(self.destination_conn_id, store) as place:
                place.require_other(client)
                self.log.info("The content goes to the %s %s", place.kind, place.url)
                return {
                    **status.to_json(),
                    "store": store.url,
                    "destination": {"url": place.url, "kind": place.kind},
                }


class HarborListProjectsOperator(BaseOperator):
    """List the projects to back up, as units to map over, and prove that none is overlooked.

    Returns one unit for each project; units of several projects where there are more than
    ``max_units``.

    :param harbor_conn_id: Connection of the Harbor to back up.
    :param projects: Names or globs such as ``team-*``; empty for all projects.
    :param exclude: Names or globs that are left out; they win over ``projects``.
    :param max_units: How many units at most; by default Airflow's ``[core] max_map_length``.
    """

    template_fields: Sequence[str] = ("harbor_conn_id", "projects", "exclude", "max_units")
    ui_color = "#d9f0e3"

    def __init__(
        self,
        *,
        harbor_conn_id: str = HarborHook.default_conn_name,
        projects: Sequence[str] | None = None,
        exclude: Sequence[str] | None = None,
        max_units: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.harbor_conn_id = harbor_conn_id
        self.projects = projects
        self.exclude = exclude
        self.max_units = max_units

    def execute(self, context: Context) -> list[dict[str, Any]]:
        """List the projects, and return them in units."""
        hook = HarborHook(self.harbor_conn_id)
        with leaving_the_reason(context), closing(hook.get_conn()):
            found = hook.list_projects(as_patterns(self.projects), as_patterns(self.exclude))
        max_units = int(self.max_units or 0) or conf.getint("core", "max_map_length")
        units = make_units([project.name for project in found], max_units)
        self.log.info("%d projects to back up, in %d units", len(found), len(units))
        return units


class HarborInventoryOperator(BaseOperator):
    """List all that the projects of a unit hold, into the store.

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
    :param workers: How many artifacts of a project are copied at once.
    :param plan_only: Dry run: write the plan into the store, and copy nothing.
    """

    template_fields: Sequence[str] = (
        "unit",
        "inventories",
        "destination_conn_id",
        "harbor_conn_id",
        "store",
        "workers",
        "plan_only",
    )
    ui_color = "#d6e9f8"

    def __init__(
        self,
        *,
        unit: dict[str, Any],
        inventories: list[dict[str, Any]] | None,
        destination_conn_id: str | None = None,
        harbor_conn_id: str = HarborHook.default_conn_name,
        store: str | None = None,
        workers: int = 8,
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
        self.plan_only = plan_only

    def execute(self, context: Context) -> list[dict[str, Any]]:
        """Copy each project of the unit, and return how it ended."""
        run = run_name(context)
        refs = {ref["project"]: InventoryRef.from_json(ref) for ref in self.inventories or ()}
        hook, store = HarborHook(self.harbor_conn_id), open_store(self.store)
        with ExitStack() as opened:
            try:
                place = opened.enter_context(_open_place(self.destination_conn_id, store))
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
                    workers=int(self.workers),
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
        """Let the report say why nothing was copied: the destination could not be reached."""
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

    def execute(self, context: Context) -> dict[str, Any]:
        """Write report and snapshot, and return a summary."""
        error = "" if self.units is not None else self._reason(context)
        store, plan_only, run = open_store(self.store), as_flag(self.plan_only), run_name(context)
        report = finish_run(
            store,
            run,
            [project for unit in self.units or () for project in unit["projects"]],
            harbor_url=_url_of(self.harbor_conn_id),
            harbor_version=(self.status or {}).get("harbor_version", ""),
            destination=_url_of(self.destination_conn_id)
            if self.destination_conn_id
            else store.url,
            # Not `start_date`, which Airflow sets anew when a task of the run is cleared.
            started_at=context["dag_run"].run_after,
            limited_to=as_patterns(self.projects),
            dry_run=plan_only,
            error=error,
        )
        self.log.info("%s", report.to_text(with_failures=False))
        self.log.info("The report is %s", store.files.url_of(layout.report(run, "html")))
        # Results of an earlier try may be whole although this one failed: that is no green end.
        if failures := report.failures() or self._failed_tasks(context):
            raise BackupIncompleteError(report.summary_line(), failures)
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
        if not (before := sorted(self.upstream_task_ids)):
            return []
        run = context["run_id"]
        states = context["ti"].get_task_states(
            dag_id=context["dag_run"].dag_id, task_ids=before, run_ids=[run]
        )
        failed = [t for t, s in states.get(run, {}).items() if s in ("failed", "upstream_failed")]
        return [f"task {task} failed, its log says why" for task in sorted(failed)]
