"""Quotas of projects, and projects that have none."""

from __future__ import annotations

import pytest

from tests.contract.client import API, Client, error_of
from tests.double import ROBOT_SECRET


@pytest.fixture
def switch(admin):
    """Turn quotas of projects on or off."""

    def turn(on: bool) -> None:
        body = {"quota_per_project_enable": on}
        assert admin.send("PUT", f"{API}/configurations", json=body).status_code == 200

    return turn


def names(admin) -> list[str]:
    return [row["ref"]["name"] for row in admin.api("/quotas?reference=project&page_size=100")]


def test_a_project_made_while_there_are_no_quotas_has_none_for_good(admin, switch):
    switch(False)
    body = {"project_name": "free", "storage_limit": 1000}
    assert admin.send("POST", f"{API}/projects", json=body).status_code == 201
    # Rows that were made before stay.
    assert names(admin) == ["team", "library"]
    switch(True)
    assert names(admin) == ["team", "library"]
    assert "quota" not in admin.api("/projects/free/summary")
    assert admin.send("POST", f"{API}/projects", json={"project_name": "bound"}).status_code == 201
    assert names(admin) == ["bound", "team", "library"]


def test_a_summary_shows_no_quota_while_there_are_none(admin, switch):
    assert admin.api("/projects/team/summary")["quota"]["hard"] == {"storage": -1}
    switch(False)
    assert "quota" not in admin.api("/projects/team/summary")


def test_a_quota_holds_only_while_there_are_quotas(harbor, admin, switch):
    harbor.create_project("small", storage_limit_bytes=1000)
    assert error_of(admin.put_blob("small/app", b"x" * 2000))[:2] == (403, "DENIED")
    switch(False)
    assert admin.put_blob("small/app", b"x" * 2000).status_code == 201


def test_a_project_without_a_quota_takes_nothing_new_once_there_are_quotas(admin, switch):
    switch(False)
    location = admin.send("POST", f"{API}/projects", json={"project_name": "free"})
    number = location.headers["Location"].rpartition("/")[2]
    assert admin.put_blob("free/app", b"before").status_code == 201
    switch(True)
    text = f"quota not found for (project, {number})"
    assert error_of(admin.put_blob("free/app", b"after")) == (404, "NOT_FOUND", text)
    assert admin.put_blob("free/app", b"before").status_code == 201


def test_the_limit_of_a_project_is_not_changed_with_the_project(admin):
    path = f"{API}/projects/team"
    assert admin.send("PUT", path, json={"storage_limit": 5000}).status_code == 200
    assert admin.api("/projects/team/summary")["quota"]["hard"] == {"storage": -1}


def test_quotas_are_found_by_what_they_are_for(harbor, admin):
    number = admin.api("/projects/team")["project_id"]
    (quota,) = admin.api(f"/quotas?reference=project&reference_id={number}")
    assert quota["ref"] == {"id": number, "name": "team", "owner_name": ""}
    assert admin.api("/quotas?reference=other") == []
    robot = Client(harbor, harbor.create_robot("reader"), ROBOT_SECRET)
    assert error_of(robot.get(f"{API}/quotas"))[0] == 403
