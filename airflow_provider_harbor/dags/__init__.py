"""The DAGs, each made by one function: a file in the DAGs folder imports it, and calls it.

::

    from airflow_provider_harbor.dags import harbor_backup

    harbor_backup(schedule="30 3 * * *", time_zone="Europe/Berlin", store="/backup/harbor")

Airflow finds the DAG in the file that makes the call, so that what is set there is in its view of
the code. Two Harbors are two calls, with two ids, two connections and two stores.

    backup      harbor_backup    every night: list, copy, report, forget
    restore     harbor_restore   by hand: bring something back
    verify      harbor_verify    every night: read a part of the store; now and then a drill
    unsigned    harbor_unsigned  an example of the hook: count what nobody has signed
    arguments   what the functions are given: made what is meant, or refused
    forms       the fields of their forms, and what else they have in common
"""

from __future__ import annotations

from airflow_provider_harbor.dags.backup import harbor_backup
from airflow_provider_harbor.dags.restore import harbor_restore
from airflow_provider_harbor.dags.unsigned import harbor_unsigned
from airflow_provider_harbor.dags.verify import harbor_verify

__all__ = ["harbor_backup", "harbor_restore", "harbor_unsigned", "harbor_verify"]
