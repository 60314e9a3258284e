"""The registry side of the double: uploads, manifests and blobs, refusals, losses."""

from __future__ import annotations

import re
import socket
import time
from urllib.parse import urlsplit

import pytest
import requests

from tests.contract.client import API, OCTETS, Client, error_of
from tests.double import Fault, Image, Index, multi_arch
from tests.double.content import OCI_INDEX, OCI_MANIFEST, digest_of, noise

DATA = b"0123456789" * 3
LOST = (404, "BLOB_UPLOAD_INVALID", "blob upload invalid")


# -- uploads -----------------------------------------------------------------------------------


def test_chunks_are_appended_whatever_their_content_range_says(admin):
    location = admin.start_upload("team/app")
    for start, claimed in ((0, "0-9"), (10, "70-79"), (20, None)):
        headers = dict(OCTETS) if claimed is None else {**OCTETS, "Content-Range": claimed}
        part = DATA[start : start + 10]
        answer = admin.send("PATCH", location, data=part, headers=headers)
        assert answer.status_code == 202
        assert answer.headers["Range"] == f"0-{start + 9}"
        location = answer.headers["Location"]
    status = admin.get(location)
    assert (status.status_code, status.headers["Range"]) == (204, "0-29")
    done = admin.send("PUT", f"{location}&digest={digest_of(DATA)}")
    assert done.status_code == 201
    assert admin.get(f"/v2/team/app/blobs/{digest_of(DATA)}").content == DATA


def test_only_the_newest_location_of_an_upload_is_good(admin):
    first = admin.start_upload("team/app")
    second = admin.send("PATCH", first, data=DATA[:10], headers=OCTETS).headers["Location"]
    for method in ("GET", "PATCH", "PUT", "DELETE"):
        assert error_of(admin.send(method, first, headers=OCTETS)) == LOST
    assert error_of(admin.get(second.replace("_state=", "_state=A"))) == LOST
    assert error_of(admin.get(second.partition("?")[0])) == LOST
    assert admin.get(second).status_code == 204


@pytest.mark.parametrize("method", ["PATCH", "PUT"])
def test_a_body_that_is_cut_loses_the_upload_for_good(harbor, admin, method):
    location = admin.start_upload("team/app")
    parts = urlsplit(location)
    target = f"{parts.path}?{parts.query}&digest={digest_of(DATA)}"
    token = requests.auth._basic_auth_str(harbor.user, harbor.password)
    head = (
        f"{method} {target} HTTP/1.1\r\nHost: {parts.netloc}\r\nAuthorization: {token}\r\n"
        f"Content-Type: application/octet-stream\r\nContent-Length: {len(DATA)}\r\n\r\n"
    )
    with socket.create_connection((parts.hostname, parts.port)) as connection:
        connection.sendall(head.encode() + DATA[:10])
    uploads = harbor.state.storage.uploads
    wait_until(lambda: all(upload.cut for upload in uploads.values()))
    for again in ("GET", "PATCH", "DELETE"):
        assert error_of(admin.send(again, location, headers=OCTETS)) == LOST


def test_an_upload_whose_answer_was_lost_cannot_go_on(harbor, admin):
    location = admin.start_upload("team/app")
    harbor.faults.add(Fault(method="PATCH", lose_answer=True))
    with pytest.raises(requests.ConnectionError):
        admin.send("PATCH", location, data=DATA, headers=OCTETS)
    assert error_of(admin.get(location)) == LOST


def test_a_wrong_digest_ends_the_upload(admin):
    location = admin.start_upload("team/app")
    wrong = admin.send("PUT", f"{location}&digest={digest_of(b'x')}", data=DATA, headers=OCTETS)
    assert error_of(wrong)[:2] == (400, "DIGEST_INVALID")
    assert error_of(admin.get(location))[:2] == (404, "BLOB_UPLOAD_UNKNOWN")
    assert admin.get(f"/v2/team/app/blobs/{digest_of(DATA)}").status_code == 404


@pytest.mark.parametrize("query", ["", "&digest=nonsense"])
def test_an_upload_cannot_be_closed_without_a_digest(admin, query):
    closed = admin.send("PUT", admin.start_upload("team/app") + query, data=DATA, headers=OCTETS)
    assert error_of(closed)[:2] == (400, "DIGEST_INVALID")


def test_an_upload_can_be_given_up(admin):
    location = admin.start_upload("team/app")
    assert admin.send("DELETE", location).status_code == 204
    assert error_of(admin.get(location))[:2] == (404, "BLOB_UPLOAD_UNKNOWN")


def test_large_blobs_go_through_files_and_can_be_read_in_parts(harbor, admin):
    data = noise("large", 3_000_000)
    location = admin.start_upload("team/app")
    location = admin.send("PATCH", location, data=data[:2_000_000], headers=OCTETS).headers[
        "Location"
    ]
    digest = digest_of(data)
    done = admin.send("PUT", f"{location}&digest={digest}", data=data[2_000_000:], headers=OCTETS)
    assert done.status_code == 201
    blob = harbor.state.storage.blobs[digest]
    assert blob.data is None
    path = f"/v2/team/app/blobs/{digest}"
    assert admin.get(path).content == data
    part = admin.get(path, headers={"Range": "bytes=2999990-"})
    assert (part.status_code, part.content) == (206, data[-10:])
    assert part.headers["Content-Range"] == "bytes 2999990-2999999/3000000"
    harbor.close()
    assert not blob.path.exists()


