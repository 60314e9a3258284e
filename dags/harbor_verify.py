"""Prove that the backups of a Harbor can be read, every night.

**verify** reads all snapshots and lists of the store, and makes sure that everything they name is
there. Of the content it reads and hashes one of 28 parts, that of the day, so that every byte was
read in four weeks. It also asks Harbor for that part of what the newest snapshot lists: what Harbor
lists, and has lost, is found before somebody needs it.

It is green only when all that was looked at is whole. Its log, and `reports/` in the store, say
what is damaged, which artifacts have it, and from where it can be repaired.

**To repair it**: trigger it with **Repair**, and with the part that the report names, or `all`. The
store gets what it lacks from Harbor (or the mirror), and Harbor from the store; nothing else is
touched. For Harbor the connection needs the right to push.

**To read everything at once**: trigger it with `all` as **Part**.

**drill**, once a week where a target is named (`DRILL_TARGET`, or in the form): some repositories,
drawn at random, are restored into a project of their own of that Harbor, compared byte for byte,
and removed with it. The project must not exist: a drill touches none that it did not make.
"""

from __future__ import annotations

from datetime import timedelta

import pendulum
from airflow.sdk import DAG, Param, conf

from airflow_provider_harbor.operators.drill import HarborDrillOperator
from airflow_provider_harbor.operators.harbor import RETRY_POLICY
from airflow_provider_harbor.operators.verify import HarborVerifyOperator

SOURCE = "harbor_default"  # the connection of the Harbor; None to ask it nothing
MIRROR = None  # the connection of a registry that should have it all, too
SCHEDULE = "30 6 * * *"  # after the backup
TIME_ZONE = "UTC"
PARTS = 28  # every byte of the store was read after so many nights
DRILL_TARGET = None  # the connection of a Harbor in which projects may be made and deleted
DRILL_PROJECT = "backup-drill"
DRILL_DAY = 6  # Sunday

with DAG(
    "harbor_verify",
    description="Prove that the backups of a Harbor can be read, a part of the bytes every night",
    doc_md=__doc__,
    schedule=SCHEDULE,
    start_date=pendulum.datetime(2025, 1, 1, tz=TIME_ZONE),
    catchup=False,
    max_active_runs=1,
    tags=["harbor", "backup"],
    params={
        "part": Param(
            None,
            type=["null", "string"],
            title="Part",
            description_md="Which part of the bytes is read: `3/28`; `all`; `none`, for what is "
            f"there only; empty for the day's of {PARTS}.",
        ),
        "source": Param(
            SOURCE,
            type=["null", "string"],
            title="Source connection",
            description_md="Id of the connection (type Harbor) of the Harbor of the store; empty "
            "to ask it nothing.",
        ),
        "mirror": Param(
            MIRROR,
            type=["null", "string"],
            title="Mirror connection",
            description_md="Id of the connection of a Harbor or registry that should have all that "
            "the newest snapshot lists; empty for none.",
        ),
        "repair": Param(
            False,
            type="boolean",
            title="Repair",
            description_md="Repair what is damaged: the store from source or mirror, these from "
            "the store.",
        ),
        "drill_target": Param(
            DRILL_TARGET,
            type=["null", "string"],
            title="Drill: target connection",
            description_md="Id of the connection of a Harbor to restore a sample to, for a drill; "
            "empty for none.",
        ),
        "drill_sample": Param(
            5,
            type="integer",
            minimum=1,
            title="Drill: repositories",
            description_md="How many repositories are drawn.",
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
        "store": Param(
            conf.get("harbor", "store"),
            type="string",
            minLength=1,
            title="Store",
            description_md="Directory or URL of the backups.",
        ),
    },
    default_args={
        "owner": "registry",
        "retries": 2,
        "retry_delay": timedelta(minutes=5),
        "retry_policy": RETRY_POLICY,
    },
) as dag:
    HarborVerifyOperator(
        task_id="verify",
        store=dag.param("store"),
        source_conn_id=dag.param("source"),
        mirror_conn_id=dag.param("mirror"),
        part=dag.param("part"),
        parts=PARTS,
        repair=dag.param("repair"),
        workers=dag.param("workers"),
    )

    HarborDrillOperator(
        task_id="drill",
        harbor_conn_id=dag.param("drill_target"),
        project=DRILL_PROJECT,
        sample=dag.param("drill_sample"),
        weekday=DRILL_DAY,
        store=dag.param("store"),
        workers=dag.param("workers"),
    )
