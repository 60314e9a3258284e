"""Blobs over a line that is cut: they arrive, whole, in each place; and after a kill they go on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_harbor.core.copy.blobs import BlobCopier
from airflow_provider_harbor.core.copy.places import Place
from airflow_provider_harbor.core.copy.plain_registry import PlainRegistryPlace
from airflow_provider_harbor.core.copy.registry_places import RegistryPlace, RegistrySource
from airflow_provider_harbor.core.copy.store_place import StorePlace
from airflow_provider_harbor.core.exceptions import HarborConnectionError
from airflow_provider_harbor.core.oci.manifest import Descriptor, digest_of
from airflow_provider_harbor.core.oci.registry import RegistryClient
from airflow_provider_harbor.core.store.backup_store import BackupStore
from tests.core.rig import fast_session
from tests.cut_line import CutLine
from tests.go_programs import require_go_program
from tests.registry_server import PlainRegistry
from tests.s3_server import S3Server

MIB = 1024 * 1024
SIZE = 24 * MIB + 1
CHUNK = 4 * MIB
CONTENT = os.urandom(SIZE)
BLOB = Descriptor(digest=digest_of(CONTENT), media_type="", size_bytes=SIZE)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PlainRegistry]:
    """A registry that has the blob."""
    with PlainRegistry(tmp_path_factory.mktemp("source")) as registry:
        RegistryClient(registry.url).put_blob("p/app", BLOB.digest, CONTENT)
        yield registry


def read_blob(place: Place) -> bytes:
    with place.open_blob("p/app", BLOB) as reader:
        return b"".join(iter(lambda: reader.read(MIB), b""))


def copier(url: str, place: Place) -> tuple[BlobCopier, list[int]]:
    """Return what copies from an address, and what it tells of its blocks."""
    place.prepare("p")
    if isinstance(place, StorePlace):
        place.store.pool.large_bytes = CHUNK
    elif isinstance(place, RegistryPlace):
        place.registry.uploads.chunk_bytes = CHUNK
    told: list[int] = []
    client = RegistryClient(url, session=fast_session(url))
    made = BlobCopier(
        RegistrySource(client), place, on_bytes=told.append, sleep=lambda seconds: None
    )
    return made, told


def test_a_blob_over_a_line_that_is_cut_is_read_once_and_sent_once(
    source: PlainRegistry, place: Place
) -> None:
    with CutLine(source.url, down_bytes=10 * MIB) as line:
        copying, told = copier(line.url, place)
        assert copying.copy("p/app", BLOB)
        assert line.cuts >= 2
        # What the kernel had not passed on when the line broke comes again.
        assert line.down < SIZE + line.cuts * 5 * MIB
    assert read_blob(place) == CONTENT
    assert sum(told) == SIZE
    assert copying.numbers["copied"] == 1


def test_a_line_that_breaks_for_ever_ends_and_leaves_nothing_that_shows(
    source: PlainRegistry, place: Place
) -> None:
    with CutLine(source.url, down_bytes=5_000) as line:
        copying, _ = copier(line.url, place)
        with pytest.raises(HarborConnectionError):
            copying.copy("p/app", BLOB)
        assert line.cuts < 200
    assert not place.has_blob("p/app", BLOB)
    # The next night the line holds.
    copying, _ = copier(source.url, place)
    assert copying.copy("p/app", BLOB)
    assert read_blob(place) == CONTENT


def test_a_restore_from_s3_over_a_line_that_is_cut_arrives(
    s3: S3Server, plain_registry: PlainRegistry
) -> None:
    bucket = s3.new_bucket()
    BackupStore(f"s3://{bucket}", **s3.options).pool.put_bytes(CONTENT, BLOB.digest)
    with CutLine(s3.url, down_bytes=10 * MIB) as line:
        store = BackupStore(f"s3://{bucket}", **{**s3.options, "endpoint": line.url})
        client = RegistryClient(plain_registry.url, session=fast_session(plain_registry.url))
        client.uploads.chunk_bytes = CHUNK
        assert BlobCopier(StorePlace(store), PlainRegistryPlace(client)).copy("p/app", BLOB)
        assert line.cuts >= 2
    assert plain_registry.read_blob(BLOB.digest) == CONTENT


# -- killed


_COPY = """\
import sys
from airflow_provider_harbor.core.copy.blobs import BlobCopier
from airflow_provider_harbor.core.copy.plain_registry import PlainRegistryPlace
from airflow_provider_harbor.core.copy.registry_places import RegistrySource
from airflow_provider_harbor.core.copy.store_place import StorePlace
from airflow_provider_harbor.core.oci.manifest import Descriptor
from airflow_provider_harbor.core.oci.registry import RegistryClient
from airflow_provider_harbor.core.store.backup_store import BackupStore

