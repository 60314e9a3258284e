"""A store of which something is damaged or lost: the next night mends what it can mend."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from airflow_provider_harbor.core.copy.store_place import StorePlace
from airflow_provider_harbor.core.oci.manifest import digest_of
from airflow_provider_harbor.core.store.backup_store import BackupStore
from airflow_provider_harbor.core.store.files import Files
from tests.core.rig import Backup, fill_small
from tests.double import HarborDouble
from tests.double.content import Content

DAMAGES = [
    pytest.param(lambda content: content[: len(content) // 2], id="cut"),
    pytest.param(lambda content: content[:40] + bytes([content[40] ^ 1]) + content[41:], id="bit"),
    pytest.param(lambda content: b"", id="empty"),
]


@pytest.fixture
def pushed(harbor: HarborDouble, backup: Backup, any_store: BackupStore) -> dict[str, Content]:
    """What the store holds, after a first night."""
    backup.store = any_store
    pushed = fill_small(harbor)
    assert backup.run(StorePlace(any_store)).complete
    return pushed


def spoil(files: Files, below: str, damage: Callable[[bytes], bytes]) -> list[str]:
    paths = [entry.path for entry in files.iter_files(below)]
    assert paths
    for path in paths:
        files.write(path, damage(files.read(path)))
    return paths


def assert_whole(backup: Backup, place: StorePlace) -> None:
    report = backup.run(place)
    assert report.complete, report.failures()
    store = place.store
    for result in report.projects:
        assert result.inventory
        store.inventories.verify(result.project, result.inventory.sha256)
        for _, contents in store.inventories.iter_contents(result.project, result.contents):
            for content in contents.values():
                for blob in content.iter_sizes():
                    path = "blobs/" + blob.digest.replace(":", "/")
                    assert digest_of(store.files.read(path)) == blob.digest


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("what", ["inventories", "contents", "latest"])
def test_what_names_the_content_is_written_anew(
    harbor: HarborDouble,
    backup: Backup,
    pushed: dict[str, Content],
    what: str,
    damage: Callable[[bytes], bytes],
) -> None:
    files = backup.store.files
    before = {entry.path: files.read(entry.path) for entry in files.iter_files(what)}
    spoil(files, what, damage)
    harbor.requests.reset()
    assert_whole(backup, StorePlace(backup.store))
    kinds = harbor.requests.by_kind()
    assert not {kind for kind in kinds if kind.startswith(("manifest", "blob"))}, kinds
    if what != "latest":
        assert {path: files.read(path) for path in before} == before


def test_what_is_lost_is_written_anew(
    backup: Backup, pushed: dict[str, Content], harbor: HarborDouble
) -> None:
    files = backup.store.files
    for room in ("inventories", "contents", "latest", "leases", "snapshots", "reports"):
        files.delete([entry.path for entry in files.iter_files(room)])
    harbor.requests.reset()
    assert_whole(backup, StorePlace(backup.store))
    kinds = harbor.requests.by_kind()
    assert not {kind for kind in kinds if kind.startswith(("manifest", "blob"))}, kinds


@pytest.mark.parametrize("damage", [each for each in DAMAGES if each.id != "bit"])
def test_content_of_another_length_is_fetched_anew_where_it_is_asked_for(
    backup: Backup, pushed: dict[str, Content], damage: Callable[[bytes], bytes]
) -> None:
    """What the newest contents name is believed; it is `verify` that proves it."""
    files = backup.store.files
    spoil(files, "blobs", damage)
    files.delete([entry.path for entry in files.iter_files("latest")])
    assert_whole(backup, StorePlace(backup.store))


def test_a_manifest_that_is_damaged_is_fetched_anew_where_it_is_asked_for(
    backup: Backup, pushed: dict[str, Content]
) -> None:
    files = backup.store.files
    for content in (*pushed["index"].walk(), pushed["image"]):
        path = "blobs/" + content.digest.replace(":", "/")
        files.write(path, bytes(len(content.manifest)))
    files.delete([entry.path for entry in files.iter_files("latest")])
    assert_whole(backup, StorePlace(backup.store))
