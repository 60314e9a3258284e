"""Answers that do not say what they seem to say: whose word a 404 is, and names that are none."""

from __future__ import annotations

import json

import pytest

from tests.core.harbor.walks import JSON, behind_the_listing
from tests.core.rig import list_patiently, list_whole, login
from tests.double import Fault, HarborDouble
from tests.double.content import Image, cosign_signature, sbom_for, sigstore_bundle


@pytest.fixture
def newest() -> HarborDouble:
    with HarborDouble() as double:
        double.create_project("p")
        yield double


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
    assert "a 404 that does not say that the thing is gone" in gap.message
    assert "have it pass %252F on as it is" in gap.message
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
    before = newest.push("p/app", sbom_for(image))
    signature = cosign_signature(image)
    newest.push("p/app", signature, *signature.default_tags)
    behind = newest.push("p/app", sigstore_bundle(image))
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
    assert {r.digest for r in inventory.records} == {image.digest, before.digest, behind.digest}


def test_another_artifact_in_place_of_a_signature_is_a_gap(newest: HarborDouble) -> None:
    image = newest.push("p/app", Image("app"), "1.0")
    sbom = newest.push("p/app", sbom_for(image))
    bundle = newest.push("p/app", sigstore_bundle(image))
    body = json.dumps({"id": 2, "digest": sbom.digest, "repository_name": "p/app"})
    fault = Fault(
        path=f"/artifacts/{bundle.digest}", status=200, body=body, content_type=JSON, times=None
    )
    newest.faults.add(fault)
    inventory = list_patiently(login(newest), "p")
    (gap,) = inventory.gaps
    assert "it is of another artifact" in gap.message
    digests = [record.digest for record in inventory.records]
    assert len(digests) == len(set(digests))


def test_another_repository_in_place_of_one_that_changed_is_a_gap(newest: HarborDouble) -> None:
    newest.push("p/app", Image("app"), "1.0")
    body = json.dumps({"id": 1, "name": "p/other", "artifact_count": 2})
    path = "/repositories/app$"
    newest.faults.add(Fault(path=path, status=200, body=body, content_type=JSON, times=None))
    behind_the_listing(newest, lambda d: d.push("p/app", Image("b"), "2"))
    (gap,) = list_patiently(login(newest), "p").gaps
    assert "it is of another repository" in gap.message


def deny_and_change(harbor: HarborDouble, message: str) -> None:
    """Answer looks at `p/app` with a 404, and change it while it is listed."""
    body = json.dumps({"errors": [{"code": "NOT_FOUND", "message": message}]})
    path = "/repositories/app$"
    harbor.faults.add(Fault(path=path, status=404, body=body, content_type=JSON, times=None))
    behind_the_listing(harbor, lambda d: d.push("p/app", Image("b"), "2"))


def test_a_repository_that_harbor_denies_but_lists_is_not_gone(newest: HarborDouble) -> None:
    newest.push("p/app", Image("app"), "1.0")
    deny_and_change(newest, "repository p/app not found")
    assert len(list_whole(login(newest), "p")) == 2


def test_no_other_repositorys_404_passes_for_this_ones(newest: HarborDouble) -> None:
    newest.push("p/app", Image("app"), "1.0")
    deny_and_change(newest, "repository p/app-2 not found")
    (gap,) = list_patiently(login(newest), "p").gaps
    assert "does not say that the thing is gone" in gap.message


@pytest.mark.parametrize(
    "name", ["p/../../api/v2.0/users?x=", "other/app", "p/a b\r\nX: y", "p/app#", "p", ""]
)
def test_a_repository_of_another_project_or_of_an_impossible_name_is_a_gap(
    newest: HarborDouble, name: str
) -> None:
    good = newest.push("p/good", Image("good"), "1")
    digest = "sha256:" + "a" * 64
    accessory = {"digest": digest, "type": "sbom", "size": 1}
    evil = {"id": 1, "digest": digest, "repository_name": name, "accessories": [accessory]}
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
    assert not [path for _, path, _ in newest.requests.log if digest in path]


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


@pytest.mark.parametrize("name", ["other/app", "p/a b", "p"])
def test_a_repository_of_another_project_is_not_asked_for_one_by_one_either(
    newest: HarborDouble, name: str
) -> None:
    good = newest.push("p/good", Image("good"), "1")
    newest.create_project("other")
    newest.push("other/app", Image("other"), "1")
    rows = [
        {"id": 1, "name": name, "artifact_count": 1},
        {"id": 2, "name": "p/good", "artifact_count": 1},
    ]
    newest.faults.add(
        Fault(
            path=r"/projects/p/repositories\?",
            status=200,
            body=json.dumps(rows),
            content_type=JSON,
            headers={"X-Total-Count": "2"},
            times=None,
        )
    )
    newest.faults.add(Fault(path="/projects/p/artifacts", status=500, times=None))
    inventory = list_patiently(login(newest), "p")
    assert [gap.reason for gap in inventory.gaps] == ["odd-name"]
    assert [r.digest for r in inventory.records] == [good.digest]
    assert not [path for _, path, _ in newest.requests.log if "/projects/other" in path]


def test_accessories_in_a_circle_are_walked_once(newest: HarborDouble) -> None:
    image = newest.push("p/app", Image("app"), "1.0")
    sbom = newest.push("p/app", sbom_for(image))
    client = login(newest)
    (shown,) = (a for a in client.iter_artifacts("p") if a.digest == image.digest)
    (link,) = shown.accessories
    row = {
        "id": 99,
        "digest": sbom.digest,
        "repository_name": "p/app",
        "accessories": [{"digest": sbom.digest, "type": link.type, "size": 1}],
    }
    # Not for ever, so that a walk in circles comes to an end here.
    fault = newest.faults.add(
        Fault(
            path=f"/artifacts/{sbom.digest}",
            status=200,
            body=json.dumps(row),
            content_type=JSON,
            times=5,
        )
    )
    assert {r.digest for r in list_whole(client, "p")} == {image.digest, sbom.digest}
    assert fault.hits == 1


def test_a_repository_that_harbor_denies_twice_and_lists_artifacts_of_is_not_gone(
    newest: HarborDouble,
) -> None:
    image = newest.push("p/app", Image("app"), "1.0")
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
    newest.faults.add(
        Fault(
            path=r"/repositories\?(.*&)?q=name",
            status=200,
            body="[]",
            content_type=JSON,
            headers={"X-Total-Count": "0"},
            times=None,
        )
    )
    behind_the_listing(newest, lambda d: d.push("p/app", image, "2"))
    inventory = list_patiently(login(newest), "p")
    (gap,) = inventory.gaps
    assert (gap.repository, gap.reason) == ("p/app", "odd-answer")
    assert "says that it is not there" in gap.message
    assert [r.digest for r in inventory.records] == [image.digest]


def test_a_tag_of_a_signature_that_no_tag_can_be_called_is_left_out_and_said(
    newest: HarborDouble,
) -> None:
    image = newest.push("p/app", Image("app"), "1.0")
    signature = newest.push("p/app", cosign_signature(image), *cosign_signature(image).default_tags)
    stored = newest.state.artifact("p/app", signature.digest)
    stored.tags[signature.default_tags[0]].name = "x" * 5000
    stored.rendered = None
    inventory = list_patiently(login(newest), "p")
    (gap,) = inventory.gaps
    assert (gap.repository, gap.reason) == ("p/app", "odd-name")
    assert len(gap.message) < 300
    assert {r.digest: len(r.tags) for r in inventory.records} == {
        image.digest: 1,
        signature.digest: 0,
    }
