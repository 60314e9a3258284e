from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowSkipException

from airflow_provider_harbor.core.exceptions import (
    BackupIncompleteError,
    BackupInterruptedError,
    HarborBackupError,
    HarborConfigurationError,
    LeaseError,
)
from airflow_provider_harbor.core.jobs.results import Results
from airflow_provider_harbor.core.store.backup_store import BackupStore
from airflow_provider_harbor.operators.backup import (
    HarborCopyOperator,
    HarborInventoryOperator,
    HarborSnapshotOperator,
)
from airflow_provider_harbor.operators.restore import (
    HarborChooseSnapshotOperator,
    HarborRestoreOperator,
    HarborRestoreReportOperator,
)
from tests.core.restoring import holding
from tests.double import Fault, HarborDouble, Image, multi_arch
from tests.operators.test_harbor import NAME, RUN, Task, unit

Connect = Callable[..., str]
PROJECTS = ("team-a", "team-b")


@pytest.fixture
def task() -> Task:
    return Task()


@pytest.fixture
def stored(
    harbor: HarborDouble, other_harbor: HarborDouble, connect: Connect, store: BackupStore
) -> HarborDouble:
    """A Harbor whose night is in the store, and a connection `there` to an empty one."""
    store.begin_for(harbor.url)
    for name in PROJECTS:
        harbor.create_project(name)
    harbor.push("team-a/app", Image("app"), "v1")
    harbor.push("team-b/web", multi_arch("web"), "v2")
    connect("harbor_default", harbor)
    connect("there", other_harbor)
    back_up(store)
    return harbor


def back_up(store: BackupStore, night: Task | None = None, **more: Any) -> None:
    night, known = night or Task(), {"store": store.url} | more
    for name in PROJECTS:
        refs = night.execute(
            HarborInventoryOperator(task_id="inventory", unit=unit(name), store=store.url)
        )
        night.execute(
            HarborCopyOperator(task_id="copy", unit=unit(name), inventories=refs, **known)
        )
    units = [unit(name) for name in PROJECTS]
    night.execute(HarborSnapshotOperator(task_id="snapshot", units=units, **known))


def choose(backups: BackupStore, /, **more: Any) -> HarborChooseSnapshotOperator:
    known = {"harbor_conn_id": "there", "store": backups.url}
    return HarborChooseSnapshotOperator(task_id="choose", **(known | more))


def restore(store: BackupStore, each: dict[str, Any], **more: Any) -> HarborRestoreOperator:
    known = {"harbor_conn_id": "there", "store": store.url}
    return HarborRestoreOperator(task_id="restore", unit=each, **(known | more))


def conclude(store: BackupStore, units: Any, **more: Any) -> HarborRestoreReportOperator:
    known = {"harbor_conn_id": "there", "store": store.url}
    return HarborRestoreReportOperator(task_id="report", units=units, **(known | more))


def test_all_of_the_newest_night_comes_back(
    stored: HarborDouble, other_harbor: HarborDouble, store: BackupStore, task: Task
) -> None:
    units = task.execute(choose(store))
    assert units == [
        {**unit(name), "snapshot": store.snapshots.list_keys()[0]} for name in PROJECTS
    ]
    for each in units:
        (result,) = task.execute(restore(store, each))
        assert result["ok"]
        assert len(json.dumps(result)) < 2000
    summary = task.execute(conclude(store, units))

    assert summary["complete"] is True
    assert summary["counts"]["artifacts"] == 2
    assert other_harbor.state.artifact("team-a/app", "v1").digest == Image("app").digest
    assert not other_harbor.state.project_names["team-a"].public


def test_only_what_is_missing_is_sent(stored: HarborDouble, store: BackupStore, task: Task) -> None:
    for each in task.execute(choose(store)):
        task.execute(restore(store, each))
        (again,) = task.execute(restore(store, each))
        assert again["copy"]["copied"] == 0


def test_a_tag_and_a_new_name(
    stored: HarborDouble, other_harbor: HarborDouble, store: BackupStore, task: Task
) -> None:
    meant: dict[str, Any] = {"tags": ["v1"], "renames": ["team-a=back"]}
    (each,) = task.execute(choose(store, projects="team-a", **meant))
    task.execute(restore(store, each, **meant))

    assert other_harbor.state.artifact("back/app", "v1")
    assert not other_harbor.state.project_names.keys() & set(PROJECTS)


