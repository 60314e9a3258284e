"""Settings of the whole system: what is checked, what is ignored, what order it takes."""

from __future__ import annotations

import pytest
import requests

from tests.contract.client import API, Client, error_of
from tests.double import ROBOT_SECRET, HarborDouble

CONFIGURATIONS = f"{API}/configurations"
ALICE = {"username": "alice", "email": "a@example.com", "realname": "A", "password": "Secret-123"}


def configure(admin: Client, **values) -> requests.Response:
    return admin.send("PUT", CONFIGURATIONS, json=values)


def configured(admin: Client, name: str):
    return admin.api("/configurations")[name]["value"]


# -- configurations ----------------------------------------------------------------------------


def test_what_is_no_configuration_is_accepted_and_ignored(admin):
    before = admin.api("/configurations")
    assert configure(admin, bogus=1, hostname="x", scan_all_policy={"type": "daily"}).ok
    assert admin.api("/configurations") == before
    assert before["scan_all_policy"] == {}


def test_secrets_of_the_configuration_can_be_written_but_for_one_never_read(admin):
    secrets = ("ldap_search_password", "oidc_client_secret", "uaa_client_secret")
    assert configure(admin, **dict.fromkeys(secrets, "hidden")).ok
    assert {name for name in secrets if name in admin.api("/configurations")} == {
        "uaa_client_secret"
    }


def test_putting_back_all_that_was_read_fails_where_there_is_no_ldap(admin):
    read = {name: each["value"] for name, each in admin.api("/configurations").items() if each}
    refused = configure(admin, **read)
    assert error_of(refused)[:2] == (400, "BAD_REQUEST")
    assert "the configure value can not be empty" in refused.text
    filled = dict.fromkeys(("ldap_url", "ldap_base_dn"), "x")
    assert configure(admin, **read | filled).ok
    # Once set, they cannot be emptied again.
    assert configure(admin, ldap_url="").status_code == 400


def test_changes_are_stored_together_or_not_at_all(admin):
    assert configure(admin, session_timeout=91, token_expiration=0).status_code == 400
    assert configured(admin, "session_timeout") == 60


def test_an_audit_endpoint_is_stored_and_then_dialled(admin, harbor):
    refused = configure(admin, audit_log_forward_endpoint="127.0.0.1:1")
    assert refused.status_code == 400
    assert configured(admin, "audit_log_forward_endpoint") == "127.0.0.1:1"
    assert configure(admin, audit_log_forward_endpoint=harbor.url.partition("://")[2]).ok


@pytest.mark.parametrize(
    ("name", "value", "status"),
    [
        ("session_timeout", "90", 422),
        ("read_only", "true", 422),
        ("banner_message", 1, 422),
        ("storage_per_project", 0, 400),
        ("storage_per_project", -2, 400),
        ("storage_per_project", -1, 200),
        ("ldap_scope", 3, 400),
        ("project_creation_restriction", "nobody", 400),
        ("oidc_extra_redirect_parms", "no json", 400),
        ("robot_token_duration", 0, 400),
    ],
)
def test_values_are_checked(admin, name, value, status):
    assert configure(admin, **{name: value}).status_code == status


def test_the_mode_of_login_is_fixed_as_soon_as_there_is_a_user(admin):
    assert admin.api("/configurations")["auth_mode"]["editable"] is True
    assert configure(admin, auth_mode="oidc_auth").ok
    assert configure(admin, auth_mode="db_auth").ok
    location = admin.send("POST", f"{API}/users", json=ALICE).headers["Location"]
    assert admin.api("/configurations")["auth_mode"]["editable"] is False
    assert configure(admin, auth_mode="oidc_auth").status_code == 400
    assert configure(admin, auth_mode="db_auth").ok
    assert admin.send("DELETE", location).ok
    assert configure(admin, auth_mode="oidc_auth").ok


def test_a_configuration_that_is_given_can_be_read_only(harbor, admin):
    harbor.state.configuration_is_given = True
    assert not any(each["editable"] for each in admin.api("/configurations").values() if each)
    assert error_of(configure(admin, session_timeout=90))[:2] == (403, "FORBIDDEN")


