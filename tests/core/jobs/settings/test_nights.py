"""Which settings are the latest, and which are forgotten: those that have all before others."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from airflow_provider_harbor.core.jobs.forget import forget
from airflow_provider_harbor.core.jobs.settings.nights import find_night
from airflow_provider_harbor.core.settings.values import Unread
from airflow_provider_harbor.core.store.backup_store import BackupStore
from airflow_provider_harbor.core.store.retention import Policy
from airflow_provider_harbor.core.store.settings_files import NightSettings, SettingsDocument

FAILED = (Unread(scope="", kind="users", reason="500", failed=True),)
DENIED = (Unread(scope="", kind="configurations", reason="not allowed", denied=True),)


@pytest.fixture
def store(tmp_path: Path) -> BackupStore:
    made = BackupStore(tmp_path / "store")
    made.begin_for("http://127.0.0.1:1")
    return made


def add(store: BackupStore, day: int, *projects: str, **more: object) -> str:
    key = f"2026-11-{day:02}T01-00-00.000000Z.settings"
    sha256 = store.settings.write(SettingsDocument(scope="", values={}))
    names = dict.fromkeys(projects, sha256)
    store.settings.write_night(key, NightSettings(system=sha256, projects=names, **more))  # type: ignore[arg-type]
    return key


def test_the_latest_settings_are_the_newest_that_are_whole(store: BackupStore) -> None:
    add(store, 1)
    whole = add(store, 2, unread=DENIED)
    limited = add(store, 3, "team", limited=True)
    broken = add(store, 4, unread=FAILED)

    found = find_night(store)

    assert found.key == whole
    assert found.passed_over == ((broken, "incomplete"), (limited, "limited"))
    assert any(limited in line for line in found.lines())
    # Asked for by its name it is taken, and is said to be less; so is the night before another.
    assert find_night(store, limited).key == limited
    assert "LIMITED: of the projects it has only team" in find_night(store, limited).lines()[0]
    assert "INCOMPLETE" in find_night(store, broken).lines()[0]
    assert find_night(store, before=broken).key == limited


def test_where_no_settings_are_whole_the_latest_are_those_that_lack_least(
    store: BackupStore,
) -> None:
    broken = add(store, 1, unread=FAILED)
    add(store, 2, "team", limited=True)
    assert find_night(store).key == broken


def test_settings_with_less_take_the_place_of_no_whole_ones(store: BackupStore) -> None:
    nights = [
        add(store, 1, "a", "b"),
        add(store, 2, "a", "b"),
        add(store, 3, "a", limited=True),
        add(store, 4, "a", limited=True),
        add(store, 5, "b", limited=True),
        add(store, 6, "a", "b", unread=FAILED),
        add(store, 7, "a", "b", unread=FAILED),
    ]

    later = datetime.now(timezone.utc) + timedelta(days=60)
    done = forget(store, Policy(keep_last=1), now=later)

    kept = {decision.key for decision in done.decisions if decision.is_kept}
    assert kept == {nights[at] for at in (1, 3, 4, 6)}
    assert {decision.state for decision in done.decisions} == {
        "settings", "settings, limited", "settings, incomplete",
    }  # fmt: skip
