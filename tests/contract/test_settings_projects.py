"""Settings of projects: what is kept, what is dropped, what is accepted though it is wrong."""

from __future__ import annotations

import pytest

from tests.contract.bodies import HOOK, number_of, retention
from tests.contract.client import API, Client, error_of
from tests.double import HarborDouble, Image, multi_arch

TEAM = f"{API}/projects/team"
ALLOWLIST = {"items": [{"cve_id": "CVE-2"}, {"cve_id": "CVE-1"}]}
BY_NAME = {"X-Is-Resource-Name": "true"}


# -- projects and metadata ---------------------------------------------------------------------


def test_an_allowlist_is_ignored_where_a_project_is_made_and_kept_where_it_is_left_out(admin):
    body = {"project_name": "new", "cve_allowlist": ALLOWLIST}
    assert admin.send("POST", f"{API}/projects", json=body).status_code == 201
    assert admin.api("/projects/new")["cve_allowlist"]["items"] == []
    path = f"{API}/projects/new"
    assert admin.send("PUT", path, json={"cve_allowlist": ALLOWLIST}).ok
    assert admin.send("PUT", path, json={"metadata": {"auto_scan": "true"}}).ok
    assert admin.api("/projects/new")["cve_allowlist"]["items"] == ALLOWLIST["items"]
    wrong = {"cve_allowlist": {**ALLOWLIST, "project_id": 999}}
    assert admin.send("PUT", path, json=wrong).status_code == 400
    twice = {"cve_allowlist": {"items": [{"cve_id": "a"}, {"cve_id": "a"}]}}
    assert admin.send("PUT", path, json=twice).status_code == 500


def test_a_change_of_a_project_stores_metadata_whatever_they_say(admin):
    wrong = {"severity": "bogus", "public": "maybe", "unknown": "x"}
    assert admin.send("PUT", TEAM, json={"metadata": wrong}).ok
    assert admin.api("/projects/team")["metadata"] == {"public": "maybe", "severity": "unknown"}
    raw = admin.api("/projects/team/metadatas/")
    assert raw == {"public": "maybe", "severity": "bogus"}


def test_metadata_one_by_one_are_checked(admin):
    path = f"{TEAM}/metadatas"
    for body in (
        {"unknown": "x"},
        {"auto_scan": "maybe"},
        {"severity": "bogus"},
        {},
        {"a": 1, "b": 2},
    ):
        assert admin.send("POST", path, json=body).status_code == 400
    for sent, kept in (("T", "true"), ("0", "false"), ("True", "true")):
        admin.send("DELETE", f"{path}/auto_scan")
        assert admin.send("POST", path, json={"auto_scan": sent}).ok
        assert admin.api("/projects/team/metadatas/auto_scan") == {"auto_scan": kept}
    assert admin.send("POST", path, json={"auto_scan": "true"}).status_code == 409
    assert admin.send("PUT", f"{path}/prevent_vul", json={"prevent_vul": "true"}).ok
    assert "prevent_vul" not in admin.api("/projects/team/metadatas/")


def test_only_proxies_have_speeds_and_only_others_content_trust(harbor, admin):
    metadata = {"proxy_speed_kb": "100", "max_upstream_conn": "5", "enable_content_trust": "true"}
    body = {"project_name": "plain", "metadata": metadata}
    assert admin.send("POST", f"{API}/projects", json=body).status_code == 201
    assert admin.api("/projects/plain")["metadata"] == {
        "enable_content_trust": "true",
        "public": "false",
    }
    harbor.create_project("cache", registry_id=7)
    assert admin.send("PUT", f"{API}/projects/cache", json={"metadata": metadata}).ok
    shown = admin.api("/projects/cache")["metadata"]
    assert {"proxy_speed_kb", "max_upstream_conn"} < shown.keys()
    assert "enable_content_trust" not in shown


def test_a_project_is_made_public_or_not_and_nothing_else(admin):
    body = {"project_name": "new", "metadata": {"public": "maybe"}}
    assert admin.send("POST", f"{API}/projects", json=body).status_code == 400
    limit = {"project_name": "new", "storage_limit": -5}
    assert admin.send("POST", f"{API}/projects", json=limit).status_code == 400


def test_who_makes_a_project_owns_and_leads_it_for_good(harbor, admin):
    harbor.create_user("dev", "Dev-12345")
    dev = Client(harbor, "dev", "Dev-12345")
    assert dev.send("POST", f"{API}/projects", json={"project_name": "mine"}).status_code == 201
    project = admin.api("/projects/mine")
    assert project["owner_name"] == "dev"
    members = admin.api("/projects/mine/members")
    assert [(row["entity_name"], row["role_id"]) for row in members] == [("dev", 1)]
    assert admin.send("PUT", f"{API}/projects/mine", json={"owner_id": 1}).ok
    assert admin.api("/projects/mine")["owner_name"] == "dev"


