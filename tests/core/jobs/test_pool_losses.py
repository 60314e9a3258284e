"""Files of the pool get lost between two nights: the next ones say so, and bring them back."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta, timezone

import pytest

from airflow_provider_harbor.core.copy.outcome import Status
from airflow_provider_harbor.core.copy.store_place import StorePlace
from airflow_provider_harbor.core.store.backup_store import BackupStore
from tests.core.rig import Backup
from tests.double import HarborDouble
from tests.double.content import Image, cosign_signature, multi_arch

FIRST = datetime(2026, 5, 4, 3, 30, tzinfo=timezone.utc)
REPOSITORIES = 9


@pytest.fixture
def night(harbor: HarborDouble, backup: Backup, any_store: BackupStore) -> Backup:
    """A Harbor whose first night is in the store."""
    backup.store = any_store
    harbor.create_project("p")
    app = harbor.push("p/app", multi_arch("app"), "1.0")
    harbor.push("p/app", cosign_signature(app))
    for number in range(REPOSITORIES):
        harbor.push(f"p/r{number}", Image(f"image {number}"), "1")
    assert backup.run(at(backup, 0)).complete
    return backup


def at(backup: Backup, night: int) -> StorePlace:
    return StorePlace(backup.store, now=lambda: FIRST + timedelta(days=night))


def pool_of(store: BackupStore) -> dict[str, int]:
    return {entry.path: entry.size_bytes for entry in store.files.iter_files("blobs")}


def lose(store: BackupStore, path: str, how: str) -> None:
    if how == "deleted":
        store.files.delete([path])
    else:
        store.files.write(path, store.files.read(path)[: 0 if how == "emptied" else -1])


@pytest.mark.parametrize("how", ["deleted", "emptied", "cut"])
def test_each_file_that_is_lost_is_back_within_a_week_or_at_once_in_a_directory(
    night: Backup, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    before = pool_of(night.store)
    for path in sorted(before)[::3]:
        lose(night.store, path, how)
    assert pool_of(night.store) != before
    with caplog.at_level(logging.WARNING):
        for number in range(1, 2 if night.store.files.is_local else 8):
            assert night.run(at(night, number)).complete
    assert pool_of(night.store) == before
    assert "gone from the store, or cut short" in caplog.text


def test_a_pool_that_is_gone_is_copied_again_in_the_next_night(night: Backup) -> None:
    before = pool_of(night.store)
    night.store.files.delete(list(before))
    report = night.run(at(night, 1))
    assert report.complete
    assert report.present == 0
    assert pool_of(night.store) == before


def test_what_is_lost_and_harbor_has_not_any_more_is_not_protected(
    harbor: HarborDouble, night: Backup
) -> None:
    image = Image("image 0")
    blob = next(iter(image.blobs))
    harbor.state.lose_blob(blob)
    assert night.run(at(night, 1)).complete, "the store has it"
    night.store.files.delete([f"blobs/sha256/{blob.removeprefix('sha256:')}"])
    nights = 1 if night.store.files.is_local else 7
    reports = [night.run(at(night, number)) for number in range(2, 2 + nights)]
    assert not all(report.complete for report in reports)
    assert image.digest in "".join("".join(report.failures()) for report in reports)


def test_an_older_run_that_is_cleared_when_its_content_is_gone_is_not_complete(
    harbor: HarborDouble, backup: Backup
) -> None:
    harbor.create_project("p")
    image = harbor.push("p/app", Image("app"), "1.0")
    report = backup.run(at(backup, 0))
    (result,) = [result for result in report.projects if result.project == "p"]
    harbor.state.forget_repository(harbor.state.repositories["p/app"])
    backup.store.files.delete(list(pool_of(backup.store)))
    again = backup.copy(at(backup, 1), report.run, result.inventory)
    assert not again.ok
    assert image.digest in [finding.digest for finding in again.iter_findings(Status.FAILED)]
