"""Builders of container content: images, indexes, charts, signatures, attestations.

Everything is made from a name and is the same in every run and on every machine: no clock, no
random number without a seed, no compressor whose output could differ between versions. So tests can
name what they expect by building it again.

`Content` is what a registry stores as one manifest, with the blobs it needs (`blobs`) and the
manifests that have to be there before it (`children`). `HarborDouble.push` takes any of them.
"""

from __future__ import annotations

import hashlib
import io
import json
import random
import struct
import tarfile
import zlib
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
OCI_EMPTY = "application/vnd.oci.empty.v1+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"
HELM_CONFIG = "application/vnd.cncf.helm.config.v1+json"
HELM_LAYER = "application/vnd.cncf.helm.chart.content.v1.tar+gzip"
COSIGN_LAYER = "application/vnd.dev.cosign.simplesigning.v1+json"
SIGSTORE_BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"
SPDX = "application/spdx+json"
IN_TOTO = "application/vnd.in-toto+json"
INDEX_TYPES = (OCI_INDEX, DOCKER_LIST)


def to_json(document: Any) -> bytes:
    """Return the document as compact JSON; the same document always gives the same bytes."""
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()


def digest_of(data: bytes) -> str:
    """Return the OCI digest of some bytes."""
    return _remembered_digest(data) if len(data) > 65536 else _digest(data)


