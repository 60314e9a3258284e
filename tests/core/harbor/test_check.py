"""Is it Harbor, is it healthy, is this the login, does it see all: nothing is taken on trust."""

from __future__ import annotations

import json
import time

import pytest

from airflow_provider_harbor.core.exceptions import (
    HarborAuthError,
    HarborConfigurationError,
    HarborProtocolError,
    HarborSightError,
    HarborStatusError,
    UnhealthyHarborError,
)
from airflow_provider_harbor.core.harbor.check import check_harbor, list_projects
from airflow_provider_harbor.core.harbor.client import HarborClient
from tests.core.rig import login
from tests.double import Fault, HarborDouble
from tests.double.content import Image
from tests.double.server import READS, ROBOT_SECRET


def backup_robot(
    harbor: HarborDouble,
    *namespaces: str,
    system: tuple[str, ...] = ("project:list", "robot:list"),
) -> HarborClient:
    """Return the login of a robot, by default with the permissions that the README names."""
    rows = [{"resource": r, "action": a} for r, actions in READS.items() for a in actions]
    permissions = [
        {"kind": "project", "namespace": namespace, "access": rows} for namespace in namespaces
    ]
    permissions.append(
        {
            "kind": "system",
            "namespace": "/",
            "access": [
                dict(zip(("resource", "action"), text.split(":"), strict=True)) for text in system
            ],
        }
    )
    robot = harbor.state.create_robot("backup", permissions, secret=ROBOT_SECRET)
    return login(harbor, robot.name, ROBOT_SECRET)


def test_an_administrator_learns_what_there_is(harbor: HarborDouble) -> None:
    harbor.create_project("p")
    harbor.push("p/app", Image("app", layers=[1000]), "1.0")
    status = check_harbor(login(harbor))
    assert status.harbor_version.startswith("v2.15.2")
    assert (status.is_healthy, status.is_robot, status.is_read_only) == (True, False, False)
    assert status.project_count == 2
    assert status.repository_count == 1
    assert status.storage_bytes
    assert status.storage_bytes > 1000
    assert status.to_json()["project_count"] == 2
    assert set(status.components.values()) == {"healthy"}


def test_a_robot_passes_the_check_without_counts(harbor: HarborDouble) -> None:
    status = check_harbor(backup_robot(harbor, "*"))
    assert status.is_robot
    assert status.project_count is None


def test_a_user_who_is_no_administrator_is_shown_no_counts(harbor: HarborDouble) -> None:
    """Harbor says 0 of everything to such a user."""
    harbor.create_user("dev", "Dev-Passw0rd")
    status = check_harbor(login(harbor, "dev", "Dev-Passw0rd"))
    assert not status.is_robot
    counts = (status.project_count, status.repository_count, status.storage_bytes)
    assert counts == (None, None, None)


def test_a_wrong_password_is_not_mistaken_for_an_empty_harbor(harbor: HarborDouble) -> None:
    with pytest.raises(HarborAuthError, match="was not accepted"):
        check_harbor(login(harbor, password="wrong"))


def test_an_expired_robot_is_not_mistaken_for_an_empty_harbor(harbor: HarborDouble) -> None:
    robot = harbor.create_robot("old", expires_at=int(time.time()) - 60)
    with pytest.raises(HarborAuthError, match="has not expired") as caught:
        check_harbor(login(harbor, robot, ROBOT_SECRET))
    assert robot in str(caught.value)
    assert ROBOT_SECRET not in str(caught.value)


def test_no_credentials_are_no_login(harbor: HarborDouble) -> None:
    with pytest.raises(HarborAuthError, match="no credentials"):
        check_harbor(login(harbor, "", ""))


@pytest.mark.parametrize("name", ["core", "database", "redis", "registry"])
def test_an_unhealthy_component_that_a_backup_needs_is_named(
    harbor: HarborDouble, name: str
) -> None:
    harbor.state.set_unhealthy(name, "connection refused")
    with pytest.raises(UnhealthyHarborError, match=f"{name}: connection refused") as caught:
        check_harbor(login(harbor))
    assert caught.value.components == {name: "connection refused"}
    assert not check_harbor(login(harbor), require_healthy=False).is_healthy


