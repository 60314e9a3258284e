from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from airflow_provider_harbor.core.exceptions import HarborAuthError, HarborProtocolError
from airflow_provider_harbor.core.settings.form import Names, canonical, dump_item
from airflow_provider_harbor.core.settings.kinds import SYSTEM, kind_of
from airflow_provider_harbor.core.settings.reader import read_settings
from airflow_provider_harbor.core.settings.secret_values import Secret, is_same, iter_secrets
from airflow_provider_harbor.core.settings.values import HarborSettings
from tests.core.rig import login
from tests.core.settings_rig import READER, SECRETS, Api, robot, seed, services
from tests.double import HarborDouble, Image
from tests.double.faults import Fault

_NUMBERS = itertools.count(1)


@pytest.fixture(scope="module")
def seeded() -> Iterator[HarborDouble]:
    with services() as service, HarborDouble() as harbor:
        seed(harbor, service.url)
        yield harbor


@pytest.fixture(scope="module")
def whole(seeded: HarborDouble) -> HarborSettings:
    return read(seeded)


def read(harbor: HarborDouble, *who: str) -> HarborSettings:
    with login(harbor, *who) as client:
        return read_settings(client)


def reader(harbor: HarborDouble, without: str = "", of: str = "") -> tuple[str, str]:
    """Make a robot that may read all, but for one permission; then forget it among the settings."""
    left = {k: " ".join(p for p in v.split() if (k, p) != (of, without)) for k, v in READER.items()}
    return robot(harbor, left["system"], left["project"], name=f"r{next(_NUMBERS)}")


def as_text(found: HarborSettings, *but: str) -> str:
    values = {f"{s} {k}": v for (s, k), v in found.values.items() if k not in but}
    return dump_item(values)


def test_reading_costs_15_requests_and_7_for_each_project_and_1_for_each_retention(
    seeded: HarborDouble,
) -> None:
    seeded.requests.reset()
    found = read(seeded)
    assert not found.unread
    projects = len(found.project_ids)
    policies = sum(
        value is not None for (_, kind), value in found.values.items() if kind == "retention"
    )
    assert (projects, policies) == (6, 3)
    assert seeded.requests.total() == 15 + 7 * projects + policies


def test_a_robot_reads_what_an_administrator_reads_but_for_the_configurations(
    seeded: HarborDouble,
) -> None:
    who = reader(seeded)
    by_robot, by_admin = read(seeded, *who), read(seeded)
    assert [(u.kind, u.denied) for u in by_robot.unread] == [("configurations", True)]
    assert "only an administrator" in by_robot.unread[0].reason
    assert as_text(by_robot) == as_text(by_admin, "configurations")


def test_the_configurations_may_be_read_by_another_login(seeded: HarborDouble) -> None:
    with login(seeded, *reader(seeded)) as client, login(seeded) as administrator:
        found = read_settings(client, configurations=administrator)
    assert not found.unread
    assert found.values[SYSTEM, "configurations"]["token_expiration"] == 45


@pytest.mark.parametrize(
    ("scope", "permission", "kinds"),
    [
        ("system", "user:list", {"users"}),
        ("system", "user-group:list", {"groups"}),
        ("system", "robot:list", {"robots"}),
        ("system", "registry:list", {"registries"}),
        ("system", "replication-policy:list", {"replications"}),
        ("system", "preheat-instance:list", {"preheat-instances"}),
        ("system", "scanner:list", {"scanners"}),
        ("system", "garbage-collection:read", {"garbage-collection"}),
        ("system", "purge-audit:read", {"purge-audit"}),
        ("system", "scan-all:read", {"scan-all"}),
        ("system", "quota:list", {"quota"}),
        ("project", "metadata:list", {"project"}),
        ("project", "member:list", {"members"}),
        ("project", "label:list", {"labels"}),
        ("project", "tag-retention:read", {"retention"}),
        ("project", "immutable-tag:list", {"immutability"}),
        ("project", "notification-policy:list", {"webhooks"}),
        ("project", "preheat-policy:list", {"preheat-policies"}),
    ],
)
def test_a_permission_that_is_missing_is_named_and_the_rest_is_read(
    seeded: HarborDouble, whole: HarborSettings, scope: str, permission: str, kinds: set[str]
) -> None:
    with login(seeded, *reader(seeded, permission, scope)) as client:
        found = read_settings(client, include=["bare", "team"])
    denied = [u for u in found.unread if u.kind != "configurations"]
    assert {u.kind for u in denied} == kinds
    assert all(permission.split(":")[0] in u.reason and u.denied for u in denied)
    assert {bool(u.scope) for u in denied} == {scope == "project"}
    others = {
        (scope, kind)
        for scope, kind in whole.values
        if kind not in kinds and scope in (SYSTEM, "bare", "team")
    }
    assert others - {(SYSTEM, "configurations")} <= set(found.values)


