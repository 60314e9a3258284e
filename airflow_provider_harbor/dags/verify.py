"""Prove that the backups of a Harbor can be read, every night.

**verify** reads all snapshots and lists of the store, and makes sure that everything they name is
there. Of the content it reads and hashes one part, that of the day (of 28 parts, so that every byte
was read in four weeks). It also asks Harbor for that part of what the newest snapshot lists: what
Harbor lists, and has lost, is found before somebody needs it.

It is green only when all that was looked at is whole. Its log, and `reports/` in the store, say
what is damaged, which artifacts have it, and from where it can be repaired.

**To repair it**: trigger it with **Repair**, and with the part that the report names, or `all`. The
store gets what it lacks from Harbor (or the mirror), and Harbor from the store; nothing else is
touched. For Harbor the connection needs the right to push.

**To read everything at once**: trigger it with `all` as **Part**.

**drill**, once a week where a target is named (`drill_target`, or in the form): some repositories,
drawn at random, are restored into a project of their own of that Harbor, compared byte for byte,
and removed with it. The project must not exist: a drill touches none that it did not make.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from airflow.sdk import DAG, Param

from airflow_provider_harbor.core.http.pace import DEFAULT_CEILING
from airflow_provider_harbor.dags import arguments, forms
from airflow_provider_harbor.operators.drill import HarborDrillOperator
from airflow_provider_harbor.operators.verify import HarborVerifyOperator


def harbor_verify(
    dag_id: str = "harbor_verify",
    *,
    schedule: Any = "30 6 * * *",
    time_zone: str = "UTC",
    source: str | None = "harbor_default",
    store: str | os.PathLike[str] | None = None,
    mirror: str | None = None,
    parts: int = 28,
    drill_target: str | None = None,
    drill_project: str = "backup-drill",
    drill_day: int = 6,
    drill_sample: int = 5,
    workers: int = DEFAULT_CEILING,
    notifiers: Sequence[Any] = (),
    default_args: Mapping[str, Any] | None = None,
    **dag_options: Any,
) -> DAG:
    """Return the DAG that verifies a store, and its Harbor, a part of the bytes every night.

    :param dag_id: Name of the DAG, another one for each store.
    :param schedule: When it runs, best after the backup: a cron expression, or whatever Airflow
        takes, such as ``[Asset("harbor_backup")]``.
    :param time_zone: Time zone of the schedule.
    :param source: Connection of the Harbor of the store; None to ask it nothing.
    :param store: Directory or URL of the backups; by default ``[harbor] store``.
    :param mirror: Connection of a registry that should have it all, too.
    :param parts: After so many nights every byte of the store was read.
    :param drill_target: Connection of a Harbor in which projects may be made and deleted; None for
        no drill.
    :param drill_project: Name of the project that a drill makes and removes.
    :param drill_day: Day of the week (UTC) of the drill, 0 for Monday to 6 for Sunday.
    :param drill_sample: How many repositories a drill draws.
    :param workers: At most so many requests to one server at once, in each task.
    :param notifiers: Airflow's notifiers (or other callbacks), called once when a run has failed.
    :param default_args: Options for all tasks, such as ``owner``, ``pool`` or ``queue``.
    :param dag_options: Further arguments of Airflow's ``DAG``, such as ``tags``.
    """
    dag_id = arguments.new_dag_id(dag_id)
    source = None if source is None else arguments.connection("source", source)
    store = arguments.store(store)
    parts = arguments.whole("parts", parts, 1)
    drill_day = arguments.whole("drill_day", drill_day, 0, 6)
    drill_sample = arguments.whole("drill_sample", drill_sample, 1)
    workers = arguments.workers(workers)
    notifiers = arguments.notifiers(notifiers)
    options: dict[str, Any] = {
        "description": "Prove that the backups of a Harbor can be read, a part of the bytes every "
        "night",
        "doc_md": __doc__,
        "tags": ["harbor", "backup"],
        "catchup": False,
        "max_active_runs": 1,
        "on_failure_callback": list(notifiers) or None,
        **dag_options,
    }
    with DAG(
        dag_id,
        schedule=schedule,
        start_date=forms.first_day(time_zone),
        params=_form(source, store, mirror, parts, drill_target, drill_sample, workers),
        default_args=forms.task_defaults(default_args),
        **options,
    ) as dag:
        field = partial(forms.field_of, dag)
        HarborVerifyOperator(
            task_id="verify",
            store=field("store"),
            source_conn_id=field("source"),
            mirror_conn_id=field("mirror"),
            part=field("part"),
            parts=parts,
            repair=field("repair"),
            workers=field("workers"),
        )
        HarborDrillOperator(
            task_id="drill",
            harbor_conn_id=field("drill_target"),
            project=drill_project,
            sample=field("drill_sample"),
            weekday=drill_day,
            store=field("store"),
            workers=field("workers"),
        )
    return dag


def _form(
    source: str | None,
    store: str | None,
    mirror: str | None,
    parts: int,
    drill_target: str | None,
    drill_sample: int,
    workers: int,
) -> dict[str, Param]:
    return {
        "part": forms.optional(
            None,
            "Part",
            "Which part of the bytes is read: `3/28`; `all`; `none`, for what is there only; empty "
            f"for the day's of {parts}.",
        ),
        "source": forms.optional(
            source,
            "Source connection",
            "Id of the connection (type Harbor) of the Harbor of the store; empty to ask it "
            "nothing.",
        ),
        "mirror": forms.optional(
            mirror,
            "Mirror connection",
            "Id of the connection of a Harbor or registry that should have all that the newest "
            "snapshot lists; empty for none.",
        ),
        "repair": forms.switch(
            "Repair",
            "Repair what is damaged: the store from source or mirror, these from the store.",
        ),
        "drill_target": forms.optional(
            drill_target,
            "Drill: target connection",
            "Id of the connection of a Harbor to restore a sample to, for a drill; empty for none.",
        ),
        "drill_sample": Param(
            drill_sample,
            type="integer",
            minimum=1,
            title="Drill: repositories",
            description_md="How many repositories are drawn.",
        ),
        "workers": forms.workers(workers),
        "store": forms.store(store),
    }
