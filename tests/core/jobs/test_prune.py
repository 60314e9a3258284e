"""Forget and prune, in a directory and on S3: what goes, what stays, and what is said."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_harbor.core.copy.store_place import StorePlace
from airflow_provider_harbor.core.exceptions import (
    HarborConfigurationError,
    IntegrityError,
    LeaseError,
    StoreError,
    StoreReason,
    StoreUnreachableError,
)
from airflow_provider_harbor.core.jobs.backup import copy_project
from airflow_provider_harbor.core.jobs.forget import forget
from airflow_provider_harbor.core.jobs.prune import Pruned, prune
from airflow_provider_harbor.core.jobs.results import Results
from airflow_provider_harbor.core.store import claims, layout
from airflow_provider_harbor.core.store.backup_store import BackupStore
from airflow_provider_harbor.core.store.leases import Lease, this_process
from airflow_provider_harbor.core.store.retention import Policy
from airflow_provider_harbor.core.store.sweeps import Mark, Sweep
from tests.core.jobs.small_harbor import (
    HARBOR,
    IMAGES,
    NoLease,
    back_up,
    conclude,
    small_harbor,
)
from tests.s3_server import S3Server

Age = Callable[[timedelta], None]
NEWEST = Policy(keep_last=1)
DENIED = r"need the right to delete \(s3:DeleteObject\)"
NO_GRACE = timedelta(0)
DAY = timedelta(days=1)


def night(store: BackupStore, number: int, *held: str) -> None:
    store.begin_for(HARBOR)
    begun = datetime(2026, 11, number, 3, 30, tzinfo=timezone.utc)
    report = back_up(store, small_harbor(*held), f"2026-11-{number:02}", begun)
    assert report.complete, report.failures()


@pytest.fixture
def store(any_store: BackupStore) -> BackupStore:
    """Two nights: the second one holds no `b` any more, the first one no `d`."""
    night(any_store, 1, "ab", "c")
    night(any_store, 2, "ad", "c")
    return any_store


def sweep(store: BackupStore, **options: Any) -> Pruned:
    """Prune without a grace: mark and delete at once."""
    return prune(store, "a prune", **({"grace": NO_GRACE, "limit_percent": 100} | options))


def paths(store: BackupStore, *kinds: str) -> set[str]:
    found = {entry.path for entry in store.files.iter_files("")}
    return {path for path in found if path.startswith(kinds) and not path.endswith("/.lock")}


def blobs_of(*images: str) -> set[str]:
    return {
        layout.blob(digest)
        for name in images
        for digest in (IMAGES[name].digest, *IMAGES[name].blobs)
    }


def test_nothing_goes_that_any_night_names(store: BackupStore) -> None:
    before = paths(store, "")
    done = sweep(store)
    assert done.total("deleted").files == done.total("marked").files == 0
    assert done.next_at is None
    assert paths(store, "") - before == {layout.PRUNE_STATE, layout.CHECK, "leases/prune.json"}


def test_what_only_a_forgotten_night_had_goes(store: BackupStore) -> None:
    done = forget(store, NEWEST)
    assert (done.forgotten, done.kept) == (1, 1)
    assert store.snapshots.list_keys() == ["2026-11-02"]
    pruned = sweep(store)
    assert paths(store, "blobs") == blobs_of("a", "c", "d")
    # p1 is as it was, so its lists are those of both nights.
    assert len(paths(store, "inventories")) == len(paths(store, "contents")) == 2
    assert paths(store, "reports") == {"reports/2026-11-02.html", "reports/2026-11-02.json"}
    assert pruned.tallies["blobs"].deleted.files == len(blobs_of("b") - blobs_of("a", "c", "d"))
    assert pruned.tallies["reports"].deleted.files == 2
    assert "Deleted" in pruned.summary_line()
    night(store, 3, "ad", "c")


def test_it_is_marked_first_and_deleted_after_the_grace(store: BackupStore, age: Age) -> None:
    forget(store, NEWEST)
    age(DAY)
    before = paths(store, "blobs", "contents", "inventories", "reports")
    first = prune(store, "first", limit_percent=100)
    assert first.total("deleted").files == 0
    assert first.total("marked").files > 3
    assert first.next_at
    assert timedelta(hours=47) < first.next_at - store.now() <= timedelta(hours=48)
    assert "not named any more, deleted from" in first.summary_line()
    assert paths(store, "blobs", "contents", "inventories", "reports") == before
    # Not yet, and the marks stay as old as they are.
    again = prune(store, "second", limit_percent=100)
    assert again.next_at == first.next_at
    age(timedelta(hours=49))
    done = prune(store, "third", limit_percent=100)
    assert done.total("deleted").files == first.total("marked").files
    assert paths(store, "blobs") == blobs_of("a", "c", "d")
    assert paths(store, "prune") == {layout.PRUNE_STATE}


@pytest.fixture
def age(any_store: BackupStore, request: pytest.FixtureRequest) -> Callable[[timedelta], None]:
    """Make the store older: its files, as the storage tells it, and its marks."""
    root = any_store.files.local_path("")
    if root is None:
        server: S3Server = request.getfixturevalue("s3")
        root = server.directory / any_store.url.removeprefix("s3://")

    def age(by: timedelta) -> None:
        state = any_store.sweeps.read()
        marks = [Mark(m.path, m.since - by) for m in any_store.sweeps.iter_marks(state)]
        any_store.sweeps.end(state, marks)
        for path in root.rglob("*"):
            if path.is_file():
                moment = path.stat().st_mtime - by.total_seconds()
                os.utime(path, (moment, moment))

    return age


def test_what_was_written_since_it_was_marked_waits_for_another_grace(
    store: BackupStore, age: Age
) -> None:
    forget(store, NEWEST)
    age(DAY)
    first = prune(store, "first", limit_percent=100)
    age(timedelta(hours=49))
    path = layout.blob(IMAGES["b"].digest)
    store.files.write(path, store.files.read(path))
    done = prune(store, "second", limit_percent=100)
    assert done.total("deleted").files == first.total("marked").files - 1
    (left,) = store.sweeps.iter_marks(store.sweeps.read())
    assert left.path == path
    assert abs(left.since - store.now()) < timedelta(minutes=1)


def test_a_mark_of_the_future_begins_anew(store: BackupStore, age: Age) -> None:
    forget(store, NEWEST)
    prune(store, "first", limit_percent=100)
    age(-30 * DAY)  # the clock was ahead
    done = prune(store, "second", limit_percent=100)
    assert done.total("deleted").files == 0
    assert done.next_at
    assert done.next_at - store.now() <= timedelta(hours=48)


def test_what_is_named_again_is_not_marked_any_more(store: BackupStore, age: Age) -> None:
    forget(store, NEWEST)
    prune(store, "first", limit_percent=100)
    age(timedelta(hours=49))
    night(store, 3, "ab", "c")
    prune(store, "second", limit_percent=100)
    assert blobs_of("a", "b", "c", "d") == paths(store, "blobs")


def test_a_dry_run_changes_nothing(store: BackupStore) -> None:
    def all_of() -> dict[str, bytes]:
        return {path: store.files.read(path) for path in paths(store, "")}

    before = all_of()
    forgotten = forget(store, NEWEST, dry_run=True)
    assert forgotten.summary_line() == "Would forget 1 run, 1 kept"
    assert all_of() == before
    forget(store, NEWEST)
    store.files.delete([layout.CHECK])
    before = all_of()
    done = sweep(store, dry_run=True)
    assert all_of() == before
    assert done.total("deleted").files > 3
    assert done.summary_line().startswith("Would delete")
    assert sweep(store).total("deleted") == done.total("deleted")


def test_it_refuses_where_too_much_would_go(store: BackupStore) -> None:
    forget(store, NEWEST)
    with pytest.raises(HarborConfigurationError, match=r"more than the limit of 5 %\. Nothing was"):
        sweep(store, limit_percent=5)
    assert not store.sweeps.read().marks
    assert sweep(store, limit_percent=40).total("deleted").files


@pytest.mark.parametrize("limit", [-1, 101, float("nan")])
def test_what_is_no_limit(store: BackupStore, limit: float) -> None:
    with pytest.raises(HarborConfigurationError, match="not a percentage"):
        sweep(store, limit_percent=limit)


def test_a_place_without_a_store_is_told(any_store: BackupStore) -> None:
    with pytest.raises(HarborConfigurationError, match="no backup store"):
        sweep(any_store)
    with pytest.raises(HarborConfigurationError, match="no backup store"):
        forget(any_store, NEWEST)


def test_foreign_files_are_left_alone_and_said(store: BackupStore) -> None:
    foreign = {
        "blobs/sha256/README.txt",
        f"blobs/md5/{32 * 'a'}",
        "blobs/sha256/" + 64 * "A",
        "inventories/p0/notes.jsonl.gz",
        "reports/old/1.json",
        "elsewhere/file",
    }
    for path in foreign:
        store.files.write(path, b"mine")
    assert set(sweep(store).foreign) == foreign - {"elsewhere/file"}
    assert foreign <= paths(store, "")


# -- what names others and cannot be read


def contents_of(store: BackupStore, key: str) -> str:
    snapshot = store.snapshots.read(key)
    assert snapshot
    return layout.contents("p0", snapshot.projects["p0"].contents)


@pytest.mark.parametrize(
    "damage",
    [
        lambda s: s.files.write("snapshots/2026-11-01/snapshot.json", b"{"),
        lambda s: s.files.write("snapshots/2026-11-01/snapshot.json", b'{"format_version": 1}'),
        lambda s: s.files.write("snapshots/2026-11-01/projects/p0.json", b"no json"),
        lambda s: s.files.delete([contents_of(s, "2026-11-01")]),
        lambda s: s.files.write(contents_of(s, "2026-11-01"), b"\x1f\x8b"),
    ],
    ids=["cut short", "other shape", "a result", "contents gone", "contents damaged"],
)
def test_nothing_is_deleted_where_nobody_can_tell_what_is_named(
    store: BackupStore, damage: Callable[[BackupStore], None]
) -> None:
    damage(store)
    before = paths(store, "blobs")
    with pytest.raises(IntegrityError, match="nobody can tell what it names, and nothing is"):
        sweep(store)
    assert paths(store, "blobs") == before


def test_a_newer_format_is_left_to_the_newer_program(store: BackupStore) -> None:
    store.files.write("snapshots/2027/snapshot.json", b'{"format_version": 2}')
    for job in (sweep, lambda s: forget(s, NEWEST)):
        with pytest.raises(HarborConfigurationError, match="Use the newer program"):
            job(store)


def test_a_snapshot_that_cannot_be_read_is_kept_and_said(store: BackupStore) -> None:
    store.files.write("snapshots/2026-11-01/snapshot.json", b"{")
    done = forget(store, NEWEST)
    assert list(done.unreadable) == ["2026-11-01"]
    assert store.files.exists("snapshots/2026-11-01/snapshot.json")


@pytest.mark.parametrize("begun", ["20x6-11-02T01:00:00+00:00", "2026-11-02T01:00:00"])
def test_a_snapshot_whose_time_nobody_can_read_is_kept_and_said(
    store: BackupStore, begun: str
) -> None:
    found = store.snapshots.read("2026-11-01")
    assert found
    store.snapshots.commit(replace(found, started_at=begun))
    done = forget(store, NEWEST)
    assert list(done.unreadable) == ["2026-11-01"]
    assert begun in done.unreadable["2026-11-01"]
    assert store.files.exists("snapshots/2026-11-01/snapshot.json")


def test_a_pointer_that_nobody_can_read_names_nothing(store: BackupStore) -> None:
    store.files.write("latest/p0.json", b"{")
    assert not sweep(store, grace=DAY).total("deleted").files


def test_a_project_that_is_gone_from_harbor_goes_with_its_nights(store: BackupStore) -> None:
    night(store, 3, "a")
    forget(store, NEWEST)
    sweep(store)
    # What the pointer names is believed by the next backup, so it is there as long as that.
    assert "latest/p1.json" not in paths(store, "latest")
    assert blobs_of("c") <= paths(store, "blobs")
    sweep(store)
    assert paths(store, "blobs") == blobs_of("a")


# -- runs that are no snapshots


def test_runs_that_were_cut_short_stay_for_some_days_with_all_that_they_name(
    store: BackupStore,
) -> None:
    store.files.delete(["snapshots/2026-11-01/snapshot.json"])
    done = forget(store, NEWEST)
    assert [d.reasons for d in done.decisions if d.state == "cut short"] == [
        ("younger than 14 days",)
    ]
    sweep(store)
    assert blobs_of("b") <= paths(store, "blobs")
    forget(store, NEWEST, now=store.now() + 15 * DAY)
    sweep(store)
    assert paths(store, "blobs") == blobs_of("a", "c", "d")
    assert store.snapshots.list_keys() == ["2026-11-02"]


def test_restores_and_plans_go_with_their_runs(store: BackupStore) -> None:
    store.restore_results.write("restore-1", "p0", {"run": "restore-1"})
    store.files.write(layout.report("restore-1", "json"), b"{}")
    store.snapshots.write_told("restore-1", red=True)
    store.files.write(layout.plan("2026-11-01", "p0"), b"x")
    store.files.write(layout.plan("gone", "p0"), b"x")
    forget(store, NEWEST)
    sweep(store)
    assert {"reports/restore-1.json", "reports/restore-1.told.json"} <= paths(store, "reports")
    assert paths(store, "plans") == set()
    forget(store, NEWEST, now=store.now() + 15 * DAY)
    sweep(store)
    assert paths(store, "restores") == set()
    assert not {name for name in paths(store, "reports") if "restore-1" in name}


def test_a_result_that_only_listed_keeps_the_list(store: BackupStore) -> None:
    with store.inventories.write("p9") as writer:
        sha256 = writer.finish()
    result = {"run": "r", "project": "p9", "inventory": {"sha256": sha256}, "contents": ""}
    store.results.write("r", "p9", result)
    sweep(store)
    assert store.files.exists(layout.inventory("p9", sha256))


def test_an_old_run_that_is_cleared_names_nothing_that_has_gone(store: BackupStore) -> None:
    old = Results(store.results, "2026-11-01").find("p0")
    assert old
    assert old.inventory
    forget(store, NEWEST)
    sweep(store)
    harbor, lease = small_harbor("ab"), NoLease()
    # Its copy has the reference of long ago.
    with pytest.raises(IntegrityError, match="is gone from the store"):
        copy_project(
            harbor,  # type: ignore[arg-type]
            harbor,
            StorePlace(store),
            store,
            "2026-11-01",
            old.inventory,
            lease=lease,  # type: ignore[arg-type]
        )
    conclude(store, harbor, "2026-11-01", datetime(2026, 11, 1, tzinfo=timezone.utc))
    again = store.snapshots.read("2026-11-01")
    assert again
    assert (again.complete, again.projects) == (False, {})
    # Listed anew it is a night like any other.
    back_up(store, harbor, "2026-11-01", datetime(2026, 11, 1, tzinfo=timezone.utc))
    again = store.snapshots.read("2026-11-01")
    assert again
    assert again.complete


def test_what_the_next_backup_believes_stays_without_any_night(store: BackupStore) -> None:
    store.files.delete(sorted(paths(store, "snapshots")))
    sweep(store)
    assert blobs_of("a", "c", "d") <= paths(store, "blobs")


# -- several at once, and killed ones


def test_one_prunes_at_a_time(store: BackupStore) -> None:
    with store.lease("prune", "another"), pytest.raises(LeaseError, match="the run another on"):
        sweep(store)
    assert sweep(store, dry_run=True).dry_run


def announced(store: BackupStore, path: str, *, process: str = "") -> Sweep:
    """Announce a sweep that may delete a file, as a prune does that is killed after it."""
    begun = store.sweeps.announce(store.sweeps.read(), [Mark(path, store.now(), True)])
    if process:
        content = json.loads(begun.content or b"")
        content["process"] = process
        store.files.write(layout.PRUNE_STATE, json.dumps(content).encode())
    return begun


def test_who_may_still_delete_is_waited_for(store: BackupStore) -> None:
    announced(store, "blobs/sha256/" + 64 * "0", process="elsewhere")
    with pytest.raises(LeaseError, match=f"somebody on {socket.gethostname()} deletes from"):
        sweep(store)


def test_a_prune_that_gives_up_keeps_nobody_waiting(
    store: BackupStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    forget(store, NEWEST)
    with monkeypatch.context() as patched:
        # As where the machine slept, and another one has the lease now.
        patched.setattr(Lease, "check", lambda lease: (_ for _ in ()).throw(LeaseError("lost")))
        with pytest.raises(LeaseError, match="lost"):
            sweep(store)
    assert not store.sweeps.read().is_going_on
    assert blobs_of("b") <= paths(store, "blobs")
    assert sweep(store).total("deleted").files


def test_a_prune_that_does_not_know_what_was_deleted_says_so(
    store: BackupStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*args: object) -> None:
        raise StoreUnreachableError(StoreReason.UNREACHABLE, "no answer", where=store.url)

    forget(store, NEWEST)
    with monkeypatch.context() as patched:
        patched.setattr(type(store.files), "delete", gone)
        with pytest.raises(StoreUnreachableError):
            sweep(store)
    # Maybe the storage goes on, so backups look twice for an hour.
    assert store.sweeps.read().is_going_on


def test_a_process_of_this_machine_that_died_deletes_no_more(store: BackupStore) -> None:
    boot, namespace, pid, started = this_process().split(" ")
    announced(store, "x", process=f"{boot} {namespace} {pid} {int(started) - 1}")
    forget(store, NEWEST)
    assert sweep(store).total("deleted").files
    assert not store.sweeps.read().is_going_on


def test_a_backup_waits_for_who_may_delete_what_it_needs(
    store: BackupStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    needed = layout.blob(IMAGES["d"].digest)
    begun = announced(store, needed)
    waits = []

    def somebody_deletes(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 2:
            store.files.delete([needed])
            store.sweeps.end(begun, [])

    monkeypatch.setattr(claims, "_sleep", somebody_deletes)
    night(store, 3, "ad", "c")
    # The newest list of the store was believed, so only looking shows that it has gone.
    assert len(waits) == 2


def test_a_backup_does_not_wait_for_ever(
    store: BackupStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    announced(store, layout.blob(IMAGES["d"].digest), process="elsewhere")
    monkeypatch.setattr(claims, "_sleep", lambda seconds: None)
    claim = claims.Claim(store)
    snapshot = store.snapshots.read("2026-11-02")
    assert snapshot
    held = snapshot.projects["p0"]
    with pytest.raises(StoreUnreachableError, match="prunes it, and may delete what is needed"):
        claim.settle("p0", held.inventory, held.contents)
    # What it does not doom needs no waiting.
    assert claim.settle("p1", snapshot.projects["p1"].inventory, "") == []


def test_a_state_that_cannot_be_read_is_told(store: BackupStore) -> None:
    store.files.write(layout.PRUNE_STATE, b'{"format_version": 1, "sweep": "x"}')
    with pytest.raises(IntegrityError, match="is damaged: 'is_going_on' is missing"):
        sweep(store)


def test_marks_that_cannot_be_read_begin_anew(store: BackupStore) -> None:
    forget(store, NEWEST)
    prune(store, "first", limit_percent=100)
    store.files.delete([layout.marks(store.sweeps.read().marks)])
    assert prune(store, "second", limit_percent=100).total("deleted").files == 0
    assert sweep(store).total("deleted").files


# -- rights, and what is left behind


def test_who_may_not_delete_is_told_what_is_missing(s3: S3Server) -> None:
    bucket = s3.new_bucket()
    store = BackupStore(f"s3://{bucket}/store", **s3.options)
    night(store, 1, "ab", "c")
    night(store, 2, "ad", "c")
    mine = BackupStore(store.url, **s3.add_writer(bucket))
    night(mine, 3, "ad", "c")  # a backup needs no more
    with pytest.raises(StoreError, match=DENIED) as caught:
        forget(mine, NEWEST)
    assert caught.value.reason is StoreReason.DENIED
    forget(store, NEWEST)
    with pytest.raises(StoreError, match=DENIED):
        sweep(mine)
    assert blobs_of("a", "b", "c", "d") == paths(store, "blobs")
    assert not store.sweeps.read().is_going_on
    assert sweep(store).total("deleted").files  # another login has the right


def test_leftovers_of_killed_writers_go_when_they_are_old(tmp_path: Path) -> None:
    store = BackupStore(tmp_path)
    night(store, 1, "a")
    old, young = (tmp_path / "blobs" / "sha256" / f"{n * 64}#{n}" for n in "12")
    for path in (old, young):
        path.write_bytes(b"half")
    os.utime(old, (1, 1))
    done = prune(store, "a prune")
    assert (done.leftovers.files, done.leftovers.size_bytes) == (1, 4)
    assert [old.exists(), young.exists()] == [False, True]


def test_no_empty_directories_stay(tmp_path: Path) -> None:
    store = BackupStore(tmp_path)
    night(store, 1, "a", "c")
    night(store, 2, "a")
    forget(store, NEWEST)
    for _ in range(2):
        sweep(store)
    empty = [path for path in tmp_path.rglob("*") if path.is_dir() and not any(path.iterdir())]
    assert empty == []
    assert store.snapshots.list_keys() == ["2026-11-02"]
