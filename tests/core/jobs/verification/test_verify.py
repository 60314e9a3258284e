"""Every damage of a store is found by the part that covers it; a whole one raises no alarm."""

from __future__ import annotations

import os
import random
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_provider_harbor.core.exceptions import (
    HarborConfigurationError,
    StoreReason,
    StoreUnreachableError,
)
from airflow_provider_harbor.core.jobs.verification import pool
from airflow_provider_harbor.core.jobs.verification.report import EVERYTHING, Kind, Part
from airflow_provider_harbor.core.store import layout
from airflow_provider_harbor.core.store.backup_store import BackupStore
from airflow_provider_harbor.core.store.files import Files
from airflow_provider_harbor.core.store.pool_files import hash_blob
from airflow_provider_harbor.core.store.snapshots import Snapshot
from tests.core.verifying import (
    DAMAGES,
    HARBOR,
    KINDS,
    NO_DAMAGE,
    Night,
    build,
    look,
    rename_contents,
    write_night,
)
from tests.double import Image, Index

PARTS = 3


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Files, "sync", lambda self: None)


@contextmanager
def built(seed: int) -> Iterator[tuple[Night, Path, random.Random]]:
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as name:
        chance = random.Random(seed)
        yield build(Path(name), chance), Path(name), chance


@pytest.fixture
def night(tmp_path: Path) -> Night:
    return build(tmp_path / "store", random.Random(3))


def covering(path: str) -> Part:
    """Return the part that reads a file of the pool; of a list any part does."""
    digest = path.rpartition("/")[2]
    parts = [Part(number=number, of=PARTS) for number in range(1, PARTS + 1)]
    if not path.startswith("blobs/"):
        return parts[0]
    (part,) = [part for part in parts if part.covers(f"sha256:{digest}")]
    return part


def named(path: str) -> str:
    """Return what a damage of a file is called."""
    return path.removeprefix("blobs/").replace("/", ":", 1) if path.startswith("blobs/") else path


def assert_found(seed: int, kind: str, how: str) -> None:
    with built(seed) as (made, root, chance):
        path = chance.choice(made.files[kind])
        others = [root / other for other in made.files[kind] if other != path]
        DAMAGES[how](root / path, chance, others)
        report = look(made.store, part=covering(path))
        assert not report.ok
        assert named(path) in [damage.thing for damage in report.damages], report.to_text()
        # Nothing else is, but what that file alone names.
        assert {damage.thing for damage in report.damages} == {named(path)}


@pytest.mark.parametrize("how", DAMAGES)
@pytest.mark.parametrize("kind", KINDS)
def test_each_damage_of_each_kind_of_file_is_found(kind: str, how: str) -> None:
    if (kind, how) not in NO_DAMAGE:
        assert_found(11, kind, how)


@settings(max_examples=60, deadline=None, derandomize=True, database=None,
          suppress_health_check=[HealthCheck.function_scoped_fixture])  # fmt: skip
@given(st.integers(0, 2**32), st.sampled_from(KINDS), st.sampled_from(sorted(DAMAGES)))
def test_any_damage_of_any_store_is_found(seed: int, kind: str, how: str) -> None:
    if (kind, how) not in NO_DAMAGE:
        assert_found(seed, kind, how)


@settings(max_examples=20, deadline=None, derandomize=True, database=None,
          suppress_health_check=[HealthCheck.function_scoped_fixture])  # fmt: skip
@given(st.integers(0, 2**32), st.sampled_from([None, EVERYTHING, Part(number=2, of=3)]))
def test_a_whole_store_raises_no_alarm(seed: int, part: Part | None) -> None:
    with built(seed) as (made, _, _chance):
        report = look(made.store, part=part)
        assert report.ok, report.to_text()
        assert report.damages == ()


@settings(max_examples=15, deadline=None, derandomize=True, database=None,
          suppress_health_check=[HealthCheck.function_scoped_fixture])  # fmt: skip
@given(st.integers(0, 2**32))
def test_a_wrong_size_in_contents_is_found(seed: int) -> None:
    with built(seed) as (made, _, chance):
        digest = rename_contents(made, chance)
        report = look(made.store)
        assert not report.ok
        assert {damage.thing for damage in report.damages} == {digest}
        kinds = {damage.kind for damage in report.damages}
        assert kinds <= {Kind.TWO_SIZES, Kind.WRONG_SIZE}


def test_all_parts_together_read_everything_once(night: Night) -> None:
    everything = look(night.store, part=EVERYTHING).stages[1].checked
    parts = [Part(number=number, of=5) for number in range(1, 6)]
    assert sum(look(night.store, part=part).stages[1].checked for part in parts) == everything
    assert everything == len(list(Path(night.store.url[7:]).glob("blobs/sha256/*")))


