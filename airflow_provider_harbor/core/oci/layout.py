"""OCI image layouts: a repository as a directory, as skopeo, oras, regctl and crane read it.

    oci-layout               which format this is
    index.json               what is in it: a descriptor for each tag, and for what has no tag
    blobs/<algorithm>/<hex>  all content, manifests included

Source: OCI image-spec v1.1 image-layout.md. It knows nothing of where content comes from.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from airflow_provider_harbor.core.oci.manifest import OCI_INDEX
from airflow_provider_harbor.core.oci.names import parse_digest

MARK = "oci-layout"
MARK_CONTENT = b'{"imageLayoutVersion":"1.0.0"}'
INDEX = "index.json"
# The tag alone: oras and regctl read a name with a colon in it otherwise than skopeo does.
REF_NAME = "org.opencontainers.image.ref.name"
BLOBS = "blobs"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A manifest that `index.json` names.

    Attributes:
        size_bytes: Of the manifest's own bytes.
        artifact_type: What it is, of one that refers to another; empty where that is not known.
        tag: Its name in the layout; empty for none. A manifest with two tags has two entries.
    """

    digest: str
    size_bytes: int
    media_type: str
    artifact_type: str = ""
    tag: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the descriptor. Source: OCI image-spec v1.1 descriptor.md."""
        descriptor: dict[str, Any] = {
            "mediaType": self.media_type,
            "digest": self.digest,
            "size": self.size_bytes,
        }
        if self.artifact_type:
            descriptor["artifactType"] = self.artifact_type
        if self.tag:
            descriptor["annotations"] = {REF_NAME: self.tag}
        return descriptor


class Layout:
    """A layout on its way into a directory, which is there and empty. May be shared by threads.

    Whoever adds content makes sure that it is what its digest says. All methods raise `OSError`
    where the directory cannot be written.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def path(self, digest: str) -> Path:
        """Return where the content of a digest is.

        Raises:
            HarborProtocolError: It is no digest.
        """
        algorithm, _, encoded = parse_digest(digest).partition(":")
        return self._directory / BLOBS / algorithm / encoded

    def add(self, digest: str, blocks: Iterable[bytes]) -> None:
        """Write content; it gets its name when it is whole, never where `blocks` raises."""
        path = self.path(digest)
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{path.name}.part")
        try:
            with part.open("wb") as stream:
                for block in blocks:
                    stream.write(block)
            part.replace(path)
        except BaseException:
            part.unlink(missing_ok=True)
            raise

    def link(self, digest: str, source: Path) -> bool:
        """Have a file be the content as well, as a hard link; False where that cannot be.

        It cannot be where the file is not there, or is on another file system, or on one without
        links, or has too many of them.
        """
        path = self.path(digest)
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(source, path)
        except OSError:
            return False
        return True

    def remove(self, digest: str) -> None:
        """Take content away again."""
        self.path(digest).unlink()

    def finish(self, entries: Iterable[Entry]) -> None:
        """Make it a layout, when all content is there."""
        (self._directory / MARK).write_bytes(MARK_CONTENT)
        # Of the whole machine at once: syncing each of many small files takes minutes.
        os.sync()
        part = self._directory / f".{INDEX}.part"
        part.write_bytes(_index_content(entries))
        part.replace(self._directory / INDEX)


def _index_content(entries: Iterable[Entry]) -> bytes:
    """Return what `index.json` holds: those with tags first."""
    ordered = sorted(entries, key=lambda entry: (not entry.tag, entry.tag, entry.digest))
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_INDEX,
        "manifests": [entry.to_json() for entry in ordered],
    }
    return json.dumps(document, indent=1).encode() + b"\n"
