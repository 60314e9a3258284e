"""An export is whole without the store, its files are the store's, and damage is named."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_harbor.core.exceptions import HarborConfigurationError
from airflow_provider_harbor.core.jobs.choosing import find_snapshot
from airflow_provider_harbor.core.jobs.export import Export, export_repository
from airflow_provider_harbor.core.jobs.export_report import ExportReport
from airflow_provider_harbor.core.oci.layout import REF_NAME
from airflow_provider_harbor.core.store.backup_store import BackupStore
from tests.core.night import OTHER, REPOSITORY, Night, commit_with_contents, layout_entries


def export(night: Night, directory: Path, **options: Any) -> ExportReport:
    store = options.pop("store", night.store)
    options = {"repository": REPOSITORY, **options}
    snapshot = find_snapshot(store)
    return export_repository(Export(store=store, snapshot=snapshot, directory=directory, **options))


def tags(directory: Path) -> dict[str, str]:
    return {
        entry["annotations"][REF_NAME]: entry["digest"]
        for entry in layout_entries(directory)
        if "annotations" in entry
    }


def untagged(directory: Path) -> set[str]:
    return {e["digest"] for e in layout_entries(directory) if "annotations" not in e}


def lists_of_referrers(directory: Path) -> dict[str, str]:
    return {tag: d for tag, d in tags(directory).items() if len(tag) == len("sha256-") + 64}


def files(directory: Path) -> dict[str, Path]:
    return {f"{p.parent.name}:{p.name}": p for p in (directory / "blobs").glob("*/*")}


def damage(path: Path) -> None:
    """Flip a bit in the middle of a file, its size as before."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.unlink()  # a store may be a hard link of another one
    path.write_bytes(content)


def test_an_export_holds_all_of_a_repository_and_nothing_else(night: Night, tmp_path: Path):
    directory = tmp_path / "new" / "layout"
    report = export(night, directory)
    contents = night.contents
    here = [c for name, c in contents.items() if name not in ("chart", "other")]
    wanted = {part.digest: part.manifest for content in here for part in content.walk()}
    blobs = {
        digest: blob
        for content in here
        for part in content.walk()
        for digest, blob in part.blobs.items()
    }
    found, lists = files(directory), lists_of_referrers(directory)
    held = {name: path.read_bytes() for name, path in found.items()}
    assert held.keys() == {*wanted, *blobs, *lists.values()}
    assert (wanted | blobs).items() <= held.items()
    assert tags(directory) == {
        "1.0": contents["image"].digest,
        "latest": contents["image"].digest,
        "2.0": contents["index"].digest,
        "old": contents["docker"].digest,
        "nested": contents["nested"].digest,
        "windows": contents["windows"].digest,
        contents["signature"].default_tags[0]: contents["signature"].digest,
        **lists,
    }
    subjects = {contents["index"].digest, contents["sbom"].digest}
    assert lists.keys() == {subject.replace(":", "-") for subject in subjects}
    names = ("untagged", "sbom", "sbom of sbom")
    assert untagged(directory) == {contents[name].digest for name in names}
    assert (report.failures, report.foreign) == ((), 1)
    assert (report.manifests, report.linked, report.copied) == (len(wanted), len(found) - 2, 2)
    assert report.size_bytes == sum(path.stat().st_size for path in found.values())


def test_descriptors_say_what_is_there(night: Night, tmp_path: Path):
    export(night, tmp_path / "layout")
    entries = {entry["digest"]: entry for entry in layout_entries(tmp_path / "layout")}
    for content in night.contents.values():
        if content.digest in entries:
            entry = entries[content.digest]
            assert entry["mediaType"] == content.media_type
            assert entry["size"] == len(content.manifest)
    sbom = night.contents["sbom"]
    assert entries[sbom.digest]["artifactType"] == sbom.document["artifactType"]


def test_files_are_those_of_the_store_until_copies_are_asked_for(night: Night, tmp_path: Path):
    export(night, tmp_path / "linked")
    report = export(night, tmp_path / "copied", may_link=False)
    lists = lists_of_referrers(tmp_path / "linked").values()
    for digest in files(tmp_path / "linked").keys() - lists:
        path = files(tmp_path / "linked")[digest]
        assert path.samefile(night.file_of(digest))
    for digest in files(tmp_path / "copied").keys() - lists:
        path = files(tmp_path / "copied")[digest]
        assert not path.samefile(night.file_of(digest))
    assert (report.linked, report.copied) == (0, len(files(tmp_path / "copied")))