def test_a_project_that_goes_takes_its_settings_along(harbor, admin):
    number = admin.api("/projects/team")["project_id"]
    admin.send("POST", f"{TEAM}/webhook/policies", json=HOOK)
    admin.send("POST", f"{API}/retentions", json=retention(number, "0 0 3 * * *"))
    robot = harbor.create_robot("both", ["team", "library"])
    only = harbor.create_robot("one", ["team"])
    assert admin.send("DELETE", TEAM).ok
    left = {row["name"]: row["permissions"] for row in admin.api("/robots")}
    assert [row["namespace"] for row in left[robot]] == ["library"]
    assert left[only] == []
    assert "RETENTION" not in [row["vendor_type"] for row in admin.api("/schedules")]


def test_a_project_of_digits_is_named_by_a_header_and_by_name_where_paths_take_names(harbor, admin):
    harbor.create_project("20240101")
    for below in ("members", "metadatas/", "immutabletagrules", "webhook/policies", "scanner"):
        path = f"{API}/projects/20240101/{below}"
        assert admin.get(path).status_code == 404
        assert admin.get(path, headers=BY_NAME).status_code == 200
    assert admin.get(f"{API}/projects/20240101/preheat/policies").status_code == 200


# -- members -----------------------------------------------------------------------------------


@pytest.fixture
def people(harbor, admin):
    """Users `dev` and `ops`, and a group, as numbers."""
    numbers = {n: harbor.create_user(n, "Secret-123").id for n in ("dev", "ops")}
    group = {"group_name": "group", "group_type": 3}
    return {**numbers, "group": number_of(admin.send("POST", f"{API}/usergroups", json=group))}


def member_names(admin: Client) -> list[str]:
    return [row["entity_name"] for row in admin.api("/projects/team/members")]


def test_members_are_sorted_by_name_and_counted_whatever_is_looked_for(admin, people):
    path = f"{TEAM}/members"
    for body in (
        {"role_id": 2, "member_user": {"username": "ops"}},
        {"role_id": 3, "member_group": {"id": people["group"]}},
        {"role_id": 4, "member_user": {"user_id": people["dev"]}},
    ):
        assert admin.send("POST", path, json=body).status_code == 201
    assert member_names(admin) == ["admin", "dev", "group", "ops"]
    found = admin.get(f"{path}?entityname=dev")
    assert [row["role_name"] for row in found.json()] == ["maintainer"]
    assert found.headers["X-Total-Count"] == "4"
    assert admin.get(f"{path}?entityname=de").json() == []


def test_a_role_that_is_none_hides_its_member_who_still_counts(admin, people):
    path = f"{TEAM}/members"
    body = {"role_id": 2, "member_user": {"username": "dev"}}
    location = admin.send("POST", path, json=body).headers["Location"]
    assert admin.send("PUT", location, json={"role_id": 9}).ok
    assert member_names(admin) == ["admin"]
    assert admin.get(path).headers["X-Total-Count"] == "2"
    assert admin.get(location).status_code == 404
    # Who is hidden is there all the same.
    assert admin.send("POST", path, json=body).status_code == 500
    assert admin.send("PUT", location, json={"role_id": 2}).ok
    assert member_names(admin) == ["admin", "dev"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"role_id": 9, "member_user": {"username": "dev"}}, 400),
        ({"role_id": 2, "member_user": {"username": "nobody"}}, 404),
        ({"role_id": 2, "member_user": {"user_id": 99}}, 400),
        ({"role_id": 2, "member_group": {"id": 99}}, 400),
        ({"role_id": 2, "member_group": {"group_name": "none", "group_type": 3}}, 404),
        ({"role_id": 2}, 500),
        ({"role_id": 2, "member_user": {"username": "admin"}}, 409),
    ],
)
def test_who_cannot_become_a_member(admin, people, body, status):
    assert admin.send("POST", f"{TEAM}/members", json=body).status_code == status


def test_a_change_of_a_member_who_is_not_there_is_accepted_and_ignored(admin):
    for method in ("PUT", "DELETE"):
        assert admin.send(method, f"{TEAM}/members/99", json={"role_id": 2}).ok
    assert member_names(admin) == ["admin"]


