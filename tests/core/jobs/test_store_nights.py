"""What a night costs a store: an unchanged one next to nothing, thirty of them little more."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path

import pytest

from airflow_provider_harbor.core.cli import main as cli
from airflow_provider_harbor.core.copy.store_place import StorePlace
from airflow_provider_harbor.core.store.backup_store import BackupStore
from airflow_provider_harbor.core.store.files import Files
from tests.core.rig import Backup
from tests.double import HarborDouble, Image
from tests.double.content import cosign_signature, multi_arch, sbom_for

PROJECTS = ("alpha", "beta", "library")
# What a run writes anew whenever it runs: each of them is small, and none of them grows.
POINTERS = {"check.json", "leases/store.json", "leases/.lock", "nights.jsonl.gz"}


def fill(harbor: HarborDouble) -> None:
    for name in ("alpha", "beta"):
        harbor.create_project(name)
        image = harbor.push(f"{name}/app", Image(f"{name} app", layers=2), "1.0", "latest")
        harbor.push(f"{name}/app", Image("untagged"))
        harbor.push(f"{name}/app", cosign_signature(image), *cosign_signature(image).default_tags)
        index = harbor.push(f"{name}/deep/multi", multi_arch("multi"), "2.0")
        harbor.push(f"{name}/deep/multi", sbom_for(index))


def state_of(files: Files) -> dict[str, tuple[int, object]]:
    """Return of each file its size, and when it was written."""
    return {e.path: (e.size_bytes, e.modified) for e in files.iter_files("")}


def rooms(paths: Mapping[str, object] | set[str]) -> set[str]:
    return {path.partition("/")[0] for path in paths}


def asked_of(harbor: HarborDouble) -> dict[str, int]:
    kinds = harbor.requests.by_kind()
    return {kind: n for kind, n in kinds.items() if kind.startswith(("manifest", "blob"))}


def test_an_unchanged_night_costs_next_to_nothing(
    harbor: HarborDouble, backup: Backup, any_store: BackupStore
) -> None:
    fill(harbor)
    backup.store = any_store
    place = StorePlace(any_store)
    assert backup.run(place).complete
    before = state_of(any_store.files)
    harbor.requests.reset()
    report = backup.run(place)
    assert report.complete
    assert (report.copied, report.present) == (0, len(backup.records(report)))
    assert asked_of(harbor) == {}
    after = state_of(any_store.files)
    new = after.keys() - before.keys()
    assert len(new) <= 3 + len(PROJECTS), sorted(new)
    assert rooms(new) == {"snapshots", "reports"}
    assert before.keys() <= after.keys()
    overwritten = {path for path in before if before[path] != after[path]}
    assert overwritten <= POINTERS, sorted(overwritten)


@pytest.fixture(params=["directory", "s3"])
def store_url(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> str:
    if request.param == "directory":
        return str(tmp_path / "store")
    server = request.getfixturevalue("s3")
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    return f"s3://{server.new_bucket()}/nights"


def test_an_unchanged_night_of_the_command_line_likewise(
    harbor: HarborDouble, store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(harbor)
    monkeypatch.setenv("HARBOR_BACKUP_SOURCE_USER", harbor.user)
    monkeypatch.setenv("HARBOR_BACKUP_SOURCE_PASSWORD", harbor.password)
    assert cli.main(["backup", harbor.url, store_url, "--quiet"]) == 0
    files = Files(store_url)
    before = state_of(files)
    harbor.requests.reset()
    assert cli.main(["backup", harbor.url, store_url, "--quiet"]) == 0
    assert asked_of(harbor) == {}
    after = state_of(files)
    new = after.keys() - before.keys()
    assert len(new) <= 3 + len(PROJECTS), sorted(new)
    assert rooms(new) == {"snapshots", "reports"}
    assert {path for path in before if before[path] != after[path]} <= POINTERS


def test_a_dry_run_writes_no_content_and_asks_for_none(
    harbor: HarborDouble, backup: Backup, any_store: BackupStore
) -> None:
    fill(harbor)
    backup.store = any_store
    report = backup.run(StorePlace(any_store), dry_run=True)
    assert not report.failures()
    assert asked_of(harbor) == {}
    assert rooms(state_of(any_store.files)) == {
        *("inventories", "leases", "listed", "plans", "reports", "snapshots"),
    }


def test_thirty_nights_in_which_little_changes_take_little_more_than_one(
    harbor: HarborDouble, backup: Backup
) -> None:
    """Of 100 images one is new each night, and one is gone."""
    harbor.create_project("p")
    numbers = itertools.count()

    def push() -> tuple[str, str]:
        number = next(numbers)
        name = f"p/app{number % 10}"
        image = Image(f"image {number}", layers=[f"base {name}".encode() * 2000, 300_000])
        return name, harbor.push(name, image, f"v{number}").digest

    images = [push() for _ in range(100)]
    assert backup.run(backup.itself).complete
    first = state_of(backup.store.files)
    for _ in range(29):
        harbor.state.delete_artifact(*images.pop(0))
        images.append(push())
        assert backup.run(backup.itself).complete
    last = state_of(backup.store.files)
    assert bytes_of(last) <= 1.35 * bytes_of(first)
    new = last.keys() - first.keys()
    # A manifest, a config and a layer; what it costs besides does not depend on what there is.
    assert sum(path.startswith("blobs/") for path in new) == 29 * 3
    # The report (two files), the snapshot, two results, a new inventory and new contents.
    assert sum(not path.startswith("blobs/") for path in new) <= 29 * (3 + 2 + 2)


def bytes_of(state: Mapping[str, tuple[int, object]]) -> int:
    return sum(size_bytes for size_bytes, _ in state.values())
