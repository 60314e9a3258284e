"""Values that travel between the modules: what Harbor answers, read once.

Frozen, without I/O. `from_json` takes one JSON object as Harbor sends it, ignores fields it does
not know, reads a null array as empty (go-swagger sends null for an empty array), and raises
`HarborProtocolError` where a field that is needed is missing or of another type.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from airflow_provider_harbor.core.exceptions import HarborProtocolError
from airflow_provider_harbor.core.manifest import Platform
from airflow_provider_harbor.core.names import parse_digest

T = TypeVar("T")

# Harbor's "never": a Go zero time, which is sent like any other. Source: go-openapi strfmt.
_NEVER = "0001-01-01T00:00:00.000Z"


def _get(data: Mapping[str, Any], key: str, kind: type[T], what: str) -> T:
    value = data.get(key)
    if isinstance(value, kind) and not (kind is int and isinstance(value, bool)):
        return value
    raise HarborProtocolError(f"{what}: field {key!r} is {value!r}, not {kind.__name__}")


def _get_list(data: Mapping[str, Any], key: str, what: str) -> list[dict[str, Any]]:
    value = data.get(key)
    if value is None:
        return []
    if isinstance(value, list) and all(isinstance(item, dict) for item in value):
        return value
    raise HarborProtocolError(f"{what}: field {key!r} is not a list of objects")


def _time(data: Mapping[str, Any], key: str) -> str | None:
    value = data.get(key)
    return value if isinstance(value, str) and value != _NEVER else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """A project. `registry_id` above 0 marks a proxy cache; `repo_count` counts empty ones too."""

    project_id: int
    name: str
    public: bool
    repo_count: int
    registry_id: int = 0

    @property
    def is_proxy_cache(self) -> bool:
        """Whether the project only caches another registry."""
        return self.registry_id > 0

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Project:
        """Read one item of `GET /projects`."""
        metadata = data.get("metadata") or {}
        return cls(
            project_id=_get(data, "project_id", int, "project"),
            name=_get(data, "name", str, "project"),
            public=metadata.get("public") == "true",
            repo_count=int(data.get("repo_count") or 0),
            registry_id=int(data.get("registry_id") or 0),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Repository:
    """A repository; `name` has the project in front, `artifact_count` counts what Harbor lists.

    Neither hidden children of indexes nor accessories are in `artifact_count`.
    """

    repository_id: int
    name: str
    artifact_count: int
    pull_count: int = 0
    update_time: str | None = None

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Repository:
        """Read one item of `GET /projects/{p}/repositories`."""
        return cls(
            repository_id=_get(data, "id", int, "repository"),
            name=_get(data, "name", str, "repository"),
            artifact_count=int(data.get("artifact_count") or 0),
            pull_count=int(data.get("pull_count") or 0),
            update_time=_time(data, "update_time"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Tag:
    """A tag, and when it was last pushed (RFC 3339, UTC, milliseconds)."""

    name: str
    push_time: str | None = None

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Tag:
        """Read one item of an artifact's `tags`."""
        return cls(name=_get(data, "name", str, "tag"), push_time=_time(data, "push_time"))

    def to_json(self) -> dict[str, Any]:
        """Return what an inventory line holds."""
        return {"name": self.name, "push_time": self.push_time}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """An index's pointer to a child; Harbor tells neither its size nor its media type here."""

    child_digest: str
    platform: Platform | None = None

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Reference:
        """Read one item of an artifact's `references`."""
        platform = data.get("platform")
        return cls(
            child_digest=parse_digest(data.get("child_digest"), "reference"),
            platform=Platform.from_json(platform) if isinstance(platform, dict) else None,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Accessory:
    """A signature, SBOM or other referrer, as Harbor attaches it to its subject.

    `type` is Harbor's (`signature.cosign`, `sbom.harbor`, `subject.accessory`, ...), not OCI's.
    """

    digest: str
    type: str
    size_bytes: int
    subject_digest: str
    creation_time: str | None = None

    @classmethod
    def from_json(cls, data: Mapping[str, Any], subject: str) -> Accessory:
        """Read one item of the `accessories` of the artifact whose digest is `subject`."""
        return cls(
            digest=parse_digest(data.get("digest"), "accessory"),
            type=str(data.get("type") or ""),
            size_bytes=int(data.get("size") or 0),
            # Harbor before 2.8 does not say it.
            subject_digest=str(data.get("subject_artifact_digest") or subject),
            creation_time=_time(data, "creation_time"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """An artifact as Harbor lists it.

    Attributes:
        artifact_id: Grows with each first push of a digest; the key of keyset paging.
        repository: Full name, the project in front.
        media_type: Of the manifest or index itself.
        size_bytes: As Harbor counts: of an index, all its children's too.
        push_time: First push of the digest into the repository (RFC 3339, UTC).
    """

    artifact_id: int
    repository: str
    digest: str
    media_type: str
    artifact_type: str
    size_bytes: int
    push_time: str | None
    tags: tuple[Tag, ...] = ()
    references: tuple[Reference, ...] = ()
    accessories: tuple[Accessory, ...] = ()
    labels: tuple[str, ...] = ()

    @classmethod
    def from_json(cls, data: Mapping[str, Any], repository: str = "") -> Artifact:
        """Read one item of an artifact listing; `repository` is for Harbor before 2.12."""
        digest = parse_digest(data.get("digest"), "artifact")
        return cls(
            artifact_id=_get(data, "id", int, "artifact"),
            repository=str(data.get("repository_name") or repository),
            digest=digest,
            media_type=str(data.get("manifest_media_type") or ""),
            artifact_type=str(data.get("artifact_type") or data.get("media_type") or ""),
            size_bytes=int(data.get("size") or 0),
            push_time=_time(data, "push_time"),
            tags=tuple(Tag.from_json(item) for item in _get_list(data, "tags", "artifact")),
            references=tuple(
                Reference.from_json(item) for item in _get_list(data, "references", "artifact")
            ),
            accessories=tuple(
                Accessory.from_json(item, digest)
                for item in _get_list(data, "accessories", "artifact")
            ),
            labels=tuple(
                sorted(str(item.get("name")) for item in _get_list(data, "labels", "artifact"))
            ),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """What `GET /health` says: Harbor's own word, and the error of each unhealthy component."""

    status: str
    components: Mapping[str, str]
    errors: Mapping[str, str]

    @property
    def is_healthy(self) -> bool:
        """Whether Harbor and every component of it are healthy."""
        return self.status == "healthy" and not self.errors

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Health:
        """Read `GET /health`, which is 200 whatever it says."""
        components = _get_list(data, "components", "health")
        states = {str(c.get("name")): str(c.get("status") or "unknown") for c in components}
        errors = {
            str(c.get("name")): str(c.get("error") or c.get("status"))
            for c in components
            if c.get("status") != "healthy"
        }
        return cls(status=_get(data, "status", str, "health"), components=states, errors=errors)


@dataclass(frozen=True, slots=True, kw_only=True)
class SystemInfo:
    """What `GET /systeminfo` says; `harbor_version` is empty for a login that was not accepted."""

    harbor_version: str
    read_only: bool
    auth_mode: str

    @property
    def version(self) -> tuple[int, int, int]:
        """Major, minor and patch; (0, 0, 0) where the text has no such thing."""
        found = re.match(r"v?(\d+)\.(\d+)(?:\.(\d+))?", self.harbor_version)
        if not found:
            return (0, 0, 0)
        major, minor, patch = found.groups()
        return (int(major), int(minor), int(patch or 0))

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> SystemInfo:
        """Read `GET /systeminfo`."""
        return cls(
            harbor_version=str(data.get("harbor_version") or ""),
            read_only=bool(data.get("read_only")),
            auth_mode=str(data.get("auth_mode") or ""),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistics:
    """What `GET /statistics` says; the totals are 0 for everybody but a system administrator."""

    total_project_count: int
    total_repo_count: int
    public_project_count: int
    total_storage_bytes: int

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Statistics:
        """Read `GET /statistics`."""
        return cls(
            total_project_count=int(data.get("total_project_count") or 0),
            total_repo_count=int(data.get("total_repo_count") or 0),
            public_project_count=int(data.get("public_project_count") or 0),
            total_storage_bytes=int(data.get("total_storage_consumption") or 0),
        )
