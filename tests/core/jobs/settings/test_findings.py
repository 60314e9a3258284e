"""What a plan and a report say of what cannot come back, or came back in part only."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_harbor.core.exceptions import HarborConfigurationError
from airflow_provider_harbor.core.jobs.settings.outcome import State
from airflow_provider_harbor.core.settings.secret_values import Secret
from tests.core.settings_rig import (
    READER,
    Api,
    bring_back,
    kept_settings,
    robot,
    services,
    titles,
    written,
)
from tests.double import HarborDouble

USERS: dict[str, Any] = {
    "users": [
        {"username": name, "email": f"{name}@example.com", "realname": name}
        for name in ("ann", "bob")
    ],
    "groups": [{"name": "ops", "type": "oidc"}],
}


@pytest.fixture
def new() -> Iterator[HarborDouble]:
    """An empty Harbor."""
    with HarborDouble() as harbor:
        yield harbor


def member(name: str, kind: str = "user", **more: Any) -> dict[str, Any]:
    return {"type": kind, "name": name, "role": "guest", **more}


ADMIN = member("admin") | {"role": "projectAdmin"}


# -- users, and what hangs on them


def test_a_dry_run_says_of_users_without_a_password_what_the_run_says(
    new: HarborDouble, tmp_path: Path
) -> None:
    members = [ADMIN, member("ann"), member("bob"), member("ops", "group", group_type="oidc")]
    made = kept_settings(tmp_path, system=USERS, library={"members": members})
    secrets = {"users/bob": "Abcdef12"}

    plan = bring_back(made, new, secrets, dry_run=True)
    done = bring_back(made, new, secrets)

    why = "it needs a password, and none is given. Give the secret users/ann, or name a file"
    for report in (plan, done):
        cannot = titles(report, State.CANNOT)
        assert cannot.pop("user ann").startswith(why)
        assert cannot == {
            "library member user ann": "the user ann is not there, and cannot be made"
        }
        assert len(report.failures()) == 2
        assert not titles(report, State.FAILED)
    assert "  + user ann" not in "\n".join(plan.lines())
    assert sorted(titles(plan, State.PLANNED)) == sorted(titles(done, State.DONE))
    assert bring_back(made, new, secrets).writes == 0
    assert written(new) == []


def test_a_dry_run_makes_users_where_their_passwords_are_made(
    new: HarborDouble, tmp_path: Path
) -> None:
    made = kept_settings(tmp_path, system=USERS, library={"members": [ADMIN, member("ann")]})
    plan = bring_back(made, new, dry_run=True, new_password=lambda: "Abcdef12")
    assert not plan.failures()
    assert "library member user ann" in titles(plan, State.PLANNED)
    assert written(new) == []


def test_members_of_whom_nobody_is_there_are_no_surprise(new: HarborDouble, tmp_path: Path) -> None:
    members = [
        ADMIN,
        member("ann"),
        member("ops", "group", group_type="oidc"),
        member("web", "group", group_type="http"),
    ]
    made = kept_settings(tmp_path, system=USERS, library={"members": members})
    secrets = {"users/ann": "Abcdef12"}
    for options in ({"projects": ["library"]}, {"kinds": ["members"]}):
        for dry_run in (True, False):
            report = bring_back(made, new, secrets, dry_run=dry_run, **options)
            assert titles(report, State.CANNOT) == {
                "library member user ann": "the user ann is not there. Make it first",
                **{
                    f"library member group {kind} {name}":
                    f"the group {name} is not there. Make it first"
                    for kind, name in (("oidc", "ops"), ("http", "web"))
                },
            }  # fmt: skip
    # In another mode a login makes them, and only Harbor knows.
    Api(new).put("/configurations", auth_mode="oidc_auth")
    report = bring_back(made, new, secrets, dry_run=True, projects=["library"])
    assert not report.failures()


# -- secrets that are lacking


HOOK = {
    "name": "w",
    "enabled": True,
    "event_types": ["PUSH_ARTIFACT"],
    "targets": [{"type": "http", "address": "https://h.example.com", "auth_header": Secret()}],
}


def test_a_webhook_without_its_header_is_there_in_part_until_it_has_it(
    new: HarborDouble, tmp_path: Path
) -> None:
    made = kept_settings(tmp_path, library={"webhooks": [HOOK]})
    line = (
        "project library: webhook w: in part only, without the secret library/webhooks/w, which is "
        "not given. Give it, or set it there by hand"
    )
    for dry_run in (True, False, False):
        report = bring_back(made, new, dry_run=dry_run)
        assert report.failures() == [line]
        assert "in part only: it needs the secret library/webhooks/w" in "\n".join(report.lines())
        assert "of all these 1 in part only" in report.summary_line()
        assert [step["in_part"] for step in report.to_json()["steps"]] == [True]
    assert written(new) == []  # the third one
    assert not bring_back(made, new, {"library/webhooks/w": "Bearer x"}).failures()
    assert not bring_back(made, new).failures()


def test_a_secret_of_the_configurations_that_is_not_given_is_needed_and_not_failed(
    new: HarborDouble, tmp_path: Path
) -> None:
    wanted = {"uaa_client_secret": Secret(), "uaa_client_id": "me"}
    made = kept_settings(tmp_path, system={"configurations": wanted})
    for writes in (1, 0):
        report = bring_back(made, new)
        assert len(written(new)) == writes
        (line,) = report.failures()
        assert "without the secret configurations/uaa_client_secret, which is not given" in line
        assert not titles(report, State.FAILED)
    assert new.state.configuration["uaa_client_secret"] == ""
    assert not bring_back(made, new, {"configurations/uaa_client_secret": "s-1"}).failures()
    assert not bring_back(made, new).failures()
    assert written(new) == []


# -- a schedule that Harbor does not show, for want of a scanner


def test_a_schedule_that_harbor_does_not_show_is_taken_for_none_by_no_import(
    new: HarborDouble, tmp_path: Path
) -> None:
    daily = {"type": "Daily", "cron": "0 0 3 * * *"}
    with services() as service:
        api = Api(new)
        number = api.post("/scanners", name="old", url=service.url)
        api.put("/system/scanAll/schedule", schedule={"type": "Weekly", "cron": "0 0 4 * * 0"})
        api.delete(f"/scanners/{number}")
        none = kept_settings(tmp_path, system={"scan-all": None})
        assert bring_back(none, new).writes == 0
        report = bring_back(none, new, delete_surplus=True)
        assert report.writes == 0

        scanners = [{"name": "s", "url": service.url, "is_default": True}]
        made = kept_settings(tmp_path, system={"scan-all": daily, "scanners": scanners})
        assert bring_back(made, new, dry_run=True).writes == 2
        assert not bring_back(made, new).failures()
        assert new.state.schedules.first(vendor_type="SCAN_ALL")["cron"] == daily["cron"]
        assert bring_back(made, new).writes == 0


# -- logins


@pytest.mark.parametrize("dry_run", [True, False])
def test_a_login_that_is_no_administrator_is_refused_at_once(
    new: HarborDouble, tmp_path: Path, dry_run: bool
) -> None:
    made = kept_settings(tmp_path, system={"labels": [{"name": "l"}]}, library={"labels": []})
    api = Api(new)
    number = api.post(
        "/users", username="ann", email="a@example.com", realname="Ann", password="Abcdef12"
    )
    # He leads a project, and that is not enough.
    api.post("/projects/library/members", role_id=1, member_user={"username": "ann"})
    reader = robot(new, READER["system"], READER["project"])
    pusher = robot(new, "", "repository:push tag:create", name="pusher")
    for who, why in (
        (("ann", "Abcdef12"), "the login 'ann' is no administrator of"),
        (reader, f"the robot {reader[0]!r} may create nothing at"),
        (pusher, f"the robot {pusher[0]!r} may create nothing at"),
    ):
        with pytest.raises(HarborConfigurationError, match=re.escape(why)):
            bring_back(made, new, who=who, dry_run=dry_run)
        assert written(new) == []
        assert len(new.requests.log) <= 3
    api.put(f"/users/{number}/sysadmin", sysadmin_flag=True)
    assert not bring_back(made, new, who=("ann", "Abcdef12"), dry_run=dry_run).failures()
