"""What an import of settings must not destroy, raise, or leave behind without a word."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_harbor.core.jobs.settings.exporting import export_settings
from airflow_provider_harbor.core.jobs.settings.importing import import_settings
from airflow_provider_harbor.core.jobs.settings.nights import find_night
from airflow_provider_harbor.core.jobs.settings.outcome import ImportReport
from airflow_provider_harbor.core.jobs.settings.secrets import GivenSecrets
from airflow_provider_harbor.core.jobs.settings.wanted import SettingsImport
from airflow_provider_harbor.core.store.backup_store import BackupStore
from tests.core.rig import login
from tests.core.settings_rig import READER, Api, grants, robot, services
from tests.double import HarborDouble
from tests.double.faults import Fault

PASSWORD = "Abcdef12"


@pytest.fixture
def old() -> Iterator[HarborDouble]:
    """The Harbor that was exported."""
    with HarborDouble() as harbor:
        yield harbor


@pytest.fixture
def new() -> Iterator[HarborDouble]:
    """Another one, empty."""
    with HarborDouble() as harbor:
        yield harbor


Keep = Callable[..., BackupStore]


@pytest.fixture
def keep(tmp_path: Path) -> Keep:
    """Keep the settings of a Harbor."""

    def keep(harbor: HarborDouble, *who: str, **options: Any) -> BackupStore:
        store = BackupStore(tmp_path / "store")
        store.begin_for(harbor.url)
        with login(harbor, *who) as client:
            export_settings(client, store, "night", passphrase="", **options)
        return store

    return keep


def bring(
    store: BackupStore,
    harbor: HarborDouble,
    *who: str,
    secrets: dict[str, Any] | None = None,
    **options: Any,
) -> ImportReport:
    wanted = SettingsImport(
        store=store, night=find_night(store), given=GivenSecrets(secrets or {}), **options
    )
    with login(harbor, *who) as client:
        return import_settings(client, wanted, on_secret=lambda key, secret: None)


def members(harbor: HarborDouble, project: str = "team") -> list[tuple[str, str, int]]:
    found = Api(harbor).get(f"/projects/{project}/members")
    return sorted((m["entity_type"], m["entity_name"], m["role_id"]) for m in found)


def add_group(api: Api, name: str, role: int, project: str = "team") -> None:
    api.post("/usergroups", group_name=name, group_type=3)
    number = next(g["id"] for g in api.get("/usergroups") if g["group_name"] == name)
    api.post(f"/projects/{project}/members", role_id=role, member_group={"id": number})


def add_user(harbor: HarborDouble, name: str, *, leads: bool = False) -> None:
    api = Api(harbor)
    number = api.post(
        "/users", username=name, email=f"{name}@example.com", realname=name, password=PASSWORD
    )
    if leads:
        api.put(f"/users/{number}/sysadmin", sysadmin_flag=True)


def leave(harbor: HarborDouble, project: str, name: str = "admin") -> None:
    """Take a member away."""
    api = Api(harbor)
    found = api.get(f"/projects/{project}/members")
    (number,) = [m["id"] for m in found if m["entity_name"] == name]
    api.delete(f"/projects/{project}/members/{number}")


@pytest.fixture
def team(old: HarborDouble) -> Api:
    """A project with a group among its members."""
    api = Api(old)
    api.post("/projects", project_name="team")
    add_group(api, "ops", 2)
    return api


@pytest.mark.parametrize("fault", [{"status": 500}, {"status": 403}, {"status": 200, "body": "[]"}])
def test_no_member_is_deleted_where_the_groups_are_not_read(
    old: HarborDouble, team: Api, keep: Keep, fault: dict[str, Any]
) -> None:
    store = keep(old)
    before = members(old)
    fault = {"content_type": "application/json", **fault}
    old.faults.add(Fault(method="GET", path="/usergroups", times=None, **fault))
    report = bring(store, old, delete_surplus=True)
    old.faults.clear()
    assert members(old) == before
    assert not [entry for entry in old.requests.log if entry[0] == "DELETE"]
    assert report.failures()


def test_no_member_is_deleted_where_the_export_had_no_groups(
    old: HarborDouble, team: Api, keep: Keep
) -> None:
    who = robot(old, READER["system"].replace("user-group:list ", ""), READER["project"])
    store = keep(old, *who)
    assert bring(store, old).failures() == []  # it is found by its name
    add_user(old, "eve")
    team.post("/projects/team/members", role_id=3, member_user={"username": "eve"})
    before = members(old)
    report = bring(store, old, delete_surplus=True, kinds=["members"])
    assert members(old) == before
    (failure,) = report.failures()
    assert "user eve: the groups could not be read" in failure


def test_no_member_is_deleted_where_harbor_lists_no_such_groups(
    old: HarborDouble, team: Api, keep: Keep
) -> None:
    store = keep(old)
    before = members(old)
    old.state.configuration["auth_mode"] = "http_auth"
    assert bring(store, old, delete_surplus=True, kinds=["members"]).failures() == []
    assert members(old) == before


def test_nothing_is_deleted_where_another_one_could_not_be_created(
    old: HarborDouble, new: HarborDouble, keep: Keep
) -> None:
    Api(old).post("/labels", name="wanted", scope="g", color="#000000")
    store = keep(old)
    Api(new).post("/labels", name="there", scope="g", color="#000000")
    new.faults.add(Fault(method="POST", path="/labels", times=1, status=409))
    report = bring(store, new, delete_surplus=True)
    assert [row["name"] for row in new.state.labels] == ["there"]
    assert any("could not be created, and may be this one" in line for line in report.failures())
    bring(store, new, delete_surplus=True)
    assert [row["name"] for row in new.state.labels] == ["wanted"]


def test_a_group_of_the_creators_name_keeps_its_role(
    old: HarborDouble, new: HarborDouble, keep: Keep
) -> None:
    api = Api(old)
    api.post("/projects", project_name="team")
    add_group(api, "admin", 3)
    store = keep(old)
    assert bring(store, new).failures() == []
    assert members(new) == members(old) == [("g", "admin", 3), ("u", "admin", 1)]


def test_members_of_a_project_that_somebody_else_made_stay(
    old: HarborDouble, new: HarborDouble, team: Api, keep: Keep
) -> None:
    team.delete("/usergroups/1")
    add_user(old, "ann")
    team.post("/projects/team/members", role_id=1, member_user={"username": "ann"})
    leave(old, "team")
    store = keep(old)
    add_user(new, "eve")

    def make(harbor: HarborDouble) -> None:
        Api(harbor).post("/projects", project_name="team")
        Api(harbor).post("/projects/team/members", role_id=1, member_user={"username": "eve"})

    new.faults.add(Fault(method="POST", path="/projects$", callback=make, status=409))
    report = bring(store, new, secrets={"users/ann": PASSWORD})
    assert members(new) == [("u", "admin", 1), ("u", "ann", 1), ("u", "eve", 1)]
    refused, left = report.failures()
    assert "409" in refused
    assert "left, since this import has not made the project" in left


def test_only_the_creator_leaves_a_project_that_was_made(
    old: HarborDouble, new: HarborDouble, keep: Keep
) -> None:
    Api(old).post("/projects", project_name="team")
    leave(old, "team")
    store = keep(old)
    add_user(new, "eve")

    def join(harbor: HarborDouble) -> None:
        Api(harbor).post("/projects/team/members", role_id=2, member_user={"username": "eve"})

    new.faults.add(Fault(method="GET", path="/team/members", callback=join))
    assert bring(store, new).failures() == []
    assert members(new) == [("u", "eve", 2)]


def test_an_import_does_not_demote_its_own_login(
    old: HarborDouble, new: HarborDouble, keep: Keep
) -> None:
    add_user(old, "chief")
    Api(old).put("/users/2", email="chief@new.example.com", realname="chief")
    Api(old).post("/projects", project_name="team")
    store = keep(old)
    add_user(new, "chief", leads=True)
    for _ in range(2):
        (failure,) = bring(store, new, "chief", PASSWORD).failures()
        assert "user chief: left an administrator" in failure
        assert new.state.users["chief"].sysadmin
        assert new.state.users["chief"].email == "chief@new.example.com"
    assert new.state.project("team") is not None
    assert bring(store, new).failures() == []  # as another one
    assert not new.state.users["chief"].sysadmin


@pytest.fixture
def cache(old: HarborDouble, keep: Keep) -> Iterator[BackupStore]:
    """Settings of a proxy project without its creator and a policy; another Harbor can make it."""
    with services() as service:
        api = Api(old)
        number = api.post("/registries", name="up", type="docker-registry", url=service.url)
        api.post("/projects", project_name="cache", registry_id=int(number))
        policy = api.get("/projects/cache")["metadata"]["retention_id"]
        api.delete(f"/retentions/{policy}")
        leave(old, "cache")
        yield keep(old)


def policy_of(harbor: HarborDouble) -> str:
    return str(Api(harbor).get("/projects/cache")["metadata"].get("retention_id") or "")


@pytest.mark.parametrize(
    "fault", [{"status": 500}, {"status": 200, "body": "<html>hello</html>"}, {"reset": True}]
)
def test_what_came_with_a_project_goes_with_the_next_import(
    new: HarborDouble, cache: BackupStore, fault: dict[str, Any]
) -> None:
    for path in ("/retentions/", "/members/"):
        new.faults.add(Fault(method="DELETE", path=path, times=None, **fault))
    assert len(bring(cache, new).failures()) == 2
    new.faults.clear()
    assert policy_of(new)
    assert members(new, "cache") == [("u", "admin", 1)]
    assert bring(cache, new).failures() == []
    assert policy_of(new) == ""
    assert members(new, "cache") == []
    # And what somebody makes there later is nobody's but theirs.
    Api(new).post("/projects/cache/members", role_id=2, member_user={"username": "admin"})
    report = bring(cache, new)
    assert members(new, "cache") == [("u", "admin", 2)]
    assert (report.failures(), report.surplus) == ([], {"members": 1})


def test_what_looks_as_if_it_came_with_a_project_is_told_and_left(
    new: HarborDouble, cache: BackupStore
) -> None:
    bring(cache, new)
    Api(new).delete("/projects/cache")
    number = Api(new).get("/registries")[0]["id"]
    Api(new).post("/projects", project_name="cache", registry_id=number)  # by somebody else
    report = bring(cache, new)
    assert members(new, "cache") == [("u", "admin", 1)]
    assert policy_of(new)
    member, policy = report.failures()
    assert "project cache: member user admin: it is an administrator" in member
    assert "project cache: retention policy: it is what Harbor gives" in policy
    add_user(new, "chief", leads=True)  # who did not make it, and can tell nothing of admin
    (only,) = bring(cache, new, "chief", PASSWORD).failures()
    assert "retention policy" in only
    assert bring(cache, new, delete_surplus=True).failures() == []
    assert (members(new, "cache"), policy_of(new)) == ([], "")


def test_a_store_that_cannot_be_written_is_no_error_of_an_import(
    new: HarborDouble, cache: BackupStore, tmp_path: Path
) -> None:
    (tmp_path / "store" / "made").write_text("no directory")
    assert bring(cache, new).failures() == []
    assert (members(new, "cache"), policy_of(new)) == ([], "")


def grants_of(harbor: HarborDouble, name: str) -> dict[str, list[str]]:
    """Return what a robot may do, by project."""
    found = next(each for each in Api(harbor).get("/robots") if each["name"].endswith(name))
    return {
        row["namespace"]: sorted(each["action"] for each in row["access"])
        for row in found["permissions"]
    }


def add_robot(api: Api, **actions: str) -> int:
    """Make a robot of the system, with actions by project; returns its id."""
    rows = [row for name, each in actions.items() for row in grants(project=each, namespace=name)]
    made = api.send(
        "POST", "/robots", {"name": "ci", "level": "system", "duration": -1, "permissions": rows}
    )
    return int(made.json()["id"])


def test_a_robot_keeps_its_rights_on_projects_that_were_not_chosen(
    old: HarborDouble, keep: Keep
) -> None:
    api = Api(old)
    for name in ("team", "bare"):
        api.post("/projects", project_name=name)
    both = "repository:pull repository:push"
    number = add_robot(api, team=both, bare="repository:pull")
    store = keep(old, include=["team"])
    robot = next(each for each in api.get("/robots") if each["id"] == number)
    rows = [*grants(project="repository:pull", namespace="team")]
    api.put(f"/robots/{number}", **{**robot, "permissions": rows})
    assert bring(store, old).failures() == []
    assert grants_of(old, "ci") == {"team": ["pull", "push"], "bare": ["pull"]}


def test_a_copy_of_a_project_takes_nothing_from_the_one_that_is_there(
    old: HarborDouble, keep: Keep
) -> None:
    with services() as service:
        api = Api(old)
        api.post("/projects", project_name="team")
        add_robot(api, team="repository:pull")
        number = int(api.post("/registries", name="up", type="docker-registry", url=service.url))
        api.post(
            "/replication/policies", name="push", dest_registry={"id": number}, enabled=True,
            trigger={"type": "manual"}, filters=[{"type": "name", "value": "team/**"}],
        )  # fmt: skip
        store = keep(old)
        for _ in range(2):
            (failure,) = bring(store, old, renames=["team=crew"]).failures()
            assert "replication policy push: it is of the project team there" in failure
            assert grants_of(old, "ci") == {"team": ["pull"], "crew": ["pull"]}
            (policy,) = api.get("/replication/policies")
            assert policy["filters"] == [{"type": "name", "value": "team/**"}]
        assert bring(store, old, renames=["team=crew"]).writes == 0


def test_policies_of_replication_name_a_project_as_it_is_called_now(
    old: HarborDouble, new: HarborDouble, keep: Keep
) -> None:
    with services() as service:
        api = Api(old)
        api.post("/projects", project_name="team")
        add_robot(api, team="repository:pull")
        number = int(api.post("/registries", name="up", type="docker-registry", url=service.url))

        def policy(name: str, side: str, filter_: str, namespace: str = "") -> None:
            api.post(
                "/replication/policies", name=name, enabled=True, trigger={"type": "manual"},
                dest_namespace=namespace, filters=[{"type": "name", "value": filter_}],
                **{side: {"id": number}},
            )  # fmt: skip

        policy("push", "dest_registry", "team/**", "team")
        policy("pull", "src_registry", "team/**", "team")
        policy("all", "dest_registry", "**")
        policy("others", "dest_registry", "teams/**")
        policy("pattern", "dest_registry", "{team,web}/**")
        policy("by their name", "src_registry", "team/app")
        store = keep(old)
        report = bring(store, new, renames=["team=crew"])
        cannot = [line.partition(":")[0] for line in report.failures()]
        assert cannot == ["replication policy by their name", "replication policy pattern"]
        found = {
            each["name"]: (each["filters"][0]["value"], each.get("dest_namespace", ""))
            for each in Api(new).get("/replication/policies")
        }
        assert found == {
            # At the other end nothing is renamed.
            "push": ("crew/**", "team"), "pull": ("team/**", "crew"),
            "all": ("**", ""), "others": ("teams/**", ""),
        }  # fmt: skip
        assert bring(store, new, renames=["team=crew"]).writes == 0


@pytest.mark.parametrize("name", ["team", "crew"])
def test_secrets_are_taken_by_the_old_and_by_the_new_name_of_a_project(
    old: HarborDouble, new: HarborDouble, keep: Keep, name: str
) -> None:
    api = Api(old)
    api.post("/projects", project_name="team")
    rows = grants(project="repository:pull", namespace="team")
    body = {"name": "ci", "level": "project", "duration": -1, "permissions": rows}
    api.send("POST", "/robots", body)
    secrets = {f"{name}/robots/ci": "Given-12345"}
    report = bring(keep(old), new, secrets=secrets, renames=["team=crew"])
    assert (report.failures(), report.needs, report.unused) == ([], [], ())
    (made,) = new.state.robots.values()
    assert (made.name, made.secret) == ("robot$crew+ci", "Given-12345")


@pytest.mark.parametrize("path", ["/labels.*scope=g", "/team/members"])
def test_what_cannot_be_read_back_is_told(
    old: HarborDouble, new: HarborDouble, team: Api, keep: Keep, path: str
) -> None:
    team.post("/labels", name="stable", scope="g", color="#000000")
    store = keep(old)
    Api(new).post("/projects", project_name="team")
    # It is read once before, and then again.
    new.faults.add(Fault(method="GET", path=path, skip=1, times=None, status=403))
    (failure,) = bring(store, new).failures()
    assert "written, but it could not be read back" in failure


def test_rights_on_two_projects_that_become_one_are_those_of_both(
    old: HarborDouble, new: HarborDouble, keep: Keep
) -> None:
    api = Api(old)
    for name in ("team", "crew"):
        api.post("/projects", project_name=name)
    add_robot(api, team="repository:pull", crew="repository:push repository:pull")
    store = keep(old, include=["team"])
    assert bring(store, new, renames=["team=crew"]).failures() == []
    assert grants_of(new, "ci") == {"crew": ["pull", "push"]}
    assert bring(store, new, renames=["team=crew"]).writes == 0


def test_what_a_robot_made_is_finished_by_the_next_import(
    new: HarborDouble, cache: BackupStore
) -> None:
    everything = {
        kind: " ".join(f"{one['resource']}:{one['action']}" for one in rows)
        for kind, rows in Api(new).get("/permissions").items()
    }
    who = robot(new, everything["system"], everything["project"])
    for path in ("/retentions/", "/members/"):
        new.faults.add(Fault(method="DELETE", path=path, times=None, status=500))
    bring(cache, new, *who)
    assert members(new, "cache") == [("u", "admin", 1)]
    new.faults.clear()
    bring(cache, new, *who)
    assert (members(new, "cache"), policy_of(new)) == ([], "")
