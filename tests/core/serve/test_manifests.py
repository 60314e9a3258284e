"""Manifests by tag and digest, tags, the catalogue, referrers: as a registry has them."""

from __future__ import annotations

import json

import pytest

from airflow_provider_harbor.core.oci.manifest import (
    DOCKER_INDEX,
    DOCKER_MANIFEST,
    OCI_INDEX,
    OCI_MANIFEST,
)
from tests.core.night import OTHER, REPOSITORY, Night
from tests.core.serve.running import Served, serving

BASE = f"/v2/{REPOSITORY}"
NOWHERE = "sha256:" + "0" * 64


def error_of(answer) -> tuple[int, str]:
    (error,) = answer.json()["errors"]
    assert error["message"]
    return answer.status_code, error["code"]


def test_it_says_that_it_is_a_registry(served: Served):
    for path in ("/v2/", "/v2"):
        answer = served.get(path)
        assert (answer.status_code, answer.json()) == (200, {})
        assert answer.headers["Docker-Distribution-API-Version"] == "registry/2.0"


@pytest.mark.parametrize(
    ("tag", "name"),
    [("1.0", "image"), ("latest", "image"), ("2.0", "index"), ("old", "docker")],
)
def test_a_tag_leads_to_its_manifest(served: Served, night: Night, tag: str, name: str):
    content = night.contents[name]
    answer = served.get(f"{BASE}/manifests/{tag}")
    assert answer.content == content.manifest
    assert answer.headers["Content-Type"] == content.media_type
    assert answer.headers["Docker-Content-Digest"] == content.digest
    assert answer.headers["ETag"] == f'"{content.digest}"'


def test_every_manifest_is_there_by_its_digest(served: Served, night: Night):
    here = [name for name in night.contents if name not in ("chart", "other")]
    for digest, manifest in night.all_of(*here).items():
        answer = served.get(f"{BASE}/manifests/{digest}")
        assert (answer.status_code, answer.content) == (200, manifest)


def test_head_says_the_same_without_the_content(served: Served, night: Night):
    index = night.contents["index"]
    for reference in ("2.0", index.digest):
        answer = served.head(f"{BASE}/manifests/{reference}")
        assert (answer.status_code, answer.content) == (200, b"")
        assert answer.headers["Content-Length"] == str(len(index.manifest))
        assert answer.headers["Docker-Content-Digest"] == index.digest


def test_what_a_client_has_is_not_sent_again(served: Served, night: Night):
    digest = night.contents["image"].digest
    for known in (f'"{digest}"', f'W/"{digest}"', digest, f'"x", "{digest}"', "*"):
        answer = served.get(f"{BASE}/manifests/1.0", headers={"If-None-Match": known})
        assert (answer.status_code, answer.content) == (304, b"")
        assert answer.headers["ETag"] == f'"{digest}"'
    assert served.get(f"{BASE}/manifests/1.0", headers={"If-None-Match": '"x"'}).ok


# -- what clients accept


@pytest.mark.parametrize(
    "accepted",
    [OCI_MANIFEST, f"{OCI_INDEX}, {OCI_MANIFEST};q=0.5", "*/*", "application/*", ""],
)
def test_what_is_accepted_is_sent(served: Served, accepted: str):
    answer = served.get(f"{BASE}/manifests/1.0", headers={"Accept": accepted or None})
    assert answer.headers["Content-Type"] == OCI_MANIFEST


def test_what_is_not_accepted_is_not_sent(served: Served, night: Night):
    for reference, accepted in (
        ("1.0", DOCKER_MANIFEST),
        ("old", OCI_MANIFEST),
        (night.contents["index"].digest, OCI_MANIFEST),
        ("2.0", DOCKER_INDEX),
    ):
        answer = served.get(f"{BASE}/manifests/{reference}", headers={"Accept": accepted})
        assert error_of(answer) == (404, "MANIFEST_UNKNOWN"), reference


def test_who_knows_no_indexes_gets_the_image_for_linux_on_amd64(served: Served, night: Night):
    amd64 = night.contents["index"].children[0]
    for method in (served.get, served.head):
        answer = method(f"{BASE}/manifests/2.0", headers={"Accept": OCI_MANIFEST})
        assert answer.headers["Docker-Content-Digest"] == amd64.digest
        assert answer.headers["Content-Type"] == OCI_MANIFEST