@pytest.mark.parametrize(
    ("asked", "status", "start", "end"),
    [
        ("bytes=5-9", 206, 5, 10),
        ("bytes=-3", 206, 27, 30),
        ("bytes=28-99", 206, 28, 30),
        ("bytes=0-0,2-3", 200, 0, 30),
        ("items=1", 200, 0, 30),
    ],
)
def test_ranges_of_a_blob(admin, asked, status, start, end):
    assert admin.put_blob("team/app", DATA).status_code == 201
    answer = admin.get(f"/v2/team/app/blobs/{digest_of(DATA)}", headers={"Range": asked})
    assert (answer.status_code, answer.content) == (status, DATA[start:end])
    head = admin.send("HEAD", f"/v2/team/app/blobs/{digest_of(DATA)}")
    assert head.headers["Content-Length"] == "30"


def test_a_range_behind_the_end_is_refused(admin):
    admin.put_blob("team/app", DATA)
    answer = admin.get(f"/v2/team/app/blobs/{digest_of(DATA)}", headers={"Range": "bytes=30-"})
    assert (answer.status_code, answer.headers["Content-Range"]) == (416, "bytes */30")


def test_blobs_can_be_redirected_to_a_storage_that_wants_no_credentials(harbor, admin):
    admin.put_blob("team/app", DATA)
    harbor.state.redirect_blobs = True
    answer = admin.get(f"/v2/team/app/blobs/{digest_of(DATA)}")
    assert answer.status_code == 307
    location = answer.headers["Location"]
    assert urlsplit(location).hostname == "localhost"
    assert admin.get(location).status_code == 400
    assert admin.get(location, auth=None).content == DATA
    part = admin.get(location, auth=None, headers={"Range": "bytes=3-"})
    assert (part.status_code, part.content) == (206, DATA[3:])


def test_a_blob_is_mounted_only_from_where_it_is_and_may_be_read(harbor, admin):
    harbor.create_project("other")
    admin.put_blob("other/source", DATA)
    digest = digest_of(DATA)
    path = f"/v2/team/app/blobs/uploads/?mount={digest}&from="
    pusher = Client(harbor, harbor.create_robot("pusher", ["team"], push=True), "Robot-12345")
    refused = pusher.send("POST", path + "other/source")
    assert refused.status_code == 401
    assert admin.get(f"/v2/team/app/blobs/{digest}").status_code == 404
    assert admin.send("POST", path + "other/empty").status_code == 202
    assert admin.send("POST", path + "other/source").status_code == 201
    assert admin.get(f"/v2/team/app/blobs/{digest}").content == DATA


def test_a_full_storage_fails_uploads_until_there_is_room(harbor, admin):
    harbor.state.storage_full = True
    failed = admin.put_blob("team/app", DATA)
    assert error_of(failed)[:2] == (500, "UNKNOWN")
    assert "no space left on device" in failed.text
    harbor.state.storage_full = False
    assert admin.put_blob("team/app", DATA).status_code == 201


def test_locations_can_be_relative(harbor, admin):
    harbor.state.relative_locations = True
    assert admin.start_upload("team/app").startswith("/v2/team/app/blobs/uploads/")
    assert admin.put_blob("team/app", DATA).headers["Location"].startswith("/v2/team/app/blobs/")


# -- manifests ---------------------------------------------------------------------------------


def test_an_index_needs_its_children_in_storage_and_in_the_database(harbor, admin):
    image = Image("child")
    index = Index(image)
    assert error_of(admin.put_manifest("team/app", "all", index))[1] == "MANIFEST_BLOB_UNKNOWN"
    harbor.push("team/app", image, "v1")
    harbor.push("team/app", Image("stays"), "v2")
    harbor.state.delete_artifact("team/app", image.digest)
    status, code, message = error_of(admin.put_manifest("team/app", "all", index))
    assert (status, code) == (404, "NOT_FOUND")
    assert message == f"artifact team/app@{image.digest} not found"
    harbor.push("team/app", image)
    assert admin.put_manifest("team/app", "all", index).status_code == 201
    twice = Index(image, image)
    assert error_of(admin.put_manifest("team/app", "twice", twice))[:2] == (404, "NOT_FOUND")


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "unexpected end of JSON input"),
        (b"{", "unexpected end of JSON input"),
        (b"<html>", "invalid character '<' looking for beginning of value"),
        (b"tru!", "invalid character '!' in literal true (expecting 'e')"),
        (b"nu", "unexpected end of JSON input"),
    ],
)
def test_what_is_no_manifest_is_refused_with_the_reason(admin, body, reason):
    headers = {"Content-Type": OCI_MANIFEST}
    answer = admin.send("PUT", "/v2/team/app/manifests/v1", data=body, headers=headers)
    assert error_of(answer) == (400, "MANIFEST_INVALID", f"unmarshal manifest failed: {reason}")