def test_another_file_system_gets_copies(
    night: Night, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    # What the kernel answers between two file systems; a second one cannot be had without root.
    def refuse(*arguments: object, **options: object) -> None:
        raise OSError(18, os.strerror(18))

    monkeypatch.setattr(os, "link", refuse)
    report = export(night, tmp_path / "layout")
    assert (report.linked, report.failures) == (0, ())
    assert report.copied == len(files(tmp_path / "layout"))


def test_a_store_on_s3_is_exported_by_copies(night: Night, tmp_path: Path, s3):
    bucket = s3.new_bucket()
    store = BackupStore(f"s3://{bucket}/a/prefix", **s3.options)
    for path in night.path.rglob("*"):
        if path.is_file():
            store.files.write(str(path.relative_to(night.path)), path.read_bytes())
    report = export(night, tmp_path / "s3", store=store)
    export(night, tmp_path / "local")
    assert report.linked == 0
    assert layout_entries(tmp_path / "s3") == layout_entries(tmp_path / "local")
    assert files(tmp_path / "s3").keys() == files(tmp_path / "local").keys()


def test_a_tag_comes_with_what_belongs_to_it_only(night: Night, tmp_path: Path):
    directory = tmp_path / "layout"
    report = export(night, directory, tags=("2.0",))
    contents = night.contents
    lists = lists_of_referrers(directory)
    assert len(lists) == 2
    assert tags(directory) == {"2.0": contents["index"].digest, **lists}
    assert untagged(directory) == {contents["sbom"].digest, contents["sbom of sbom"].digest}
    assert report.manifests == len(night.all_of("index", "sbom", "sbom of sbom"))
    assert report.tags == ("2.0",)


@pytest.mark.parametrize("how", ["flipped", "cut", "gone"])
def test_what_is_damaged_is_named_and_the_rest_is_there(own_night: Night, tmp_path: Path, how: str):
    contents = own_night.contents
    broken = list(contents["untagged"].blobs)[-1]
    path = own_night.file_of(broken)
    if how == "flipped":
        damage(path)
    elif how == "cut":
        os.truncate(path, 3)
    else:
        path.unlink()
    directory = tmp_path / "layout"
    report = export(own_night, directory)
    (failure,) = report.failures
    assert failure.digest == contents["untagged"].digest
    assert broken in failure.message or broken.partition(":")[2] in failure.message
    assert contents["untagged"].digest not in untagged(directory)
    for digest, file in files(directory).items():
        assert hashlib.sha256(file.read_bytes()).hexdigest() == digest.partition(":")[2]
    assert contents["untagged"].digest not in files(directory)
    assert tags(directory)["1.0"] == contents["image"].digest


def test_an_index_without_a_child_is_left_out_and_its_other_child_is_not(
    own_night: Night, tmp_path: Path
):
    index = own_night.contents["index"]
    first, second = index.children[:2]
    damage(own_night.file_of(first.digest))
    directory = tmp_path / "layout"
    report = export(own_night, directory)
    assert {f.digest for f in report.failures} == {first.digest, index.digest}
    (of_index,) = [f for f in report.failures if f.digest == index.digest]
    assert of_index.tags == ("2.0",)
    assert first.digest in of_index.message
    assert "2.0" not in tags(directory)
    assert second.digest in untagged(directory)


def test_where_nothing_is_whole_nothing_is_left(own_night: Night, tmp_path: Path):
    (blob, *_) = own_night.contents["chart"].blobs
    damage(own_night.file_of(blob))
    parent = tmp_path / "there"
    parent.mkdir()
    for directory in (tmp_path / "new", parent):
        report = export(own_night, directory, repository=OTHER)
        assert (report.manifests, len(report.failures)) == (0, 1)
    assert not (tmp_path / "new").exists()
    assert not list(parent.iterdir())


def test_an_export_that_is_stopped_leaves_nothing(night: Night, tmp_path: Path):
    """Ctrl-C comes in the main thread, while others write."""

    def stop(text: str) -> None:
        raise KeyboardInterrupt

    snapshot = find_snapshot(night.store)
    directory = tmp_path / "layout"
    one = Export(store=night.store, snapshot=snapshot, repository=REPOSITORY, directory=directory)
    with pytest.raises(KeyboardInterrupt):
        export_repository(one, stop)
    assert not directory.exists()


def test_the_store_is_left_as_it_was(own_night: Night, tmp_path: Path):
    before = state_of(own_night.path)
    for number, may_link in enumerate((True, False)):
        export(own_night, tmp_path / str(number), may_link=may_link)
    assert state_of(own_night.path) == before


def state_of(directory: Path) -> dict[Path, tuple[int, int, int, int]]:
    found = {}
    for path in directory.rglob("*"):
        status = path.stat()
        found[path] = (status.st_ino, status.st_mtime_ns, status.st_mode, status.st_size)
    return found


def test_a_disk_that_is_full_leaves_nothing_half_made(
    night: Night, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    directory = tmp_path / "layout"
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, limits[1]))  # the kernel says EFBIG
    try:
        with pytest.raises(OSError, match="File too large"):
            export(night, directory, may_link=False)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not directory.exists()


