"""A drill as an operator: can what is kept be brought back? It is a task of ``harbor_verify``."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from contextlib import closing
from datetime import timezone
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowSkipException

from airflow_provider_harbor.core.exceptions import BackupIncompleteError
from airflow_provider_harbor.core.http.pace import DEFAULT_CEILING
from airflow_provider_harbor.core.jobs.choosing import LATEST, find_snapshot
from airflow_provider_harbor.core.jobs.drill import Drill, drill
from airflow_provider_harbor.core.jobs.drill_report import render_drill_page
from airflow_provider_harbor.core.jobs.keeping import keep_report
from airflow_provider_harbor.hooks.harbor import HarborHook
from airflow_provider_harbor.hooks.store import open_store
from airflow_provider_harbor.operators.report_link import ReportLink
from airflow_provider_harbor.operators.telling import tell_report, tells
from airflow_provider_harbor.operators.units import (
    Heartbeat,
    as_number,
    run_name,
    set_pace,
)

if TYPE_CHECKING:
    from airflow.sdk import Context

_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


class HarborDrillOperator(BaseOperator):
    """Restore a random sample into a scratch project, compare it byte for byte, and remove it.

    Returns a summary. The project must not exist: a drill touches none that it did not make. The
    task is skipped where no target is named, and on other days than the one of the week.

    :param harbor_conn_id: Connection of the Harbor to restore to, which may create and delete
        projects; None for no drill.
    :param project: Name of the scratch project.
    :param sample: How many repositories.
    :param seed: What they are drawn with; by default the run's name, so that a task that is tried
        again draws the same.
    :param weekday: Day of the week of scheduled runs (UTC), 0 for Monday, 6 for Sunday; None for
        every day.
    :param snapshot: Of which night, see ``HarborChooseSnapshotOperator``.
    :param store: Directory or URL of the store; by default ``[harbor] store``.
    :param workers: At most so many requests to one server at once. How many really are found out:
        more follow as long as that is faster, fewer at once where a server answers 429 or 503.
    :param limit_mb_per_second: Move at most so many millions of bytes a second; what is read at one
        end and written at the other counts once. None for no limit.
    :param limit_shares: Among how many tasks that run at once the limit is divided: one process
        knows nothing of the others. A share that no task uses is not given to the others.
    """

    template_fields: Sequence[str] = (
        "harbor_conn_id",
        "project",
        "sample",
        "seed",
        "weekday",
        "snapshot",
        "store",
        "workers",
        "limit_mb_per_second",
        "limit_shares",
    )
    ui_color = "#e3dcf5"
    report_link = ReportLink(".drill")
    operator_extra_links = (report_link,)

    def __init__(
        self,
        *,
        harbor_conn_id: str | None,
        project: str = "backup-drill",
        sample: int = 5,
        seed: int | None = None,
        weekday: int | None = None,
        snapshot: str = LATEST,
        store: str | None = None,
        workers: int = DEFAULT_CEILING,
        limit_mb_per_second: float | None = None,
        limit_shares: int = 1,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.harbor_conn_id = harbor_conn_id
        self.project = project
        self.sample = sample
        self.seed = seed
        self.weekday = weekday
        self.snapshot = snapshot
        self.store = store
        self.workers = workers
        self.limit_mb_per_second = limit_mb_per_second
        self.limit_shares = limit_shares

    @tells
    def execute(self, context: Context) -> dict[str, Any]:
        """Try a restore, and return a summary."""
        set_pace(self.workers, self.limit_mb_per_second, self.limit_shares)
        if not self.harbor_conn_id:
            raise AirflowSkipException("no Harbor is named to restore to, so there is no drill")
        run = context["dag_run"]
        day = run.run_after.astimezone(timezone.utc).weekday()
        wanted_day = day if self.weekday is None else as_number(self.weekday)
        if run.run_type == "scheduled" and day != wanted_day:
            raise AirflowSkipException(f"the drill is on {_DAYS[wanted_day]}, UTC")
        name = f"{run_name(context)}.drill"
        store = open_store(self.store)
        _ = store.harbor_url  # that it is a store
        with closing(HarborHook(self.harbor_conn_id).get_place()) as place:
            report = drill(
                Drill(
                    store=store,
                    run=name,
                    snapshot=find_snapshot(store, self.snapshot or LATEST),
                    place=place,
                    project=self.project,
                    sample=as_number(self.sample),
                    seed=zlib.crc32(name.encode()) if self.seed is None else int(self.seed),
                    workers=as_number(self.workers),
                ),
                progress=Heartbeat(self.log),
            )
        page = keep_report(store, report, render_drill_page(report))
        tell_report(self.log, report.to_text(), has_failed=not report.ok)
        if page:
            self.log.info("The report is %s", page)
        if not report.ok:
            raise BackupIncompleteError(report.summary_line(), report.all_failures())
        return {
            "run": report.run,
            "seed": report.seed,
            "repositories": list(report.repositories),
            "summary": report.summary_line(),
        }
