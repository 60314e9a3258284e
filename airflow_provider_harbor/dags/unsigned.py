"""Count the artifacts without a signature.

For each project, the log names the tagged artifacts that nobody has signed. An example of a DAG
that uses `HarborHook` for something else than a backup.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, get_current_context, task

from airflow_provider_harbor.dags import arguments, forms
from airflow_provider_harbor.hooks.harbor import HarborHook

log = logging.getLogger("airflow.task")


def harbor_unsigned(
    dag_id: str = "harbor_unsigned",
    *,
    schedule: Any = "@weekly",
    time_zone: str = "UTC",
    source: str = "harbor_default",
    default_args: Mapping[str, Any] | None = None,
    **dag_options: Any,
) -> DAG:
    """Return a DAG that counts the artifacts without a signature.

    :param dag_id: Name of the DAG, another one for each Harbor.
    :param schedule: When it runs: a cron expression, or whatever Airflow takes; None for by hand.
    :param time_zone: Time zone of the schedule.
    :param source: Connection (type Harbor) of the Harbor to look at.
    :param default_args: Options for all tasks, such as ``owner``, ``pool`` or ``queue``.
    :param dag_options: Further arguments of Airflow's ``DAG``, such as ``tags``.
    """
    dag_id = arguments.new_dag_id(dag_id)
    source = arguments.connection("source", source)
    options: dict[str, Any] = {
        "description": "Count the artifacts without a signature",
        "doc_md": __doc__,
        "tags": ["harbor", "example"],
        "catchup": False,
        **dag_options,
    }
    with DAG(
        dag_id,
        schedule=schedule,
        start_date=forms.first_day(time_zone),
        default_args={
            "owner": "registry",
            "retries": 2,
            "retry_delay": timedelta(minutes=5),
            **(default_args or {}),
        },
        **options,
    ) as dag:

        @task
        def list_projects() -> list[str]:
            return [p.name for p in HarborHook(source).list_projects() if not p.is_proxy_cache]

        @task(map_index_template="{{ project }}", max_active_tis_per_dagrun=4)
        def count_unsigned(project: str) -> dict[str, Any]:
            get_current_context()["project"] = project  # type: ignore[typeddict-unknown-key]
            unsigned = 0
            for artifact in HarborHook(source).iter_artifacts(project):
                signed = any(a.type.startswith("signature.") for a in artifact.accessories)
                if artifact.tags and not signed:
                    tags = ", ".join(tag.name for tag in artifact.tags)
                    log.info("%s@%s (%s)", artifact.repository, artifact.digest, tags)
                    unsigned += 1
            return {"project": project, "unsigned": unsigned}

        @task
        def summarise(counts: list[dict[str, Any]]) -> int:
            for count in counts:
                log.info("%6d not signed in %s", count["unsigned"], count["project"])
            return sum(count["unsigned"] for count in counts)

        counts: Any = count_unsigned.expand(project=list_projects())
        summarise(counts)
    return dag
