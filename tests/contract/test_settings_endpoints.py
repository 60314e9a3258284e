"""Settings that point to something else: registries, scanners, providers; what needs them."""

from __future__ import annotations

import json

import pytest

from tests.contract.bodies import number_of
from tests.contract.client import API, Client, error_of
from tests.contract.settings_replay import Service, load_settings_scenario
from tests.double import ROBOT_SECRET, HarborDouble

REGISTRIES = f"{API}/registries"
POLICIES = f"{API}/replication/policies"
INSTANCES = f"{API}/p2p/preheat/instances"
SCANNERS = f"{API}/scanners"
NOBODY = "http://127.0.0.1:1"
CRON = "0 0 3 * * *"


@pytest.fixture(scope="module")
def service():
    """A server that is always well, but below `/ill`."""
    with Service(load_settings_scenario()["scanner"]) as service:
        yield service.url


def registry(url: str, name: str = "upstream", **more) -> dict:
    return {"name": name, "type": "docker-registry", "url": url, **more}


@pytest.fixture
def upstream(admin, service) -> int:
    """Number of a registry."""
    return number_of(admin.send("POST", REGISTRIES, json=registry(service)))


# -- registries --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({}, 201),
        ({"url": NOBODY}, 400),
        ({"type": "bogus"}, 500),
        ({"type": "docker-hub"}, 201),
        ({"type": "harbor"}, 400),
        ({"name": ""}, 400),
        ({"name": "x" * 65}, 400),
        ({"url": "ftp://127.0.0.1"}, 400),
        ({"url": ""}, 400),
        ({"ca_certificate": "no PEM"}, 400),
    ],
)
def test_a_registry_is_looked_at_before_it_is_stored(admin, service, change, status):
    answer = admin.send("POST", REGISTRIES, json={**registry(service), **change})
    assert answer.status_code == status
    assert len(admin.api("/registries")) == (status == 201)


def test_a_registry_that_falls_ill_cannot_be_changed(admin, service, upstream):
    path = f"{REGISTRIES}/{upstream}"
    refused = admin.send("PUT", path, json={"url": f"{service}/ill", "description": "new"})
    assert error_of(refused) == (400, "BAD_REQUEST", "the registry is unhealthy")
    assert "description" not in admin.get(path).json()
    assert admin.send("PUT", path, json={"description": "new"}).ok
    assert admin.get(path).json()["description"] == "new"


def test_another_harbor_has_to_know_the_login(admin):
    with HarborDouble() as other:
        robot = other.create_robot("pull")
        login = {"type": "basic", "access_key": robot, "access_secret": ROBOT_SECRET}
        body = registry(other.url + "/", type="harbor", credential=login)
        for wrong in ({**login, "access_secret": "wrong"}, {}):
            answer = admin.send("POST", REGISTRIES, json={**body, "credential": wrong})
            assert answer.status_code == 400
        path = admin.send("POST", REGISTRIES, json=body).headers["Location"]
        assert admin.get(path).json()["url"] == other.url
        masked = {"type": "basic", "access_key": robot, "access_secret": "*****"}
        assert admin.get(path).json()["credential"] == masked
        # The mask is no secret that the other one knows; a plain registry would take it.
        assert admin.send("PUT", path, json={"access_secret": "*****"}).status_code == 400
        assert admin.send("PUT", path, json={"description": "kept"}).ok


def test_a_registry_that_is_a_double_behind_basic_login_is_well(admin):
    with HarborDouble() as other:
        login = {"type": "basic", "access_key": other.user, "access_secret": other.password}
        body = registry(other.url, credential=login)
        assert admin.send("POST", REGISTRIES, json=body).status_code == 201
        nobody = {**registry(other.url, "second"), "credential": {}}
        assert admin.send("POST", REGISTRIES, json=nobody).status_code == 400


def test_a_change_of_a_registry_takes_the_mask_for_a_secret_and_nothing_for_none(
    harbor, admin, service
):
    login = {"type": "basic", "access_key": "user", "access_secret": "secret"}
    path = admin.send("POST", REGISTRIES, json=registry(service, credential=login))
    path = path.headers["Location"]
    (row,) = harbor.state.registries.rows.values()
    assert admin.send("PUT", path, json={"description": "d"}).ok
    assert row["credential"]["access_secret"] == "secret"
    assert admin.send("PUT", path, json={"access_secret": "*****"}).ok
    assert row["credential"]["access_secret"] == "*****"
    nothing = dict.fromkeys(("credential_type", "access_key", "access_secret"), "")
    assert admin.send("PUT", path, json=nothing).ok
    assert admin.get(path).json()["credential"] == {}