def test_a_night_stays_as_it_was_when_its_run_is_cleared_whole(
    stored: HarborDouble, other_harbor: HarborDouble, store: BackupStore, task: Task
) -> None:
    before = holding(stored)
    (night,) = store.snapshots.list_keys()
    stored.state.delete_artifact("team-a/app", "v1")
    for _ in range(2):
        back_up(store)  # the tasks of the same run

    first, second, third = store.snapshots.list_keys()
    assert first == night
    assert second.endswith(f".again.{NAME.replace(':', '_').replace('+', '_')}")
    assert second < third
    newest = store.snapshots.read(third)
    assert newest
    assert newest.complete
    assert newest.projects["team-a"].digests == 0
    for each in task.execute(choose(store, snapshot=night)):
        task.execute(restore(store, each))
    there = holding(other_harbor)
    assert (there.manifests, there.tags) == (before.manifests, before.tags)


def test_a_snapshot_is_found_by_the_name_of_its_run(
    stored: HarborDouble, store: BackupStore, task: Task
) -> None:
    (night,) = store.snapshots.list_keys()
    stored.state.delete_artifact("team-a/app", "v1")
    back_up(store)
    again = store.snapshots.list_keys()[1]
    for name, found in ((night, night), (again, again), (RUN, again)):
        assert task.execute(choose(store, snapshot=name))[0]["snapshot"] == found


