from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from airflow_provider_harbor.core.exceptions import (
    BackupIncompleteError,
    BackupInterruptedError,
    HarborConfigurationError,
)
from airflow_provider_harbor.core.store import layout
from airflow_provider_harbor.core.store.backup_store import BackupStore
from airflow_provider_harbor.operators.verify import HarborVerifyOperator
from tests.double import Fault, HarborDouble, Image
from tests.operators.test_harbor import NAME, Task
from tests.operators.test_restore import back_up


@pytest.fixture
def task() -> Task:
    return Task()


def verify(store: BackupStore, **more: Any) -> HarborVerifyOperator:
    return HarborVerifyOperator(task_id="verify", store=store.url, **more)


def path_of(store: BackupStore, digest: str) -> Path:
    found = store.files.local_path(layout.blob(digest))
    assert found
    return found


def test_a_whole_store_returns_a_summary_and_leaves_a_report(
    task: Task,
    night: HarborDouble,
    store: BackupStore,
) -> None:
    done = task.execute(verify(store, part="all"))
    assert done["part"] == "all"
    assert done["repaired"] == 0
    assert done["summary"].startswith("Everything that was looked at is whole")
    assert store.files.exists(layout.report(f"{NAME}.verify", "html"))


def test_without_a_part_it_is_that_of_the_day(
    task: Task,
    night: HarborDouble,
    store: BackupStore,
) -> None:
    # The run is of 2026-01-02, day 739618 of the calendar.
    assert task.execute(verify(store))["part"] == f"{739618 % 28 + 1}/28"
    assert task.execute(verify(store, parts=5))["part"] == f"{739618 % 5 + 1}/5"
    assert task.execute(verify(store, part="none"))["part"] == ""
    with pytest.raises(HarborConfigurationError, match="is not a part"):
        task.execute(verify(store, part="29/28"))


def test_a_damage_fails_for_good_and_a_repair_mends_it(
    task: Task,
    night: HarborDouble,
    store: BackupStore,
) -> None:
    lost = next(iter(Image("app").blobs))
    path_of(store, lost).unlink()
    with pytest.raises(BackupIncompleteError) as caught:
        task.execute(verify(store, part="none"))
    assert not isinstance(caught.value, BackupInterruptedError)
    assert lost in str(caught.value)
    assert "team-a/app:v1" in str(caught.value)
    assert f"can be repaired from {night.url}" in str(caught.value)
    assert task.execute(verify(store, repair="true"))["repaired"] == 1
    assert path_of(store, lost).read_bytes() == Image("app").blobs[lost]


def test_a_source_that_goes_down_may_be_tried_again(
    task: Task,
    night: HarborDouble,
    store: BackupStore,
) -> None:
    for tag in ("v2", "v3", "v4", "v5"):
        night.push("team-a/app", Image(tag), tag)
    back_up(store)
    night.faults.add(Fault(path="/v2/team-[ab]/", status=503, times=None))
    with pytest.raises(BackupInterruptedError, match="503"):
        task.execute(verify(store, part="all"))


def test_a_mirror_is_asked_and_must_not_be_the_source(
    task: Task,
    night: HarborDouble,
    other_harbor: HarborDouble,
    store: BackupStore,
) -> None:
    # A project that is not there: Harbor says 401, as it does where the login may not see it.
    with pytest.raises(BackupInterruptedError, match="1 manifest could not be asked for"):
        task.execute(verify(store, source_conn_id=None, mirror_conn_id="there", part="none"))
    other_harbor.create_project("team-a")
    with pytest.raises(BackupIncompleteError, match="its manifest is lost"):
        task.execute(verify(store, source_conn_id=None, mirror_conn_id="there", part="none"))
    with pytest.raises(HarborConfigurationError, match="the mirror is the source"):
        task.execute(verify(store, mirror_conn_id="harbor_default"))
    with pytest.raises(HarborConfigurationError, match="a registry that holds a copy is a mirror"):
        task.execute(verify(store, source_conn_id="there"))
