"""The distribution API: one suite, for Harbor's double and for a real plain registry."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import trustme

from airflow_provider_harbor.core.exceptions import (
    DigestMismatchError,
    HarborAuthError,
    HarborConnectionError,
    HarborNotFoundError,
    HarborProtocolError,
    HarborRefusedError,
    RefusalReason,
    WrongSizeError,
    is_passing,
)
from airflow_provider_harbor.core.http.transport import basic_authorization
from airflow_provider_harbor.core.oci import tokens
from airflow_provider_harbor.core.oci.blob_reader import BlobReader
from airflow_provider_harbor.core.oci.manifest import Manifest, digest_of
from airflow_provider_harbor.core.oci.referrers import ReferrersTags
from airflow_provider_harbor.core.oci.registry import RegistryClient
from tests.core.rig import fast_session, registry_login
from tests.double import Fault, HarborDouble
from tests.double.content import Content, Image, multi_arch, sbom_for, sigstore_bundle
from tests.registry_server import PlainRegistry


def as_manifest(content: Content) -> Manifest:
    return Manifest.from_bytes(content.manifest, content.media_type, "test")


def push(client: RegistryClient, repository: str, content: Content, *references: str) -> None:
    for part in content.walk():
        for digest, blob in part.blobs.items():
            client.put_blob(repository, digest, blob)
        for reference in references if part is content else (part.digest,):
            client.put_manifest(repository, reference, as_manifest(part))


class RegistryContract:
    """What every registry does, and the client with it."""

    def test_the_login_is_accepted(self, client: RegistryClient) -> None:
        client.ping()

    def test_a_manifest_comes_back_byte_for_byte(self, client: RegistryClient) -> None:
        image = Image("bytes", layers=2)
        push(client, "p/app", image, "1.0")
        for reference in ("1.0", image.digest):
            manifest = client.get_manifest("p/app", reference)
            assert manifest.content == image.manifest
            assert manifest.digest == image.digest
            assert manifest.media_type == image.media_type
            assert {b.digest for b in manifest.blobs} == set(image.blobs)

    def test_an_index_is_pushed_after_its_children(self, client: RegistryClient) -> None:
        index = multi_arch("multi")
        with pytest.raises(HarborRefusedError) as caught:
            client.put_manifest("p/early", "1.0", as_manifest(index))
        assert caught.value.reason is RefusalReason.INVALID
        push(client, "p/multi", index, "1.0")
        assert client.get_manifest("p/multi", "1.0").content == index.manifest

    def test_what_is_not_there_is_not_found(self, client: RegistryClient) -> None:
        push(client, "p/app", Image("some"), "1.0")
        missing = "sha256:" + "0" * 64
        with pytest.raises(HarborNotFoundError):
            client.get_manifest("p/app", "nothing")
        assert client.find_manifest("p/app", missing) is None
        assert not client.has_blob("p/app", missing)
        with pytest.raises(HarborNotFoundError), client.open_blob("p/app", missing, 1):
            pass

    def test_the_digest_of_a_tag_is_found(self, client: RegistryClient) -> None:
        image = Image("tagged")
        push(client, "p/app", image, "1.0")
        assert client.find_manifest("p/app", "1.0") == image.digest

    def test_a_blob_streams_from_one_repository_into_another(self, client: RegistryClient) -> None:
        content = bytes(range(256)) * 5000
        client.put_blob("p/from", digest_of(content), content)
        with client.open_blob("p/from", digest_of(content), len(content)) as reader:
            client.put_blob("p/to", digest_of(content), reader)
        with client.open_blob("p/to", digest_of(content), len(content)) as reader:
            assert b"".join(iter(lambda: reader.read(100_000), b"")) == content

    def test_an_empty_blob_is_a_blob(self, client: RegistryClient) -> None:
        client.put_blob("p/app", digest_of(b""), b"")
        assert client.has_blob("p/app", digest_of(b""))
        with client.open_blob("p/app", digest_of(b""), 0) as reader:
            client.put_blob("p/other", digest_of(b""), reader)
        assert client.has_blob("p/other", digest_of(b""))

    def test_a_blob_under_a_wrong_digest_is_refused(self, client: RegistryClient) -> None:
        with pytest.raises(HarborRefusedError) as caught:
            client.put_blob("p/app", digest_of(b"this"), b"that")
        assert caught.value.reason is RefusalReason.INVALID
        assert not client.has_blob("p/app", digest_of(b"this"))

    def test_a_blob_is_mounted_from_where_it_is(self, client: RegistryClient) -> None:
        client.put_blob("p/from", digest_of(b"shared"), b"shared")
        assert client.mount_blob("p/to", digest_of(b"shared"), "p/from")
        assert client.has_blob("p/to", digest_of(b"shared"))

    def test_a_mount_of_what_is_not_there_changes_nothing(self, client: RegistryClient) -> None:
        push(client, "p/from", Image("some"), "1.0")
        assert not client.mount_blob("p/to", digest_of(b"nowhere"), "p/from")
        assert not client.has_blob("p/to", digest_of(b"nowhere"))

    def test_all_tags_are_listed(self, client: RegistryClient) -> None:
        push(client, "p/app", Image("many tags"), "b", "a", "c")
        assert sorted(client.iter_tags("p/app")) == ["a", "b", "c"]

    def test_referrers_are_listed_by_the_registry_or_by_their_tag(
        self, client: RegistryClient
    ) -> None:
        subject = Image("subject")
        push(client, "p/app", subject, "1.0")
        assert list(client.iter_referrers("p/app", subject.digest)) == []
        lists = ReferrersTags(client)
        attached = [make(subject) for make in (sbom_for, sigstore_bundle)]
        for content in attached:
            for digest, blob in content.blobs.items():
                client.put_blob("p/app", digest, blob)
            manifest = as_manifest(content)
            if not client.put_manifest("p/app", content.digest, manifest).handles_subject:
                lists.add("p/app", manifest)
        found = {d.digest for d in client.iter_referrers("p/app", subject.digest)}
        assert found == {content.digest for content in attached}

    def test_a_repository_that_is_not_there_has_no_tags(self, client: RegistryClient) -> None:
        assert list(client.iter_tags("p/nothing")) == []


class TestHarborsRegistry(RegistryContract):
    @pytest.fixture
    def client(self, harbor: HarborDouble) -> Iterator[RegistryClient]:
        harbor.create_project("p")
        with registry_login(harbor) as client:
            yield client


class TestPlainRegistry(RegistryContract):
    @pytest.fixture
    def client(self, plain_registry: PlainRegistry) -> Iterator[RegistryClient]:
        with RegistryClient(plain_registry.url, session=fast_session(plain_registry.url)) as client:
            yield client


def test_reading_a_manifest_leaves_pull_times_and_counts_alone(harbor: HarborDouble) -> None:
    harbor.create_project("p")
    image = harbor.push("p/app", Image("quiet"), "1.0")
    before = _pulls(harbor)
    registry_login(harbor).get_manifest("p/app", "1.0")
    registry_login(harbor).find_manifest("p/app", image.digest)
    assert _pulls(harbor) == before


def _pulls(harbor: HarborDouble) -> list[Any]:
    api = fast_session(harbor.url)
    admin = basic_authorization(harbor.user, harbor.password)
    path = "/api/v2.0/projects/p/repositories/app"
    artifacts = api.request("GET", f"{path}/artifacts", authorization=admin).json()
    repository = api.request("GET", path, authorization=admin).json()
    return [artifacts, repository["pull_count"], repository["update_time"]]


def test_one_token_serves_all_requests_about_a_repository(harbor: HarborDouble) -> None:
    harbor.create_project("p")
    for name in ("a", "b"):
        harbor.push(f"p/{name}", Image(name), "1.0")
    client = registry_login(harbor)
    for _ in range(5):
        client.get_manifest("p/a", "1.0")
        client.get_manifest("p/b", "1.0")
    assert harbor.requests["token"] == 2


def test_a_token_that_the_registry_forgot_is_asked_for_again(harbor: HarborDouble) -> None:
    harbor.create_project("p")
    harbor.push("p/a", Image("a"), "1.0")
    client = registry_login(harbor)
    client.get_manifest("p/a", "1.0")
    harbor.faults.add(Fault(path="/v2/p/a/manifests", status=401))
    client.get_manifest("p/a", "1.0")
    assert harbor.requests["token"] == 2


def test_a_token_that_the_registry_forgot_is_asked_for_again_for_a_blob(
    harbor: HarborDouble,
) -> None:
    harbor.create_project("p")
    image = harbor.push("p/a", Image("a"), "1.0")
    client = registry_login(harbor)
    digest, content = next(iter(image.blobs.items()))
    client.get_manifest("p/a", "1.0")
    harbor.faults.add(Fault(path="/v2/p/a/blobs", status=401))
    with client.open_blob("p/a", digest, len(content)) as reader:
        assert read_all(reader, 1000) == content
    assert harbor.requests["token"] == 2


def test_a_token_that_is_refused_for_a_stream_is_not_used_again(harbor: HarborDouble) -> None:
    harbor.create_project("p")
    client = registry_login(harbor)
    client.put_blob("p/a", digest_of(b"first"), b"first")
    client.put_blob("p/a", digest_of(b"one"), b"one")
    harbor.faults.add(Fault(method="PUT", path="/v2/p/a/blobs", status=401))
    reader = BlobReader(iter([b"two"]), digest_of(b"two"), 3, "x")
    with pytest.raises(HarborAuthError):
        client.put_blob("p/a", digest_of(b"two"), reader)
    client.put_blob("p/a", digest_of(b"three"), b"three")
    assert harbor.requests["token"] == 2


BASE = "https://registry.example.com:5050"
TOKENS = "https://auth.example.com/token"


@pytest.mark.parametrize(
    ("header", "realm"),
    [
        (f'Bearer realm="{TOKENS}",service="s",scope="repository:a/b:pull,push"', TOKENS),
        (f'bearer Realm="{TOKENS}", SERVICE="s"', TOKENS),
        (f"Bearer realm={TOKENS},service=s", TOKENS),
        (f'Basic realm="x", Bearer realm="{TOKENS}",service="s"', TOKENS),
        (f'Bearer realm="{TOKENS}",service="s", Basic realm="x"', TOKENS),
        ('Bearer realm="/token",service="s"', f"{BASE}/token"),
        # A token service beside the registry, on another port: GitLab, docker_auth.
        (
            'Bearer realm="https://registry.example.com/jwt/auth?a=b",service="s"',
            "https://registry.example.com/jwt/auth?a=b",
        ),
        # A Harbor, and a registry, that do not know that they are behind a proxy.
        (
            'Bearer realm="http://registry.example.com/service/token",service="s"',
            f"{BASE}/service/token",
        ),
        (
            'Bearer realm="http://registry.example.com/token",service="s"',
            "https://registry.example.com/token",
        ),
    ],
)
def test_tokens_are_asked_for_where_the_registry_says(header: str, realm: str) -> None:
    challenge = tokens._parse_challenge(header, BASE)
    assert (challenge.scheme, challenge.realm, challenge.service) == ("bearer", realm, "s")


@pytest.mark.parametrize("header", ['BASIC realm="x"', "Basic", 'Negotiate, Basic realm="x"'])
def test_a_registry_may_want_the_password_itself(header: str) -> None:
    assert tokens._parse_challenge(header, BASE).scheme == "basic"


@pytest.mark.parametrize("header", ["", "Negotiate", "Bearer", 'Digest realm="x"'])
def test_a_challenge_of_another_kind_is_shown(header: str) -> None:
    with pytest.raises(HarborProtocolError, match="neither Basic nor Bearer"):
        tokens._parse_challenge(header, BASE)


def test_a_login_is_never_sent_unencrypted_because_a_registry_says_so(
    harbor: HarborDouble, tmp_path: Path
) -> None:
    ca = trustme.CA()
    ca.cert_pem.write_to_path(tmp_path / "ca.pem")
    ca.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(tmp_path / "server.pem")
    challenge = {"WWW-Authenticate": f'Bearer realm="{harbor.url}/token",service="s"'}
    with HarborDouble(certfile=tmp_path / "server.pem") as registry:
        registry.faults.add(Fault(path="/v2/", status=401, headers=challenge))
        session = fast_session(registry.url, verify=str(tmp_path / "ca.pem"))
        with pytest.raises(HarborProtocolError, match="not encrypted"):
            RegistryClient(registry.url, "admin", "Hush-Hush1", session=session).ping()
    assert harbor.requests.total() == 0


def test_a_token_is_renewed_before_it_ends(
    harbor: HarborDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    harbor.create_project("p")
    harbor.push("p/a", Image("a"), "1.0")
    client = registry_login(harbor)
    client.get_manifest("p/a", "1.0")
    later = SimpleNamespace(monotonic=lambda: time.monotonic() + 1700)
    monkeypatch.setattr(tokens, "time", later)
    client.get_manifest("p/a", "1.0")
    assert harbor.requests["token"] == 2


def test_a_wrong_password_is_refused_and_not_shown(harbor: HarborDouble) -> None:
    client = RegistryClient(harbor.url, "admin", "Hush-Hush1", session=fast_session(harbor.url))
    with pytest.raises(HarborAuthError) as caught:
        client.ping()
    assert "'admin'" in str(caught.value)
    assert "Hush-Hush1" not in f"{caught.value} {client!r}"


def test_a_web_page_is_no_registry(harbor: HarborDouble) -> None:
    harbor.faults.add(Fault(path="/v2/", status=200, body="<html>Hello</html>", times=None))
    with pytest.raises(HarborProtocolError, match="there is no registry at"):
        registry_login(harbor).ping()


def test_a_manifest_that_is_not_what_was_asked_for_is_refused(harbor: HarborDouble) -> None:
    harbor.create_project("p")
    image = harbor.push("p/app", Image("changed"), "1.0")
    harbor.faults.add(Fault(path="/manifests/", method="GET", corrupt=True))
    with pytest.raises(DigestMismatchError) as caught:
        registry_login(harbor).get_manifest("p/app", image.digest)
    assert caught.value.expected == image.digest


def test_a_manifest_of_dockers_old_format_is_named(harbor: HarborDouble) -> None:
    harbor.create_project("p")
    image = harbor.push("p/app", Image("old"), "1.0")
    kind = "application/vnd.docker.distribution.manifest.v1+prettyjws"
    harbor.faults.add(
        Fault(path="/manifests/", status=200, body='{"schemaVersion": 1}', content_type=kind)
    )
    with pytest.raises(HarborProtocolError, match=r"schema 1.*push it anew") as caught:
        registry_login(harbor).get_manifest("p/app", image.digest)
    assert not is_passing(caught.value)


def test_an_upload_is_never_sent_unencrypted_because_a_registry_says_so(
    other_harbor: HarborDouble, tmp_path: Path
) -> None:
    ca = trustme.CA()
    ca.cert_pem.write_to_path(tmp_path / "ca.pem")
    ca.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(tmp_path / "server.pem")
    location = other_harbor.url.replace("127.0.0.1", "localhost") + "/v2/x?_state=Hush"
    with HarborDouble(certfile=tmp_path / "server.pem") as registry:
        registry.create_project("p")
        session = fast_session(registry.url, verify=str(tmp_path / "ca.pem"))
        client = RegistryClient(registry.url, registry.user, registry.password, session=session)
        registry.faults.add(
            Fault(method="POST", path="/uploads/", status=202, headers={"Location": location})
        )
        with pytest.raises(HarborProtocolError, match="not encrypted") as caught:
            client.put_blob("p/app", digest_of(b"secret"), b"secret")
    assert "Hush" not in str(caught.value)
    assert other_harbor.requests.total() == 0


def test_a_blob_cut_short_is_an_error_and_not_a_short_blob(harbor: HarborDouble) -> None:
    harbor.create_project("p")
    image = harbor.push("p/app", Image("cut", layers=[100_000]), "1.0")
    digest, layer = max(image.blobs.items(), key=lambda item: len(item[1]))
    harbor.faults.add(Fault(path="/blobs/", method="GET", times=None, truncate_after_bytes=50))
    client = registry_login(harbor)
    with (
        client.open_blob("p/app", digest, len(layer)) as reader,
        pytest.raises(HarborConnectionError) as caught,
    ):
        read_all(reader, 10_000)
    # It went on where it was, and came no further that would be worth it.
    assert harbor.requests["blob.get"] == 5
    assert caught.value.received_bytes == 250


def read_all(reader: BlobReader, size: int) -> bytes:
    return b"".join(iter(lambda: reader.read(size), b""))


@pytest.mark.parametrize("size", [1, 3, 4, 5, 1000])
def test_a_reader_gives_all_bytes_in_blocks_of_any_size(size: int) -> None:
    blocks = [b"abcd", b"ef", b"", b"ghij"]
    content = b"".join(blocks)
    reader = BlobReader((b for b in blocks if b), digest_of(content), len(content), "x")
    given = list(iter(lambda: reader.read(size), b""))
    assert b"".join(given) == content
    assert max(map(len, given)) <= size
    assert len(reader) == 10


def test_a_reader_gives_a_block_where_it_is_asked_for_no_size() -> None:
    reader = BlobReader(iter([b"abcd", b"ef"]), digest_of(b"abcdef"), 6, "x")
    assert [reader.read(1), reader.read(), reader.read(-1), reader.read()] == [
        b"a",
        b"bcd",
        b"ef",
        b"",
    ]


@pytest.mark.parametrize(
    ("blocks", "announced"),
    [([b"abcd", b"eX"], 6), ([b"abcd"], 6), ([b"abcd", b"efgh"], 6)],
    ids=["other bytes", "too few", "too many"],
)
def test_a_reader_never_ends_well_with_other_content(blocks: list[bytes], announced: int) -> None:
    reader = BlobReader(iter(blocks), digest_of(b"abcdef"), announced, "x")
    given: list[bytes] = []
    with pytest.raises(DigestMismatchError):
        given.extend(iter(lambda: reader.read(100), b""))
    assert len(b"".join(given)) < announced


@pytest.mark.parametrize(("blocks", "announced"), [([b"abcd", b"ef"], 7), ([b"abcdef"], 2)])
def test_a_wrong_size_of_right_content_is_told_as_that(blocks: list[bytes], announced: int) -> None:
    reader = BlobReader(iter(blocks), digest_of(b"abcdef"), announced, "p/app")
    with pytest.raises(WrongSizeError) as caught:
        read_all(reader, 100)
    assert (caught.value.expected_bytes, caught.value.actual_bytes) == (announced, 6)
    assert caught.value.digest == digest_of(b"abcdef")
    assert f"has {announced} bytes, but there are 6" in str(caught.value)
    assert not is_passing(caught.value)