def test_other_parts_do_not_read_what_a_flipped_bit_ruined(night: Night) -> None:
    path = night.files["blob"][0]
    DAMAGES["bit flipped"](Path(night.store.url[7:]) / path, random.Random(1), [])
    parts = [Part(number=number, of=PARTS) for number in range(1, PARTS + 1)]
    assert [look(night.store, part=part).ok for part in parts].count(False) == 1
    assert look(night.store).ok


def test_a_damage_says_where_it_is_used_and_from_when_to_when(night: Night) -> None:
    store = night.store
    (root,) = [Path(store.url[7:])]
    newest = store.snapshots.read(store.snapshots.list_keys()[-1])
    assert newest
    project, entry = sorted(newest.projects.items())[0]
    repository, manifests = next(iter(store.inventories.iter_contents(project, entry.contents)))
    content = next(c for c in manifests.values() if c.blobs)
    blob = content.blobs[-1].digest
    (root / layout.blob(blob)).unlink()
    (damage,) = look(store).damages

    assert damage.kind is Kind.MISSING
    assert damage.thing == blob
    assert not damage.is_manifest
    assert (repository, content.digest) in [(use.repository, use.digest) for use in damage.uses]
    (use,) = [u for u in damage.uses if (u.repository, u.digest) == (repository, content.digest)]
    assert use.last == newest.key
    assert use.tags
    assert damage.uses_in_all == len(damage.uses)
    assert "was not asked" in damage.remedy


def test_on_any_storage_a_damage_is_found(any_store: BackupStore) -> None:
    store = any_store
    made = Night(store)
    store.begin_for(HARBOR)
    write_night(made, 0, {"team-a/app": [Image("app"), Index(Image("one"), Image("two"))]})
    report = look(store, part=EVERYTHING)
    assert report.ok, report.to_text()
    assert report.stages[1].checked == len(made.files["blob"]) + len(made.files["manifest"])
    flipped, cut, gone = made.files["blob"][:3]
    for path, change in ((flipped, 0), (cut, 1)):
        data = store.files.read(path)
        store.files.write(path, bytes([data[0] ^ 1]) + data[1 : len(data) - change])
    store.files.delete([gone])
    found = {damage.thing: damage.kind for damage in look(store, part=EVERYTHING).damages}
    assert found == {
        named(flipped): Kind.WRONG_CONTENT,
        named(cut): Kind.WRONG_SIZE,
        named(gone): Kind.MISSING,
    }


