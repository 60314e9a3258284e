"""What changes during a walk is settled with its batch, and what cannot be is an error."""

from __future__ import annotations

import pytest

from airflow_provider_harbor.core.exceptions import (
    HarborAuthError,
    HarborNotFoundError,
)
from airflow_provider_harbor.core.harbor.inventory import InventoryWalk
from tests.core.harbor.walks import (
    JSON,
    asked,
    before_batch,
    begin,
    behind_the_listing,
    fill,
    forget,
    go,
    sizes,
)
from tests.core.rig import login
from tests.double import Fault, HarborDouble
from tests.double.content import Image
from tests.double.server import ROBOT_SECRET


def test_what_is_pushed_while_a_later_batch_is_listed_is_found(harbor: HarborDouble) -> None:
    fill(harbor, 3, 3, 3)
    late = Image("late")
    behind_the_listing(harbor, lambda d: d.push("p/r1", late, "v0"), skip=before_batch(harbor, 1))
    walked, gaps = go(harbor)
    assert harbor.faults.hits == 1
    assert sizes(walked) == {"p/r0": 3, "p/r1": 4, "p/r2": 3}
    (holder,) = [r for r in dict(walked)["p/r1"] if "v0" in {tag.name for tag in r.tags}]
    assert holder.digest == late.digest
    assert gaps == ()


def test_only_what_changed_while_it_was_listed_is_listed_again(newest: HarborDouble) -> None:
    fill(newest, 2, 2, 2, 2, 2, 2)
    late = Image("late")

    def push(harbor: HarborDouble) -> None:
        harbor.push("p/r1", late, "late")  # it was listed and handed on
        harbor.push("p/r3", late, "late")  # it is being listed
        harbor.push("p/r5", late, "late")  # it comes later

    behind_the_listing(newest, push, skip=2)
    walked, _ = go(newest)
    assert sizes(walked) == {"p/r0": 2, "p/r1": 2, "p/r2": 2, "p/r3": 3, "p/r4": 2, "p/r5": 3}
    again = [each for each in asked(newest) if each.startswith("of ")]
    assert again == ["of r3", "of r3/artifacts", "of r3"]


def test_a_repository_that_is_deleted_before_its_batch_is_gone(harbor: HarborDouble) -> None:
    fill(harbor, 3, 3, 3)
    walk = iter(begin(harbor))
    assert next(walk)[0] == "p/r0"
    forget(harbor, "p/r1")
    assert [name for name, _ in walk] == ["p/r2"]


def test_a_repository_that_is_deleted_while_its_batch_is_listed_is_gone(
    harbor: HarborDouble,
) -> None:
    fill(harbor, 3, 3, 3)
    behind_the_listing(harbor, lambda d: forget(d, "p/r1"), skip=before_batch(harbor, 1))
    walked, gaps = go(harbor)
    assert sizes(walked) == {"p/r0": 3, "p/r2": 3}
    assert gaps == ()


def test_a_repository_that_is_made_anew_before_its_batch_is_listed(harbor: HarborDouble) -> None:
    fill(harbor, 3, 3, 3)
    walk = iter(begin(harbor))
    next(walk)
    forget(harbor, "p/r1")
    new = harbor.push("p/r1", Image("new"), "v0")
    rest = dict(walk)
    assert [record.digest for record in rest["p/r1"]] == [new.digest]
    assert list(rest) == ["p/r1", "p/r2"]


def test_a_repository_that_comes_into_being_later_is_left_to_the_next_walk(
    harbor: HarborDouble,
) -> None:
    fill(harbor, 3, 3, 3)
    walk = begin(harbor)
    names = []
    for name, _ in walk:
        names.append(name)
        harbor.push("p/r1-new", Image("new"), "v0")
    assert names == ["p/r0", "p/r1", "p/r2"]
    assert walk.gaps == ()
    assert [name for name, _ in go(harbor)[0]] == ["p/r0", "p/r1", "p/r1-new", "p/r2"]


def test_a_project_that_is_deleted_midway_is_an_error(harbor: HarborDouble) -> None:
    fill(harbor, 3, 3, 3)
    walk = iter(begin(harbor))
    next(walk)
    harbor.state.delete_project("p")
    with pytest.raises(HarborNotFoundError, match="was deleted since it was listed"):
        list(walk)


def test_a_project_that_is_deleted_while_it_is_listed_is_an_error(harbor: HarborDouble) -> None:
    fill(harbor, 2, 2)
    behind_the_listing(harbor, lambda d: d.state.delete_project("p"))
    with pytest.raises(HarborNotFoundError, match="was deleted since it was listed"):
        go(harbor)


@pytest.mark.parametrize("repositories", [1, 9])
def test_a_login_that_may_not_list_artifacts_is_an_error(
    harbor: HarborDouble, repositories: int
) -> None:
    fill(harbor, *[1] * repositories)
    access = {"repository": ("list", "read"), "project": ("read",)}
    client = login(harbor, harbor.create_robot("blind", access=access), ROBOT_SECRET)
    with pytest.raises(HarborAuthError, match="may not list project 'p'"):
        list(InventoryWalk(client, "p"))


def test_a_login_that_loses_its_rights_midway_is_an_error(harbor: HarborDouble) -> None:
    fill(harbor, 3, 3, 3, 3)
    robot = harbor.create_robot("backup")
    client = login(harbor, robot, ROBOT_SECRET)
    walk = iter(InventoryWalk(client, "p", sleep=lambda seconds: None))
    next(walk)
    harbor.state.expire_robot(robot)
    with pytest.raises(HarborAuthError, match="may not list project 'p'"):
        list(walk)


def test_a_repository_whose_list_says_that_it_is_gone_is_gone(newest: HarborDouble) -> None:
    """Newer Harbors answer 404 where others list nothing."""
    fill(newest, 3, 3, 3)

    def vanish(harbor: HarborDouble) -> None:
        forget(harbor, "p/r1")
        body = '{"errors": [{"code": "NOT_FOUND", "message": "repository p/r1 not found"}]}'
        path = r"/repositories/r1/artifacts\?"
        harbor.faults.add(Fault(path=path, status=404, body=body, content_type=JSON, times=None))

    behind_the_listing(newest, vanish, skip=2)
    walked, gaps = go(newest)
    assert sizes(walked) == {"p/r0": 3, "p/r2": 3}
    assert gaps == ()
