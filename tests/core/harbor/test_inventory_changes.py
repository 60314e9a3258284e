"""What changes, vanishes or cannot be read while a project is listed: none of it is kept quiet."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from airflow_provider_harbor.core.exceptions import HarborProtocolError, HarborServerError
from airflow_provider_harbor.core.harbor.client import HarborClient
from airflow_provider_harbor.core.harbor.inventory import Inventory, take_inventory
from airflow_provider_harbor.core.harbor.records import Record
from tests.core.harbor.walks import behind_the_listing
from tests.core.rig import list_patiently, list_whole, login
from tests.double import Fault, HarborDouble
from tests.double.content import Content, Image, cosign_signature, sbom_for

JSON = "application/json"


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
    old_one = newest.state.artifact("p/old", "1")

    def move_the_tag(double: HarborDouble) -> None:
        double.push("p/old", later, "1")
        double.state.delete_artifact("p/old", old_one.digest)

    # Three pages of repositories, and one look back at each of two batches: its own is listed by
    # then. The count of its artifacts does not change.
    behind_the_listing(newest, move_the_tag, skip=5)
    tags = {
        (r.repository, tag.name): r.digest
        for r in list_whole(small_pages(newest), "p")
        for tag in r.tags
    }
    assert tags["p/old", "1"] == later.digest
    assert old.digest != later.digest


# -- answers that do not say what they seem to say

NOT_FOUND_PAGE = "<html>404 page not found</html>"
UNKNOWN_ROUTE = json.dumps(
    {"errors": [{"code": "NOT_FOUND", "message": "path /api/v2.0/x was not found"}]}
)


@pytest.mark.parametrize("body", [NOT_FOUND_PAGE, UNKNOWN_ROUTE, ""])
def test_a_404_that_is_not_harbors_word_about_a_signature_is_a_gap(
    newest: HarborDouble, body: str
) -> None:
    image = newest.push("p/team/app", Image("app"), "1.0")
    signature = cosign_signature(image)
    newest.push("p/team/app", signature, *signature.default_tags)
    plain = newest.push("p/plain", Image("plain"), "1.0")
    newest.faults.add(Fault(path=r"/repositories/team%252Fapp/", status=404, body=body, times=None))
    inventory = list_patiently(login(newest), "p")
    (gap,) = inventory.gaps
    assert gap.repository == "p/team/app"
    assert "%252F" in gap.message
    assert {r.digest for r in inventory.records} == {image.digest, plain.digest}


@pytest.mark.parametrize("body", [NOT_FOUND_PAGE, UNKNOWN_ROUTE, ""])
def test_a_404_that_is_not_harbors_word_about_a_repository_is_a_gap(
    newest: HarborDouble, body: str
) -> None:
    image = newest.push("p/team/app", Image("app"), "1.0")
    newest.faults.add(Fault(path=r"/repositories/team%252Fapp", status=404, body=body, times=None))
    behind_the_listing(newest, lambda d: d.push("p/team/app", image, "2.0"))
    inventory = list_patiently(login(newest), "p")
    assert [gap.repository for gap in inventory.gaps] == ["p/team/app"]
    assert [r.digest for r in inventory.records] == [image.digest]


def test_a_signature_that_harbor_lists_and_denies_is_a_gap(newest: HarborDouble) -> None:
    image = newest.push("p/app", Image("app"), "1.0")
    signature = cosign_signature(image)
    newest.push("p/app", signature, *signature.default_tags)
    body = {
        "errors": [{"code": "NOT_FOUND", "message": f"artifact p/app@{signature.digest} not found"}]
    }
    newest.faults.add(
        Fault(
            path=f"/artifacts/{signature.digest}",
            status=404,
            body=json.dumps(body),
            content_type=JSON,
            times=None,
        )
    )
    inventory = list_patiently(login(newest), "p")
    (gap,) = inventory.gaps
    assert f"lists {signature.digest}, and says that it is not there" in gap.message


def test_a_repository_that_harbor_denies_but_lists_is_not_gone(newest: HarborDouble) -> None:
    newest.push("p/app", Image("app"), "1.0")
    body = {"errors": [{"code": "NOT_FOUND", "message": "repository p/app not found"}]}
    newest.faults.add(
        Fault(
            path="/repositories/app$",
            status=404,
            body=json.dumps(body),
            content_type=JSON,
            times=None,
        )
    )
    behind_the_listing(newest, lambda d: d.push("p/app", Image("b"), "2"))
    assert len(list_whole(login(newest), "p")) == 2


def test_no_other_repositorys_404_passes_for_this_ones(newest: HarborDouble) -> None:
    newest.push("p/app", Image("app"), "1.0")
    body = {"errors": [{"code": "NOT_FOUND", "message": "repository p/app-2 not found"}]}
    newest.faults.add(
        Fault(
            path="/repositories/app$",
            status=404,
            body=json.dumps(body),
            content_type=JSON,
            times=None,
        )
    )
    behind_the_listing(newest, lambda d: d.push("p/app", Image("b"), "2"))
    (gap,) = list_patiently(login(newest), "p").gaps
    assert "does not say that the thing is gone" in gap.message


# -- one repository does not stop the others


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
    "add_faults",
    [
        fail_with(500, '{"errors": [{"code": "UNKNOWN", "message": "internal server error"}]}'),
        fail_with(200, '[{"id": 1, "digest": "no digest", "repository_name": "p/bad"}]'),
        fail_with(200, "not json", "text/html"),
    ],
    ids=["error", "odd row", "no JSON"],
)
def test_one_repository_that_cannot_be_listed_is_one_gap(
    harbor: HarborDouble, add_faults: Callable[[HarborDouble], None]
) -> None:
    fill(harbor)
    add_faults(harbor)
    one_is_bad(list_patiently(login(harbor), "p"))


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


def test_a_harbor_that_lists_no_repository_is_an_error_and_not_a_hundred_gaps(
    newest: HarborDouble,
) -> None:
    fill(newest)
    newest.faults.add(Fault(path=r"/artifacts", status=500, times=None))
    with pytest.raises(HarborServerError, match="could not be listed"):
        list_patiently(login(newest), "p")


@pytest.mark.parametrize(
    "name", ["p/../../api/v2.0/users?x=", "other/app", "p/a b\r\nX: y", "p/app#", "p", ""]
)
def test_a_repository_of_another_project_or_of_an_impossible_name_is_a_gap(
    newest: HarborDouble, name: str
) -> None:
    good = newest.push("p/good", Image("good"), "1")
    evil = {"id": 1, "digest": "sha256:" + "a" * 64, "repository_name": name}
    row = json.dumps(evil)
    newest.faults.add(
        Fault(
            path="/projects/p/artifacts",
            status=200,
            body=f"[{row}]",
            content_type=JSON,
            headers={"X-Total-Count": "1"},
        )
    )
    inventory = list_patiently(login(newest), "p")
    (gap,) = inventory.gaps
    assert gap.reason == "odd-name"
    assert "\n" not in gap.repository + gap.message
    assert [r.digest for r in inventory.records] == [good.digest]


@pytest.mark.parametrize("tag", ["../../../../api/v2.0/evil?", "1\x1b[31m", "", "a b", "x" * 129])
def test_a_tag_that_no_tag_can_be_called_is_left_out_and_said(
    newest: HarborDouble, tag: str
) -> None:
    image = newest.push("p/app", Image("app"), "1.0", "2.0")
    newest.state.artifact("p/app", "1.0").tags["2.0"].name = tag
    newest.state.artifact("p/app", "1.0").rendered = None
    inventory = list_patiently(login(newest), "p")
    (gap,) = inventory.gaps
    assert (gap.repository, gap.reason) == ("p/app", "odd-name")
    (record,) = inventory.records
    assert (record.digest, [t.name for t in record.tags]) == (image.digest, ["1.0"])


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