@pytest.mark.parametrize("name", ["jobservice", "registryctl", "portal"])
def test_an_unhealthy_component_that_only_runs_jobs_stops_no_backup(
    harbor: HarborDouble, name: str
) -> None:
    harbor.state.set_unhealthy(name, "connection refused")
    status = check_harbor(login(harbor))
    assert status.components[name] == "unhealthy"
    assert not status.is_healthy


def test_a_harbor_that_is_unhealthy_without_saying_why_is_believed(harbor: HarborDouble) -> None:
    body = '{"components": [], "status": "unhealthy"}'
    harbor.faults.add(Fault(path="/health", status=200, body=body, content_type="application/json"))
    with pytest.raises(UnhealthyHarborError):
        check_harbor(login(harbor))


def test_all_projects_come_sorted(harbor: HarborDouble) -> None:
    for name in ("b", "2024", "a"):
        harbor.create_project(name)
    assert [p.name for p in list_projects(login(harbor))] == ["2024", "a", "b", "library"]


def old_harbor() -> HarborDouble:
    """A Harbor in which no robot may read its own permissions."""
    return HarborDouble(version="v2.11.2")


OLD_ROBOT = ("project:list", "quota:list")


@pytest.mark.parametrize("path", ["/statistics", "/quotas"])
def test_a_project_that_is_created_while_they_are_listed_is_listed(
    path: str,
) -> None:
    with old_harbor() as harbor:
        client = login(harbor)
        if path == "/quotas":
            client = backup_robot(harbor, "*", system=OLD_ROBOT)
        fault = harbor.faults.add(
            Fault(path=path, callback=lambda double: double.create_project("late"))
        )
        assert [p.name for p in list_projects(client)] == ["late", "library"]
        assert fault.hits == 1


@pytest.mark.parametrize(
    ("include", "exclude", "chosen"),
    [
        ((), ("library",), ["team-a", "team-b", "x"]),
        (("team-*",), (), ["team-a", "team-b"]),
        (("team-*", "x"), ("*-b",), ["team-a", "x"]),
        (("*",), ("team-?",), ["library", "x"]),
    ],
)
def test_globs_choose_projects(
    harbor: HarborDouble, include: tuple[str, ...], exclude: tuple[str, ...], chosen: list[str]
) -> None:
    for name in ("team-a", "team-b", "x"):
        harbor.create_project(name)
    assert [p.name for p in list_projects(login(harbor), include, exclude)] == chosen


def test_a_mistyped_glob_is_an_error_that_shows_the_projects(harbor: HarborDouble) -> None:
    harbor.create_project("team-a")
    with pytest.raises(HarborConfigurationError, match=r"'taem-\*'.*library, team-a"):
        list_projects(login(harbor), ["team-*", "taem-*"])


@pytest.mark.parametrize(("number", "is_cut"), [(10, False), (11, True)])
def test_only_the_first_projects_are_shown(harbor: HarborDouble, number: int, is_cut: bool) -> None:
    for each in range(number - 1):
        harbor.create_project(f"a{each:02}")
    with pytest.raises(HarborConfigurationError) as caught:
        list_projects(login(harbor), ["nothing"])
    assert ("a00, a01" in str(caught.value), " and more" in str(caught.value)) == (True, is_cut)
    assert ("library" in str(caught.value)) != is_cut


def test_excluding_everything_is_an_error(harbor: HarborDouble) -> None:
    with pytest.raises(HarborConfigurationError, match="nothing to back up"):
        list_projects(login(harbor), (), ["*"])


