from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowSkipException

from airflow_provider_harbor.core.exceptions import (
    BackupIncompleteError,
    BackupInterruptedError,
    HarborConfigurationError,
)
from airflow_provider_harbor.core.jobs.settings.nights import find_night
from airflow_provider_harbor.core.store.backup_store import BackupStore
from airflow_provider_harbor.operators.settings import (
    HarborSettingsExportOperator,
    HarborSettingsImportOperator,
)
from tests.core.settings_rig import READER, SECRETS, given, robot, seed, services
from tests.double import Fault, HarborDouble
from tests.operators.test_harbor import Task

Connect = Callable[..., str]
PASSPHRASE = "a long enough passphrase"


@pytest.fixture(scope="module")
def seeded() -> Iterator[HarborDouble]:
    with services() as service, HarborDouble() as harbor:
        seed(harbor, service.url)
        yield harbor


@pytest.fixture
def task() -> Task:
    return Task()


@pytest.fixture
def place(
    seeded: HarborDouble, other_harbor: HarborDouble, connect: Connect, store: BackupStore
) -> BackupStore:
    """A store, and connections to a Harbor with settings, and to an empty one, `there`."""
    store.begin_for(seeded.url)
    connect("harbor_default", seeded)
    connect("there", other_harbor)
    connect("passphrase", conn_type="generic", password=PASSPHRASE)
    return store


def keep(place: BackupStore, **more: Any) -> HarborSettingsExportOperator:
    return HarborSettingsExportOperator(task_id="settings", store=place.url, **more)


def bring(place: BackupStore, **more: Any) -> HarborSettingsImportOperator:
    known = {"harbor_conn_id": "there", "store": place.url}
    return HarborSettingsImportOperator(task_id="settings", **(known | more))


def test_settings_are_kept_and_only_counts_are_returned(task: Task, place: BackupStore) -> None:
    made = task.execute(keep(place, projects=["team", "bare"], passphrase_conn_id="passphrase"))
    assert made["projects"] == 2
    assert made["with_secrets"] is True
    assert made["unread"] == []
    text = json.dumps(made)
    assert len(text) < 1000
    assert not [secret for secret in SECRETS.values() if secret in text]


def test_a_robot_keeps_what_it_may_read_and_a_second_login_the_configurations(
    task: Task, place: BackupStore, seeded: HarborDouble, connect: Connect
) -> None:
    name, secret = robot(seeded, READER["system"], READER["project"])
    connect("robot", seeded, login=name, password=secret)
    made = task.execute(keep(place, harbor_conn_id="robot", projects=["team"]))
    assert [line.partition(":")[0] for line in made["unread"]] == ["configurations"]
    more = {"configurations_conn_id": "harbor_default", "projects": ["bare"]}
    whole = task.execute(keep(place, harbor_conn_id="robot", **more))
    seeded.state.robots.popitem()
    assert whole["unread"] == []


def test_what_harbor_fails_to_answer_is_tried_again(
    task: Task, place: BackupStore, seeded: HarborDouble
) -> None:
    seeded.faults.add(Fault(path="/api/v2.0/scanners", times=None, status=503))
    with pytest.raises(BackupInterruptedError, match="scanners"):
        task.execute(keep(place, projects=["bare"]))
    seeded.faults.clear()


def test_a_dry_run_keeps_nothing(task: Task, place: BackupStore) -> None:
    with pytest.raises(AirflowSkipException):
        task.execute(keep(place, plan_only=True))
    assert place.snapshots.list_keys() == []


def test_a_passphrase_that_is_not_there_fails_when_all_else_is_kept(
    task: Task, place: BackupStore, connect: Connect
) -> None:
    connect("empty", conn_type="generic")
    for name in ("empty", "nobody"):
        with pytest.raises(BackupIncompleteError, match=f"'{name}', which should have"):
            task.execute(keep(place, passphrase_conn_id=name))
        assert len(find_night(place).settings.projects) == 6


