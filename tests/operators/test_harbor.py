from __future__ import annotations

import gzip
import json
import re
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import Asset
from airflow.sdk.exceptions import AirflowSkipException

from airflow_provider_harbor.core.exceptions import (
    BackupIncompleteError,
    BackupInterruptedError,
    HarborAuthError,
    HarborConfigurationError,
    HarborConnectionError,
    HarborNotFoundError,
    HarborRefusedError,
    HarborSightError,
    LeaseError,
    StoreError,
    StoreReason,
    UnhealthyHarborError,
)
from airflow_provider_harbor.core.jobs.results import ProjectResult, Results
from airflow_provider_harbor.core.store.backup_store import BackupStore
from airflow_provider_harbor.operators.backup import (
    HarborCopyOperator,
    HarborInventoryOperator,
    HarborSnapshotOperator,
)
from airflow_provider_harbor.operators.harbor import (
    RETRY_POLICY,
    HarborHealthCheckOperator,
    HarborListProjectsOperator,
)
from airflow_provider_harbor.operators.telling import HarborTaskFailed, HarborTaskInterrupted
from tests.double import Fault, HarborDouble, Image, multi_arch

Connect = Callable[..., str]
RUN = "scheduled__2026-01-02T03:04:05+00:00"
# What the run is called in the store: its time, its DAG, its id.
NAME = f"2026-01-02T03-04-05Z.backup.{RUN}"
WHOLE = Asset("whole")


class Task:
    """What Airflow gives to an operator, and what the operator leaves behind."""

    def __init__(self, run: str = RUN) -> None:
        self.run = run
        self.moment = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)
        self.xcoms: dict[str, Any] = {}
        self.states: dict[str, str] = {}
        self.events = {WHOLE: SimpleNamespace(extra={})}

    def execute(self, operator: Any) -> Any:
        context = {
            "run_id": self.run,
            "ti": SimpleNamespace(
                xcom_push=self._push, get_task_states=lambda **query: {self.run: self.states}
            ),
            "dag_run": SimpleNamespace(
                dag_id="backup",
                run_id=self.run,
                run_after=self.moment,
            ),
            "outlet_events": self.events,
        }
        try:
            return operator.execute(context)
        except (HarborTaskFailed, HarborTaskInterrupted) as failed:
            # How it is told is tested once for all operators, in test_telling.py.
            raise failed.error or failed from None

    def _push(self, *, key: str, value: Any) -> None:
        # XComs are JSON.
        self.xcoms[key] = json.loads(json.dumps(value))


@pytest.fixture
def task() -> Task:
    return Task()


@pytest.fixture
def store(tmp_path: Path, harbor: HarborDouble) -> BackupStore:
    """A store as the task `check` begins it."""
    begun = BackupStore(tmp_path / "store")
    begun.begin_for(harbor.url)
    return begun


@pytest.fixture
def filled(harbor: HarborDouble, other_harbor: HarborDouble, connect: Connect) -> HarborDouble:
    for name in ("team-a", "team-b"):
        harbor.create_project(name)
    harbor.push("team-a/app", Image("app"), "v1")
    harbor.push("team-b/web", multi_arch("web"), "v2")
    connect("harbor_default", harbor)
    connect("there", other_harbor)
    return harbor


def unit(*projects: str) -> dict[str, Any]:
    return {"name": projects[0], "projects": list(projects)}


def inventory(store: BackupStore, *projects: str, **more: Any) -> HarborInventoryOperator:
    return HarborInventoryOperator(
        task_id="inventory", unit=unit(*projects), store=store.url, **more
    )


def copy(store: BackupStore, refs: Any, *projects: str, **more: Any) -> HarborCopyOperator:
    known = {"destination_conn_id": "there", "store": store.url}
    return HarborCopyOperator(
        task_id="copy", unit=unit(*projects), inventories=refs, **(known | more)
    )