def test_each_list_is_read_once_and_the_pool_is_listed_once(
    night: Night, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    listed: list[str] = []
    whole_open, whole_list = Files.open, Files.iter_files
    monkeypatch.setattr(
        Files, "open", lambda self, path: opened.append(path) or whole_open(self, path)
    )
    monkeypatch.setattr(
        Files, "iter_files", lambda self, path: listed.append(path) or whole_list(self, path)
    )
    assert look(night.store).ok
    assert sorted(opened) == sorted(night.files["inventory"] + night.files["contents"])
    assert listed == ["blobs"]


def test_foreign_files_in_the_pool_are_a_note(night: Night) -> None:
    root = Path(night.store.url[7:])
    (root / "blobs/sha256/README.txt").write_text("hello")
    (root / "blobs/sha256/ab").mkdir()
    (root / "blobs/sha256/ab/cd").write_text("hello")
    report = look(night.store, part=EVERYTHING)
    assert report.ok
    assert any("2 files in the pool whose names are no digests" in note for note in report.notes)


def test_what_was_not_looked_at_is_said(night: Night) -> None:
    left_out = "\n".join(look(night.store).not_looked_at)
    assert "the bytes of the pool" in left_out
    assert "name it as source" in left_out
    report = look(night.store, part=Part(number=2, of=28), which="latest")
    left_out = "\n".join(report.not_looked_at)
    assert "the other 27 parts of 28" in left_out
    assert f"snapshots other than {report.snapshots[0]}" in left_out


@pytest.mark.parametrize("text", ["0/28", "29/28", "3", "3/0", "-1/2", "a/b", "1/99999", "²/3", ""])
def test_no_part(text: str) -> None:
    with pytest.raises(HarborConfigurationError, match="is not a part"):
        Part.parse(text)


def test_a_part() -> None:
    assert str(Part.parse(" 3/28 ")) == "3/28"
    assert Part.parse("1/1") == EVERYTHING


def test_no_store_and_an_empty_one(tmp_path: Path) -> None:
    with pytest.raises(HarborConfigurationError, match="there is no backup store"):
        look(BackupStore(tmp_path / "none"))
    store = BackupStore(tmp_path / "store")
    store.begin_for(HARBOR)
    with pytest.raises(HarborConfigurationError, match="has no snapshot yet"):
        look(store)


def test_a_store_with_partial_snapshots_only_is_verified(night: Night) -> None:
    for path in Path(night.store.url[7:]).glob("snapshots/*/snapshot.json"):
        path.rename(path.with_name("partial.json"))
    assert look(night.store, part=EVERYTHING).ok


def test_a_damaged_description_of_the_store_is_a_damage(night: Night) -> None:
    (Path(night.store.url[7:]) / "store.json").write_text("{")
    report = look(night.store)
    assert [damage.kind for damage in report.damages] == [Kind.STORE]


def test_a_run_without_an_end_is_a_note(night: Night) -> None:
    root = Path(night.store.url[7:])
    (root / "snapshots/2026-12-01/projects").mkdir(parents=True)
    report = look(night.store)
    assert report.ok
    assert any("2026-12-01" in note for note in report.notes)


def test_one_file_that_cannot_be_read_is_a_damage_and_many_are_a_broken_disk(
    night: Night, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = {named(night.files["blob"][0])}

    def read(files: Files, digest: str) -> tuple[int, str]:
        if digest in broken:
            raise StoreUnreachableError(
                StoreReason.UNREACHABLE, "the disk fails to read", where=files.url
            )
        return hash_blob(files, digest)

    monkeypatch.setattr(pool, "hash_blob", read)
    report = look(night.store, part=EVERYTHING)
    assert [(damage.kind, damage.thing) for damage in report.damages] == [
        (Kind.UNREADABLE, *broken)
    ]
    broken |= {named(path) for path in night.files["blob"] + night.files["manifest"]}
    report = look(night.store, part=EVERYTHING)
    assert report.damages == ()
    assert not report.ok
    assert "the disk fails to read" in report.stages[1].error


def test_a_pool_that_is_gone_is_one_sentence(night: Night) -> None:
    shutil.rmtree(Path(night.store.url[7:]) / "blobs")
    report = look(night.store, part=EVERYTHING)
    assert not report.ok
    assert report.damages == ()
    assert [stage.name for stage in report.stages] == ["structure"]
    assert "Is everything mounted?" in report.stages[0].error


def test_with_one_snapshot_the_content_of_others_is_left_out(night: Night) -> None:
    store = night.store
    keys = store.snapshots.list_keys()
    assert len(keys) > 1
    names = {path.rpartition("/")[2] for path in night.files["blob"] + night.files["manifest"]}
    of_the_first = {
        blob.digest.partition(":")[2]
        for project, entry in snapshot_of(store, keys[0]).projects.items()
        for _, manifests in store.inventories.iter_contents(project, entry.contents)
        for content in manifests.values()
        for blob in content.iter_sizes()
    }
    other = sorted(names - of_the_first)[0]
    DAMAGES["bit flipped"](Path(store.url[7:]) / "blobs/sha256" / other, random.Random(1), [])
    report = look(store, part=EVERYTHING, which=keys[0], repairs=True)
    assert report.ok, report.to_text()
    assert report.stages[1].checked == len(of_the_first)
    assert [damage.thing for damage in look(store, part=EVERYTHING).damages] == [f"sha256:{other}"]


def test_nothing_is_taken_away_while_a_damaged_list_may_name_it(night: Night) -> None:
    root = Path(night.store.url[7:])
    (root / night.files["inventory"][0]).write_bytes(b"")
    (root / night.files["contents"][0]).write_bytes(b"")
    lone = root / night.files["unnamed blob"][0]
    DAMAGES["bit flipped"](lone, random.Random(1), [])
    report = look(night.store, part=EVERYTHING, repairs=True)
    assert not report.ok
    (damage,) = [d for d in report.damages if d.thing == named(night.files["unnamed blob"][0])]
    assert "left alone" in damage.remedy
    assert lone.exists()


def snapshot_of(store: BackupStore, key: str) -> Snapshot:
    found = store.snapshots.read(key)
    assert found
    return found


def test_what_is_listed_as_protected_and_not_in_the_contents_is_a_damage(night: Night) -> None:
    store = night.store
    key = store.snapshots.list_keys()[0]
    snapshot = store.snapshots.read(key)
    assert snapshot
    project, entry = sorted(snapshot.projects.items())[0]
    groups = list(store.inventories.iter_contents(project, entry.contents))
    repository, manifests = groups[0]
    lacking = sorted(manifests)[0]
    del manifests[lacking]
    with store.inventories.write_contents(project) as writer:
        for name, held in groups:
            writer.add(name, held.values())
        sha256 = writer.finish()
    from dataclasses import replace

    changed = {**snapshot.projects, project: replace(entry, contents=sha256)}
    store.snapshots.commit(replace(snapshot, projects=changed))
    (damage,) = look(store).damages
    assert damage.kind is Kind.LACKING
    assert damage.thing == f"{repository}@{lacking}"
