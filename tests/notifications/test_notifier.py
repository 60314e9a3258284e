"""What people are told when a run has ended, by mail and by a webhook that really receive it."""

from __future__ import annotations

import copy
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.http.notifications.http import HttpNotifier
from airflow.providers.smtp.notifications.smtp import SmtpNotifier
from airflow.sdk import BaseNotifier

from airflow_provider_harbor.core.jobs.report import build_report
from airflow_provider_harbor.core.jobs.trail import Attempt
from airflow_provider_harbor.core.store.backup_store import BackupStore
from airflow_provider_harbor.notifications.harbor import HarborNotifier
from airflow_provider_harbor.notifications.message import NOTICE_KEY, notice_of
from tests.post_office import PostOffice

RUN = "manual__2026-11-26T03:30:00+00:00"
PAGE = "s3://bucket/reports/night.html"
DIGEST = "sha256:" + "a" * 64
PARTIAL: dict[str, Any] = {
    "verdict": "partial",
    "title": "NOT everything is protected",
    "headline": "NOT everything is protected: 2 of 3 projects, 9 digests, in 12 s",
    "names": ["team-a"],
    "projects": ["team-a (last protected 2026-11-25 03:42 UTC)"],
    "more_projects": 0,
    "reasons": [f"team-a/app@{DIGEST} (v1): the storage has lost it. Push it again"],
    "more_reasons": 7,
    "attempts": 0,
    "dry_run": False,
    "harbor_url": "https://harbor.example.com",
    "report_url": PAGE,
}
COMPLETE = PARTIAL | {
    "verdict": "complete",
    "title": "Everything is protected",
    "headline": "Everything is protected: 3 of 3 projects, 9 digests, in 12 s",
    "names": [],
    "projects": [],
    "reasons": [],
    "more_reasons": 0,
}


def notifiers() -> list[BaseNotifier]:
    return [SmtpNotifier(to="ops@example.com"), HttpNotifier(http_conn_id="hook")]


def end(
    notice: Any,
    *,
    task: str = "snapshot",
    notifier: HarborNotifier | None = None,
    store: str = "",
    cleared: int = 0,
) -> None:
    """Call a notifier as the end of a run does, which has left a notice."""

    def pull(*, task_ids: str, key: str) -> Any:
        assert (task_ids, key) == ("snapshot", NOTICE_KEY)
        if isinstance(notice, Exception):
            raise notice
        return copy.deepcopy(notice)

    context: Any = {
        "dag": SimpleNamespace(dag_id="harbor_backup"),
        "run_id": RUN,
        "ti": SimpleNamespace(task_id=task, xcom_pull=pull),
    }
    if store:
        begun = datetime(2026, 11, 26, 3, 30, tzinfo=timezone.utc)
        context["params"] = {"store": store}
        context["dag_run"] = SimpleNamespace(
            dag_id="harbor_backup", run_id=RUN, run_after=begun, clear_number=cleared
        )
    (notifier or HarborNotifier(notifiers()))(context)


def test_a_partial_run_is_told_with_projects_reasons_and_the_report(office: PostOffice) -> None:
    end(PARTIAL)

    (mail,), (text,), (post,) = office.mails, office.texts(), office.posts
    assert mail["Subject"] == "harbor_backup: NOT everything is protected (team-a)"
    assert mail["To"] == "ops@example.com"
    for said in (
        PARTIAL["headline"],
        *PARTIAL["projects"],
        *PARTIAL["reasons"],
        "and 7 more, all in the report",
        PAGE,
        "https://harbor.example.com",
        "https://airflow.example.com/dags/harbor_backup/runs/manual__2026-11-26T03%3A30%3A00%2B00%3A00",
    ):
        assert said in text
        assert said in post["text"]
    assert (post["verdict"], post["report_url"]) == ("partial", PAGE)
    page = (
        "https://airflow.example.com/plugin/backups/harbor/run?dag_id=harbor_backup&run_id=manual"
    )
    assert post["page_url"].startswith(page)
    assert page.replace("&", "&amp;") in text
    assert post["subject"] == mail["Subject"]


