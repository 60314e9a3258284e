"""What changes, vanishes or cannot be read while a project is listed: none of it is kept quiet."""

from __future__ import annotations

import itertools

import pytest

from airflow_provider_harbor.core.harbor import inventory as inventory_module
from airflow_provider_harbor.core.harbor.client import HarborClient
from airflow_provider_harbor.core.harbor.inventory import take_inventory
from airflow_provider_harbor.core.harbor.records import Record
from tests.core.harbor.walks import JSON, behind_the_listing, forget
from tests.core.rig import list_patiently, list_whole, login
from tests.double import Fault, HarborDouble
from tests.double.content import Content, Image, cosign_signature, sbom_for


@pytest.fixture(autouse=True)
def one_batch_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that what changes meanwhile changes at one certain moment."""
    monkeypatch.setattr(inventory_module, "BATCHES", 1)


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


def small_pages(harbor: HarborDouble) -> HarborClient:
    return HarborClient(harbor.url, harbor.user, harbor.password, page_size=2)


def tags_of(records: list[Record]) -> dict[str, str]:
    return {tag.name: record.digest for record in records for tag in record.tags}


def again(signature: Content) -> Content:
    """Return another signature of the same image, as cosign makes it when it signs again."""
    other = Content(
        signature.media_type,
        {**signature.document, "annotations": {"second": "signature"}},
        blobs=list(signature.blobs.values()),
    )
    other.default_tags = signature.default_tags
    return other


def test_a_tag_that_moves_to_a_page_already_read_is_found(harbor: HarborDouble) -> None:
    good = harbor.push("p/app", Image("good"), "v1")
    for number in range(3):
        harbor.push("p/app", Image(f"image {number}"), f"t{number}")
    harbor.push("p/app", Image("bad"), "v2", "latest")
    harbor.faults.add(
        Fault(
            path=r"/artifacts\?.*id%3D%5B(?!0~)",
            callback=lambda double: double.push("p/app", good, "latest"),
        )
    )
    records = list_whole(small_pages(harbor), "p")
    assert tags_of(records)["latest"] == good.digest
    assert harbor.faults.hits == 1


def test_an_image_that_is_signed_again_while_it_is_listed_has_its_new_signature(
    harbor: HarborDouble,
) -> None:
    image = harbor.push("p/app", Image("app"), "1.0")
    first = harbor.push("p/app", cosign_signature(image), *cosign_signature(image).default_tags)
    second = again(first)
    harbor.faults.add(
        Fault(
            path=f"/artifacts/{first.digest}",
            callback=lambda double: double.push("p/app", second, *first.default_tags),
        )
    )
    records = list_whole(login(harbor), "p")
    assert tags_of(records)[first.default_tags[0]] == second.digest
    assert {r.digest for r in records} == {image.digest, first.digest, second.digest}


def test_what_is_pushed_while_signatures_are_looked_at_is_found(harbor: HarborDouble) -> None:
    image = harbor.push("p/app", Image("app"), "1.0")
    signature = cosign_signature(image)
    harbor.push("p/app", signature, *signature.default_tags)
    late = Image("late")
    harbor.faults.add(
        Fault(
            path=f"/artifacts/{signature.digest}",
            callback=lambda double: double.push("p/app", late, "2.0"),
        )
    )
    assert tags_of(list_whole(login(harbor), "p"))["2.0"] == late.digest


def test_a_repository_that_appears_between_the_two_lists_is_found(harbor: HarborDouble) -> None:
    harbor.push("p/app", Image("app"), "1.0")
    late = Image("late")
    behind_the_listing(harbor, lambda double: double.push("p/new", late, "1"))
    assert {r.repository for r in list_whole(login(harbor), "p")} == {"p/app", "p/new"}


def test_a_repository_that_appears_in_an_empty_project_is_found(harbor: HarborDouble) -> None:
    late = Image("late")
    behind_the_listing(harbor, lambda double: double.push("p/new", late, "1"))
    assert [r.digest for r in list_whole(login(harbor), "p")] == [late.digest]


def test_a_repository_that_is_deleted_while_it_is_listed_is_gone(harbor: HarborDouble) -> None:
    harbor.push("p/old", Image("old"), "1.0")
    kept = harbor.push("p/kept", Image("kept"), "1.0")
    behind_the_listing(harbor, lambda d: d.state.forget_repository(d.state.repositories["p/old"]))
    assert [r.digest for r in list_whole(login(harbor), "p")] == [kept.digest]


def test_a_signature_that_is_deleted_while_it_is_listed_is_gone(harbor: HarborDouble) -> None:
    image = harbor.push("p/app", Image("app"), "1.0")
    signature = cosign_signature(image)
    harbor.push("p/app", signature, *signature.default_tags)
    harbor.faults.add(
        Fault(
            path=f"/artifacts/{signature.digest}",
            callback=lambda double: double.state.delete_artifact("p/app", signature.digest),
        )
    )
    assert [r.digest for r in list_whole(login(harbor), "p")] == [image.digest]


def test_a_repository_that_settles_in_the_last_round_only_is_whole(newest: HarborDouble) -> None:
    newest.push("p/app", Image("first"), "first")
    pushes = newest.faults.add(
        Fault(
            path=r"/repositories/app/artifacts\?",
            times=6,
            callback=lambda d: d.push("p/app", Image(f"{pushes.hits}"), f"t{pushes.hits}"),
        )
    )
    behind_the_listing(newest, lambda d: d.push("p/app", Image("x"), "x"))
    waits: list[float] = []
    inventory = take_inventory(login(newest), "p", sleep=waits.append)
    assert not inventory.gaps
    assert len(inventory.records) == 8
    assert len(waits) == 7
    assert sum(waits) > 30


def test_a_repository_that_never_settles_is_said_and_its_last_listing_kept(
    newest: HarborDouble,
) -> None:
    newest.push("p/app", Image("first"), "first")
    other = newest.push("p/other", Image("other"), "1")
    pushes = newest.faults.add(
        Fault(
            path=r"/repositories/app/artifacts\?",
            times=None,
            callback=lambda d: d.push("p/app", Image(f"{pushes.hits}"), f"t{pushes.hits}"),
        )
    )
    behind_the_listing(newest, lambda d: d.push("p/app", Image("x"), "x"))
    inventory = list_patiently(login(newest), "p")
    (gap,) = inventory.gaps
    assert (gap.repository, gap.reason) == ("p/app", "unsettled")
    assert "Run the project again" in gap.message
    assert other.digest in {r.digest for r in inventory.records}
    assert len(inventory.records) > 7


def test_pulls_alone_keep_no_repository_from_being_whole(newest: HarborDouble) -> None:
    """They move the repository's time, too: two equal listings prove that nothing else did."""
    newest.push("p/app", Image("app"), "1.0")
    artifact = newest.state.artifact("p/app", "1.0")
    newest.faults.add(
        Fault(
            path="/api/v2.0/projects/p/",
            times=None,
            callback=lambda d: d.state.record_pull(artifact, "1.0"),
        )
    )
    assert len(list_whole(login(newest), "p")) == 1


