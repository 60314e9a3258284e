"""Accounts: what robots learn of themselves, what logins cost; and who Harbor says it is."""

from __future__ import annotations

import time

import pytest
import requests

from tests.contract.client import API, Client, error_of
from tests.double import ROBOT_SECRET, HarborDouble

PROJECT_READS = {
    "repository": ("list", "read", "pull"), "artifact": ("list", "read"), "project": ("read",),
    "tag": ("list",), "accessory": ("list",),
}  # fmt: skip


def robot_with(harbor: HarborDouble, *system: str) -> Client:
    """Return a robot that may read all projects, and do this in the system."""
    access = [
        {"resource": resource, "action": action}
        for resource, actions in PROJECT_READS.items()
        for action in actions
    ]
    permissions = [{"kind": "project", "namespace": "*", "access": access}]
    if system:
        rows = [dict(zip(("resource", "action"), each.split(":"), strict=True)) for each in system]
        permissions.append({"kind": "system", "namespace": "/", "access": rows})
    robot = harbor.state.create_robot("backup", permissions, secret=ROBOT_SECRET)
    return Client(harbor, robot.name, ROBOT_SECRET)


def test_a_robot_that_may_list_robots_finds_itself_with_what_it_may_do(harbor):
    robot = robot_with(harbor, "project:list", "robot:list")
    (found,) = robot.api("/robots?q=name=backup&sort=id")
    assert found["name"] == "robot$backup"
    granted = {
        (row["kind"], row["namespace"], access["resource"], access["action"])
        for row in found["permissions"]
        for access in row["access"]
    }
    assert ("system", "/", "robot", "list") in granted
    assert ("project", "*", "repository", "pull") in granted
    assert "secret" not in found


def test_a_robot_without_that_right_learns_nothing_of_robots(harbor):
    refused = robot_with(harbor, "project:list").get(f"{API}/robots")
    assert error_of(refused) == (403, "FORBIDDEN", "robot$backup")
    assert error_of(Client(harbor).get(f"{API}/robots"))[0] == 401


def test_the_order_of_permissions_is_another_one_each_time(harbor):
    robot = robot_with(harbor, "project:list", "robot:list")
    answers = [robot.api("/robots")[0]["permissions"] for _ in range(12)]
    assert {tuple(row["kind"] for row in answer) for answer in answers} == {
        ("project", "system"),
        ("system", "project"),
    }
    orders = {str(row["access"]) for answer in answers for row in answer if row["kind"] != "system"}
    assert len(orders) > 2


def test_robots_are_found_by_their_name_without_its_prefix(harbor, admin):
    harbor.create_robot("reader")
    assert [row["name"] for row in admin.api("/robots?q=name=reader")] == ["robot$reader"]
    assert admin.api("/robots?q=name=robot%2524reader") == []


def test_a_login_of_a_user_can_be_slow_and_that_of_a_robot_is_not(harbor, admin):
    robot = Client(harbor, harbor.create_robot("reader"), ROBOT_SECRET)
    harbor.state.login_seconds = 60
    for slow in (admin, Client(harbor, harbor.user, "wrong")):
        with pytest.raises(requests.Timeout):
            requests.get(f"{harbor.url}{API}/systeminfo", auth=slow.auth, timeout=0.2)
    for quick in (robot, Client(harbor), Client(harbor, "nobody", "x")):
        assert "auth_mode" in quick.api("/systeminfo")
    harbor.state.login_seconds = 0.3
    start = time.monotonic()
    admin.api("/systeminfo")
    assert time.monotonic() - start >= 0.3


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost"])
def test_harbor_says_the_same_of_itself_whatever_name_it_was_asked_under(harbor, admin, name):
    port = harbor.url.rpartition(":")[2]
    info = admin.get(f"http://{name}:{port}{API}/systeminfo").json()
    assert info["external_url"] == harbor.url
    assert info["registry_url"] == f"127.0.0.1:{port}"


def test_the_address_that_harbor_names_can_be_configured(harbor, admin):
    harbor.state.external_url = "https://registry.example.com"
    info = admin.api("/systeminfo")
    assert info["external_url"] == "https://registry.example.com"
    assert info["registry_url"] == "registry.example.com"
    # The challenge names the host that the client used, with the scheme that is configured.
    challenge = Client(harbor).get("/v2/").headers["Www-Authenticate"]
    assert challenge.startswith(f'Bearer realm="https://{harbor.url[7:]}/service/token"')
