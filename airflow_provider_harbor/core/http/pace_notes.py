"""What results and reports say of the pace: how much each server got at once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from airflow_provider_harbor.core.human import human_count


@dataclass(frozen=True, slots=True, kw_only=True)
class PaceNote:
    """What a result keeps of the pace of a host.

    Attributes:
        process: Which process it was: the numbers of one grow from note to note.
        origin: Scheme, host and port.
        most: So many requests were in flight at once at most.
        pauses: How often the host asked to slow down.
        breaks: How often a connection broke.
    """

    process: str
    origin: str
    most: int
    pauses: int = 0
    breaks: int = 0

    def to_json(self) -> dict[str, Any]:
        """Return one item of a copy report's `pace`."""
        return {name: getattr(self, name) for name in self.__slots__}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> PaceNote:
        """Read what `to_json` returned."""
        return cls(
            process=str(data["process"]),
            origin=str(data["origin"]),
            most=int(data["most"]),
            pauses=int(data["pauses"]),
            breaks=int(data["breaks"]),
        )


def in_words(notes: Iterable[PaceNote]) -> dict[str, str]:
    """Return what notes of one or several processes say, by host."""
    last: dict[tuple[str, str], PaceNote] = {}
    for note in notes:
        seen = last.get((note.origin, note.process))
        if seen is None or (note.most, note.pauses, note.breaks) > (
            seen.most, seen.pauses, seen.breaks,
        ):  # fmt: skip
            last[note.origin, note.process] = note
    hosts: dict[str, list[PaceNote]] = {}
    for (origin, _), note in sorted(last.items()):
        hosts.setdefault(origin, []).append(note)
    return {origin: _words(of_host) for origin, of_host in hosts.items()}


def _words(notes: list[PaceNote]) -> str:
    text = f"at most {human_count(max(note.most for note in notes), 'request')} at once"
    if len(notes) > 1:
        text += f" in each of {len(notes)} processes"
    if pauses := sum(note.pauses for note in notes):
        text += f"; asked to slow down {_times(pauses)}"
    if breaks := sum(note.breaks for note in notes):
        text += f"; the connection broke {_times(breaks)}"
    return text


def _times(number: int) -> str:
    return "once" if number == 1 else f"{number:,} times"
