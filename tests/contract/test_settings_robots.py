"""Robots as a setting, and what older Harbors did not know."""

from __future__ import annotations

import pytest

from tests.contract.client import API, Client, error_of
from tests.contract.settings_replay import Service, load_settings_scenario
from tests.double import ROBOT_SECRET, HarborDouble

ROBOTS = f"{API}/robots"
PULL = [{"resource": "repository", "action": "pull"}]


def project_permission(namespace: str = "*", access=None) -> dict:
    return {"kind": "project", "namespace": namespace, "access": access or PULL}


def system_permission(*accesses: str) -> dict:
    rows = [dict(zip(("resource", "action"), each.split(":"), strict=True)) for each in accesses]
    return {"kind": "system", "namespace": "/", "access": rows}


def robot(*permissions: dict, **more) -> dict:
    body = {"name": "ci", "level": "system", "duration": 30}
    return {**body, "permissions": list(permissions) or [project_permission()], **more}


def made(admin: Client, body: dict) -> dict:
    answer = admin.send("POST", ROBOTS, json=body)
    assert answer.status_code == 201, answer.text
    return answer.json()


def test_a_new_robot_is_on_and_has_a_secret_of_harbors_own(harbor, admin):
    answered = made(admin, robot(disable=True, secret="Given-12345"))
    row = admin.api(f"/robots/{answered['id']}")
    assert (row["disable"], "secret" in row) == (False, False)
    assert answered["secret"] != "Given-12345"
    assert Client(harbor, answered["name"], answered["secret"]).get("/v2/").status_code == 200


def test_a_secret_can_be_given_back_or_made_anew_and_shown_once(harbor, admin):
    answered = made(admin, robot())
    path = f"{ROBOTS}/{answered['id']}"
    assert admin.send("PATCH", path, json={"secret": "weak"}).status_code == 400
    given = admin.send("PATCH", path, json={"secret": "Given-12345"})
    assert given.json() == {}
    client = Client(harbor, answered["name"], "Given-12345")
    assert client.get("/v2/").status_code == 200
    anew = admin.send("PATCH", path, json={}).json()["secret"]
    assert client.get("/v2/").status_code == 401
    assert Client(harbor, answered["name"], anew).get("/v2/").status_code == 200


def test_a_change_replaces_all_and_counts_the_days_from_the_beginning(admin):
    answered = made(admin, robot(description="d"))
    path = f"{ROBOTS}/{answered['id']}"
    before = admin.get(path).json()
    change = robot(name=before["name"], duration=None, disable=True)
    assert admin.send("PUT", path, json=change).ok
    row = admin.get(path).json()
    assert (row["duration"], row["expires_at"]) == (30, before["expires_at"])
    assert (row["disable"], "description" in row) == (True, False)
    assert admin.send("PUT", path, json={**change, "duration": 40}).ok
    assert admin.get(path).json()["expires_at"] - before["expires_at"] == 10 * 86400
    assert admin.send("PUT", path, json={**change, "duration": -1}).ok
    assert admin.get(path).json()["expires_at"] == -1
    for wrong in ({"name": "ci"}, {"level": "project"}, {"permissions": []}, {"duration": 0}):
        assert admin.send("PUT", path, json={**change, **wrong}).status_code == 400


@pytest.mark.parametrize(
    ("body", "status", "text"),
    [
        (robot(duration=0), 400, "bad request error duration input"),
        (robot(level="bogus"), 400, "bad request error level input: bogus"),
        (robot(permissions=[]), 400, "bad request empty permission"),
        (robot(project_permission("nowhere")), 404, "project nowhere not found"),
        (robot(system_permission("bogus:read")), 400, "bad request permission: bogus:read"),
        (robot(system_permission("robot:update")), 400, "bad request permission: robot:update"),
        (robot(project_permission(), project_permission("team"), level="project"), 400, "bad"),
        (robot(name="Upper"), 400, "robot name is not in lower case"),
        (robot({**project_permission(), "kind": "bogus"}), 400, "bad request permission level"),
    ],
)
def test_robots_that_are_refused(admin, body, status, text):
    answer = admin.send("POST", ROBOTS, json=body)
    assert answer.status_code == status
    assert error_of(answer)[2].startswith(text)


def test_a_robot_makes_robots_that_may_do_no_more_than_itself(harbor, admin):
    creator = made(
        admin,
        robot(system_permission("robot:create", "robot:list"), project_permission(), name="maker"),
    )
    client = Client(harbor, creator["name"], creator["secret"])
    assert client.send("POST", ROBOTS, json=robot(project_permission("team"))).status_code == 201
    row = admin.api("/robots?q=name=ci")[0]
    assert (row["creator_type"], row["creator_ref"]) == ("robot", creator["id"])
    more = robot(project_permission("team", [{"resource": "repository", "action": "push"}]))
    assert error_of(client.send("POST", ROBOTS, json={**more, "name": "more"}))[:2] == (
        403,
        "DENIED",
    )
    # It cannot give its children a secret, nor switch them off: there is no such permission.
    path = f"{ROBOTS}/{row['id']}"
    assert client.send("PATCH", path, json={"secret": "Given-12345"}).status_code == 403
    assert client.send("PUT", path, json=robot(name=row["name"])).status_code == 403


