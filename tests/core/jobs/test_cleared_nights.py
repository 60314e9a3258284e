"""A run of another day is cleared and runs again: the night that it was stays what it was."""

from __future__ import annotations

import itertools

from airflow_provider_harbor.core.cli.main import main
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