# -- what is not there


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        (f"{BASE}/manifests/9", 404, "MANIFEST_UNKNOWN"),
        (f"{BASE}/manifests/{NOWHERE}", 404, "MANIFEST_UNKNOWN"),
        (f"{BASE}/manifests/sha256:12", 400, "DIGEST_INVALID"),
        (f"{BASE}/manifests/md5:{'0' * 32}", 400, "DIGEST_INVALID"),
        (f"{BASE}/manifests/-x", 400, "TAG_INVALID"),
        (f"{BASE}/manifests/{'x' * 129}", 400, "TAG_INVALID"),
        ("/v2/library/none/manifests/1", 404, "NAME_UNKNOWN"),
        ("/v2/library/none/tags/list", 404, "NAME_UNKNOWN"),
        ("/v2/Library/none/tags/list", 400, "NAME_INVALID"),
        (f"{BASE}/blobs/{NOWHERE}", 404, "BLOB_UNKNOWN"),
        (f"{BASE}/blobs/latest", 400, "DIGEST_INVALID"),
        (f"{BASE}/referrers/latest", 400, "DIGEST_INVALID"),
        ("/v2/library/none/referrers/" + NOWHERE, 404, "NAME_UNKNOWN"),
        ("/v2/nothing", 404, "UNSUPPORTED"),
        ("/", 404, "UNSUPPORTED"),
        ("/api/v2.0/projects", 404, "UNSUPPORTED"),
    ],
)
def test_what_is_not_there_is_an_error_of_the_distribution(
    served: Served, path: str, status: int, code: str
):
    assert error_of(served.get(path)) == (status, code)
    head = served.head(path)
    assert (head.status_code, head.content) == (status, b"")


def test_content_is_there_in_its_own_repository_only(served: Served, night: Night):
    """A login for one repository could be all that a client has, some day."""
    chart = night.contents["chart"]
    assert served.get(f"/v2/{OTHER}/manifests/{chart.digest}").ok
    assert not served.get(f"{BASE}/manifests/{chart.digest}").ok
    for digest in chart.blobs:
        assert served.head(f"/v2/{OTHER}/blobs/{digest}").ok
        assert not served.head(f"{BASE}/blobs/{digest}").ok


@pytest.mark.parametrize(
    "target",
    [
        "/v2/../store.json",
        "/v2/../../store.json",
        "/v2/library/../../store.json/tags/list",
        "/v2/%2e%2e/%2e%2e/store.json/tags/list",
        "/v2/..%2f..%2fstore.json/tags/list",
        "/v2/..%252f..%252fstore.json/tags/list",
        f"{BASE}/blobs/sha256:..%2f..%2f..%2fstore.json",
        f"{BASE}/blobs/..%2f..%2fstore.json",
        f"{BASE}/blobs/sha256:{'.' * 64}",
        f"{BASE}/manifests/..%2f..%2f..%2fstore.json",
        f"{BASE}/manifests/%2e%2e%2fsnapshots",
        f"{BASE}/../../../store.json/manifests/x",
        "/v2/library/deep/app%00/tags/list",
        "/v2/library/deep/app%0a/tags/list",
        "//v2/library/deep/app/tags/list",
        "/v2/%ff/tags/list",
    ],
)
def test_nothing_climbs_out_of_the_store(served: Served, target: str):
    status, content = served.get_raw(target)
    assert status in (400, 404)
    assert b"harbor_url" not in content
    assert json.loads(content)["errors"]


@pytest.mark.parametrize("method", ["PUT", "POST", "PATCH", "DELETE"])
@pytest.mark.parametrize(
    "path",
    [
        f"{BASE}/manifests/new",
        f"{BASE}/manifests/{NOWHERE}",
        f"{BASE}/blobs/{NOWHERE}",
        f"{BASE}/blobs/uploads/",
        f"{BASE}/blobs/uploads/1234",
        f"/v2/new/repository/blobs/uploads/?mount={NOWHERE}&from={REPOSITORY}",
    ],
)
def test_nothing_can_be_written(served: Served, method: str, path: str):
    answer = served.ask(method, path, data=b"{}")
    assert error_of(answer) == (405, "UNSUPPORTED")
    assert answer.headers["Allow"] == "GET, HEAD"


# -- lists


def test_all_tags_are_listed_in_order(served: Served, night: Night):
    signature = night.contents["signature"].default_tags[0]
    tags = ["1.0", "2.0", "latest", "nested", "old", signature, "windows"]
    answer = served.get(f"{BASE}/tags/list")
    assert answer.json() == {"name": REPOSITORY, "tags": tags}
    assert "Link" not in answer.headers


def test_lists_come_in_pages(served: Served):
    for path, key in ((f"{BASE}/tags/list", "tags"), ("/v2/_catalog", "repositories")):
        everything = served.get(path).json()[key]
        for size in (1, 2, len(everything), 100):
            found, following = [], f"{path}?n={size}"
            while following:
                answer = served.get(following)
                assert len(answer.json()[key]) <= size
                found += answer.json()[key]
                following = answer.links.get("next", {}).get("url")
            assert found == everything


