"""`find`, `diff` and `stats`: looking into all nights of a store."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_harbor.core.cli.main import main
from airflow_provider_harbor.core.store.backup_store import BackupStore
from tests.double import HarborDouble, Image, multi_arch

V1, V2, BASE = Image("app 1"), Image("app 2"), Image("base", layers=[b"shared" * 100])
WEB = multi_arch("web")


@pytest.fixture(autouse=True)
def login(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARBOR_BACKUP_SOURCE_USER", "admin")
    monkeypatch.setenv("HARBOR_BACKUP_SOURCE_PASSWORD", "Harbor12345")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three nights: an image; another one with its tag, and an index; the index is gone."""
    directory = tmp_path_factory.mktemp("nights") / "store"
    store = BackupStore(directory)
    with HarborDouble() as harbor, pytest.MonkeyPatch.context() as patch:
        patch.setenv("HARBOR_BACKUP_SOURCE_USER", harbor.user)
        patch.setenv("HARBOR_BACKUP_SOURCE_PASSWORD", harbor.password)
        harbor.create_project("team-a")
        harbor.push("team-a/app", V1, "latest", "1.0")
        harbor.push("library/base", BASE, "1")
        back_up(harbor, store)
        harbor.push("team-a/app", V2, "latest", "2.0")
        harbor.push("team-a/web", WEB, "w")
        back_up(harbor, store)
        harbor.state.forget_repository(harbor.state.repositories["team-a/web"])
        back_up(harbor, store)
    return directory


@pytest.fixture
def nights(prepared: Path, tmp_path: Path) -> BackupStore:
    """A copy of these nights, to be damaged."""
    shutil.copytree(prepared, tmp_path / "store")
    return BackupStore(tmp_path / "store")


def back_up(harbor: HarborDouble, store: BackupStore) -> None:
    assert main(["backup", harbor.url, store.url, "--quiet"]) == 0


def ask(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> dict[str, Any]:
    capsys.readouterr()
    assert main([*arguments, "--json"]) == code
    return dict(json.loads(capsys.readouterr().out))


def say(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> str:
    capsys.readouterr()
    assert main(list(arguments)) == code
    return capsys.readouterr().out


# -- find


def places(found: dict[str, Any]) -> set[tuple[str, str, str]]:
    return {(row["repository"], row["tag"], row["digest"]) for row in found["found"]}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("WEB", {("team-a/web", "", "")}),
        ("app:latest", {("team-a/app", "latest", V1.digest), ("team-a/app", "latest", V2.digest)}),
        ("team-a/app:1.0", {("team-a/app", "1.0", V1.digest)}),
        ("2.0", {("team-a/app", "2.0", V2.digest)}),
        (V1.digest[:20], {("team-a/app", "", V1.digest)}),
        (V1.digest.removeprefix("sha256:")[:12], {("team-a/app", "", V1.digest)}),
        (f"team-a/app@{V2.digest}", {("team-a/app", "", V2.digest)}),
        (f"library/base@{V2.digest}", set()),
        ("team-a/web:", {("team-a/web", "", "")}),
        ("app:1", set()),
    ],
)
def test_a_part_of_a_name_a_tag_or_a_digest_is_found(
    nights: BackupStore,
    capsys: pytest.CaptureFixture[str],
    text: str,
    expected: set[tuple[str, str, str]],
) -> None:
    found = ask(capsys, "find", nights.url, text, code=0 if expected else 1)
    assert places(found) == expected
    assert found["searched"] == 3


def test_what_was_found_says_from_when_to_when_it_is_there(
    nights: BackupStore, capsys: pytest.CaptureFixture[str]
) -> None:
    keys = nights.snapshots.list_keys()
    (web,) = ask(capsys, "find", nights.url, "team-a/web")["found"]
    assert (web["first"], web["last"], web["snapshots"]) == (keys[1], keys[1], 1)
    assert web["is_in_newest"] is False
    (base,) = ask(capsys, "find", nights.url, "library/base")["found"]
    assert (base["first"], base["last"], base["snapshots"]) == (keys[0], keys[2], 3)
    assert base["is_in_newest"] is True
    text = say(capsys, "find", nights.url, "team-a/web")
    assert "gone since" in text
    assert "1 place in 3 snapshots" in text


def test_a_layer_is_found_in_the_artifacts_that_have_it(
    nights: BackupStore, capsys: pytest.CaptureFixture[str]
) -> None:
    blob = next(iter(BASE.blobs))
    (found,) = ask(capsys, "find", nights.url, blob)["found"]
    assert (found["digest"], found["layer"]) == (BASE.digest, blob)


