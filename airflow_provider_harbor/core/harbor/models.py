"""Values that travel between the modules: what Harbor answers, read once.

Frozen, without I/O. `from_json` takes one JSON object as Harbor sends it, ignores fields it does
not know, reads a null array as empty (go-swagger sends null for an empty array), and raises
`HarborProtocolError` where a field that is needed is missing, or any is of another type. What is
text is fit to be shown: printable, on one line, not endless.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from airflow_provider_harbor.core.exceptions import HarborProtocolError
from airflow_provider_harbor.core.oci.manifest import Platform
from airflow_provider_harbor.core.oci.names import parse_digest, parse_project
from airflow_provider_harbor.core.texts import one_line, printable, shown

# Harbor's "never": a Go zero time, which is sent like any other. Source: go-openapi strfmt.
_NEVER = "0001-01-01T00:00:00.000Z"
# Longer than any name that is one, so that cutting makes none of what is not.
_LONGEST_NAME = 512
_MOST = 2**63  # Go's int64


def read_object(data: object) -> Mapping[str, Any]:
    """Return what should be an object."""
    if isinstance(data, dict):
        return data
    raise HarborProtocolError(f"{shown(data)} is not an object")


def read_list(data: object) -> list[Any]:
    """Return what should be a list."""
    if isinstance(data, list):
        return data
    raise HarborProtocolError(f"{shown(data)} is not a list")


def read_quota_project(data: object) -> str:
    """Return the project's name of one item of `GET /quotas`; empty where it has none."""
    reference = read_object(data).get("ref")
    return "" if reference is None else _text(read_object(reference), "name", _LONGEST_NAME)


def _wrong(key: str, value: object, kind: str) -> HarborProtocolError:
    return HarborProtocolError(f"field {key!r} is {shown(value)}, not {kind}")


def _text(data: Mapping[str, Any], key: str, limit: int = 255) -> str:
    """Return a text as it may be shown; empty where it is absent or null."""
    value = data.get(key)
    if value is None:
        return ""
    if isinstance(value, str):
        # Nearly always: a page of Harbor's has thousands of texts.
        return value if len(value) <= limit and value.isprintable() else one_line(value, limit)
    raise _wrong(key, value, "a text")


def _name(data: Mapping[str, Any], key: str) -> str:
    """Return a name. Where it is none it may be shown, and is still none: see `names`."""
    value = data.get(key)
    if isinstance(value, str):
        is_fit = len(value) <= _LONGEST_NAME and value.isprintable()
        return value if is_fit else printable(value[:_LONGEST_NAME])
    raise _wrong(key, value, "a name")


def _id(data: Mapping[str, Any], key: str) -> int:
    value = data.get(key)
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < _MOST:
        return value
    raise _wrong(key, value, "a whole number")


def _count(data: Mapping[str, Any], key: str) -> int:
    """Return a number of things or bytes; 0 where it is absent or null, as Go leaves it out."""
    if data.get(key) is None:
        return 0
    value = _id(data, key)
    if value >= 0:
        return value
    raise _wrong(key, value, "a number from 0 on")