def test_registries_come_in_no_order_unless_one_is_asked_for(admin, service):
    paths = [
        admin.send("POST", REGISTRIES, json=registry(service, name)).headers["Location"]
        for name in ("a", "b", "c")
    ]
    admin.send("PUT", paths[0], json={"description": "changed"})
    assert [row["name"] for row in admin.api("/registries")] == ["b", "c", "a"]
    assert [row["name"] for row in admin.api("/registries?sort=id")] == ["a", "b", "c"]


def test_a_registry_can_be_looked_at_without_being_stored(admin, service, upstream):
    ping = f"{REGISTRIES}/ping"
    assert admin.send("POST", ping, json={"id": upstream}).ok
    assert admin.send("POST", ping, json={"id": upstream, "url": NOBODY}).status_code == 400
    assert admin.send("POST", ping, json={"type": "quay", "url": service}).ok


# -- proxy caches and replication --------------------------------------------------------------


def test_a_proxy_cache_comes_with_a_retention_of_its_own(harbor, admin, upstream):
    body = {"project_name": "cache", "registry_id": upstream}
    assert admin.send("POST", f"{API}/projects", json=body).status_code == 201
    number = admin.api("/projects/cache")["metadata"]["retention_id"]
    (rule,) = admin.api(f"/retentions/{number}")["rules"]
    assert rule["params"] == {"nDaysSinceLastPull": 7}
    assert admin.send("DELETE", f"{REGISTRIES}/{upstream}").status_code == 412
    for wrong in (0, -1):
        answer = admin.send("POST", f"{API}/projects", json={**body, "registry_id": wrong})
        assert answer.status_code == 400
    missing = {"project_name": "other", "registry_id": 99}
    assert admin.send("POST", f"{API}/projects", json=missing).status_code == 500
    # Made by a test, it has one as well.
    harbor.create_project("by-test", registry_id=upstream)
    assert "retention_id" in admin.api("/projects/by-test")["metadata"]


def policy(upstream: int, **more) -> dict:
    return {"name": "p", "src_registry": {"id": upstream}, "enabled": True, **more}


def scheduled(cron: str) -> dict:
    return {"type": "scheduled", "trigger_settings": {"cron": cron}}


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({}, 201),
        ({"dest_registry": {"id": 1}}, 400),
        ({"src_registry": None}, 400),
        ({"src_registry": {"id": 99}}, 404),
        ({"name": ""}, 400),
        ({"trigger": {"type": "bogus"}}, 400),
        ({"trigger": scheduled("0 * * * * *")}, 400),
        ({"trigger": scheduled("5 0 * * * *")}, 400),
        ({"trigger": scheduled("x")}, 400),
        ({"trigger": {"type": "scheduled"}}, 400),
        ({"trigger": {"type": "event_based"}, "single_active_replication": True}, 500),
        ({"filters": [{"type": "bogus", "value": "x"}]}, 400),
    ],
)
def test_policies_of_replication_are_checked(admin, upstream, change, status):
    answer = admin.send("POST", POLICIES, json={**policy(upstream), **change})
    assert answer.status_code == status


def test_whether_deletions_are_replicated_is_written_under_one_of_its_two_names(admin, upstream):
    body = policy(upstream, replicate_deletion=True, speed=-5)
    path = admin.send("POST", POLICIES, json=body).headers["Location"]
    read = admin.get(path).json()
    assert not {"deletion", "replicate_deletion"} & read.keys()
    assert (read["filters"], read["speed"], read["dest_namespace_replace_count"]) == (None, 0, -1)
    assert (read["dest_registry"]["id"], read["dest_registry"]["name"]) == (0, "Local")
    assert admin.send("PUT", path, json={**body, "deletion": True}).ok
    read = admin.get(path).json()
    assert (read["deletion"], read["replicate_deletion"]) == (True, True)


def test_a_scheduled_policy_is_scheduled_at_once_and_no_more_when_it_goes(admin, upstream):
    def crons() -> list[str]:
        rows = admin.api("/schedules")
        return [row["cron"] for row in rows if row["vendor_type"] == "REPLICATION"]

    body = policy(upstream, trigger=scheduled(CRON))
    path = admin.send("POST", POLICIES, json=body).headers["Location"]
    assert crons() == [CRON]
    changed = {**body, "trigger": scheduled("0 30 4 * * *")}
    assert admin.send("PUT", path, json=changed).ok
    assert crons() == ["0 30 4 * * *"]
    assert admin.send("DELETE", f"{REGISTRIES}/{upstream}").status_code == 412
    assert admin.send("DELETE", path).ok
    assert crons() == []
    assert admin.send("DELETE", f"{REGISTRIES}/{upstream}").ok


