"""The steps of a run: what one leaves for the next, whatever came in between."""

from __future__ import annotations

import gzip
import json
from datetime import datetime, timezone

import pytest

from airflow_provider_harbor.core.copy import plan
from airflow_provider_harbor.core.copy.outcome import Status
from airflow_provider_harbor.core.exceptions import IntegrityError, LeaseError
from airflow_provider_harbor.core.jobs.backup import finish_run, inventory_project
from airflow_provider_harbor.core.jobs.report import RunReport
from airflow_provider_harbor.core.jobs.results import Results
from airflow_provider_harbor.core.store import layout
from airflow_provider_harbor.core.store.inventories import InventoryRef
from tests.core.restoring import bring_back
from tests.core.rig import Backup, list_whole, reach, registry_login
from tests.double import Fault, HarborDouble
from tests.double.content import Image, multi_arch
from tests.registry_server import PlainRegistry


@pytest.fixture(autouse=True)
def project(harbor: HarborDouble) -> None:
    harbor.create_project("p")
    harbor.push("p/app", Image("app"), "1.0")


def conclude(backup: Backup, run: str) -> RunReport:
    return finish_run(
        backup.store,
        run,
        ["p"],
        harbor_url=backup.client.url,
        destination="http://registry.example.com",
        started_at=datetime.now(timezone.utc),
    )


def list_with_a_gap(harbor: HarborDouble, backup: Backup) -> InventoryRef:
    harbor.push("p/bad", Image("bad"), "1")
    for path in ("/projects/p/artifacts", "/repositories/bad/artifacts"):
        harbor.faults.add(Fault(path=path, times=None, status=500))
    ref = inventory_project(backup.client, backup.store, "night", "p")
    harbor.faults.clear()
    assert ref.gaps == 1
    return ref


def test_a_gap_is_in_the_result_of_the_copy(
    harbor: HarborDouble, other_harbor: HarborDouble, backup: Backup
) -> None:
    ref = list_with_a_gap(harbor, backup)
    result = backup.copy(reach(other_harbor), "night", ref)
    assert not result.ok
    assert [gap.repository for gap in result.gaps] == ["p/bad"]
    report = conclude(backup, "night")
    assert not report.complete
    assert report.failures()[0].startswith("repository p/bad: it could not be listed whole")


def test_a_gap_is_not_forgotten_where_its_result_is_lost(
    harbor: HarborDouble, other_harbor: HarborDouble, backup: Backup
) -> None:
    ref = list_with_a_gap(harbor, backup)
    (left,) = (backup.store_path / "snapshots").rglob("p.json")
    left.unlink()
    result = backup.copy(reach(other_harbor), "night", ref)
    assert not result.ok
    assert "1 repository could not be listed whole" in result.gaps[0].message
    assert not conclude(backup, "night").complete


def test_a_gap_of_an_older_inventory_is_not_taken_from_a_newer_one(
    harbor: HarborDouble, other_harbor: HarborDouble, backup: Backup
) -> None:
    """Clearing the copy of an attempt that the inventory has gone beyond copies the older one."""
    older = list_with_a_gap(harbor, backup)
    newer = inventory_project(backup.client, backup.store, "night", "p")
    assert backup.copy(reach(other_harbor), "night", older).gaps
    inventory_project(backup.client, backup.store, "night", "p")
    assert backup.copy(reach(other_harbor), "night", newer).ok


@pytest.mark.parametrize("status", [403, 404])
def test_a_login_that_may_not_read_the_project_itself_copies_it_all_the_same(
    harbor: HarborDouble, other_harbor: HarborDouble, backup: Backup, status: int
) -> None:
    harbor.faults.add(Fault(path="/projects/p$", times=None, status=status))
    assert backup.run(reach(other_harbor)).complete
    assert registry_login(other_harbor).find_manifest("p/app", "1.0")


def test_a_dry_run_says_what_it_could_not_plan(
    harbor: HarborDouble, other_harbor: HarborDouble, backup: Backup
) -> None:
    other_harbor.create_project("p")
    other_harbor.push("p/app", Image("there"), "1")
    for path in ("/projects/p/artifacts", "/repositories/app/artifacts"):
        other_harbor.faults.add(Fault(path=path, times=None, status=500))
    harbor.push("p/fine", Image("fine"), "1")
    other_harbor.push("p/fine", Image("older"), "0")
    report = backup.run(reach(other_harbor), dry_run=True)
    (line,) = report.failures()
    assert "1 digest cannot be copied, p/app@" in line
    assert "the destination's p/app could not be listed" in line