def test_no_robot_reads_the_configuration(harbor):
    everything = [{"resource": "configuration", "action": "read"}]
    permissions = [{"kind": "system", "namespace": "/", "access": everything}]
    body = {"name": "all", "level": "system", "duration": -1, "permissions": permissions}
    admin = Client(harbor, harbor.user, harbor.password)
    assert admin.send("POST", f"{API}/robots", json=body).status_code == 400
    robot = Client(harbor, harbor.create_robot("all"), ROBOT_SECRET)
    assert error_of(robot.get(CONFIGURATIONS)) == (403, "FORBIDDEN", "robot$all")
    assert admin.get(f"{API}/internalconfig").status_code == 401


# -- the allowlist -----------------------------------------------------------------------------


def test_the_allowlist_of_the_system_is_replaced_and_keeps_its_order(admin):
    path = f"{API}/system/CVEAllowlist"
    first = {"items": [{"cve_id": "b"}, {"cve_id": "a"}], "expires_at": 4102444800}
    assert admin.send("PUT", path, json=first).ok
    assert admin.api("/system/CVEAllowlist")["items"] == first["items"]
    assert admin.send("PUT", path, json={"items": [{"cve_id": "any text"}]}).ok
    replaced = admin.api("/system/CVEAllowlist")
    assert replaced["items"] == [{"cve_id": "any text"}]
    assert "expires_at" not in replaced


def test_an_allowlist_that_was_never_set_has_neither_number_nor_time(admin):
    assert admin.api("/system/CVEAllowlist") == {
        "creation_time": "0001-01-01T00:00:00.000Z",
        "items": [],
        "update_time": "0001-01-01T00:00:00.000Z",
    }


# -- users and groups --------------------------------------------------------------------------


def test_the_first_administrator_is_never_listed(admin):
    assert admin.api("/users") == []
    admin.send("POST", f"{API}/users", json=ALICE)
    assert [user["username"] for user in admin.api("/users")] == ["alice"]


def test_a_profile_is_replaced_as_a_whole(admin):
    path = admin.send("POST", f"{API}/users", json={**ALICE, "comment": "kept"}).headers["Location"]
    assert admin.send("PUT", path, json={"email": "b@example.com"}).status_code == 400
    changed = {"email": "b@example.com", "realname": "B"}
    assert admin.send("PUT", path, json=changed).ok
    assert "comment" not in admin.get(path).json()


def test_an_email_that_another_has_is_a_conflict_first_and_breaks_a_change(admin):
    admin.send("POST", f"{API}/users", json=ALICE)
    bob = {**ALICE, "username": "bob"}
    assert admin.send("POST", f"{API}/users", json=bob).status_code == 409
    path = admin.send("POST", f"{API}/users", json={**bob, "email": "b@example.com"})
    taken = {"email": ALICE["email"], "realname": "B"}
    assert admin.send("PUT", path.headers["Location"], json=taken).status_code == 500


def test_a_user_who_is_deleted_leaves_name_and_email_but_no_membership(harbor, admin):
    path = admin.send("POST", f"{API}/users", json=ALICE).headers["Location"]
    harbor.state.add_member("team", "alice", 2)
    assert admin.send("DELETE", path).ok
    assert admin.send("POST", f"{API}/users", json=ALICE).headers["Location"] != path
    members = admin.get(f"{API}/projects/team/members")
    assert [member["entity_name"] for member in members.json()] == ["admin"]


def test_local_users_are_made_where_harbor_keeps_them_itself(admin):
    configure(admin, auth_mode="oidc_auth")
    text = "creating local user is not allowed under auth mode: oidc_auth"
    assert error_of(admin.send("POST", f"{API}/users", json=ALICE)) == (403, "FORBIDDEN", text)


def test_whoever_may_update_users_makes_administrators(harbor, admin):
    path = admin.send("POST", f"{API}/users", json=ALICE).headers["Location"]
    access = [{"resource": "user", "action": "update"}]
    permissions = [{"kind": "system", "namespace": "/", "access": access}]
    robot = harbor.state.create_robot("root", permissions, secret=ROBOT_SECRET)
    client = Client(harbor, robot.name, ROBOT_SECRET)
    assert client.send("PUT", f"{path}/sysadmin", json={"sysadmin_flag": True}).ok
    assert Client(harbor, "alice", ALICE["password"]).get(CONFIGURATIONS).ok


