"""Inventories and contents in a store: what projects held, and what of it is in the pool.

Both are files of lines in the order of repository and digest, written and read one repository after
the other: a project is never in memory as a whole.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_provider_harbor.core.harbor.records import (
    KIND,
    Counts,
    Record,
    count_records,
    first_line,
    line_of,
)
from airflow_provider_harbor.core.oci.manifest import Manifest
from airflow_provider_harbor.core.oci.names import is_digest
from airflow_provider_harbor.core.store import layout
from airflow_provider_harbor.core.store.documents import (
    PackedLines,
    iter_lines,
    read_lines,
)
from airflow_provider_harbor.core.store.files import Files

if TYPE_CHECKING:
    from typing_extensions import Self

_CONTENTS_KIND = "harbor-contents"


@dataclass(frozen=True, slots=True, kw_only=True)
class InventoryRef:
    """Which inventory of a project, and what it holds: small enough for an XCom.

    Attributes:
        sha256: 64 hex digits, of its lines: its name in the store.
        listed_at: When the listing began (ISO 8601, UTC): what tells older from newer.
        gaps: Number of repositories that could not be listed whole.
    """

    project: str
    sha256: str
    counts: Counts
    listed_at: str
    gaps: int = 0

    def to_json(self) -> dict[str, Any]:
        """Return the reference as a task hands it on."""
        return {
            "project": self.project,
            "sha256": self.sha256,
            "counts": self.counts.to_json(),
            "listed_at": self.listed_at,
            "gaps": self.gaps,
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> InventoryRef:
        """Read what `to_json` returned."""
        return cls(
            project=data["project"],
            sha256=data["sha256"],
            counts=Counts.from_json(data["counts"]),
            listed_at=data["listed_at"],
            gaps=int(data["gaps"]),
        )


@dataclass(frozen=True, slots=True)
class BlobSize:
    """A blob of a manifest, by its digest and its size in bytes."""

    digest: str
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """What a manifest is made of, as far as it is in the pool; the manifest itself is there, too.

    Attributes:
        size_bytes: Of the manifest's own bytes.
        blobs: Config and layers, each digest once.
        foreign: Digests of layers that the source does not hold, and that are not in the pool.
    """

    digest: str
    media_type: str
    size_bytes: int
    blobs: tuple[BlobSize, ...] = ()
    foreign: tuple[str, ...] = ()

    @classmethod
    def of(cls, digest: str, manifest: Manifest, foreign: Iterable[str] = ()) -> Content:
        """Return what the manifest of a digest is made of."""
        absent = frozenset(foreign)
        return cls(
            digest=digest,
            media_type=manifest.media_type,
            size_bytes=len(manifest.content),
            blobs=tuple(
                BlobSize(b.digest, b.size_bytes) for b in manifest.blobs if b.digest not in absent
            ),
            foreign=tuple(sorted(absent)),
        )

    def iter_sizes(self) -> Iterator[BlobSize]:
        """Yield all that has to be in the pool: the manifest, then its blobs."""
        yield BlobSize(self.digest, self.size_bytes)
        yield from self.blobs

    def to_json(self, repository: str) -> dict[str, Any]:
        """Return the object of a line."""
        return {
            "repository": repository,
            "digest": self.digest,
            "media_type": self.media_type,
            "size_bytes": self.size_bytes,
            "blobs": [{"digest": b.digest, "size_bytes": b.size_bytes} for b in self.blobs],
            "foreign": list(self.foreign),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Content:
        """Read the object of a line; raises `KeyError`, `TypeError` or `ValueError` on another."""
        return cls(
            digest=_digest(data["digest"]),
            media_type=_media_type(data["media_type"]),
            size_bytes=_size(data["size_bytes"]),
            blobs=tuple(
                BlobSize(_digest(b["digest"]), _size(b["size_bytes"])) for b in data["blobs"]
            ),
            foreign=tuple(map(_digest, data["foreign"])),
        )


def _digest(value: object) -> str:
    if not isinstance(value, str) or not is_digest(value):
        raise ValueError(f"{value!r} is no digest")
    return value


def _size(value: object) -> int:
    if not isinstance(value, int) or not 0 <= value < 2**63:
        raise ValueError(f"{value!r} is no size")
    return value


def _media_type(value: object) -> str:
    if not isinstance(value, str) or not value.isprintable():
        raise ValueError(f"{value!r} is no media type")
    return value


class _Writer:
    """A context manager: what was not finished at the end of the block is forgotten."""

    _lines: PackedLines

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._lines.__exit__(*exc_info)

    @property
    def sha256(self) -> str:
        """Its SHA-256 (hex), if this was all."""
        return self._lines.sha256

    def finish(self) -> str:
        """Keep it, unless the store has it already; returns its SHA-256 (hex)."""
        return self._lines.finish()


class InventoryWriter(_Writer):
    """An inventory on its way into a store.

    Args:
        files: Of the store.
        project: Name of the project.
    """

    def __init__(self, files: Files, project: str) -> None:
        self._lines = PackedLines(files, lambda sha256: layout.inventory(project, sha256))
        self._lines.add(first_line())
        self.counts = Counts()

    def add(self, records: list[Record]) -> None:
        """Add the records of one repository, sorted by digest; repositories come sorted, too."""
        for record in records:
            self._lines.add(line_of(record.to_json()))
        self.counts += count_records(records)


class ContentsWriter(_Writer):
    """The contents of an inventory on their way into a store; see `InventoryWriter`.

    Args:
        files: Of the store.
        project: Name of the project.
        replaces: Whether they are written even where they seem to be there.
    """

    def __init__(self, files: Files, project: str, *, replaces: bool = False) -> None:
        self._lines = PackedLines(
            files, lambda sha256: layout.contents(project, sha256), replaces=replaces
        )
        self._lines.add(first_line(_CONTENTS_KIND))

    def add(self, repository: str, contents: Iterable[Content]) -> None:
        """Add what is in the pool of one repository; repositories come sorted."""
        for content in sorted(contents, key=lambda item: item.digest):
            self._lines.add(line_of(content.to_json(repository)))


class Inventories:
    """The inventories and contents of a store. May be shared by threads.

    What all methods that read raise:
        IntegrityError: It is not there, or cannot be read; or, after all was read, it is not what
            was written: act on nothing before all is read, or call `verify` first.
    """

    def __init__(self, files: Files) -> None:
        self._files = files

    def write(self, project: str) -> InventoryWriter:
        """Begin an inventory."""
        return InventoryWriter(self._files, project)

    def write_contents(self, project: str, *, replaces: bool = False) -> ContentsWriter:
        """Begin contents; `replaces` those that are there, too, since they are damaged."""
        return ContentsWriter(self._files, project, replaces=replaces)

    def iter_records(self, project: str, sha256: str) -> Iterator[Record]:
        """Yield the records of an inventory, sorted by repository, then digest."""
        path = layout.inventory(project, sha256)
        return read_lines(self._files, path, sha256, KIND, Record.from_json)

    def iter_repositories(self, project: str, sha256: str) -> Iterator[tuple[str, list[Record]]]:
        """Yield the records of an inventory by repository."""
        records = self.iter_records(project, sha256)
        for repository, group in itertools.groupby(records, lambda record: record.repository):
            yield repository, list(group)

    def iter_contents(self, project: str, sha256: str) -> Iterator[tuple[str, dict[str, Content]]]:
        """Yield contents by repository: of each digest that is in the pool what it is made of."""
        lines = self.iter_manifests(project, sha256)
        for repository, group in itertools.groupby(lines, lambda item: item[0]):
            yield repository, {content.digest: content for _, content in group}

    def iter_manifests(self, project: str, sha256: str) -> Iterator[tuple[str, Content]]:
        """Yield the same one by one, each with its repository."""
        path = layout.contents(project, sha256)
        return read_lines(self._files, path, sha256, _CONTENTS_KIND, _with_repository)

    def verify(self, project: str, sha256: str) -> None:
        """Read an inventory once, and make sure that it is what was written."""
        self._verify(layout.inventory(project, sha256), sha256)

    def verify_contents(self, project: str, sha256: str) -> None:
        """Read contents once, and make sure that they are what was written."""
        self._verify(layout.contents(project, sha256), sha256)

    def _verify(self, path: str, sha256: str) -> None:
        for _ in iter_lines(self._files, path, sha256):
            continue

    def list_names(self, project: str, kind: str = "inventories") -> list[str]:
        """Return the SHA-256 of each inventory (or of `contents`) of a project, sorted."""
        directory = layout.inventory(project, "x").rpartition("/")[0]
        if kind == "contents":
            directory = layout.contents(project, "x").rpartition("/")[0]
        return [name.partition(".")[0] for name in self._files.list_names(directory)]


def _with_repository(data: dict[str, Any]) -> tuple[str, Content]:
    return data["repository"], Content.from_json(data)
