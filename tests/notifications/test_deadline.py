"""No complete backup for too long: who is told, and when nobody needs to be."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from airflow.providers.http.notifications.http import HttpNotifier
from airflow.providers.smtp.notifications.smtp import SmtpNotifier
from airflow.sdk import BaseNotifier

from airflow_provider_harbor.core.exceptions import HarborConfigurationError
from airflow_provider_harbor.core.store.backup_store import BackupStore
from airflow_provider_harbor.core.store.snapshots import Snapshot
from airflow_provider_harbor.notifications import deadline
from airflow_provider_harbor.notifications.deadline import backup_deadline
from tests.post_office import PostOffice

HARBOR = "https://harbor.example.com"


@pytest.fixture
def store(store: BackupStore) -> BackupStore:
    begin(store, since(days=3))
    return store


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deadline, "PATIENCE", timedelta(seconds=0.2))
    monkeypatch.setattr(deadline, "BETWEEN_LOOKS", timedelta(seconds=0.1))


def begin(store: BackupStore, created: datetime) -> None:
    about = {"format_version": 1, "harbor_url": HARBOR, "created": created.isoformat()}
    store.files.write("store.json", json.dumps(about).encode())


class Broken(BaseNotifier):
    """One that the triggerer cannot make: it needs what is not there."""

    def __init__(self, to: str) -> None:
        super().__init__()
        self.to = to
        if to == "nobody":
            return
        raise OSError("no such room")

    def notify(self, context: Any) -> None:
        raise AssertionError("it is never made again")


def since(*, later: bool = False, **time: float) -> datetime:
    """Return a moment before now, or after."""
    return datetime.now(timezone.utc) + timedelta(**time) * (1 if later else -1)


def night(store: BackupStore, ended: datetime, *, complete: bool = True, **more: Any) -> None:
    run = f"{ended:%Y-%m-%dT%H-%M-%S.%fZ}"
    store.snapshots.commit(
        Snapshot(
            key=run,
            run=run,
            complete=complete,
            harbor_url=HARBOR,
            destination=store.url,
            started_at=ended.isoformat(),
            ended_at=ended.isoformat(),
            projects={},
            **more,
        )
    )


def miss(
    store: BackupStore,
    hours: float,
    run_after: datetime | None = None,
    first: Sequence[Any] = (),
    **more: Any,
) -> None:
    """Do what Airflow's triggerer does when a deadline has passed: call by path, with JSON."""
    notifiers = [SmtpNotifier(to="ops@example.com"), HttpNotifier(http_conn_id="hook")]
    alert = backup_deadline(hours, [*first, *notifiers], store=store.url, **more)
    kwargs = json.loads(json.dumps(alert.callback.kwargs))
    module, _, name = alert.callback.path.rpartition(".")
    call = getattr(__import__(module, fromlist=[name]), name)
    run = {
        "dag_id": "harbor_backup",
        "dag_run_id": "scheduled__1",
        "run_after": (run_after or since()).isoformat(),
        "conf": None,
    }
    asyncio.run(call(**kwargs, context={"dag_run": run, "deadline": {}}))


def test_a_store_whose_newest_complete_night_is_too_old_is_told(
    office: PostOffice, store: BackupStore
) -> None:
    night(store, since(hours=27))
    night(store, since(hours=3), complete=False)
    night(store, since(hours=2), limited_to=("team-a",))
    miss(store, 26)

    (mail,), (post,) = office.mails, office.posts
    assert mail["Subject"] == "harbor_backup: NO complete backup for 26 h 00 min"
    assert post["verdict"] == "late"
    assert "27 h 00 min ago" in post["text"]
    assert HARBOR in post["text"]
    assert "/dags/harbor_backup/runs/scheduled__1" in post["run_url"]


def test_a_store_without_any_complete_night_is_told_at_once(
    office: PostOffice, store: BackupStore
) -> None:
    miss(store, 26)

    assert "there is none at all in the store, which began" in office.posts[0]["text"]


def test_a_store_that_has_just_begun_has_its_time(office: PostOffice, store: BackupStore) -> None:
    begun = datetime.now(timezone.utc)
    begin(store, begun)
    began = time.monotonic()
    miss(store, 1 / 3600, run_after=begun)

    assert time.monotonic() - began >= 1
    assert "there is none at all in the store" in office.posts[0]["text"]