def test_the_prefix_renames_all_robots_and_their_logins_at_once(harbor, admin):
    answered = made(admin, robot())
    old = Client(harbor, answered["name"], answered["secret"])
    admin.send("PUT", f"{API}/configurations", json={"robot_name_prefix": "bot+"})
    assert [row["name"] for row in admin.api("/robots?q=name=ci")] == ["bot+ci"]
    assert old.get("/v2/").status_code == 401
    assert Client(harbor, "bot+ci", answered["secret"]).get("/v2/").status_code == 200


def test_robots_of_projects_are_listed_one_project_at_a_time(harbor, admin):
    body = robot(project_permission("team"), level="project", duration=-1)
    assert made(admin, body)["name"] == "robot$team+ci"
    assert admin.send("POST", ROBOTS, json=body).status_code == 409
    number = admin.api("/projects/team")["project_id"]
    assert admin.api("/robots") == []
    path = f"/robots?q=Level=project,ProjectID={number}"
    (row,) = admin.api(path)
    assert [row["name"] for row in admin.api(f"{path},name=team%252Bci")] == ["robot$team+ci"]
    for query in ("Level=project", "Level=project,ProjectID=x", "Level=bogus"):
        assert admin.get(f"{ROBOTS}?q={query}").status_code == 400
    harbor.create_project("other")
    moved = robot(project_permission("other"), level="project", name=row["name"])
    assert admin.send("PUT", f"{ROBOTS}/{row['id']}", json=moved).status_code == 400


def test_a_robot_left_from_harbor_1_can_be_deleted_only(harbor, admin):
    old = harbor.state.create_robot("old", [], secret=ROBOT_SECRET)
    old.editable = False
    row = admin.api(f"/robots/{old.id}")
    assert (row["name"], row["editable"], row["permissions"]) == ("old", False, [])
    path = f"{ROBOTS}/{old.id}"
    assert error_of(admin.send("PUT", path, json=robot(name="old")))[:2] == (403, "DENIED")
    assert admin.send("DELETE", path).ok


# -- older versions ----------------------------------------------------------------------------


def older(version: str) -> HarborDouble:
    harbor = HarborDouble(version=version)
    harbor.create_project("team")
    return harbor


@pytest.mark.parametrize(
    ("version", "access", "status"),
    [
        ("v2.12.0", "robot:list", 201),
        ("v2.12.0", "user-group:list", 201),
        ("v2.11.2", "robot:list", 400),
        ("v2.11.2", "quota:update", 400),
        ("v2.10.0", "registry:list", 201),
        ("v2.9.5", "robot:list", 201),
    ],
)
def test_permissions_came_with_versions(version, access, status):
    with older(version) as harbor:
        admin = Client(harbor, harbor.user, harbor.password)
        answer = admin.send("POST", ROBOTS, json=robot(system_permission(access)))
        assert answer.status_code == status


def test_what_an_older_harbor_does_not_know_is_ignored_or_not_there():
    with older("v2.9.5") as harbor:
        admin = Client(harbor, harbor.user, harbor.password)
        text = "path /api/v2.0/permissions was not found"
        assert error_of(admin.get(f"{API}/permissions")) == (404, "NOT_FOUND", text)
        assert "oidc_logout" not in admin.api("/configurations")
        assert admin.send("PUT", f"{API}/configurations", json={"oidc_logout": True}).ok
        assert "oidc_logout" not in admin.api("/configurations")
        metadata = {"auto_sbom_generation": "true", "auto_scan": "true"}
        assert admin.send("PUT", f"{API}/projects/team", json={"metadata": metadata}).ok
        assert admin.api("/projects/team")["metadata"] == {"auto_scan": "true", "public": "false"}
        path = f"{API}/projects/team/metadatas"
        assert admin.send("POST", path, json={"auto_sbom_generation": "true"}).status_code == 400
        made(admin, robot())
        assert "creator_ref" not in admin.api("/robots")[0]
    with older("v2.5.0") as harbor:
        admin = Client(harbor, harbor.user, harbor.password)
        assert admin.get(f"{API}/schedules").status_code == 404
        assert admin.get(f"{API}/system/purgeaudit/schedule").status_code == 404
        assert admin.api("/systeminfo")["banner_message"] == ""


@pytest.mark.parametrize(
    ("version", "shown"),
    [("v2.14.3", True), ("v2.14.4", False), ("v2.15.0", True), ("v2.15.1", False)],
)
def test_credentials_could_be_read_in_some_versions(version, shown):
    with older(version) as harbor, Service(load_settings_scenario()["scanner"]) as service:
        admin = Client(harbor, harbor.user, harbor.password)
        body = {"name": "s", "url": service.url, "auth": "Bearer", "access_credential": "secret"}
        assert admin.send("POST", f"{API}/scanners", json=body).status_code == 201
        assert (admin.api("/scanners")[0]["access_credential"] == "secret") == shown
        peers = {"name": "p", "vendor": "kraken", "endpoint": "http://x", "auth_mode": "BASIC"}
        peers["auth_info"] = {"password": "secret"}
        assert admin.send("POST", f"{API}/p2p/preheat/instances", json=peers).status_code == 201
        assert ("auth_info" in admin.api("/p2p/preheat/instances")[0]) == shown
