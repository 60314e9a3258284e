"""A walk goes through a project in batches: each is listed, handed on and forgotten."""

from __future__ import annotations

import tracemalloc

import pytest

from airflow_provider_harbor.core.harbor import batches
from airflow_provider_harbor.core.harbor.client import HarborClient
from airflow_provider_harbor.core.harbor.inventory import InventoryWalk, take_inventory
from tests.core.harbor.walks import (
    asked,
    begin,
    fill,
    go,
    sizes,
)
from tests.core.rig import fast_session, list_whole, login
from tests.double import HarborDouble
from tests.double.content import Image, cosign_signature, multi_arch, sbom_for


def test_repositories_come_in_the_order_of_their_names_and_records_in_that_of_digests(
    harbor: HarborDouble,
) -> None:
    names = ["p/b", "p/a-b", "p/a/b", "p/a", "p/a.b", "p/a_b", "p/0", "p/ab"]
    for name in names:
        for number in range(3):
            harbor.push(name, Image(f"{name} {number}"), f"v{number}")
    walked, gaps = go(harbor)
    assert [name for name, _ in walked] == sorted(names)
    for name, records in walked:
        assert [record.digest for record in records] == sorted(r.digest for r in records)
        assert {record.repository for record in records} == {name}
        assert len(records) == 3
    assert gaps == ()


def test_repositories_that_hold_nothing_leave_no_trace(harbor: HarborDouble) -> None:
    fill(harbor, 3, 2, 3)
    for artifact in list(harbor.state.repositories["p/r1"].artifacts):
        harbor.state.delete_artifact("p/r1", artifact)
    assert "p/r1" in harbor.state.repositories
    walked, gaps = go(harbor)
    assert sizes(walked) == {"p/r0": 3, "p/r2": 3}
    assert gaps == ()


def test_several_batches_hold_what_one_holds(
    harbor: HarborDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(harbor, 2, 7, 1, 1, 3)
    index = harbor.push("p/r1", multi_arch("multi"), "multi")
    bill = harbor.push("p/r1", sbom_for(index))
    for content in (index, bill):
        signature = cosign_signature(content)
        harbor.push("p/r1", signature, *signature.default_tags)
    harbor.push("p/deep/er/name", multi_arch("multi"), "1", "2")
    harbor.push("p/deep/er/name", Image("untagged"))
    several = list_whole(login(harbor), "p")
    monkeypatch.setattr(batches, "MOST_ARTIFACTS", 1000)
    assert several == list_whole(login(harbor), "p")
    assert len(several) == 14 + 5 + 3 + 5 + 1


def test_a_batch_costs_its_pages_and_one_look_back(newest: HarborDouble) -> None:
    fill(newest, 2, 2, 1, 6, 1)
    client = login(newest)
    assert client.version
    newest.requests.reset()
    walk = InventoryWalk(client, "p")
    assert sizes(list(walk)) == {"p/r0": 2, "p/r1": 2, "p/r2": 1, "p/r3": 6, "p/r4": 1}
    assert asked(newest) == [
        "repositories",
        "artifacts r0 r1",
        "repositories r0 r1 r2 r3 r4",  # those that come next, too, as there is room
        "artifacts r2",
        "repositories r2 r3 r4",
        "artifacts r3",
        "repositories r3 r4",
        "artifacts r4",
        "repositories r4",
    ]


def test_a_project_that_is_one_batch_is_listed_without_a_filter(newest: HarborDouble) -> None:
    fill(newest, 2, 2)
    go(newest)
    assert [each.split()[0] for each in asked(newest)[-3:]] == [
        "repositories",
        "artifacts",
        "repositories",
    ]
    assert not [each for each in asked(newest) if " r" in each]


def test_a_project_of_one_large_repository_is_listed_without_a_filter(
    newest: HarborDouble,
) -> None:
    fill(newest, 9)
    assert sizes(go(newest)[0]) == {"p/r0": 9}
    assert not [each for each in asked(newest) if " r" in each]


def test_a_batch_has_no_more_repositories_than_a_page(newest: HarborDouble) -> None:
    fill(newest, 1, 1, 1)
    client = HarborClient(newest.url, newest.user, newest.password, page_size=2)
    assert [r.repository for r in list_whole(client, "p")] == ["p/r0", "p/r1", "p/r2"]
    assert [each for each in asked(newest) if each.startswith("artifacts")] == [
        "artifacts r0 r1",
        "artifacts r2",
    ]


def test_repositories_with_negative_ids_are_asked_for(newest: HarborDouble) -> None:
    fill(newest, 3, 3, 3)
    for number in range(3):
        newest.state.repositories[f"p/r{number}"].id = number - 3
    assert sizes(go(newest)[0]) == {"p/r0": 3, "p/r1": 3, "p/r2": 3}
    assert "artifacts r1" in asked(newest)


def test_an_inventory_is_a_walk_that_was_collected(harbor: HarborDouble) -> None:
    fill(harbor, 3, 3, 3)
    walked, _ = go(harbor)
    inventory = take_inventory(login(harbor), "p")
    assert list(inventory.records) == [record for _, records in walked for record in records]


def test_a_walk_can_be_gone_once(newest: HarborDouble) -> None:
    walk = begin(newest)
    assert list(walk) == []
    with pytest.raises(RuntimeError, match="once"):
        iter(walk)


def test_nobody_is_told_of_no_gaps_before_the_end(newest: HarborDouble) -> None:
    fill(newest, 3, 3)
    walk = begin(newest)
    for _ in walk:
        with pytest.raises(RuntimeError, match="end"):
            _ = walk.gaps
    assert walk.gaps == ()


def test_it_is_said_how_far_a_walk_is(
    newest: HarborDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "MOST_ARTIFACTS", 600)
    newest.generate(projects=1, repositories=7, artifacts=2100)
    said: list[str] = []
    list(InventoryWalk(login(newest), "generated-0", progress=said.append))
    assert said == [f"generated-0: {number} artifacts listed" for number in (1000, 2000)]


# -- memory


def peak_bytes(harbor: HarborDouble, project: str) -> int:
    """Return the most that was in memory at one time while a project was walked through."""
    session = fast_session(harbor.url)
    client = HarborClient(harbor.url, harbor.user, harbor.password, page_size=20, session=session)
    list(InventoryWalk(client, project))  # the double keeps what it once made
    tracemalloc.start()
    try:
        for _, records in InventoryWalk(client, project):
            assert len(records) == 10
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_is_bounded_by_a_batch_and_not_by_the_project(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(batches, "MOST_ARTIFACTS", 100)
    peaks = []
    for number in (2, 8):
        with HarborDouble() as harbor:
            harbor.generate(projects=1, repositories=10 * number, artifacts=100 * number)
            peaks.append(peak_bytes(harbor, "generated-0"))
    assert peaks[1] < 1.25 * peaks[0]
