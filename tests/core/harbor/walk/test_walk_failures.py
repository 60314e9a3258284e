"""Filters that do not filter, repositories that cannot be listed, Harbors that go down midway."""

from __future__ import annotations

import pytest

from airflow_provider_harbor.core.exceptions import (
    HarborConnectionError,
    HarborServerError,
)
from airflow_provider_harbor.core.harbor.batches import SIDE_BY_SIDE
from airflow_provider_harbor.core.harbor.client import HarborClient
from tests.core.harbor.walks import (
    CHANGES,
    JSON,
    REPOSITORIES,
    asked,
    begin,
    behind_the_listing,
    fill,
    go,
    saying,
    sizes,
)
from tests.core.rig import fast_session, list_patiently, login
from tests.double import Fault, HarborDouble
from tests.double.content import Image

FILTERED = r"/projects/p/artifacts\?.*repository_id"
REFUSALS = {
    "400": saying(400, '{"errors": [{"code": "BAD_REQUEST", "message": "invalid query"}]}'),
    "422": saying(422, '{"errors": [{"code": "UNPROCESSABLE", "message": "in query"}]}'),
    "403 of a proxy": saying(403, "<html>denied</html>", "text/html"),
    "500": saying(500, '{"errors": [{"code": "UNKNOWN", "message": "internal server error"}]}'),
    "a page": saying(200, "<html>Sign in</html>", "text/html"),
    "an odd row": saying(200, '[{"id": 1, "digest": "none", "repository_name": "p/r0"}]'),
    "a row of nobody": saying(
        200, '[{"id": 1, "digest": "sha256:' + "a" * 64 + '", "repository_name": "p/x"}]'
    ),
}


@pytest.mark.parametrize("version", ["v2.15.2", "v2.15.1"])
def test_a_server_that_ignores_the_filter_is_asked_for_each_repository(version: str) -> None:
    with HarborDouble(version=version) as harbor:
        harbor.create_project("p")
        fill(harbor, 2, 2, 3, 1, 4)
        harbor.state.unknown_keys.add("repository_id")
        walked, gaps = go(harbor)
        assert sizes(walked) == {"p/r0": 2, "p/r1": 2, "p/r2": 3, "p/r3": 1, "p/r4": 4}
        assert gaps == ()
        assert len([each for each in asked(harbor) if each.startswith("artifacts")]) == 1


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("version", ["v2.15.2", "v2.15.1"])
def test_a_server_that_ignores_the_filter_does_not_hide_changes(version: str, change: str) -> None:
    make, left = CHANGES[change]
    with HarborDouble(version=version) as harbor:
        harbor.create_project("p")
        fill(harbor, 3, 3, 3)
        harbor.state.unknown_keys.add("repository_id")
        if harbor.state.version_numbers >= (2, 15, 2):
            # The look back at the second batch is one at all repositories.
            behind_the_listing(harbor, make, skip=3)
        else:
            second_look = r"/repositories/r1/artifacts\?"
            harbor.faults.add(Fault(path=second_look, skip=1, callback=make))
        walked, gaps = go(harbor)
        assert harbor.faults.hits == 1
        assert sizes(walked) == {"p/r0": 3, "p/r1": left, "p/r2": 3}
        tags = {tag.name: r.digest for r in dict(walked)["p/r1"] for tag in r.tags}
        assert tags.get("v1") == Image("1 0" if change == "tag" else "1 1").digest
        assert gaps == ()


@pytest.mark.parametrize("answer", REFUSALS)
@pytest.mark.parametrize("version", ["v2.15.2", "v2.15.1"])
def test_where_the_filter_is_refused_each_repository_is_listed(version: str, answer: str) -> None:
    with HarborDouble(version=version) as harbor:
        harbor.create_project("p")
        fill(harbor, 2, 2, 3, 1, 4)
        refusal = harbor.faults.add(REFUSALS[answer](FILTERED))
        harbor.faults.add(REFUSALS[answer](r"/projects/p/repositories\?.*%7B"))
        walked, gaps = go(harbor)
        assert sizes(walked) == {"p/r0": 2, "p/r1": 2, "p/r2": 3, "p/r3": 1, "p/r4": 4}
        assert gaps == ()
        # Tried again where that may help, and then never again.
        assert refusal.hits == (4 if answer == "500" else 1)


@pytest.mark.parametrize("is_ignored", [True, False])
def test_a_bad_repository_does_not_have_a_refused_filter_tried_again(
    newest: HarborDouble, is_ignored: bool
) -> None:
    fill(newest, 2, 2, 2, 2)
    if is_ignored:
        newest.state.unknown_keys.add("repository_id")
    else:
        newest.faults.add(REFUSALS["400"](FILTERED))
    newest.faults.add(REFUSALS["500"]("/repositories/r1/artifacts"))
    walked, gaps = go(newest)
    assert sizes(walked) == {"p/r0": 2, "p/r2": 2, "p/r3": 2}
    assert [gap.repository for gap in gaps] == ["p/r1"]
    assert len([each for each in asked(newest) if each.startswith("artifacts")]) == 1