def test_a_run_that_backed_up_nothing_is_told_with_its_reason(office: PostOffice) -> None:
    reason = "there is no Harbor at https://harbor.example.com"
    nothing = {"names": [], "projects": [], "reasons": [reason], "more_reasons": 0}
    title = "NOTHING was backed up"
    end(PARTIAL | nothing | {"verdict": "failed", "title": title, "headline": f"{title}, in 8 s"})

    (post,) = office.posts
    assert post["verdict"] == "failed"
    assert post["subject"] == "harbor_backup: NOTHING was backed up"
    assert reason in post["text"]


@pytest.mark.parametrize("notice", [None, "what?"])
def test_a_run_that_left_nothing_is_told_with_the_task_that_failed(
    office: PostOffice, notice: object
) -> None:
    end(notice, task="check")

    (post,) = office.posts
    assert post["verdict"] == "failed"
    assert "NOTHING is known to be protected" in post["subject"]
    assert "task check failed, its log says why" in post["text"]


def test_a_run_that_was_stopped_before_any_task_is_told(office: PostOffice) -> None:
    context: Any = {"dag": SimpleNamespace(dag_id="harbor_backup"), "run_id": RUN}
    HarborNotifier(notifiers())(context)

    assert "a task failed, its log says why" in office.posts[0]["text"]


def test_a_run_whose_retention_failed_is_not_said_to_be_unprotected(office: PostOffice) -> None:
    end(COMPLETE, task="retention.prune")

    (post,) = office.posts
    said = "All artifacts are protected, but the run failed: task retention.prune failed"
    assert (post["verdict"], post["headline"]) == ("partial", said)
    assert post["subject"] == f"harbor_backup: {said}"
    assert "task retention.prune failed, its log says why" in post["text"]
    assert "Everything is protected" not in post["text"]


def test_a_run_that_failed_before_its_snapshot_names_what_failed_and_not_the_snapshot(
    office: PostOffice,
) -> None:
    end(COMPLETE | {"failed_tasks": ["settings"]}, task="snapshot")

    (post,) = office.posts
    said = "All artifacts are protected, but the run failed: task settings failed"
    assert (post["verdict"], post["headline"]) == ("partial", said)
    assert "task settings failed, its log says why" in post["text"]
    assert "snapshot failed" not in post["text"]


def test_a_green_run_whose_report_cannot_be_read_is_not_said_to_have_failed(
    office: PostOffice,
) -> None:
    always = HarborNotifier(notifiers(), has_succeeded=True, always=True)
    end(OSError("no such XCom"), notifier=always)

    (post,) = office.posts
    assert post["verdict"] == "complete"
    assert post["subject"] == "harbor_backup: The run is green"
    assert "could not be read" in post["headline"]
    assert "/dags/harbor_backup/runs/" in post["text"]


def test_a_red_run_whose_report_cannot_be_read_is_not_said_to_have_none(
    office: PostOffice,
) -> None:
    end(OSError("no such XCom"), task="snapshot")

    (post,) = office.posts
    assert post["verdict"] == "failed"
    assert post["subject"] == "harbor_backup: The run has FAILED"
    assert "could not be read" in post["headline"]
    assert "there is no report" not in post["text"]
    assert "task snapshot failed, its log says why" in post["text"]


def test_a_green_run_is_told_where_it_had_been_red(office: PostOffice) -> None:
    green = HarborNotifier(notifiers(), has_succeeded=True)
    end(COMPLETE, notifier=green)
    assert office.posts == []
    end(COMPLETE | {"attempts": 1}, notifier=green)

    (post,) = office.posts
    assert post["verdict"] == "complete"
    assert post["subject"] == "harbor_backup: Everything is protected now"
    assert len(office.mails) == 1


def test_a_run_that_only_its_last_tasks_made_red_is_told_when_it_is_green(
    office: PostOffice, store: BackupStore
) -> None:
    store.begin_for("https://harbor.example.com")
    green = HarborNotifier(notifiers(), has_succeeded=True)
    end(COMPLETE, task="retention.forget", store=store.url)  # its report is green
    end(COMPLETE, notifier=green, store=store.url, cleared=1)

    red, now = office.posts
    assert red["verdict"] == "partial"
    assert now["subject"] == "harbor_backup: Everything is protected now"
    end(COMPLETE, notifier=green, store=store.url, cleared=2)
    assert len(office.posts) == 2


