"""Content as OCI names it: digests, descriptors, manifests. Source: OCI image-spec v1.1."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_harbor.core.exceptions import HarborProtocolError
from airflow_provider_harbor.core.oci.names import parse_digest
from airflow_provider_harbor.core.texts import one_line, shown

OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
MANIFEST_MEDIA_TYPES = (OCI_INDEX, OCI_MANIFEST, DOCKER_INDEX, DOCKER_MANIFEST)
# Layers a registry need not hold; clients fetch them elsewhere. Source: OCI image-spec layer.md
# (non-distributable layers), Docker's foreign layers.
FOREIGN_LAYER_MEDIA_TYPES = frozenset(
    {
        "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
        "application/vnd.oci.image.layer.nondistributable.v1.tar",
        "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
        "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd",
    }
)
_MEDIA_TYPE = re.compile(r"[A-Za-z0-9][\w!#$&^.+-]{0,126}/[A-Za-z0-9][\w!#$&^.+-]{0,126}", re.ASCII)
_MOST_BYTES = 2**63


def digest_of(content: bytes) -> str:
    """Return the `sha256:` digest of some bytes."""
    return "sha256:" + hashlib.sha256(content).hexdigest()


def _size(value: object, where: str) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _MOST_BYTES:
        return value
    raise HarborProtocolError(f"{where}: {shown(value)} is not a size in bytes")


def _items(data: Mapping[str, Any], key: str, where: str) -> list[Any]:
    value = data.get(key) or []
    if isinstance(value, list):
        return value
    raise HarborProtocolError(f"{where}: {key!r} is not a list")


def _word(data: Mapping[str, Any], key: str) -> str:
    """Return a text as it may be shown; empty where there is none."""
    value = data.get(key)
    return one_line(value, 255) if isinstance(value, str) else ""


def _media_type(value: object, where: str) -> str:
    """Return a media type, so that it can safely become a header; empty where there is none."""
    if value is None or value == "":
        return ""
    if isinstance(value, str) and _MEDIA_TYPE.fullmatch(value):
        return value
    raise HarborProtocolError(f"{where}: {shown(value)} is not a media type")


@dataclass(frozen=True, slots=True, kw_only=True)
class Platform:
    """What a child of an index runs on."""

    os: str
    architecture: str
    variant: str = ""

    @property
    def is_unknown(self) -> bool:
        """Whether this is how buildx marks an attestation (`unknown/unknown`)."""
        return self.os == "unknown" and self.architecture == "unknown"

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Platform:
        """Read a `platform` object of Harbor or of an index."""
        return cls(
            os=_word(data, "os"),
            architecture=_word(data, "architecture"),
            variant=_word(data, "variant"),
        )

    def __str__(self) -> str:
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)


@dataclass(frozen=True, slots=True, kw_only=True)
class Descriptor:
    """A pointer to content, as OCI names it. Source: OCI image-spec v1.1 descriptor.md.

    Attributes:
        size_bytes: Length as stored, compressed. Two descriptors with one digest are one blob.
    """

    digest: str
    size_bytes: int
    media_type: str = ""
    platform: Platform | None = None

    @property
    def is_foreign_layer(self) -> bool:
        """Whether a registry may lack it without being damaged."""
        return self.media_type in FOREIGN_LAYER_MEDIA_TYPES

    @classmethod
    def from_json(cls, data: object, where: str) -> Descriptor:
        """Read a descriptor of a manifest."""
        if not isinstance(data, dict):
            raise HarborProtocolError(f"{where}: {shown(data)} is not a descriptor")
        platform = data.get("platform")
        return cls(
            digest=parse_digest(data.get("digest"), where),
            size_bytes=_size(data.get("size"), where),
            media_type=_word(data, "mediaType"),
            platform=Platform.from_json(platform) if isinstance(platform, dict) else None,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """A manifest or index: its exact bytes, and what they point to.

    Attributes:
        content: Byte for byte as the registry sent it; never serialised again.
        digest: Computed from `content`, never taken from a header.
        blobs: Config and layers, each digest once.
        children: What an index lists.
        subject: Digest of the manifest this one refers to; empty where there is none.
    """

    content: bytes = field(repr=False)
    media_type: str
    digest: str
    blobs: tuple[Descriptor, ...] = ()
    children: tuple[Descriptor, ...] = ()
    subject: str = ""
    artifact_type: str = ""
    annotations: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def from_bytes(cls, content: bytes, media_type: str, where: str) -> Manifest:
        """Read a manifest's bytes.

        Raises:
            HarborProtocolError: They are no manifest.
        """
        try:
            data = json.loads(content)
        except ValueError:
            raise HarborProtocolError(f"{where}: the manifest is not JSON") from None
        except RecursionError:
            raise HarborProtocolError(f"{where}: the manifest is nested too deep") from None
        if not isinstance(data, dict):
            raise HarborProtocolError(f"{where}: the manifest is not a JSON object")
        listed = [data["config"]] if data.get("config") else []
        listed += _items(data, "layers", where) or _items(data, "blobs", where)
        blobs = {b.digest: b for b in (Descriptor.from_json(item, where) for item in listed)}
        children = {
            child.digest: child
            for child in (Descriptor.from_json(c, where) for c in _items(data, "manifests", where))
        }
        subject = data.get("subject")
        config = data.get("config") or {}
        annotations = data.get("annotations") or {}
        if not isinstance(annotations, dict):
            raise HarborProtocolError(f"{where}: the annotations are not a JSON object")
        # A registry may answer with parameters.
        header, _, _ = media_type.partition(";")
        return cls(
            content=content,
            # Its own word counts: a registry may answer with a generic type.
            media_type=_media_type(data.get("mediaType") or header.strip(), where),
            digest=digest_of(content),
            blobs=tuple(blobs.values()),
            children=tuple(children.values()),
            subject=Descriptor.from_json(subject, where).digest if subject else "",
            artifact_type=_word(data, "artifactType") or _word(config, "mediaType"),
            annotations=annotations,
        )
