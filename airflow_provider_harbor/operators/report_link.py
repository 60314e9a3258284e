"""The button *Report* of a task: it leads to the report of its run, among the pages of the plugin.

The API server shows what a task has left in its XCom. Airflow leaves the address there at the end
of a task, whatever became of it (tried with 3.3.2), and our tasks at their beginning: one that
still runs, or was killed, has the button, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit

from airflow.sdk import BaseOperatorLink
from airflow.sdk.configuration import conf

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator
    from airflow.sdk.types import TaskInstanceKey

# Where the pages of the plugin are, below the address of Airflow, and in its UI.
PAGES = "/harbor"
ROUTE = "backups"
_KEY = "harbor_report"


class ReportLink(BaseOperatorLink):
    """A button that leads to the report of a run.

    :param ending: ``.verify`` or ``.drill`` where it is the report of such a task.
    """

    def __init__(self, ending: str = "") -> None:
        self.ending = ending

    @property
    def name(self) -> str:
        """What is on the button."""
        return "Report"

    @property
    def xcom_key(self) -> str:
        """Where a task leaves the address."""
        return _KEY

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """Return the address of the report of a task's run."""
        return report_address(ti_key.dag_id, ti_key.run_id, self.ending)

    def leave(self, context: Mapping[str, Any]) -> None:
        """Leave the address, before anything can fail.

        :param context: The task's context.
        """
        run = context["dag_run"]
        address = report_address(run.dag_id, run.run_id, self.ending)
        context["ti"].xcom_push(key=_KEY, value=address)


def base_path() -> str:
    """Return below which path Airflow is, where it shares its address with others: `/airflow`."""
    return urlsplit(conf.get("api", "base_url", fallback="") or "").path.rstrip("/")


def report_address(dag_id: str, run_id: str, ending: str = "") -> str:
    """Return where the report of a run is, in the UI.

    :param dag_id: Of the run.
    :param run_id: Of the run.
    :param ending: ``.verify`` or ``.drill`` where it is the report of such a task.
    """
    query = urlencode({"dag_id": dag_id, "run_id": run_id, **({"of": ending} if ending else {})})
    return f"{base_path()}/plugin/{ROUTE}{base_path()}{PAGES}/run?{query}"
