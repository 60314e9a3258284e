"""Count the artifacts without a signature.

For each project, the log names the tagged artifacts that nobody has signed. An example of a DAG
that uses `HarborHook` for something else than a backup.
"""

from __future__ import annotations

import logging
from datetime import timedelta

import pendulum
from airflow.sdk import dag, get_current_context, task

from airflow_provider_harbor.hooks.harbor import HarborHook

log = logging.getLogger("airflow.task")

SOURCE = "harbor_default"


@dag(
    doc_md=__doc__,
    description="Count the artifacts without a signature",
    schedule="@weekly",
    start_date=pendulum.datetime(2025, 1, 1, tz="UTC"),
    catchup=False,
    tags=["harbor", "example"],
    default_args={"owner": "registry", "retries": 2, "retry_delay": timedelta(minutes=5)},
)
def harbor_unsigned():
    @task
    def list_projects():
        return [p.name for p in HarborHook(SOURCE).list_projects() if not p.is_proxy_cache]

    @task(map_index_template="{{ project }}", max_active_tis_per_dagrun=4)
    def count_unsigned(project):
        get_current_context()["project"] = project
        unsigned = 0
        for artifact in HarborHook(SOURCE).iter_artifacts(project):
            signed = any(a.type.startswith("signature.") for a in artifact.accessories)
            if artifact.tags and not signed:
                tags = ", ".join(tag.name for tag in artifact.tags)
                log.info("%s@%s (%s)", artifact.repository, artifact.digest, tags)
                unsigned += 1
        return {"project": project, "unsigned": unsigned}

    @task
    def summarise(counts):
        for count in counts:
            log.info("%6d not signed in %s", count["unsigned"], count["project"])
        return sum(count["unsigned"] for count in counts)

    summarise(count_unsigned.expand(project=list_projects()))


harbor_unsigned()
