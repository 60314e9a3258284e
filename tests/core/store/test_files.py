"""Files of a store: whole or not there, whatever happens, on a disk and on an object storage."""

from __future__ import annotations

import ctypes
import errno
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from airflow_provider_harbor.core.exceptions import (
    HarborConfigurationError,
    StoreError,
    StoreReason,
    StoreUnreachableError,
)
from airflow_provider_harbor.core.store.addresses import shown_address, split_connection
from airflow_provider_harbor.core.store.backup_store import BackupStore
from airflow_provider_harbor.core.store.directories import open_regular
from airflow_provider_harbor.core.store.files import Files
from airflow_provider_harbor.core.store.snapshots import Snapshot
from tests.s3_server import S3Server

MIB = 1024 * 1024


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "root"


@pytest.fixture
def files(any_store: BackupStore) -> Files:
    return any_store.files


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


def blocks_of(content: bytes, size: int = 100_000) -> Iterator[bytes]:
    for at in range(0, len(content), size):
        yield content[at : at + size]


class TestEveryStorage:
    def test_what_was_written_is_read(self, files: Files) -> None:
        files.write("a/b/c.json", b"content")
        assert files.read("a/b/c.json") == b"content"
        assert files.size("a/b/c.json") == 7
        assert files.exists("a/b/c.json")

    def test_a_new_file_replaces_an_old_one_of_another_length(self, files: Files) -> None:
        files.write("a", b"a long old content")
        files.write("a", b"new")
        assert files.read("a") == b"new"

    @pytest.mark.parametrize("size", [0, 1, 100_000, 5 * MIB, 12 * MIB + 1])
    def test_a_stream_is_read_as_it_was_written(self, files: Files, size: int) -> None:
        content = os.urandom(size)
        files.write_stream("a/stream", blocks_of(content), size)
        size_bytes, blocks = files.open("a/stream")
        assert (size_bytes, b"".join(blocks)) == (size, content)

    def test_a_stream_that_raises_leaves_the_old_file_only(self, files: Files) -> None:
        def breaking() -> Iterator[bytes]:
            yield b"x" * 11 * MIB
            raise ZeroDivisionError("the source went away")

        files.write("a/file", b"old")
        with pytest.raises(ZeroDivisionError, match="the source went away"):
            files.write_stream("a/file", breaking(), 12 * MIB)
        with pytest.raises(ZeroDivisionError):
            files.write_stream("a/new", breaking(), 12 * MIB)
        assert files.read("a/file") == b"old"
        assert files.list_names("a") == ["file"]

    def test_what_is_not_there_is_told(self, files: Files) -> None:
        with pytest.raises(FileNotFoundError):
            files.read("nothing/here")
        with pytest.raises(FileNotFoundError):
            files.open("nothing/here")
        assert files.size("nothing/here") is None
        assert files.list_names("nothing") == []
        assert files.list_directories("nothing") == []
        assert list(files.iter_files("nothing")) == []
        files.delete(["nothing/here"])

    def test_directories_and_files_are_listed_apart_and_sorted(self, files: Files) -> None:
        for path in ("d/b.json", "d/a.json", "d/z/1", "d/y/deep/2", "elsewhere/c"):
            files.write(path, b"12345")
        assert files.list_names("d") == ["a.json", "b.json"]
        assert files.list_directories("d") == ["y", "z"]
        paths = ("d/a.json", "d/b.json", "d/y/deep/2", "d/z/1")
        found = {(entry.path, entry.size_bytes) for entry in files.iter_files("d")}
        assert found == {(path, 5) for path in paths}

    def test_more_files_than_one_page_are_listed(self, files: Files) -> None:
        names = [f"{number:05}" for number in range(1_100)]
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda name: files.write(f"many/{name}", b""), names))
        assert files.list_names("many") == names
        assert {entry.path for entry in files.iter_files("many")} == {f"many/{n}" for n in names}

    def test_what_is_there_is_not_created_again(self, files: Files) -> None:
        assert files.create("a/file", b"first") is True
        assert files.create("a/file", b"second") is False
        assert files.read("a/file") == b"first"
        assert files.list_names("a") == ["file"]

    def test_what_was_changed_meanwhile_is_not_replaced(self, files: Files) -> None:
        files.write("pointer", b"theirs")
        assert files.replace("pointer", b"as it was read", b"mine") is False
        assert files.read("pointer") == b"theirs"
        with pytest.raises(FileNotFoundError):
            files.replace("nothing", b"as it was read", b"mine")

    def test_of_many_that_create_a_file_one_succeeds(self, files: Files) -> None:
        with ThreadPoolExecutor(8) as pool:
            won = list(pool.map(lambda n: files.create("once", str(n).encode()), range(16)))
        assert won.count(True) == 1
        assert files.read("once") == str(won.index(True)).encode()

    def test_of_many_that_replace_a_file_one_succeeds(self, files: Files) -> None:
        files.write("pointer", b"old")
        with ThreadPoolExecutor(8) as pool:
            won = list(
                pool.map(lambda n: files.replace("pointer", b"old", str(n).encode()), range(16))
            )
        assert won.count(True) == 1
        assert files.read("pointer") == str(won.index(True)).encode()

    def test_deleting_twice_is_deleting_once(self, files: Files) -> None:
        files.write("a", b"")
        files.write("b", b"")
        files.delete(["a", "b"])
        files.delete(["a", "b"])
        assert not files.exists("a")

    @pytest.mark.parametrize("path", ["../outside", "a/../../outside", "/etc/passwd"])
    def test_no_path_leads_out(self, files: Files, path: str) -> None:
        with pytest.raises(ValueError, match="not a path below the root"):
            files.read(path)
        with pytest.raises(ValueError, match="not a path below the root"):
            files.write(path, b"")