def test_a_page_begins_behind_a_name_that_need_not_be_there(served: Served):
    answer = served.get(f"{BASE}/tags/list?last=1.5&n=2")
    assert answer.json()["tags"] == ["2.0", "latest"]
    assert served.get(f"{BASE}/tags/list?last=zzz&n=2").json()["tags"] == []


def test_a_page_of_nothing_leads_nowhere(served: Served):
    answer = served.get(f"{BASE}/tags/list?n=0")
    assert (answer.json()["tags"], answer.headers.get("Link")) == ([], None)


@pytest.mark.parametrize("number", ["-1", "x", "1.5", "", "9" * 40, "%C2%B2"])
def test_a_size_of_pages_that_is_no_number_is_refused(served: Served, number: str):
    for path in (f"{BASE}/tags/list", "/v2/_catalog"):
        answer = served.get(f"{path}?n={number}")
        assert error_of(answer) == (400, "PAGINATION_NUMBER_INVALID")


def test_all_repositories_are_listed(served: Served):
    names = served.get("/v2/_catalog").json()["repositories"]
    assert names == [REPOSITORY, OTHER, "team/other"]


# -- referrers


def referrers(served: Served, subject: str, query: str = "") -> list[dict]:
    answer = served.get(f"{BASE}/referrers/{subject}{query}")
    assert answer.headers["Content-Type"] == OCI_INDEX
    index = answer.json()
    assert (index["schemaVersion"], index["mediaType"]) == (2, OCI_INDEX)
    return index["manifests"]


def test_what_refers_to_a_subject_is_listed(served: Served, night: Night):
    sbom = night.contents["sbom"]
    (entry,) = referrers(served, night.contents["index"].digest)
    assert entry == {
        "mediaType": sbom.media_type,
        "digest": sbom.digest,
        "size": len(sbom.manifest),
        "artifactType": sbom.document["artifactType"],
    }
    (entry,) = referrers(served, sbom.digest)
    assert entry["digest"] == night.contents["sbom of sbom"].digest


def test_a_subject_without_referrers_has_an_empty_list(served: Served, night: Night):
    # cosign's own signature of the image has no subject: it is found by its tag.
    for subject in (night.contents["image"].digest, NOWHERE):
        assert referrers(served, subject) == []


def test_referrers_can_be_had_by_their_type(served: Served, night: Night):
    subject = night.contents["index"].digest
    kind = night.contents["sbom"].document["artifactType"]
    assert len(referrers(served, subject, f"?artifactType={kind.replace('+', '%2B')}")) == 1
    answer = served.get(f"{BASE}/referrers/{subject}?artifactType=other/type")
    assert answer.json()["manifests"] == []
    assert answer.headers["OCI-Filters-Applied"] == "artifactType"
    assert "OCI-Filters-Applied" not in served.get(f"{BASE}/referrers/{subject}").headers


# -- what no registry has


def test_a_layer_that_is_to_be_had_elsewhere_only_is_not_here(served: Served, night: Night):
    windows = night.contents["windows"]
    assert served.get(f"{BASE}/manifests/windows").content == windows.manifest
    (layer,) = windows.document["layers"]
    answer = served.get(f"{BASE}/blobs/{layer['digest']}")
    assert error_of(answer) == (404, "BLOB_UNKNOWN")


# -- damage


def test_a_damaged_manifest_is_not_sent(own_night: Night):
    image = own_night.contents["image"]
    path = own_night.file_of(image.digest)
    path.write_bytes(path.read_bytes().replace(b"2", b"3", 1))
    own_night.file_of(own_night.contents["docker"].digest).unlink()
    with serving(own_night.store) as served:
        for reference in ("1.0", image.digest, "old"):
            answer = served.get(f"{BASE}/manifests/{reference}")
            assert error_of(answer) == (404, "MANIFEST_UNKNOWN")
            assert "damaged or gone" in answer.text
        assert served.get(f"{BASE}/manifests/2.0").ok


def test_serving_leaves_the_store_as_it_was(own_night: Night):
    def state() -> dict:
        return {
            path: (path.stat().st_ino, path.stat().st_mtime_ns, path.stat().st_size)
            for path in own_night.path.rglob("*")
        }

    before = state()
    with serving(own_night.store) as served:
        served.get(f"{BASE}/manifests/1.0")
        served.ask("PUT", f"{BASE}/manifests/new", data=b"{}")
        for blob in own_night.contents["image"].blobs:
            assert served.get(f"{BASE}/blobs/{blob}").ok
    assert state() == before


def test_a_damaged_referrer_is_not_listed(own_night: Night):
    own_night.file_of(own_night.contents["sbom"].digest).write_bytes(b"{}")
    with serving(own_night.store) as served:
        assert referrers(served, own_night.contents["index"].digest) == []