def test_a_quiet_project_costs_one_look_at_its_repositories_more(newest: HarborDouble) -> None:
    for number in range(5):
        newest.push(f"p/app{number}", Image(f"{number}"), "1")
    client = login(newest)
    assert client.version
    newest.requests.reset()
    list_whole(client, "p")
    assert newest.requests.total() == 3


def test_a_repository_of_the_last_batch_is_seen_to_change_by_its_time_alone(
    newest: HarborDouble,
) -> None:
    old = newest.push("p/old", Image("old"), "1")
    for number in range(4):
        newest.push(f"p/new{number}", Image(f"{number}"), "1")
    later = Image("later")

    def push_again(double: HarborDouble) -> None:
        double.push("p/old", later, "1")
        double.state.delete_artifact("p/old", old.digest)

    # Three pages of repositories, and one look back at each of two batches: its own is listed by
    # then. The count of its artifacts does not change.
    behind_the_listing(newest, push_again, skip=5)
    found = {r.digest: r.repository for r in list_whole(small_pages(newest), "p")}
    assert found[later.digest] == "p/old"
    assert old.digest not in found


def test_a_repository_that_is_deleted_is_not_waited_for(newest: HarborDouble) -> None:
    newest.push("p/old", Image("old"), "1.0")
    behind_the_listing(newest, lambda d: forget(d, "p/old"))
    waits: list[float] = []
    assert not take_inventory(login(newest), "p", sleep=waits.append).records
    assert not waits


def test_a_repository_that_is_deleted_while_it_is_listed_again_is_gone(
    harbor: HarborDouble,
) -> None:
    harbor.push("p/app", Image("app"), "1.0")
    kept = harbor.push("p/kept", Image("kept"), "1.0")
    behind_the_listing(harbor, lambda d: d.push("p/app", Image("late"), "late"))
    harbor.faults.add(
        Fault(
            path="/repositories/app$",
            skip=1,
            callback=lambda d: forget(d, "p/app"),
        )
    )
    assert [r.digest for r in list_whole(login(harbor), "p")] == [kept.digest]


