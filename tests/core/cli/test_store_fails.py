"""A store that fails in the middle of a night: told once, nothing lost, the next night whole."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from airflow_provider_harbor.core.cli import main as cli
from airflow_provider_harbor.core.oci.manifest import digest_of
from airflow_provider_harbor.core.store.backup_store import BackupStore
from airflow_provider_harbor.core.store.files import Files
from tests.core.cli.conftest import assert_fit_to_be_shown, remount
from tests.double import Fault, HarborDouble, Image
from tests.s3_server import running_s3_server

Attempt = Callable[..., tuple[int, list[str]]]
ROOT = Path(__file__).parents[3]
# The command line, but that it does not try for a minute where a storage has gone.
IMPATIENT = """
import sys
from airflow_provider_harbor.core.cli.main import main
from airflow_provider_harbor.core.store import files
files._RETRIES["max_retries"] = 0
sys.exit(main())
"""
# Spoils what was kept of a project when it was listed, just before that is read.
SPOILING = """
from pathlib import Path
from airflow_provider_harbor.core.store.inventories import Inventories
verify = Inventories.verify
def spoil(self, project, sha256):
    if project == "alpha":
        store = Path(self._files.url.removeprefix("file://"))
        (run,) = [p for p in (store / "snapshots").iterdir() if not list(p.glob("*.json"))]
        (run / "projects" / "alpha.json").unlink()
        (run / "projects" / "alpha.json").mkdir()
        for path in (store / "inventories" / "alpha").iterdir():
            path.write_bytes(b"damaged")
    verify(self, project, sha256)