def test_an_administrator_that_is_not_there_fails_when_all_else_is_kept(
    task: Task, place: BackupStore
) -> None:
    with pytest.raises(BackupIncompleteError, match="'nobody' cannot be used"):
        task.execute(keep(place, configurations_conn_id="nobody"))
    assert len(find_night(place).settings.projects) == 6


def test_settings_come_back_with_secrets_of_a_variable(
    task: Task,
    place: BackupStore,
    other_harbor: HarborDouble,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    task.execute(keep(place, passphrase_conn_id="passphrase"))
    secrets = {key: each for key, each in given().items() if "webhooks" not in key}
    monkeypatch.setenv("AIRFLOW_VAR_HARBOR_SECRETS", json.dumps(secrets))
    options = {"secrets_variable": "harbor_secrets", "passphrase_conn_id": "passphrase"}
    with pytest.raises(AirflowSkipException, match="Plan of"):
        task.execute(bring(place, plan_only="True", **options))
    assert len(other_harbor.state.users) == 1
    made = task.execute(bring(place, **options))
    assert made["needed_secrets"] == []
    assert not [secret for secret in SECRETS.values() if secret in json.dumps(made)]
    assert other_harbor.state.robots[1].secret == SECRETS["robot"]
    # What nobody can compare is written each time that it is given.
    del options["secrets_variable"]
    assert task.execute(bring(place, **options))["written"] == 0


def test_what_does_not_come_back_fails_the_task_and_new_secrets_are_not_logged(
    task: Task,
    place: BackupStore,
    other_harbor: HarborDouble,
    caplog: pytest.LogCaptureFixture,
) -> None:
    task.execute(keep(place))
    made: dict[str, str] = {}
    with pytest.raises(BackupIncompleteError, match="registry upstream") as caught:
        task.execute(bring(place, stage="before", new_secrets=made.__setitem__))
    assert "robots/all" in made
    shown = caplog.text + str(caught.value)
    assert not [secret for secret in (*SECRETS.values(), *made.values()) if secret in shown]
    assert len(list(other_harbor.state.labels)) == 6


def test_a_robot_whose_secret_nobody_has_fails_the_task_and_its_next_try(
    task: Task, place: BackupStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    task.execute(keep(place))
    for _ in range(2):
        with pytest.raises(BackupIncompleteError) as caught:
            task.execute(bring(place, kinds=["robots"], stage="before"))
        named = [line for line in caught.value.failures if "nobody knows its secret" in line]
        assert [line.partition(":")[0] for line in named] == ["robot all"]
    monkeypatch.setenv("AIRFLOW_VAR_HARBOR_SECRETS", json.dumps(given()))
    options = {"kinds": ["robots", "project"], "stage": "before", "fails_later": True}
    made = task.execute(bring(place, secrets_variable="harbor_secrets", **options))
    assert "nobody knows" not in json.dumps(made)


def test_a_stage_that_is_none_is_said(task: Task, place: BackupStore) -> None:
    task.execute(keep(place, projects=["bare"]))
    with pytest.raises(HarborConfigurationError, match=r"no stage 'middle'.*before, after"):
        task.execute(bring(place, stage="middle"))


def test_a_switch_that_is_off_skips_it(task: Task, place: BackupStore) -> None:
    with pytest.raises(AirflowSkipException, match="not to be brought back"):
        task.execute(bring(place, enabled="False"))


def test_a_variable_that_is_not_there_or_no_json_is_said(
    task: Task, place: BackupStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    task.execute(keep(place, projects=["bare"]))
    monkeypatch.setenv("AIRFLOW_VAR_ODD", "a secret that is no JSON")
    with pytest.raises(HarborConfigurationError, match="no JSON") as caught:
        task.execute(bring(place, secrets_variable="odd"))
    assert "a secret that" not in str(caught.value)
    with pytest.raises(HarborConfigurationError, match="no Variable 'nobody'"):
        task.execute(bring(place, secrets_variable="nobody"))
