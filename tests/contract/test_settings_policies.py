"""What projects have of policies: retention, immutability, webhooks, quotas."""

from __future__ import annotations

import pytest

from tests.contract.bodies import HOOK, RULE, number_of, retention
from tests.contract.client import API, error_of
from tests.double import Image

TEAM = f"{API}/projects/team"


# -- retention ---------------------------------------------------------------------------------


def test_a_project_has_one_retention_and_its_metadata_name_it(admin):
    number = admin.api("/projects/team")["project_id"]
    policy = number_of(admin.send("POST", f"{API}/retentions", json=retention(number)))
    assert admin.api("/projects/team")["metadata"]["retention_id"] == str(policy)
    again = admin.send("POST", f"{API}/retentions", json=retention(number))
    text = f"bad request: project {number} already has retention policy {policy}"
    assert error_of(again) == (400, "BAD_REQUEST", text)
    for wrong in ("999", str(policy + 1)):
        change = {"metadata": {"retention_id": wrong}}
        assert admin.send("PUT", TEAM, json=change).status_code == 400
    assert admin.send("PUT", TEAM, json={"metadata": {"retention_id": str(policy)}}).ok
    assert admin.send("DELETE", f"{API}/retentions/{policy}").ok
    assert "retention_id" not in admin.api("/projects/team")["metadata"]
    assert admin.get(f"{API}/retentions/{policy}").status_code == 500


def test_rules_of_a_retention_keep_their_order_and_are_at_most_fifteen(admin):
    number = admin.api("/projects/team")["project_id"]
    rules = [retention(number, params={"latestPushedK": n})["rules"][0] for n in range(16)]
    whole = retention(number)
    assert admin.send("POST", f"{API}/retentions", json={**whole, "rules": rules}).status_code == (
        400
    )
    twice = {**whole, "rules": [rules[0], rules[0]]}
    assert admin.send("POST", f"{API}/retentions", json=twice).status_code == 409
    assert admin.send("POST", f"{API}/retentions", json=retention(999)).status_code in (400, 404)
    three = {**whole, "rules": rules[2::-1]}
    policy = number_of(admin.send("POST", f"{API}/retentions", json=three))
    read = admin.api(f"/retentions/{policy}")["rules"]
    assert [rule["params"]["latestPushedK"] for rule in read] == [2, 1, 0]
    assert [rule.get("id") for rule in read] == [None, 1, 2]


def test_a_retention_is_scheduled_with_its_cron(admin):
    number = admin.api("/projects/team")["project_id"]
    policy = number_of(admin.send("POST", f"{API}/retentions", json=retention(number)))
    settings = admin.api(f"/retentions/{policy}")["trigger"]["settings"]
    assert settings == {"cron": ""}
    path = f"{API}/retentions/{policy}"
    assert admin.send("PUT", path, json=retention(number, "0 0 3 * * *")).ok
    settings = admin.api(f"/retentions/{policy}")["trigger"]["settings"]
    assert settings.keys() == {"cron", "next_scheduled_time"}
    assert [r["cron"] for r in admin.api("/schedules") if r["vendor_type"] == "RETENTION"] == [
        "0 0 3 * * *"
    ]
    assert admin.send("PUT", path, json=retention(number, "5 0 3 * * *")).status_code == 400


# -- immutability ------------------------------------------------------------------------------


def test_a_new_rule_is_in_force_and_a_change_switches_or_changes_but_never_both(admin):
    path = f"{TEAM}/immutabletagrules"
    made = admin.send("POST", path, json={**RULE, "disabled": True})
    (rule,) = admin.get(path).json()
    assert "disabled" not in rule
    other = [{"kind": "doublestar", "decoration": "matches", "pattern": "other"}]
    change = {**RULE, "id": rule["id"], "disabled": True, "tag_selectors": other}
    location = made.headers["Location"]
    assert admin.send("PUT", location, json=change).ok
    (switched,) = admin.get(path).json()
    assert (switched["disabled"], switched["tag_selectors"]) == (True, RULE["tag_selectors"])
    assert admin.send("PUT", location, json=change).ok
    assert admin.get(path).json()[0]["tag_selectors"] == other
    assert admin.send("PUT", location, json={**change, "id": 99}).status_code == 400
    assert admin.send("POST", path, json={**RULE, "tag_selectors": other}).status_code == 409


def test_a_rule_that_is_switched_off_makes_nothing_immutable(harbor, admin):
    image = harbor.push("team/app", Image("app"), "v1")
    path = f"{TEAM}/immutabletagrules"
    location = admin.send("POST", path, json=RULE).headers["Location"]
    assert admin.put_manifest("team/app", "v1", image).status_code == 412
    number = int(location.rpartition("/")[2])
    assert admin.send("PUT", location, json={**RULE, "id": number, "disabled": True}).ok
    assert admin.put_manifest("team/app", "v1", image).status_code == 201


# -- webhooks ----------------------------------------------------------------------------------


def test_a_webhook_shows_its_header_and_loses_it_where_it_is_left_out(admin):
    path = f"{TEAM}/webhook/policies"
    location = admin.send("POST", path, json=HOOK).headers["Location"]
    assert admin.get(location).json()["targets"][0]["auth_header"] == "Bearer secret"
    bare = {**HOOK, "targets": [{"type": "http", "address": "https://hooks.example.com/x"}]}
    assert admin.send("PUT", location, json=bare).ok
    assert "auth_header" not in admin.get(location).json()["targets"][0]
    assert admin.get(location).json()["creation_time"].startswith("0001")


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"name": "hook"}, 409),
        ({"name": "other", "event_types": ["BOGUS"]}, 400),
        ({"name": "other", "event_types": []}, 400),
        ({"name": "other", "targets": []}, 400),
        ({"name": "other", "targets": [{"type": "mail", "address": "x"}]}, 400),
        (
            {
                "name": "other",
                "targets": [{"type": "slack", "address": "x", "payload_format": "Default"}],
            },
            400,
        ),
        ({"name": "other"}, 201),
    ],
)
def test_webhooks_that_are_refused(admin, change, status):
    path = f"{TEAM}/webhook/policies"
    assert admin.send("POST", path, json=HOOK).status_code == 201
    assert admin.send("POST", path, json={**HOOK, **change}).status_code == status


# -- quotas ------------------------------------------------------------------------------------


def test_a_quota_may_be_less_than_what_is_used_but_not_nothing(harbor, admin):
    harbor.push("team/app", Image("app"), "v1")
    number = admin.api("/projects/team")["project_id"]
    (quota,) = admin.api(f"/quotas?reference=project&reference_id={number}")
    path = f"{API}/quotas/{quota['id']}"
    for limit, status in ((0, 400), (-2, 400), (1, 200)):
        answer = admin.send("PUT", path, json={"hard": {"storage": limit}})
        assert answer.status_code == status
    assert admin.send("PUT", path, json={"hard": {"count": 5}}).status_code == 400
    assert admin.send("PUT", path, json={}).status_code == 400
    assert admin.get(path).json()["hard"] == {"storage": 1}
    assert error_of(admin.put_blob("team/app", b"more"))[:2] == (403, "DENIED")
    assert admin.send("PUT", path, json={"hard": {"storage": -1}}).ok
