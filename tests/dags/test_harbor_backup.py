from __future__ import annotations

import gzip
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_harbor.core.harbor.client import HarborClient
from airflow_provider_harbor.core.harbor.inventory import take_inventory
from airflow_provider_harbor.core.store.backup_store import BackupStore
from tests.dags.conftest import Run, errors_in
from tests.double import Fault, HarborDouble, Image, cosign_signature, multi_arch

pytestmark = pytest.mark.airflow
RunDag = Callable[..., Run]
NAMES = ("library", "team-a", "team-b")
RETENTION = (("retention.forget", -1), ("retention.prune", -1))


@pytest.fixture
def filled(harbor: HarborDouble, other_harbor: HarborDouble, connect: Any) -> HarborDouble:
    """A Harbor with three projects, and connections to it and to an empty destination."""
    for name in NAMES[1:]:
        harbor.create_project(name)
    harbor.push("library/base", Image("base"), "1", "latest")
    app = harbor.push("team-a/app", Image("app"), "v1")
    harbor.push("team-a/app", cosign_signature(app))
    harbor.push("team-b/web", multi_arch("web"), "v2")
    connect("harbor_default", harbor)
    connect("there", other_harbor)
    return harbor


def held(harbor: HarborDouble) -> set[tuple[str, str, tuple[str, ...]]]:
    """Return all that a Harbor holds: repository, digest, tags."""
    with HarborClient(harbor.url, harbor.user, harbor.password) as client:
        return {
            (record.repository, record.digest, tuple(tag.name for tag in record.tags))
            for project in client.iter_projects()
            for record in take_inventory(client, project.name).records
        }


def committed(root: Path) -> list[str]:
    """Return how the runs of a store ended."""
    return [path.name for path in root.glob("snapshots/*/*.json") if path.stem != "settings"]


def failed(run: Run) -> set[tuple[str, int]]:
    return {key for key, state in run.states.items() if state == "failed"}