@pytest.mark.parametrize(
    ("namespaces", "system"),
    [
        (("*",), ("project:list", "robot:list")),
        (("*",), ("robot:list",)),
        (("library", "secret"), ("project:list", "robot:list")),
    ],
)
def test_a_robot_proves_its_sight_by_its_own_permissions(
    harbor: HarborDouble, namespaces: tuple[str, ...], system: tuple[str, ...]
) -> None:
    harbor.create_project("secret")
    client = backup_robot(harbor, *namespaces, system=system)
    assert [p.name for p in list_projects(client)] == ["library", "secret"]


@pytest.mark.parametrize("system", [("project:list",), ("project:list", "quota:list")])
def test_a_robot_that_cannot_prove_its_sight_is_told_what_it_needs(
    harbor: HarborDouble, system: tuple[str, ...]
) -> None:
    with pytest.raises(HarborSightError, match="'robot:list'"):
        list_projects(backup_robot(harbor, "*", system=system))


def test_a_robot_of_some_projects_only_is_told_so(harbor: HarborDouble) -> None:
    harbor.create_project("hidden")
    with pytest.raises(HarborSightError, match="'project:list', or permissions on all"):
        list_projects(backup_robot(harbor, "library", system=("robot:list",)))


def one_project_only(harbor: HarborDouble, times: int | None) -> Fault:
    """Have the list of projects show one, as if there were no others."""
    return harbor.faults.add(
        Fault(
            path=r"/projects\?sort=project_id",
            status=200,
            body='[{"project_id": 1, "name": "library"}]',
            content_type="application/json",
            headers={"X-Total-Count": "1"},
            times=times,
        )
    )


def test_a_list_of_projects_that_once_lacks_some_is_read_again(harbor: HarborDouble) -> None:
    harbor.create_project("secret")
    client = backup_robot(harbor, "*")
    fault = one_project_only(harbor, times=1)
    assert [p.name for p in list_projects(client)] == ["library", "secret"]
    assert fault.hits == 1


def test_a_list_of_projects_that_goes_on_to_lack_some_is_an_error(harbor: HarborDouble) -> None:
    harbor.create_project("secret")
    client = backup_robot(harbor, "*")
    one_project_only(harbor, times=None)
    with pytest.raises(HarborSightError, match="1 of the 2 projects"):
        list_projects(client)
    assert [p.name for p in list_projects(client, ["library"])] == ["library"]


@pytest.mark.parametrize(
    ("path", "is_robot"), [(r"/projects\?page_size=1$", True), (r"/statistics$", False)]
)
def test_projects_that_are_created_after_each_list_are_no_lack_of_it(
    harbor: HarborDouble, path: str, is_robot: bool
) -> None:
    client = backup_robot(harbor, "*") if is_robot else login(harbor)
    names = (f"new-{at}" for at in range(10))
    if not is_robot:
        assert client.statistics.total_project_count == 1
        harbor.state.delete_project("library")  # so that the first list is too short
        harbor.create_project("other")
        fault = Fault(path=r"/projects\?sort", callback=lambda d: d.state.delete_project("other"))
        harbor.faults.add(fault)
    created = Fault(path=path, callback=lambda d: d.create_project(next(names)), times=None)
    harbor.faults.add(created)
    found = {project.name for project in list_projects(client)}
    assert found >= {"new-0"}
    assert created.hits >= 2


def test_a_project_that_is_deleted_before_the_second_list_is_no_lack_of_it(
    harbor: HarborDouble,
) -> None:
    client = backup_robot(harbor, "*")
    create = Fault(path=r"/projects\?page_size=1$", callback=lambda d: d.create_project("new"))
    delete = Fault(
        path=r"/projects\?sort", skip=1, callback=lambda d: d.state.delete_project("new")
    )
    harbor.faults.add(create)
    harbor.faults.add(delete)
    assert [project.name for project in list_projects(client)] == ["library"]
    assert (create.hits, delete.hits) == (1, 1)