def test_what_could_not_be_listed_is_not_asked_for_again(harbor: HarborDouble) -> None:
    fill(harbor, 1, 1, 1)
    for path in ("/projects/p/artifacts", "/repositories/r1/artifacts"):
        harbor.faults.add(REFUSALS["500"](path))
    walked, gaps = go(harbor)
    assert sizes(walked) == {"p/r0": 1, "p/r2": 1}
    assert [gap.repository for gap in gaps] == ["p/r1"]
    # The session itself tries four times.
    assert len([each for each in asked(harbor) if each.startswith("of r1")]) == 4


def test_nothing_is_kept_of_a_list_that_broke_off(newest: HarborDouble) -> None:
    fill(newest, 1, 3)
    newest.faults.add(Fault(path="/projects/p/artifacts", skip=1, status=500, times=None))
    newest.faults.add(REFUSALS["500"]("/repositories/r1/artifacts"))
    session = fast_session(newest.url)
    client = HarborClient(newest.url, newest.user, newest.password, page_size=2, session=session)
    inventory = list_patiently(client, "p")
    assert [record.repository for record in inventory.records] == ["p/r0"]
    assert [gap.repository for gap in inventory.gaps] == ["p/r1"]


def test_a_second_look_that_fails_leaves_no_change_unseen() -> None:
    with HarborDouble(version="v2.15.1") as harbor:
        harbor.create_project("p")
        fill(harbor, 2, 2)
        second_look = saying(500, "")("/projects/p/artifacts")
        second_look.skip, second_look.times = 1, 4
        second_look.callback = CHANGES["tag"][0]
        harbor.faults.add(second_look)
        walked, gaps = go(harbor)
        tags = {tag.name: r.digest for r in dict(walked)["p/r1"] for tag in r.tags}
        assert tags["v1"] == Image("1 0").digest
        assert (second_look.hits, gaps) == (4, ())


def test_an_odd_name_that_only_a_second_look_shows_is_a_gap() -> None:
    with HarborDouble(version="v2.15.1") as harbor:
        harbor.create_project("p")
        fill(harbor, 1)
        row = '{"id": 1, "digest": "sha256:' + "a" * 64 + '", "repository_name": "p/../x"}'
        fault = saying(200, f"[{row}]")("/projects/p/artifacts")
        fault.skip = 1
        harbor.faults.add(fault)
        walked, gaps = go(harbor)
        assert sizes(walked) == {"p/r0": 1}
        assert [(gap.repository, gap.reason) for gap in gaps] == [("p/../x", "odd-name")]


def test_a_harbor_that_does_not_say_when_a_repository_changed_is_not_believed(
    newest: HarborDouble,
) -> None:
    fill(newest, 2)
    row = newest.state.repositories["p/r0"]
    rows = saying(200, f'[{{"id": {row.id}, "name": "p/r0", "artifact_count": 2}}]')
    first, second = rows(REPOSITORIES), rows(REPOSITORIES)
    first.times = 1
    second.callback = lambda d: d.push("p/r0", Image("0 0"), "v1")
    newest.faults.add(first)
    newest.faults.add(second)
    walked, gaps = go(newest)
    tags = {tag.name: r.digest for r in dict(walked)["p/r0"] for tag in r.tags}
    assert tags["v1"] == Image("0 0").digest
    assert (second.hits, gaps) == (1, ())


def test_a_404_of_a_proxy_is_no_word_about_a_repository() -> None:
    with HarborDouble(version="v2.11.0") as harbor:
        harbor.create_project("p")
        fill(harbor, 1, 1)
        harbor.faults.add(
            saying(404, "<html>404</html>", "text/html")("/repositories/r1/artifacts")
        )
        walked, gaps = go(harbor)
        assert sizes(walked) == {"p/r0": 1}
        assert [(gap.repository, gap.reason) for gap in gaps] == [("p/r1", "odd-answer")]


def test_one_artifact_that_cannot_be_shown_is_one_gap_and_the_next_batch_is_asked_for_at_once(
    newest: HarborDouble,
) -> None:
    fill(newest, 2, 2, 2, 2)
    broken = REFUSALS["500"]
    ids = [newest.state.repositories[f"p/r{number}"].id for number in range(2)]
    newest.faults.add(broken(rf"/projects/p/artifacts\?.*%7B{ids[0]}\+{ids[1]}%7D"))
    newest.faults.add(broken("/repositories/r1/artifacts"))
    walked, gaps = go(newest)
    assert sizes(walked) == {"p/r0": 2, "p/r2": 2, "p/r3": 2}
    assert [(gap.repository, gap.reason) for gap in gaps] == [("p/r1", "server-error")]
    assert "artifacts r2 r3" in asked(newest)