def test_without_the_robots_of_projects_those_of_the_system_are_not_guessed(
    seeded: HarborDouble,
) -> None:
    found = read(seeded, *reader(seeded, "robot:list", "project"))
    denied = {(bool(u.scope), u.kind, u.denied) for u in found.unread}
    assert denied >= {(True, "robots", True), (False, "robots", False)}
    assert ("team", "webhooks") in found.values


def test_metadata_that_may_not_be_read_are_taken_from_the_list(seeded: HarborDouble) -> None:
    found = read(seeded, *reader(seeded, "metadata:list", "project"))
    assert found.values["team", "project"]["metadata"]["severity"] == "high"
    assert "scanner" not in found.values["team", "project"]


def test_a_wrong_password_is_no_harbor_without_settings(seeded: HarborDouble) -> None:
    with pytest.raises(HarborAuthError, match="was not accepted"):
        read(seeded, "admin", "wrong")


def test_only_some_projects_are_read_where_a_filter_says_so(seeded: HarborDouble) -> None:
    with login(seeded) as client:
        found = read_settings(client, include=["ca*", "team"], exclude=["*-kept"])
    assert sorted(found.project_ids) == ["cache", "team"]
    assert not found.unread


def test_a_project_that_is_not_seen_is_named(seeded: HarborDouble) -> None:
    system = " ".join(p for p in READER["system"].split() if p != "project:list")
    made = robot(seeded, system, "", name=f"r{next(_NUMBERS)}")
    found = read(seeded, *made)
    (unseen,) = [u for u in found.unread if u.kind == "projects"]
    assert "12345, bare" in unseen.reason


def test_no_secret_has_a_text_that_harbor_does_not_show(seeded: HarborDouble) -> None:
    found = read(seeded)
    texts = {
        (scope, kind, path): secret.text
        for (scope, kind), value in found.values.items()
        for path, secret in iter_secrets(value)
    }
    assert texts == {
        (SYSTEM, "configurations", "uaa_client_secret"): SECRETS["uaa"],
        (SYSTEM, "registries", "1/credential/access_secret"): "",
        (SYSTEM, "scanners", "1/access_credential"): "",
        (SYSTEM, "preheat-instances", "0/auth_info"): "",
        ("team", "webhooks", "0/targets/0/auth_header"): SECRETS["webhook"],
    }
    shown = as_text(found) + repr(found.values)
    assert not [name for name, secret in SECRETS.items() if secret in shown]


def test_an_older_harbor_that_shows_credentials_gives_the_same(harbor: HarborDouble) -> None:
    with services() as service, HarborDouble(version="v2.14.3") as old:
        for double in (old, harbor):
            Api(double).post(
                "/scanners", name="s", url=service.url, auth="Bearer", access_credential="Old-1"
            )
        assert is_same(
            read(old).values[SYSTEM, "scanners"], read(harbor).values[SYSTEM, "scanners"]
        )


def test_what_an_older_harbor_has_not_is_told_and_fails_nothing() -> None:
    with HarborDouble(version="v2.5.0") as old:
        found = read(old)
    unread, hidden = found.unread
    assert (unread.kind, unread.denied, unread.failed) == ("purge-audit", True, False)
    assert "too old" in unread.reason
    # It has no scanner, nor a list of schedules.
    assert (hidden.kind, hidden.denied, hidden.failed) == ("scan-all", False, False)
    assert ("library", "members") in found.values