def test_what_changes_behind_each_listing_is_whole_when_its_time_stays(
    newest: HarborDouble,
) -> None:
    """No two listings are equal then: only the repository's time tells that it is quiet."""
    newest.push("p/app", Image("first"), "first")
    pushes = newest.faults.add(
        Fault(
            path="/repositories/app$",
            times=7,
            callback=lambda d: d.push("p/app", Image(f"{pushes.hits}"), f"t{pushes.hits}"),
        )
    )
    behind_the_listing(newest, lambda d: d.push("p/app", Image("x"), "x"))
    waits: list[float] = []
    inventory = take_inventory(login(newest), "p", sleep=waits.append)
    assert not inventory.gaps
    assert len(inventory.records) == 9
    assert len(waits) == 7


def test_a_repository_that_is_new_and_changes_at_once_is_listed_again(
    newest: HarborDouble,
) -> None:
    first, second = Image("first"), Image("second")

    def push_again(double: HarborDouble) -> None:
        double.push("p/new", second, "1")
        double.state.delete_artifact("p/new", first.digest)

    newest.faults.add(
        Fault(path="/projects/p/artifacts", callback=lambda d: d.push("p/new", first, "1"))
    )
    behind_the_listing(newest, push_again)
    assert [r.digest for r in list_whole(login(newest), "p")] == [second.digest]


@pytest.mark.parametrize("page_size", [2, 100])
def test_quiet_repositories_are_not_listed_again_however_many_there_are(
    newest: HarborDouble, page_size: int
) -> None:
    for number in range(12):
        newest.push(f"p/app{number}", Image(f"{number}"), "1")
    client = HarborClient(newest.url, newest.user, newest.password, page_size=page_size)
    list_whole(client, "p")
    assert not [path for _, path, _ in newest.requests.log if "/repositories/app" in path]


def test_what_an_older_harbor_lost_between_two_listings_is_gone() -> None:
    """Its count was read before, so that nothing else tells it."""
    with HarborDouble(version="v2.15.1") as harbor:
        harbor.create_project("p")
        kept = harbor.push("p/app", Image("kept"), "1")
        gone = harbor.push("p/app", Image("gone"), "2")
        harbor.faults.add(
            Fault(
                path="/projects/p/artifacts",
                skip=1,
                callback=lambda d: d.state.delete_artifact("p/app", gone.digest),
            )
        )
        assert [r.digest for r in list_whole(login(harbor), "p")] == [kept.digest]


def test_a_quiet_project_of_an_older_harbor_costs_one_listing_more() -> None:
    with HarborDouble(version="v2.15.1") as harbor:
        harbor.create_project("p")
        for number in range(5):
            harbor.push(f"p/app{number}", Image(f"{number}"), "1")
        client = login(harbor)
        assert client.version
        harbor.requests.reset()
        list_whole(client, "p")
        assert harbor.requests.total() == 3


def test_a_repository_whose_time_is_not_told_is_quiet_by_equal_listings_only(
    newest: HarborDouble,
) -> None:
    newest.push("p/app", Image("first"), "1")
    numbers = itertools.count()

    def replace_it(double: HarborDouble) -> None:
        old = double.state.artifact("p/app", "1").digest
        double.push("p/app", Image(f"{next(numbers)}"), "1")
        double.state.delete_artifact("p/app", old)

    changes = newest.faults.add(
        Fault(path=r"/repositories/app/artifacts\?", times=None, callback=replace_it)
    )
    body = '{"id": 1, "name": "p/app", "artifact_count": 1}'
    newest.faults.add(
        Fault(path="/repositories/app$", status=200, body=body, content_type=JSON, times=None)
    )
    behind_the_listing(newest, replace_it)
    (gap,) = list_patiently(login(newest), "p").gaps
    assert (gap.repository, gap.reason) == ("p/app", "unsettled")
    assert changes.hits == 7


def test_an_sbom_of_a_signature_is_listed_at_each_depth_after_a_change(
    harbor: HarborDouble,
) -> None:
    image = harbor.push("p/app", Image("app"), "1.0")
    sbom = harbor.push("p/app", sbom_for(image))
    nested = harbor.push("p/app", cosign_signature(sbom), *cosign_signature(sbom).default_tags)
    behind_the_listing(harbor, lambda d: d.push("p/app", Image("b"), "2"))
    digests = {r.digest for r in list_whole(login(harbor), "p")}
    assert {image.digest, sbom.digest, nested.digest} < digests
    assert len(digests) == 4