def test_a_directory_that_holds_something_is_refused_and_left_alone(night: Night, tmp_path: Path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(HarborConfigurationError, match="not empty; name one"):
        export(night, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_what_a_killed_export_left_is_called_so(night: Night, tmp_path: Path):
    export(night, tmp_path / "layout")
    (tmp_path / "layout" / "index.json").unlink()
    with pytest.raises(HarborConfigurationError, match="cut short: delete it"):
        export(night, tmp_path / "layout")


def test_a_directory_in_the_store_is_refused(own_night: Night, tmp_path: Path):
    link = tmp_path / "link"
    link.symlink_to(own_night.path)
    for directory in (own_night.path / "export", link / "blobs"):
        with pytest.raises(HarborConfigurationError, match="in the store itself"):
            export(own_night, directory)
    with pytest.raises(HarborConfigurationError, match="in the store itself"):
        export(own_night, own_night.path / "export", store=BackupStore(link))
    assert not (own_night.path / "export").exists()


def test_a_name_that_no_file_can_have_is_told_as_what_it_is(night: Night, tmp_path: Path):
    with pytest.raises(OSError, match="too long"):
        export(night, tmp_path / ("n" * 300))


def test_a_file_is_no_directory(night: Night, tmp_path: Path):
    path = tmp_path / "file"
    path.write_text("")
    with pytest.raises(HarborConfigurationError, match="not a directory"):
        export(night, path)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"repository": "library/deep/ap"}, "nearest of 1 repository there: library/deep/app"),
        ({"repository": "libary/deep/app"}, "no project 'libary'"),
        ({"repository": "library"}, "write PROJECT/REPOSITORY"),
        ({"repository": "library/../team"}, "write PROJECT/REPOSITORY"),
        ({"repository": "library/*"}, "write PROJECT/REPOSITORY"),
        ({"tags": ("2.1",)}, "no tag '2.1'"),
    ],
)
def test_what_is_not_there_is_said_with_what_is_near(
    night: Night, tmp_path: Path, options: dict[str, Any], words: str
):
    with pytest.raises(HarborConfigurationError, match=words.replace("*", r"\*")):
        export(night, tmp_path / "layout", **options)
    assert not (tmp_path / "layout").exists()


def test_content_that_the_night_did_not_get_is_named(own_night: Night, tmp_path: Path):
    """The list of a project is there, but its contents are those of before the last push."""
    store = own_night.store
    snapshot = find_snapshot(store)
    entry = snapshot.projects["library"]
    lost = own_night.contents["untagged"].digest
    with store.inventories.write_contents("library") as writer:
        for repository, contents in store.inventories.iter_contents("library", entry.contents):
            writer.add(repository, [c for c in contents.values() if c.digest != lost])
        sha256 = writer.finish()
    commit_with_contents(store, snapshot, "library", sha256)
    report = export(own_night, tmp_path / "layout")
    assert [failure.digest for failure in report.failures] == [lost]
    assert "Take it from another night" in report.failures[0].message


def test_damaged_lists_leave_nothing(own_night: Night, tmp_path: Path):
    shutil.rmtree(own_night.path / "contents" / "library")
    with pytest.raises(Exception, match=r"contents/library"):
        export(own_night, tmp_path / "layout")
    assert not (tmp_path / "layout").exists()
