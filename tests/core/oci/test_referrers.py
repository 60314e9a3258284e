"""Lists of referrers under a tag: whoever writes them at the same time, nothing gets lost."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from airflow_provider_harbor.core.exceptions import (
    HarborNotFoundError,
    HarborProtocolError,
    HarborRefusedError,
    RefusalReason,
    UnsettledHarborError,
)
from airflow_provider_harbor.core.oci.manifest import OCI_INDEX, Manifest
from airflow_provider_harbor.core.oci.referrers import ReferrersTags
from airflow_provider_harbor.core.oci.registry import PutResult, RegistryClient, referrers_tag
from tests.double.content import Image, sbom_for, sigstore_bundle
from tests.registry_server import PlainRegistry

SUBJECT = Image("subject")


@pytest.fixture(autouse=True)
def short_moments() -> None:
    """Here moments are as long as they are."""


@pytest.fixture
def client(plain_registry: PlainRegistry) -> RegistryClient:
    return RegistryClient(plain_registry.url)


@pytest.fixture
def referrers(client: RegistryClient) -> list[Manifest]:
    """Three referrers of one subject, pushed and not on its list yet."""
    made = []
    for content in (sbom_for(SUBJECT), sigstore_bundle(SUBJECT)):
        for digest, blob in content.blobs.items():
            client.put_blob("p/app", digest, blob)
        made.append(Manifest.from_bytes(content.manifest, content.media_type, "test"))
    annotated = json.dumps({**sbom_for(SUBJECT).document, "annotations": {"third": "one"}})
    made.append(Manifest.from_bytes(annotated.encode(), made[0].media_type, "test"))
    for manifest in made:
        client.put_manifest("p/app", manifest.digest, manifest)
    return made


def listed(client: RegistryClient) -> set[str]:
    return {referrer.digest for referrer in client.iter_referrers("p/app", SUBJECT.digest)}


def test_referrers_are_added_to_what_is_on_the_list(
    client: RegistryClient, referrers: list[Manifest]
) -> None:
    lists = ReferrersTags(client, sleep=lambda seconds: None)
    for manifest in referrers:
        lists.add("p/app", manifest)
    assert listed(client) == {manifest.digest for manifest in referrers}


def test_a_list_that_is_right_is_not_written_again(
    client: RegistryClient, referrers: list[Manifest], monkeypatch: pytest.MonkeyPatch
) -> None:
    lists = ReferrersTags(client, sleep=lambda seconds: None)
    lists.put("p/app", referrers)
    puts: list[object] = []
    monkeypatch.setattr(client, "put_manifest", lambda *args, **kwargs: puts.append(args))
    lists.put("p/app", referrers)
    assert not puts


def test_what_another_writer_overwrote_is_added_again_a_moment_later(
    client: RegistryClient, referrers: list[Manifest]
) -> None:
    """The other one read the list before this one wrote it, and writes only afterwards."""
    mine, theirs, _ = referrers
    other = ReferrersTags(client, sleep=lambda seconds: None)
    other.put("p/app", [theirs])
    before, _ = client.get_manifest_and_etag("p/app", referrers_tag(SUBJECT.digest))
    waits: list[float] = []

    def overwrite(seconds: float) -> None:
        if not waits:
            client.put_manifest("p/app", referrers_tag(SUBJECT.digest), before)
        waits.append(seconds)

    ReferrersTags(client, sleep=overwrite).add("p/app", mine)
    assert listed(client) == {mine.digest, theirs.digest}
    assert len(waits) == 2
    assert all(5 < seconds <= 6 for seconds in waits)


def test_a_list_that_somebody_goes_on_to_overwrite_is_an_error(
    client: RegistryClient, referrers: list[Manifest]
) -> None:
    mine, theirs, _ = referrers
    ReferrersTags(client, sleep=lambda seconds: None).put("p/app", [theirs])
    before, _ = client.get_manifest_and_etag("p/app", referrers_tag(SUBJECT.digest))

    def overwrite(seconds: float) -> None:
        client.put_manifest("p/app", referrers_tag(SUBJECT.digest), before)

    with pytest.raises(UnsettledHarborError, match="does somebody else write it"):
        ReferrersTags(client, sleep=overwrite).add("p/app", mine)


class Conditional(RegistryClient):
    """A registry that takes conditional requests, and another writer that is always faster once."""

    def __init__(self, url: str, before_first_put: Callable[[], None]) -> None:
        super().__init__(url)
        self._before_first_put = before_first_put
        self.answers: list[int] = []

    def put_manifest(
        self, repository: str, reference: str, manifest: Manifest, if_match: str | None = None
    ) -> PutResult:
        if not self.answers:
            self._before_first_put()
        try:
            _, etag = self.get_manifest_and_etag(repository, reference)
        except HarborNotFoundError:
            etag = ""
        if if_match != etag:
            self.answers.append(412)
            raise HarborRefusedError(RefusalReason.CHANGED, status=412)
        self.answers.append(201)
        return super().put_manifest(repository, reference, manifest)


@pytest.mark.parametrize("is_new", [True, False])
def test_where_the_registry_takes_conditions_no_list_is_overwritten(
    plain_registry: PlainRegistry,
    client: RegistryClient,
    referrers: list[Manifest],
    is_new: bool,
) -> None:
    mine, theirs, third = referrers
    lists = ReferrersTags(client, sleep=lambda seconds: None)
    if not is_new:
        lists.put("p/app", [third])
    registry = Conditional(plain_registry.url, lambda: lists.put("p/app", [theirs]))
    ReferrersTags(registry, sleep=lambda seconds: None).put("p/app", [mine])
    assert registry.answers == [412, 201]
    assert {mine.digest, theirs.digest} <= listed(client)


class Refusing(RegistryClient):
    """A registry that refuses to write a list, each time for the same reason."""

    def __init__(self, url: str, reason: RefusalReason) -> None:
        super().__init__(url)
        self._reason = reason
        self.refused = 0

    def put_manifest(self, repository: str, reference: str, *options: object) -> PutResult:
        self.refused += 1
        raise HarborRefusedError(self._reason, status=412)


def test_a_list_that_somebody_else_writes_faster_each_time_is_given_up(
    plain_registry: PlainRegistry, referrers: list[Manifest]
) -> None:
    registry = Refusing(plain_registry.url, RefusalReason.CHANGED)
    with pytest.raises(UnsettledHarborError, match=referrers_tag(SUBJECT.digest)):
        ReferrersTags(registry, sleep=lambda seconds: None).put("p/app", referrers)
    assert registry.refused == 5


def test_a_list_that_the_registry_refuses_is_not_tried_again(
    plain_registry: PlainRegistry, referrers: list[Manifest]
) -> None:
    registry = Refusing(plain_registry.url, RefusalReason.READ_ONLY)
    with pytest.raises(HarborRefusedError):
        ReferrersTags(registry, sleep=lambda seconds: None).put("p/app", referrers)
    assert registry.refused == 1


def test_a_list_that_cannot_be_looked_at_again_hides_no_other(
    client: RegistryClient, referrers: list[Manifest], monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Image("other subject")
    content = sbom_for(other)
    for digest, blob in content.blobs.items():
        client.put_blob("p/app", digest, blob)
    elsewhere = Manifest.from_bytes(content.manifest, content.media_type, "test")
    client.put_manifest("p/app", elsewhere.digest, elsewhere)
    get = client.get_manifest_and_etag

    def look(repository: str, reference: str) -> tuple[Manifest, str | None]:
        if reference == referrers_tag(SUBJECT.digest):
            raise HarborProtocolError("the list cannot be read")
        return get(repository, reference)

    monkeypatch.setattr(client, "get_manifest_and_etag", look)
    errors = ReferrersTags(client, sleep=lambda seconds: None).confirm(
        {("p/app", SUBJECT.digest): referrers, ("p/app", other.digest): [elsewhere]}
    )
    assert list(errors) == [("p/app", SUBJECT.digest)]
    (there,) = client.iter_referrers("p/app", other.digest)
    assert there.digest == elsewhere.digest


def test_an_entry_says_what_the_referrer_is(
    client: RegistryClient, referrers: list[Manifest]
) -> None:
    """A client chooses by it what to fetch, and what is not there is left out."""
    lists = ReferrersTags(client, sleep=lambda seconds: None)
    lists.put("p/app", referrers)
    text = client.get_manifest("p/app", referrers_tag(SUBJECT.digest)).content
    document = json.loads(text)
    assert (document["schemaVersion"], document["mediaType"]) == (2, OCI_INDEX)
    entries = {entry["digest"]: entry for entry in document["manifests"]}
    assert list(entries) == sorted(entries)
    third = referrers[2]
    assert entries[third.digest] == {
        "mediaType": third.media_type,
        "digest": third.digest,
        "size": len(third.content),
        "artifactType": third.artifact_type,
        "annotations": {"third": "one"},
    }
    assert "annotations" not in entries[referrers[0].digest]
