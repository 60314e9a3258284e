"""The distribution API at servers that are none, or lie: only an answer that says so counts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from airflow_provider_harbor.core.exceptions import (
    DigestMismatchError,
    HarborNotFoundError,
    HarborProtocolError,
    HarborRefusedError,
    HarborStatusError,
    RefusalReason,
    WrongSizeError,
    is_passing,
)
from airflow_provider_harbor.core.oci import registry
from airflow_provider_harbor.core.oci.manifest import Manifest, digest_of
from airflow_provider_harbor.core.oci.registry import RegistryClient
from tests.core.rig import fast_session, make_immutable, registry_login
from tests.double import HarborDouble
from tests.double.content import Image
from tests.hostile_server import Asked, HostileServer, Said
from tests.registry_server import PlainRegistry

BLOB = digest_of(b"blob")
MANIFEST = Manifest.from_bytes(Image("some").manifest, Image("some").media_type, "test")
PAGE = "<html>Back soon</html>"


@contextmanager
def client_of(
    say: Callable[[Asked], Said], user: str = ""
) -> Iterator[tuple[RegistryClient, list[Asked]]]:
    """Run a server, and return a login at it, and the requests that come."""
    with HostileServer(say) as server:
        session = fast_session(server.url)
        with RegistryClient(server.url, user, "Hush-Hush1", session=session) as client:
            yield client, server.asked


def page_for_maintenance(asked: Asked) -> Said:
    """Answer as what stands in for a registry, and says 200 to everything."""
    if asked.path == "/v2/":
        return 200, {"Docker-Distribution-Api-Version": "registry/2.0"}, {}
    return 200, {"Content-Type": "text/html"}, PAGE


def test_a_page_for_maintenance_proves_nothing() -> None:
    with client_of(page_for_maintenance) as (client, sent):
        assert not client.has_blob("p/app", BLOB, 4)
        assert not client.has_blob("p/app", BLOB)
        assert not client.mount_blob("p/app", BLOB, "p/other")
        for reference in ("1.0", MANIFEST.digest):
            with pytest.raises((HarborProtocolError, DigestMismatchError)):
                client.find_manifest("p/app", reference)
            with pytest.raises(HarborProtocolError, match=r"200 \(text/html\).*not found there"):
                client.put_manifest("p/app", reference, MANIFEST)
        with pytest.raises(HarborProtocolError, match=r"200 \(text/html\).*opens an upload"):
            client.put_blob("p/app", BLOB, b"blob")
        with pytest.raises(HarborProtocolError):
            list(client.iter_tags("p/app"))
        with pytest.raises(HarborProtocolError):
            list(client.iter_referrers("p/app", BLOB))
    assert not any(asked.body == b"blob" for asked in sent)


def unsure(status: int, **kept: bytes) -> Callable[[Asked], Said]:
    """Return what answers each PUT with a status; `kept` is what it really has then."""

    def say(asked: Asked) -> Said:
        if asked.path == "/v2/":
            return 200, {"Docker-Distribution-Api-Version": "registry/2.0"}, {}
        if asked.method == "POST":
            return 202, {"Location": "/v2/p/app/blobs/uploads/1"}, b""
        if asked.method == "PUT":
            return status, {}, b""
        kind = "blob" if "/blobs/" in asked.path else "manifest"
        if kind not in kept:
            return 404, {}, {"errors": [{"code": "UNKNOWN", "message": "not there"}]}
        return 200, {"Docker-Content-Digest": digest_of(kept[kind])}, kept[kind]

    return say


@pytest.mark.parametrize("status", [200, 202, 203, 204, 206, 300, 304])
def test_what_is_not_said_to_be_stored_is_looked_for(status: int) -> None:
    there = unsure(status, blob=b"blob", manifest=MANIFEST.content)
    with client_of(there) as (client, _sent):
        client.put_blob("p/app", BLOB, b"blob")
        assert client.put_manifest("p/app", "1.0", MANIFEST).digest == MANIFEST.digest
    for not_there in (unsure(status), unsure(status, blob=b"other", manifest=b"{}")):
        with client_of(not_there) as (client, _sent):
            with pytest.raises(HarborProtocolError, match=f"{status}.*the blob is not found there"):
                client.put_blob("p/app", BLOB, b"blob")
            with pytest.raises(HarborProtocolError, match=f"{status}.*the manifest is not found"):
                client.put_manifest("p/app", "1.0", MANIFEST)


def test_what_is_said_to_be_stored_is_not_looked_for() -> None:
    with client_of(unsure(201)) as (client, sent):
        client.put_blob("p/app", BLOB, b"blob")
        client.put_manifest("p/app", "1.0", MANIFEST)
    assert [asked.method for asked in sent] == ["GET", "POST", "PUT", "PUT"]
    assert sent[2].path == f"/v2/p/app/blobs/uploads/1?digest={BLOB.replace(':', '%3A')}"


@pytest.mark.parametrize(
    ("headers", "size_bytes", "is_there"),
    [
        ({"Docker-Content-Digest": BLOB}, None, True),
        ({"Docker-Content-Digest": BLOB, "Content-Length": "9"}, 4, True),
        ({"Docker-Content-Digest": digest_of(b"x"), "Content-Length": "4"}, 4, False),
        ({"Content-Length": "4"}, 4, True),
        ({"Content-Length": "4"}, None, False),
        ({"Content-Length": "5"}, 4, False),
        ({"Content-Length": "0"}, 0, False),
        ({"Content-Length": "\xb2"}, 2, False),
    ],
)
def test_a_blob_is_there_where_its_digest_or_its_size_is_named(
    headers: dict[str, str], size_bytes: int | None, is_there: bool
) -> None:
    def say(asked: Asked) -> Said:
        return page_for_maintenance(asked) if asked.path == "/v2/" else (200, headers, b"")

    with client_of(say) as (client, _sent):
        assert client.has_blob("p/app", BLOB, size_bytes) is is_there


def test_a_blob_in_a_storage_behind_the_registry_is_there() -> None:
    def say(asked: Asked) -> Said:
        return page_or(asked, (307, {"Location": f"{storage.url}/x?Sig=y"}, b""))

    with (
        HostileServer(lambda asked: (200, {"Content-Length": "4"}, b"")) as storage,
        client_of(say) as (client, _sent),
    ):
        assert client.has_blob("p/app", BLOB, 4)
        assert not client.has_blob("p/app", BLOB, 5)
    assert {asked.method for asked in storage.asked} == {"HEAD"}


@pytest.mark.parametrize("named", ["", "latest", "sha256:" + "A" * 64, digest_of(b"other")])
def test_a_digest_is_believed_only_where_it_can_be_right(named: str) -> None:
    """What was asked for by digest has that one; what was asked for by tag has one at least."""

    def say(asked: Asked) -> Said:
        if asked.path == "/v2/":
            return page_for_maintenance(asked)
        kind = {"Content-Type": MANIFEST.media_type, "Docker-Content-Digest": named}
        return 200, kind, MANIFEST.content if asked.method == "GET" else b""

    with client_of(say) as (client, _sent):
        assert client.find_manifest("p/app", MANIFEST.digest) == MANIFEST.digest
        expected = named if named == digest_of(b"other") else MANIFEST.digest
        assert client.find_manifest("p/app", "1.0") == expected


def test_what_is_gone_when_it_is_looked_at_is_not_there() -> None:
    def say(asked: Asked) -> Said:
        if asked.path == "/v2/":
            return page_for_maintenance(asked)
        return (200, {}, b"") if asked.method == "HEAD" else (404, {}, b"")

    with client_of(say) as (client, _sent):
        assert client.find_manifest("p/app", "1.0") is None


@pytest.mark.parametrize(
    ("status", "headers"),
    [
        (200, {"Location": "/v2/x"}),
        (201, {"Location": "/v2/x"}),
        (204, {}),
        (202, {}),
        (202, {"Location": ""}),
        (202, {"Location": "http://[::1"}),
        (202, {"Location": "ftp://h/x"}),
        (202, {"Location": "http://h:x/"}),
    ],
)
def test_an_upload_begins_only_where_the_registry_says_how(
    status: int, headers: dict[str, str]
) -> None:
    def say(asked: Asked) -> Said:
        return page_for_maintenance(asked) if asked.method == "GET" else (status, headers, b"")

    with (
        client_of(say) as (client, sent),
        pytest.raises(HarborProtocolError, match=r"^POST http.*/v2/p/app/blobs/uploads/ was"),
    ):
        client.put_blob("p/app", BLOB, b"blob")
    assert not any(asked.method == "PUT" for asked in sent)


# -- writing only over what is known


def conditional(asked: Asked) -> Said:
    """Answer as a registry that has one tag, and knows conditions."""
    if asked.path == "/v2/":
        return page_for_maintenance(asked)
    kind = {"Content-Type": MANIFEST.media_type, "ETag": f'"{MANIFEST.digest}"'}
    if asked.method == "GET":
        return 200, kind, MANIFEST.content
    if (
        asked.headers.get("If-Match") in (None, kind["ETag"])
        and "If-None-Match" not in asked.headers
    ):
        return 201, {}, b""
    return 412, {}, {"errors": [{"code": "PRECONDITION", "message": "it is another one"}]}


def test_a_tag_is_written_only_where_it_is_what_was_read() -> None:
    with client_of(conditional) as (client, sent):
        found, etag = client.get_manifest_and_etag("p/app", "list")
        assert (found.digest, etag) == (MANIFEST.digest, f'"{MANIFEST.digest}"')
        client.put_manifest("p/app", "list", MANIFEST, if_match=etag)
        client.put_manifest("p/app", "list", MANIFEST)
        for other in ('"other"', ""):
            with pytest.raises(HarborRefusedError) as caught:
                client.put_manifest("p/app", "list", MANIFEST, if_match=other)
            assert caught.value.reason is RefusalReason.CHANGED
            assert (caught.value.status, caught.value.method) == (412, "PUT")
    sent = [
        (asked.headers.get("If-Match"), asked.headers.get("If-None-Match"))
        for asked in sent
        if asked.method == "PUT"
    ]
    assert sent == [(etag, None), (None, None), ('"other"', None), (None, "*")]


def test_without_a_condition_no_412_says_that_something_changed() -> None:
    with (
        client_of(lambda asked: page_or(asked, (412, {}, b""))) as (client, _sent),
        pytest.raises(HarborStatusError) as caught,
    ):
        client.put_manifest("p/app", "1.0", MANIFEST)
    assert not isinstance(caught.value, HarborRefusedError)


def page_or(asked: Asked, said: Said) -> Said:
    return page_for_maintenance(asked) if asked.path == "/v2/" else said


def test_an_immutable_tag_is_told_from_one_that_changed(harbor: HarborDouble) -> None:
    harbor.create_project("p")
    image = harbor.push("p/app", Image("fixed"), "1.0")
    make_immutable(harbor, "p", "**")
    with registry_login(harbor) as client, pytest.raises(HarborRefusedError) as caught:
        client.put_manifest(
            "p/app",
            "1.0",
            Manifest.from_bytes(image.manifest, image.media_type, "test"),
            if_match='"x"',
        )
    assert caught.value.reason is RefusalReason.IMMUTABLE


@pytest.mark.parametrize("etag", ["", 'W/"weak"', "bare", '"a\x1b"', '"a"b"', "*"])
def test_an_etag_that_cannot_be_compared_is_none(etag: str) -> None:
    said: Said = (200, {"ETag": etag, "Content-Type": MANIFEST.media_type}, MANIFEST.content)
    with client_of(lambda asked: page_or(asked, said)) as (client, _sent):
        assert client.get_manifest_and_etag("p/app", "1.0")[1] is None


def test_conditions_do_no_harm_to_a_plain_registry(plain_registry: PlainRegistry) -> None:
    with RegistryClient(plain_registry.url, session=fast_session(plain_registry.url)) as client:
        for digest, blob in Image("some").blobs.items():
            client.put_blob("p/app", digest, blob)
        client.put_manifest("p/app", "1.0", MANIFEST)
        manifest, etag = client.get_manifest_and_etag("p/app", "1.0")
        client.put_manifest("p/app", "1.0", manifest, if_match=etag)
        client.put_manifest("p/app", "new", manifest, if_match="")
        assert client.find_manifest("p/app", "new") == MANIFEST.digest


# -- lists that have no end


@pytest.mark.parametrize("what", ["tags/list?n=1000", f"referrers/{BLOB}"])
@pytest.mark.parametrize("to", ["itself", "another page that has nothing new"])
def test_a_list_that_goes_in_a_circle_is_an_error(what: str, to: str) -> None:
    def say(asked: Asked) -> Said:
        other = asked.path + ("" if to == "itself" else "&x=1")
        item = {"digest": BLOB, "size": 4, "mediaType": "application/x"}
        body = {"name": "x", "tags": ["a"], "manifests": [item]}
        return page_or(asked, (200, {"Link": f'<{other}>; rel="next"'}, body))

    with (
        client_of(say) as (client, sent),
        pytest.raises(HarborProtocolError, match=r"^GET http.* has no end"),
    ):
        list(client.iter_tags("p/a") if "tags" in what else client.iter_referrers("p/a", BLOB))
    assert len(sent) < 5


def test_a_list_that_goes_on_and_on_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_MOST_TAGS", 50)

    def say(asked: Asked) -> Said:
        link = {"Link": f'<{asked.path}1>; rel="next"'}
        return page_or(asked, (200, link, {"tags": [f"t{len(asked.path)}"]}))

    with (
        client_of(say) as (client, _sent),
        pytest.raises(HarborProtocolError, match="more than 50"),
    ):
        list(client.iter_tags("p/a"))


def test_a_list_that_breaks_off_is_an_error_and_not_a_short_one() -> None:
    def say(asked: Asked) -> Said:
        if "last" in asked.path:
            return 404, {}, b""
        return page_or(asked, (200, {"Link": '</v2/p/a/x?last=a>; rel="next"'}, {"tags": ["a"]}))

    with client_of(say) as (client, _sent), pytest.raises(HarborNotFoundError):
        list(client.iter_tags("p/a"))


@pytest.mark.parametrize("link", ["http://[::1", "http://h:x/"])
def test_a_link_that_cannot_be_read_is_an_error(link: str) -> None:
    said: Said = (200, {"Link": f'<{link}>; rel="next"'}, {"tags": ["a"]})
    with (
        client_of(lambda asked: page_or(asked, said)) as (client, _sent),
        pytest.raises(HarborProtocolError, match=r"^GET http"),
    ):
        list(client.iter_tags("p/a"))


def test_a_next_page_is_asked_for_at_the_registry_whatever_its_host_is() -> None:
    def say(asked: Asked) -> Said:
        link = (
            {} if "last" in asked.path else {"Link": "<http://h.example.com/v2/p?last=a>;rel=next"}
        )
        return page_or(asked, (200, link, {"tags": [f"t{len(link)}"]}))

    with client_of(say) as (client, sent):
        assert list(client.iter_tags("p/a")) == ["t1", "t0"]
    assert sent[-1].path == "/v2/p?last=a"


@pytest.mark.parametrize("body", [b"", b"[", {"tags": "a"}, {"tags": [1]}, 5, ["a"], {"tags": {}}])
def test_a_list_of_tags_that_is_none_names_the_request(body: Any) -> None:
    with (
        client_of(lambda asked: page_or(asked, (200, {}, body))) as (client, _sent),
        pytest.raises(HarborProtocolError, match=r"^GET http.*/v2/p/a/tags/list"),
    ):
        list(client.iter_tags("p/a"))


@pytest.mark.parametrize("body", [{"tags": None}, {"tags": []}])
def test_a_repository_without_tags_has_none(body: Any) -> None:
    with client_of(lambda asked: page_or(asked, (200, {}, body))) as (client, _sent):
        assert list(client.iter_tags("p/a")) == []


# -- names


@pytest.mark.parametrize(
    "repository", ["p/../../api/v2.0/users?x=", "", "P/App", "p/a b", "p/app#", "p/a\r\nX: y", "/p"]
)
def test_a_repository_that_is_none_is_not_asked_for(repository: str) -> None:
    with client_of(page_for_maintenance, "user") as (client, sent):
        for call in (
            lambda: client.get_manifest(repository, "1.0"),
            lambda: client.find_manifest(repository, "1.0"),
            lambda: client.put_manifest(repository, "1.0", MANIFEST),
            lambda: client.open_blob(repository, BLOB, 4).__enter__(),
            lambda: client.has_blob(repository, BLOB, 4),
            lambda: client.put_blob(repository, BLOB, b"blob"),
            lambda: client.mount_blob(repository, BLOB, "p/other"),
            lambda: client.mount_blob("p/other", BLOB, repository),
            lambda: list(client.iter_tags(repository)),
            lambda: list(client.iter_referrers(repository, BLOB)),
        ):
            with pytest.raises(HarborProtocolError, match="is not the name of a repository"):
                call()
    assert sent == []


@pytest.mark.parametrize("reference", ["../../x", "1.0?x", "", "a/b", "1\x1b[31m", "sha256:x", "é"])
def test_a_reference_that_is_none_is_not_asked_for(reference: str) -> None:
    with client_of(page_for_maintenance, "user") as (client, sent):
        for call in (
            lambda: client.get_manifest("p/app", reference),
            lambda: client.find_manifest("p/app", reference),
            lambda: client.put_manifest("p/app", reference, MANIFEST),
        ):
            with pytest.raises(HarborProtocolError, match="is not a tag or digest"):
                call()
        for call in (
            lambda: client.open_blob("p/app", reference, 4).__enter__(),
            lambda: client.has_blob("p/app", reference),
            lambda: client.put_blob("p/app", reference, b"blob"),
            lambda: client.mount_blob("p/app", reference, "p/other"),
            lambda: list(client.iter_referrers("p/app", reference)),
        ):
            with pytest.raises(HarborProtocolError, match="is not a digest"):
                call()
    assert sent == []


# -- sizes


@pytest.mark.parametrize("announced", [3, 5, 4000])
def test_a_wrong_size_is_told_before_anything_is_read(announced: int) -> None:
    headers = {"Content-Length": str(announced), "Content-Type": "application/octet-stream"}

    def say(asked: Asked) -> Said:
        return page_or(asked, (200, headers, b""))

    with (
        client_of(say) as (client, _sent),
        pytest.raises(WrongSizeError) as caught,
        client.open_blob("p/app", BLOB, 4),
    ):
        pass
    assert (caught.value.expected_bytes, caught.value.actual_bytes) == (4, announced)


@pytest.mark.parametrize("total", ["4", "*", "", "9" * 5_000])
def test_a_first_byte_comes_whatever_length_nobody_can_read(total: str) -> None:
    headers = {"Content-Type": "application/octet-stream", "Content-Range": f"bytes 0-0/{total}"}
    with client_of(lambda asked: page_or(asked, (206, headers, b"b"))) as (client, _):
        client.read_first_byte("p/app", BLOB, 4)


@pytest.mark.parametrize(
    "said",
    [
        (206, {"Content-Range": "bytes 0-0/5"}, b"b"),
        (206, {"Content-Range": "bytes 0-0/3"}, b"b"),
        (200, {}, b"blobs"),
    ],
)
def test_a_first_byte_of_a_blob_of_another_size_is_told(
    said: tuple[int, dict[str, str], bytes],
) -> None:
    status, headers, body = said
    headers = {"Content-Type": "application/octet-stream", **headers}
    with (
        client_of(lambda asked: page_or(asked, (status, headers, body))) as (client, _),
        pytest.raises(WrongSizeError) as caught,
    ):
        client.read_first_byte("p/app", BLOB, 4)
    found = int(headers.get("Content-Range", "/5").rpartition("/")[2])
    assert (caught.value.expected_bytes, caught.value.actual_bytes) == (4, found)


def test_a_page_in_place_of_a_blob_is_no_blob_of_another_size() -> None:
    with (
        client_of(page_for_maintenance) as (client, _sent),
        client.open_blob("p/app", BLOB, 4) as reader,
        pytest.raises(DigestMismatchError) as caught,
    ):
        reader.read()
    assert is_passing(caught.value)


def test_a_manifest_that_is_too_large_is_refused() -> None:
    said: Said = (200, {}, b"x" * (17 * 1024 * 1024))
    with (
        client_of(lambda asked: page_or(asked, said)) as (client, _sent),
        pytest.raises(HarborProtocolError, match=r"larger than 16\.0 MiB"),
    ):
        client.get_manifest("p/app", "1.0")


# -- tokens


def token_service(token: Any, realm: str = "/token") -> Callable[[Asked], Said]:
    def say(asked: Asked) -> Said:
        if asked.path.startswith("/token"):
            return 200, {}, token
        if asked.headers.get("Authorization", "").startswith("Bearer"):
            return 200, {}, {"tags": ["a"]}
        return 401, {"WWW-Authenticate": f'Bearer realm="{realm}",service="s"'}, b""

    return say


@pytest.mark.parametrize(
    "token",
    [
        {"token": "Hush\n", "expires_in": 60},
        {"token": "Hush€", "expires_in": 60},
        {"token": "Hush Hush"},
        {"token": "Hush\ud800"},
        {"token": "Hush" * 100_000},
        {"token": ["Hush"]},
        {"token": "", "access_token": ""},
        {"token": "Hush", "expires_in": "soon"},
        {"token": "Hush", "expires_in": [60]},
        {"token": "Hush", "expires_in": -1},
        {"token": "Hush", "expires_in": True},
        b'{"token": "Hush", "expires_in": NaN}',
        ["Hush"],
        "Hush",
    ],
)
def test_a_token_that_is_none_is_told_with_the_request_and_never_shown(token: Any) -> None:
    with (
        client_of(token_service(token), "user") as (client, _sent),
        pytest.raises(HarborProtocolError, match=r"^GET http.*/token was answered") as caught,
    ):
        list(client.iter_tags("p/app"))
    assert "Hush" not in f"{caught.value} {vars(caught.value)}"


@pytest.mark.parametrize(
    "lifetime", [{}, {"expires_in": None}, {"expires_in": 0}, {"expires_in": 10**30}]
)
def test_a_token_may_leave_out_how_long_it_lives(lifetime: dict[str, Any]) -> None:
    service = token_service({"token": "t", **lifetime})
    with client_of(service, "user") as (client, _sent):
        assert list(client.iter_tags("p/app")) == ["a"]


@pytest.mark.parametrize("realm", ["http://[::1", "ftp://h/token", "http://h:x/"])
def test_a_realm_that_cannot_be_read_gets_no_login(realm: str) -> None:
    with (
        client_of(token_service({}, realm), "user") as (client, _sent),
        pytest.raises(HarborProtocolError, match="cannot be read"),
    ):
        list(client.iter_tags("p/app"))


def test_a_token_that_a_registry_sends_back_is_hidden() -> None:
    def say(asked: Asked) -> Said:
        if "/tags/" in asked.path and "Authorization" in asked.headers:
            return 400, {}, f"cannot read {asked.headers}"
        return token_service({"token": "a-Hush-token"})(asked)

    with (
        client_of(say, "user") as (client, _sent),
        pytest.raises(HarborStatusError, match=r"cannot read .*\*\*\*") as caught,
    ):
        list(client.iter_tags("p/app"))
    assert "Hush" not in str(caught.value)
