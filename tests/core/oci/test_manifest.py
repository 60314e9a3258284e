"""Reading a manifest's bytes: what it points to, or one error that says why not."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_provider_harbor.core.exceptions import HarborProtocolError
from airflow_provider_harbor.core.oci.manifest import OCI_INDEX, OCI_MANIFEST, Manifest, digest_of

BLOB = {"digest": digest_of(b"blob"), "size": 4, "mediaType": "application/x"}


def read(data: Any, media_type: str = OCI_MANIFEST) -> Manifest:
    return Manifest.from_bytes(json.dumps(data).encode(), media_type, "p/app@1.0")


@pytest.mark.parametrize(
    "data",
    [
        [],
        "text",
        {"layers": 5},
        {"layers": {"digest": BLOB["digest"]}},
        {"layers": ["text"]},
        {"layers": [{"digest": "../../etc/passwd", "size": 4}]},
        {"layers": [{"digest": BLOB["digest"], "size": -1}]},
        {"layers": [{"digest": BLOB["digest"]}]},
        {"config": "text"},
        {"manifests": True},
        {"subject": "text"},
        {"annotations": ["text"]},
    ],
)
def test_what_is_no_manifest_is_one_error_that_names_it(data: Any) -> None:
    with pytest.raises(HarborProtocolError, match=r"p/app@1\.0"):
        read(data)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no JSON",
        b"\xff",
        b'{"annotations": ' + b"[" * 100_000,
        b'{"annotations": {"a": ' + b"[" * 990 + b"]" * 990 + b"}}" * 50,
        b'{"layers": [{"digest": "' + b"x" * 100_000 + b'", "size": 1}]}',
        b'{"layers": [' + b"[" * 900 + b"]" * 900 + b"]}",
        b'{"mediaType": "' + b"a" * 10_000 + b'"}',
        b'{"mediaType": "a/b\\r\\nX: y"}',
        b'{"mediaType": "a/\\u20ac"}',
        b'{"mediaType": 5}',
        b'{"mediaType": "a/b; charset=utf-8"}',
        b'{"config": {"digest": "' + BLOB["digest"].encode() + b'", "size": ' + b"9" * 30 + b"}}",
    ],
    ids=lambda content: repr(content[:24]),
)
def test_whatever_the_bytes_are_the_error_is_one_line_that_names_it(content: bytes) -> None:
    with pytest.raises(HarborProtocolError, match=r"^p/app@1\.0: ") as caught:
        Manifest.from_bytes(content, OCI_MANIFEST, "p/app@1.0")
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 300


def test_what_registries_accept_is_nested_as_deep_as_python_reads() -> None:
    content = b'{"annotations": {"a": ' + b"[" * 200 + b"]" * 200 + b"}}"
    assert Manifest.from_bytes(content, OCI_MANIFEST, "p/app@1.0").content == content


def test_a_header_that_is_no_media_type_is_not_sent_on() -> None:
    with pytest.raises(HarborProtocolError, match="is not a media type"):
        read({}, "text html\x1b")


def test_texts_of_a_manifest_are_fit_to_be_shown() -> None:
    platform = {"os": "linux\x1b[2J", "architecture": ["x"], "variant": "\ud800"}
    data = {"artifactType": "a\nb\u202e", "manifests": [{**BLOB, "platform": platform}]}
    manifest = read(data, OCI_INDEX)
    assert manifest.artifact_type == "a b?"
    assert str(manifest.children[0].platform) == "linux?[2J/?"


def test_a_blob_that_is_named_twice_is_one() -> None:
    assert [blob.digest for blob in read({"config": BLOB, "layers": [BLOB, BLOB]}).blobs] == [
        BLOB["digest"]
    ]


@pytest.mark.parametrize("nothing", [{}, {"layers": None, "manifests": None, "annotations": None}])
def test_what_points_to_nothing_is_a_manifest(nothing: dict[str, Any]) -> None:
    manifest = read(nothing)
    assert (manifest.blobs, manifest.children, manifest.subject) == ((), (), "")


def test_a_child_needs_no_platform() -> None:
    (child,) = read({"manifests": [{**BLOB, "platform": None}]}, OCI_INDEX).children
    assert child.platform is None


@pytest.mark.parametrize(
    ("said", "header", "media_type"),
    [
        (None, f"{OCI_MANIFEST}; charset=utf-8", OCI_MANIFEST),
        (OCI_MANIFEST, "application/octet-stream", OCI_MANIFEST),
        (OCI_INDEX, OCI_MANIFEST, OCI_INDEX),
    ],
)
def test_its_own_word_counts_for_its_type(said: str | None, header: str, media_type: str) -> None:
    assert read({"mediaType": said} if said else {}, header).media_type == media_type
