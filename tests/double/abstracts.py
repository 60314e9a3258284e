"""What Harbor makes of a manifest: type, sizes, attributes, children, subject.

Follows Harbor's artifact abstractors and processors (src/controller/artifact/manifest and
/processor) and its subject and cosign middlewares.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .content import (
    COSIGN_LAYER,
    DOCKER_CONFIG,
    HELM_CONFIG,
    INDEX_TYPES,
    OCI_CONFIG,
    SIGSTORE_BUNDLE,
)
from .wire import internal_error

ICONS = {
    "IMAGE": "sha256:0048162a053eef4d4ce3fe7518615bef084403614f8bca43b40ae2e762e11e06",
    "CHART": "sha256:61cf3a178ff0f75bf08a25d96b75cf7355dc197749a9f128ed3ef34b0df05518",
    "CNAB": "sha256:089bdda265c14d8686111402c8ad629e8177a1ceb7dcd0f7f39b6480f623b3bd",
    "WASM": "sha256:badd7693bcaf115be202748241dd0ea6ee3b0524bfab9ac22d1e1c43721afec6",
}
DEFAULT_ICON = "sha256:da834479c923584f4cbcdecc0dac61f32bef1d51e8aae598cf16bd154efab49f"
ACCESSORY_ICONS = {
    "signature.cosign": "sha256:20401d5b3a0f6dbc607c8d732eb08471af4ae6b19811a4efce8c6a724aed2882",
    "signature.notation": "sha256:3ac706e102bbe9362b400aa162df58135d35e66b9c3bee2165de92022d25fe34",
    "accelerator.nydus": "sha256:dfcb6617cd9c144358dc1b305b87bbe34f0b619f1e329116e6aee2e41f2e34cf",
    "sbom.harbor": "sha256:c19f80c357cd7e90d2a01b9ae3e2eb62ce447a2662bb590a19177d72d550bdae",
}
HARBOR_SBOM = "application/vnd.goharbor.harbor.sbom.v1"
WASM_CONFIG = "application/vnd.wasm.config.v1+json"
CNAB_CONFIG = "application/vnd.cnab.manifest.v1"
ACCESSORY_TYPES = {
    "application/vnd.cncf.notary.signature": "signature.notation",
    "application/vnd.dev.cosign.artifact.sig.v1+json": "signature.cosign",
    SIGSTORE_BUNDLE: "signature.cosign",
    HARBOR_SBOM: "sbom.harbor",
}
FOREIGN_LAYER = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"
USER_DEFINED = re.compile(r"^application/vnd\.[^.]*\.(.*)\.config\.[^.]*\+json$")
COSIGN_TAG = re.compile(r"^sha256-([0-9a-f]{32,64})\.sig$")
# What Harbor reads of an image's configuration; anything else in it is dropped.
CONFIG_KEYS = (
    "User", "ExposedPorts", "Env", "Entrypoint", "Cmd", "Volumes", "WorkingDir", "Labels",
    "StopSignal", "ArgsEscaped",
)  # fmt: skip

ReadBlob = Callable[[str], bytes]


@dataclass
class Facts:
    """What Harbor keeps of a manifest, without its references (which need the database)."""

    type: str
    icon: str
    media_type: str
    artifact_type: str
    size: int
    extra_attrs: dict[str, Any]
    annotations: dict[str, str]
    addition_names: tuple[str, ...]


def is_index(media_type: str) -> bool:
    return media_type in INDEX_TYPES


def descriptors_of(document: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the blobs a manifest refers to, config first."""
    config = document.get("config")
    return ([config] if config else []) + (document.get("layers") or [])


