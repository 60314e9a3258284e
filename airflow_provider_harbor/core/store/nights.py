"""All nights of a store in short, in one file: what a page of them needs, and nothing else.

It is made out of the snapshots, and may be lost: who needs a night that it lacks reads its
snapshot. Without it a page of 1,000 nights with 1,000 projects would have to read 270 MB.
"""

from __future__ import annotations

import gzip
import io
import json
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from airflow_provider_harbor.core.store import layout
from airflow_provider_harbor.core.store.documents import SHAPE_ERRORS, Packer
from airflow_provider_harbor.core.store.files import Files
from airflow_provider_harbor.core.store.snapshots import LARGEST, Snapshot

T = TypeVar("T")

_KIND = "harbor-nights"
# What a night has in place of a number where it has nothing of a project.
NOTHING = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class Night:
    """A snapshot in short. What it says of projects is by their numbers, see `Nights`.

    Attributes:
        key: That of the snapshot; sorts as time does.
        limited_to: As in the snapshot; empty for a run of all projects.
        digests, sizes: Number of digests and bytes of each project, `NOTHING` where the snapshot
            does not have it. May be shorter than the list of names.
        lacking: Numbers of the projects that are not whole in it, or were to be in it and are not.
        names_all: Whether it names every project that was to be backed up.
    """

    key: str
    run: str
    complete: bool
    destination: str
    started_at: str
    ended_at: str
    limited_to: tuple[str, ...]
    digests: tuple[int, ...]
    sizes: tuple[int, ...]
    lacking: frozenset[int]
    names_all: bool

    def size_of(self, number: int) -> int:
        """Return the bytes of a project; `NOTHING` where the snapshot does not have it."""
        return self.sizes[number] if number < len(self.sizes) else NOTHING

    def digests_of(self, number: int) -> int:
        """Return the digests of a project; `NOTHING` where the snapshot does not have it."""
        return self.digests[number] if number < len(self.digests) else NOTHING

    def is_whole(self, number: int) -> bool:
        """Tell whether all of a project is protected by it."""
        return self.size_of(number) != NOTHING and number not in self.lacking

    @property
    def size_bytes(self) -> int:
        """Bytes of all images, over all projects."""
        return sum(size for size in self.sizes if size != NOTHING)

    @property
    def protected(self) -> int:
        """Number of the projects that are whole in it."""
        return sum(self.is_whole(number) for number in range(len(self.sizes)))


@dataclass(slots=True)
class Nights:
    """The nights of a store, oldest first.

    Attributes:
        names: Names of projects; the place in this list is the number of a project.
        by_key: The nights, in no order.
    """

    names: list[str] = field(default_factory=list)
    by_key: dict[str, Night] = field(default_factory=dict)
    _numbers: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._numbers = {name: number for number, name in enumerate(self.names)}

    def in_order(self) -> list[Night]:
        """Return them, oldest first."""
        return [night for _, night in sorted(self.by_key.items())]

    def number_of(self, project: str) -> int:
        """Return the number of a project, which it has from now on."""
        if (number := self._numbers.get(project)) is None:
            number = self._numbers[project] = len(self.names)
            self.names.append(project)
        return number

    def add(self, snapshot: Snapshot) -> None:
        """Add a snapshot, in place of what is known of one with its key."""
        held = {self.number_of(name): item for name, item in snapshot.projects.items()}
        unlisted = {self.number_of(name) for name in snapshot.lacking or ()}
        length = max(held, default=-1) + 1
        self.by_key[snapshot.key] = Night(
            key=snapshot.key,
            run=snapshot.run,
            complete=snapshot.complete,
            destination=snapshot.destination,
            started_at=snapshot.started_at,
            ended_at=snapshot.ended_at,
            limited_to=snapshot.limited_to,
            digests=tuple(held[n].digests if n in held else NOTHING for n in range(length)),
            sizes=tuple(held[n].size_bytes if n in held else NOTHING for n in range(length)),
            lacking=frozenset(unlisted | {n for n, item in held.items() if not item.ok}),
            names_all=snapshot.complete or snapshot.lacking is not None,
        )

    def keep_only(self, keys: Iterable[str]) -> None:
        """Drop the nights with other keys; projects keep their numbers."""
        wanted = set(keys)
        self.by_key = {key: night for key, night in self.by_key.items() if key in wanted}


def read_nights(files: Files) -> Nights:
    """Return what is known of the nights; what cannot be read is taken for nothing known."""
    try:
        lines = gzip.decompress(files.read(layout.NIGHTS)).splitlines()
        head = json.loads(lines[0])
        if (head["kind"], head["format_version"]) != (_KIND, layout.FORMAT_VERSION):
            return Nights()
        nights = Nights(names=list(_texts(head["projects"])))
        if len(set(nights.names)) < len(nights.names):
            return Nights()
        for line in lines[1:]:
            night = _from_json(json.loads(line))
            nights.by_key[night.key] = night
        return nights
    except (FileNotFoundError, gzip.BadGzipFile, EOFError, zlib.error, IndexError, *SHAPE_ERRORS):
        return Nights()


def write_nights(files: Files, nights: Nights) -> None:
    """Keep what is known of the nights."""
    packed = io.BytesIO()
    head = {
        "format_version": layout.FORMAT_VERSION,
        "kind": _KIND,
        "projects": nights.names,
    }
    with Packer(packed) as stream:
        for data in (head, *map(_to_json, nights.in_order())):
            stream.write(json.dumps(data, separators=(",", ":")).encode() + b"\n")
    files.write(layout.NIGHTS, packed.getvalue())


def _from_json(data: Mapping[str, Any]) -> Night:
    """Return a night; whatever is not of its type raises, since a page would fail by it later."""
    return Night(
        key=_of(str, data["key"]),
        run=_of(str, data["run"]),
        complete=_of(bool, data["complete"]),
        destination=_of(str, data["destination"]),
        started_at=_of(str, data["started_at"]),
        ended_at=_of(str, data["ended_at"]),
        limited_to=_texts(data["limited_to"]),
        digests=_numbers(data["digests"], NOTHING),
        sizes=_numbers(data["sizes"], NOTHING),
        lacking=frozenset(_numbers(data["lacking"], 0)),
        names_all=_of(bool, data["names_all"]),
    )


def _of(kind: type[T], value: object) -> T:
    if type(value) is not kind:  # True is an int, too
        raise TypeError(f"{value!r} is no {kind.__name__}")
    return value


def _texts(value: object) -> tuple[str, ...]:
    return tuple(_of(str, item) for item in _of(list, value))


def _numbers(value: object, least: int) -> tuple[int, ...]:
    numbers = tuple(_of(int, item) for item in _of(list, value))
    if min(numbers, default=least) < least or max(numbers, default=least) > LARGEST:
        raise ValueError(f"a number is less than {least}, or more than {LARGEST}")
    return numbers


def _to_json(night: Night) -> dict[str, Any]:
    return {
        "key": night.key,
        "run": night.run,
        "complete": night.complete,
        "destination": night.destination,
        "started_at": night.started_at,
        "ended_at": night.ended_at,
        "limited_to": list(night.limited_to),
        "names_all": night.names_all,
        "lacking": sorted(night.lacking),
        "digests": list(night.digests),
        "sizes": list(night.sizes),
    }
