"""What other registries do than Harbor: other ways to log in, other hosts, other answers."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import pytest

from airflow_provider_harbor.core.exceptions import (
    DigestMismatchError,
    HarborAuthError,
    HarborProtocolError,
)
from airflow_provider_harbor.core.http.transport import basic_authorization
from airflow_provider_harbor.core.oci.manifest import OCI_INDEX, digest_of
from tests.core.oci.test_hostile_registry import (
    BLOB,
    MANIFEST,
    PAGE,
    client_of,
    page_for_maintenance,
)
from tests.hostile_server import Asked, HostileServer, Said


def with_basic(asked: Asked) -> Said:
    """Answer as a registry that wants the password itself, and has one tag."""
    if asked.headers.get("Authorization") != basic_authorization("admin", "Hush-Hush1"):
        return 401, {"WWW-Authenticate": 'Basic realm="registry"'}, b""
    if asked.path == "/v2/":
        return 200, {"Docker-Distribution-Api-Version": "registry/2.0"}, {}
    return 200, {"Content-Type": MANIFEST.media_type}, MANIFEST.content


def test_a_registry_that_wants_the_password_itself_gets_it() -> None:
    with client_of(with_basic, "admin") as (client, sent):
        client.ping()
        assert client.get_manifest("p/app", "1.0").digest == MANIFEST.digest
    # Without a login, with it, and the manifest: no token is asked for.
    assert [asked.path for asked in sent] == ["/v2/", "/v2/", "/v2/p/app/manifests/1.0"]


def test_a_wrong_password_at_a_registry_that_wants_it_itself_is_an_error() -> None:
    with client_of(with_basic, "somebody-else") as (client, sent):
        with pytest.raises(HarborAuthError, match="login 'somebody-else' was not accepted"):
            client.ping()
        with pytest.raises(HarborAuthError):
            client.get_manifest("p/app", "1.0")
    assert len(sent) == 3


def test_no_login_at_a_registry_that_wants_one_is_an_error_that_says_so() -> None:
    with (
        client_of(with_basic, "") as (client, _sent),
        pytest.raises(HarborAuthError, match="no credentials were given"),
    ):
        client.ping()


def test_what_is_no_registry_says_404() -> None:
    def say(asked: Asked) -> Said:
        return 404, {"Content-Type": "text/html"}, PAGE

    with (
        client_of(say) as (client, _sent),
        pytest.raises(HarborProtocolError, match=r"there is no registry at .* 404"),
    ):
        client.ping()


def test_an_upload_that_goes_on_at_another_host_takes_no_login_along() -> None:
    def storage(asked: Asked) -> Said:
        return 201, {}, b""

    with HostileServer(storage) as elsewhere:
        url = elsewhere.url.replace("127.0.0.1", "localhost")

        def say(asked: Asked) -> Said:
            if asked.method == "POST":
                return 202, {"Location": f"{url}/bucket/upload?signature=1"}, b""
            return with_basic(asked)

        with client_of(say, "admin") as (client, sent):
            client.put_blob("p/app", BLOB, b"blob")
        assert not any(asked.method == "PUT" for asked in sent)
        (put,) = elsewhere.asked
    assert (put.method, put.body) == ("PUT", b"blob")
    assert put.path == f"/bucket/upload?signature=1&digest={BLOB.replace(':', '%3A')}"
    assert "Authorization" not in put.headers


@pytest.mark.parametrize("status", [403, 404, 200, 204])
def test_an_upload_that_came_in_place_of_a_mount_is_cancelled_or_left(status: int) -> None:
    def say(asked: Asked) -> Said:
        if asked.method == "POST":
            return 202, {"Location": "/v2/p/app/blobs/uploads/1"}, b""
        if asked.method == "DELETE":
            return status, {}, b""
        return page_for_maintenance(asked)

    with client_of(say) as (client, sent):
        assert not client.mount_blob("p/app", BLOB, "p/other")
    assert [(asked.method, asked.path) for asked in sent[2:]] == [
        ("DELETE", "/v2/p/app/blobs/uploads/1")
    ]


def test_a_mount_that_says_where_no_upload_is_is_no_error() -> None:
    def say(asked: Asked) -> Said:
        return page_for_maintenance(asked) if asked.method == "GET" else (202, {}, b"")

    with client_of(say) as (client, _sent):
        assert not client.mount_blob("p/app", BLOB, "p/other")


def test_a_registry_that_says_it_stored_something_else_is_not_believed() -> None:
    other = digest_of(b"other")

    def say(asked: Asked) -> Said:
        if asked.method == "PUT":
            return 201, {"Docker-Content-Digest": other}, b""
        return page_for_maintenance(asked)

    with (
        client_of(say) as (client, _sent),
        pytest.raises(DigestMismatchError, match=r"p/app:1\.0") as caught,
    ):
        client.put_manifest("p/app", "1.0", MANIFEST)
    assert (caught.value.expected, caught.value.actual) == (MANIFEST.digest, other)


@pytest.mark.parametrize("named", ["sha512:" + "a" * 128, "no digest", ""])
def test_another_kind_of_digest_says_nothing_of_what_was_stored(named: str) -> None:
    def say(asked: Asked) -> Said:
        if asked.method == "PUT":
            return 201, {"Docker-Content-Digest": named}, b""
        return page_for_maintenance(asked)

    with client_of(say) as (client, _sent):
        assert client.put_manifest("p/app", "1.0", MANIFEST).digest == MANIFEST.digest


@pytest.mark.parametrize("status", [202, 204, 206])
def test_a_blob_is_not_there_by_another_status(status: int) -> None:
    def say(asked: Asked) -> Said:
        if asked.method == "HEAD":
            return status, {"Docker-Content-Digest": BLOB, "Content-Length": "4"}, b""
        return page_for_maintenance(asked)

    with client_of(say) as (client, _sent):
        assert not client.has_blob("p/app", BLOB, 4)


def test_a_blob_whose_length_is_not_told_is_read_all_the_same() -> None:
    """A storage may send it in chunks; its digest and length are checked as it comes."""

    def say(asked: Asked) -> Said:
        if asked.path == "/v2/":
            return page_for_maintenance(asked)
        return (
            b"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n4\r\nblob\r\n0\r\n\r\n"
        )

    with (
        client_of(say) as (client, _sent),
        client.open_blob("p/app", BLOB, 4) as reader,
    ):
        assert reader.read() + reader.read() == b"blob"


def test_a_list_of_referrers_that_the_registry_keeps_is_not_mixed_with_one_under_a_tag() -> None:
    def listing(digest: str) -> Said:
        entry = {"mediaType": MANIFEST.media_type, "digest": digest, "size": 1}
        return 200, {"Content-Type": OCI_INDEX}, {"schemaVersion": 2, "manifests": [entry]}

    own, tagged = digest_of(b"own"), digest_of(b"tagged")

    def say(asked: Asked) -> Said:
        if asked.path == "/v2/":
            return page_for_maintenance(asked)
        return listing(own if "/referrers/" in asked.path else tagged)

    with client_of(say) as (client, _sent):
        assert [found.digest for found in client.iter_referrers("p/app", BLOB)] == [own]


def test_a_token_is_asked_for_what_is_done_and_no_more() -> None:
    scopes: list[list[str]] = []

    def say(asked: Asked) -> Said:
        target = urlsplit(asked.path)
        if target.path == "/token":
            scopes.append(parse_qs(target.query)["scope"])
            return 200, {}, {"token": "t"}
        if "Authorization" not in asked.headers:
            return 401, {"WWW-Authenticate": 'Bearer realm="/token",service="s"'}, b""
        return 201, {}, b""

    with client_of(say, "admin") as (client, _sent):
        client.put_manifest("p/app", "1.0", MANIFEST)
        client.mount_blob("p/app", BLOB, "p/other")
        client.mount_blob("p/app", BLOB, "p/app")
        client.has_blob("p/app", BLOB)
    assert scopes == [
        ["repository:p/app:pull,push"],
        ["repository:p/app:pull,push", "repository:p/other:pull"],
        ["repository:p/app:pull"],
    ]


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": "application/json; charset=utf-8"},
        {"Content-Type": "text/plain", "Docker-Distribution-Api-Version": "registry/2.0"},
    ],
)
def test_a_registry_is_known_by_its_version_or_by_json(headers: dict[str, str]) -> None:
    with client_of(lambda asked: (200, headers, b"{}")) as (client, _sent):
        client.ping()
