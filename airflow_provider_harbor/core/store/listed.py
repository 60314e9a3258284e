"""What was listed of a project, and when, so that the next night lists only what changed."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass

from airflow_provider_harbor.core.harbor.earlier import Seen
from airflow_provider_harbor.core.store import layout
from airflow_provider_harbor.core.store.documents import SHAPE_ERRORS, dump, pack
from airflow_provider_harbor.core.store.files import Files


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """What the last listing of a project has seen.

    Attributes:
        inventory: SHA-256 of the inventory that holds all that was listed.
        repositories: By name, those that may be believed; None where nothing may.
    """

    inventory: str
    repositories: Mapping[str, Seen] | None


def read_listed(files: Files, harbor_url: str, project: str) -> Listed | None:
    """Return what the last listing of a project has seen.

    None where nothing is known, which anything that cannot be read is taken for.
    """
    try:
        data = json.loads(gzip.decompress(files.read(layout.listed(project))))
        if data["format_version"] != layout.FORMAT_VERSION or data["harbor_url"] != harbor_url:
            return None
        known = data["repositories"]
        return Listed(
            inventory=data["inventory"],
            repositories=None
            if known is None
            else {name: Seen.from_json(item) for name, item in known.items()},
        )
    except (FileNotFoundError, gzip.BadGzipFile, EOFError, zlib.error, *SHAPE_ERRORS):
        return None


def write_listed(files: Files, harbor_url: str, project: str, listed: Listed) -> str:
    """Keep what a listing of a project has seen; returns the path."""
    known = listed.repositories
    data = {
        "harbor_url": harbor_url,
        "inventory": listed.inventory,
        "repositories": None
        if known is None
        else {name: seen.to_json() for name, seen in sorted(known.items())},
    }
    path = layout.listed(project)
    files.write(path, pack(dump(data)))
    return path
