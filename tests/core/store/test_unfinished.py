"""Large blobs on their way into a directory: gone on with, never seen, and never wrong."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from airflow_provider_harbor.core.exceptions import (
    DigestMismatchError,
    HarborConnectionError,
    StoreError,
    StoreReason,
)
from airflow_provider_harbor.core.jobs.prune import prune
from airflow_provider_harbor.core.jobs.usage import measure
from airflow_provider_harbor.core.oci.blob_reader import BlobReader
from airflow_provider_harbor.core.oci.chunks import Kept
from airflow_provider_harbor.core.oci.manifest import digest_of
from airflow_provider_harbor.core.store.backup_store import BackupStore
from airflow_provider_harbor.core.store.pool_files import iter_pool
from tests.core.rig import with_another_end
from tests.core.store.test_files import longest_file

MIB = 1024 * 1024
SIZE = 6 * MIB + 1
CONTENT = os.urandom(SIZE)
DIGEST = digest_of(CONTENT)


@pytest.fixture
def store(store: BackupStore) -> BackupStore:
    """A store for which a few MiB are large."""
    store.pool.large_bytes = MIB
    return store


def part_of(tmp_path: Path) -> Path:
    return tmp_path / "store" / "unfinished" / DIGEST.replace(":", "/")


class Source:
    """What a blob is read from, and from which byte on it was; at one it may break."""

    def __init__(self, content: bytes = CONTENT, breaks_at: int | None = None) -> None:
        self.content = content
        self.breaks_at = breaks_at
        self.opened: list[int] = []

    def blocks(self, offset: int) -> Iterator[bytes]:
        self.opened.append(offset)
        end = self.breaks_at or len(self.content)
        for start in range(offset, end, 300_000):
            yield self.content[start : min(start + 300_000, end)]
        if self.breaks_at:
            raise HarborConnectionError("the source went away")

    def reader(self) -> BlobReader:
        return BlobReader(self.blocks(0), DIGEST, SIZE, "the source", self.blocks)


def leave(store: BackupStore, number: int) -> None:
    """Write a part of the blob, as a process does that ends in the middle."""
    with pytest.raises(HarborConnectionError):
        store.pool.put(Source(breaks_at=number).reader(), DIGEST)
    assert not store.pool.has(DIGEST, SIZE)


@pytest.mark.parametrize("number", [1, 300_000, 4 * MIB, SIZE - 1])
def test_what_is_there_of_a_blob_is_not_read_again(
    store: BackupStore, tmp_path: Path, number: int
) -> None:
    leave(store, number)
    assert part_of(tmp_path).read_bytes() == CONTENT[:number]
    source = Source()
    store.pool.put(source.reader(), DIGEST)
    assert source.opened == [number]
    path = tmp_path / "store" / "blobs" / DIGEST.replace(":", "/")
    assert path.read_bytes() == CONTENT
    assert not part_of(tmp_path).exists()
    assert stat.S_IMODE(path.stat().st_mode) & 0o600 == 0o600


def test_what_lacks_only_its_name_gets_that(store: BackupStore, tmp_path: Path) -> None:
    leave(store, 1)
    part_of(tmp_path).write_bytes(CONTENT)
    store.pool.put(Source().reader(), DIGEST)
    assert store.pool.has(DIGEST, SIZE)


@pytest.mark.parametrize("left", [b"x" * 1000, bytes(SIZE), with_another_end(CONTENT)])
def test_what_is_not_the_start_of_the_blob_is_found_out_and_taken_away(
    store: BackupStore, tmp_path: Path, left: bytes
) -> None:
    """As a disk leaves it after a power cut."""
    leave(store, 1)
    part_of(tmp_path).write_bytes(left)
    with pytest.raises(DigestMismatchError):
        store.pool.put(Source().reader(), DIGEST)
    assert not store.pool.has(DIGEST, SIZE)
    source = Source()
    store.pool.put(source.reader(), DIGEST)
    assert store.pool.has(DIGEST, SIZE)
    assert source.opened == [0]


def test_what_is_longer_than_the_blob_begins_anew(store: BackupStore, tmp_path: Path) -> None:
    leave(store, 1)
    part_of(tmp_path).write_bytes(CONTENT + b"more")
    store.pool.put(Source().reader(), DIGEST)
    assert store.pool.has(DIGEST, SIZE)


def test_two_writers_of_one_blob_do_not_meet(store: BackupStore, tmp_path: Path) -> None:
    """The second one writes a file of its own, as it does for small ones."""
    other = BackupStore(tmp_path / "store")
    other.pool.large_bytes = MIB

    class Beside(Source):
        def blocks(self, offset: int) -> Iterator[bytes]:
            for number, block in enumerate(super().blocks(offset)):
                if number == 3:
                    other.pool.put(Source().reader(), DIGEST)
                    assert other.pool.has(DIGEST, SIZE)
                yield block

    store.pool.put(Beside().reader(), DIGEST)
    path = tmp_path / "store" / "blobs" / DIGEST.replace(":", "/")
    assert path.read_bytes() == CONTENT
    assert [p for p in (tmp_path / "store").rglob("*") if p.is_file()] == [path]


@pytest.mark.parametrize("kind", ["pipe", "link", "directory"])
def test_what_is_no_file_in_its_place_is_left_alone(
    store: BackupStore, tmp_path: Path, kind: str
) -> None:
    part = part_of(tmp_path)
    part.parent.mkdir(parents=True)
    if kind == "pipe":
        os.mkfifo(part)
    elif kind == "link":
        part.symlink_to(tmp_path / "elsewhere")
    else:
        part.mkdir()
    store.pool.put(Source().reader(), DIGEST)
    assert store.pool.has(DIGEST, SIZE)
    assert not (tmp_path / "elsewhere").exists()


def test_a_full_disk_is_not_kept_full(store: BackupStore, tmp_path: Path) -> None:
    leave(store, 1)
    with longest_file(2 * MIB), pytest.raises(StoreError) as caught:
        store.pool.put(Source().reader(), DIGEST)
    assert caught.value.reason in (StoreReason.FULL, StoreReason.OTHER)
    assert not store.pool.has(DIGEST, SIZE)


def test_prune_takes_what_nobody_went_on_with(store: BackupStore, tmp_path: Path) -> None:
    store.begin_for("https://harbor.example.com")
    leave(store, MIB)
    uploads = store.uploads_to("https://registry.example.com")
    for repository in ("p/old", "p/young"):
        uploads.keep(repository, DIGEST, Kept("/v2/x", 5))
    files = sorted((tmp_path / "store" / "uploads").rglob("*.json"), key=lambda p: p.read_text())
    assert prune(store, "a prune").leftovers.files == 0
    assert part_of(tmp_path).exists()
    os.utime(part_of(tmp_path), (1, 1))
    os.utime(files[0], (1, 1))
    done = prune(store, "another", grace=timedelta(hours=48))
    assert (done.leftovers.files, done.leftovers.size_bytes) == (1, MIB)
    assert not part_of(tmp_path).exists()
    assert uploads.read("p/old", DIGEST) is None
    assert uploads.read("p/young", DIGEST) is not None


def test_what_is_unfinished_is_no_content_of_the_store(store: BackupStore) -> None:
    store.begin_for("https://harbor.example.com")
    before = measure(store)
    leave(store, 4 * MIB)
    after = measure(store)
    assert (after.pool_bytes, after.lists_bytes) == (before.pool_bytes, before.lists_bytes)
    assert list(iter_pool(store.files)) == []
