"""Keep some nights of a store, and give back the room of the others, as operators.

In the DAG ``harbor_backup`` they come last, after a complete snapshot only::

    ... -> snapshot -> forget -> prune
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from airflow_provider_harbor.core.cli.forget import render_table as render_runs
from airflow_provider_harbor.core.cli.prune import render_table as render_files
from airflow_provider_harbor.core.exceptions import BackupIncompleteError
from airflow_provider_harbor.core.human import human_count
from airflow_provider_harbor.core.jobs.forget import forget
from airflow_provider_harbor.core.jobs.prune import GRACE, LIMIT_PERCENT, prune
from airflow_provider_harbor.core.store.backup_store import BackupStore
from airflow_provider_harbor.core.store.retention import Policy
from airflow_provider_harbor.hooks.store import open_store
from airflow_provider_harbor.operators.telling import tells
from airflow_provider_harbor.operators.units import Heartbeat, as_flag, as_number, run_name

if TYPE_CHECKING:
    from airflow.sdk import Context

_SHOWN_FOREIGN = 5


class _RetentionOperator(BaseOperator):
    """What the operators have in common: a store, and the right to delete from it.

    :param store: Directory or URL of the store; by default ``[harbor] store``.
    :param delete_conn_id: Connection of type ``aws`` that may delete from a store on S3, in place
        of the one in its URL; None where that one may.
    :param plan_only: Dry run: find out what would be done, and change nothing.
    """

    ui_color = "#e8e8e8"

    def __init__(
        self,
        *,
        store: str | None = None,
        delete_conn_id: str | None = None,
        plan_only: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.store = store
        self.delete_conn_id = delete_conn_id
        self.plan_only = plan_only

    def _open(self) -> BackupStore:
        return open_store(self.store, conn_id=self.delete_conn_id or None)


class HarborForgetOperator(_RetentionOperator):
    """Forget the nights that no rule keeps; its log shows which rule keeps the others.

    The rules count complete snapshots. One is kept if any rule keeps it, and the newest complete
    one always is. Runs that are partial, cut short or limited, and restores, are kept for some
    days, see :mod:`airflow_provider_harbor.core.store.retention`. Returns how many are kept, and
    which went.

    :param keep_last: So many of the newest.
    :param keep_daily: The newest of each of so many days that have any.
    :param keep_weekly: Likewise by ISO week.
    :param keep_monthly: Likewise by month.
    :param keep_yearly: Likewise by year.
    :param time_zone: Whose days these are, such as ``Europe/Berlin``.
    """

    template_fields: Sequence[str] = (
        "store",
        "delete_conn_id",
        "plan_only",
        "keep_last",
        "keep_daily",
        "keep_weekly",
        "keep_monthly",
        "keep_yearly",
        "time_zone",
    )

    def __init__(
        self,
        *,
        keep_last: int = 0,
        keep_daily: int = 0,
        keep_weekly: int = 0,
        keep_monthly: int = 0,
        keep_yearly: int = 0,
        time_zone: str = "UTC",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.keep_last = keep_last
        self.keep_daily = keep_daily
        self.keep_weekly = keep_weekly
        self.keep_monthly = keep_monthly
        self.keep_yearly = keep_yearly
        self.time_zone = time_zone

    @tells
    def execute(self, context: Context) -> dict[str, Any]:
        """Forget, and return what became of the runs."""
        policy = Policy(
            keep_last=as_number(self.keep_last),
            keep_daily=as_number(self.keep_daily),
            keep_weekly=as_number(self.keep_weekly),
            keep_monthly=as_number(self.keep_monthly),
            keep_yearly=as_number(self.keep_yearly),
            time_zone=str(self.time_zone),
        )
        store = self._open()
        self.log.info("The store %s: %s", store.url, policy)
        done = forget(store, policy, dry_run=as_flag(self.plan_only), progress=Heartbeat(self.log))
        self.log.info("\n%s", render_runs(done))
        self.log.info("%s", done.summary_line())
        if done.unreadable:
            raise BackupIncompleteError(
                f"{human_count(len(done.unreadable), 'snapshot')} cannot be read, and stays",
                [f"{key}: {text}" for key, text in done.unreadable.items()],
            )
        return {
            "kept": done.kept,
            "forgotten": [decision.key for decision in done.decisions if not decision.is_kept],
            "dry_run": done.dry_run,
        }


class HarborPruneOperator(_RetentionOperator):
    """Delete what no night names any more: it is marked first, and deleted after a grace.

    A backup or a restore may go on beside it. Returns how many files and bytes went.

    :param grace_hours: How long a file must have been marked.
    :param limit_percent: It fails, and deletes nothing, where more of the pool would go.
    """

    template_fields: Sequence[str] = (
        "store",
        "delete_conn_id",
        "plan_only",
        "grace_hours",
        "limit_percent",
    )

    def __init__(
        self,
        *,
        grace_hours: float = GRACE / timedelta(hours=1),
        limit_percent: float = LIMIT_PERCENT,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.grace_hours = grace_hours
        self.limit_percent = limit_percent

    @tells
    def execute(self, context: Context) -> dict[str, Any]:
        """Mark and delete, and return what that came to."""
        store = self._open()
        done = prune(
            store,
            run_name(context),
            grace=timedelta(hours=float(self.grace_hours)),
            limit_percent=float(self.limit_percent),
            dry_run=as_flag(self.plan_only),
            progress=Heartbeat(self.log),
        )
        self.log.info("The store %s\n%s", store.url, render_files(done))
        if done.foreign:
            self.log.warning(
                "Left alone, since they are not of a backup: %s, such as %s",
                human_count(len(done.foreign), "file"),
                ", ".join(done.foreign[:_SHOWN_FOREIGN]),
            )
        self.log.info("%s", done.summary_line())
        return {
            **{
                f"{name}_{unit}": getattr(done.total(name), unit)
                for name in ("deleted", "marked", "named")
                for unit in ("files", "size_bytes")
            },
            "dry_run": done.dry_run,
            "summary": done.summary_line(),
        }