class TestAddresses:
    def test_a_path_and_a_file_url_are_the_same_directory(self, root: Path) -> None:
        Files(root).write("a", b"content")
        assert Files(root.as_uri()).read("a") == b"content"
        assert Files(str(root)).url == Files(root.as_uri()).url == root.as_uri()

    def test_reading_makes_no_directory(self, root: Path) -> None:
        assert Files(root).list_names("") == []
        assert not root.exists()

    @pytest.mark.parametrize(
        ("url", "message"),
        [
            ("ftp://host/backups", "of the scheme 'ftp'"),
            ("s3:///prefix", "names no bucket"),
            ("s3://key:secret@bucket/prefix", "leave the credentials out"),
            ("s3://key:sec/secret@bucket/prefix", "leave the credentials out"),
            ("s3://secret:9000/prefix", "a colon where its bucket stands"),
            ("s3://bucket/prefix?secret=x", "leave the credentials out"),
            ("file://host/backups", "three slashes"),
            ("file://user:secret@host/backups", "another machine"),
            ("file://", "no directory"),
            ("file://localhost", "no directory"),
            ("s3:////key:secret@bucket/prefix", "names no bucket"),
            ("s3:////key:sec/secret@bucket/prefix", "names no bucket"),
            ("key:secret@s3://bucket/prefix", "of the scheme 'key'"),
            ("key:secret@s3://conn@bucket/prefix", "of the scheme 'key'"),
            ("", "is empty"),
            ("s3:/secret/prefix", "two slashes"),
            ("s3://[secret", "is not a URL"),
            ("s3://[secret]/prefix", "is not a URL"),
            ("s3://sec ret/prefix", "letters, digits"),
            ("s3://../prefix", "letters, digits"),
            ("s3://bucket/..", "lead nowhere"),
            ("s3://bucket/a/../../other", "lead nowhere"),
            ("gs://bucket/./prefix", "lead nowhere"),
            # Python itself takes the address of a machine, and before 3.11 anything.
            ("s3://[::1]/prefix", "is not a URL"),
        ],
    )
    def test_what_is_no_address_is_refused_without_repeating_a_secret(
        self, url: str, message: str
    ) -> None:
        with pytest.raises(HarborConfigurationError, match=message) as caught:
            Files(url)
        assert "secret" not in str(caught.value)

    @pytest.mark.parametrize(
        ("text", "shown"),
        [
            ("s3://bucket/prefix", "s3://bucket/prefix"),
            ("s3://conn@bucket/prefix", "s3://conn@bucket/prefix"),
            ("file:///a:b/c@d", "file:///a:b/c@d"),
            ("/a:b/c@d", "/a:b/c@d"),
            ("s3://key:secret@bucket/prefix", "s3://...@bucket/prefix"),
            ("s3://key:sec/secret@bucket/prefix", "s3://...@bucket/prefix"),
            ("s3:////key:secret@bucket/prefix", "s3://...@bucket/prefix"),
            ("s3:/key:secret@bucket/prefix", "s3:...@bucket/prefix"),
            ("s3://bucket/prefix?secret", "s3://bucket/prefix?..."),
            ("key:secret@s3://bucket/prefix", "...@s3://bucket/prefix"),
            ("key:sec@secret@s3://bucket/prefix", "...@s3://bucket/prefix"),
            ("key:secret://bucket/prefix", "...://bucket/prefix"),
            ("file://user:secret@host/prefix", "file://...@host/prefix"),
        ],
    )
    def test_what_is_shown_of_an_address_has_no_credentials(self, text: str, shown: str) -> None:
        assert shown_address(text) == shown

    @pytest.mark.parametrize(
        "text", ["key:secret@s3://key:secret@bucket", "key:secret@x://a@b", "key:secret://a@b"]
    )
    def test_nor_has_what_is_said_where_a_connection_is_looked_for(self, text: str) -> None:
        with pytest.raises(HarborConfigurationError, match="leave the credentials out") as caught:
            split_connection(text)
        assert "secret" not in str(caught.value)

    def test_the_url_shows_no_credentials(self, s3: S3Server) -> None:
        files = Files("s3://bucket/prefix/", **s3.options)
        assert files.url == "s3://bucket/prefix"
        assert s3.password not in repr(files)