def test_a_store_that_cannot_be_read_is_not_said_to_have_no_backup(
    office: PostOffice, store: BackupStore, impatient: None
) -> None:
    night(store, since())
    store.files.local_path("store.json").write_text("{")  # type: ignore[union-attr]
    miss(store, 26)

    (post,) = office.posts
    assert post["headline"] == (
        "It is NOT KNOWN whether there was a complete backup for 26 h 00 min"
    )
    assert "store.json" in post["text"]
    assert "NO complete" not in post["text"]


def test_a_store_that_is_away_for_a_moment_is_looked_at_again(
    office: PostOffice, store: BackupStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deadline, "BETWEEN_LOOKS", timedelta(seconds=0.1))
    night(store, since(minutes=30, later=True))
    about: Any = store.files.local_path("store.json")
    away = about.rename(about.with_name("away"))
    back = threading.Timer(0.3, away.rename, (about,))
    back.start()
    miss(store, 26)
    back.join()

    assert office.posts == []


def test_a_notifier_that_cannot_be_made_silences_none_of_the_others(
    office: PostOffice, store: BackupStore
) -> None:
    broken = Broken("nobody")
    broken.to = "somebody"
    with pytest.raises(OSError, match="no such room"):
        miss(store, 26, first=[broken])

    assert len(office.mails) == len(office.posts) == 1


def test_a_function_is_left_out_of_the_deadline_with_a_warning(
    office: PostOffice, store: BackupStore
) -> None:
    with pytest.warns(UserWarning, match="not called for deadline_hours"):
        miss(store, 26, first=[print])

    assert len(office.mails) == len(office.posts) == 1


def test_a_deadline_that_would_tell_nobody_is_refused() -> None:
    class Local(BaseNotifier):
        def notify(self, context: Any) -> None: ...

    with (
        pytest.warns(UserWarning, match="not called for deadline_hours"),
        pytest.raises(HarborConfigurationError, match="deadline_hours"),
    ):
        backup_deadline(26, [print, Local()], store="/backup")


def test_a_later_complete_night_is_reason_for_silence(
    office: PostOffice, store: BackupStore
) -> None:
    night(store, since(minutes=30, later=True))
    miss(store, 26)

    assert office.posts == []


def test_a_dag_of_some_projects_counts_its_own_nights(
    office: PostOffice, store: BackupStore
) -> None:
    night(store, since(minutes=30, later=True), limited_to=("team-a",))
    miss(store, 26, projects=["team-a"])
    assert office.posts == []
    miss(store, 26, projects=["team-b"])
    assert len(office.posts) == 1


def test_it_waits_until_the_newest_one_is_too_old(office: PostOffice, store: BackupStore) -> None:
    ended = datetime.now(timezone.utc)
    night(store, ended)
    began = time.monotonic()
    miss(store, 1 / 3600, run_after=ended + timedelta(seconds=0.1))

    assert time.monotonic() - began >= 1
    assert len(office.posts) == 1


def test_a_night_that_ends_while_it_waits_is_reason_for_silence(
    office: PostOffice, store: BackupStore
) -> None:
    begun = datetime.now(timezone.utc)
    night(store, begun - timedelta(seconds=1))
    made = threading.Timer(0.2, night, (store, begun + timedelta(seconds=60)))
    made.start()
    miss(store, 3 / 3600, run_after=begun)
    made.join()

    assert office.posts == []


def test_the_first_look_is_soon_and_the_alert_keeps_what_notifiers_were_given() -> None:
    given = SmtpNotifier(to=["a@example.com"], subject="{{ harbor.subject }}", cc="b@example.com")
    alert = backup_deadline(26, [given, HttpNotifier(http_conn_id="hook")], store="/backup")

    assert alert.interval == timedelta(hours=1)
    first, second = alert.callback.kwargs["notifiers"]
    assert first["kwargs"]["to"] == ["a@example.com"]
    assert first["kwargs"]["cc"] == "b@example.com"
    assert second["kwargs"] == {"http_conn_id": "hook", "extra_options": {}}
    assert backup_deadline(0.5, [], store="/backup").interval == timedelta(minutes=30)