def test_a_run_whose_snapshot_was_killed_is_told_when_it_is_green(
    office: PostOffice, store: BackupStore
) -> None:
    store.begin_for("https://harbor.example.com")
    end(None, store=store.url)
    green = HarborNotifier(notifiers(), has_succeeded=True)
    end(COMPLETE, notifier=green, store=store.url, cleared=1)

    assert [post["verdict"] for post in office.posts] == ["failed", "complete"]


def test_a_run_that_was_always_green_is_not_told_when_it_is_cleared(
    office: PostOffice, store: BackupStore
) -> None:
    store.begin_for("https://harbor.example.com")
    green = HarborNotifier(notifiers(), has_succeeded=True)
    end(COMPLETE, notifier=green, store=store.url)
    end(COMPLETE, notifier=green, store=store.url, cleared=1)

    assert office.posts == []


def test_telling_begins_no_store(office: PostOffice, tmp_path: Path) -> None:
    end(PARTIAL, store=str(tmp_path / "nowhere"))

    assert len(office.posts) == 1
    assert not (tmp_path / "nowhere").exists()


def test_only_ends_that_were_red_are_counted() -> None:
    def attempt(*, complete: bool) -> Attempt:
        return Attempt(ended_at="2026-11-26T03:30:00+00:00", complete=complete, headline="It ended")

    red, green = attempt(complete=False), attempt(complete=True)
    for attempts, count in (
        ([], 0),
        ([green], 0),
        ([red], 1),
        ([red, red], 2),
        ([red, green], 0),
        ([green, red], 1),
    ):
        report = build_report(
            "night",
            [],
            [],
            harbor_url="https://harbor.example.com",
            destination="",
            started_at=datetime.now(timezone.utc),
            ended_at=datetime.now(timezone.utc),
        )
        assert notice_of(replace(report, attempts=tuple(attempts)), "")["attempts"] == count


def test_each_green_run_is_told_where_that_is_wanted_and_no_dry_run(office: PostOffice) -> None:
    green = HarborNotifier(notifiers(), has_succeeded=True, always=True)
    end(COMPLETE, notifier=green)
    end(COMPLETE | {"dry_run": True, "verdict": "partial"}, notifier=green)

    assert [post["subject"] for post in office.posts] == ["harbor_backup: Everything is protected"]


def test_words_of_others_are_no_templates_and_no_markup(office: PostOffice) -> None:
    hostile = "{{ conn.hook.host }} {% raw %} <script>alert(1)</script>"
    end(PARTIAL | {"names": [hostile], "projects": [hostile], "reasons": [hostile]})

    (text,), (post,) = office.texts(), office.posts
    assert hostile in post["text"]
    assert "<script>" not in text
    assert "&lt;script&gt;" in text
    assert "{{ conn.hook.host }}" in text


def test_what_somebody_wrote_for_a_notifier_is_sent_as_written(office: PostOffice) -> None:
    own = [
        SmtpNotifier(to="ops@example.com", subject="Backup: {{ harbor.verdict }}"),
        HttpNotifier(http_conn_id="hook", json={"text": "{{ harbor.projects | join(', ') }}"}),
    ]
    notifier = HarborNotifier(own)
    end(PARTIAL, notifier=notifier)
    end(PARTIAL | {"verdict": "failed"}, notifier=notifier)

    assert [mail["Subject"] for mail in office.mails] == ["Backup: partial", "Backup: failed"]
    assert office.posts == [{"text": PARTIAL["projects"][0]}] * 2


def test_a_notifier_that_fails_stops_none_of_the_others(office: PostOffice) -> None:
    notifier = HarborNotifier([HttpNotifier(http_conn_id="nowhere"), *notifiers()])
    with pytest.raises(Exception, match="nowhere"):
        end(PARTIAL, notifier=notifier)

    assert len(office.mails) == len(office.posts) == 1


def test_any_other_callback_gets_the_message_in_its_context() -> None:
    told: list[Any] = []
    end(PARTIAL, notifier=HarborNotifier([told.append]))

    assert told[0]["harbor"].verdict == "partial"
    assert told[0]["run_id"] == RUN
