"""`harbor-backup forget` and `harbor-backup prune`: what they show, and how they end."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_harbor.core.cli import main as cli
from airflow_provider_harbor.core.cli import prune as prune_command
from airflow_provider_harbor.core.store.backup_store import BackupStore
from tests.core.jobs.small_harbor import HARBOR, back_up, small_harbor

Run = Callable[..., int]


@pytest.fixture
def stored(store: BackupStore) -> Path:
    """A store with three nights."""
    store.begin_for(HARBOR)
    for number, held in enumerate(["abc", "ab", "ad"], start=1):
        begun = datetime(2026, 11, number, 23, 30, tzinfo=timezone.utc)
        back_up(store, small_harbor(held), f"2026-11-{number:02}", begun)
    path = store.files.local_path("")
    assert path
    return path


def run(*arguments: object) -> int:
    return cli.main([str(argument) for argument in arguments])


def document(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    return dict(json.loads(capsys.readouterr().out))


def test_forget_shows_what_is_kept_and_why(
    stored: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    policy = ("--keep-daily", 2, "--keep-monthly", 1, "--time-zone", "Europe/Berlin")
    assert run("forget", stored, *policy, "--dry-run") == 0
    shown = [line.strip() for line in capsys.readouterr().out.splitlines()]
    assert shown == [
        f"Backups of {HARBOR} in file://{stored}: keep daily 2, monthly 1, days of Europe/Berlin",
        "SNAPSHOT    BEGUN             STATE           WHY",
        "2026-11-03  2026-11-04 00:30  complete  kept  "
        "newest complete, daily 2026-11-04, monthly 2026-11",
        "2026-11-02  2026-11-03 00:30  complete  kept  daily 2026-11-03",
        "2026-11-01  2026-11-02 00:30  complete  go",
        "Would forget 1 run, 2 kept",
    ]
    assert run("forget", stored, *policy) == 0
    assert "Forgot 1 run, 2 kept. What only they had is deleted by prune" in capsys.readouterr().out
    assert run("forget", stored, *policy, "--json") == 0
    found = document(capsys)
    assert (found["exit_code"], found["kept"], found["forgotten"]) == (0, 2, 0)
    assert found["runs"][1] == {
        "key": "2026-11-02",
        "state": "complete",
        "begun": "2026-11-03T00:30:00+01:00",
        "kept": True,
        "reasons": ["daily 2026-11-03"],
    }


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--keep-last", "-1"], "'-1' is not a whole number"),
        (["--keep-daily", "many"], "'many' is not a whole number"),
        (["--keep-weekly", "1.5"], "'1.5' is not a whole number"),
        (["--keep-yearly", "10001"], "from 0 to 10000"),
        (["--keep-hourly", "1"], "unrecognized arguments"),
    ],
)
def test_forget_refuses_numbers_that_are_none(
    stored: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        run("forget", stored, *arguments)
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "this policy keeps nothing"),
        (["--keep-last", "0"], "this policy keeps nothing"),
        (["--keep-last", "1", "--time-zone", "Mars"], "there is no time zone 'Mars'"),
    ],
)
def test_forget_refuses_what_is_no_policy(
    stored: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("forget", stored, *arguments) == 2
    assert message in capsys.readouterr().err
    assert len(list(stored.glob("snapshots/*/snapshot.json"))) == 3


def test_a_snapshot_that_cannot_be_read_ends_red(
    stored: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (stored / "snapshots/2026-11-01/snapshot.json").write_text("{")
    assert run("forget", stored, "--keep-last", 1) == 1
    assert "KEPT, since it cannot be read: file://" in capsys.readouterr().out


def test_prune_shows_what_it_deletes(stored: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (stored / "blobs" / "lost+found").write_text("")
    assert run("forget", stored, "--keep-last", 1) == 0
    assert run("prune", stored, "--limit", 100) == 0
    shown = capsys.readouterr().out
    assert "not named any more, deleted from 20" in shown
    assert "Left alone, since they are not of a backup: 1 file (blobs/lost+found)" in shown
    before = len(list(stored.glob("blobs/*/*")))
    assert run("prune", stored, "--limit", 100, "--grace", 0, "--json") == 0
    found = document(capsys)
    gone = before - len(list(stored.glob("blobs/*/*")))
    assert found["kinds"]["blobs"]["deleted"]["files"] == gone > 0
    assert found["deleted"]["size_bytes"] > 0
    assert found["marked"] == {"files": 0, "size_bytes": 0}
    assert found["next_at"] is None


def test_prune_has_a_table(stored: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("prune", stored, "--dry-run") == 0
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    assert lines[1].split() == ["FILES", "THERE", "NAMED", "MARKED", "DELETED", "BYTES", "DELETED"]
    assert lines[-2].split()[:5] == ["blobs", "12", "12", "0", "0"]
    assert lines[-1].startswith("Would delete 0 files (0 B); ")
    assert not (stored / "prune").exists()


def test_prune_refuses_where_too_much_would_go(
    stored: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("forget", stored, "--keep-last", 1) == 0
    assert run("prune", stored) == 2
    assert "50 %, more than the limit of 30 %" in capsys.readouterr().err
    assert run("prune", stored, "--limit", 50) == 0


@pytest.mark.parametrize(
    "arguments", [("--grace", "-1"), ("--grace", "soon"), ("--limit", "101"), ("--limit", "nan")]
)
def test_prune_refuses_numbers_that_are_none(stored: Path, arguments: tuple[str, str]) -> None:
    with pytest.raises(SystemExit) as ended:
        run("prune", stored, "=".join(arguments))
    assert ended.value.code == 2


def test_prune_ends_as_others_where_another_one_prunes(stored: Path) -> None:
    with BackupStore(stored).lease("prune", "another"):
        assert run("prune", stored) == 4


def test_without_a_store(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for command in (("forget", tmp_path, "--keep-last", 1), ("prune", tmp_path)):
        assert run(*command) == 2
        assert "there is no backup store at" in capsys.readouterr().err


def test_stopped_in_the_midst(
    stored: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    store, deleted = BackupStore(stored), []
    assert run("forget", stored, "--keep-last", 1) == 0

    def stop(self: Any, paths: list[str]) -> None:
        deleted.extend(paths)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(type(store.files), "delete", stop)
        assert run("prune", stored, "--limit", 100, "--grace", 0) == 130
    assert "Stopped. Only what nothing names was deleted" in capsys.readouterr().out
    assert deleted
    assert not store.sweeps.read().is_going_on
    assert run("prune", stored, "--limit", 100, "--grace", 0) == 0


def test_help_says_the_grace_and_the_limit(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run("prune", "--help")
    shown = " ".join(capsys.readouterr().out.split())
    assert f"{prune_command.GRACE // timedelta(hours=1)} hours later" in shown
    assert "default: 30" in shown
    assert "exit codes:" in shown