Inventories.verify = spoil
"""
PROJECTS = tuple(f"late-{number}" for number in range(6))


def grow(harbor: HarborDouble, layer_bytes: int = 2_000) -> None:
    """Give a Harbor six more projects of ten images each, after its first night."""
    for project in PROJECTS:
        harbor.create_project(project)
        for number in range(10):
            image = Image(f"{project} {number}", layers=[layer_bytes])
            harbor.push(f"{project}/app{number % 3}", image, f"v{number}")


@pytest.fixture
def attempt(filled: HarborDouble) -> Attempt:
    """Run a backup that fails, as a process: one that has ended holds no lease, whatever it left.

    Returns its exit code, and all lines that it showed, those of its errors first. What is to be
    done in the process before it begins can be given as a program.
    """

    def run(store: object, before: str = "") -> tuple[int, list[str]]:
        done = subprocess.run(
            [sys.executable, "-c", before + IMPATIENT, "backup", filled.url, str(store), "--quiet"],
            capture_output=True, text=True, check=False, cwd=ROOT, timeout=100,
        )  # fmt: skip
        assert_fit_to_be_shown(done.stderr + done.stdout, filled)
        return done.returncode, (done.stderr + done.stdout).splitlines()

    return run


def first_night(harbor: HarborDouble, store: object) -> None:
    assert cli.main(["backup", harbor.url, str(store), "--quiet"]) == 0


def in_the_middle(harbor: HarborDouble, what: Callable[[], object]) -> None:
    """Have something happen while the second of the new projects is copied."""
    path = f"/v2/{PROJECTS[1]}/.*/blobs/"
    harbor.faults.add(Fault(method="GET", path=path, skip=7, callback=lambda double: what()))


def ends_of(files: Files) -> list[str]:
    """Return the ends of all runs that claim to be complete."""
    return sorted(
        e.path for e in files.iter_files("snapshots") if e.path.endswith("/snapshot.json")
    )


def assert_told_once(lines: list[str], message: str) -> None:
    """One line for a project at hand, at most, and one for the run: not one for each artifact.

    Another project at hand may meet it in its own way: a list that it has just written is gone.
    """
    assert any(message in line for line in lines), lines
    assert len(lines) <= 4, lines
    failed = [line for line in lines if "FAILED" in line]
    told = [project for project in PROJECTS if any(project in line for line in failed)]
    assert len(told) <= 2, lines


def assert_not_begun_anew(store: Path) -> None:
    """Nothing claims to be a store there: what was on its way may have come to be a file or two."""
    assert not (store / "store.json").exists()
    assert not list(store.glob("snapshots/*/*.json"))


def assert_whole(harbor: HarborDouble, store: object, **options: object) -> None:
    """The next night is complete; what its contents name is there, byte for byte."""
    harbor.faults.clear()
    first_night(harbor, store)
    opened = BackupStore(str(store), **options)
    newest = opened.snapshots.list_keys()[-1]
    snapshot = opened.snapshots.read(newest)
    assert snapshot
    assert snapshot.complete
    assert set(PROJECTS) <= snapshot.projects.keys()
    wanted = {}
    for project, item in snapshot.projects.items():
        for _, contents in opened.inventories.iter_contents(project, item.contents):
            for content in contents.values():
                wanted |= {blob.digest: blob.size_bytes for blob in content.iter_sizes()}
    assert len(wanted) > 120
    for entry in opened.files.iter_files("blobs"):
        algorithm, _, encoded = entry.path.removeprefix("blobs/").partition("/")
        digest = f"{algorithm}:{encoded}"
        assert digest_of(opened.files.read(entry.path)) == digest
        assert wanted.pop(digest, entry.size_bytes) == entry.size_bytes
    assert not wanted


def test_a_disk_that_gets_full(filled, attempt: Attempt, small_disk: Path) -> None:
    first_night(filled, small_disk)
    before = ends_of(Files(small_disk))
    grow(filled, 60_000)
    code, lines = attempt(small_disk)
    assert code == 1
    assert_told_once(lines, "the disk is full. Make room, and run it again")
    assert ends_of(Files(small_disk)) == before
    remount(small_disk, "size=64m")
    assert_whole(filled, small_disk)


def test_an_object_storage_that_gets_full(
    filled, attempt: Attempt, small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    remount(small_disk, "size=6m")
    with running_s3_server(small_disk) as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        store = f"s3://{server.new_bucket()}/nights"
        first_night(filled, store)
        before = ends_of(Files(store))
        grow(filled, 300_000)
        code, lines = attempt(store)
        assert code == 1
        assert_told_once(lines, "the storage is full, or its quota is used up. Make room")
        remount(small_disk, "size=64m")
        assert ends_of(Files(store)) == before
        assert_whole(filled, store)


def test_a_disk_that_turns_read_only(filled, attempt: Attempt, small_disk: Path) -> None:
    first_night(filled, small_disk)
    before = ends_of(Files(small_disk))
    grow(filled)
    in_the_middle(filled, lambda: remount(small_disk, "ro"))
    code, lines = attempt(small_disk)
    assert code == 1
    assert_told_once(lines, "the file system is read-only. Mount it for writing")
    assert ends_of(Files(small_disk)) == before
    remount(small_disk, "rw")
    assert_whole(filled, small_disk)


def test_a_directory_that_is_renamed_away(filled, attempt: Attempt, tmp_path: Path) -> None:
    store, elsewhere = tmp_path / "store", tmp_path / "elsewhere"
    first_night(filled, store)
    before = ends_of(Files(store))
    grow(filled)
    in_the_middle(filled, lambda: store.rename(elsewhere))
    code, lines = attempt(store)
    assert code == 1
    assert_told_once(lines, "Is everything mounted?")
    assert_not_begun_anew(store)
    assert ends_of(Files(elsewhere)) == before
    shutil.rmtree(store, ignore_errors=True)  # what was being written at that very moment
    elsewhere.rename(store)
    assert_whole(filled, store)


def test_a_disk_that_is_unmounted(filled, attempt: Attempt, small_disk: Path) -> None:
    """Its mount point is an empty directory then, of a disk that is not meant."""
    store = small_disk / "store"
    first_night(filled, store)
    grow(filled)
    mount = ["mount", "-t", "tmpfs", "harbor-tests-empty", str(small_disk)]
    in_the_middle(filled, lambda: subprocess.run(mount, check=True))
    try:
        code, lines = attempt(store)
        assert code == 1
        assert_told_once(lines, "Is everything mounted?")
        assert_not_begun_anew(store)
    finally:
        subprocess.run(["umount", str(small_disk)], check=True)
    remount(small_disk, "size=64m")
    assert_whole(filled, store)


def test_another_directory_in_its_place(filled, attempt: Attempt, tmp_path: Path) -> None:
    store = tmp_path / "store"
    first_night(filled, store)
    grow(filled)

    def replace() -> None:
        store.rename(tmp_path / "elsewhere")
        store.mkdir()

    in_the_middle(filled, replace)
    code, lines = attempt(store)
    assert code == 1
    assert_told_once(lines, "another directory is in its place. Is everything mounted?")
    assert_not_begun_anew(store)


def test_an_object_storage_that_stops(
    filled, attempt: Attempt, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "s3").mkdir()
    with running_s3_server(tmp_path / "s3") as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        store = f"s3://{server.new_bucket()}/nights"
        first_night(filled, store)
        before = ends_of(Files(store))
        grow(filled)
        in_the_middle(filled, server.stop)
        code, lines = attempt(store)
        assert code == 1
        assert_told_once(lines, "the storage does not answer as it should")
        server.start()
        assert ends_of(Files(store)) == before
        assert_whole(filled, store)


def test_a_store_that_cannot_keep_an_error_hides_no_error(
    filled, attempt: Attempt, tmp_path: Path
) -> None:
    """What ended a project is said, also where it cannot be kept as the project's result."""
    store = tmp_path / "store"
    first_night(filled, store)

    filled.push("alpha/app", Image("new"), "new")
    code, lines = attempt(store, SPOILING)
    assert code == 1
    assert_told_once(lines, "FAILED alpha: ")
    assert re.search(r"inventories/alpha/\S+ is damaged", lines[0]), lines
