"""Find what the task `snapshot` has left for a message, wherever a message is made."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from airflow_provider_harbor.notifications.message import NOTICE_KEY

log = logging.getLogger(__name__)


def find_notice(context: Mapping[str, Any], task_id: str) -> tuple[dict[str, Any] | None, bool]:
    """Return what a run has left, and whether that could be found out.

    :param context: Of the run's callback.
    :param task_id: Of the task that concludes a run.
    """
    instance = context.get("ti")
    if instance is None:
        return None, False  # no task has begun, or Airflow cannot say which was the last
    try:
        found = instance.xcom_pull(task_ids=task_id, key=NOTICE_KEY)
    except Exception as err:
        # Whatever it is: a message without details is better than none.
        unread = err
    else:
        return (found if isinstance(found, dict) else None), True
    try:
        return _in_database(instance, task_id), True
    except Exception as err:
        log.debug("Nor in the database: %s", err)
    log.warning("What the run has left cannot be read: %s", unread)
    return None, False


def _in_database(instance: Any, task_id: str) -> dict[str, Any] | None:
    """Return what a run has left by Airflow's database.

    `airflow dags test` calls callbacks where there is nobody to ask for an XCom (seen with 3.3.2),
    in a process that has the database.

    :param instance: One of the run's.
    :param task_id: Of the task that concludes a run.
    """
    from airflow.models.xcom import XComModel
    from airflow.utils.session import create_session

    with create_session() as session:
        query = XComModel.get_many(
            run_id=instance.run_id,
            dag_ids=instance.dag_id,
            task_ids=task_id,
            key=NOTICE_KEY,
            limit=1,
        )
        row = session.scalars(query).first()
        found = None if row is None else XComModel.deserialize_value(row)
    return found if isinstance(found, dict) else None