def _digest(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


# Base layers are in many images; hashing them for each would be most of the time a sample takes.
_remembered_digest = lru_cache(maxsize=32)(_digest)


def noise(name: str, size: int) -> bytes:
    """Return bytes that no compressor makes smaller, always the same for a name and a size."""
    return random.Random(f"{name}/{size}").randbytes(size)


def gzipped(data: bytes) -> bytes:
    """Return a valid gzip file of the data, not compressed.

    Written out by hand in stored blocks because the output of a compressor depends on its version,
    and with it every digest.
    """
    parts = [b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"]
    for start in range(0, max(len(data), 1), 65535):
        block = data[start : start + 65535]
        last = start + 65535 >= len(data)
        parts += [struct.pack("<BHH", last, len(block), len(block) ^ 0xFFFF), block]
    parts.append(struct.pack("<II", zlib.crc32(data), len(data) & 0xFFFFFFFF))
    return b"".join(parts)


def tarball(files: Mapping[str, bytes]) -> bytes:
    """Return an uncompressed tar archive of the files, dated 1970."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return out.getvalue()


def layer(name: str, size: int = 512) -> bytes:
    """Return a tar+gzip layer that holds one file of `size` bytes of noise."""
    return gzipped(tarball({f"opt/{name.replace('/', '-')[-60:]}": noise(name, size)}))


class Content:
    """A manifest, the blobs below it, and the manifests it refers to.

    Attributes:
        manifest: The bytes that are stored and whose digest is the content's name.
        blobs: Digest to bytes of the config and the layers, in the order of the manifest.
        children: Content that must be pushed first (members of an index).
        platform: What an index says about this member, or None.
        member_annotations: Annotations an index gives this member (attestations).
        default_tags: Tags under which a push without tags puts it (cosign signatures need one).
    """

    def __init__(
        self,
        media_type: str,
        document: dict[str, Any],
        *,
        blobs: Iterable[bytes] = (),
        children: Sequence[Content] = (),
        platform: dict[str, Any] | None = None,
        member_annotations: dict[str, str] | None = None,
        default_tags: Sequence[str] = (),
    ) -> None:
        self.media_type = media_type
        self.document = document
        self.manifest = to_json(document)
        self.digest = digest_of(self.manifest)
        self.blobs = {digest_of(blob): blob for blob in blobs}
        self.children = list(children)
        self.platform = platform
        self.member_annotations = member_annotations
        self.default_tags = tuple(default_tags)

    @property
    def descriptor(self) -> dict[str, Any]:
        """The descriptor by which other content points here, e.g. as `subject`."""
        return {"mediaType": self.media_type, "digest": self.digest, "size": len(self.manifest)}

    def member(self) -> dict[str, Any]:
        """The descriptor by which an index lists this content."""
        described = self.descriptor
        if self.platform is not None:
            described["platform"] = self.platform
        if self.member_annotations is not None:
            described["annotations"] = self.member_annotations
        return described

    def walk(self) -> Iterable[Content]:
        """Yield this content and all it is made of, children before their parents."""
        for child in self.children:
            yield from child.walk()
        yield self

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.digest[:19]}>"


class Image(Content):
    """One image manifest, or any artifact that has the form of one.

    Args:
        name: What everything is made from.
        layers: How many small layers, or a list of their bytes or of sizes in bytes.
        config: The config document; by default that of an image with the platform given.
        config_type: Media type of the config.
        artifact_type: `artifactType` of the manifest.
        subject: The content this one refers to; it need not exist in the registry.
    """

    def __init__(
        self,
        name: str,
        *,
        architecture: str = "amd64",
        os: str = "linux",
        variant: str | None = None,
        layers: int | Sequence[bytes | int] = 1,
        media_type: str = OCI_MANIFEST,
        config: Any = None,
        config_type: str | None = None,
        layer_type: str | None = None,
        layer_annotations: dict[str, str] | None = None,
        artifact_type: str | None = None,
        subject: Content | None = None,
        annotations: dict[str, str] | None = None,
        member_annotations: dict[str, str] | None = None,
        default_tags: Sequence[str] = (),
    ) -> None:
        docker = media_type == DOCKER_MANIFEST
        config_type = config_type or (DOCKER_CONFIG if docker else OCI_CONFIG)
        layer_type = layer_type or (DOCKER_LAYER if docker else OCI_LAYER)
        blobs = _layers(name, layers)
        if config is None:
            config = _image_config(name, architecture, os, variant, blobs)
        config_blob = to_json(config)
        document: dict[str, Any] = {"schemaVersion": 2, "mediaType": media_type}
        if artifact_type is not None:
            document["artifactType"] = artifact_type
        document["config"] = _descriptor(config_blob, config_type)
        document["layers"] = [_descriptor(b, layer_type, layer_annotations) for b in blobs]
        if subject is not None:
            document["subject"] = subject.descriptor
        if annotations is not None:
            document["annotations"] = annotations
        platform = {"architecture": architecture, "os": os}
        if variant is not None:
            platform["variant"] = variant
        super().__init__(
            media_type,
            document,
            blobs=[config_blob, *blobs],
            platform=platform,
            member_annotations=member_annotations,
            default_tags=default_tags,
        )


class Index(Content):
    """An image index (or Docker manifest list) of images, attestations and other indexes.

    A member is a `Content`, which is then pushed with the index, or a bare descriptor, which is
    not; so there can be indexes that lack members.
    """

    def __init__(
        self,
        *members: Content | dict[str, Any],
        media_type: str = OCI_INDEX,
        artifact_type: str | None = None,
        subject: Content | None = None,
        annotations: dict[str, str] | None = None,
    ) -> None:
        document: dict[str, Any] = {"schemaVersion": 2, "mediaType": media_type}
        if artifact_type is not None:
            document["artifactType"] = artifact_type
        document["manifests"] = [m.member() if isinstance(m, Content) else m for m in members]
        if subject is not None:
            document["subject"] = subject.descriptor
        if annotations is not None:
            document["annotations"] = annotations
        super().__init__(
            media_type, document, children=[m for m in members if isinstance(m, Content)]
        )


def attestation_for(image: Content) -> Image:
    """Return what buildx attaches to an image inside an index: a child of an unknown platform."""
    statement = to_json({"_type": "https://in-toto.io/Statement/v0.1", "subject": [image.digest]})
    return Image(
        f"attestation of {image.digest}",
        architecture="unknown",
        os="unknown",
        layers=[statement],
        layer_type=IN_TOTO,
        member_annotations={
            "vnd.docker.reference.type": "attestation-manifest",
            "vnd.docker.reference.digest": image.digest,
        },
    )


def multi_arch(
    name: str,
    *,
    architectures: Sequence[str] = ("amd64", "arm64"),
    layers: int | Sequence[bytes | int] = 1,
    attested: bool = True,
    annotations: dict[str, str] | None = None,
) -> Index:
    """Return an index as buildx makes it: an image for each architecture, then attestations."""
    images = [
        Image(
            f"{name}/{architecture}",
            architecture=architecture,
            variant="v8" if architecture == "arm64" else None,
            layers=layers,
        )
        for architecture in architectures
    ]
    members: list[Content] = [*images]
    if attested:
        members += [attestation_for(image) for image in images]
    return Index(*members, annotations=annotations)


def cosign_signature(subject: Content) -> Image:
    """Return a signature as cosign 2 stores it: an image under the tag `sha256-<hex>.sig`."""
    payload = to_json(
        {"critical": {"image": {"docker-manifest-digest": subject.digest}}, "optional": None}
    )
    return Image(
        f"signature of {subject.digest}",
        layers=[payload],
        layer_type=COSIGN_LAYER,
        layer_annotations={"dev.cosignproject.cosign/signature": digest_of(payload)[7:]},
        config={
            "architecture": "",
            "created": "0001-01-01T00:00:00Z",
            "os": "",
            "rootfs": {"type": "layers", "diff_ids": [digest_of(payload)]},
            "config": {},
        },
        default_tags=[subject.digest.replace(":", "-") + ".sig"],
    )


def sigstore_bundle(subject: Content) -> Image:
    """Return a signature as cosign 3 stores it: a referrer, without a tag."""
    return referrer(subject, artifact_type=SIGSTORE_BUNDLE, kind="bundle")


def sbom_for(subject: Content) -> Image:
    """Return a software bill of materials that refers to its subject."""
    return referrer(subject, artifact_type=SPDX, kind="sbom")


def referrer(subject: Content, *, artifact_type: str, kind: str = "referrer") -> Image:
    """Return an artifact with an empty config that refers to its subject."""
    statement = to_json({"kind": kind, "of": subject.digest})
    return Image(
        f"{kind} of {subject.digest}",
        layers=[statement],
        layer_type=artifact_type,
        config={},
        config_type=OCI_EMPTY,
        artifact_type=artifact_type,
        subject=subject,
    )


def helm_chart(name: str, version: str = "1.0.0", *, app_version: str = "1.0") -> Image:
    """Return a Helm chart as `helm push` makes it."""
    chart = {
        "apiVersion": "v2",
        "name": name,
        "version": version,
        "appVersion": app_version,
        "description": f"A Helm chart for {name}",
        "type": "application",
    }
    archive = tarball(
        {
            f"{name}/Chart.yaml": "".join(f"{k}: {v}\n" for k, v in chart.items()).encode(),
            f"{name}/values.yaml": b"replicaCount: 1\n",
            f"{name}/README.md": f"# {name}\n".encode(),
        }
    )
    return Image(
        f"chart/{name}/{version}",
        layers=[gzipped(archive)],
        layer_type=HELM_LAYER,
        config=chart,
        config_type=HELM_CONFIG,
        annotations={
            "org.opencontainers.image.title": name,
            "org.opencontainers.image.version": version,
        },
    )


def _layers(name: str, layers: int | Sequence[bytes | int]) -> list[bytes]:
    if isinstance(layers, int):
        layers = [512] * layers
    return [
        each if isinstance(each, bytes) else layer(f"{name}/layer/{number}", each)
        for number, each in enumerate(layers)
    ]


def _image_config(
    name: str, architecture: str, os: str, variant: str | None, layers: Sequence[bytes]
) -> dict[str, Any]:
    config: dict[str, Any] = {
        "architecture": architecture,
        "os": os,
        "created": "2026-01-02T03:04:05Z",
        "author": "build",
        "config": {"Env": ["PATH=/usr/bin", f"NAME={name}"], "Cmd": ["/app"]},
        "rootfs": {"type": "layers", "diff_ids": [digest_of(each) for each in layers]},
    }
    if variant is not None:
        config["variant"] = variant
    return config


def _descriptor(
    data: bytes, media_type: str, annotations: dict[str, str] | None = None
) -> dict[str, Any]:
    described: dict[str, Any] = {
        "mediaType": media_type,
        "digest": digest_of(data),
        "size": len(data),
    }
    if annotations is not None:
        described["annotations"] = annotations
    return described
