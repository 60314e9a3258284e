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
was done, and what cannot be, and why. The login must be an administrator's.

**To look before it copies**: choose **Dry run**. The log of each `restore` says what would be sent;
`report` ends as skipped.

**To spare the line**: **Limit in MB/s** holds for all projects together. Each of the
`PROJECTS_AT_ONCE` restores that run at once gets its share of it, also where fewer are left.

**To run one project again**: open its red `restore`, choose **Clear**, leave **Downstream** on, and
confirm. It is restored from the same snapshot, and `report` runs again.
"""

from __future__ import annotations

from datetime import timedelta

import pendulum
from airflow.providers.standard.operators.python import ShortCircuitOperator
from airflow.sdk import DAG, Param, conf

from airflow_provider_harbor.operators.harbor import RETRY_POLICY
from airflow_provider_harbor.operators.restore import (
    HarborChooseSnapshotOperator,
    HarborRestoreOperator,
    HarborRestoreReportOperator,
)
from airflow_provider_harbor.operators.settings import HarborSettingsImportOperator

TARGET = "harbor_default"  # the connection of the Harbor to restore to
PROJECTS_AT_ONCE = 4
# A connection whose password opens sealed secrets among the settings; and a Variable with those
# that no backup has (see `harbor-backup settings import --help`).
PASSPHRASE_CONNECTION = None
SECRETS_VARIABLE = None

_NAMES = {"type": ["null", "array"], "items": {"type": "string"}}

with DAG(
    "harbor_restore",
    description="Bring back projects, repositories or tags from a backup",
    doc_md=__doc__,
    schedule=None,
    start_date=pendulum.datetime(2025, 1, 1, tz="UTC"),
    tags=["harbor", "restore"],
    params={
        "snapshot": Param(
            "latest",
            type="string",
            minLength=1,
            title="Snapshot",
            description_md="`latest` (the newest complete one), a date such as `2026-11-25` (the "
            "newest complete one of that day, UTC), or the name of a run.",
        ),
        "projects": Param(
            None,
            **_NAMES,
            title="Projects",
            description_md="Names or globs such as `team-*`, one a line; empty for all.",
        ),
        "repositories": Param(
            None,
            **_NAMES,
            title="Repositories",
            description_md="Full names such as `library/nginx`, or globs, one a line; empty for "
            "all.",
        ),
        "tags": Param(
            None,
            **_NAMES,
            title="Tags",
            description_md="Only what these tags name, with all that belongs to it (children, "
            "signatures); names or globs, one a line; empty for everything.",
        ),
        "rename": Param(
            None,
            **_NAMES,
            title="Rename",
            description_md="New names of projects, one `old=new` a line; empty to keep them.",
        ),
        "target": Param(
            TARGET,
            type="string",
            minLength=1,
            title="Target connection",
            description_md="Id of the connection (type Harbor) of the Harbor or registry to "
            "restore to.",
        ),
        "mirror": Param(
            None,
            type=["null", "string"],
            title="Mirror connection",
            description_md="Id of the connection of a registry to take the content from; empty to "
            "take it from the store.",
        ),
        "overwrite": Param(
            False,
            type="boolean",
            title="Overwrite",
            description_md="Also move tags that name something else at the target. Else they are "
            "left alone, and shown.",
        ),
        "settings": Param(
            False,
            type="boolean",
            title="Settings",
            description_md="Also bring back Harbor's settings of that night: of the system, unless "
            "Projects names some, and of the projects.",
        ),
        "dry_run": Param(
            False,
            type="boolean",
            title="Dry run",
            description_md="Find out what would be sent, change nothing.",
        ),
        "workers": Param(
            64,
            type="integer",
            minimum=1,
            maximum=256,
            title="Workers",
            description_md="At most so many requests to one server at once, in each task. How many "
            "really are found out: more follow as long as that is faster, fewer at once where the "
            "server is overloaded.",
        ),
        "limit_mb": Param(
            None,
            type=["null", "number"],
            exclusiveMinimum=0,
            title="Limit in MB/s",
            description_md="Move at most so many millions of bytes a second, all tasks together; "
            "empty for no limit. What is read at one end and written at the other counts once.",
        ),
        "store": Param(
            conf.get("harbor", "store"),
            type="string",
            minLength=1,
            title="Store",
            description_md="Directory or URL of the backups.",
        ),
    },
    # Lists of the form stay lists, and flags stay flags.
    render_template_as_native_obj=True,
    default_args={
        "owner": "registry",
        "retries": 2,
        "retry_delay": timedelta(minutes=5),
        "retry_policy": RETRY_POLICY,
        "harbor_conn_id": "{{ params.target }}",
        "store": "{{ params.store }}",
        "mirror_conn_id": "{{ params.mirror }}",
        "repositories": "{{ params.repositories }}",
        "tags": "{{ params.tags }}",
        "renames": "{{ params.rename }}",
        "overwrite": "{{ params.overwrite }}",
    },
) as dag:
    choose = HarborChooseSnapshotOperator(
        task_id="choose", snapshot=dag.param("snapshot"), projects=dag.param("projects")
    )

    settings = {
        "units": choose.output,
        "projects": dag.param("projects"),
        "enabled": dag.param("settings"),
        "passphrase_conn_id": PASSPHRASE_CONNECTION,
        "secrets_variable": SECRETS_VARIABLE,
        "plan_only": dag.param("dry_run"),
    }
    before = HarborSettingsImportOperator(task_id="settings_before", stage="before", **settings)
    after = HarborSettingsImportOperator(
        task_id="settings_after", stage="after", trigger_rule="none_failed", **settings
    )

    restore = HarborRestoreOperator.partial(
        task_id="restore",
        # Not dag.param(...): mapped tasks would be new to Airflow each time it reads this file.
        workers="{{ params.workers }}",
        limit_mb_per_second="{{ params.limit_mb }}",
        limit_shares=PROJECTS_AT_ONCE,
        plan_only="{{ params.dry_run }}",
        map_index_template="{{ task.unit['name'] }}",
        max_active_tis_per_dagrun=PROJECTS_AT_ONCE,
        # Settings that are not wanted are skipped.
        trigger_rule="none_failed",
    ).expand(unit=choose.output)

    # Runs whatever happened before it, and fails when anything is not restored.
    report = HarborRestoreReportOperator(
        task_id="report",
        units=choose.output,
        plan_only=dag.param("dry_run"),
        trigger_rule="all_done",
    )

    # Else it would look as if it had failed, where a restore did and nobody asked for settings.
    wanted = ShortCircuitOperator(
        task_id="settings_wanted",
        python_callable=lambda wanted: wanted,
        op_args=[dag.param("settings")],
    )

    before >> restore >> [report, after]
    wanted >> after