def test_a_list_that_is_damaged_is_named_and_the_others_are_searched(
    nights: BackupStore, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (damaged,) = (tmp_path / "store/inventories/library").glob("*.jsonl.gz")
    damaged.write_bytes(damaged.read_bytes()[:-5])
    found = ask(capsys, "find", nights.url, "a", code=1)
    assert ("team-a/app", "", "") in places(found)
    assert damaged.name in found["damages"][0]


@pytest.mark.parametrize("command", [["find", "app:latest"], ["stats"]])
def test_a_snapshot_that_is_damaged_is_named_and_the_others_are_looked_into(
    nights: BackupStore, capsys: pytest.CaptureFixture[str], tmp_path: Path, command: list[str]
) -> None:
    key = nights.snapshots.list_keys()[1]
    (tmp_path / "store/snapshots" / key / "snapshot.json").write_text("{")
    name, *rest = command
    found = ask(capsys, name, nights.url, *rest, code=1)
    assert key in found["damages"][0]
    assert found.get("found", found.get("nights"))


@pytest.mark.parametrize("text", ["", " ", ":", "app@zz", "app@sha256:12"])
def test_a_text_that_cannot_be_looked_for_is_refused(
    nights: BackupStore, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    assert "error" in ask(capsys, "find", nights.url, text, code=2)


def test_more_places_than_the_limit_are_counted(
    nights: BackupStore, capsys: pytest.CaptureFixture[str]
) -> None:
    text = say(capsys, "find", nights.url, "a", "--limit", "1")
    assert "more (--limit, --json)" in text


# -- diff


def test_two_nights_are_compared_line_by_line(
    nights: BackupStore, capsys: pytest.CaptureFixture[str]
) -> None:
    keys = nights.snapshots.list_keys()
    found = ask(capsys, "diff", nights.url, keys[0], keys[1])
    changes = {(d["change"], d["repository"], d["digest"]) for d in found["differences"]}
    assert ("added", "team-a/app", V2.digest) in changes
    assert ("added", "team-a/web", WEB.digest) in changes
    (moved,) = [d for d in found["differences"] if d["change"] == "tag-moved"]
    assert (moved["tag"], moved["before"], moved["digest"]) == ("latest", V1.digest, V2.digest)
    assert found["totals"]["tags_moved"] == 1
    assert found["totals"]["tags_added"] == 2
    assert found["totals"]["removed"] == 0
    assert found["totals"]["added"] == 1 + len(list(WEB.walk()))


def test_without_names_the_last_night_is_compared_with_the_one_before(
    nights: BackupStore, capsys: pytest.CaptureFixture[str]
) -> None:
    keys = nights.snapshots.list_keys()
    text = say(capsys, "diff", nights.url)
    assert f"From {keys[1]} to {keys[2]}" in text
    assert "- team-a/web@sha256:" in text
    assert "0 digests added" in text


def test_compared_the_other_way_round_what_was_added_is_removed(
    nights: BackupStore, capsys: pytest.CaptureFixture[str]
) -> None:
    keys = nights.snapshots.list_keys()
    there = ask(capsys, "diff", nights.url, keys[0], keys[2])["totals"]
    back = ask(capsys, "diff", nights.url, keys[2], keys[0])["totals"]
    assert there["added"] == back["removed"] == 1
    assert there["bytes_added"] == back["bytes_removed"] > 0
    assert there["tags_moved"] == back["tags_moved"] == 1


def test_a_night_is_equal_to_itself_and_the_first_has_none_before_it(
    nights: BackupStore, capsys: pytest.CaptureFixture[str]
) -> None:
    first = nights.snapshots.list_keys()[0]
    assert "Nothing differs" in say(capsys, "diff", nights.url, first, first)
    error = ask(capsys, "diff", nights.url, first, code=0)
    assert error["older"] == first
    alone = BackupStore(nights.url)
    for key in nights.snapshots.list_keys()[1:]:
        alone.files.delete([f"snapshots/{key}/snapshot.json"])
    assert "no complete snapshot before" in ask(capsys, "diff", nights.url, code=2)["error"]


# -- stats


def test_what_each_project_takes_alone_and_each_night_adds_is_measured(
    nights: BackupStore, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    pool = [path.stat().st_size for path in (tmp_path / "store/blobs").rglob("*") if path.is_file()]
    found = ask(capsys, "stats", nights.url)
    assert (found["pool_files"], found["pool_bytes"]) == (len(pool), sum(pool))
    assert found["named_bytes"] == found["pool_bytes"]
    assert sum(night["new_bytes"] for night in found["nights"]) == found["pool_bytes"]
    assert [night["new_files"] > 0 for night in found["nights"]] == [True, True, False]
    team = found["projects"]["team-a"]
    assert team["alone_bytes"] + found["projects"]["library"]["alone_bytes"] == sum(pool)
    assert team["newest_bytes"] < team["alone_bytes"]


def test_what_two_projects_share_is_of_neither_alone(
    harbor: HarborDouble, store: BackupStore, capsys: pytest.CaptureFixture[str]
) -> None:
    harbor.create_project("other")
    for repository in ("library/base", "other/base"):
        harbor.push(repository, BASE, "1")
    back_up(harbor, store)
    projects = ask(capsys, "stats", store.url)["projects"]
    assert projects["library"]["alone_bytes"] == projects["other"]["alone_bytes"] == 0
    assert projects["library"]["newest_bytes"] == projects["other"]["newest_bytes"] > 0


def test_a_store_is_told_in_tables(nights: BackupStore, capsys: pytest.CaptureFixture[str]) -> None:
    text = say(capsys, "stats", nights.url)
    assert "ALONE, ALL NIGHTS" in text
    assert nights.snapshots.list_keys()[0] in text


@pytest.mark.parametrize("command", [["find", "x"], ["diff"], ["stats"]])
def test_a_directory_that_is_no_store_is_refused(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name, *rest = command
    assert main([name, str(tmp_path), *rest]) == 2
    assert "there is no backup store" in capsys.readouterr().err
