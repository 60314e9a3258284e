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

**To spare the line**: **Limit in MB/s** holds for all projects together. Each of the
`PROJECTS_AT_ONCE` copies that run at once gets its share of it, also where fewer are left.

**To look before it copies**: trigger it with **Dry run**. Inventories and plans are written into
the store, nothing is copied, and `settings`, `snapshot` and `retention` end as skipped.
"""

from __future__ import annotations

from datetime import timedelta

import pendulum
from airflow.sdk import DAG, Asset, Param, conf, task_group

from airflow_provider_harbor.operators.backup import (
    HarborCopyOperator,
    HarborInventoryOperator,
    HarborSnapshotOperator,
)
from airflow_provider_harbor.operators.harbor import (
    RETRY_POLICY,
    HarborHealthCheckOperator,
    HarborListProjectsOperator,
)
from airflow_provider_harbor.operators.retention import HarborForgetOperator, HarborPruneOperator
from airflow_provider_harbor.operators.settings import HarborSettingsExportOperator

SOURCE = "harbor_default"  # the connection of the Harbor to back up
MIRROR = None  # the connection of a registry to copy to, in place of the store
SCHEDULE = "30 3 * * *"
TIME_ZONE = "UTC"
# How much load Harbor gets: so many projects at once, each with `workers` requests at most.
PROJECTS_AT_ONCE = 4
# Which complete nights stay: the newest N, and the newest of each of the last N days, weeks, months
# and years that have any. None keeps all nights, and never deletes.
RETENTION = {
    "keep_last": 7,
    "keep_daily": 14,
    "keep_weekly": 8,
    "keep_monthly": 12,
    "keep_yearly": 3,
}
# The connection (type Amazon Web Services) that may delete from a store on S3, where the one in the
# store's URL may not.
RETENTION_CONNECTION = None
# The connection of an administrator: no robot may read Harbor's configurations. And one whose
# password seals the secrets among the settings; without it only that they are there is kept.
CONFIGURATIONS_CONNECTION = None
PASSPHRASE_CONNECTION = None

with DAG(
    "harbor_backup",
    description="Keep all artifacts of a Harbor, every night, and prove that all are there",
    doc_md=__doc__,
    schedule=SCHEDULE,
    start_date=pendulum.datetime(2025, 1, 1, tz=TIME_ZONE),
    catchup=False,
    max_active_runs=1,
    tags=["harbor", "backup"],
    params={
        "source": Param(
            SOURCE,
            type="string",
            minLength=1,
            title="Source connection",
            description_md="Id of the connection (type Harbor) of the Harbor to back up.",
        ),
        "projects": Param(
            None,
            type=["null", "array"],
            items={"type": "string"},
            title="Projects",
            description_md="Names or globs such as `team-*`, one a line; empty for all.",
        ),
        "exclude": Param(
            None,
            type=["null", "array"],
            items={"type": "string"},
            title="Exclude",
            description_md="Names or globs such as `test-*` to leave out, whatever Projects says.",
        ),
        "mirror": Param(
            MIRROR,
            type=["null", "string"],
            title="Mirror connection",
            description_md="Id of the connection (type Harbor) of a Harbor or plain registry that "
            "takes the content; empty to keep it in the store, which has every night.",
        ),
        "dry_run": Param(
            False,
            type="boolean",
            title="Dry run",
            description_md="Write inventories and plans, copy nothing.",
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
            description_md="Directory or URL of the backups; all workers need it. Each Harbor has "
            "one of its own.",
        ),
    },
    default_args={
        "owner": "registry",
        "retries": 2,
        "retry_delay": timedelta(minutes=5),
        # Only what may pass is tried again: a wrong password fails at once.
        "retry_policy": RETRY_POLICY,
        "harbor_conn_id": "{{ params.source }}",
    },
) as dag:
    mirror, dry_run, store = map(dag.param, ("mirror", "dry_run", "store"))

    check = HarborHealthCheckOperator(task_id="check", store=store, destination_conn_id=mirror)

    projects = HarborListProjectsOperator(
        task_id="projects", projects=dag.param("projects"), exclude=dag.param("exclude")
    )

    settings = HarborSettingsExportOperator(
        task_id="settings",
        projects=dag.param("projects"),
        exclude=dag.param("exclude"),
        configurations_conn_id=CONFIGURATIONS_CONNECTION,
        passphrase_conn_id=PASSPHRASE_CONNECTION,
        store=store,
        plan_only=dry_run,
    )

    @task_group(default_args={"map_index_template": "{{ task.unit['name'] }}"})
    def backup(unit):
        inventory = HarborInventoryOperator(
            task_id="inventory",
            unit=unit,
            store=store,
            max_active_tis_per_dagrun=PROJECTS_AT_ONCE,
        )
        # Runs also where the inventory failed: of several projects the others are copied, and the
        # one that failed is shown by its name.
        HarborCopyOperator(
            task_id="copy",
            unit=unit,
            inventories=inventory.output,
            destination_conn_id=mirror,
            store=store,
            workers=dag.param("workers"),
            limit_mb_per_second=dag.param("limit_mb"),
            limit_shares=PROJECTS_AT_ONCE,
            plan_only=dry_run,
            trigger_rule="all_done",
            max_active_tis_per_dagrun=PROJECTS_AT_ONCE,
        )

    # Runs whatever happened before it, and fails when anything is not protected.
    snapshot = HarborSnapshotOperator(
        task_id="snapshot",
        units=projects.output,
        projects=dag.param("projects"),
        status=check.output,
        destination_conn_id=mirror,
        store=store,
        plan_only=dry_run,
        trigger_rule="all_done",
        outlets=[Asset("harbor_backup")],
    )

    check >> [projects, settings]
    settings >> snapshot
    backup.expand(unit=projects.output) >> snapshot

    if RETENTION:

        @task_group
        def retention():
            options = {"store": store, "delete_conn_id": RETENTION_CONNECTION}
            forget = HarborForgetOperator(
                task_id="forget", time_zone=TIME_ZONE, **RETENTION, **options
            )
            forget >> HarborPruneOperator(task_id="prune", **options)

        snapshot >> retention()
