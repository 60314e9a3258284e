"""One repository that cannot be listed does not stop the others; a server that fails does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from airflow_provider_harbor.core.exceptions import (
    HarborConnectionError,
    HarborProtocolError,
    HarborServerError,
    HarborStatusError,
)
from airflow_provider_harbor.core.harbor import inventory as inventory_module
from airflow_provider_harbor.core.harbor.batches import SIDE_BY_SIDE
from airflow_provider_harbor.core.harbor.client import HarborClient
from airflow_provider_harbor.core.harbor.inventory import Inventory
from airflow_provider_harbor.core.harbor.listing import Listing
from airflow_provider_harbor.core.http import tries as tries_module
from tests.core.harbor.walks import JSON, behind_the_listing
from tests.core.rig import fast_session, list_patiently, list_whole, login
from tests.double import Fault, HarborDouble
from tests.double.content import Image

ODD_ROW = '[{"id": 1, "digest": "no digest", "repository_name": "p/bad"}]'
FAILURE = '{"errors": [{"code": "UNKNOWN", "message": "internal server error"}]}'


@pytest.fixture(params=["v2.15.2", "v2.15.1", "v2.11.0"])
def harbor(request: pytest.FixtureRequest) -> HarborDouble:
    """A Harbor that tells changes by its repositories' times, and older ones that do not."""
    with HarborDouble(version=request.param) as double:
        double.create_project("p")
        yield double


@pytest.fixture
def newest() -> HarborDouble:
    with HarborDouble() as double:
        double.create_project("p")
        yield double


def one_is_bad(inventory: Inventory, good: int = 3) -> None:
    (gap,) = inventory.gaps
    assert gap.repository == "p/bad"
    assert {r.repository for r in inventory.records} >= {f"p/good{n}" for n in range(good)}


def fill(harbor: HarborDouble) -> None:
    for name in ("bad", "good0", "good1", "good2"):
        harbor.push(f"p/{name}", Image(name), "1")


def test_one_repository_whose_count_disagrees_is_one_gap(harbor: HarborDouble) -> None:
    fill(harbor)
    body = '{"id": 99, "name": "p/bad", "artifact_count": 7}'
    harbor.faults.add(
        Fault(path="/repositories/bad$", status=200, body=body, content_type=JSON, times=None)
    )
    behind_the_listing(harbor, lambda d: d.push("p/bad", Image("late"), "late"))
    one_is_bad(list_patiently(login(harbor), "p"))


def fail_with(status: int, body: str, content_type: str = JSON) -> Callable[[HarborDouble], None]:
    def add(harbor: HarborDouble) -> None:
        for path in (r"/projects/p/artifacts", r"/repositories/bad/artifacts"):
            harbor.faults.add(
                Fault(
                    path=path,
                    status=status,
                    body=body,
                    content_type=content_type,
                    headers={"X-Total-Count": "1"},
                    times=None,
                )
            )

    return add


@pytest.mark.parametrize(
    ("add_faults", "reason"),
    [
        (fail_with(500, FAILURE), "server-error"),
        (fail_with(200, ODD_ROW), "odd-answer"),
        (fail_with(200, "not json", "text/html"), "odd-answer"),
    ],
    ids=["error", "odd row", "no JSON"],
)
def test_one_repository_that_cannot_be_listed_is_one_gap(
    harbor: HarborDouble, add_faults: Callable[[HarborDouble], None], reason: str
) -> None:
    fill(harbor)
    add_faults(harbor)
    inventory = list_patiently(login(harbor), "p")
    one_is_bad(inventory)
    assert inventory.gaps[0].reason == reason


@pytest.mark.parametrize(
    ("fault", "reason", "words"),
    [
        (Fault(status=403), "denied-at-source", "it could not be listed whole: GET "),
        (Fault(status=429), "rate-limit", "it could not be listed whole: GET "),
        (Fault(reset=True), "connection", "/repositories/bad/artifacts"),
    ],
    ids=["denied", "too many", "reset"],
)
def test_why_a_repository_could_not_be_listed_is_told(
    newest: HarborDouble, fault: Fault, reason: str, words: str
) -> None:
    fill(newest)
    newest.faults.add(replace(fault, path=r"/repositories/bad/artifacts", times=None))
    newest.faults.add(Fault(path="/projects/p/artifacts", status=500, times=None))
    client = HarborClient(
        newest.url, newest.user, newest.password, session=fast_session(newest.url, max_attempts=1)
    )
    inventory = list_patiently(client, "p")
    one_is_bad(inventory)
    assert inventory.gaps[0].reason == reason
    assert words in inventory.gaps[0].message


@pytest.mark.parametrize("with_repositories", [True, False])
def test_a_project_list_that_cannot_be_read_is_never_an_empty_project(
    newest: HarborDouble, with_repositories: bool
) -> None:
    if with_repositories:
        newest.push("p/good", Image("good"), "1")
    newest.faults.add(
        Fault(
            path="/projects/p/artifacts",
            status=200,
            body='[{"id": 1, "digest": "no digest", "repository_name": "p/lost"}]',
            content_type=JSON,
            headers={"X-Total-Count": "1"},
            times=None,
        )
    )
    if not with_repositories:
        with pytest.raises(HarborProtocolError):
            list_patiently(login(newest), "p")
        return
    inventory = list_patiently(login(newest), "p")
    assert [gap.repository for gap in inventory.gaps] == ["p"]
    assert len(inventory.records) == 1


