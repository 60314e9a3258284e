"""Batches are listed side by side, and what comes of it is the same."""

from __future__ import annotations

import threading

import pytest

from airflow_provider_harbor.core.exceptions import HarborConnectionError
from airflow_provider_harbor.core.harbor import inventory
from airflow_provider_harbor.core.harbor.inventory import InventoryWalk
from tests.core.harbor.walks import begin, fill, go, sizes
from tests.core.rig import login
from tests.double import Fault, HarborDouble
from tests.double.content import Image, cosign_signature


@pytest.fixture
def side_by_side(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inventory, "BATCHES", 4)


def threads() -> set[str]:
    names = ("batches", "listing", "accessories")
    return {t.name for t in threading.enumerate() if t.name.startswith(names)}


def test_several_batches_at_once_come_to_the_same_as_one_after_the_other(
    harbor: HarborDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(harbor, *[1, 3, 2, 7, 1, 1, 4, 2, 2, 1] * 2)
    for number in range(0, 20, 3):
        image = Image(f"{number} 0")
        signature = cosign_signature(image)
        harbor.push(f"p/r{number}", signature, *signature.default_tags)
    harbor.faults.add(Fault(path="/artifacts/sha256:5", status=500, times=None))
    harbor.faults.add(Fault(path="/repositories/r7/artifacts", status=500, times=None))
    one_by_one = go(harbor)
    monkeypatch.setattr(inventory, "BATCHES", 4)
    assert go(harbor) == one_by_one
    assert not threads()


def test_they_are_really_listed_at_once(newest: HarborDouble, side_by_side: None) -> None:
    fill(newest, *[4] * 8)
    together = threading.Barrier(4, timeout=120)
    hold = inventory.find_changes

    def wait(*arguments: object) -> None:
        together.wait()
        hold(*arguments)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(inventory, "find_changes", wait)
        walked, gaps = go(newest)
    assert set(sizes(walked).values()) == {4}
    assert len(walked) == 8
    assert gaps == ()


def test_a_harbor_that_goes_down_midway_ends_all_of_them(
    newest: HarborDouble, side_by_side: None
) -> None:
    fill(newest, *[2] * 60)
    walk = iter(begin(newest))
    next(walk)
    newest.faults.add(Fault(reset=True, times=None))
    newest.requests.reset()
    with pytest.raises(HarborConnectionError):
        list(walk)
    assert newest.requests.total() < 4 * 60
    assert not threads()


def test_who_stops_a_walk_does_not_wait_for_what_is_waited_for(
    newest: HarborDouble, side_by_side: None
) -> None:
    """A repository that goes on to change is waited for half a minute, else."""
    fill(newest, 4, 4, 4)
    listed = threading.Event()

    def push(double: HarborDouble) -> None:
        listed.set()
        double.push("p/r1", Image(f"late {pushes.hits}"), f"late{pushes.hits}")

    pushes = newest.faults.add(
        Fault(path=r"/repositories/r1/artifacts\?", times=None, callback=push)
    )
    newest.faults.add(Fault(path=r"artifacts\?.*repository_id", skip=1, times=2, callback=push))
    walk = iter(InventoryWalk(login(newest), "p"))
    assert next(walk)[0] == "p/r0"
    assert listed.wait(120)
    walk.close()
    assert pushes.hits < 7
    assert not threads()
