"""What the rows of one repository come to, and what shows that they contradict each other."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from airflow_provider_harbor.core.harbor.listing import Listing
from airflow_provider_harbor.core.harbor.models import Accessory, Artifact, Reference, Tag
from airflow_provider_harbor.core.harbor.records import Record, Role
from airflow_provider_harbor.core.oci.manifest import Platform, digest_of

INDEX, OTHER, CHILD, SIGNED = (digest_of(name) for name in (b"index", b"other", b"child", b"image"))
UNKNOWN = Platform(os="unknown", architecture="unknown")
LINUX = Platform(os="linux", architecture="amd64")


def artifact(digest: str, *children: tuple[str, Platform | None], tags: Any = ()) -> Artifact:
    return Artifact(
        artifact_id=1,
        repository="p/app",
        digest=digest,
        media_type="",
        artifact_type="",
        size_bytes=1,
        push_time=None,
        tags=tuple(Tag(name=tag) for tag in tags),
        references=tuple(Reference(child_digest=d, platform=p) for d, p in children),
    )


def listing(*artifacts: Artifact, accessories: tuple[Artifact, ...] = ()) -> Listing:
    links = {
        a.digest: (Accessory(digest=a.digest, type="sbom", size_bytes=1, subject_digest=SIGNED), a)
        for a in accessories
    }
    return Listing({a.digest: a for a in artifacts}, links)


def records(made: Listing) -> dict[str, Record]:
    return {record.digest: record for record in made.iter_records("p", "p/app")}


@pytest.mark.parametrize(
    ("platforms", "role"),
    [
        ((UNKNOWN,), Role.ATTESTATION),
        ((LINUX,), Role.CHILD),
        ((None,), Role.CHILD),
        ((UNKNOWN, LINUX), Role.CHILD),
        ((UNKNOWN, UNKNOWN), Role.ATTESTATION),
    ],
)
def test_only_what_every_index_calls_unknown_is_an_attestation(
    platforms: tuple[Platform | None, ...], role: Role
) -> None:
    """An attestation is not in the digest list, so an image must not pass for one."""
    indexes = [
        artifact(digest, (CHILD, platform), tags=[digest[7:12]])
        for digest, platform in zip((INDEX, OTHER), platforms, strict=False)
    ]
    assert records(listing(*indexes, artifact(CHILD)))[CHILD].role is role


def test_a_child_that_is_a_signature_is_listed_as_one() -> None:
    """Harbor shows it at its subject, and not among the artifacts."""
    made = listing(artifact(INDEX, (CHILD, None), tags=["1"]), accessories=(artifact(CHILD),))
    assert made.contradiction(1) == ""
    assert records(made)[CHILD].role is Role.ACCESSORY


def test_what_agrees_is_no_contradiction() -> None:
    assert listing(artifact(INDEX, tags=["1"])).contradiction(1) == ""


def test_a_record_has_all_that_harbor_says_of_a_row() -> None:
    row = replace(
        artifact(CHILD, (SIGNED, LINUX), tags=["b", "a"]),
        media_type="application/vnd.oci.image.index.v1+json",
        artifact_type="application/vnd.oci.image.config.v1+json",
        size_bytes=123,
        push_time="2026-01-02T03:04:05.000Z",
        labels=("checked", "exported"),
    )
    parent = artifact(INDEX, (CHILD, LINUX), tags=["1"])
    assert records(listing(row, parent))[CHILD] == Record(
        project="p",
        repository="p/app",
        digest=CHILD,
        role=Role.ARTIFACT,
        media_type="application/vnd.oci.image.index.v1+json",
        artifact_type="application/vnd.oci.image.config.v1+json",
        size_bytes=123,
        push_time="2026-01-02T03:04:05.000Z",
        tags=(Tag(name="a"), Tag(name="b")),
        platform="linux/amd64",
        parents=(INDEX,),
        children=(SIGNED,),
        labels=("checked", "exported"),
    )


def test_a_record_of_an_accessory_says_what_it_refers_to_and_as_what() -> None:
    made = listing(artifact(SIGNED, tags=["1"]), accessories=(artifact(CHILD),))
    record = records(made)[CHILD]
    assert (record.subject, record.artifact_type) == (SIGNED, "sbom")
