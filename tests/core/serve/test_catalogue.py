"""What is read of a snapshot, what is not served of it, and how little memory that takes."""

from __future__ import annotations

import random
import shutil
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_harbor.core.harbor.models import Tag
from airflow_provider_harbor.core.harbor.records import Record, Role
from airflow_provider_harbor.core.jobs.choosing import find_snapshot
from airflow_provider_harbor.core.oci.manifest import OCI_MANIFEST
from airflow_provider_harbor.core.oci.names import pack_digest, unpack_digest
from airflow_provider_harbor.core.serve.catalogue import Catalogue, read_catalogue
from airflow_provider_harbor.core.serve.digests import DigestTable
from airflow_provider_harbor.core.store.backup_store import BackupStore
from airflow_provider_harbor.core.store.inventories import BlobSize, Content
from airflow_provider_harbor.core.store.snapshots import ProjectContents, Snapshot
from tests.core.night import OTHER, REPOSITORY, Night, commit_with_contents

packed = st.binary(min_size=32, max_size=32) | st.binary(min_size=64, max_size=64)


@given(st.dictionaries(packed, st.integers(0, 2**64 - 1)), packed)
def test_a_table_finds_what_a_dictionary_finds(numbers: dict[bytes, int], other: bytes):
    table = DigestTable(numbers)
    assert len(table) == len(numbers)
    for digest, number in numbers.items():
        assert table.get(digest) == number
    assert table.get(other) == numbers.get(other)


@given(packed)
def test_packing_forgets_nothing(digest: bytes):
    assert pack_digest(unpack_digest(digest)) == digest


def read(store: BackupStore, snapshot: str = "latest") -> Catalogue:
    return read_catalogue(store, find_snapshot(store, snapshot))


def test_all_repositories_are_read(night: Night):
    catalogue = read(night.store)
    assert list(catalogue.repositories) == [REPOSITORY, OTHER, "team/other"]
    assert catalogue.problems == ()
    assert catalogue.summary().startswith("3 repositories, 9 tags, 18 manifests, 29 blobs; read in")


def test_a_project_whose_lists_are_damaged_is_named_and_the_others_are_served(own_night: Night):
    (path,) = (own_night.path / "contents" / "team").iterdir()
    content = path.read_bytes()
    for damaged in (content[: len(content) // 2], b""):
        path.write_bytes(damaged)
        catalogue = read(own_night.store)
        assert list(catalogue.repositories) == [REPOSITORY]
        (problem,) = catalogue.problems
        assert problem.startswith("project team is not served: ")
        assert path.name in problem


def test_a_list_that_was_swapped_is_not_believed(own_night: Night):
    """It reads well from its first line to its last, and is another one all the same."""
    (team,) = (own_night.path / "inventories" / "team").iterdir()
    (library,) = (own_night.path / "inventories" / "library").iterdir()
    team.unlink()
    shutil.copy(library, team)
    catalogue = read(own_night.store)
    assert list(catalogue.repositories) == [REPOSITORY]
    assert len(catalogue.problems) == 1


@pytest.mark.parametrize("kind", ["inventories", "contents"])
def test_whatever_byte_of_a_list_is_changed_nothing_else_is_served(own_night: Night, kind: str):
    (path,) = (own_night.path / kind / "library").iterdir()
    content = path.read_bytes()
    dice = random.Random(kind)
    whole = everything(read(own_night.store))
    for _ in range(150):
        damaged = bytearray(content)
        damaged[dice.randrange(len(content))] ^= 1 << dice.randrange(8)
        path.write_bytes(damaged)
        catalogue = read(own_night.store)
        if not catalogue.problems:  # a name or a time in the head of the file, which means nothing
            assert everything(catalogue) == whole
        else:
            assert catalogue.problems[0].startswith("project library is not served: ")
            assert list(catalogue.repositories) == [OTHER, "team/other"]


def everything(catalogue: Catalogue) -> dict[str, object]:
    return {
        name: (repository.counts, {tag: repository.digest_of(tag) for tag in repository.tags})
        for name, repository in catalogue.repositories.items()
    }


def test_a_project_whose_content_is_elsewhere_is_named(own_night: Night):
    store = own_night.store
    snapshot = find_snapshot(store)
    commit_with_contents(store, snapshot, "team", "")
    catalogue = read(store)
    assert list(catalogue.repositories) == [REPOSITORY]
    (problem,) = catalogue.problems
    assert "project team is not served: the store has its list, and not its content: " in problem


def test_manifests_that_were_not_copied_are_counted(own_night: Night):
    store = own_night.store
    snapshot = find_snapshot(store)
    entry = snapshot.projects["library"]
    lost = own_night.contents["index"].digest
    with store.inventories.write_contents("library") as writer:
        for repository, contents in store.inventories.iter_contents("library", entry.contents):
            writer.add(repository, [c for c in contents.values() if c.digest != lost])
        sha256 = writer.finish()
    commit_with_contents(store, snapshot, "library", sha256)
    catalogue = read(store)
    assert catalogue.problems == (
        "project library: 1 manifest not served, since they were not copied that night",
    )
    repository = catalogue.repositories[REPOSITORY]
    assert repository.digest_of("2.0") is None
    assert "2.0" not in repository.tags


def test_an_empty_snapshot_is_served_as_empty(tmp_path: Path):
    store = BackupStore(tmp_path / "store")
    store.begin_for("https://harbor.example.com")
    store.snapshots.commit(snapshot_of(store, {}))
    catalogue = read(store)
    assert catalogue.summary().startswith("0 repositories, 0 tags, 0 manifests, 0 blobs")


def snapshot_of(store: BackupStore, projects: dict[str, ProjectContents]) -> Snapshot:
    return Snapshot(
        key="night",
        run="night",
        complete=True,
        harbor_url="https://harbor.example.com",
        destination=store.url,
        started_at="2026-11-25T01:00:00+00:00",
        ended_at="2026-11-25T02:00:00+00:00",
        projects=projects,
    )


def test_a_manifest_with_ten_blobs_takes_less_than_a_kilobyte(tmp_path: Path):
    """2,000 manifests, each with a tag: what is held, and what is said to be held."""
    store = BackupStore(tmp_path / "store")
    store.begin_for("https://harbor.example.com")
    number = 2_000
    dice = random.Random(1)

    def digest() -> str:
        return f"sha256:{dice.getrandbits(256):064x}"

    digests = sorted(digest() for _ in range(number))
    with store.inventories.write("library") as inventory:
        inventory.add(
            [
                Record(
                    project="library",
                    repository=REPOSITORY,
                    digest=d,
                    role=Role.ARTIFACT,
                    tags=(Tag(name=f"v{i}", push_time=None),),
                )
                for i, d in enumerate(digests)
            ]
        )
        listed = inventory.finish()
    with store.inventories.write_contents("library") as contents:
        contents.add(
            REPOSITORY,
            [
                Content(
                    digest=d,
                    media_type=OCI_MANIFEST,
                    size_bytes=500,
                    blobs=tuple(BlobSize(digest(), 10) for _ in range(10)),
                )
                for d in digests
            ],
        )
        held = contents.finish()
    project = ProjectContents(
        inventory=listed, contents=held, ok=True, digests=number, size_bytes=0
    )
    store.snapshots.commit(snapshot_of(store, {"library": project}))
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        catalogue = read(store)
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (after - before) / number < 1_000
    said = sum(r.memory_bytes for r in catalogue.repositories.values())
    assert 0.7 < said / (after - before) < 1.3
