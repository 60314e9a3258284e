"""Reading a manifest's bytes: what it points to, or one error that says why not."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_provider_harbor.core.exceptions import HarborProtocolError
from airflow_provider_harbor.core.manifest import OCI_INDEX, OCI_MANIFEST, Manifest, digest_of

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
