"""Lists that change while they are read, and such as are not as long as they are said to be."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_harbor.core.exceptions import HarborBackupError
from airflow_provider_harbor.core.harbor.client import HarborClient
from airflow_provider_harbor.core.settings.kinds import SYSTEM
from airflow_provider_harbor.core.settings.reader import read_settings
from airflow_provider_harbor.core.settings.values import HarborSettings
from tests.core.settings_rig import Api, grants
from tests.double import HarborDouble
from tests.double.faults import Fault

_PAGE = 3
_NAMES = [f"n{number}" for number in range(7)]


def read(harbor: HarborDouble) -> HarborSettings:
    with HarborClient(harbor.url, harbor.user, harbor.password, page_size=_PAGE) as client:
        return read_settings(client)


@pytest.fixture
def api(harbor: HarborDouble) -> Api:
    Api(harbor).post("/projects", project_name="team")
    return Api(harbor)


def make(api: Api, kind: str, name: str) -> str:
    """Make an item of a kind; returns where it is deleted."""
    if kind == "projects":
        api.post("/projects", project_name=name)
        return f"/projects/{name}"
    if kind == "labels":
        return f"/labels/{api.post('/labels', name=name, scope='g', color='#0065AB')}"
    if kind == "robots":
        body = {"name": name, "level": "system", "duration": -1, "permissions": grants("user:list")}
        return f"/robots/{api.send('POST', '/robots', body).json()['id']}"
    user = api.post(
        "/users", username=name, email=f"{name}@example.com", realname=name, password="Abcdef12"
    )
    if kind == "users":
        return f"/users/{user}"
    number = api.post("/projects/team/members", role_id=2, member_user={"username": name})
    return f"/projects/team/members/{number}"


def names_of(found: HarborSettings, kind: str) -> set[str]:
    if kind == "projects":
        return set(found.project_ids)
    items = found.values["team" if kind == "members" else SYSTEM, kind]
    return {item.get("name") or item["username"] for item in items}


_PATHS = {
    "projects": r"/projects\?",
    "labels": r"/labels\?scope=g",
    "robots": r"/robots\?sort",
    "users": r"/users\?",
    "members": r"/projects/team/members",
}


@pytest.mark.parametrize("kind", _PATHS)
def test_what_is_deleted_between_two_pages_hides_no_other_one(
    harbor: HarborDouble, api: Api, kind: str
) -> None:
    first, *_ = [make(api, kind, name) for name in _NAMES]
    fault = Fault(
        method="GET", path=_PATHS[kind], skip=1, callback=lambda _: api.delete(first), times=1
    )
    harbor.faults.add(fault)

    found = read(harbor)

    assert fault.hits == 1
    # A project that went is one that fails.
    assert {unread.scope for unread in found.unread if unread.failed} <= {_NAMES[0]}
    assert names_of(found, kind) >= set(_NAMES[1:])


def test_a_list_that_never_stands_still_is_said_to_be_unread(
    harbor: HarborDouble, api: Api
) -> None:
    for name in _NAMES:
        make(api, "labels", name)
    numbers = itertools.count()
    harbor.faults.add(
        Fault(
            method="GET", path=_PATHS["labels"], times=None,
            callback=lambda _: make(api, "labels", f"more{next(numbers)}"),
        )
    )  # fmt: skip

    found = read(harbor)

    (unread,) = [unread for unread in found.unread if unread.failed]
    assert (unread.kind, unread.passing) == ("labels", True)
    assert "it kept changing" in unread.reason
    assert (SYSTEM, "labels") not in found.values


def answer(harbor: HarborDouble, api: Api, path: str, change: Callable[[list[Any]], Any]) -> None:
    """Have a list answered otherwise, with the count of the right one."""
    items = api.get(path)
    harbor.faults.add(
        Fault(
            method="GET", path=path.replace("?", r"\?"), status=200, times=None,
            body=json.dumps(change(items)), content_type="application/json",
            headers={"X-Total-Count": str(len(items))},
        )
    )  # fmt: skip


@pytest.mark.parametrize(
    "change",
    [
        lambda items: items[:-1] + items[:1],
        lambda items: items[:-1],
        lambda items: [*items, {**items[-1], "id": 99}],
    ],
    ids=["one twice", "one missing", "one more"],
)
def test_a_list_that_is_not_as_long_as_it_is_counted_fails(
    harbor: HarborDouble, api: Api, change: Callable[[list[Any]], Any]
) -> None:
    for name in _NAMES[:_PAGE]:
        make(api, "labels", name)
    answer(harbor, api, "/labels?scope=g", change)
    unread = [u for u in read(harbor).unread if u.failed]
    assert {u.kind for u in unread} == {"labels"}
    assert any("Harbor counts 3, and lists" in u.reason for u in unread)


def test_two_items_of_one_name_are_not_silently_one(harbor: HarborDouble, api: Api) -> None:
    for name in _NAMES[:2]:
        make(api, "labels", name)
    answer(harbor, api, "/labels?scope=g", lambda items: [{**i, "name": "x"} for i in items])
    assert not read(harbor).unread[1:]  # they are the same otherwise
    harbor.faults.clear()
    answer(
        harbor, api, "/labels?scope=g",
        lambda items: [{**item, "name": "x", "description": item["name"]} for item in items],
    )  # fmt: skip
    (unread,) = [u for u in read(harbor).unread if u.failed]
    assert unread.reason.startswith("there are two of 'x' that differ")


# -- quotas, which are of projects by their names


_QUOTAS = "/quotas?reference=project"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda quotas: [{**q, "ref": None} for q in quotas], "lists 2 quotas without the name"),
        (lambda quotas: [{**q, "ref": {"name": 7}} for q in quotas], "without the name"),
        (lambda quotas: quotas[:1], "counts 2 quotas, and lists 1"),
        (lambda quotas: quotas[:1] * 2, "counts 2 quotas, and lists 1"),
        (lambda quotas: [], "counts 2 quotas, and lists 0"),
        (lambda quotas: [quotas[0], {**quotas[0], "id": 9}], "several quotas of one"),
    ],
)
def test_a_quota_that_is_not_shown_is_not_said_to_be_none(
    harbor: HarborDouble, api: Api, change: Callable[[list[Any]], Any], reason: str
) -> None:
    whole = read(harbor)
    answer(harbor, api, _QUOTAS, change)
    found = read(harbor)
    failed = {unread.scope: unread.reason for unread in found.unread if unread.failed}
    assert any(reason in each for each in failed.values())
    for project in ("library", "team"):
        assert project in failed or found.of(project)["quota"] == whole.of(project)["quota"]


def test_a_quota_of_a_project_that_is_gone_takes_none_from_others(
    harbor: HarborDouble, api: Api
) -> None:
    whole = read(harbor)
    quotas = api.get(_QUOTAS)
    gone = {"id": 99, "ref": None, "hard": {"storage": 7}}
    harbor.faults.add(
        Fault(
            method="GET", path="/quotas", status=200, times=None, body=json.dumps([*quotas, gone]),
            content_type="application/json", headers={"X-Total-Count": "3"},
        )
    )  # fmt: skip
    assert read(harbor).values == whole.values


def test_a_project_without_a_quota_has_none(harbor: HarborDouble) -> None:
    api = Api(harbor)
    api.put("/configurations", quota_per_project_enable=False)
    api.post("/projects", project_name="free")
    found = read(harbor)
    assert found.of("free")["quota"] is None
    assert not [unread for unread in found.unread if unread.failed]


@pytest.mark.parametrize("left", [1, 0])
def test_a_project_that_is_counted_and_not_listed_is_an_error(
    harbor: HarborDouble, api: Api, left: int
) -> None:
    api.put("/configurations", quota_per_project_enable=False)
    answer(harbor, api, "/projects?", lambda projects: projects[:left])
    with pytest.raises(HarborBackupError):
        read(harbor)


def test_a_member_that_comes_twice_is_not_said_to_have_a_role_that_is_none(
    harbor: HarborDouble, api: Api
) -> None:
    make(api, "members", "ann")
    answer(harbor, api, "/projects/team/members", lambda members: members[:1] * 2)
    (unread,) = [u for u in read(harbor).unread if u.kind == "members"]
    assert unread.failed
    assert "role" not in unread.reason
