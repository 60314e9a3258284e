"""Back up a Harbor, every night.

1. **check**: is Harbor there and healthy, is the login accepted, can the store be written?
2. **projects**: list the projects; the login must see as many as Harbor has.
   **settings**, beside it: keep Harbor's settings, such as members, robots, rules and policies.
   What the login may not read is named in its log and the report, and fails nothing.
3. **backup**, once for each project and named by it:
   **inventory** lists every digest, **copy** copies into the store what is new.
4. **snapshot**: write the report. It is green only when everything is protected; its log, and
   `reports/` in the store, say what is not, and why.
5. **retention**, only after a green snapshot: **forget** the nights that no rule keeps (its log has
   a table), and **prune**: delete what no night names any more, two days after that was found.

**To run one project again**: open its red `backup.inventory` (or, where that one is green, its red
`backup.copy`), choose **Clear**, leave **Downstream** on, and confirm. The project's tasks and
`snapshot` run again, with `retention` behind it, and nothing else.

**To get something back**: trigger `harbor_restore`.

**To be told**: give notifiers, such as `SmtpNotifier(to="registry@example.com")`. There is one
message a run, when it has failed, and when it is green after that.

**To spare the line**: **Limit in MB/s** holds for all projects together. Each of the copies that
may run at once (`projects_at_once`) gets its share of it, also where fewer are left.

**To look before it copies**: trigger it with **Dry run**. Inventories and plans are written into
the store, nothing is copied, and `settings`, `snapshot` and `retention` end as skipped.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any

from airflow.sdk import DAG, Asset, Param, task_group
from airflow.sdk.configuration import conf

from airflow_provider_harbor.core.http.pace import DEFAULT_CEILING
from airflow_provider_harbor.dags import arguments, forms
from airflow_provider_harbor.notifications.deadline import backup_deadline
from airflow_provider_harbor.notifications.harbor import HarborNotifier
from airflow_provider_harbor.operators.backup import (
    HarborCopyOperator,
    HarborInventoryOperator,
    HarborSnapshotOperator,
)
from airflow_provider_harbor.operators.harbor import (
    HarborHealthCheckOperator,
    HarborListProjectsOperator,
)
from airflow_provider_harbor.operators.retention import HarborForgetOperator, HarborPruneOperator
from airflow_provider_harbor.operators.settings import HarborSettingsExportOperator

# Which complete nights stay: the newest N, and the newest of each of the last N days, weeks, months
# and years that have any.
RETENTION: Mapping[str, int] = MappingProxyType(
    {"keep_last": 7, "keep_daily": 14, "keep_weekly": 8, "keep_monthly": 12, "keep_yearly": 3}
)


def harbor_backup(
    dag_id: str = "harbor_backup",
    *,
    schedule: Any = "30 3 * * *",
    time_zone: str = "UTC",
    source: str = "harbor_default",
    store: str | os.PathLike[str] | None = None,
    mirror: str | None = None,
    projects: Sequence[str] | None = None,
    exclude: Sequence[str] | None = None,
    projects_at_once: int = 4,
    workers: int = DEFAULT_CEILING,
    limit_mb: float | None = None,
    retention: Mapping[str, int] | None = RETENTION,
    retention_connection: str | None = None,
    configurations_connection: str | None = None,
    passphrase_connection: str | None = None,
    notifiers: Sequence[Any] = (),
    tell_always: bool = False,
    deadline_hours: float | None = None,
    default_args: Mapping[str, Any] | None = None,
    **dag_options: Any,
) -> DAG:
    """Return the DAG that backs up one Harbor.

    What is in its form can be changed for a run: source, store, mirror, projects, exclude, workers,
    limit. A complete run updates the asset that is called as the DAG.

    :param dag_id: Name of the DAG, another one for each Harbor.
    :param schedule: When it runs: a cron expression, or whatever Airflow takes; None for by hand.
    :param time_zone: Time zone of the schedule, and of the days that ``retention`` counts.
    :param source: Connection (type Harbor) of the Harbor to back up.
    :param store: Directory or URL of its backups; by default ``[harbor] store``. Each Harbor has
        one of its own.
    :param mirror: Connection of a Harbor or plain registry that takes the content; None to keep it
        in the store, which has every night.
    :param projects: Names or globs such as ``team-*``; None for all projects.
    :param exclude: Names or globs to leave out, whatever ``projects`` says.
    :param projects_at_once: So many projects are listed, and so many copied, at the same time.
    :param workers: At most so many requests to one server at once, in each task.
    :param limit_mb: Move at most so many millions of bytes a second, all tasks together.
    :param retention: Which complete nights stay, as ``keep_last``, ``keep_daily``, ``keep_weekly``,
        ``keep_monthly`` and ``keep_yearly``. None keeps all nights, and never deletes.
    :param retention_connection: Connection (type Amazon Web Services) that may delete from a store
        on S3, where the one in the store's URL may not.
    :param configurations_connection: Connection of an administrator: no robot may read Harbor's
        configurations.
    :param passphrase_connection: Connection whose password seals the secrets among the settings;
        without it only that they are there is kept.
    :param notifiers: Airflow's notifiers (or other callbacks), called once when a run has failed,
        and when it is green after that. Those for mail and webhooks need no text, others find it as
        ``{{ harbor.text }}``, see :mod:`airflow_provider_harbor.notifications`.
    :param tell_always: Whether they are called for each green run, too.
    :param deadline_hours: They are also called when the newest complete backup is older than that
        (functions are not).
    :param default_args: Options for all tasks, such as ``owner``, ``pool`` or ``queue``.
    :param dag_options: Further arguments of Airflow's ``DAG``, such as ``tags``.
    """
    dag_id = arguments.new_dag_id(dag_id)
    source = arguments.connection("source", source)
    store = arguments.store(store)
    projects = arguments.names("projects", projects)
    exclude = arguments.names("exclude", exclude)
    projects_at_once = arguments.whole("projects_at_once", projects_at_once, 1)
    workers, limit_mb = arguments.workers(workers), arguments.limit_mb(limit_mb)
    retention = arguments.retention(retention)
    notifiers = arguments.notifiers(notifiers)
    deadline_hours = arguments.deadline(deadline_hours, notifiers)
    options: dict[str, Any] = {
        "description": "Keep all artifacts of a Harbor, every night, and prove that all are there",
        "doc_md": __doc__,
        "tags": ["harbor", "backup"],
        "catchup": False,
        "max_active_runs": 1,
        **_telling(notifiers, tell_always, deadline_hours, store, projects),
        **dag_options,
    }
    with DAG(
        dag_id,
        schedule=schedule,
        start_date=forms.first_day(time_zone),
        params=_form(source, store, mirror, projects, exclude, workers, limit_mb),
        default_args=forms.task_defaults(default_args, harbor_conn_id="{{ params.source }}"),
        **options,
    ) as dag:
        snapshot = _nightly_run(
            dag, projects_at_once, configurations_connection, passphrase_connection
        )
        if retention:
            snapshot >> _forgetting(dag, retention, time_zone, retention_connection)
    return dag


def _telling(
    notifiers: Sequence[Any],
    tell_always: bool,
    deadline_hours: float | None,
    store: str | None,
    projects: Sequence[str] | None,
) -> dict[str, Any]:
    """Return what of a DAG tells people of it."""
    if not notifiers:
        return {}
    options: dict[str, Any] = {
        "on_failure_callback": HarborNotifier(notifiers),
        "on_success_callback": HarborNotifier(notifiers, has_succeeded=True, always=tell_always),
    }
    if deadline_hours:
        options["deadline"] = backup_deadline(
            deadline_hours,
            notifiers,
            store=store or conf.get_mandatory_value("harbor", "store"),
            projects=projects or (),
        )
    return options


def _form(
    source: str,
    store: str | None,
    mirror: str | None,
    projects: Sequence[str] | None,
    exclude: Sequence[str] | None,
    workers: int,
    limit_mb: float | None,
) -> dict[str, Param]:
    return {
        "source": forms.required(
            source,
            "Source connection",
            "Id of the connection (type Harbor) of the Harbor to back up.",
        ),
        "projects": forms.names(
            projects, "Projects", "Names or globs such as `team-*`, one a line; empty for all."
        ),
        "exclude": forms.names(
            exclude,
            "Exclude",
            "Names or globs such as `test-*` to leave out, whatever Projects says.",
        ),
        "mirror": forms.optional(
            mirror,
            "Mirror connection",
            "Id of the connection (type Harbor) of a Harbor or plain registry that takes the "
            "content; empty to keep it in the store, which has every night.",
        ),
        "dry_run": forms.switch("Dry run", "Write inventories and plans, copy nothing."),
        "workers": forms.workers(workers),
        "limit_mb": forms.limit(limit_mb),
        "store": forms.store(
            store,
            "Directory or URL of the backups; all workers need it. Each Harbor has one of its own.",
        ),
    }


def _nightly_run(
    dag: DAG,
    projects_at_once: int,
    configurations_connection: str | None,
    passphrase_connection: str | None,
) -> HarborSnapshotOperator:
    """Make all tasks up to the snapshot, and return that."""
    field = partial(forms.field_of, dag)
    mirror, dry_run, store = map(field, ("mirror", "dry_run", "store"))
    chosen: dict[str, Any] = {name: field(name) for name in ("projects", "exclude")}

    check: Any = HarborHealthCheckOperator(task_id="check", store=store, destination_conn_id=mirror)
    projects: Any = HarborListProjectsOperator(task_id="projects", **chosen)
    settings = HarborSettingsExportOperator(
        task_id="settings",
        configurations_conn_id=configurations_connection,
        passphrase_conn_id=passphrase_connection,
        store=store,
        plan_only=dry_run,
        **chosen,
    )

    @task_group(default_args={"map_index_template": "{{ task.unit['name'] }}"})
    def backup(unit: Any) -> None:
        inventory: Any = HarborInventoryOperator(
            task_id="inventory",
            unit=unit,
            store=store,
            max_active_tis_per_dagrun=projects_at_once,
        )
        # Runs also where the inventory failed: of several projects the others are copied, and the
        # one that failed is shown by its name.
        HarborCopyOperator(
            task_id="copy",
            unit=unit,
            inventories=inventory.output,
            destination_conn_id=mirror,
            store=store,
            workers=field("workers"),
            limit_mb_per_second=field("limit_mb"),
            limit_shares=projects_at_once,
            plan_only=dry_run,
            trigger_rule="all_done",
            max_active_tis_per_dagrun=projects_at_once,
        )

    # Runs whatever happened before it, and fails when anything is not protected.
    snapshot = HarborSnapshotOperator(
        task_id="snapshot",
        units=projects.output,
        projects=field("projects"),
        status=check.output,
        destination_conn_id=mirror,
        store=store,
        plan_only=dry_run,
        trigger_rule="all_done",
        outlets=[Asset(dag.dag_id)],
    )

    check >> [projects, settings]
    settings >> snapshot
    backup.expand(unit=projects.output) >> snapshot
    return snapshot


def _forgetting(
    dag: DAG, policy: Mapping[str, int], time_zone: str, delete_connection: str | None
) -> Any:
    """Make the tasks that follow a green snapshot, and return their group."""
    options: dict[str, Any] = {
        "store": forms.field_of(dag, "store"),
        "delete_conn_id": delete_connection,
    }

    @task_group
    def retention() -> None:
        forget = HarborForgetOperator(task_id="forget", time_zone=time_zone, **policy, **options)
        forget >> HarborPruneOperator(task_id="prune", **options)

    return retention()