def snapshot(store: BackupStore, units: Any, **more: Any) -> HarborSnapshotOperator:
    known = {"destination_conn_id": "there", "store": store.url}
    return HarborSnapshotOperator(
        task_id="snapshot", units=units, outlets=[WHOLE], **(known | more)
    )


def check(store: BackupStore, **more: Any) -> HarborHealthCheckOperator:
    return HarborHealthCheckOperator(task_id="check", store=store.url, **more)


# -- check


def test_check_returns_what_it_found(filled: HarborDouble, store: BackupStore, task: Task) -> None:
    found = task.execute(check(store))

    assert found["url"] == filled.url
    assert found["harbor_version"] == filled.state.version
    assert found["project_count"] == 3
    assert filled.password not in json.dumps(found)


def test_check_looks_at_the_destination_too(
    filled: HarborDouble, other_harbor: HarborDouble, store: BackupStore, task: Task
) -> None:
    operator = check(store, destination_conn_id="there")

    assert task.execute(operator)["destination"] == {"url": other_harbor.url, "kind": "Harbor"}
    with pytest.raises(HarborConfigurationError, match="no connection 'nowhere'"):
        task.execute(check(store, destination_conn_id="nowhere"))


def test_a_harbor_is_no_destination_of_itself(
    filled: HarborDouble, store: BackupStore, task: Task
) -> None:
    operator = check(store, destination_conn_id="harbor_default")
    with pytest.raises(HarborConfigurationError, match="are the same registry"):
        task.execute(operator)


def test_check_of_a_wrong_login(
    filled: HarborDouble, connect: Connect, store: BackupStore, task: Task
) -> None:
    connect("harbor_default", filled, password="Wrong12345")
    with pytest.raises(HarborAuthError, match="admin"):
        task.execute(check(store))


def test_check_of_a_wrong_login_at_the_destination(
    filled: HarborDouble,
    other_harbor: HarborDouble,
    connect: Connect,
    store: BackupStore,
    task: Task,
) -> None:
    connect("there", other_harbor, password="Wrong12345")
    with pytest.raises(HarborAuthError):
        task.execute(check(store, destination_conn_id="there"))


def test_check_of_an_expired_robot(
    filled: HarborDouble, connect: Connect, store: BackupStore, task: Task
) -> None:
    robot = filled.create_robot("backup", expires_at=1_600_000_000)
    connect("harbor_default", filled, login=robot, password="Robot-12345")
    with pytest.raises(HarborAuthError, match="has not expired"):
        task.execute(check(store))


def test_check_of_an_unhealthy_harbor(filled: HarborDouble, store: BackupStore, task: Task) -> None:
    filled.state.set_unhealthy("database", "too many connections")
    with pytest.raises(UnhealthyHarborError, match="database: too many connections"):
        task.execute(check(store))

    lenient = check(store, require_healthy=False)
    assert task.execute(lenient)["is_healthy"] is False


# -- projects


def test_projects_become_units_and_are_named_in_the_log(
    filled: HarborDouble, task: Task, capsys: pytest.CaptureFixture[str]
) -> None:
    units = task.execute(HarborListProjectsOperator(task_id="projects"))
    told = capsys.readouterr().out
    assert re.search(r"3 projects to back up:.*\n.*  library .*\n.*  team-a .*\n.*  team-b ", told)

    assert units == [unit("library"), unit("team-a"), unit("team-b")]


def test_projects_are_filtered(filled: HarborDouble, task: Task) -> None:
    operator = HarborListProjectsOperator(
        task_id="projects", projects=["team-*"], exclude=["team-b"]
    )

    assert task.execute(operator) == [unit("team-a")]