def _objects(data: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
    value = data.get(key)
    if value is None:
        return []
    if isinstance(value, list) and all(isinstance(item, dict) for item in value):
        return value
    raise _wrong(key, value, "a list of objects")


def _time(data: Mapping[str, Any], key: str) -> str | None:
    value = _text(data, key)
    return value if value and value != _NEVER else None


def _platform(data: Mapping[str, Any]) -> Platform | None:
    platform = data.get("platform")
    return None if platform is None else Platform.from_json(read_object(platform))


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """A project. `registry_id` above 0 marks a proxy cache; `repo_count` counts empty ones too."""

    project_id: int
    name: str
    public: bool
    repo_count: int
    registry_id: int = 0
    creation_time: str | None = None

    @property
    def is_proxy_cache(self) -> bool:
        """Whether the project only caches another registry."""
        return self.registry_id > 0

    @classmethod
    def from_json(cls, data: object) -> Project:
        """Read one item of `GET /projects`."""
        fields = read_object(data)
        metadata = fields.get("metadata")
        return cls(
            project_id=_id(fields, "project_id"),
            name=parse_project(fields.get("name"), "field 'name'"),
            public=metadata is not None and read_object(metadata).get("public") == "true",
            repo_count=_count(fields, "repo_count"),
            registry_id=_count(fields, "registry_id"),
            creation_time=_time(fields, "creation_time"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Repository:
    """A repository; `name` has the project in front, `artifact_count` counts what Harbor lists.

    Neither hidden children of indexes nor accessories are in `artifact_count`. The name is as
    Harbor says it, see `names.is_repository_name`: one bad name must not hide all others.
    """

    repository_id: int
    name: str
    artifact_count: int
    pull_count: int = 0
    update_time: str | None = None

    @classmethod
    def from_json(cls, data: object) -> Repository:
        """Read one item of `GET /projects/{p}/repositories`."""
        fields = read_object(data)
        return cls(
            repository_id=_id(fields, "id"),
            name=_name(fields, "name"),
            artifact_count=_count(fields, "artifact_count"),
            pull_count=_count(fields, "pull_count"),
            update_time=_time(fields, "update_time"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Tag:
    """A tag, and when it was last pushed (RFC 3339, UTC, milliseconds).

    The name is as Harbor says it, see `names.is_tag_name`.
    """

    name: str
    push_time: str | None = None

    @classmethod
    def from_json(cls, data: object) -> Tag:
        """Read one item of an artifact's `tags`."""
        fields = read_object(data)
        return cls(name=_name(fields, "name"), push_time=_time(fields, "push_time"))

    def to_json(self) -> dict[str, Any]:
        """Return what an inventory line holds."""
        return {"name": self.name, "push_time": self.push_time}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """An index's pointer to a child; Harbor tells neither its size nor its media type here."""

    child_digest: str
    platform: Platform | None = None

    @classmethod
    def from_json(cls, data: object) -> Reference:
        """Read one item of an artifact's `references`."""
        fields = read_object(data)
        return cls(
            child_digest=parse_digest(fields.get("child_digest"), "field 'child_digest'"),
            platform=_platform(fields),
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
    def from_json(cls, data: object, subject: str) -> Accessory:
        """Read one item of the `accessories` of the artifact whose digest is `subject`."""
        fields = read_object(data)
        # Harbor before 2.8 does not say it.
        refers_to = fields.get("subject_artifact_digest") or subject
        return cls(
            digest=parse_digest(fields.get("digest"), "field 'digest'"),
            type=_text(fields, "type"),
            size_bytes=_count(fields, "size"),
            subject_digest=parse_digest(refers_to, "field 'subject_artifact_digest'"),
            creation_time=_time(fields, "creation_time"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """An artifact as Harbor lists it.

    Attributes:
        artifact_id: Grows with each first push of a digest; the key of keyset paging.
        repository: Full name, the project in front; as Harbor says it, see `Repository`.
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
    def from_json(cls, data: object, repository: str = "") -> Artifact:
        """Read one item of an artifact listing; `repository` is for Harbor before 2.12."""
        fields = read_object(data)
        digest = parse_digest(fields.get("digest"), "field 'digest'")
        says_repository = bool(fields.get("repository_name"))
        labels = (_text(item, "name") for item in _objects(fields, "labels"))
        return cls(
            artifact_id=_id(fields, "id"),
            repository=_name(fields, "repository_name") if says_repository else repository,
            digest=digest,
            media_type=_text(fields, "manifest_media_type"),
            artifact_type=_text(fields, "artifact_type") or _text(fields, "media_type"),
            size_bytes=_count(fields, "size"),
            push_time=_time(fields, "push_time"),
            tags=tuple(map(Tag.from_json, _objects(fields, "tags"))),
            references=tuple(map(Reference.from_json, _objects(fields, "references"))),
            accessories=tuple(
                Accessory.from_json(item, digest) for item in _objects(fields, "accessories")
            ),
            labels=tuple(sorted(filter(None, labels))),
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
    def from_json(cls, data: object) -> Health:
        """Read `GET /health`, which is 200 whatever it says."""
        fields = read_object(data)
        states: dict[str, str] = {}
        errors: dict[str, str] = {}
        for component in _objects(fields, "components"):
            name, status = _text(component, "name"), _text(component, "status") or "unknown"
            states[name] = status
            if status != "healthy":
                errors[name] = _text(component, "error") or status
        status = _text(fields, "status")
        if not status:
            raise _wrong("status", fields.get("status"), "a text")
        return cls(status=status, components=states, errors=errors)


@dataclass(frozen=True, slots=True, kw_only=True)
class SystemInfo:
    """What `GET /systeminfo` says; `harbor_version` is empty for a login that was not accepted.

    `external_url` is the address by which the Harbor was installed, whatever name it is asked by.
    """

    harbor_version: str
    read_only: bool
    auth_mode: str
    external_url: str = ""

    @property
    def version(self) -> tuple[int, int, int]:
        """Major, minor and patch; (0, 0, 0) where the text has no such thing."""
        found = re.match(r"v?([0-9]{1,9})\.([0-9]{1,9})(?:\.([0-9]{1,9}))?", self.harbor_version)
        if not found:
            return (0, 0, 0)
        major, minor, patch = found.groups()
        return (int(major), int(minor), int(patch or 0))

    @classmethod
    def from_json(cls, data: object) -> SystemInfo:
        """Read `GET /systeminfo`."""
        fields = read_object(data)
        return cls(
            harbor_version=_text(fields, "harbor_version", 100),
            read_only=fields.get("read_only") is True,
            auth_mode=_text(fields, "auth_mode", 100),
            external_url=_text(fields, "external_url"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistics:
    """What `GET /statistics` says; the totals are 0 for everybody but a system administrator."""

    total_project_count: int
    total_repo_count: int
    total_storage_bytes: int

    @classmethod
    def from_json(cls, data: object) -> Statistics:
        """Read `GET /statistics`."""
        fields = read_object(data)
        return cls(
            total_project_count=_count(fields, "total_project_count"),
            total_repo_count=_count(fields, "total_repo_count"),
            total_storage_bytes=_count(fields, "total_storage_consumption"),
        )
