"""The button *Report*: it is there whatever becomes of the task."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_harbor.get_provider_info import get_provider_info
from airflow_provider_harbor.operators.backup import HarborCopyOperator, HarborSnapshotOperator
from airflow_provider_harbor.operators.drill import HarborDrillOperator
from airflow_provider_harbor.operators.report_link import ReportLink
from airflow_provider_harbor.operators.restore import (
    HarborRestoreOperator,
    HarborRestoreReportOperator,
)
from airflow_provider_harbor.operators.verify import HarborVerifyOperator
from tests.operators.test_harbor import RUN, Task

ADDRESS = f"/plugin/backups/harbor/run?dag_id=backup&run_id={RUN}"
UNIT = {"name": "a", "projects": ["a"], "snapshot": "none"}
# No store can be at such an address, so each of them fails.
NOWHERE = {"task_id": "t", "store": "ftp://nowhere"}


@pytest.mark.parametrize(
    ("operator", "ending"),
    [
        (HarborCopyOperator(unit=UNIT, inventories=[], **NOWHERE), ""),
        (HarborSnapshotOperator(units=[], **NOWHERE), ""),
        (HarborRestoreOperator(unit=UNIT, **NOWHERE), ""),
        (HarborRestoreReportOperator(units=[UNIT], **NOWHERE), ""),
        (HarborVerifyOperator(source_conn_id=None, **NOWHERE), "&of=.verify"),
    ],
)
def test_a_task_that_fails_has_its_button(operator: Any, ending: str) -> None:
    task = Task()
    with pytest.raises(Exception, match=r"ftp|connection|harbor_default"):
        task.execute(operator)
    (link,) = operator.operator_extra_links
    assert isinstance(link, ReportLink)
    assert task.xcoms[link.xcom_key] == f"{ADDRESS}{ending}".replace("+", "%2B").replace(":", "%3A")
    key = type("Key", (), {"dag_id": "backup", "run_id": RUN})()
    assert link.get_link(operator, ti_key=key) == task.xcoms[link.xcom_key]


def test_a_drill_has_its_button_at_its_end() -> None:
    (link,) = HarborDrillOperator(harbor_conn_id="there", **NOWHERE).operator_extra_links
    assert isinstance(link, ReportLink)
    assert link.ending == ".drill"


def test_airflow_below_a_path_is_found_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://example.com/airflow/")
    key = type("Key", (), {"dag_id": "backup", "run_id": "r"})()
    address = ReportLink().get_link(None, ti_key=key)  # type: ignore[arg-type]
    assert address == "/airflow/plugin/backups/airflow/harbor/run?dag_id=backup&run_id=r"


def test_the_button_is_registered() -> None:
    name = f"{ReportLink.__module__}.{ReportLink.__name__}"
    assert get_provider_info()["extra-links"] == [name]
