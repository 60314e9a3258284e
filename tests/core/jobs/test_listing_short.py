"""A list of repositories that lacks some, once or always, is no word that they are gone."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator

import pytest
import requests

from airflow_provider_harbor.core.harbor import batches
from airflow_provider_harbor.core.harbor.client import HarborClient
from airflow_provider_harbor.core.jobs.listing import list_project
from airflow_provider_harbor.core.store.backup_store import BackupStore
from tests.core.harbor.walks import JSON
from tests.core.nights import Nights, nights_of
from tests.double import Fault, HarborDouble
from tests.double.content import Image

NAMES = ("a", "b", "c")
# The first page of a list from its beginning.
REPOSITORIES = r"/projects/p/repositories\?sort=repository_id&page_size=\d+$"


@pytest.fixture
def nights(harbor: HarborDouble, store: BackupStore) -> Iterator[Nights]:
    with nights_of(harbor, store) as made:
        for name in NAMES:
            harbor.push(f"p/{name}", Image(name), "v1")
        made.clock.move(hours=1)
        yield made


@pytest.fixture
def believed(nights: Nights) -> Nights:
    """The repositories were listed in peace, a night ago."""
    nights.list()
    nights.clock.move(hours=11)
    return nights


def answer_short(nights: Nights, *kept: str, count: int, times: int | None = 1) -> Fault:
    """Have the list of repositories show some only, and count so many."""
    harbor = nights.harbor
    whole = requests.get(
        f"{harbor.url}/api/v2.0/projects/p/repositories",
        auth=(harbor.user, harbor.password),
        timeout=60,
    ).json()
    rows = sorted((r for r in whole if r["name"][2:] in kept), key=lambda row: int(row["id"]))
    return harbor.faults.add(
        Fault(
            path=REPOSITORIES,
            status=200,
            body=json.dumps(rows),
            content_type=JSON,
            headers={"X-Total-Count": str(count)},
            times=times,
        )
    )


@pytest.mark.parametrize(("kept", "count"), [("bc", 3), ("bc", 2), ("", 0)])
def test_a_list_that_lacks_once_what_was_there_is_read_again(
    believed: Nights, kept: str, count: int
) -> None:
    fault = answer_short(believed, *kept, count=count)
    assert believed.is_whole(believed.list())
    assert fault.hits == 1


def test_a_list_that_counts_more_than_it_shows_is_read_again(
    nights: Nights, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a project of several batches nothing else would show it."""
    monkeypatch.setattr(batches, "MOST_ARTIFACTS", 1)
    fault = answer_short(nights, "b", "c", count=3)
    assert nights.is_whole(nights.list())
    assert fault.hits == 1


def in_batches(nights: Nights, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "MOST_ARTIFACTS", 1)


