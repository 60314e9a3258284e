"""A run of another day is cleared and runs again: the night that it was stays what it was."""

from __future__ import annotations

import itertools
from datetime import datetime, timezone

from airflow_provider_harbor.core.cli.main import main
from airflow_provider_harbor.core.jobs.backup import finish_run, inventory_project
from airflow_provider_harbor.core.store import layout
from tests.core.rig import Backup
from tests.double import HarborDouble, Image


def test_a_night_that_is_run_again_gets_a_snapshot_of_its_own_and_both_are_whole(
    harbor: HarborDouble, backup: Backup
) -> None:
    harbor.create_project("p")
    for name in ("p/kept", "p/lost"):
        harbor.push(name, Image(name), "1")
    backup.store.begin_for(harbor.url)
    first = backup.run(backup.itself)
    harbor.state.forget_repository(harbor.state.repositories["p/lost"])
    backup._nights = itertools.count(1)  # the same run again
    again = backup.run(backup.itself)

    assert again.run.endswith(f".again.{first.run}")
    assert again.complete
    was = backup.store.snapshots.read(first.run)
    now = backup.store.snapshots.read(again.run)
    assert was
    assert now
    assert (was.digests, now.digests) == (2, 1)
    reports = {path.name for path in (backup.store_path / "reports").glob("*.json")}
    assert len(reports) == 2
    assert main(["verify", backup.store.url, "--all", "--quiet"]) == 0


def test_what_a_repair_has_taken_away_meanwhile_is_not_said_to_be_protected(
    harbor: HarborDouble, backup: Backup
) -> None:
    harbor.create_project("p")
    harbor.push("p/app", Image("first"), "1")
    store, place, run = backup.store, backup.itself, "night-9"
    store.begin_for(harbor.url)
    backup.run(place)
    image = harbor.push("p/app", Image("second"), "2")
    with backup.lease(place, run):  # p is copied, and the run is killed
        backup.copy(place, run, inventory_project(backup.client, store, run, "p"))
    path = backup.store_path / layout.blob(min(image.blobs))
    path.write_bytes(bytes(path.stat().st_size))
    assert main(["verify", store.url, "--all", "--repair", "--quiet"]) == 0
    assert not path.exists()

    def end() -> bool:
        with backup.lease(place, run):
            ref = inventory_project(backup.client, store, run, "library")
            backup.copy(place, run, ref)
            return finish_run(
                store,
                run,
                ["library", "p"],
                harbor_url=harbor.url,
                destination=place.url,
                started_at=datetime.now(timezone.utc),
            ).complete

    assert not end()
    with backup.lease(place, run):
        backup.copy(place, run, inventory_project(backup.client, store, run, "p"))
    assert end()
    assert main(["verify", store.url, "--all", "--quiet"]) == 0
