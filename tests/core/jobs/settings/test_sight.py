"""A login that does not see all projects: no night of its own passes for a whole one."""

from __future__ import annotations

import pytest

from airflow_provider_harbor.core.exceptions import HarborConfigurationError, HarborSightError
from airflow_provider_harbor.core.harbor.client import HarborClient
from airflow_provider_harbor.core.jobs.settings.compare import compare, split_unseen
from airflow_provider_harbor.core.jobs.settings.exporting import export_settings
from airflow_provider_harbor.core.jobs.settings.nights import find_night
from airflow_provider_harbor.core.jobs.settings.report import compare_nights, report_settings
from airflow_provider_harbor.core.settings.kinds import SYSTEM
from airflow_provider_harbor.core.settings.values import Unread
from airflow_provider_harbor.core.store.backup_store import BackupStore
from airflow_provider_harbor.core.store.settings_files import NightSettings, SettingsDocument
from tests.core.rig import login
from tests.core.settings_rig import READER, Api, grants, robot
from tests.double import HarborDouble
from tests.double.faults import Fault

_PROJECT = f"{READER['project']} project:read"
_NO_QUOTA = READER["system"].replace("quota:list", "").replace("project:list", "")


@pytest.fixture
def projects(harbor: HarborDouble, store: BackupStore) -> HarborDouble:
    for name in ("one", "two"):
        Api(harbor).post("/projects", project_name=name)
    store.begin_for(harbor.url)
    return harbor


def blind(harbor: HarborDouble, system: str = _NO_QUOTA) -> HarborClient:
    permissions = [*grants(system), *grants(project=_PROJECT, namespace="one")]
    made = harbor.state.create_robot(
        "blind", permissions, secret="Reader-12345", level="system", duration=-1
    )
    return login(harbor, made.name, "Reader-12345")


def plain_user(harbor: HarborDouble) -> HarborClient:
    api = Api(harbor)
    api.post("/users", username="ann", email="a@example.com", realname="Ann", password="Abcdef12")
    api.post("/projects/one/members", role_id=1, member_user={"username": "ann"})
    return login(harbor, "ann", "Abcdef12")


def keys(store: BackupStore) -> list[str]:
    return list(store.snapshots.list_keys())


@pytest.mark.parametrize("without", ["quotas", "rights", "user"])
def test_who_does_not_see_all_projects_keeps_no_night(
    projects: HarborDouble, store: BackupStore, without: str
) -> None:
    with login(projects) as client:
        export_settings(client, store, "night-1")
    who = plain_user(projects) if without == "user" else blind(
        projects, _NO_QUOTA if without == "quotas" else "project:read"
    )  # fmt: skip
    with who as client, pytest.raises(HarborSightError):
        export_settings(client, store, "night-2")
    assert keys(store) == ["night-1"]
    assert find_night(store).key == "night-1"


def test_a_robot_that_sees_all_keeps_all(projects: HarborDouble, store: BackupStore) -> None:
    with login(projects, *robot(projects, READER["system"], _PROJECT)) as client:
        made = export_settings(client, store, "night-1")
    assert not made.failures
    assert sorted(made.night.projects) == ["library", "one", "two"]


def test_some_projects_by_name_need_no_sight_and_by_a_glob_are_incomplete_without(
    projects: HarborDouble, store: BackupStore
) -> None:
    with blind(projects) as client:
        assert not export_settings(client, store, "night-1", include=["one"]).failures
        made = export_settings(client, store, "night-2", include=["o*", "t*"])
        assert list(made.night.projects) == ["one"]
        (failure,) = made.failures
        assert failure.startswith("projects: ")
        assert export_settings(client, store, "night-3", exclude=["library"]).failures
        with pytest.raises(HarborConfigurationError, match="no project matches 'two'"):
            export_settings(client, store, "night-4", include=["two"])
    assert keys(store) == ["night-1", "night-2", "night-3"]


def test_a_harbor_that_shows_no_project_is_not_one_without(
    projects: HarborDouble, store: BackupStore
) -> None:
    projects.faults.add(
        Fault(
            method="GET", path=r"/projects\?", status=200, body="[]", times=None,
            content_type="application/json", headers={"X-Total-Count": "0"},
        )
    )  # fmt: skip
    with login(projects) as client, pytest.raises(HarborConfigurationError):
        export_settings(client, store, "night-1")


def document(scope: str, **values: object) -> SettingsDocument:
    return SettingsDocument(scope=scope, values=values)


def night(store: BackupStore, *documents: SettingsDocument, unread: tuple[Unread, ...] = ()) -> (
    NightSettings
):  # fmt: skip
    names = {each.scope: store.settings.write(each) for each in documents}
    return NightSettings(system=names.pop(SYSTEM, ""), projects=names, unread=unread)


def test_what_could_not_be_read_whole_has_not_come_nor_gone(store: BackupStore) -> None:
    store.begin_for("http://127.0.0.1:1")
    red, blue = {"name": "red"}, {"name": "blue"}
    whole = night(store, document("", labels=[red, blue]), document("a", project={"x": 1}))
    less = night(
        store,
        document("", labels=[{**red, "color": "#FF0000"}]),
        unread=(
            Unread(scope="", kind="labels", reason="counted 2", failed=True),
            Unread(scope="", kind="projects", reason="not seen"),
        ),
    )
    for pair in ((whole, less), (less, whole)):
        (change,) = compare_nights(store, *pair)[0]
        assert (change.key, change.change.value) == ("red", "changed")
    store.settings.write_night("night-1", whole)
    store.settings.write_night("night-2", less)
    report = report_settings(store, "night-2")
    assert report is not None
    assert report.unread_lines()[2:] == [
        "label blue: not seen now, since not all could be read",
        "project a: not seen now, since not all could be read",
    ]
    # Otherwise it has.
    gone = split_unseen(compare({"": {"labels": [red]}}, {"": {"labels": []}}), (), ())
    assert [change.change.value for change in gone[0]] == ["removed"]
    assert not gone[1]
