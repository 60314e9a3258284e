"""What the registry below Harbor checks of a manifest before it stores it."""

from __future__ import annotations

import json
import re
from typing import Any

from .abstracts import FOREIGN_LAYER, descriptors_of, is_index
from .content import DOCKER_MANIFEST, INDEX_TYPES, OCI_MANIFEST
from .storage import Storage
from .wire import HarborError

DIGEST = re.compile(r"^[a-z0-9]+(?:[+._-][a-z0-9]+)*:[0-9a-zA-Z=_-]+$")
TAG = re.compile(r"^\w[\w.-]{0,127}$", re.ASCII)


MEDIA_TYPES = (OCI_MANIFEST, DOCKER_MANIFEST, *INDEX_TYPES)
MAXIMUM = 4 << 20  # bytes of a manifest
DIGEST_LENGTHS = {"sha256": 64, "sha384": 96, "sha512": 128}


def is_digest(reference: str) -> bool:
    """Return whether Harbor takes a reference for a digest; else it is a tag, whatever it is."""
    return not wrong_digest(reference)


def wrong_digest(reference: str) -> str:
    """Return what Harbor finds wrong with a digest, or nothing."""
    algorithm, colon, text = reference.partition(":")
    if not algorithm or not colon or not text:
        return "invalid checksum digest format"
    if algorithm not in DIGEST_LENGTHS:
        known = DIGEST.match(reference) is not None
        return "unsupported digest algorithm" if known else "invalid checksum digest format"
    if len(text) != DIGEST_LENGTHS[algorithm]:
        return "invalid checksum digest length"
    return "" if re.fullmatch(r"[a-f0-9]+", text) else "invalid checksum digest format"


def parse_manifest(media_type: str, data: bytes) -> dict[str, Any]:
    """Return a manifest as a document, or raise what Harbor says of one that is none."""
    if media_type not in MEDIA_TYPES:
        # Any other type is read as the oldest of formats, which is signed.
        text = "unmarshal manifest failed: missing signature key"
        raise HarborError(400, "MANIFEST_INVALID", text)
    try:
        document: dict[str, Any] = _load(data)
    except ValueError as err:
        text = f"unmarshal manifest failed: {_go_json_error(data)}"
        raise HarborError(400, "MANIFEST_INVALID", text) from err
    well_formed = isinstance(document, dict) and all(
        isinstance(each, dict) and isinstance(each.get("digest"), str) and "size" in each
        for each in [*descriptors_of(document), *(document.get("manifests") or [])]
    )
    if not well_formed:
        text = "unmarshal manifest failed: descriptors without digest or size"
        raise HarborError(400, "MANIFEST_INVALID", text)
    return document


def _load(data: bytes) -> Any:
    """Read JSON that is nested as deep as Go reads it (10,000), which Python does not."""
    try:
        return json.loads(data)
    except RecursionError:
        return json.loads(re.sub(rb"\[{9,9999}\]{9,9999}", b"[]", data))


def check_manifest(
    storage: Storage,
    name: str,
    reference: str,
    digest: str,
    media_type: str,
    document: Any,
    size: int,
) -> None:
    """Raise what the registry says of a manifest that it does not take."""
    if is_digest(reference) and reference != digest:
        text = "provided digest did not match uploaded content"
        raise HarborError(400, "DIGEST_INVALID", text, registry=True)
    if size > MAXIMUM:
        detail = "http: request body too large"
        raise HarborError(400, "MANIFEST_INVALID", "manifest invalid", detail=detail, registry=True)
    stated = document.get("mediaType")
    if stated and stated != media_type:
        detail = f"mediaType in manifest should be '{media_type}' not '{stated}'"
        raise HarborError(400, "MANIFEST_INVALID", "manifest invalid", detail=detail, registry=True)
    missing = _missing(storage, name, media_type, document)
    if missing:
        code, text = "MANIFEST_BLOB_UNKNOWN", "blob unknown to registry"
        error = HarborError(400, code, text, registry=True)
        error.errors = [{"code": code, "message": text, "detail": each} for each in missing]
        raise error


def _missing(storage: Storage, name: str, media_type: str, document: Any) -> list[str]:
    if is_index(media_type):
        wanted = [each["digest"] for each in document.get("manifests") or []]
        return [each for each in wanted if not storage.has_manifest(name, each)]
    for each in descriptors_of(document):
        if each.get("mediaType") == FOREIGN_LAYER and not each.get("urls"):
            raise HarborError(500, "UNKNOWN", "unknown error", detail={}, registry=True)
    return [
        each["digest"]
        for each in descriptors_of(document)
        if not each.get("urls") and storage.blob_in(name, each["digest"]) is None
    ]


def sizes_of(digest: str, data: bytes, media_type: str, document: Any) -> dict[str, int]:
    """Return what a manifest adds to the quota of a project: itself and its blobs, with sizes."""
    sizes = {digest: len(data)}
    if not is_index(media_type):
        for each in descriptors_of(document):
            if each.get("mediaType") != FOREIGN_LAYER:
                sizes[each["digest"]] = each["size"]
    return sizes


def _go_json_error(data: bytes) -> str:
    """Return what Go's JSON decoder says of bytes that are no JSON; Harbor passes it on."""
    text = data.decode("utf-8", "replace").lstrip()
    if text and text[0] not in '{["-0123456789ntf':
        return f"invalid character {text[0]!r} looking for beginning of value"
    for literal in ("null", "true", "false"):
        if not text.startswith(literal[0]):
            continue
        for seen, wanted in zip(text, literal, strict=False):
            if seen != wanted:
                return f"invalid character {seen!r} in literal {literal} (expecting {wanted!r})"
    return "unexpected end of JSON input"