def test_a_harbor_that_goes_down_midway_is_an_error_and_soon(newest: HarborDouble) -> None:
    fill(newest, *[1] * 60)
    walk = iter(begin(newest))
    first = next(walk)
    newest.faults.add(Fault(reset=True, times=None))
    newest.requests.reset()
    with pytest.raises(HarborConnectionError):
        list(walk)
    assert first[0] == "p/r0"
    # The batch, some repositories side by side and the list of all, four times each.
    assert newest.requests.total() <= (1 + 2 * SIDE_BY_SIDE + 5) * 4


def test_an_older_harbor_that_goes_down_midway_is_an_error_and_soon() -> None:
    with HarborDouble(version="v2.11.0") as harbor:
        harbor.create_project("p")
        fill(harbor, 1, 1, 1, 1)
        down = harbor.faults.add(Fault(path="/repositories/r", skip=5, reset=True, times=None))
        with pytest.raises(HarborConnectionError):
            go(harbor)
        assert down.hits <= 4 * 4  # all of them at once


def test_a_harbor_that_shows_no_artifacts_is_an_error_and_not_a_hundred_gaps(
    newest: HarborDouble,
) -> None:
    fill(newest, *[2] * 10)
    newest.faults.add(Fault(path="/artifacts", status=500, times=None))
    with pytest.raises(HarborServerError, match="project 'p' could not be listed"):
        go(newest)


def test_some_bad_repositories_in_a_row_are_gaps_while_harbor_answers(
    newest: HarborDouble,
) -> None:
    fill(newest, *[1] * 9)
    newest.faults.add(REFUSALS["500"](FILTERED))
    newest.faults.add(REFUSALS["500"]("/repositories/r[1-5]/artifacts"))
    walked, gaps = go(newest)
    assert [name for name, _ in walked] == ["p/r0", "p/r6", "p/r7", "p/r8"]
    assert [gap.repository for gap in gaps] == [f"p/r{number}" for number in range(1, 6)]


def test_a_repository_that_never_settles_is_a_gap_of_its_batch(newest: HarborDouble) -> None:
    fill(newest, 3, 3, 3)
    pushes = newest.faults.add(
        Fault(
            path=r"/repositories/r1/artifacts\?",
            times=None,
            callback=lambda d: d.push("p/r1", Image(f"{pushes.hits}"), f"t{pushes.hits}"),
        )
    )
    behind_the_listing(newest, lambda d: d.push("p/r1", Image("x"), "x"), skip=2)
    walked, gaps = go(newest)
    assert [(gap.repository, gap.reason) for gap in gaps] == [("p/r1", "unsettled")]
    assert sizes(walked) == {"p/r0": 3, "p/r1": 11, "p/r2": 3}


def test_odd_names_among_the_repositories_are_gaps_and_are_not_asked_for(
    harbor: HarborDouble,
) -> None:
    fill(harbor, 3, 3, 3)
    names = ["p/../x", "other/app", "p/A"]
    rows = [f'{{"id": {9000 + n}, "name": "{name}"}}' for n, name in enumerate(names)]
    rows += [
        f'{{"id": {row.id}, "name": "{row.name}", "artifact_count": 3}}'
        for row in harbor.state.repositories.values()
    ]
    body = f"[{','.join(sorted(rows, key=lambda row: int(row[7:].split(',')[0])))}]"
    harbor.faults.add(
        Fault(
            path=REPOSITORIES,
            status=200,
            body=body,
            content_type=JSON,
            headers={"X-Total-Count": str(len(rows))},
        )
    )
    walked, gaps = go(harbor)
    assert sizes(walked) == {"p/r0": 3, "p/r1": 3, "p/r2": 3}
    assert {gap.reason for gap in gaps} == {"odd-name"}
    assert [gap.repository for gap in gaps] == sorted(names)
    assert not [target for _, target, _ in harbor.requests.log if "900" in target]


def test_odd_tags_are_gaps_in_each_batch(newest: HarborDouble) -> None:
    fill(newest, 3, 3, 3)
    artifact = newest.state.artifact("p/r1", "v0")
    artifact.tags["v0"].name = "a b"
    artifact.rendered = None
    inventory = list_patiently(login(newest), "p")
    assert [(gap.repository, gap.reason) for gap in inventory.gaps] == [("p/r1", "odd-name")]
    assert len(inventory.records) == 9
