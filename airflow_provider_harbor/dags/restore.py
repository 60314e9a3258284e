"""Bring back what a backup holds.

Trigger it, and fill in the form: from which night, which projects, repositories or tags, and to
which Harbor. Only what is missing there is sent, and nothing is deleted.

1. **choose**: find the snapshot, and the projects that are meant.
2. **restore**, once for each project and named by it.
3. **report**: green only when everything that was asked for is there; its log, and `reports/` in
   the store, say what is not, and why.

**With Settings**, what the artifacts belong to is brought back, too: **settings_before** makes
users, projects, members, robots and labels; after `restore`, **settings_after** makes what would
act on it: scanners, retention, immutability, webhooks, replication, schedules. Their logs say what
was done, and what cannot be, and why. What cannot be, such as users without a password, stops
nothing else, and makes `settings_after` red at the end. The login must be an administrator's.

**To look before it copies**: choose **Dry run**. The log of each `restore` says what would be sent;
`report` ends as skipped.

**To spare the line**: **Limit in MB/s** holds for all projects together. Each of the restores that
may run at once (`projects_at_once`) gets its share of it, also where fewer are left.

**To run one project again**: open its red `restore`, choose **Clear**, leave **Downstream** on, and
confirm. It is restored from the same snapshot, and `report` runs again.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from airflow.providers.standard.operators.python import ShortCircuitOperator
from airflow.sdk import DAG, Param

from airflow_provider_harbor.core.http.pace import DEFAULT_CEILING
from airflow_provider_harbor.dags import arguments, forms
from airflow_provider_harbor.operators.restore import (
    HarborChooseSnapshotOperator,
    HarborRestoreOperator,
    HarborRestoreReportOperator,
)
from airflow_provider_harbor.operators.settings import HarborSettingsImportOperator


def harbor_restore(
    dag_id: str = "harbor_restore",
    *,
    target: str = "harbor_default",
    store: str | os.PathLike[str] | None = None,
    mirror: str | None = None,
    projects_at_once: int = 4,
    workers: int = DEFAULT_CEILING,
    limit_mb: float | None = None,
    passphrase_connection: str | None = None,
    secrets_variable: str | None = None,
    notifiers: Sequence[Any] = (),
    default_args: Mapping[str, Any] | None = None,
    **dag_options: Any,
) -> DAG:
    """Return the DAG that brings back what a store holds; it runs by hand, with a form.

    :param dag_id: Name of the DAG, another one for each store.
    :param target: Connection of the Harbor or registry to restore to; the form can name another.
    :param store: Directory or URL of the backups; by default ``[harbor] store``.
    :param mirror: Connection of a registry to take the content from; None to take it from the
        store.
    :param projects_at_once: How many projects are restored at the same time.
    :param workers: At most so many requests to one server at once, in each task.
    :param limit_mb: Move at most so many millions of bytes a second, all tasks together.
    :param passphrase_connection: Connection whose password opens sealed secrets among the settings.
    :param secrets_variable: Variable of Airflow with those secrets that no backup has, see
        ``harbor-backup settings import --help``.
    :param notifiers: Airflow's notifiers (or other callbacks), called once when a run has failed.
    :param default_args: Options for all tasks, such as ``owner``, ``pool`` or ``queue``.
    :param dag_options: Further arguments of Airflow's ``DAG``, such as ``tags``.
    """
    dag_id = arguments.new_dag_id(dag_id)
    target = arguments.connection("target", target)
    store = arguments.store(store)
    projects_at_once = arguments.whole("projects_at_once", projects_at_once, 1)
    workers, limit_mb = arguments.workers(workers), arguments.limit_mb(limit_mb)
    notifiers = arguments.notifiers(notifiers)
    options: dict[str, Any] = {
        "description": "Bring back projects, repositories or tags from a backup",
        "doc_md": __doc__,
        "tags": ["harbor", "restore"],
        "on_failure_callback": list(notifiers) or None,
        **dag_options,
    }
    with DAG(
        dag_id,
        schedule=None,
        start_date=forms.first_day("UTC"),
        params=_form(target, store, mirror, workers, limit_mb),
        # Lists of the form stay lists, and flags stay flags.
        render_template_as_native_obj=True,
        default_args=forms.task_defaults(
            default_args,
            harbor_conn_id="{{ params.target }}",
            store="{{ params.store }}",
            mirror_conn_id="{{ params.mirror }}",
            repositories="{{ params.repositories }}",
            tags="{{ params.tags }}",
            renames="{{ params.rename }}",
            overwrite="{{ params.overwrite }}",
        ),
        **options,
    ) as dag:
        _way_back(dag, projects_at_once, passphrase_connection, secrets_variable)
    return dag


def _form(
    target: str, store: str | None, mirror: str | None, workers: int, limit_mb: float | None
) -> dict[str, Param]:
    return {
        "snapshot": forms.required(
            "latest",
            "Snapshot",
            "`latest` (the newest complete one), a date such as `2026-11-25` (the newest complete "
            "one of that day, UTC), or the name of a run.",
        ),
        "projects": forms.names(
            None, "Projects", "Names or globs such as `team-*`, one a line; empty for all."
        ),
        "repositories": forms.names(
            None,
            "Repositories",
            "Full names such as `library/nginx`, or globs, one a line; empty for all.",
        ),
        "tags": forms.names(
            None,
            "Tags",
            "Only what these tags name, with all that belongs to it (children, signatures); names "
            "or globs, one a line; empty for everything.",
        ),
        "rename": forms.names(
            None, "Rename", "New names of projects, one `old=new` a line; empty to keep them."
        ),
        "target": forms.required(
            target,
            "Target connection",
            "Id of the connection (type Harbor) of the Harbor or registry to restore to.",
        ),
        "mirror": forms.optional(
            mirror,
            "Mirror connection",
            "Id of the connection of a registry to take the content from; empty to take it from "
            "the store.",
        ),
        "overwrite": forms.switch(
            "Overwrite",
            "Also move tags that name something else at the target. Else they are left alone, and "
            "shown.",
        ),
        "settings": forms.switch(
            "Settings",
            "Also bring back Harbor's settings of that night: of the system, unless Projects names "
            "some, and of the projects.",
        ),
        "dry_run": forms.switch("Dry run", "Find out what would be sent, change nothing."),
        "workers": forms.workers(workers),
        "limit_mb": forms.limit(limit_mb),
        "store": forms.store(store),
    }


def _way_back(
    dag: DAG,
    projects_at_once: int,
    passphrase_connection: str | None,
    secrets_variable: str | None,
) -> None:
    """Make the tasks."""
    field = partial(forms.field_of, dag)
    choose: Any = HarborChooseSnapshotOperator(
        task_id="choose", snapshot=field("snapshot"), projects=field("projects")
    )

    settings: dict[str, Any] = {
        "units": choose.output,
        "projects": field("projects"),
        "enabled": field("settings"),
        "passphrase_conn_id": passphrase_connection,
        "secrets_variable": secrets_variable,
        "plan_only": field("dry_run"),
    }
    before: Any = HarborSettingsImportOperator(
        task_id="settings_before", stage="before", fails_later=True, **settings
    )
    after = HarborSettingsImportOperator(
        task_id="settings_after",
        stage="after",
        earlier=before.output,
        trigger_rule="none_failed",
        **settings,
    )

    restore = HarborRestoreOperator.partial(
        task_id="restore",
        # Not a DagParam: mapped tasks would be new to Airflow each time it reads the file.
        workers="{{ params.workers }}",
        limit_mb_per_second="{{ params.limit_mb }}",
        limit_shares=projects_at_once,
        plan_only="{{ params.dry_run }}",
        map_index_template="{{ task.unit['name'] }}",
        max_active_tis_per_dagrun=projects_at_once,
        # Settings that are not wanted are skipped.
        trigger_rule="none_failed",
    ).expand(unit=choose.output)

    # Runs whatever happened before it, and fails when anything is not restored.
    report = HarborRestoreReportOperator(
        task_id="report",
        units=choose.output,
        plan_only=field("dry_run"),
        trigger_rule="all_done",
    )

    # Else it would look as if it had failed, where a restore did and nobody asked for settings.
    wanted = ShortCircuitOperator(
        task_id="settings_wanted",
        python_callable=lambda wanted: wanted,
        op_args=[field("settings")],
    )

    before >> restore >> [report, after]
    wanted >> after