def test_everything_is_copied(
    run_dag: RunDag,
    filled: HarborDouble,
    other_harbor: HarborDouble,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    run = run_dag("harbor_backup", store=str(tmp_path), mirror="there")

    assert run.state == "success"
    assert set(run.states.values()) == {"success"}
    assert held(other_harbor) == held(filled)
    assert committed(tmp_path) == ["snapshot.json"]
    for task in ("backup.inventory", "backup.copy"):
        assert tuple(run.names[task, index] for index in range(3)) == NAMES
    (event,) = run.asset_events
    # What the run is called in the store, and by who restores from it.
    (snapshot,) = BackupStore(tmp_path).snapshots.read_all()
    assert event["run"] == snapshot.run
    assert snapshot.settings is not None
    assert set(snapshot.settings.projects) == set(snapshot.projects)
    assert snapshot.run.endswith(f".harbor_backup.{run.run_id}")
    assert event["complete"] is True
    assert event["counts"]["artifacts"] == 3
    # References and counts only.
    assert all(len(json.dumps(value)) < 2000 for value in run.xcoms.values())
    # What the backup says of itself is in the logs, what it must not say is nowhere.
    output = "".join(capfd.readouterr())
    assert "Everything is protected" in output
    for shown in (
        output,
        json.dumps([*run.xcoms.values(), *run.fields.values()]),
        *texts(tmp_path),
    ):
        assert filled.password not in shown


def texts(root: Path) -> list[str]:
    """Return what is in the files of a store."""
    files = [path for path in root.rglob("*") if path.is_file()]
    return [
        (gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()).decode()
        for path in files
    ]


def test_one_project_cannot_be_listed(
    run_dag: RunDag, filled: HarborDouble, other_harbor: HarborDouble, tmp_path: Path
) -> None:
    fault = Fault(path="/projects/team-a/(artifacts|repositories)", status=403, times=None)
    filled.faults.add(fault)
    run = run_dag("harbor_backup", store=str(tmp_path), mirror="there")

    assert run.state == "failed"
    # Permanent: failed at the first try, and shown by its name.
    assert failed(run) == {("backup.inventory", 1), ("backup.copy", 1), ("snapshot", -1)}
    assert {tries for key, tries in run.tries.items() if key not in RETENTION} == {1}
    assert {run.states[key] for key in RETENTION} == {"upstream_failed"}
    assert run.names["backup.copy", 1] == "team-a"
    assert fault.hits == 1
    assert committed(tmp_path) == ["partial.json"]
    assert run.asset_events == []
    (report,) = tmp_path.glob("reports/*.json")
    results = {r["project"]: r for r in json.loads(report.read_text())["projects"]}
    assert {name: result["ok"] for name, result in results.items()} == {
        "library": True,
        "team-a": False,
        "team-b": True,
    }
    assert "team-a" in results["team-a"]["error"]
    (snapshot,) = BackupStore(tmp_path).snapshots.read_all()
    assert not snapshot.complete
    assert {name for name, held in snapshot.projects.items()} == {"library", "team-b"}
    assert {repository for repository, _, _ in held(other_harbor)} == {"library/base", "team-b/web"}


def test_one_artifact_cannot_be_copied(
    run_dag: RunDag,
    filled: HarborDouble,
    other_harbor: HarborDouble,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    lost = next(iter(Image("app").blobs))
    filled.state.lose_blob(lost)
    filled.push("team-a/other", Image("other"), "v1")
    run = run_dag("harbor_backup", store=str(tmp_path), mirror="there")

    output = "".join(capfd.readouterr())
    lines = errors_in(output)
    artifact = f"  team-a/app@{Image('app').digest}"
    assert lines[:2] == ["project team-a: 1 of 3 digests could not be copied", artifact]
    verdict = lines.index(next(line for line in lines if line.startswith("NOT everything is")))
    assert lines[verdict + 2 : verdict + 4] == [
        "  in this project:",
        "    team-a (whole in none of the newest nights)",
    ]
    assert artifact in lines[verdict:]
    assert not re.search(r"airflow_provider_harbor/(core|hooks)/.*, line \d+", output)

    assert failed(run) == {("backup.copy", 1), ("snapshot", -1)}
    assert {tries for key, tries in run.tries.items() if key not in RETENTION} == {1}
    assert committed(tmp_path) == ["partial.json"]
    (report,) = tmp_path.glob("reports/*.json")
    findings = json.loads(report.read_text())["projects"][1]["copy"]["findings"]
    assert [f["digest"] for f in findings if f["reason"] == "missing-blob"] == [Image("app").digest]
    assert ("team-a/other", Image("other").digest, ("v1",)) in held(other_harbor)


def test_what_may_pass_is_tried_again(
    run_dag: RunDag, filled: HarborDouble, tmp_path: Path
) -> None:
    # More often than the transport itself tries.
    filled.faults.add(
        Fault(
            path="/projects/team-a/repositories", status=503, times=6, headers={"Retry-After": "0"}
        )
    )
    run = run_dag("harbor_backup", store=str(tmp_path), mirror="there")

    assert run.state == "success"
    assert run.tries["backup.inventory", 1] == 2
    assert run.tries["backup.inventory", 0] == 1
    assert committed(tmp_path) == ["snapshot.json"]


def reported_error(store: Path) -> str:
    """Return what the report says ended the run before it had begun."""
    (report,) = (store / "reports").glob("*.json")
    return str(json.loads(report.read_text())["error"])


def test_harbor_is_not_there(run_dag: RunDag, filled: HarborDouble, tmp_path: Path) -> None:
    filled.faults.add(Fault(path="/ping", status=404, times=None))
    run = run_dag("harbor_backup", store=str(tmp_path), mirror="there")

    assert run.state == "failed"
    assert failed(run) == {("check", -1), ("snapshot", -1)}
    assert run.states["projects", -1] == "upstream_failed"
    assert run.states["backup.copy", -1] == "upstream_failed"
    assert "there is no Harbor at" in reported_error(tmp_path)


def test_a_store_that_cannot_be_opened_is_no_reason_to_wait(
    run_dag: RunDag, filled: HarborDouble, capfd: pytest.CaptureFixture[str]
) -> None:
    run = run_dag("harbor_backup", store="/proc/no-such-place/store")

    assert failed(run) == {("check", -1), ("snapshot", -1)}
    assert {run.tries[key] for key in failed(run)} == {1}
    told = " ".join(" ".join(errors_in("".join(capfd.readouterr()))).split())
    assert told.startswith(
        "file:///proc/no-such-place/store: the directory cannot be made, since "
        "/proc/no-such-place is not there. Is everything mounted?"
    )


def test_mistyped_project(run_dag: RunDag, filled: HarborDouble, tmp_path: Path) -> None:
    run = run_dag("harbor_backup", store=str(tmp_path), projects=["taem-*"])

    assert run.state == "failed"
    assert failed(run) == {("projects", -1), ("settings", -1), ("snapshot", -1)}
    assert "'taem-*'" in reported_error(tmp_path)


def test_form_values_are_heeded(
    run_dag: RunDag, filled: HarborDouble, other_harbor: HarborDouble, tmp_path: Path, connect: Any
) -> None:
    connect("elsewhere", other_harbor)
    run = run_dag(
        "harbor_backup",
        store=str(tmp_path),
        projects=["team-*"],
        exclude=["team-b"],
        mirror="elsewhere",
        workers=2,
    )

    assert run.state == "success"
    assert {repository for repository, _, _ in held(other_harbor)} == {"team-a/app"}
    assert run.fields["backup.copy", 0]["workers"] == 2


def test_dry_run(
    run_dag: RunDag, filled: HarborDouble, other_harbor: HarborDouble, tmp_path: Path
) -> None:
    before = held(other_harbor)
    run = run_dag("harbor_backup", store=str(tmp_path), mirror="there", dry_run=True)

    assert run.state == "success"
    skipped = (("settings", -1), ("snapshot", -1), *RETENTION)
    assert {run.states[key] for key in skipped} == {"skipped"}
    assert held(other_harbor) == before == set()
    assert len(list(tmp_path.glob("plans/*/*.jsonl.gz"))) == 3
    assert len(list(tmp_path.glob("inventories/*/*"))) == 3
    assert committed(tmp_path) == []
    assert run.asset_events == []


def test_more_projects_than_airflow_maps(
    run_dag: RunDag,
    filled: HarborDouble,
    other_harbor: HarborDouble,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AIRFLOW__CORE__MAX_MAP_LENGTH", "2")
    filled.faults.add(Fault(path="/projects/library/artifacts", status=403, times=None))
    run = run_dag("harbor_backup", store=str(tmp_path), mirror="there")

    assert run.names["backup.copy", 0] == "library to team-a (2)"
    assert failed(run) == {("backup.inventory", 0), ("backup.copy", 0), ("snapshot", -1)}
    # The other project of the unit is protected all the same.
    assert {repository for repository, _, _ in held(other_harbor)} == {"team-a/app", "team-b/web"}


def test_nights_that_no_rule_keeps_are_forgotten_after_a_complete_one(
    run_dag: RunDag, filled: HarborDouble, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run_dag("harbor_backup", store=str(tmp_path)).state == "success"
    (last,) = tmp_path.glob("snapshots/*/snapshot.json")
    for day in range(1, 29):
        old = tmp_path / "snapshots" / f"2020-02-{day:02}"
        old.mkdir()
        night = json.loads(last.read_text())
        night |= {"run": old.name, "started_at": f"2020-02-{day:02}T03:30:00+00:00"}
        (old / "snapshot.json").write_text(json.dumps(night))
    capfd.readouterr()
    run = run_dag("harbor_backup", store=str(tmp_path))

    assert set(run.states.values()) == {"success"}
    kept = sorted(path.name for path in tmp_path.glob("snapshots/*"))
    # By days, and then by weeks; all else is kept already.
    february = [f"2020-02-{day:02}" for day in (2, 9, *range(16, 29))]
    assert kept[:-2] == february
    assert len(run.xcoms["retention.forget", -1]["forgotten"]) == 28 - len(february)
    assert run.xcoms["retention.prune", -1]["deleted_files"] == 0
    output = "".join(capfd.readouterr())
    assert "daily 2020-02-28, weekly 2020-W09, monthly 2020-02, yearly 2020" in output
