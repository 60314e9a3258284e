"""A way back from a store that is not as it was: what is lost is named, and all else comes back."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from airflow_provider_harbor.core.exceptions import StoreError, StoreReason
from airflow_provider_harbor.core.store.files import Files
from tests.core.cli.conftest import Command, Done
from tests.core.restoring import Holding, Reader, holding
from tests.double import Fault, HarborDouble
from tests.double.content import Content, Image
from tests.s3_server import S3Server

Change = Callable[[Path], object]


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-3])


def change(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(bytes([content[0] ^ 1]) + content[1:])


def lose(path: Path) -> None:
    path.unlink()


def empty(path: Path) -> None:
    path.write_bytes(b"")


def garbage(path: Path) -> None:
    path.write_bytes(b"garbage" * 20)


def in_pool(kept: Path, digest: str) -> Path:
    return kept / "blobs" / "sha256" / digest.removeprefix("sha256:")


def only_file(directory: Path) -> Path:
    (found,) = [path for path in directory.iterdir() if not path.name.startswith(".")]
    return found


def largest_blob(content: Content) -> str:
    return max(content.blobs, key=lambda digest: len(content.blobs[digest]))


@pytest.fixture
def restore(command: Command, kept: Path, other_harbor: HarborDouble) -> Callable[..., Done]:
    """Restore into an empty Harbor."""
    return lambda *arguments: command("restore", kept, other_harbor.url, *arguments)


def assert_all_but(there: Holding, before: Holding, *digests: str) -> None:
    """All manifests are there but those of some digests."""
    wanted = {key for key in before.manifests if key[1] not in digests}
    assert there.manifests.keys() == wanted


# -- content


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (cut, "is damaged: it is not what its name says"),
        (change, "is damaged: it is not what its name says"),
        (empty, "is damaged: it is not what its name says"),
        (lose, "the file is gone from the store"),
    ],
)
@pytest.mark.parametrize("what", ["layer", "manifest"])
def test_content_that_is_damaged_is_named_and_the_rest_comes_back(
    harbor: HarborDouble,
    other_harbor: HarborDouble,
    kept: Path,
    team: dict[str, Content],
    restore: Callable[..., Done],
    damage: Change,
    said: str,
    what: str,
) -> None:
    lost = largest_blob(team["app"]) if what == "layer" else team["app"].digest
    damage(in_pool(kept, lost))
    done = restore("--json")
    assert done.code == 1
    # Two repositories have the image.
    assert [line.partition("@")[0] for line in done.failures] == ["shop/app", "team/app"]
    for line in done.failures:
        assert said in line
        assert lost.removeprefix("sha256:") in line
        assert "get the artifact from Harbor itself, or from a mirror of it" in line
    assert done.document["complete"] is False
    assert_all_but(holding(other_harbor), holding(harbor), team["app"].digest)
    # What cannot be read is no reason to have the tag name anything.
    assert Reader(other_harbor).digest("team/app", "1.0") == ""


def test_an_index_is_not_restored_without_its_children(
    harbor: HarborDouble,
    other_harbor: HarborDouble,
    kept: Path,
    team: dict[str, Content],
    restore: Callable[..., Done],
) -> None:
    child = team["multi"].children[0].digest
    lose(in_pool(kept, child))
    done = restore("--json")
    assert done.code == 1
    assert len(done.failures) == 2
    assert f"it needs {child}, which failed" in "".join(done.failures)
    assert_all_but(holding(other_harbor), holding(harbor), child, team["multi"].digest)


def test_damaged_content_that_is_at_the_target_already_does_no_harm(
    harbor: HarborDouble, command: Command, kept: Path, team: dict[str, Content]
) -> None:
    change(in_pool(kept, largest_blob(team["app"])))
    state = harbor.state
    state.delete_tag(state.artifact("team/app", "latest"), "latest")
    assert command("restore", kept, harbor.url).code == 0
    assert Reader(harbor).digest("team/app", "latest") == team["app"].digest


# -- lists


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (cut, "is damaged: it is cut short"),
        (garbage, "is damaged: it cannot be unpacked"),
        (empty, "is damaged: it is cut short"),
        (lose, "is gone from the store"),
    ],
)
@pytest.mark.parametrize("kind", ["inventories", "contents"])
def test_a_list_that_is_damaged_costs_its_project_only(
    harbor: HarborDouble,
    other_harbor: HarborDouble,
    kept: Path,
    team: dict[str, Content],
    restore: Callable[..., Done],
    damage: Change,
    said: str,
    kind: str,
) -> None:
    path = only_file(kept / kind / "team")
    damage(path)
    done = restore("--json")
    assert done.code == 1
    (line,) = done.failures
    assert line.startswith(f"project team: file://{path} {said}")
    assert "Take another snapshot for this project" in line
    assert holding(other_harbor).manifests == holding(harbor, "shop").manifests
    assert "team" not in other_harbor.state.project_names


def test_a_list_that_may_not_be_read_costs_its_project_only(
    harbor: HarborDouble,
    other_harbor: HarborDouble,
    kept: Path,
    team: dict[str, Content],
    restore: Callable[..., Done],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path, opens = only_file(kept / "inventories" / "team"), Files.open

    def deny(files: Files, name: str) -> object:
        if (kept / name) == path:
            raise StoreError(
                StoreReason.DENIED, "this user may not do it", where=files.url_of(name)
            )
        return opens(files, name)

    monkeypatch.setattr(Files, "open", deny)
    done = restore("--json")
    assert done.code == 1
    assert done.failures == [f"project team: file://{path}: this user may not do it"]
    assert holding(other_harbor).manifests == holding(harbor, "shop").manifests


def test_a_list_of_something_else_is_not_believed(
    other_harbor: HarborDouble,
    kept: Path,
    team: dict[str, Content],
    restore: Callable[..., Done],
) -> None:
    other = only_file(kept / "inventories" / "shop").read_bytes()
    only_file(kept / "inventories" / "team").write_bytes(other)
    done = restore("--json")
    assert done.code == 1
    assert "it holds something else than its name says" in done.failures[0]
    assert "team" not in other_harbor.state.project_names


@pytest.mark.parametrize("content", [b"", b'{"format_v', b"[]", b'{"format_version": 1}', b"\xff"])
def test_a_snapshot_that_is_damaged_is_named_with_others_and_is_shown(
    harbor: HarborDouble,
    command: Command,
    kept: Path,
    team: dict[str, Content],
    restore: Callable[..., Done],
    content: bytes,
) -> None:
    assert command("backup", harbor.url, kept).code == 0
    older, newer = sorted(path.name for path in (kept / "snapshots").iterdir())
    (kept / "snapshots" / newer / "snapshot.json").write_bytes(content)
    done = restore()
    assert done.code == 2
    assert f"{newer}/snapshot.json is damaged: " in done.error
    assert f"Name another snapshot than {newer}" in done.error
    assert older in done.error
    shown = command("snapshots", kept)
    assert shown.code == 1
    assert f"DAMAGED: file://{kept}/snapshots/{newer}/snapshot.json" in shown.out
    assert f"  {older} " in shown.out
    assert restore("--snapshot", older).code == 0


def test_a_snapshot_whose_content_went_to_a_mirror_says_where_it_is(
    harbor: HarborDouble,
    other_harbor: HarborDouble,
    command: Command,
    tmp_path: Path,
    team: dict[str, Content],
) -> None:
    with HarborDouble() as mirror:
        lists = tmp_path / "lists"
        assert command("backup", harbor.url, lists, "--to", mirror.url).code == 0
        done = command("restore", lists, other_harbor.url, "--project", "team", "--json")
        assert done.code == 1
        (line,) = done.failures
        assert f"but not its content: it went to {mirror.url}" in line
        assert "Take it from a mirror, with --from" in line
        done = command("restore", lists, other_harbor.url, "--from", mirror.url)
        assert done.code == 0, done.err
    assert holding(other_harbor) == holding(harbor)


# -- a partial snapshot


def test_a_partial_snapshot_is_restored_on_request_and_that_is_said(
    harbor: HarborDouble,
    other_harbor: HarborDouble,
    command: Command,
    kept: Path,
    team: dict[str, Content],
    restore: Callable[..., Done],
) -> None:
    newer = harbor.push("team/app", Image("newer"), "2.0")
    lost = harbor.push("shop/app", Image("lost"), "lost")
    harbor.state.lose_blob(largest_blob(lost))
    assert command("backup", harbor.url, kept).code == 1
    partial = max(path.name for path in (kept / "snapshots").iterdir())
    done = restore("--project", "team")
    assert done.code == 0
    assert Reader(other_harbor).digest("team/app", "2.0") == ""  # it is that of the night before

    done = restore("--snapshot", partial, "--json")
    assert done.code == 1
    assert "warning: the snapshot is partial: what it lacks cannot be" in done.err
    assert "(not whole: shop)" in done.err
    (line,) = done.failures
    assert line.startswith(f"shop/app@{lost.digest} (lost): the snapshot {partial} lists ")
    assert "it was not copied into the store that night" in line
    assert "Take it from another night, or from a mirror" in line
    assert Reader(other_harbor).digest("team/app", "2.0") == newer.digest
    assert_all_but(holding(other_harbor), holding(harbor), lost.digest)
    planned = restore("--snapshot", partial, "--dry-run")
    assert planned.code == 1
    assert f"1 digest cannot be restored, shop/app@{lost.digest} for one: " in planned.err


def test_a_store_with_a_partial_snapshot_only_says_how_to_have_it(
    harbor: HarborDouble, command: Command, kept: Path, tmp_path: Path, team: dict[str, Content]
) -> None:
    store = tmp_path / "other"
    harbor.faults.add(Fault(path="/projects/shop/artifacts", status=403, times=None))
    assert command("backup", harbor.url, store).code == 1
    harbor.faults.clear()
    (partial,) = [path.name for path in (store / "snapshots").iterdir()]
    done = command("restore", store, harbor.url)
    assert done.code == 2
    assert f"has no complete snapshot yet. The newest partial one is {partial}" in done.error
    done = command("restore", store, harbor.url, "--snapshot", partial)
    assert done.code == 0
    assert "(not whole: shop)" in done.err


def test_a_project_of_which_nothing_could_be_copied_is_to_be_taken_from_another_night(
    harbor: HarborDouble,
    command: Command,
    kept: Path,
    team: dict[str, Content],
    restore: Callable[..., Done],
) -> None:
    harbor.push("team/app", Image("newer"), "2.0")
    harbor.faults.add(
        Fault(path="/v2/team/", callback=lambda double: os.kill(os.getpid(), signal.SIGINT))
    )
    # Until that has its effect nothing is answered, whoever asks.
    harbor.faults.add(Fault(path="/v2/team/", times=None, delay_seconds=600))
    # Of another project that is copied beside it, all may be there or nothing.
    assert command("backup", harbor.url, kept, "--project", "team").code == 130
    harbor.faults.clear()
    partial = max(path.name for path in (kept / "snapshots").iterdir())
    done = restore("--snapshot", partial, "--json")
    assert done.code == 1
    (line,) = done.failures
    assert "nothing of it could be copied that night" in line
    assert "Take it from another night" in line
    shown = command("snapshots", kept).out.splitlines()
    assert [line.split()[-1] for line in shown[-2:]] == ["none", "store"]  # the newest first
    exported = command("export", kept, "team/app", kept.parent / "out", "--snapshot", partial)
    assert exported.code == 2
    assert "not its content: nothing of it could be copied that night" in exported.error


def test_a_night_of_a_clock_that_was_ahead_is_not_the_newest_for_years(
    kept: Path, team: dict[str, Content], restore: Callable[..., Done]
) -> None:
    (night,) = (kept / "snapshots").iterdir()
    ahead = kept / "snapshots" / "2999-01-01T00-00-00.000000Z"
    shutil.copytree(night, ahead)
    done = restore("--dry-run")
    assert done.code == 0
    assert f"snapshot {night.name} of " in done.err
    assert f"The snapshot {ahead.name} was begun by a clock that was wrong" in done.err
    shutil.rmtree(night)
    assert f"snapshot {ahead.name} of " in restore("--dry-run").err


# -- no such store


def test_no_store_at_all_says_what_to_look_at(command: Command, tmp_path: Path) -> None:
    for place in (tmp_path / "nowhere", tmp_path):
        done = command("restore", place, "http://127.0.0.1:1")
        assert done.code == 2
        assert f"there is no backup store at file://{place}" in done.error
        assert "is everything mounted?" in done.error
        assert "nowhere" not in {path.name for path in tmp_path.iterdir()}


def test_a_store_of_a_newer_format_is_left_alone(
    kept: Path, team: dict[str, Content], restore: Callable[..., Done]
) -> None:
    document = json.loads((kept / "store.json").read_text())
    (kept / "store.json").write_text(json.dumps(document | {"format_version": 9}))
    done = restore()
    assert done.code == 2
    assert "has format version 9; this program knows 1. Use the newer program" in done.error


def test_a_store_whose_first_file_is_damaged_says_how_to_mend_it(
    harbor: HarborDouble, kept: Path, team: dict[str, Content], restore: Callable[..., Done]
) -> None:
    cut(kept / "store.json")
    done = restore()
    assert done.code == 2
    assert "store.json is damaged" in done.error
    _, _, whole = done.error.partition("Put a whole one in its place: ")
    (kept / "store.json").write_text(whole.replace("https://harbor.example.com", harbor.url))
    assert restore().code == 0


def test_a_store_that_can_only_be_read_is_restored_with_a_warning(
    harbor: HarborDouble,
    kept: Path,
    team: dict[str, Content],
    restore: Callable[..., Done],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Also for root, who may write anywhere: as a file system says it that is read-only.
    def refuse(*args: object, **options: object) -> None:
        raise OSError(30, "Read-only file system")

    for function in ("obstore.put", "airflow_provider_harbor.core.store.directories.write"):
        monkeypatch.setattr(function, refuse)
    done = restore("--json")
    assert done.code == 0, done.err
    assert "warning: another restore at the same time would not be noticed: " in done.err
    assert "The report is not kept: " in done.err
    assert done.document["report"] == ""


# -- S3


@pytest.fixture
def bucket(s3: S3Server, command: Command, monkeypatch: pytest.MonkeyPatch) -> str:
    """A bucket with an empty store, for which the environment has the key."""
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)
    return s3.new_bucket()


@pytest.mark.parametrize("verb", ["restore", "snapshots", "ls", "backup"])
def test_trouble_with_s3_is_one_sentence(
    harbor: HarborDouble,
    command: Command,
    bucket: str,
    monkeypatch: pytest.MonkeyPatch,
    verb: str,
) -> None:
    url = f"s3://{bucket}/a"

    def run(store: str) -> Done:
        more = {"restore": (store, harbor.url), "backup": (harbor.url, store)}
        done = command(verb, *more.get(verb, (store,)))
        assert done.code in (2, 3)
        assert "<?xml" not in done.err
        return done

    if verb != "backup":
        assert f"there is no backup store at {url}" in run(url).error
    assert "there is no such bucket. Create it, or correct" in run("s3://no-such-bucket/a").error
    for name, value in (("SECRET_ACCESS_KEY", "wrong-secret-key"), ("ACCESS_KEY_ID", "nobody")):
        with monkeypatch.context() as changed:
            changed.setenv(f"AWS_{name}", value)
            error = run(url).error
        assert "the storage denies it. Check the keys, and that they may read" in error
        assert "wrong-secret-key" not in error
