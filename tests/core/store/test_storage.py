"""Files of a store: whole or not there, whatever happens while they are written."""

from __future__ import annotations

import errno
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from airflow_provider_harbor.core.store.storage import Storage


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "root"


@pytest.fixture
def memory_url() -> Iterator[str]:
    yield "memory://bucket/prefix"
    MemoryFileSystem.store.clear()
    MemoryFileSystem.pseudo_dirs[:] = [""]


@pytest.fixture(params=["path", "file-url", "memory"])
def storage(request: pytest.FixtureRequest, root: Path, memory_url: str) -> Storage:
    return Storage({"path": root, "file-url": root.as_uri(), "memory": memory_url}[request.param])


def writing(content: bytes) -> Callable[[BinaryIO], object]:
    return lambda stream: stream.write(content)


def files_below(directory: Path) -> list[str]:
    return sorted(
        str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file()
    )


@contextmanager
def longest_file(size_bytes: int) -> Iterator[None]:
    """Make the operating system itself refuse to write more, as a full disk would."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


class TestEveryFileSystem:
    def test_what_was_written_is_read(self, storage: Storage) -> None:
        storage.put("a/b/c.json", writing(b"content"))
        assert storage.read("a/b/c.json") == b"content"

    def test_a_new_file_replaces_an_old_one_of_another_length(self, storage: Storage) -> None:
        storage.put("a", writing(b"a long old content"))
        storage.put("a", writing(b"new"))
        assert storage.read("a") == b"new"

    def test_what_is_not_there_is_told(self, storage: Storage) -> None:
        with pytest.raises(FileNotFoundError):
            storage.read("nothing/here")
        assert not storage.exists("nothing/here")
        assert storage.list_names("nothing") == []

    def test_names_are_sorted_and_hidden_ones_left_out(self, storage: Storage) -> None:
        for name in ("b.json", "a.json", ".half.tmp"):
            storage.put(f"directory/{name}", writing(b""))
        storage.put("elsewhere/c.json", writing(b""))
        assert storage.list_names("directory") == ["a.json", "b.json"]

    def test_what_another_process_wrote_is_seen(self, storage: Storage) -> None:
        storage.list_names("directory")
        Storage(storage.url).put("directory/new", writing(b""))
        assert storage.exists("directory/new")
        assert storage.list_names("directory") == ["new"]

    def test_removing_twice_is_removing_once(self, storage: Storage) -> None:
        storage.put("a", writing(b""))
        storage.remove("a")
        storage.remove("a")
        assert not storage.exists("a")

    @pytest.mark.parametrize("path", ["../outside", "a/../../outside", "/etc/passwd"])
    def test_no_path_leads_out(self, storage: Storage, path: str) -> None:
        with pytest.raises(ValueError, match="not a path below the root"):
            storage.read(path)


class TestFaultsOnLocalDisks:
    @pytest.fixture
    def local(self, root: Path) -> Storage:
        storage = Storage(root)
        storage.put("a/file", writing(b"old"))
        return storage

    def test_a_writer_that_raises_leaves_the_old_file_only(
        self, local: Storage, root: Path
    ) -> None:
        def raise_midway(stream: BinaryIO) -> None:
            stream.write(b"half of the ne")
            raise RuntimeError("the source went away")

        with pytest.raises(RuntimeError, match="the source went away"):
            local.put("a/file", raise_midway)
        assert local.read("a/file") == b"old"
        assert files_below(root) == ["a/file"]

    def test_a_full_disk_leaves_the_old_file_only(self, local: Storage, root: Path) -> None:
        with longest_file(64 * 1024), pytest.raises(OSError, match="File too large") as caught:
            local.put("a/file", writing(os.urandom(1024 * 1024)))
        assert caught.value.errno == errno.EFBIG
        assert local.read("a/file") == b"old"
        assert files_below(root) == ["a/file"]

    def test_a_killed_process_leaves_the_old_file_and_nothing_visible(
        self, local: Storage, root: Path
    ) -> None:
        program = (
            "import os, signal, sys\n"
            "from airflow_provider_harbor.core.store.storage import Storage\n"
            "def die(stream):\n"
            "    stream.write(b'half')\n"
            "    stream.flush()\n"
            "    os.kill(os.getpid(), signal.SIGKILL)\n"
            "Storage(sys.argv[1]).put('a/file', die)\n"
        )
        ended = subprocess.run([sys.executable, "-c", program, str(root)], check=False)
        assert ended.returncode == -signal.SIGKILL
        assert local.read("a/file") == b"old"
        assert local.list_names("a") == ["file"]

    def test_a_directory_in_the_way_leaves_no_temporary_file(
        self, local: Storage, root: Path
    ) -> None:
        (root / "taken" / "by").mkdir(parents=True)
        with pytest.raises(IsADirectoryError):
            local.put("taken", writing(b"new"))
        assert files_below(root) == ["a/file"]

    def test_readers_see_one_of_the_whole_files(self, local: Storage) -> None:
        contents = [bytes([n]) * 200_000 for n in range(8)]
        local.put("a/file", writing(contents[0]))
        with ThreadPoolExecutor(8) as pool:
            writers = [pool.submit(local.put, "a/file", writing(c)) for c in contents * 4]
            seen = {local.read("a/file") for _ in range(100)}
            for writer in writers:
                writer.result()
        assert seen <= set(contents)

    def test_files_have_the_permissions_that_the_umask_gives(
        self, local: Storage, root: Path
    ) -> None:
        umask = os.umask(0o027)
        try:
            local.put("b", writing(b""))
        finally:
            os.umask(umask)
        assert (root / "b").stat().st_mode & 0o777 == 0o640


class _Upload:
    """An upload to an object storage: nothing is visible before its commit."""

    def __init__(self, objects: dict[str, bytes], path: str, events: list[str]) -> None:
        self._objects, self._path, self._events = objects, path, events
        self._content = bytearray()

    def write(self, content: bytes) -> int:
        self._content += content
        return len(content)

    def close(self) -> None:
        self._events.append("close")

    def commit(self) -> None:
        self._events.append("commit")
        self._objects[self._path] = bytes(self._content)

    def discard(self) -> None:
        self._events.append("discard")


class _ObjectStorage(fsspec.AbstractFileSystem):  # type: ignore[misc]
    """The least of one, with fsspec's two-step writing, which its memory file system lacks."""

    protocol = "objects"
    cachable = False

    def __init__(self) -> None:
        super().__init__()
        self.objects: dict[str, bytes] = {}
        self.events: list[str] = []

    def open(self, path: str, mode: str = "rb", **kwargs: Any) -> _Upload:
        assert (mode, kwargs) == ("wb", {"autocommit": False})
        return _Upload(self.objects, path, self.events)


class TestObjectStorages:
    def test_an_object_appears_by_its_commit(self) -> None:
        objects = _ObjectStorage()
        Storage("bucket", objects).put("a", writing(b"content"))
        assert objects.objects == {"bucket/a": b"content"}
        assert objects.events == ["close", "commit"]

    def test_a_writer_that_raises_discards_the_upload(self) -> None:
        def raise_midway(stream: BinaryIO) -> None:
            stream.write(b"half")
            raise RuntimeError("the source went away")

        objects = _ObjectStorage()
        with pytest.raises(RuntimeError, match="the source went away"):
            Storage("bucket", objects).put("a", raise_midway)
        assert objects.objects == {}
        assert objects.events == ["close", "discard"]


def test_the_url_shows_no_credentials() -> None:
    storage = Storage("bucket/prefix", MemoryFileSystem(secret="hunter2"))
    assert storage.url == "memory:///bucket/prefix"