def test_a_robot_of_an_old_harbor_proves_its_sight_by_the_quotas() -> None:
    with old_harbor() as harbor:
        harbor.create_project("secret")
        client = backup_robot(harbor, "*", system=OLD_ROBOT)
        assert [p.name for p in list_projects(client)] == ["library", "secret"]
    with old_harbor() as harbor, pytest.raises(HarborSightError, match="'quota:list'"):
        list_projects(backup_robot(harbor, "*", system=("project:list",)))


def test_quotas_prove_nothing_where_a_visible_project_has_none() -> None:
    """Harbor makes none for a project while quotas for each project are switched off."""
    with old_harbor() as harbor:
        harbor.state.configuration["quota_per_project_enable"] = False
        harbor.create_project("without")
        client = backup_robot(harbor, "*", system=OLD_ROBOT)
        with pytest.raises(HarborSightError, match="no quota of without"):
            list_projects(client)
        assert [p.name for p in list_projects(client, ["without"])] == ["without"]


def test_a_project_without_a_quota_is_not_hidden_from_the_proof(harbor: HarborDouble) -> None:
    """The list of quotas is complete to look at: only the robot's permissions tell."""
    harbor.state.configuration["quota_per_project_enable"] = False
    harbor.create_project("hidden")
    client = backup_robot(harbor, "library", system=("quota:list", "robot:list"))
    with pytest.raises(HarborSightError):
        list_projects(client)


def test_a_robot_that_sees_one_project_only_does_not_pass_for_all(harbor: HarborDouble) -> None:
    for name in ("mine", "hidden"):
        harbor.create_project(name)
    robot = harbor.create_robot("one", ["mine"])
    client = login(harbor, robot, ROBOT_SECRET)
    with pytest.raises(HarborSightError) as caught:
        list_projects(client)
    assert robot in str(caught.value)
    # Asked for less, it is enough.
    assert [p.name for p in list_projects(client, ["mine"])] == ["mine"]


@pytest.fixture
def short_sighted(harbor: HarborDouble) -> HarborClient:
    """A robot that sees `mine` and `library`, and may list the quotas."""
    for name in ("mine", "hidden"):
        harbor.create_project(name)
    rows = [{"resource": "quota", "action": "list"}, {"resource": "robot", "action": "list"}]
    reads = [{"resource": "artifact", "action": "list"}]
    robot = harbor.state.create_robot(
        "some",
        [
            {"kind": "project", "namespace": "mine", "access": reads},
            {"kind": "system", "namespace": "/", "access": rows},
        ],
        secret=ROBOT_SECRET,
    )
    return login(harbor, robot.name, ROBOT_SECRET)


@pytest.mark.parametrize(
    ("include", "exclude"), [((), ()), (("*",), ("mine",)), (("?i*",), ()), (("mine", "h*"), ())]
)
def test_hidden_projects_are_named_where_harbor_tells_them(
    short_sighted: HarborClient, include: tuple[str, ...], exclude: tuple[str, ...]
) -> None:
    with pytest.raises(HarborSightError, match=r"does not see 1 project of.*hidden"):
        list_projects(short_sighted, include, exclude)


def test_hidden_projects_need_not_be_seen_where_others_are_named(
    short_sighted: HarborClient,
) -> None:
    assert [p.name for p in list_projects(short_sighted, ["mine"])] == ["mine"]


@pytest.mark.parametrize(("include", "exclude"), [((), ("hid*", "lib*")), (("m*",), ())])
def test_a_glob_needs_a_robot_that_sees_all(
    short_sighted: HarborClient, include: tuple[str, ...], exclude: tuple[str, ...]
) -> None:
    """There may be one more that fits, and that nothing tells of."""
    with pytest.raises(HarborSightError, match="without wildcards"):
        list_projects(short_sighted, include, exclude)