def test_an_index_whose_child_nobody_listed_is_not_called_copied(
    harbor: HarborDouble, backup: Backup
) -> None:
    """A registry that a restore sends it to would refuse it."""
    index = harbor.push("p/multi", multi_arch("multi"), "1.0")
    records = [r for r in list_whole(backup.client, "p") if r.digest == index.digest]
    with backup.store.inventories.write("p") as writer:
        writer.add(records)
        ref = InventoryRef(
            project="p",
            sha256=writer.finish(),
            counts=writer.counts,
            listed_at=datetime.now(timezone.utc).isoformat(timespec="microseconds"),
        )
    result = backup.copy(backup.itself, "night", ref)
    (finding,) = result.iter_findings(Status.FAILED)
    assert (finding.digest, finding.reason) == (index.digest, "missing-blob")
    assert not list(backup.store.inventories.iter_contents("p", result.contents))


def test_a_plan_names_what_would_be_copied_and_under_which_tags(
    harbor: HarborDouble, other_harbor: HarborDouble, backup: Backup
) -> None:
    untagged = harbor.push("p/app", Image("untagged"))
    report = backup.run(reach(other_harbor), dry_run=True)
    content = (backup.store_path / layout.plan(report.run, "p")).read_bytes()
    _, *lines = map(json.loads, gzip.decompress(content).splitlines())
    assert {line["digest"]: line["tags"] for line in lines} == {
        Image("app").digest: ["1.0"],
        untagged.digest: [],
    }


def test_the_end_of_a_run_ends_its_lease(other_harbor: HarborDouble, backup: Backup) -> None:
    destination = reach(other_harbor)
    ref = inventory_project(backup.client, backup.store, "night-1", "p")
    backup.copy(destination, "night-1", ref)
    finish_run(
        backup.store,
        "night-1",
        ["p"],
        harbor_url=backup.client.url,
        destination=destination.url,
        started_at=datetime.now(timezone.utc),
    )
    ref = inventory_project(backup.client, backup.store, "night-2", "p")
    assert backup.copy(destination, "night-2", ref).ok


def test_a_run_that_lost_its_lease_does_not_even_prepare_the_destination(
    other_harbor: HarborDouble, backup: Backup
) -> None:
    destination = reach(other_harbor)
    ref = inventory_project(backup.client, backup.store, "night", "p")
    with backup.lease(destination, "night") as lease:
        lease._lost = LeaseError("the run other has taken over")
        with pytest.raises(LeaseError, match="has taken over"):
            backup.copy(destination, "night", ref, lease=lease)
    assert other_harbor.state.project("p") is None
    assert not list(backup.store_path.rglob("*.json.gz"))
    left = Results(backup.store.results, "night").find("p")
    assert left
    assert "has taken over" in left.error


def test_nothing_is_copied_of_an_inventory_that_somebody_has_changed(
    harbor: HarborDouble,
    other_harbor: HarborDouble,
    backup: Backup,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each of its lines can be read: only all of them together show that it is another one."""
    monkeypatch.setattr(plan, "_CHUNK_REPOSITORIES", 1)  # each is planned before the next is read
    for name in ("p/second", "p/third"):
        harbor.push(name, Image(name), "1.0")
    ref = inventory_project(backup.client, backup.store, "night", "p")
    path = backup.store_path / layout.inventory("p", ref.sha256)
    changed = gzip.decompress(path.read_bytes()).replace(b'"1.0"', b'"2.0"')
    path.write_bytes(gzip.compress(changed))
    with pytest.raises(IntegrityError, match="something else than its name says"):
        backup.copy(reach(other_harbor), "night", ref)
    assert other_harbor.state.project("p") is None


def test_a_tag_that_a_restore_moved_back_is_moved_again_by_the_next_night(
    harbor: HarborDouble, plain_registry: PlainRegistry, backup: Backup
) -> None:
    """What is remembered of a plain registry is not believed behind a restore to it."""
    mirror = reach(plain_registry)
    older = backup.run(backup.itself)
    newer = harbor.push("p/app", Image("newer"), "1.0")
    assert backup.run(mirror).complete
    restored = bring_back(backup.store, mirror, which=older.run, overwrites=True)
    assert restored.complete
    assert mirror.registry.find_manifest("p/app", "1.0") == Image("app").digest
    assert backup.run(mirror).complete
    assert mirror.registry.find_manifest("p/app", "1.0") == newer.digest