def test_a_user_changes_the_own_password_with_the_old_one(harbor, admin):
    path = admin.send("POST", f"{API}/users", json=ALICE).headers["Location"]
    alice = Client(harbor, "alice", ALICE["password"])
    assert alice.send(
        "PUT", f"{path}/password", json={"new_password": "Other-123"}
    ).status_code == (403)
    both = {"new_password": "Other-123", "old_password": ALICE["password"]}
    assert alice.send("PUT", f"{path}/password", json=both).ok
    assert alice.get(f"{API}/users/current").status_code == 401
    assert admin.send("PUT", f"{path}/password", json={"new_password": "weak"}).status_code == 400


def test_a_user_of_oidc_shows_the_secret_for_programs_one_at_a_time(harbor, admin):
    configure(admin, auth_mode="oidc_auth")
    user = harbor.state.create_user("carol", "", email="c@example.com", cli_secret="Cli-12345")
    one = admin.api(f"/users/{user.id}")
    assert one["oidc_user_meta"]["secret"] == "Cli-12345"
    assert "oidc_user_meta" not in admin.api("/users")[0]


def test_nobody_who_asks_for_a_user_breaks_the_server(harbor):
    anonymous = Client(harbor)
    for method in ("GET", "PUT"):
        answer = anonymous.send(method, f"{API}/users/1", json={})
        assert (answer.status_code, answer.content) == (500, b"")
    assert error_of(anonymous.send("DELETE", f"{API}/users/1"))[0] == 401


def test_names_of_groups_are_unique_over_their_types(admin):
    path = f"{API}/usergroups"
    assert admin.send("POST", path, json={"group_name": "g", "group_type": 3}).status_code == 201
    assert admin.send("POST", path, json={"group_name": "g", "group_type": 3}).status_code == 409
    assert admin.send("POST", path, json={"group_name": "g", "group_type": 2}).status_code == 500
    assert admin.send("POST", path, json={"group_name": "l", "group_type": 1}).status_code == 400
    assert admin.send("POST", path, json={"group_type": 3}).status_code == 400
    other = admin.send("POST", path, json={"group_name": "h", "group_type": 2}).headers["Location"]
    assert admin.send("PUT", other, json={"group_name": "g"}).status_code == 500
    assert admin.get(other).json() == {"group_name": "h", "group_type": 2}


def test_the_mode_of_login_decides_which_groups_are_listed(admin):
    for name, kind in (("http", 2), ("oidc", 3)):
        body = {"group_name": name, "group_type": kind}
        admin.send("POST", f"{API}/usergroups", json=body)
    assert len(admin.api("/usergroups")) == 2
    configure(admin, auth_mode="http_auth")
    assert [group["group_name"] for group in admin.api("/usergroups")] == ["http"]
    configure(admin, auth_mode="ldap_auth")
    assert admin.api("/usergroups") == []


# -- schedules ---------------------------------------------------------------------------------


def test_a_schedule_without_a_time_is_an_empty_answer(admin):
    for name in ("gc", "purgeaudit"):
        answer = admin.get(f"{API}/system/{name}/schedule")
        assert (answer.status_code, answer.content) == (200, b"")


def test_without_a_scanner_there_is_no_schedule_to_scan_all(admin):
    for method in ("GET", "POST", "PUT"):
        answer = admin.send(method, f"{API}/system/scanAll/schedule", json={"schedule": {}})
        assert error_of(answer)[:2] == (412, "PRECONDITION")


def test_garbage_collection_forgets_that_it_was_no_dry_run(admin):
    path = f"{API}/system/gc/schedule"
    schedule = {"type": "Custom", "cron": "0 30 4 * * 6"}
    for dry_run in (False, True):
        parameters = {"dry_run": dry_run, "workers": 3}
        assert admin.send("PUT", path, json={"schedule": schedule, "parameters": parameters}).ok
        row = admin.get(path).json()
        assert ("dry_run" in row["job_parameters"]) == dry_run
    assert row["job_kind"] == "0 30 4 * * 6"
    assert row["schedule"]["next_scheduled_time"] > row["creation_time"]
    bad = {"schedule": schedule, "parameters": {"workers": 11}}
    assert admin.send("PUT", path, json=bad).status_code == 400
    number = row["id"]
    assert admin.send("PUT", path, json={"schedule": schedule}).ok
    assert admin.get(path).json()["id"] != number
    assert admin.send("PUT", path, json={"schedule": {"type": "None"}}).ok
    assert admin.get(path).content == b""


