"""`harbor-backup verify`: what is damaged in a store and in its registries, and what mends it."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_harbor.core.store import layout
from airflow_provider_harbor.core.store.backup_store import BackupStore
from tests.core.cli.conftest import Command
from tests.core.restoring import Reader, assert_served, holding, writes
from tests.double import Fault, HarborDouble
from tests.double.content import Content
from tests.registry_server import PlainRegistry


@pytest.fixture(autouse=True)
def without_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("airflow_provider_harbor.core.http.attempts._FIRST_WAIT_SECONDS", 0.0)


def blob_of(kept: Path, digest: str) -> Path:
    return kept / layout.blob(digest)


def ruin(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[0] ^= 1
    path.write_bytes(data)


def files_of(kept: Path) -> dict[str, bytes]:
    """Return all of a store but reports, leases and caches, and what is said of deleting."""
    left_out = ("reports", "leases", "known", "prune", layout.CHECK)
    return {
        str(path.relative_to(kept)): path.read_bytes()
        for path in kept.rglob("*")
        if path.is_file() and path.parts[len(kept.parts)] not in left_out
    }


def things(document: dict[str, Any]) -> set[str]:
    return {damage["thing"] for damage in document["damages"]}


# -- the store


def test_a_whole_store_and_a_whole_harbor(
    harbor: HarborDouble, command: Command, kept: Path, team: dict[str, Content]
) -> None:
    before = files_of(kept)
    harbor.requests.reset()
    done = command("verify", kept, "--all", "--source", harbor.url)
    assert done.code == 0, done.err
    assert done.out.startswith("Everything that was looked at is whole")
    assert "manifests of the snapshot" in done.out
    assert files_of(kept) == before
    assert writes(harbor) == []
    page = only(kept / "reports", "*.verify.html").read_text()
    assert "<h1>Everything that was looked at is whole</h1>" in page


def only(directory: Path, pattern: str) -> Path:
    (found,) = directory.glob(pattern)
    return found


def test_a_damage_is_told_with_its_uses_in_text_json_and_page(
    harbor: HarborDouble, command: Command, kept: Path, team: dict[str, Content]
) -> None:
    layer = list(team["app"].blobs)[-1]
    blob_of(kept, layer).unlink()
    done = command("verify", kept)
    assert done.code == 1
    assert done.out.startswith("1 damaged thing\n")
    assert f"! {layer}: it is gone from the pool; used by " in done.out
    document = command("verify", kept, "--json").document
    (damage,) = document["damages"]
    uses = {(use["repository"], tuple(use["tags"])) for use in damage["uses"]}
    assert uses == {("shop/app", ("again",)), ("team/app", ("1.0", "latest"))}
    assert document["exit_code"] == 1
    assert len(document["failures"]) == 1
    pages = sorted((kept / "reports").glob("*.verify.html"))
    text = pages[-1].read_text()
    assert '<header class="bad"><h1>1 damaged thing</h1>' in text
    assert "shop/app:again" in text
    assert "whether the source or a mirror still has it, was not asked" in text
    kept_json = json.loads(pages[-1].with_suffix(".json").read_text())
    assert things(kept_json) == {layer}


def test_what_can_be_repaired_is_told_without_touching_it(
    harbor: HarborDouble, command: Command, kept: Path, team: dict[str, Content]
) -> None:
    layer = list(team["app"].blobs)[-1]
    ruin(blob_of(kept, layer))
    before = files_of(kept)
    document = command("verify", kept, "--all", "--source", harbor.url, "--json").document
    assert things(document) == {layer}
    assert document["damages"][0]["remedy"] == f"can be repaired from {harbor.url}"
    assert files_of(kept) == before


def test_a_store_is_repaired_from_its_harbor_and_nothing_else_is_touched(
    harbor: HarborDouble, command: Command, kept: Path, team: dict[str, Content]
) -> None:
    whole = files_of(kept)
    config, *_, layer = team["app"].blobs
    blob_of(kept, config).unlink()
    ruin(blob_of(kept, layer))
    ruin(blob_of(kept, team["multi"].digest))
    blob_of(kept, team["signature"].digest).write_bytes(b"")
    harbor.requests.reset()
    done = command("verify", kept, "--all", "--source", harbor.url, "--repair", "--json")
    assert done.code == 0, done.out
    document = done.document
    assert document["summary"].startswith("Whole again: 4 damaged things repaired")
    assert files_of(kept) == whole
    assert writes(harbor) == []
    assert command("verify", kept, "--all").code == 0


def test_a_store_is_repaired_from_a_mirror_where_the_source_has_lost_it_too(
    harbor: HarborDouble,
    plain_registry: PlainRegistry,
    command: Command,
    kept: Path,
    team: dict[str, Content],
) -> None:
    command("restore", kept, plain_registry.url)
    layer, other = max(team["app"].blobs), min(team["app"].blobs)
    whole = files_of(kept)
    blob_of(kept, layer).unlink()
    harbor.state.lose_blob(layer)
    harbor.state.lose_blob(other)
    asked = ["verify", kept, "--source", harbor.url, "--mirror", plain_registry.url]
    document = command(*asked, "--json").document
    remedies = {(d["where"], d["thing"]): d["remedy"] for d in document["damages"]}
    store = BackupStore(kept).url
    assert remedies == {
        (store, layer): f"can be repaired from {plain_registry.url}",
        (harbor.url, layer): "can be repaired once the store has it again",
        (harbor.url, other): f"can be repaired from {store}",
    }
    done = command(*asked, "--repair")
    assert done.code == 0, done.out
    assert files_of(kept) == whole
    # The store had it again by then, so that the source could be given it back.
    assert Reader(harbor).ask("GET", f"team/app/blobs/{layer}").content == team["app"].blobs[layer]


def test_a_mirror_has_what_a_source_that_fails_cannot_give(
    harbor: HarborDouble,
    plain_registry: PlainRegistry,
    command: Command,
    kept: Path,
    team: dict[str, Content],
) -> None:
    command("restore", kept, plain_registry.url)
    layer = list(team["chart"].blobs)[-1]
    blob_of(kept, layer).unlink()
    harbor.faults.add(Fault(path=f"/blobs/{layer}", status=503, times=None))
    asked = ["verify", kept, "--source", harbor.url]
    done = command(*asked)
    assert "whether the source has it could not be asked" in done.out
    done = command(*asked, "--repair")
    assert "was NOT repaired: " in done.out
    done = command(*asked, "--mirror", plain_registry.url, "--repair", "--json")
    (damage,) = done.document["damages"]
    assert damage["repaired"]
    assert damage["remedy"] == f"repaired from {plain_registry.url} shop/charts/web"


def test_what_nobody_has_any_more_is_named(
    harbor: HarborDouble, command: Command, kept: Path, team: dict[str, Content]
) -> None:
    layer = list(team["chart"].blobs)[-1]
    blob_of(kept, layer).unlink()
    harbor.state.lose_blob(layer)
    done = command("verify", kept, "--source", harbor.url, "--repair")
    assert done.code == 1
    assert done.out.startswith("2 damaged things\n")
    assert "used by shop/charts/web:1.0.0" in done.out
    assert "cannot be repaired: nobody that was asked has it" in done.out


def test_contents_are_made_again_from_the_inventory_and_the_pool(
    command: Command, kept: Path, team: dict[str, Content]
) -> None:
    whole = files_of(kept)
    path = only(kept / "contents" / "team", "*.gz")
    for damaged in (b"", path.read_bytes()[:-9], None):
        path.write_bytes(damaged) if damaged is not None else path.unlink()
        done = command("verify", kept)
        assert done.code == 1
        assert "can be made again, from the inventory and the pool" in done.out
        assert command("verify", kept, "--repair").code == 0
        assert files_of(kept) == whole


def test_a_result_is_written_again_from_the_report_of_its_night(
    command: Command, kept: Path, team: dict[str, Content]
) -> None:
    whole = files_of(kept)
    (path,) = kept.glob("snapshots/*/projects/team.json")
    for damaged in (b"", path.read_bytes()[:-9], None):
        path.write_bytes(damaged) if damaged is not None else path.unlink()
        done = command("verify", kept)
        assert done.code == 1
        assert "A restore does not need it" in done.out
        assert "can be written again, from the report of that night" in done.out
        assert command("verify", kept, "--repair").code == 0
        assert files_of(kept) == whole
    path.unlink()
    (report,) = [path for path in kept.glob("reports/*.json") if "verify" not in path.name]
    report.write_text(report.read_text().replace(whole_contents(kept, "team"), "0" * 64))
    done = command("verify", kept, "--repair")
    assert done.code == 1
    assert "cannot be written again" in done.out
    assert not path.exists()


def whole_contents(kept: Path, project: str) -> str:
    return only(kept / "contents" / project, "*.gz").name.partition(".")[0]


def test_a_file_that_no_snapshot_names_is_taken_away_where_it_is_damaged_only(
    command: Command, kept: Path, team: dict[str, Content]
) -> None:
    whole = files_of(kept)
    store = BackupStore(kept)
    good = "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
    store.pool.put_bytes(b"hello", good)
    blob_of(kept, f"sha256:{'ab' * 32}").write_bytes(b"other")
    done = command("verify", kept, "--all")
    assert done.code == 1
    assert "the next backup would take it for what its name says" in done.out
    assert command("verify", kept, "--all", "--repair").code == 0
    assert files_of(kept) == whole | {layout.blob(good): b"hello"}


def test_a_repair_waits_for_a_run_that_writes_to_the_store(
    harbor: HarborDouble, command: Command, kept: Path, team: dict[str, Content]
) -> None:
    layer = list(team["app"].blobs)[-1]
    blob_of(kept, layer).unlink()
    store = BackupStore(kept)
    store.lease(store.url, "a-backup").acquire()
    done = command("verify", kept, "--source", harbor.url, "--repair")
    assert done.code == 1
    assert "STOPPED: the run a-backup" in done.out
    assert not blob_of(kept, layer).exists()


# -- registries


@pytest.mark.parametrize("cached", [True, False])
def test_what_a_harbor_lost_is_found_given_back_and_can_be_pulled(
    harbor: HarborDouble, command: Command, kept: Path, team: dict[str, Content], cached: bool
) -> None:
    whole = holding(harbor)
    state = harbor.state
    state.registry_cache = cached
    config, _layer, *_ = team["app"].blobs
    lost = {config, list(team["docker"].blobs)[-1]}
    for digest in lost:
        state.lose_blob(digest)
    for name, item in (("team/deep/multi", "multi"), ("team/app", "signature")):
        state.lose_manifest(name, team[item].digest)
        lost.add(team[item].digest)
    child = team["multi"].children[0].digest
    state.lose_manifest("team/deep/multi", child)
    lost.add(child)

    done = command("verify", kept, "--source", harbor.url, "--json")
    assert done.code == 1
    assert things(done.document) == lost
    assert {damage["remedy"] for damage in done.document["damages"]} == {
        f"can be repaired from {BackupStore(kept).url}"
    }
    before = files_of(kept)
    harbor.requests.reset()
    done = command("verify", kept, "--source", harbor.url, "--repair")
    assert done.code == 0, done.out
    assert done.out.startswith("Whole again: 5 damaged things repaired")
    assert files_of(kept) == before
    sent = {path.partition("digest=")[2].replace("%3A", ":") for _, path, _ in writes(harbor)}
    assert sent - {""} <= lost
    assert holding(harbor) == whole
    assert_served(harbor, whole)
    assert command("verify", kept, "--source", harbor.url).code == 0


def test_a_lost_manifest_and_what_it_is_made_of_are_given_back_together(
    harbor: HarborDouble, command: Command, kept: Path, team: dict[str, Content]
) -> None:
    whole = holding(harbor)
    lost = {team["untagged"].digest, *team["untagged"].blobs}
    harbor.state.lose_manifest("team/app", team["untagged"].digest)
    for digest in team["untagged"].blobs:
        harbor.state.lose_blob(digest)
    document = command("verify", kept, "--source", harbor.url, "--repair", "--json").document
    assert things(document) == lost
    assert document["ok"]
    assert_served(harbor, whole)


def test_what_was_deleted_in_harbor_since_is_no_damage(
    harbor: HarborDouble, command: Command, kept: Path, team: dict[str, Content]
) -> None:
    state = harbor.state
    state.delete_artifact("team/app", team["untagged"].digest)
    state.forget_repository(state.repositories["shop/charts/web"])
    state.delete_project("bare")
    done = command("verify", kept, "--source", harbor.url)
    assert done.code == 0, done.out
    assert "2 manifests of the snapshot deleted there since" in done.out


def test_pull_times_stay_as_they_are(
    harbor: HarborDouble, command: Command, kept: Path, team: dict[str, Content]
) -> None:
    def pulled() -> list[Any]:
        rows = harbor.state.repositories.values()
        return [a.pull_time for row in rows for a in row.artifacts.values()]

    before = pulled()
    assert command("verify", kept, "--source", harbor.url).code == 0
    assert pulled() == before


def test_a_part_of_the_source_asks_for_that_part_and_each_digest_once(
    harbor: HarborDouble, command: Command, kept: Path, team: dict[str, Content]
) -> None:
    seen: list[str] = []
    for number in (1, 2):
        harbor.requests.reset()
        done = command("verify", kept, "--source", harbor.url, "--part", f"{number}/2")
        assert done.code == 0, done.out
        paths = [path for method, path, _ in harbor.requests.log if "/manifests/" in path]
        seen += [path.rpartition("/")[2] for path in paths]
        blobs = [path.rpartition("/")[2] for _, path, _ in harbor.requests.log if "/blobs/" in path]
        assert len(blobs) == len(set(blobs))
    assert sorted(seen) == sorted({digest for _, digest in holding(harbor).manifests})


def test_a_mirror_that_lacks_something_is_given_it(
    harbor: HarborDouble,
    other_harbor: HarborDouble,
    command: Command,
    kept: Path,
    team: dict[str, Content],
) -> None:
    command("restore", kept, other_harbor.url)
    other_harbor.state.delete_artifact("team/app", team["sbom"].digest)
    other_harbor.state.lose_blob(next(iter(team["app"].blobs)))
    done = command("verify", kept, "--mirror", other_harbor.url, "--json")
    assert done.code == 1
    assert team["sbom"].digest in things(done.document)
    assert command("verify", kept, "--mirror", other_harbor.url, "--repair").code == 0
    assert holding(other_harbor).manifests == holding(harbor).manifests
    assert command("verify", kept, "--mirror", other_harbor.url).code == 0


def test_a_source_that_goes_down_in_the_middle_is_told_and_what_was_found_is_kept(
    harbor: HarborDouble, command: Command, kept: Path, team: dict[str, Content]
) -> None:
    harbor.state.lose_manifest("shop/app", team["copy"].digest)
    harbor.faults.add(Fault(path="/v2/team/", status=503, times=None))
    done = command("verify", kept, "--source", harbor.url, "--workers", "1", "--json")
    assert done.code == 1
    document = done.document
    (stage,) = [stage for stage in document["stages"] if stage["name"] == "source"]
    assert "503" in stage["error"]
    assert stage["checked"] > 0
    assert things(document) == {team["copy"].digest}
    assert any("stopped before its end" in line for line in document["failures"])


@pytest.mark.parametrize("what", ["manifests", "blobs"])
def test_a_page_of_a_proxy_that_says_404_is_not_harbors_word(
    harbor: HarborDouble, command: Command, kept: Path, team: dict[str, Content], what: str
) -> None:
    page = "<html><body>404 Not Found</body></html>"
    harbor.faults.add(Fault(path=f"/v2/shop/old/{what}/", status=404, body=page, times=None))
    done = command("verify", kept, "--source", harbor.url, "--json")
    assert done.code == 1
    assert things(done.document) == set()
    (stage,) = [stage for stage in done.document["stages"] if stage["name"] == "source"]
    assert "1 manifest could not be asked for, shop/old@" in stage["error"]


def test_what_is_lost_below_a_redirect_is_found(
    harbor: HarborDouble, command: Command, kept: Path, team: dict[str, Content]
) -> None:
    harbor.state.redirect_blobs = True
    assert command("verify", kept, "--source", harbor.url).code == 0
    layer = list(team["app"].blobs)[-1]
    harbor.state.lose_blob(layer)
    done = command("verify", kept, "--source", harbor.url, "--json")
    assert things(done.document) == {layer}


def test_ctrl_c_keeps_what_was_found(
    harbor: HarborDouble, command: Command, kept: Path, team: dict[str, Content]
) -> None:
    layer = list(team["app"].blobs)[-1]
    blob_of(kept, layer).unlink()
    harbor.faults.add(
        Fault(path="/v2/team/", callback=lambda double: os.kill(os.getpid(), signal.SIGINT))
    )
    # Nothing more is answered: that is not waited for.
    harbor.faults.add(Fault(path="/v2/team/", times=None, delay_seconds=600))
    done = command("verify", kept, "--source", harbor.url, "--json")
    assert done.code == 130
    assert things(done.document) == {layer}
    assert done.document["interrupted"]
    (stage,) = [stage for stage in done.document["stages"] if stage["name"] == "source"]
    assert stage["error"] == "it was told to stop"


def test_another_harbor_is_no_source_and_the_source_is_no_mirror(
    harbor: HarborDouble,
    other_harbor: HarborDouble,
    command: Command,
    kept: Path,
    team: dict[str, Content],
) -> None:
    done = command("verify", kept, "--source", other_harbor.url)
    assert done.code == 2
    assert "a registry that holds a copy is a mirror" in done.error
    done = command("verify", kept, "--source", harbor.url, "--mirror", harbor.url)
    assert done.code == 2
    assert "--mirror names the source" in done.error


@pytest.mark.parametrize("part", ["0/3", "4/3", "x"])
def test_a_part_that_is_none(command: Command, kept: Path, part: str) -> None:
    done = command("verify", kept, "--part", part)
    assert done.code == 2
    assert "is not a part" in done.error


def test_no_store(command: Command, tmp_path: Path) -> None:
    done = command("verify", tmp_path / "nothing")
    assert done.code == 2
    assert "there is no backup store" in done.error