class TestTroubles:
    def test_a_missing_bucket_is_told_from_a_missing_file(self, s3: S3Server) -> None:
        files = Files("s3://no-such-bucket/x", **s3.options)
        for work in (lambda: files.read("a"), lambda: files.write("a", b""), files_of(files)):
            with pytest.raises(StoreError, match="there is no such bucket") as caught:
                work()
            assert caught.value.reason is StoreReason.MISSING

    @pytest.mark.parametrize("field", ["access_key_id", "secret_access_key"])
    def test_wrong_keys_are_told(self, s3: S3Server, field: str) -> None:
        files = Files(f"s3://{s3.new_bucket()}/x", **{**s3.options, field: "wrong-key"})
        with pytest.raises(StoreError, match="Check the keys") as caught:
            files.write("a", b"")
        assert caught.value.reason is StoreReason.DENIED
        assert "wrong-key" not in str(caught.value)
        assert s3.password not in str(caught.value)

    def test_a_storage_that_fails_is_not_taken_for_one_that_has_the_file(
        self, s3: S3Server, root: Path
    ) -> None:
        root.write_text("not a directory")
        for files in (
            Files(f"s3://{s3.new_bucket()}/x", **{**s3.options, "secret_access_key": "wrong"}),
            Files(root),
        ):
            with pytest.raises(StoreError):
                files.create("a", b"")
            with pytest.raises(StoreError):
                files.replace("a", b"", b"new")

    def test_a_server_that_is_not_there_is_told_and_may_pass(
        self, s3: S3Server, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from airflow_provider_harbor.core.store import files as module

        monkeypatch.setitem(module._RETRIES, "max_retries", 0)
        files = Files("s3://bucket/x", **{**s3.options, "endpoint": "http://127.0.0.1:1"})
        with pytest.raises(StoreUnreachableError, match="does not answer"):
            files.write("a", b"")

    def test_a_full_disk_is_told_and_leaves_the_old_file_only(self, root: Path) -> None:
        files = Files(root)
        files.write("a/file", b"old")
        ignore = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        try:
            with longest_file(64 * 1024), pytest.raises(StoreError):
                files.write("a/file", os.urandom(MIB))
        finally:
            signal.signal(signal.SIGXFSZ, ignore)
        assert files.read("a/file") == b"old"
        assert files.list_names("a") == ["file"]

    @pytest.mark.parametrize("kind", ["directory", "pipe", "device"])
    def test_what_is_no_file_is_not_there_and_is_not_waited_for(
        self, root: Path, kind: str
    ) -> None:
        files = Files(root)
        files.write("a/file", b"content")
        odd = root / "a" / "odd"
        if kind == "pipe":
            os.mkfifo(odd)
        elif kind == "device":
            odd.symlink_to("/dev/zero")
        else:
            odd.mkdir()
        with pytest.raises(FileNotFoundError):
            files.read("a/odd")
        with pytest.raises(FileNotFoundError):
            files.open("a/odd")
        assert files.size("a/odd") is None
        assert list(files.iter_sizes(["a/odd", "a/file"])) == [None, 7]

    def test_a_pipe_in_the_place_of_a_lock_is_told_and_not_waited_for(self, root: Path) -> None:
        files = Files(root)
        files.write("a/file", b"old")
        os.mkfifo(root / "a" / ".lock")
        with pytest.raises(StoreError, match="a/file"):
            files.replace("a/file", b"old", b"new")

    def test_a_file_in_the_place_of_the_directory_is_told(self, root: Path) -> None:
        root.write_text("not a directory")
        with pytest.raises(StoreError, match="it is a file, not a directory"):
            Files(root).write("a", b"")

    @pytest.mark.parametrize("is_replaced", [False, True], ids=["gone", "another"])
    def test_a_directory_that_has_gone_is_told_and_not_made_anew(
        self, root: Path, is_replaced: bool
    ) -> None:
        files = Files(root)
        files.write("a/file", b"old")
        root.rename(root.with_name("elsewhere"))
        if is_replaced:
            root.mkdir()
        for work in (
            lambda: files.write("a/new", b"new"),
            lambda: files.create("a/new", b"new"),
            lambda: files.replace("a/file", b"old", b"new"),
            lambda: files.write_stream("a/new", [b"new"], 3),
            lambda: files.read("a/file"),
            lambda: files.size("a/file"),
            lambda: files.list_names("a"),
            lambda: list(files.iter_files("a")),
        ):
            with pytest.raises(StoreError, match="Is everything mounted") as caught:
                work()
            assert caught.value.reason is StoreReason.MISSING
        assert (list(root.iterdir()) == []) if is_replaced else not root.exists()
        if is_replaced:
            root.rmdir()
        root.with_name("elsewhere").rename(root)
        assert files.read("a/file") == b"old"

    def test_many_may_be_the_first_to_open_it(self, root: Path) -> None:
        root.mkdir()
        for number in range(20):
            files = Files(root / str(number))
            with ThreadPoolExecutor(8) as pool:
                list(pool.map(lambda n, f=files: f.exists("a") or f.write("a", b""), range(16)))

    def test_a_directory_that_cannot_be_made_is_told(self) -> None:
        """The kernel's own file system says "no such file" then, as a mount that is gone may."""
        with pytest.raises(StoreError, match="the directory cannot be made") as caught:
            Files("/proc/no-such-place/store").create("store.json", b"{}")
        assert caught.value.reason is StoreReason.MISSING

    def test_nothing_is_made_below_a_directory_that_is_not_there(self, root: Path) -> None:
        with pytest.raises(StoreError, match=f"since {root} is not there. Is everything mounted"):
            Files(root / "store").write("store.json", b"{}")
        assert not root.exists()

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
    def test_a_directory_that_may_not_be_written_is_told(self, root: Path) -> None:
        root.mkdir(mode=0o500)
        with pytest.raises(StoreError, match="Change the directory's owner or mode"):
            Files(root).write("a", b"")

    def test_a_killed_writer_leaves_the_old_file_and_nothing_visible(self, root: Path) -> None:
        program = (
            "import os, signal, sys\n"
            "from airflow_provider_harbor.core.store.files import Files\n"
            "def dying():\n"
            "    yield b'x' * (3 << 20)\n"
            "    os.kill(os.getpid(), signal.SIGKILL)\n"
            "Files(sys.argv[1]).write_stream('a/file', dying(), 4 << 20)\n"
        )
        files = Files(root)
        files.write("a/file", b"old")
        ended = subprocess.run([sys.executable, "-c", program, str(root)], check=False)
        assert ended.returncode == -signal.SIGKILL
        assert len(files_below(root / "a")) == 2, "half of the new one is there, and hidden"
        assert files.read("a/file") == b"old"
        assert files.list_names("a") == ["file"]
        assert [entry.path for entry in files.iter_files("a")] == ["a/file"]

    def test_readers_see_one_of_the_whole_files(self, root: Path) -> None:
        files = Files(root)
        contents = [bytes([n]) * 200_000 for n in range(8)]
        files.write("a/file", contents[0])
        with ThreadPoolExecutor(8) as pool:
            writers = [pool.submit(files.write, "a/file", c) for c in contents * 4]
            seen = {files.read("a/file") for _ in range(100)}
            for writer in writers:
                writer.result()
        assert seen <= set(contents)


class TestPowerCuts:
    def test_what_a_result_counts_on_is_on_the_disk_before_it(
        self, root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store = BackupStore(root)
        store.files.write("blobs/sha256/1", b"content")
        seen: list[list[str]] = []
        sync = Files.sync

        def noted(files: Files) -> None:
            seen.append(files_below(root))
            sync(files)

        monkeypatch.setattr(Files, "sync", noted)
        path = store.results.write("night", "library", {})
        assert seen == [["blobs/sha256/1"]]
        snapshot = Snapshot(
            key="night",
            run="night",
            complete=True,
            harbor_url="https://harbor.example.com",
            destination=store.url,
            started_at="",
            ended_at="",
            projects={},
        )
        last = store.snapshots.commit(snapshot)
        assert seen[1:] == [["blobs/sha256/1", path], sorted(["blobs/sha256/1", path, last])]

    def test_a_disk_that_cannot_be_synced_is_told(
        self, root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        class Failing:
            def syncfs(self, descriptor: int) -> int:
                ctypes.set_errno(errno.EIO)
                return -1

        files = Files(root)
        files.write("a", b"")
        monkeypatch.setattr(ctypes, "CDLL", lambda *args, **options: Failing())
        with pytest.raises(StoreUnreachableError, match="the disk fails to read or write"):
            files.sync()

    def test_without_a_call_for_one_file_system_all_are_synced(
        self, root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        synced: list[bool] = []
        files = Files(root)
        files.write("a", b"")
        monkeypatch.setattr(ctypes, "CDLL", lambda *args, **options: object())
        monkeypatch.setattr(os, "sync", lambda: synced.append(True))
        files.sync()
        assert synced == [True]

    def test_where_nothing_was_written_nothing_is_synced(
        self, root: Path, s3: S3Server, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(ctypes, "CDLL", lambda *args, **options: pytest.fail("it was synced"))
        Files(root).sync()
        Files(f"s3://{s3.new_bucket()}/x", **s3.options).sync()
        assert not root.exists()


def test_a_link_that_leads_nowhere_is_not_left_out_of_a_list(root: Path, tmp_path: Path) -> None:
    files = Files(root)
    files.write("snapshots/night-2/snapshot.json", b"{}")
    (tmp_path / "other").mkdir()
    (root / "snapshots/night-1").symlink_to(tmp_path / "other")
    assert files.list_directories("snapshots") == ["night-1", "night-2"]
    (tmp_path / "other").rmdir()
    with pytest.raises(StoreError, match=r"the link night-1 leads nowhere\. Is everything mounted"):
        files.list_directories("snapshots")
    assert files.list_directories("nothing") == []


def test_a_pipe_is_not_waited_for(root: Path) -> None:
    root.mkdir()
    os.mkfifo(root / "pipe")
    with pytest.raises(FileNotFoundError, match="no regular file"):
        open_regular(root / "pipe")
    (root / "file").write_bytes(b"x")
    os.close(open_regular(root / "file"))


def files_of(files: Files) -> object:
    return lambda: files.list_names("a")


def test_a_file_is_written_past_one_that_a_killed_run_left_half(tmp_path: Path):
    files = Files(tmp_path)
    (tmp_path / "blobs").mkdir()
    (tmp_path / "blobs/a#1").write_bytes(b"half")
    files.write("blobs/a", b"whole")
    assert files.read("blobs/a") == b"whole"
    assert sorted(path.name for path in (tmp_path / "blobs").iterdir()) == ["a", "a#1"]


def test_a_write_that_fails_leaves_nothing(tmp_path: Path):
    files = Files(tmp_path)
    (tmp_path / "blobs/a/b").mkdir(parents=True)
    with pytest.raises(StoreError):
        files.write("blobs/a", b"where a directory is")
    assert [path.name for path in (tmp_path / "blobs").iterdir()] == ["a"]
    files.write("blobs/empty", b"")
    assert files.read("blobs/empty") == b""