source, store, to, chunk, digest, size = sys.argv[1:]
store = BackupStore(store)
store.pool.large_bytes = int(chunk)
place = PlainRegistryPlace(RegistryClient(to)) if to else StorePlace(store)
place.keep_uploads_in(store)
if to:
    place.registry.uploads.chunk_bytes = int(chunk)
blob = Descriptor(digest=digest, size_bytes=int(size), media_type="")
BlobCopier(RegistrySource(RegistryClient(source)), place).copy("p/app", blob)
"""


def copy_in_a_process(url: str, store: Path, to: str) -> subprocess.Popen[bytes]:
    arguments = [url, str(store), to, str(CHUNK), BLOB.digest, str(SIZE)]
    return subprocess.Popen([sys.executable, "-c", _COPY, *arguments])


def kill_in_the_middle(line: CutLine, store: Path, to: str, has: Callable[[], Any]) -> None:
    """Kill a copy when something has come of it, and not all."""
    process = copy_in_a_process(line.url, store, to)
    deadline = time.monotonic() + 60
    while not has() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL


class SlowLine(CutLine):
    """A line on which a copy can be killed before it has ended."""

    def _take(self, way: str, number: int) -> int:
        if way == "down" and self.down < SIZE:
            time.sleep(0.002)
        return super()._take(way, number)


def test_a_copy_into_a_directory_that_was_killed_goes_on(
    source: PlainRegistry, tmp_path: Path
) -> None:
    store = tmp_path / "store"
    part = store / "unfinished" / BLOB.digest.replace(":", "/")

    def has() -> bool:
        return part.exists() and part.stat().st_size >= 8 * MIB

    with SlowLine(source.url) as line:
        kill_in_the_middle(line, store, "", has)
        there = part.stat().st_size
        assert not (store / "blobs").exists()
        before = line.down
        assert copy_in_a_process(line.url, store, "").wait() == 0
        # The whole blob was asked for first, and some of it was on its way.
        assert line.down - before < SIZE - there + 6 * MIB
    assert (store / "blobs" / BLOB.digest.replace(":", "/")).read_bytes() == CONTENT
    assert not part.exists()


@pytest.mark.parametrize("version", ["2.8", "3"])
def test_a_copy_to_a_registry_that_was_killed_goes_on(
    source: PlainRegistry, tmp_path: Path, version: str
) -> None:
    program = require_go_program("registry") if version == "3" else ""
    (tmp_path / "registry").mkdir()
    store = tmp_path / "store"

    def has() -> bool:
        return any(
            '"offset": 8388608' in p.read_text() for p in (store / "uploads").rglob("*.json")
        )

    with (
        PlainRegistry(tmp_path / "registry", program) as registry,
        SlowLine(source.url) as line,
        CutLine(registry.url) as sending,
    ):
        kill_in_the_middle(line, store, sending.url, has)
        before = sending.up
        assert copy_in_a_process(line.url, store, sending.url).wait() == 0
        assert registry.read_blob(BLOB.digest) == CONTENT
        if version == "3":
            # What arrived of the chunk that was cut counts; of 2.8 nothing does then.
            assert sending.up - before < SIZE - 8 * MIB + MIB
        assert not [path for path in store.rglob("*") if path.is_file()]