# -- preheat -----------------------------------------------------------------------------------


def instance(**more) -> dict:
    body = {"name": "peers", "vendor": "kraken", "endpoint": NOBODY, "enabled": True}
    return {**body, "auth_mode": "BASIC", "auth_info": {"password": "secret"}, **more}


def preheat(provider: int, **more) -> dict:
    return {
        "name": "all",
        "provider_id": provider,
        "enabled": True,
        "filters": json.dumps([{"type": "repository", "value": "**"}]),
        "trigger": json.dumps({"type": "scheduled", "trigger_setting": {"cron": CRON}}),
        **more,
    }


def test_a_provider_is_not_looked_at_and_its_login_never_shown(harbor, admin):
    assert admin.send("POST", INSTANCES, json=instance()).status_code == 201
    (row,) = admin.api("/p2p/preheat/instances")
    assert row["status"] == "Unknown"
    assert "auth_info" not in row
    again = instance(name="other")
    assert admin.send("POST", INSTANCES, json=again).status_code == 500
    path = f"{INSTANCES}/peers"
    assert admin.send("PUT", path, json=instance(description="d")).status_code == 404
    change = instance(id=row["id"], description="d", auth_info={})
    assert admin.send("PUT", path, json=change).ok
    (kept,) = harbor.state.preheat_instances.rows.values()
    assert kept["auth_info"] == {"password": "secret"}
    assert "setup_timestamp" not in admin.get(path).json()
    other_vendor = {**change, "vendor": "dragonfly"}
    assert admin.send("PUT", path, json=other_vendor).status_code == 500


def test_a_provider_that_is_used_stays_and_stays_on(admin):
    admin.send("POST", INSTANCES, json=instance())
    number = admin.api("/p2p/preheat/instances")[0]["id"]
    path = f"{API}/projects/team/preheat/policies"
    assert admin.send("POST", path, json=preheat(99)).status_code == 404
    assert admin.send("POST", path, json=preheat(number)).status_code == 201
    assert admin.send("POST", path, json=preheat(number)).status_code == 409
    off = instance(id=number, enabled=False)
    assert admin.send("PUT", f"{INSTANCES}/peers", json=off).status_code == 412
    assert admin.send("DELETE", f"{INSTANCES}/peers").status_code == 412
    assert admin.send("DELETE", f"{path}/all").ok
    assert admin.send("DELETE", f"{INSTANCES}/peers").ok


def test_the_trigger_of_a_preheat_policy_is_written_down_anew_once(admin):
    admin.send("POST", INSTANCES, json=instance())
    number = admin.api("/p2p/preheat/instances")[0]["id"]
    path = f"{API}/projects/team/preheat/policies"
    sent = preheat(number)
    assert admin.send("POST", path, json=sent).status_code == 201
    made = admin.get(f"{path}/all").json()
    assert made["trigger"] == '{"type":"scheduled","trigger_setting":{"cron":"0 0 3 * * *"}}'
    assert made["filters"] == sent["filters"]
    assert made["provider_name"] == "peers"
    assert admin.send("PUT", f"{path}/all", json={**sent, "id": made["id"]}).ok
    assert admin.get(f"{path}/all").json()["trigger"] == sent["trigger"]


# -- scanners ----------------------------------------------------------------------------------


def scanner(url: str, name: str = "one", **more) -> dict:
    return {"name": name, "url": url, **more}


def test_a_scanner_is_looked_at_when_it_is_made_and_not_when_it_is_changed(admin, service):
    assert admin.send("POST", SCANNERS, json=scanner(NOBODY)).status_code == 500
    assert admin.send("POST", SCANNERS, json=scanner(f"{service}/ill")).status_code == 500
    path = admin.send("POST", SCANNERS, json=scanner(service)).headers["Location"]
    assert admin.send("PUT", path, json=scanner(NOBODY)).ok
    assert admin.get(path).json()["capabilities"] is None
    assert admin.send("POST", f"{SCANNERS}/ping", json=scanner(service)).ok
    assert admin.send("POST", f"{SCANNERS}/ping", json=scanner(NOBODY)).status_code == 500