def as_an_empty_project(nights: Nights, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        nights.harbor.state.forget_repository(nights.harbor.state.repositories[f"p/{name}"])
    nights.list()
    nights.clock.move(hours=11)
    nights.harbor.push("p/a", Image("a"), "v1")


@pytest.mark.parametrize("begin", [in_batches, as_an_empty_project])
def test_a_list_that_shows_less_than_its_project_counts_is_read_again(
    nights: Nights,
    monkeypatch: pytest.MonkeyPatch,
    begin: Callable[[Nights, pytest.MonkeyPatch], None],
) -> None:
    begin(nights, monkeypatch)
    client = nights.login()
    list(client.iter_projects())
    answer_short(nights, count=0)
    assert nights.is_whole(nights.list(client))


@pytest.mark.parametrize("knows_projects", [True, False])
@pytest.mark.parametrize("count", [2, 3])
def test_a_list_that_goes_on_to_show_less_than_is_counted_is_a_gap(
    believed: Nights, knows_projects: bool, count: int
) -> None:
    client = believed.login()
    if knows_projects:
        list(client.iter_projects())
    answer_short(believed, "b", "c", count=count, times=None)
    ref, gaps = list_project(client, believed.store, "p", now=believed.clock.now)
    assert [(gap.repository, gap.reason) for gap in gaps] == [("p", "unsettled")]
    assert "counts 3 repositories, and lists 2" in gaps[0].message
    assert {record.repository for record in believed.records(ref)} == {"p/b", "p/c"}
    believed.harbor.faults.clear()
    assert believed.is_whole(believed.list())


def test_what_was_deleted_since_is_gone_and_costs_little(believed: Nights) -> None:
    client = believed.login()
    list(client.iter_projects())
    state = believed.harbor.state
    state.forget_repository(state.repositories["p/a"])
    ref = believed.list(client)
    assert believed.harbor.requests.total() == 2
    assert believed.is_whole(ref)
    assert {record.repository for record in believed.records(ref)} == {"p/b", "p/c"}


OTHER = '{"project_id": 1, "name": "library", "repo_count": 0}'


@pytest.mark.parametrize(("status", "body"), [(403, ""), (200, OTHER)], ids=["denied", "other"])
def test_a_login_that_may_not_see_its_project_finds_what_was_deleted(
    believed: Nights, status: int, body: str
) -> None:
    client = believed.login()
    list(client.iter_projects())
    fault = Fault(path=r"/projects/p$", status=status, body=body, content_type=JSON, times=None)
    believed.harbor.faults.add(fault)
    state = believed.harbor.state
    state.forget_repository(state.repositories["p/a"])
    assert believed.is_whole(believed.list(client))
    assert fault.hits == 1


@pytest.mark.parametrize(("status", "body"), [(403, ""), (200, OTHER)], ids=["denied", "other"])
def test_a_list_that_lacks_once_is_read_again_also_where_no_project_may_be_seen(
    believed: Nights, status: int, body: str
) -> None:
    believed.harbor.faults.add(
        Fault(path=r"/projects/p$", status=status, body=body, content_type=JSON, times=None)
    )
    answer_short(believed, "b", "c", count=2)
    assert believed.is_whole(believed.list())


@pytest.mark.parametrize("may_see_project", [True, False])
def test_deletions_that_go_on_while_the_list_is_read_again_and_again_are_no_lack(
    nights: Nights, may_see_project: bool
) -> None:
    """Also where only the list itself can be asked how many there are."""
    for at in range(12):
        nights.harbor.push(f"p/z{at:02}", Image(f"z{at}"), "v1")
    left = [f"p/z{at:02}" for at in range(11, -1, -1)]

    def delete(harbor: HarborDouble) -> None:
        harbor.state.forget_repository(harbor.state.repositories[left.pop(0)])

    page_behind = Fault(
        path=r"/projects/p/repositories\?.*q=repository_id%3D%5B", callback=delete, times=len(left)
    )
    nights.harbor.faults.add(page_behind)
    if not may_see_project:
        nights.harbor.faults.add(Fault(path=r"/projects/p$", status=403, times=None))
    user, password = nights.harbor.user, nights.harbor.password
    client = HarborClient(nights.harbor.url, user, password, page_size=5)
    ref = nights.list(client)
    assert page_behind.hits
    assert nights.is_whole(ref)
    lists = r"/projects/p/repositories\?sort=repository_id&page_size=\d+$"
    begun = [target for _, target, _ in nights.harbor.requests.log if re.search(lists, target)]
    assert len(begun) <= 4  # one to read it, the others to see what changed since


def test_what_is_deleted_while_the_list_is_read_is_gone(nights: Nights) -> None:
    client = HarborClient(
        nights.harbor.url, nights.harbor.user, nights.harbor.password, page_size=1
    )
    state = nights.harbor.state

    def delete(harbor: HarborDouble) -> None:
        state.forget_repository(state.repositories["p/c"])

    nights.harbor.faults.add(Fault(path=r"/projects/p/repositories\?.*q=", callback=delete))
    ref = nights.list(client)
    assert {record.repository for record in nights.records(ref)} == {"p/a", "p/b"}