@pytest.mark.parametrize(
    "fault", [Fault(status=500), Fault(status=403), Fault(status=429), Fault(reset=True)]
)
def test_a_harbor_that_lists_no_repository_is_an_error_and_not_a_hundred_gaps(
    newest: HarborDouble, fault: Fault
) -> None:
    for number in range(100):
        newest.push(f"p/app{number}", Image(f"{number}"), "1")
    newest.faults.add(Fault(path="/projects/p/artifacts", status=500, times=None))
    asked = newest.faults.add(replace(fault, path="/repositories/.*/artifacts", times=None))
    client = HarborClient(
        newest.url, newest.user, newest.password, session=fast_session(newest.url, max_attempts=1)
    )
    with pytest.raises((HarborStatusError, HarborConnectionError)):
        list_patiently(client, "p")
    # One that took others a moment ago means "not so fast", for some tries.
    tries = tries_module._MOST_REFUSALS + 1 if fault.status == 429 else 1
    assert 3 <= asked.hits <= 2 * SIDE_BY_SIDE * tries


def test_a_harbor_that_goes_on_to_fail_is_told_from_a_login_that_may_not_list(
    newest: HarborDouble,
) -> None:
    fill(newest)
    newest.faults.add(Fault(path=r"/artifacts", status=500, times=None))
    with pytest.raises(HarborServerError, match="project 'p' could not be listed, since Harbor"):
        list_patiently(login(newest), "p")


def test_two_repositories_that_cannot_be_listed_stop_no_others(newest: HarborDouble) -> None:
    for name in ("a", "b", "good"):
        newest.push(f"p/{name}", Image(name), "1")
    newest.faults.add(Fault(path="/projects/p/artifacts", status=500, times=None))
    newest.faults.add(Fault(path="/repositories/[ab]/artifacts", status=500, times=None))
    inventory = list_patiently(login(newest), "p")
    assert [gap.repository for gap in inventory.gaps] == ["p/a", "p/b"]
    assert [record.repository for record in inventory.records] == ["p/good"]


@pytest.mark.parametrize("fault", [Fault(status=500), Fault(status=200, body="not json")])
def test_three_repositories_that_cannot_be_listed_stop_no_others(
    newest: HarborDouble, fault: Fault
) -> None:
    """It is not the server: one was listed, or what came was read and is wrong."""
    for name in ("bad0", "bad1", "bad2", "good"):
        newest.push(f"p/{name}", Image(name), "1")
    if fault.status == 500:
        newest.push("p/a", Image("listed first"), "1")
        newest.state.repositories["p/a"].id = 0
    newest.faults.add(Fault(path="/projects/p/artifacts", status=500, times=None))
    newest.faults.add(replace(fault, path="/repositories/bad./artifacts", times=None))
    inventory = list_patiently(login(newest), "p")
    assert [gap.repository for gap in inventory.gaps] == ["p/bad0", "p/bad1", "p/bad2"]
    assert "p/good" in {record.repository for record in inventory.records}


def test_a_project_whose_own_list_fails_is_whole_where_each_repository_can_be_listed(
    newest: HarborDouble,
) -> None:
    fill(newest)
    newest.faults.add(Fault(path="/projects/p/artifacts", status=500, times=None))
    assert len(list_whole(login(newest), "p")) == 4


@pytest.mark.parametrize("body", ["not json", ODD_ROW, ""])
def test_a_project_whose_list_fails_and_that_has_no_repository_is_not_empty(
    newest: HarborDouble, body: str
) -> None:
    newest.faults.add(
        Fault(
            path="/projects/p/artifacts",
            status=200 if body else 500,
            body=body,
            content_type=JSON,
            headers={"X-Total-Count": "1"},
            times=None,
        )
    )
    with pytest.raises((HarborProtocolError, HarborServerError)):
        list_patiently(login(newest), "p")


def test_a_defect_of_this_program_in_one_repository_is_one_gap(
    newest: HarborDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(newest)
    walk = inventory_module.walk_accessories

    def broken(client: HarborClient, name: str, listing: Listing, **options: int) -> None:
        if name == "p/bad":
            raise ZeroDivisionError("surprise")
        walk(client, name, listing, **options)

    monkeypatch.setattr(inventory_module, "walk_accessories", broken)
    inventory = list_patiently(login(newest), "p")
    one_is_bad(inventory)
    assert "ZeroDivisionError: surprise" in inventory.gaps[0].message


@pytest.mark.parametrize("status", [403, 404, 429])
def test_a_project_that_is_denied_is_not_listed_one_by_one(
    newest: HarborDouble, status: int
) -> None:
    newest.push("p/app", Image("app"), "1")
    newest.faults.add(Fault(path="/projects/p/artifacts", status=status, times=None))
    with pytest.raises(HarborStatusError) as caught:
        list_patiently(login(newest), "p")
    assert caught.value.status == status
    assert newest.requests["rest.repositories"] == 1  # what changed last
