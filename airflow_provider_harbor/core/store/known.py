"""What a place is known to hold of some repositories, and the file that remembers it."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from airflow_provider_harbor.core.exceptions import HarborBackupError
from airflow_provider_harbor.core.harbor.earlier import Seen
from airflow_provider_harbor.core.harbor.records import Record
from airflow_provider_harbor.core.store import layout
from airflow_provider_harbor.core.store.documents import SHAPE_ERRORS, dump, pack
from airflow_provider_harbor.core.store.files import Files
from airflow_provider_harbor.core.store.inventories import Content


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What a place holds of one repository.

    Attributes:
        digests: Of its manifests.
        tags: Its tags, each with the digest that it names; empty for a store, where tags are in
            the inventory.
        asked: When the place itself was last asked for all of it; None where that is not known, or
            where it turned out not to hold.
        error: Why it could not be asked for; nothing is known then.
        contents: What its manifests are made of, where the place is a store.
        is_new: Whether nothing of it can be there, not even blobs that a run sent which was killed
            before it sent a manifest.
        seen: How a Harbor listed it, while nothing was written there since; None elsewhere, and
            where it has to be listed again.
    """

    digests: frozenset[str] = frozenset()
    tags: Mapping[str, str] = field(default_factory=dict)
    asked: datetime | None = None
    error: HarborBackupError | None = None
    contents: Mapping[str, Content] = field(default_factory=dict)
    is_new: bool = False
    seen: Seen | None = None

    def unsure(self) -> Held:
        """Return the same, but that it is to be asked for again."""
        return replace(self, asked=None, seen=None)

    @classmethod
    def of_records(cls, records: Iterable[Record]) -> Held:
        """Return what an inventory of the place says of one repository."""
        listed = list(records)
        return cls(
            digests=frozenset(record.digest for record in listed),
            tags={tag.name: record.digest for record in listed for tag in record.tags},
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What is remembered of a registry and a project.

    Attributes:
        held: By repository, what a registry is known to hold; of a Harbor only what need not be
            listed again as long as it did not change, see `harbor.earlier`.
        run: The run whose inventory was the newest that was copied there; empty where none is
            known.
        listed_at: When that inventory's listing began (ISO 8601, UTC).
    """

    held: Mapping[str, Held] = field(default_factory=dict)
    run: str = ""
    listed_at: str = ""

    def unsure(self) -> Known:
        """Return the same, but that all is to be asked for again."""
        return replace(self, held={name: held.unsure() for name, held in self.held.items()})


def read_known(files: Files, place: str, project: str) -> Known:
    """Return what is remembered of a registry and a project.

    Nothing where nothing is known, which anything that cannot be read is taken for.
    """
    try:
        data = json.loads(gzip.decompress(files.read(layout.known(place, project))))
        if data["format_version"] != layout.FORMAT_VERSION or data["place"] != place:
            return Known()
        return Known(
            held={name: _read_held(item) for name, item in data["repositories"].items()},
            run=_text(data["run"]),
            listed_at=_moment(data["listed_at"]),
        )
    except (FileNotFoundError, gzip.BadGzipFile, EOFError, zlib.error, *SHAPE_ERRORS):
        return Known()


def write_known(files: Files, place: str, project: str, known: Known) -> str:
    """Remember what a registry holds of a project; returns the path."""
    data = {
        "place": place,
        "run": known.run,
        "listed_at": known.listed_at,
        "repositories": {name: _held(held) for name, held in sorted(known.held.items())},
    }
    path = layout.known(place, project)
    files.write(path, pack(dump(data)))
    return path


def _read_held(data: Mapping[str, Any]) -> Held:
    if not isinstance(data["digests"], list) or not isinstance(data["tags"], dict):
        raise TypeError("digests are no list, or tags no object")
    return Held(
        digests=frozenset(map(_text, data["digests"])),
        tags={tag: _text(digest) for tag, digest in data["tags"].items()},
        asked=datetime.fromisoformat(_moment(data["asked"])) if data["asked"] else None,
        seen=Seen.from_json(data["seen"]) if data.get("seen") else None,
    )


def _text(data: object) -> str:
    if not isinstance(data, str):
        raise TypeError(f"{data!r} is no text")
    return data


def _moment(data: object) -> str:
    """Return a time in words that can be compared with another one; it may be empty."""
    moment = _text(data)
    if moment and datetime.fromisoformat(moment).utcoffset() != timedelta(0):
        raise ValueError(f"{moment} is not in UTC")
    return moment


def _held(held: Held) -> dict[str, Any]:
    return {
        "asked": held.asked.isoformat(timespec="seconds") if held.asked else "",
        "digests": sorted(held.digests),
        "tags": dict(sorted(held.tags.items())),
        **({"seen": held.seen.to_json()} if held.seen else {}),
    }