def test_a_group_of_oidc_is_made_where_it_becomes_a_member(admin):
    admin.send("PUT", f"{API}/configurations", json={"auth_mode": "oidc_auth"})
    body = {"role_id": 2, "member_group": {"group_name": "new", "group_type": 3}}
    assert admin.send("POST", f"{TEAM}/members", json=body).status_code == 201
    assert [group["group_name"] for group in admin.api("/usergroups")] == ["new"]
    body = {"role_id": 2, "member_user": {"username": "never-here"}}
    assert error_of(admin.send("POST", f"{TEAM}/members", json=body))[2] == (
        "never-here not found: not supported"
    )


def test_a_directory_that_is_down_is_an_error_that_nobody_expected(admin):
    admin.send("PUT", f"{API}/configurations", json={"auth_mode": "ldap_auth"})
    body = {"role_id": 2, "member_user": {"username": "unknown"}}
    assert admin.send("POST", f"{TEAM}/members", json=body).status_code == 500


# -- labels ------------------------------------------------------------------------------------


def test_a_label_may_have_no_name_until_it_is_changed(admin):
    path = admin.send("POST", f"{API}/labels", json={"scope": "g"}).headers["Location"]
    assert "name" not in admin.get(path).json()
    assert admin.send("PUT", path, json={"color": "#000000"}).status_code == 400


def test_one_name_is_a_label_in_each_scope_and_project(harbor, admin):
    other = harbor.create_project("other").id
    team = admin.api("/projects/team")["project_id"]
    for body in ({"scope": "g"}, {"scope": "p", "project_id": team}):
        assert admin.send("POST", f"{API}/labels", json={"name": "x", **body}).status_code == 201
        assert admin.send("POST", f"{API}/labels", json={"name": "x", **body}).status_code == 409
    foreign = {"name": "x", "scope": "p", "project_id": other}
    number = number_of(admin.send("POST", f"{API}/labels", json=foreign))
    harbor.push("team/app", Image("app"), "v1")
    path = f"{TEAM}/repositories/app/artifacts/v1/labels"
    assert admin.send("POST", path, json={"id": number}).status_code == 404
    assert admin.get(f"{API}/labels?scope=p").status_code == 400
    assert error_of(admin.get(f"{API}/labels"))[2] == "invalid scope: "


def test_a_change_of_a_label_replaces_all_of_it_and_shows_where_it_is_used(harbor, admin):
    harbor.push("team/app", multi_arch("app"), "v1")
    label = {"name": "x", "scope": "g", "color": "#111111", "description": "d"}
    path = admin.send("POST", f"{API}/labels", json=label).headers["Location"]
    children = "/projects/team/artifacts?with_label=true&q=base=*&sort=id"
    child = admin.api(children)[0]["digest"]
    number = {"id": int(path.rpartition("/")[2])}
    labels = f"{TEAM}/repositories/app/artifacts/{child}/labels"
    assert admin.send("POST", labels, json=number).ok
    assert admin.send("POST", labels, json=number).status_code == 409
    assert admin.api(children)[0]["labels"][0]["color"] == "#111111"
    assert admin.send("PUT", path, json={"name": "y"}).ok
    (shown,) = admin.api(children)[0]["labels"]
    assert (shown["name"], "color" in shown, "description" in shown) == ("y", False, False)
    assert admin.send("DELETE", path).ok
    assert admin.api(children)[0]["labels"] is None


# -- who may read ------------------------------------------------------------------------------


def test_who_leads_a_project_reads_its_settings_but_for_raw_metadata(harbor: HarborDouble, admin):
    harbor.create_user("lead", "Lead-12345")
    harbor.state.add_member("team", "lead", 1)
    lead = Client(harbor, "lead", "Lead-12345")
    number = admin.api("/projects/team")["project_id"]
    policy = number_of(admin.send("POST", f"{API}/retentions", json=retention(number)))
    for path in (
        "/projects/team/members", f"/labels?scope=p&project_id={number}",
        f"/robots?q=Level=project,ProjectID={number}", f"/retentions/{policy}",
        "/projects/team/immutabletagrules", "/projects/team/webhook/policies",
        "/projects/team/preheat/policies", "/projects/team/scanner", "/permissions",
    ):  # fmt: skip
        assert lead.get(API + path).status_code == 200, path
    assert "quota" in lead.api("/projects/team/summary")
    assert lead.api("/permissions").keys() == {"project"}
    assert error_of(lead.get(f"{TEAM}/metadatas/"))[0] == 403
    for path in ("/users", "/robots", "/quotas", "/registries", "/configurations"):
        assert error_of(lead.get(API + path))[:2] == (403, "FORBIDDEN")
