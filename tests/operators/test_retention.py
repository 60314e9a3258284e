from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any

import pytest

from airflow_provider_harbor.core.exceptions import (
    BackupIncompleteError,
    HarborConfigurationError,
    StoreError,
    is_passing,
)
from airflow_provider_harbor.core.store.backup_store import BackupStore
from airflow_provider_harbor.operators.retention import HarborForgetOperator, HarborPruneOperator
from tests.core.jobs.small_harbor import HARBOR, back_up, small_harbor
from tests.operators.test_harbor import Task
from tests.s3_server import S3Server


@pytest.fixture
def task() -> Task:
    return Task()


def fill(store: BackupStore) -> BackupStore:
    store.begin_for(HARBOR)
    for number, held in enumerate(["ab", "ac", "ad"], start=1):
        begun = datetime(2026, 11, number, 23, 30, tzinfo=timezone.utc)
        back_up(store, small_harbor(held), f"2026-11-{number:02}", begun)
    return store


@pytest.fixture
def stored(store: BackupStore) -> BackupStore:
    """A store with three nights."""
    return fill(store)


def forget(**options: Any) -> HarborForgetOperator:
    return HarborForgetOperator(task_id="forget", **options)


def prune(**options: Any) -> HarborPruneOperator:
    return HarborPruneOperator(task_id="prune", **options)


def test_nights_go_and_what_only_they_had(stored: BackupStore, task: Task) -> None:
    done = task.execute(forget(store=stored.url, keep_last=1))
    assert done == {"kept": 1, "forgotten": ["2026-11-02", "2026-11-01"], "dry_run": False}
    pruned = task.execute(prune(store=stored.url, grace_hours=0, limit_percent=100))
    assert pruned["deleted_files"] > 5
    assert pruned["marked_files"] == 0
    assert len(json.dumps(pruned)) < 1000
    again = task.execute(prune(store=stored.url))
    assert again["deleted_files"] == 0
    assert again["named_size_bytes"] == pruned["named_size_bytes"] > 0


def test_a_form_may_give_all_values_as_texts(stored: BackupStore, task: Task) -> None:
    texts = {"keep_daily": "2", "keep_yearly": " 1 ", "plan_only": "True"}
    done = task.execute(forget(store=stored.url, time_zone="Europe/Berlin", **texts))
    assert done == {"kept": 2, "forgotten": ["2026-11-01"], "dry_run": True}
    assert len(stored.snapshots.list_keys()) == 3
    pruned = task.execute(
        prune(store=stored.url, grace_hours="48.5", limit_percent="30", plan_only="true")
    )
    assert pruned["dry_run"] is True
    assert not stored.files.exists("prune/state.json")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "keeps nothing"),
        ({"keep_last": "many"}, "'many' is not a whole number"),
        ({"keep_last": -1}, "keep_last is -1"),
        ({"keep_last": 1, "time_zone": "Mars"}, "no time zone 'Mars'"),
    ],
)
def test_what_is_no_policy_fails_at_once(
    stored: BackupStore, task: Task, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(HarborConfigurationError, match=message) as caught:
        task.execute(forget(store=stored.url, **options))
    assert not is_passing(caught.value)
    assert len(stored.snapshots.list_keys()) == 3


def test_a_snapshot_that_cannot_be_read_ends_red(stored: BackupStore, task: Task) -> None:
    stored.files.write("snapshots/2026-11-01/snapshot.json", b"{")
    with pytest.raises(BackupIncompleteError, match="1 snapshot cannot be read, and stays"):
        task.execute(forget(store=stored.url, keep_last=1))


def test_too_much_would_go(stored: BackupStore, task: Task) -> None:
    task.execute(forget(store=stored.url, keep_last=1))
    with pytest.raises(HarborConfigurationError, match="more than the limit"):
        task.execute(prune(store=stored.url))


def test_the_right_to_delete_may_have_a_connection_of_its_own(
    s3: S3Server, task: Task, connect: Callable[..., str]
) -> None:
    bucket = s3.new_bucket()
    fill(BackupStore(f"s3://{bucket}/harbor", **s3.options))
    extra = {"endpoint_url": s3.url, "region_name": "us-east-1"}
    writer = s3.add_writer(bucket)
    login = {"login": writer["access_key_id"], "password": writer["secret_access_key"]}
    connect("backups", conn_type="aws", extra=extra, **login)
    connect("cleaner", conn_type="aws", extra=extra, login=s3.user, password=s3.password)
    url = f"s3://backups@{bucket}/harbor"
    with pytest.raises(StoreError, match="give them a login of their own"):
        task.execute(forget(store=url, keep_last=1))
    assert task.execute(forget(store=url, keep_last=1, delete_conn_id="cleaner"))["kept"] == 1
    with pytest.raises(StoreError, match="give them a login of their own") as caught:
        task.execute(prune(store=url, grace_hours=0, limit_percent=100))
    assert writer["secret_access_key"] not in str(caught.value)
    options = {"grace_hours": 0, "limit_percent": 100, "delete_conn_id": "cleaner"}
    assert task.execute(prune(store=url, **options))["deleted_files"] > 5


def test_a_connection_is_for_s3_only(stored: BackupStore, task: Task) -> None:
    with pytest.raises(HarborConfigurationError, match="'cleaner' is for a store on S3"):
        task.execute(prune(store=stored.url, delete_conn_id="cleaner"))


@pytest.mark.parametrize("operator", [HarborForgetOperator, HarborPruneOperator])
def test_every_argument_can_come_from_the_form(operator: Any) -> None:
    arguments: set[str] = set()
    for each in inspect.getmro(operator)[:2]:
        arguments |= set(inspect.signature(each.__init__).parameters)
    assert arguments - {"self", "kwargs"} == set(operator.template_fields)