def test_a_project_takes_the_name_of_one_that_is_not_chosen(
    stored: HarborDouble, other_harbor: HarborDouble, store: BackupStore, task: Task
) -> None:
    meant: dict[str, Any] = {"renames": ["team-a=team-b"]}
    units = task.execute(choose(store, projects="team-a", **meant))
    task.execute(restore(store, units[0], **meant))
    assert task.execute(conclude(store, units, **meant))["complete"] is True

    assert other_harbor.state.artifact("team-b/app", "v1")


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ({"snapshot": "2020-01-01"}, "2020-01-01"),
        ({"projects": ["taem-a"]}, "The nearest of 2 projects there: team-a"),
        ({"repositories": ["team-a/apps"]}, "team-a/app"),
        ({"tags": ["nothing"]}, "no tag 'nothing'"),
        ({"renames": ["team-a"]}, "not a new name for a project"),
        ({"renames": ["team-a=team-b"]}, "both be restored as 'team-b'"),
        ({"harbor_conn_id": "nowhere"}, "no connection 'nowhere'"),
        ({"store": "/nowhere/at/all"}, "no backup store"),
        ({"overwrite": "perhaps"}, "neither true nor false"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_anything_is_sent(
    stored: HarborDouble,
    other_harbor: HarborDouble,
    store: BackupStore,
    task: Task,
    form: dict[str, Any],
    said: str,
) -> None:
    with pytest.raises((HarborConfigurationError, ValueError), match=said):
        task.execute(choose(store, **form))
    assert not other_harbor.state.artifacts


def test_a_dry_run_sends_nothing_and_ends_as_skipped(
    stored: HarborDouble, other_harbor: HarborDouble, store: BackupStore, task: Task
) -> None:
    units = task.execute(choose(store))
    for each in units:
        (result,) = task.execute(restore(store, each, plan_only="True"))
        assert result["plan"]["to_copy"] in (1, 5)
    assert not other_harbor.state.artifacts
    with pytest.raises(AirflowSkipException, match="Dry run"):
        task.execute(conclude(store, units, plan_only=True))


def test_one_project_of_a_unit_that_fails_does_not_stop_the_others(
    stored: HarborDouble, other_harbor: HarborDouble, store: BackupStore, task: Task
) -> None:
    other_harbor.faults.add(
        Fault(method="PUT", path="/v2/team-a/.*/manifests", status=503, times=None)
    )
    (each,) = task.execute(choose(store, max_units=1))
    with pytest.raises(BackupInterruptedError, match="1 of the 2 projects of this unit"):
        task.execute(restore(store, each))
    assert other_harbor.state.artifact("team-b/web", "v2")
    with pytest.raises(BackupIncompleteError, match="team-a/app@"):
        task.execute(conclude(store, [each]))

    other_harbor.faults.clear()
    task.execute(restore(store, each))
    assert task.execute(conclude(store, [each]))["complete"]


def test_a_restore_that_is_still_running_keeps_another_one_out(
    stored: HarborDouble, other_harbor: HarborDouble, store: BackupStore, task: Task
) -> None:
    units = task.execute(choose(store))
    store.lease(other_harbor.url, "manual__earlier").acquire()
    with pytest.raises(LeaseError, match="manual__earlier"):
        task.execute(restore(store, units[0]))
    store.lease(other_harbor.url, "manual__earlier").release()
    task.execute(restore(store, units[0]))
    with pytest.raises(BackupIncompleteError):
        task.execute(conclude(store, units))
    store.lease(other_harbor.url, "manual__later").acquire()


def test_content_comes_from_a_mirror_if_one_is_named(
    stored: HarborDouble,
    other_harbor: HarborDouble,
    store: BackupStore,
    connect: Connect,
    task: Task,
) -> None:
    with HarborDouble() as mirror:
        connect("mirror", mirror)
        back_up(store, destination_conn_id="mirror")
        (each, _) = task.execute(choose(store))
        task.execute(restore(store, each, mirror_conn_id="mirror"))
        assert any("/v2/team-a/app/blobs" in target for _, target, _ in mirror.requests.log)
    assert other_harbor.state.artifact("team-a/app", "v1")


def test_the_newest_night_whose_content_is_in_the_store_is_taken_unless_a_mirror_is_named(
    stored: HarborDouble, store: BackupStore, connect: Connect, task: Task
) -> None:
    with HarborDouble() as mirror:
        connect("mirror", mirror)
        (in_the_store,) = store.snapshots.list_keys()
        later = Task()
        later.moment += timedelta(days=1)
        back_up(store, later, destination_conn_id="mirror")
        assert task.execute(choose(store))[0]["snapshot"] == in_the_store
        at_the_mirror = task.execute(choose(store, mirror_conn_id="mirror"))[0]["snapshot"]
        assert at_the_mirror == store.snapshots.list_keys()[-1] != in_the_store


def test_a_mirror_is_not_restored_to_itself(
    stored: HarborDouble, store: BackupStore, task: Task
) -> None:
    (each, _) = task.execute(choose(store))
    with pytest.raises(HarborConfigurationError, match="the mirror is the registry"):
        task.execute(restore(store, each, mirror_conn_id="there"))


def test_a_report_says_so_where_nothing_was_chosen(store: BackupStore, task: Task) -> None:
    with pytest.raises(BackupIncompleteError, match="NOTHING was restored"):
        task.execute(conclude(store, None))


def test_results_of_a_restore_are_in_the_store_under_the_name_of_its_run(
    stored: HarborDouble, store: BackupStore, task: Task
) -> None:
    (each, _) = task.execute(choose(store))
    task.execute(restore(store, each))
    result = Results(store.restore_results, NAME).find("team-a")
    assert result is not None
    assert result.ok


def test_no_error_has_a_credential_in_it(
    stored: HarborDouble,
    other_harbor: HarborDouble,
    store: BackupStore,
    connect: Connect,
    task: Task,
) -> None:
    (each, _) = task.execute(choose(store))
    connect("there", other_harbor, password="Wrong-Secret-12345")
    with pytest.raises(HarborBackupError) as caught:
        task.execute(restore(store, each))
    assert "Wrong-Secret" not in str(caught.value)


@pytest.mark.parametrize(
    "operator",
    [HarborChooseSnapshotOperator, HarborRestoreOperator, HarborRestoreReportOperator],
)
def test_every_argument_can_come_from_the_form(operator: Any) -> None:
    arguments: set[str] = set()
    for each in inspect.getmro(operator)[:2]:
        arguments |= set(inspect.signature(each.__init__).parameters)
    assert arguments - {"self", "kwargs"} == set(operator.template_fields)