def test_more_projects_than_airflow_maps(
    filled: HarborDouble, task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__CORE__MAX_MAP_LENGTH", "2")
    units = task.execute(HarborListProjectsOperator(task_id="projects"))

    assert [each["projects"] for each in units] == [["library", "team-a"], ["team-b"]]


def test_a_mistyped_project(filled: HarborDouble, task: Task) -> None:
    with pytest.raises(HarborConfigurationError, match="no project matches 'taem-\\*'"):
        task.execute(HarborListProjectsOperator(task_id="projects", projects=["taem-*"]))


def test_a_login_that_does_not_see_all(filled: HarborDouble, connect: Connect, task: Task) -> None:
    robot = filled.create_robot("backup", ["team-a"])
    connect("harbor_default", filled, login=robot, password="Robot-12345")
    with pytest.raises(HarborSightError):
        task.execute(HarborListProjectsOperator(task_id="projects"))


# -- inventory


def test_inventory_is_in_the_store(filled: HarborDouble, store: BackupStore, task: Task) -> None:
    (ref,) = task.execute(inventory(store, "team-b"))
    records = list(store.inventories.iter_records(ref["project"], ref["sha256"]))

    assert ref["project"] == "team-b"
    assert ref["counts"]["artifacts"] == 1
    assert len(records) == 5
    assert len(json.dumps(ref)) < 500


def test_inventory_of_the_default_store(
    filled: HarborDouble, task: Task, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("AIRFLOW__HARBOR__STORE", str(tmp_path / "by-setting"))
    task.execute(HarborHealthCheckOperator(task_id="check"))
    task.execute(HarborInventoryOperator(task_id="inventory", unit=unit("team-a")))

    assert list((tmp_path / "by-setting/inventories/team-a").iterdir())


def test_a_worker_that_lacks_the_disk_begins_no_store_of_its_own(
    filled: HarborDouble, task: Task, tmp_path: Path
) -> None:
    with pytest.raises(HarborConfigurationError, match="is everything mounted"):
        task.execute(inventory(BackupStore(tmp_path / "not-mounted"), "team-a"))
    assert not (tmp_path / "not-mounted").exists()


def test_store_of_another_harbor(
    filled: HarborDouble, other_harbor: HarborDouble, store: BackupStore, task: Task
) -> None:
    theirs = BackupStore(f"{store.url}-theirs")
    theirs.begin_for(other_harbor.url)
    with pytest.raises(HarborConfigurationError, match=other_harbor.url):
        task.execute(inventory(theirs, "team-a"))


def test_inventory_of_a_project_that_is_gone(
    filled: HarborDouble, store: BackupStore, task: Task
) -> None:
    with pytest.raises((HarborAuthError, HarborNotFoundError), match="gone"):
        task.execute(inventory(store, "gone"))

    result = Results(store.results, NAME).find("gone")
    assert result is not None
    assert "gone" in result.error


def test_one_project_of_a_unit_cannot_be_listed(
    filled: HarborDouble, store: BackupStore, task: Task
) -> None:
    filled.faults.add(Fault(path="/projects/team-a/artifacts", status=403, times=None))
    with pytest.raises(BackupIncompleteError, match="project team-a\n"):
        task.execute(inventory(store, "library", "team-a", "team-b"))

    assert [ref["project"] for ref in task.xcoms["return_value"]] == ["library", "team-b"]


def add_a_repository_that_cannot_be_listed(harbor: HarborDouble) -> None:
    harbor.push("team-a/bad", Image("bad"), "v1")
    for path in ("/projects/team-a/artifacts", "/repositories/bad/"):
        harbor.faults.add(Fault(path=path, status=500, times=None))


def test_one_repository_that_cannot_be_listed_fails_its_project_after_the_others_are_copied(
    filled: HarborDouble, other_harbor: HarborDouble, store: BackupStore, task: Task
) -> None:
    add_a_repository_that_cannot_be_listed(filled)
    with pytest.raises(BackupInterruptedError, match="1 repository could not") as caught:
        task.execute(inventory(store, "team-a"))
    assert "repository team-a/bad" in str(caught.value)

    refs = task.xcoms["return_value"]
    (result,) = task.execute(copy(store, refs, "team-a"))
    assert not result["ok"]
    assert other_harbor.state.artifact("team-a/app", "v1")
    with pytest.raises(BackupIncompleteError, match="repository team-a/bad"):
        task.execute(snapshot(store, [unit("team-a")]))

    filled.faults.clear()
    refs = task.execute(inventory(store, "team-a"))
    task.execute(copy(store, refs, "team-a"))
    assert task.execute(snapshot(store, [unit("team-a")]))["complete"]
    assert other_harbor.state.artifact("team-a/bad", "v1")


def test_a_repository_that_could_not_be_listed_is_not_forgotten_when_only_the_copy_runs_again(
    filled: HarborDouble, store: BackupStore, task: Task
) -> None:
    add_a_repository_that_cannot_be_listed(filled)
    with pytest.raises(BackupInterruptedError):
        task.execute(inventory(store, "team-a"))
    refs = task.xcoms["return_value"]
    with pytest.raises(HarborConfigurationError):
        task.execute(copy(store, refs, "team-a", destination_conn_id="nowhere"))
    for _ in range(2):
        (result,) = task.execute(copy(store, refs, "team-a"))
        assert not result["ok"]
    left = Results(store.results, NAME).find("team-a")
    assert left
    assert [gap.repository for gap in left.gaps] == ["team-a/bad"]


# -- copy


def test_a_second_run_is_told_of_the_first_and_may_try_again(
    filled: HarborDouble, other_harbor: HarborDouble, store: BackupStore, task: Task
) -> None:
    refs = task.execute(inventory(store, "team-a"))
    other = store.lease(other_harbor.url, "manual__earlier")
    other.acquire()
    with pytest.raises(LeaseError, match="manual__earlier") as caught:
        task.execute(copy(store, refs, "team-a"))
    assert RETRY_POLICY.evaluate(caught.value, 1, 3).action.value == "retry"
    other.release()
    assert task.execute(copy(store, refs, "team-a"))


def test_a_snapshot_ends_the_lease_of_its_run(
    filled: HarborDouble, other_harbor: HarborDouble, store: BackupStore, task: Task
) -> None:
    refs = task.execute(inventory(store, "team-a"))
    task.execute(copy(store, refs, "team-a"))
    with pytest.raises(LeaseError):
        store.lease(other_harbor.url, "manual__later").acquire()
    task.execute(snapshot(store, [unit("team-a")]))
    store.lease(other_harbor.url, "manual__later").acquire()


def test_copy_brings_everything(
    filled: HarborDouble, other_harbor: HarborDouble, store: BackupStore, task: Task
) -> None:
    refs = task.execute(inventory(store, "team-b"))
    (result,) = task.execute(copy(store, refs, "team-b"))

    assert result["ok"]
    assert result["copy"]["copied"] == 5
    assert "findings" not in result["copy"]
    there = other_harbor.state.project_names["team-b"]
    assert not there.public

    (again,) = task.execute(copy(store, refs, "team-b"))
    assert (again["copy"]["copied"], again["copy"]["present"]) == (0, 5)


def test_dry_run_copies_nothing(
    filled: HarborDouble, other_harbor: HarborDouble, store: BackupStore, task: Task, tmp_path: Path
) -> None:
    refs = task.execute(inventory(store, "team-b"))
    (result,) = task.execute(copy(store, refs, "team-b", plan_only=True))

    assert result["dry_run"]
    assert result["copy"] is None
    assert "team-b" not in other_harbor.state.project_names
    (plan,) = (tmp_path / "store/plans").rglob("team-b.jsonl.gz")
    assert len(gzip.decompress(plan.read_bytes()).splitlines()) == 1 + 5
    assert result["plan"]["to_copy"] == 5

    with pytest.raises(AirflowSkipException, match="Dry run"):
        task.execute(snapshot(store, [unit("team-b")], plan_only=True))
    assert not list((tmp_path / "store/snapshots").rglob("*snapshot.json"))
    assert len(list((tmp_path / "store/reports").iterdir())) == 2
    assert task.events[WHOLE].extra == {}


def test_copy_of_what_could_not_be_listed(
    filled: HarborDouble, store: BackupStore, task: Task
) -> None:
    with pytest.raises(BackupIncompleteError, match="project team-b: this run has no inventory"):
        task.execute(copy(store, None, "team-b"))


def test_one_project_of_a_unit_was_not_listed(
    filled: HarborDouble, other_harbor: HarborDouble, store: BackupStore, task: Task
) -> None:
    refs = task.execute(inventory(store, "team-b"))
    with pytest.raises(BackupIncompleteError, match="project team-a\n"):
        task.execute(copy(store, refs, "team-a", "team-b"))

    result = Results(store.results, NAME).find("team-b")
    assert result is not None
    assert result.ok


def test_copy_without_a_destination(
    filled: HarborDouble, other_harbor: HarborDouble, store: BackupStore, task: Task
) -> None:
    refs = task.execute(inventory(store, "team-b"))
    other_harbor.stop()
    with pytest.raises(HarborConnectionError):
        task.execute(copy(store, refs, "team-b"))

    result = Results(store.results, NAME).find("team-b")
    assert result is not None
    assert other_harbor.url in result.error


def test_a_destination_that_is_none_is_said_also_where_the_store_takes_no_results(
    filled: HarborDouble, store: BackupStore, task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    refs = task.execute(inventory(store, "team-b"))

    def full(*_: object) -> None:
        raise StoreError(StoreReason.FULL, "the disk is full", where=store.url)

    monkeypatch.setattr(Results, "keep", full)
    with pytest.raises(HarborConfigurationError, match="no connection 'nowhere'"):
        task.execute(copy(store, refs, "team-b", destination_conn_id="nowhere"))


def test_copy_of_an_artifact_whose_blob_is_lost(
    filled: HarborDouble, store: BackupStore, task: Task
) -> None:
    blob = next(iter(Image("app").blobs))
    filled.faults.add(
        Fault(
            path=f"/v2/team-a/app/blobs/{blob}",
            status=404,
            times=None,
            body='{"errors":[{"code":"BLOB_UNKNOWN","message":"blob unknown to registry"}]}',
        )
    )
    refs = task.execute(inventory(store, "team-a"))
    with pytest.raises(BackupIncompleteError, match="project team-a: 1 of 1 digests") as caught:
        task.execute(copy(store, refs, "team-a"))

    assert not isinstance(caught.value, BackupInterruptedError)
    assert Image("app").digest in str(caught.value)


def test_copy_that_is_refused(
    filled: HarborDouble, other_harbor: HarborDouble, store: BackupStore, task: Task
) -> None:
    other_harbor.state.read_only = True
    refs = task.execute(inventory(store, "team-a"))
    with pytest.raises((BackupIncompleteError, HarborRefusedError), match=r"read.only"):
        task.execute(copy(store, refs, "team-a"))


# -- snapshot


def test_snapshot_of_a_whole_run(
    filled: HarborDouble, store: BackupStore, task: Task, tmp_path: Path
) -> None:
    units = task.execute(HarborListProjectsOperator(task_id="projects"))
    status = task.execute(check(store))
    for each in units:
        refs = task.execute(inventory(store, *each["projects"]))
        task.execute(copy(store, refs, *each["projects"]))
    summary = task.execute(snapshot(store, units, status=status))

    assert summary["complete"] is True
    assert summary["counts"]["artifacts"] == 2
    assert task.events[WHOLE].extra == summary
    assert store.snapshots.read(NAME).complete
    (report,) = (tmp_path / "store/reports").glob("*.json")
    assert json.loads(report.read_text())["harbor_version"] == filled.state.version


def test_snapshot_of_a_run_that_lacks_a_project(
    filled: HarborDouble, store: BackupStore, task: Task, tmp_path: Path
) -> None:
    refs = task.execute(inventory(store, "team-a"))
    task.execute(copy(store, refs, "team-a"))
    with pytest.raises(BackupIncompleteError, match=r"project team-b\n +it left no result"):
        task.execute(snapshot(store, [unit("team-a"), unit("team-b")]))

    assert list((tmp_path / "store/snapshots").glob("*/partial.json"))
    assert task.events[WHOLE].extra == {}

    refs = task.execute(inventory(store, "team-b"))
    task.execute(copy(store, refs, "team-b"))
    assert task.execute(snapshot(store, [unit("team-a"), unit("team-b")]))["complete"]
    assert store.snapshots.read(NAME).complete


def test_snapshot_without_its_store_blames_no_project(
    filled: HarborDouble, task: Task, tmp_path: Path
) -> None:
    elsewhere = BackupStore(tmp_path / "not-mounted")
    with pytest.raises(HarborConfigurationError, match="there is no backup store at"):
        task.execute(snapshot(elsewhere, [unit("team-a"), unit("team-b")]))
    assert not (tmp_path / "not-mounted").exists()


def test_snapshot_where_the_projects_could_not_be_listed(
    filled: HarborDouble, store: BackupStore, task: Task
) -> None:
    with pytest.raises(BackupIncompleteError, match="NOTHING was backed up"):
        task.execute(snapshot(store, None))


def test_whole_results_of_an_earlier_try_do_not_hide_that_this_one_failed(
    filled: HarborDouble, store: BackupStore, task: Task
) -> None:
    refs = task.execute(inventory(store, "team-a"))
    task.execute(copy(store, refs, "team-a"))
    again = snapshot(store, [unit("team-a")])
    again.upstream_task_ids.update({"check", "projects", "backup.copy"})
    task.states = {"check": "failed", "projects": "upstream_failed", "backup.copy_0": "success"}
    with pytest.raises(BackupIncompleteError, match="task check failed") as caught:
        task.execute(again)

    assert "backup.copy" not in str(caught.value)
    assert task.events[WHOLE].extra == {}


def test_a_report_is_written_also_where_the_destination_is_no_connection(
    filled: HarborDouble, store: BackupStore, task: Task, tmp_path: Path
) -> None:
    with pytest.raises(BackupIncompleteError, match="NOTHING was backed up"):
        task.execute(snapshot(store, None, destination_conn_id="nowhere"))
    (report,) = (tmp_path / "store/reports").glob("*.json")
    assert json.loads(report.read_text())["destination"] == "connection 'nowhere'"


# -- what is tried again


@pytest.mark.parametrize(
    ("error", "action"),
    [
        (HarborConnectionError("refused"), "retry"),
        (UnhealthyHarborError("u", {}), "retry"),
        (BackupInterruptedError("some", []), "retry"),
        (BackupIncompleteError("some", []), "fail"),
        (HarborAuthError(status=401), "fail"),
        (HarborSightError("sees 1 of 2"), "fail"),
        (OSError("disk full"), "default"),
    ],
)
def test_only_what_may_pass_is_tried_again(error: Exception, action: str) -> None:
    assert RETRY_POLICY.evaluate(error, 1, 3).action.value == action


def test_certificate_errors_are_no_passing_connection_errors() -> None:
    from airflow_provider_harbor.core.exceptions import HarborTlsError

    assert RETRY_POLICY.evaluate(HarborTlsError("expired"), 1, 3).action.value == "fail"


@pytest.mark.parametrize(
    "operator",
    [
        HarborHealthCheckOperator,
        HarborListProjectsOperator,
        HarborInventoryOperator,
        HarborCopyOperator,
        HarborSnapshotOperator,
    ],
)
def test_every_argument_can_come_from_a_mapping(operator: Any) -> None:
    import inspect

    arguments = set(inspect.signature(operator.__init__).parameters) - {"self", "kwargs"}
    assert arguments == set(operator.template_fields)


def test_results_are_small_enough_for_an_xcom(
    filled: HarborDouble, store: BackupStore, task: Task
) -> None:
    refs = task.execute(inventory(store, "team-b"))
    (result,) = task.execute(copy(store, refs, "team-b"))

    assert len(json.dumps(result)) < 2000
    assert ProjectResult.from_json(result).ok