def test_a_purge_needs_its_parameters_even_to_be_switched_off(admin):
    path = f"{API}/system/purgeaudit/schedule"
    off = {"schedule": {"type": "None"}}
    assert admin.send("PUT", path, json=off).status_code == 400
    least = {"audit_retention_hour": 1, "include_event_types": ""}
    assert admin.send("PUT", path, json={**off, "parameters": least}).ok


def test_all_schedules_are_listed_with_what_harbor_has_of_its_own(admin):
    vendors = [row["vendor_type"] for row in admin.api("/schedules")]
    assert vendors == ["EXECUTION_SWEEP", "SYSTEM_ARTIFACT_CLEANUP"]
    schedule = {"schedule": {"type": "Hourly", "cron": "0 0 * * * *"}}
    admin.send("POST", f"{API}/system/gc/schedule", json=schedule)
    assert "GARBAGE_COLLECTION" in [row["vendor_type"] for row in admin.api("/schedules")]


# -- read only, sessions -----------------------------------------------------------------------


def test_read_only_refuses_every_write_but_that_of_the_configuration(harbor, admin):
    harbor.state.read_only = True
    refusal = (403, "DENIED", "The system is in read only mode. Any modification is prohibited.")
    for method, path in (
        ("POST", "/users"), ("POST", "/projects"), ("PUT", "/projects/team"), ("POST", "/labels"),
        ("POST", "/robots"), ("PUT", "/system/CVEAllowlist"), ("POST", "/retentions"),
        ("POST", "/registries"), ("PUT", "/system/gc/schedule"), ("DELETE", "/users/2"),
        ("POST", "/projects/team/webhook/policies"), ("PUT", "/quotas/1"),
    ):  # fmt: skip
        assert error_of(admin.send(method, API + path, json={})) == refusal
    assert admin.api("/projects/team")["name"] == "team"
    assert configure(admin, read_only=False).ok


def logged_in(harbor: HarborDouble) -> requests.Session:
    session = requests.Session()
    for _ in range(2):
        answer = session.get(f"{harbor.url}{API}/systeminfo", timeout=120)
    session.headers["X-Harbor-CSRF-Token"] = answer.headers["X-Harbor-CSRF-Token"]
    form = {"principal": harbor.user, "password": harbor.password}
    assert session.post(f"{harbor.url}/c/login", data=form, timeout=120).status_code == 200
    return session


def test_an_administrator_can_log_in_once_and_send_cookies(harbor):
    with logged_in(harbor) as session:
        url = f"{harbor.url}{CONFIGURATIONS}"
        assert session.get(url, timeout=120).status_code == 200
        # The token that came before the login is good for what is written after it.
        assert session.put(url, json={"session_timeout": 90}, timeout=120).status_code == 200
        del session.headers["X-Harbor-CSRF-Token"]
        refused = session.put(url, json={"session_timeout": 91}, timeout=120)
        assert error_of(refused) == (403, "FORBIDDEN", "CSRF token not found in request")
        session.get(f"{harbor.url}/c/log_out", timeout=120)
        assert session.get(url, timeout=120).status_code == 401


def test_a_session_is_quick_where_logins_are_slow(harbor):
    with logged_in(harbor) as session:
        harbor.state.login_seconds = 30
        assert session.get(f"{harbor.url}{CONFIGURATIONS}", timeout=120).status_code == 200


def test_the_login_form_wants_a_token_and_a_right_password(harbor):
    form = {"principal": harbor.user, "password": harbor.password}
    assert requests.post(f"{harbor.url}/c/login", data=form, timeout=120).status_code == 403
    with requests.Session() as session:
        answer = session.get(f"{harbor.url}/c/log_out", timeout=120)
        token = {"X-Harbor-CSRF-Token": answer.headers["X-Harbor-CSRF-Token"]}
        wrong = {**form, "password": "wrong"}
        url = f"{harbor.url}/c/login"
        assert session.post(url, data=wrong, headers=token, timeout=120).status_code == 401
        assert session.post(url, data=form, headers=token, timeout=120).status_code == 200
