"""Requests to /v2/ that are not understood, and what a real Harbor says of them."""

from __future__ import annotations

import pytest

from tests.contract.client import Client, error_of
from tests.double import Image

UNKNOWN = "sha256:" + "0" * 64


def unrecognized(method: str, path: str) -> tuple[int, str, str]:
    text = f"un-recognized request: {method} {path}"
    return 401, "UNAUTHORIZED", f"{text}: {text}"


@pytest.mark.parametrize(
    ("reference", "wrong"),
    [
        ("nonsense", "invalid checksum digest format"),
        ("sha256:", "invalid reference format"),
        ("sha256:abc", "invalid checksum digest length"),
        ("sha256:" + "X" * 64, "invalid checksum digest format"),
        ("md5:" + "0" * 32, "unsupported digest algorithm"),
    ],
)
def test_referrers_of_what_is_no_digest_are_a_bad_request(harbor, admin, reference, wrong):
    harbor.push("team/app", Image("app"), "v1")
    answer = error_of(admin.get(f"/v2/team/app/referrers/{reference}"))
    if wrong == "invalid reference format":
        assert answer == (404, "NOT_FOUND", wrong)
    else:
        assert answer == (400, "BAD_REQUEST", f"unsupported digest {reference}: {wrong}")


def test_referrers_of_a_digest_that_is_not_there_are_none(admin):
    assert admin.get(f"/v2/team/none/referrers/{UNKNOWN}").json()["manifests"] == []


@pytest.mark.parametrize(
    "path",
    [
        "/v2/team/App/manifests/v1",
        "/v2/team/App/tags/list",
        "/v2/team/app/blobs/nonsense",
        "/v2/team/app/",
        "/v2/team/app/Referrers/x",
    ],
)
def test_what_is_no_name_of_a_repository_is_refused_even_to_administrators(admin, path):
    answer = admin.get(path)
    assert error_of(answer) == unrecognized("GET", path)
    assert answer.headers["Www-Authenticate"] == ""


def test_a_project_in_upper_case_is_not_there(admin):
    status, code, message = error_of(admin.get("/v2/Team/app/manifests/v1"))
    assert (status, code) == (401, "UNAUTHORIZED")
    assert message.startswith("project Team not found")


def test_a_repository_needs_a_project(admin):
    wrong = (400, "BAD_REQUEST", "bad request: invalid repository name: app")
    assert error_of(admin.get("/v2/app/manifests/v1")) == wrong
    path = f"/v2/team/app/blobs/uploads/?mount={UNKNOWN}&from=app"
    assert error_of(admin.send("POST", path)) == wrong


def test_a_manifest_is_deleted_by_a_digest_that_is_one(admin):
    for reference in ("v1", "sha256:abc"):
        status, code, message = error_of(
            admin.send("DELETE", f"/v2/team/app/manifests/{reference}")
        )
        assert (status, code) == (400, "UNSUPPORTED")
        assert message.startswith(f"unsupported digest {reference}: invalid checksum digest")


def test_a_digest_that_is_none_is_looked_for_as_a_tag(harbor, admin):
    harbor.push("team/app", Image("app"), "v1")
    wrong = (404, "NOT_FOUND", "artifact team/app:sha256:abc not found")
    assert error_of(admin.manifest("team/app", "sha256:abc")) == wrong


def test_the_token_service_answers_in_plain_text_for_a_service_it_does_not_know(harbor):
    answer = Client(harbor).get("/service/token?service=other")
    assert (answer.status_code, answer.text) == (400, "Unable to handle service: other")


@pytest.mark.parametrize("size", ["-1", "x", "1.5"])
def test_a_page_of_names_needs_a_size_that_is_a_number(harbor, admin, size):
    harbor.push("team/app", Image("app"), "v1")
    wrong = (400, "BAD_REQUEST", "the N must be a positive int type")
    for path in ("/v2/team/app/tags/list", "/v2/_catalog"):
        assert error_of(admin.get(f"{path}?n={size}")) == wrong


def test_the_catalog_goes_on_behind_names_that_it_has(harbor, admin):
    harbor.push("team/app", Image("app"), "v1")
    harbor.push("team/zoo", Image("app"), "v1")
    assert admin.get("/v2/_catalog?n=5&last=team/app").json()["repositories"] == ["team/zoo"]
    status, code, _ = error_of(admin.get("/v2/_catalog?n=5&last=team/b"))
    assert (status, code) == (400, "BAD_REQUEST")


def test_a_manifest_of_more_than_4_mib_is_refused(admin):
    big = Image("big", layers=0, annotations={"a": "x" * (4 << 20)})
    assert admin.put_blob("team/app", next(iter(big.blobs.values()))).status_code == 201
    assert error_of(admin.put_manifest("team/app", "v1", big))[:2] == (400, "MANIFEST_INVALID")


@pytest.mark.parametrize("config", [b"no json", b"[]", b'{"created": 7}'])
def test_an_image_whose_config_is_none_is_an_error_that_harbor_did_not_expect(
    harbor, admin, config
):
    image = Image("app")
    image.blobs.clear()
    digest = admin.put_blob("team/app", config).headers["Docker-Content-Digest"]
    document = {**image.document, "layers": []}
    document["config"] = {**document["config"], "digest": digest, "size": len(config)}
    wrong = Image("app")
    wrong.manifest = repr(document).replace("'", '"').encode()
    assert error_of(admin.put_manifest("team/app", "v1", wrong))[:2] == (500, "UNKNOWN")
    assert admin.api("/projects/team/repositories") == []