def test_a_manifest_of_another_media_type_than_it_says_is_refused(harbor, admin):
    image = harbor.push("team/app", Image("app"))
    headers = {"Content-Type": OCI_INDEX}
    path = "/v2/team/app/manifests/v1"
    answer = admin.send("PUT", path, data=image.manifest, headers=headers)
    assert error_of(answer)[:2] == (400, "MANIFEST_INVALID")


@pytest.mark.parametrize("accept", ["*/*", "application/vnd.docker.distribution.manifest.v2+json"])
def test_oci_manifests_have_to_be_accepted_by_name(harbor, admin, accept):
    harbor.push("team/app", multi_arch("app"), "v1")
    status, code, message = error_of(admin.manifest("team/app", "v1", Accept=accept))
    assert (status, code) == (404, "MANIFEST_UNKNOWN")
    assert message == "OCI index found, but accept header does not support OCI indexes"


def test_a_manifest_is_deleted_by_digest_only(harbor, admin):
    image = harbor.push("team/app", Image("app"), "v1")
    by_tag = admin.send("DELETE", "/v2/team/app/manifests/v1")
    assert error_of(by_tag)[:2] == (400, "UNSUPPORTED")
    assert admin.send("DELETE", f"/v2/team/app/manifests/{image.digest}").status_code == 202
    assert error_of(admin.manifest("team/app", "v1"))[:2] == (404, "NOT_FOUND")


def test_a_policy_refuses_manifests_but_no_blobs(harbor, admin):
    image = harbor.push("team/app", Image("app"), "v1")
    harbor.state.refuse_pulls("team", "current image with 3 vulnerabilities cannot be pulled")
    refused = admin.manifest("team/app", "v1")
    assert error_of(refused)[:2] == (412, "PROJECTPOLICYVIOLATION")
    assert admin.send("HEAD", "/v2/team/app/manifests/v1").status_code == 412
    assert admin.get(f"/v2/team/app/blobs/{next(iter(image.blobs))}").status_code == 200
    harbor.state.refuse_pulls("team", None)
    assert admin.manifest("team/app", "v1").status_code == 200


def test_a_push_that_is_denied_is_not_authorized(harbor, admin):
    image = harbor.push("team/app", Image("app"), "v1")
    harbor.state.deny_push("team")
    status, code, message = error_of(admin.put_manifest("team/app", "v2", image))
    assert (status, code) == (401, "UNAUTHORIZED")
    assert message.startswith("unauthorized to access repository: team/app, action: push")
    assert admin.manifest("team/app", "v1").status_code == 200


def test_tags_and_catalog_are_paged_in_order(harbor, admin):
    harbor.push("team/app", Image("app"), "c", "a", "b")
    harbor.push("team/untagged", Image("app"))
    harbor.push("team/zoo", Image("app"), "a")
    first = admin.get("/v2/team/app/tags/list?n=2")
    assert first.json()["tags"] == ["a", "b"]
    following = re.match(r"<(.*)>", first.headers["Link"])[1]
    last = admin.get(following)
    assert last.json()["tags"] == ["c"]
    assert "Link" not in last.headers
    assert admin.get("/v2/_catalog").json() == {"repositories": ["team/app", "team/zoo"]}
    assert error_of(admin.get("/v2/team/none/tags/list"))[:2] == (404, "NOT_FOUND")


# -- sessions ----------------------------------------------------------------------------------


def test_a_client_that_keeps_cookies_may_read_but_not_write(harbor):
    with requests.Session() as session:
        session.auth = (harbor.user, harbor.password)
        assert session.get(f"{harbor.url}{API}/projects").cookies.get("sid")
        again = session.get(f"{harbor.url}{API}/projects")
        assert "sid" not in again.cookies
        path = f"{harbor.url}/v2/team/app/blobs/uploads/"
        refused = session.post(path)
        assert error_of(refused) == (403, "FORBIDDEN", "CSRF token not found in request")
        wrong = session.post(path, headers={"X-Harbor-CSRF-Token": "x"})
        assert error_of(wrong) == (403, "FORBIDDEN", "CSRF token invalid")
        token = {"X-Harbor-CSRF-Token": again.headers["X-Harbor-CSRF-Token"]}
        assert session.post(path, headers=token).status_code == 202


def test_request_ids_come_back(admin):
    answer = admin.get(f"{API}/ping", headers={"X-Request-Id": "night-17"})
    assert answer.headers["X-Request-ID"] == "night-17"
    assert admin.get(f"{API}/ping").headers["X-Request-ID"]


def test_a_wrong_password_can_lock_the_user_out_for_a_while(harbor, admin):
    wrong = Client(harbor, harbor.user, "wrong")
    assert "harbor_version" not in wrong.api("/systeminfo")
    assert "harbor_version" in admin.api("/systeminfo")
    harbor.state.login_lock_seconds = 3600
    wrong.api("/systeminfo")
    assert "harbor_version" not in admin.api("/systeminfo")


def wait_until(condition, seconds: float = 120.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)
