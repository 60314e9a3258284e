"""What storage lost: how it is answered, and what brings it back."""

from __future__ import annotations

import pytest
import requests

from tests.contract.client import ACCEPT, OCTETS, error_of
from tests.double import Image, Index
from tests.double.content import digest_of

NO_BYTE = requests.exceptions.ChunkedEncodingError


@pytest.fixture
def image(harbor):
    harbor.state.registry_cache = True
    return harbor.push("team/app", Image("app", layers=[4000]), "v1")


@pytest.fixture(params=["config", "layer"])
def blob(request, harbor, image):
    """Digest and bytes of a config or a layer that is lost."""
    digest, data = list(image.blobs.items())[["config", "layer"].index(request.param)]
    harbor.state.lose_blob(digest)
    return digest, data


def headers_then_nothing(answer):
    """Assert that the answer ends before its first byte, and return its status and length."""
    with answer, pytest.raises(NO_BYTE):
        next(answer.iter_content(1))
    return answer.status_code, int(answer.headers["Content-Length"])


def test_a_lost_blob_is_there_until_its_first_byte_should_come(admin, blob):
    digest, data = blob
    path = f"/v2/team/app/blobs/{digest}"
    head = admin.send("HEAD", path)
    assert (head.status_code, head.headers["Content-Length"]) == (200, str(len(data)))
    whole = admin.get(path, stream=True)
    assert whole.headers["Docker-Content-Digest"] == digest
    assert headers_then_nothing(whole) == (200, len(data))
    first = admin.get(path, stream=True, headers={"Range": "bytes=0-0"})
    assert first.headers["Content-Range"] == f"bytes 0-0/{len(data)}"
    assert headers_then_nothing(first) == (206, 1)
    rest = admin.get(path, stream=True, headers={"Range": "bytes=5-"})
    assert headers_then_nothing(rest) == (206, len(data) - 5)


def test_a_lost_blob_is_unknown_to_a_registry_without_its_cache(harbor, admin, blob):
    harbor.state.registry_cache = False
    path = f"/v2/team/app/blobs/{blob[0]}"
    assert admin.send("HEAD", path).status_code == 404
    assert error_of(admin.get(path))[:2] == (404, "BLOB_UNKNOWN")


def test_a_lost_blob_is_whole_again_after_an_upload_to_its_repository(admin, blob):
    digest, data = blob
    assert admin.put_blob("team/app", data).status_code == 201
    assert admin.get(f"/v2/team/app/blobs/{digest}").content == data


def test_an_upload_elsewhere_or_in_chunks_brings_a_blob_back_as_well(harbor, admin, blob):
    harbor.create_project("other")
    digest, data = blob
    location = admin.start_upload("other/app")
    answer = admin.send("PATCH", location, data=data[:9], headers=OCTETS)
    location = answer.headers["Location"]
    done = admin.send("PUT", f"{location}&digest={digest}", data=data[9:], headers=OCTETS)
    assert done.status_code == 201
    assert admin.get(f"/v2/team/app/blobs/{digest}").content == data


def test_a_lost_blob_can_be_mounted_and_stays_lost(harbor, admin, blob):
    digest, data = blob
    path = f"/v2/team/copy/blobs/uploads/?mount={digest}&from=team/app"
    assert admin.send("POST", path).status_code == 201
    assert headers_then_nothing(admin.get(f"/v2/team/copy/blobs/{digest}", stream=True)) == (
        200,
        len(data),
    )


def test_a_lost_manifest_is_unknown_and_still_listed(harbor, admin, image):
    harbor.state.lose_manifest("team/app", image.digest)
    for reference in ("v1", image.digest):
        assert error_of(admin.manifest("team/app", reference))[:2] == (404, "MANIFEST_UNKNOWN")
        path = f"/v2/team/app/manifests/{reference}"
        assert admin.send("HEAD", path, headers={"Accept": ACCEPT}).status_code == 404
    assert [row["digest"] for row in admin.api("/projects/team/artifacts")] == [image.digest]


def test_putting_a_lost_manifest_again_is_accepted_and_changes_nothing(harbor, admin, image):
    harbor.state.lose_manifest("team/app", image.digest)
    for reference in (image.digest, "v1", "v2"):
        assert admin.put_manifest("team/app", reference, image).status_code == 201
        assert error_of(admin.manifest("team/app", reference))[:2] == (404, "MANIFEST_UNKNOWN")


def test_a_lost_manifest_is_whole_again_when_its_bytes_come_as_a_blob(harbor, admin, image):
    harbor.state.lose_manifest("team/app", image.digest)
    path = f"/v2/team/app/blobs/{image.digest}"
    assert admin.get(path).status_code == 404
    assert admin.put_blob("team/app", image.manifest).status_code == 201
    assert admin.manifest("team/app", "v1").content == image.manifest
    assert admin.get(path).content == image.manifest


def test_without_its_cache_a_registry_stores_a_lost_manifest_that_is_put_again(
    harbor, admin, image
):
    harbor.state.registry_cache = False
    harbor.state.lose_manifest("team/app", image.digest)
    assert admin.put_manifest("team/app", image.digest, image).status_code == 201
    assert admin.manifest("team/app", "v1").content == image.manifest


def test_what_is_pushed_on_lost_content_is_taken_until_harbor_has_to_read_it(harbor, admin, image):
    config, layer = image.blobs
    harbor.state.lose_manifest("team/app", image.digest)
    assert admin.put_manifest("team/app", "index", Index(image)).status_code == 201
    harbor.state.lose_blob(layer)
    same_layers = Image("app", layers=[4000], annotations={"a": "b"})
    assert admin.put_manifest("team/app", "v2", same_layers).status_code == 201
    harbor.state.lose_blob(config)
    unread = Image("app", layers=[4000], annotations={"a": "c"})
    assert error_of(admin.put_manifest("team/app", "v3", unread))[:2] == (500, "UNKNOWN")
    # Deleted and pushed again, it is new to Harbor, which reads it back from the registry.
    harbor.state.delete_artifact("team/app", "index")
    harbor.state.delete_artifact("team/app", "v1")
    assert error_of(admin.put_manifest("team/app", "v1", image))[:2] == (404, "NOT_FOUND")
    harbor.state.registry_cache = False
    refused = admin.put_manifest("team/app", "v1", image)
    assert error_of(refused)[:2] == (400, "MANIFEST_BLOB_UNKNOWN")


def test_a_lost_referrer_spoils_the_whole_list_of_referrers(harbor, admin, image):
    bill = harbor.push("team/app", Image("bill", subject=image))
    path = f"/v2/team/app/referrers/{image.digest}"
    assert len(admin.get(path).json()["manifests"]) == 1
    harbor.state.lose_manifest("team/app", bill.digest)
    assert error_of(admin.get(path))[:2] == (404, "NOT_FOUND")


def test_content_lost_below_a_redirect_is_missing_there(harbor, admin, blob):
    harbor.state.redirect_blobs = True
    answer = admin.get(f"/v2/team/app/blobs/{blob[0]}")
    assert answer.status_code == 307
    assert admin.get(answer.headers["Location"], auth=None).status_code == 404
    assert digest_of(blob[1]) == blob[0]