def abstract(media_type: str, data: bytes, document: dict[str, Any], read: ReadBlob) -> Facts:
    """Return what Harbor makes of a manifest; the sizes of an index's children come on top."""
    annotations = document.get("annotations") or {}
    if is_index(media_type):
        kind, media = "IMAGE", media_type
        if annotations.get("org.opencontainers.artifactType"):
            media = annotations["org.opencontainers.artifactType"]
            kind = "CNAB" if media == CNAB_CONFIG else _user_defined(media)
        return Facts(
            type=kind,
            icon=ICONS.get(kind, DEFAULT_ICON),
            media_type=media,
            artifact_type=document.get("artifactType") or "",
            size=len(data),
            extra_attrs={},
            annotations=annotations,
            addition_names=(),
        )
    config = document.get("config") or {}
    media = WASM_CONFIG if _is_wasm(annotations) else config.get("mediaType") or ""
    artifact_type = document.get("artifactType") or config.get("mediaType") or ""
    kind, attributes, additions = _process(artifact_type, media, document, read)
    return Facts(
        type=kind,
        icon=ICONS.get(kind, DEFAULT_ICON),
        media_type=media,
        artifact_type=artifact_type,
        size=len(data) + sum(each.get("size", 0) for each in descriptors_of(document)),
        extra_attrs=attributes,
        annotations=annotations,
        addition_names=additions,
    )


def accessory_type(document: dict[str, Any]) -> str:
    """Return the type of accessory that a manifest with a subject becomes."""
    config_type = (document.get("config") or {}).get("mediaType") or ""
    kind = document.get("artifactType") or config_type
    if kind in (OCI_CONFIG, DOCKER_CONFIG):
        layers = document.get("layers") or [{}]
        nydus = "containerd.io/snapshot/nydus-bootstrap" in (layers[-1].get("annotations") or {})
        return "accelerator.nydus" if nydus else "subject.accessory"
    return ACCESSORY_TYPES.get(kind, "subject.accessory")


def cosign_subject(reference: str, document: dict[str, Any]) -> str | None:
    """Return the digest that is signed, where a push under this tag is a cosign signature."""
    match = COSIGN_TAG.match(reference)
    if match is None:
        return None
    signed = any(each.get("mediaType") == COSIGN_LAYER for each in descriptors_of(document))
    return f"sha256:{match[1]}" if signed else None


def _process(
    resolved: str, media: str, document: dict[str, Any], read: ReadBlob
) -> tuple[str, dict[str, Any], tuple[str, ...]]:
    """Return type, extra attributes and additions, as the processor for a media type gives them."""

    def config() -> dict[str, Any]:
        described = document.get("config") or {}
        if not described.get("size"):
            return {}
        try:
            # Go's decoder stops behind the first value.
            parsed, _ = json.JSONDecoder().raw_decode(read(described["digest"]).decode().lstrip())
        except ValueError as err:
            raise internal_error() from err
        if not isinstance(parsed, dict):
            raise internal_error()
        return parsed

    if resolved in (OCI_CONFIG, DOCKER_CONFIG):
        return "IMAGE", _image_attributes(config()), ("build_history",)
    if resolved == HELM_CONFIG:
        return "CHART", config(), ("values.yaml", "readme.md", "dependencies")
    if resolved == WASM_CONFIG:
        return "WASM", {"manifest.config.mediaType": WASM_CONFIG}, ("build_history",)
    if resolved == HARBOR_SBOM:
        return "SBOM", config(), ()
    kind = _user_defined(media)
    return kind, config() if kind != "UNKNOWN" else {}, ()


def _image_attributes(config: dict[str, Any]) -> dict[str, Any]:
    inner = config.get("config") or {}
    texts = [config.get(key) or "" for key in ("architecture", "os", "author", "created")]
    if not isinstance(inner, dict) or not all(isinstance(each, str) for each in texts):
        raise internal_error()  # what does not fit Go's structure is an error that nobody expects
    labels = inner.get("Labels") or {}
    author = config.get("author") or ""
    for label in ("org.opencontainers.image.authors", "maintainer"):
        author = author or labels.get(label) or ""
    return {
        "architecture": config.get("architecture") or "",
        "author": author,
        "config": {key: inner[key] for key in CONFIG_KEYS if inner.get(key)},
        "created": config.get("created"),
        "os": config.get("os") or "",
    }


def _user_defined(media_type: str) -> str:
    match = USER_DEFINED.match(media_type)
    return match[1].upper() if match else "UNKNOWN"


def _is_wasm(annotations: dict[str, str]) -> bool:
    return (
        annotations.get("module.wasm.image/variant") == "compat"
        or annotations.get("run.oci.handler") == "wasm"
    )
