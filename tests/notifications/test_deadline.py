"""No complete backup for too long: who is told, and when nobody needs to be."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from airflow.providers.http.notifications.http import HttpNotifier
from airflow.providers.smtp.notifications.smtp import SmtpNotifier

from airflow_provider_harbor.core.store.backup_store import BackupStore
from airflow_provider_harbor.core.store.snapshots import Snapshot
from airflow_provider_harbor.notifications.deadline import backup_deadline
from tests.post_office import PostOffice

HARBOR = "https://harbor.example.com"


@pytest.fixture
def store(store: BackupStore) -> BackupStore:
    store.begin_for(HARBOR)
    return store


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


def miss(store: BackupStore, hours: float, run_after: datetime | None = None, **more: Any) -> None:
    """Do what Airflow's triggerer does when a deadline has passed: call by path, with JSON."""
    notifiers = [SmtpNotifier(to="ops@example.com"), HttpNotifier(http_conn_id="hook")]
    alert = backup_deadline(hours, notifiers, store=store.url, **more)
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

    assert "there is none at all in the store" in office.posts[0]["text"]


def test_a_store_that_cannot_be_read_is_told(office: PostOffice, store: BackupStore) -> None:
    night(store, since())
    store.files.local_path("store.json").write_text("{")  # type: ignore[union-attr]
    miss(store, 26)

    assert "whether there is one cannot be found out" in office.posts[0]["text"]


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
    miss(store, 1.5 / 3600, run_after=begun)
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