@pytest.mark.parametrize("system", ["v2.15.2", "v2.11.0"])
def test_a_proxy_that_changes_escaped_slashes_is_found_before_the_night(system: str) -> None:
    """It makes %252F of a nested repository's path %2F, and Harbor's nginx makes that a slash."""
    with HarborDouble(version=system) as harbor:
        message = "path /api/v2.0/projects/x/repositories/nested/name was not found"
        body = json.dumps({"errors": [{"code": "NOT_FOUND", "message": message}]})
        harbor.faults.add(
            Fault(path="%252F", status=404, body=body, content_type="application/json", times=None)
        )
        with pytest.raises(HarborProtocolError, match="a proxy in front of Harbor"):
            check_harbor(login(harbor))
        assert harbor.faults.hits == 1


def test_a_robot_that_may_not_look_at_other_projects_passes_the_check(
    harbor: HarborDouble,
) -> None:
    robot = harbor.create_robot("one", ["library"])
    assert check_harbor(login(harbor, robot, ROBOT_SECRET)).is_robot


def test_a_glob_of_a_robot_that_cannot_prove_its_sight_is_not_believed(
    harbor: HarborDouble,
) -> None:
    for name in ("team-a", "team-b"):
        harbor.create_project(name)
    client = login(harbor, harbor.create_robot("one", ["team-a"]), ROBOT_SECRET)
    with pytest.raises(HarborSightError, match="without wildcards"):
        list_projects(client, ["team-*"])


def test_a_user_who_is_no_administrator_cannot_prove_anything(harbor: HarborDouble) -> None:
    harbor.create_user("dev", "Dev-Passw0rd")
    with pytest.raises(HarborSightError):
        list_projects(login(harbor, "dev", "Dev-Passw0rd"))


def test_a_robot_that_is_not_in_the_list_of_robots_proves_nothing(harbor: HarborDouble) -> None:
    client = backup_robot(harbor, "*")
    harbor.faults.add(
        Fault(
            path="/robots",
            status=200,
            body="[]",
            content_type="application/json",
            headers={"X-Total-Count": "0"},
            times=None,
        )
    )
    with pytest.raises(HarborSightError, match="nothing proves that these are all"):
        list_projects(client)


@pytest.mark.parametrize("status", [400, 404, 500])
def test_a_user_that_cannot_be_asked_for_is_not_taken_for_a_robot(
    harbor: HarborDouble, status: int
) -> None:
    harbor.faults.add(Fault(path="/users/current", status=status, times=None))
    with pytest.raises(HarborStatusError) as caught:
        check_harbor(login(harbor))
    assert caught.value.status == status


def test_an_administrator_who_is_told_of_more_projects_than_he_sees_is_refused(
    harbor: HarborDouble,
) -> None:
    body = '{"total_project_count": 5}'
    harbor.faults.add(
        Fault(
            path="/statistics", status=200, body=body, content_type="application/json", times=None
        )
    )
    with pytest.raises(HarborSightError, match="sees 1 of the 5 projects"):
        list_projects(login(harbor))


@pytest.mark.parametrize(
    "permission",
    [
        {"kind": "project", "namespace": "*", "access": []},
        {"kind": "project", "namespace": "*"},
        {"kind": "project", "namespace": "library", "access": [{}]},
        {"kind": "system", "namespace": "/", "access": [{"resource": "project"}]},
        {"kind": "system", "access": [{"resource": "project", "action": "create"}]},
        {"kind": "system", "access": [{"resource": "robot", "action": "list"}]},
        {"kind": "other", "access": [{"resource": "project", "action": "list"}]},
        {"access": [{"resource": "project", "action": "list"}]},
        {"kind": "system", "access": None},
        {},
    ],
)
def test_only_a_permission_on_all_projects_is_a_proof(
    harbor: HarborDouble, permission: dict[str, object]
) -> None:
    client = backup_robot(harbor, "*")
    row = {"id": 1, "name": client.user, "permissions": [permission]}
    harbor.faults.add(
        Fault(
            path="/robots",
            status=200,
            body=json.dumps([row]),
            content_type="application/json",
            headers={"X-Total-Count": "1"},
            times=None,
        )
    )
    with pytest.raises(HarborSightError):
        list_projects(client)
