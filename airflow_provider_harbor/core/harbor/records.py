"""The digest inventory as values and as a file: one record for each digest of a repository.

A record is an artifact that Harbor lists, a child of an index, an attestation (a child of platform
`unknown/unknown`) or an accessory. Its key is repository and digest; tags are attributes.

The file format is JSON Lines: a first line with `format_version`, then one object a line, sorted by
repository, then digest. It holds nothing that changes while Harbor's content does not (no ids, no
pull times), so equal content gives equal bytes, and two inventories can be compared with `diff`.
"""

from __future__ import annotations

import enum
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from typing import Any, BinaryIO

from airflow_provider_harbor.core.exceptions import HarborProtocolError
from airflow_provider_harbor.core.harbor.models import Tag

FORMAT_VERSION = 1
KIND = "harbor-inventory"


class Role(str, enum.Enum):
    """What a digest is in its repository."""

    ARTIFACT = "artifact"
    CHILD = "child"
    ATTESTATION = "attestation"
    ACCESSORY = "accessory"

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One digest of one repository.

    Attributes:
        repository: Full name, the project in front.
        media_type: Of the manifest; empty where Harbor does not tell.
        artifact_type: OCI's artifact type or config media type; of an accessory Harbor's own type
            (`signature.cosign`, `subject.accessory`, ...).
        size_bytes: As Harbor counts: of an index, its own bytes and all its children's.
        push_time: First push of the digest into the repository (RFC 3339, UTC).
        platform: `os/architecture[/variant]` of a child, as its index says; else empty.
        parents: Digests of the indexes that list it, sorted.
        children: Digests that it lists, sorted.
        subject: Digest that an accessory refers to; else empty.
    """

    project: str
    repository: str
    digest: str
    role: Role
    media_type: str = ""
    artifact_type: str = ""
    size_bytes: int = 0
    push_time: str | None = None
    tags: tuple[Tag, ...] = ()
    platform: str = ""
    parents: tuple[str, ...] = ()
    children: tuple[str, ...] = ()
    subject: str = ""
    labels: tuple[str, ...] = ()

    @property
    def key(self) -> tuple[str, str]:
        """What records are sorted by, and what no two records share."""
        return (self.repository, self.digest)

    def to_json(self) -> dict[str, Any]:
        """Return the object of the record's line."""
        return {
            "project": self.project,
            "repository": self.repository,
            "digest": self.digest,
            "role": self.role.value,
            "media_type": self.media_type,
            "artifact_type": self.artifact_type,
            "size_bytes": self.size_bytes,
            "push_time": self.push_time,
            "tags": [tag.to_json() for tag in self.tags],
            "platform": self.platform,
            "parents": list(self.parents),
            "children": list(self.children),
            "subject": self.subject,
            "labels": list(self.labels),
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Record:
        """Read the object of a line; raises `KeyError`, `TypeError` or `ValueError` on another."""
        return cls(
            project=data["project"],
            repository=data["repository"],
            digest=data["digest"],
            role=Role(data["role"]),
            media_type=data["media_type"],
            artifact_type=data["artifact_type"],
            size_bytes=data["size_bytes"],
            push_time=data["push_time"],
            tags=tuple(Tag(name=t["name"], push_time=t["push_time"]) for t in data["tags"]),
            platform=data["platform"],
            parents=tuple(data["parents"]),
            children=tuple(data["children"]),
            subject=data["subject"],
            labels=tuple(data["labels"]),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """A repository of which an inventory may lack something, and why.

    Attributes:
        repository: Full name, the project in front.
        reason: Short code that gaps are grouped by, such as `unsettled`.
        message: What happened, and what to do.
    """

    repository: str
    reason: str
    message: str

    def __str__(self) -> str:
        return f"{self.repository}: {self.message}"

    def to_json(self) -> dict[str, str]:
        """Return the gap by names."""
        return {"repository": self.repository, "reason": self.reason, "message": self.message}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Gap:
        """Read what `to_json` returned."""
        return cls(repository=data["repository"], reason=data["reason"], message=data["message"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """How much an inventory holds.

    Attributes:
        tags: All tags, accessories' included (cosign signs by tag).
        digests: Records that are no attestation: the length of the digest list.
        size_bytes: Sum over all records but indexes; a layer that several images share counts in
            each of them, so it is at least what the content takes.
    """

    repositories: int = 0
    artifacts: int = 0
    children: int = 0
    attestations: int = 0
    accessories: int = 0
    tags: int = 0
    digests: int = 0
    size_bytes: int = 0

    @property
    def records(self) -> int:
        """How many records there are, each in exactly one role."""
        return self.artifacts + self.children + self.attestations + self.accessories

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            **{f.name: getattr(self, f.name) + getattr(other, f.name) for f in fields(self)}
        )

    def to_json(self) -> dict[str, int]:
        """Return the counts by name."""
        return {f.name: getattr(self, f.name) for f in fields(self)}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Counts:
        """Read what `to_json` returned."""
        return cls(**{f.name: int(data[f.name]) for f in fields(cls)})


def count_records(records: Iterable[Record]) -> Counts:
    """Count what some records hold."""
    roles: dict[Role, int] = defaultdict(int)
    repositories = set()
    tags = size_bytes = 0
    for record in records:
        roles[record.role] += 1
        repositories.add(record.repository)
        tags += len(record.tags)
        # An index's size is mostly its children's, which have records of their own.
        size_bytes += 0 if record.children else record.size_bytes
    return Counts(
        repositories=len(repositories),
        artifacts=roles[Role.ARTIFACT],
        children=roles[Role.CHILD],
        attestations=roles[Role.ATTESTATION],
        accessories=roles[Role.ACCESSORY],
        tags=tags,
        digests=sum(roles.values()) - roles[Role.ATTESTATION],
        size_bytes=size_bytes,
    )


def line_of(value: dict[str, Any]) -> bytes:
    """Return an object as a line of a file."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def first_line(kind: str = KIND) -> bytes:
    """Return the first line of an inventory, or of another file of lines."""
    return line_of({"format_version": FORMAT_VERSION, "kind": kind})


def write_records(stream: BinaryIO, records: Iterable[Record]) -> None:
    """Write an inventory; the caller has sorted the records by `Record.key`."""
    stream.write(first_line())
    for record in records:
        stream.write(line_of(record.to_json()))


def read_records(stream: BinaryIO) -> Iterator[Record]:
    """Yield the records of an inventory, in the order of the file.

    Raises:
        HarborProtocolError: It is no inventory, or one of a newer format.
    """
    number = 1
    try:
        header = json.loads(stream.readline())
        if header["kind"] != KIND or header["format_version"] != FORMAT_VERSION:
            raise HarborProtocolError(f"not a {KIND} of format {FORMAT_VERSION}, but: {header}")
        for line in stream:
            number += 1
            yield Record.from_json(json.loads(line))
    except (ValueError, KeyError, TypeError) as err:
        raise HarborProtocolError(f"line {number} of the inventory cannot be read: {err}") from err