@pytest.mark.parametrize("body", ["[{}]", '[{"id": "x", "name": 7}]', "[3]", "{}"])
def test_an_odd_answer_is_one_finding_whichever_it_is(harbor: HarborDouble, body: str) -> None:
    odd = Fault(
        path=r"/api/v2.0/(?!projects\?)", times=None, status=200, body=body,
        headers={"X-Total-Count": "1"}, content_type="application/json",
    )  # fmt: skip
    harbor.faults.add(odd)
    found = read(harbor)
    assert {u.kind for u in found.unread if u.failed} >= {"users", "groups", "registries"}
    assert found.project_ids == {"library": 1}
    harbor.faults.clear()
    odd.path = r"/api/v2.0/projects\?"
    harbor.faults.add(odd)
    with pytest.raises(HarborProtocolError):
        read(harbor)


def test_a_retention_policy_that_is_gone_fails_no_night(harbor: HarborDouble) -> None:
    harbor.state.projects[1].metadata["retention_id"] = "99"
    found = read(harbor)
    (gone,) = found.unread
    assert (gone.scope, gone.kind, gone.failed) == ("library", "retention", False)
    assert "it is probably gone" in gone.reason
    assert ("library", "retention") not in found.values
    assert ("library", "webhooks") in found.values


def test_a_member_whose_role_is_none_is_named(harbor: HarborDouble) -> None:
    api = Api(harbor)
    member = api.get("/projects/library/members")[0]
    api.put(f"/projects/library/members/{member['id']}", role_id=9)
    found = read(harbor)
    (hidden,) = found.unread
    assert (hidden.scope, hidden.kind, hidden.denied) == ("library", "members", False)
    assert "counts 1, and lists 0" in hidden.reason
    assert found.values["library", "members"] == []


def test_what_harbor_fails_to_answer_is_one_finding(seeded: HarborDouble) -> None:
    seeded.faults.add(Fault(path="/api/v2.0/scanners", times=None, status=500))
    found = read(seeded)
    seeded.faults.clear()
    (failed,) = found.unread
    assert (failed.kind, failed.denied, failed.passing) == ("scanners", False, True)
    assert (SYSTEM, "users") in found.values


def test_the_prefix_of_robots_is_told_by_the_robots_of_projects(seeded: HarborDouble) -> None:
    found = read(seeded, *reader(seeded))
    assert found.names.prefix == "bot_"
    names = {item["name"] for item in found.values[SYSTEM, "robots"]}
    assert {"all", "some", "off"} <= names


def test_robots_are_not_guessed_where_nobody_can_tell_the_prefix(harbor: HarborDouble) -> None:
    Api(harbor).put("/configurations", robot_name_prefix="odd-")
    who = robot(harbor, READER["system"], READER["project"])
    found = read(harbor, *who)
    assert (SYSTEM, "robots") not in found.values
    (unknown,) = [u for u in found.unread if u.kind == "robots"]
    assert "robot_name_prefix" in unknown.reason


def test_a_field_that_is_not_known_is_kept_and_a_secret_in_it_is_none_in_clear() -> None:
    raw = {"id": 1, "name": "n", "colour_of_2.17": {"hue": 7, "api_token": "x"}, "scope": "g"}
    item = canonical(kind_of(SYSTEM, "labels"), raw, Names())
    assert item == {"name": "n", "colour_of_2.17": {"hue": 7, "api_token": Secret("x")}}


def test_a_project_of_many_images_costs_no_more(harbor: HarborDouble) -> None:
    for number in range(3):
        harbor.push(f"library/app{number}", Image(f"app{number}"), "1")
    harbor.requests.reset()
    read(harbor)
    # The last one since it has no scanner: is there a schedule for one?
    assert harbor.requests.total() == 15 + 7 + 1