def test_the_first_scanner_is_the_default_and_another_one_when_asked(admin, service):
    paths = [
        admin.send("POST", SCANNERS, json=scanner(f"{service}/{name}", name)).headers["Location"]
        for name in ("one", "two")
    ]

    def defaults() -> list[str]:
        return [row["name"] for row in admin.api("/scanners?sort=name") if row["is_default"]]

    assert defaults() == ["one"]
    assert admin.send("PATCH", paths[1], json={"is_default": False}).ok
    assert defaults() == ["one"]
    assert admin.send("PATCH", paths[1], json={"is_default": True}).ok
    assert defaults() == ["two"]
    off = scanner(f"{service}/two", "two", disabled=True)
    assert admin.send("PUT", paths[1], json=off).status_code == 500
    assert admin.send("DELETE", paths[1]).ok
    assert defaults() == []


def test_the_credential_of_a_scanner_is_wanted_once_and_never_shown(harbor, admin, service):
    body = scanner(service, auth="Bearer")
    assert admin.send("POST", SCANNERS, json=body).status_code == 400
    with_one = {**body, "access_credential": "secret"}
    path = admin.send("POST", SCANNERS, json=with_one).headers["Location"]
    assert admin.get(path).json()["access_credential"] == ""
    assert admin.send("PUT", path, json=body).ok
    (row,) = harbor.state.scanners.rows.values()
    assert row["access_credential"] == "secret"
    taken = scanner(service, "other")
    assert error_of(admin.send("POST", SCANNERS, json=taken))[:2] == (409, "UNKNOWN")


def test_a_project_shows_the_default_scanner_until_it_has_its_own(admin, service):
    path = f"{API}/projects/team/scanner"
    assert admin.get(path).content == b""
    for name in ("one", "two"):
        admin.send("POST", SCANNERS, json=scanner(f"{service}/{name}", name))
    assert admin.get(path).json()["name"] == "one"
    two = next(row["uuid"] for row in admin.api("/scanners") if row["name"] == "two")
    assert admin.send("PUT", path, json={"uuid": two}).ok
    assert admin.get(path).json()["name"] == "two"
    assert admin.api("/projects/team/metadatas/")["projectScanner"] == two
    assert "projectScanner" not in admin.api("/projects/team")["metadata"]
    assert admin.send("DELETE", f"{SCANNERS}/{two}").ok
    # It is forgotten when somebody looks.
    assert "projectScanner" in admin.api("/projects/team/metadatas/")
    assert admin.get(path).json()["name"] == "one"
    assert "projectScanner" not in admin.api("/projects/team/metadatas/")


def test_the_scanner_that_comes_with_harbor_cannot_be_changed(harbor, admin, service):
    harbor.state.scanners.add(
        **scanner(service, "Trivy"), auth="", access_credential="", description="",
        disabled=False, immutable=True, is_default=True, skip_certVerify=False,
        use_internal_addr=True, uuid="trivy",
    )  # fmt: skip
    path = f"{SCANNERS}/trivy"
    for method in ("PUT", "DELETE"):
        answer = admin.send(method, path, json=scanner(service, "Trivy"))
        assert error_of(answer)[:2] == (403, "FORBIDDEN")
    assert admin.send("PATCH", path, json={"is_default": True}).ok
    assert admin.send("POST", SCANNERS, json=scanner(service, "Trivy")).status_code == 400


def test_scans_of_all_are_scheduled_once_there_is_a_scanner(admin, service):
    admin.send("POST", SCANNERS, json=scanner(service))
    path = f"{API}/system/scanAll/schedule"
    assert (admin.get(path).status_code, admin.get(path).content) == (200, b"")
    weekly = {"schedule": {"type": "Weekly", "cron": "0 0 0 * * 0"}}
    assert admin.send("PUT", path, json=weekly).ok
    number = admin.get(path).json()["id"]
    assert admin.send("PUT", path, json=weekly).ok
    assert admin.get(path).json()["id"] == number
    assert admin.send("POST", path, json=weekly).status_code == 412
    manual = {"schedule": {"type": "Manual"}}
    assert admin.send("PUT", path, json=manual).status_code == 400


def test_who_asks_waits_for_what_is_asked_and_nobody_else(harbor: HarborDouble, admin, service):
    """A double can be a registry of itself: it answers while it asks."""
    login = {"type": "basic", "access_key": harbor.user, "access_secret": harbor.password}
    body = registry(harbor.url, type="harbor", credential=login)
    assert admin.send("POST", REGISTRIES, json=body).status_code == 201
    assert Client(harbor).get(f"{API}/ping").text == "Pong"
