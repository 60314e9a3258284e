"""Sweeps of a store: what is going to be deleted, and whether somebody deletes at this moment.

Why this is safe whoever writes beside it is in `layout`, under "Deleting". All times are those of
the storage's clock, which is one for all machines.
"""

from __future__ import annotations

import socket
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone
from typing import Any

from airflow_provider_harbor.core.exceptions import LeaseError
from airflow_provider_harbor.core.harbor.records import first_line, line_of
from airflow_provider_harbor.core.store import layout
from airflow_provider_harbor.core.store.documents import (
    SHAPE_ERRORS,
    PackedLines,
    damage,
    dump,
    parse_object,
    read_lines,
)
from airflow_provider_harbor.core.store.files import Files
from airflow_provider_harbor.core.store.leases import has_died, this_process

# After so long nobody deletes any more by a sweep that was announced: who announced it was killed.
OVER = timedelta(hours=1)
_MARKS_KIND = "harbor-marks"


@dataclass(frozen=True, slots=True)
class Mark:
    """A file that nothing names.

    Attributes:
        path: Below the root of the store.
        since: When that was found first.
        is_doomed: Whether the sweep that goes on may delete it.
    """

    path: str
    since: datetime
    is_doomed: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return the object of a line."""
        return {"path": self.path, "since": self.since.isoformat(), "is_doomed": self.is_doomed}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Mark:
        """Read the object of a line."""
        since = datetime.fromisoformat(data["since"])
        if since.tzinfo is None:
            raise ValueError(f"the time {data['since']!r} has no time zone")
        return cls(str(data["path"]), since, bool(data["is_doomed"]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """The last sweep that was announced.

    Attributes:
        id: Another one for each sweep; empty where there was none.
        is_going_on: Whether it has not ended; it may have been killed, see `Sweeps.is_over`.
        announced_at: When it was announced (ISO 8601), for people; empty where there was none.
        host, process: Who announced it, see `leases.this_process`.
        marks: SHA-256 (hex) of the marks; empty where there are none.
        content: The file, as it was read; None where there is none.
    """

    id: str = ""
    is_going_on: bool = False
    announced_at: str = ""
    host: str = ""
    process: str = ""
    marks: str = ""
    content: bytes | None = field(default=None, repr=False, compare=False)

    def has_spared(self, sweep: str) -> bool:
        """Whether none was announced since a claim was begun; `sweep` is what the claim says."""
        return self.id == sweep and not self.is_going_on

    def to_json(self) -> dict[str, Any]:
        """Return what state.json holds."""
        return {
            "sweep": self.id,
            "is_going_on": self.is_going_on,
            "announced_at": self.announced_at,
            "host": self.host,
            "process": self.process,
            "marks": self.marks,
        }

    @classmethod
    def from_json(cls, data: dict[str, Any], content: bytes) -> Sweep:
        """Read state.json."""
        return cls(
            id=str(data["sweep"]),
            is_going_on=bool(data["is_going_on"]),
            announced_at=str(data["announced_at"]),
            host=str(data["host"]),
            process=str(data["process"]),
            marks=str(data["marks"]),
            content=content,
        )


class Sweeps:
    """The sweeps of a store. May be shared by threads.

    What all methods that read raise:
        IntegrityError: It cannot be read.
        HarborConfigurationError: It is of a newer format.
    """

    def __init__(self, files: Files) -> None:
        self._files = files

    def read(self) -> Sweep:
        """Return the last sweep."""
        try:
            content = self._files.read(layout.PRUNE_STATE)
        except FileNotFoundError:
            return Sweep()
        data = parse_object(self._files, layout.PRUNE_STATE, content)
        try:
            return Sweep.from_json(data, content)
        except SHAPE_ERRORS as err:
            raise damage(self._files, layout.PRUNE_STATE, err) from err

    def iter_marks(self, sweep: Sweep) -> Iterator[Mark]:
        """Yield the marks, sorted by path."""
        if sweep.marks:
            yield from read_lines(
                self._files, layout.marks(sweep.marks), sweep.marks, _MARKS_KIND, Mark.from_json
            )

    def doomed(self, sweep: Sweep) -> frozenset[str]:
        """Return the paths of what a sweep may delete that goes on."""
        return frozenset(mark.path for mark in self.iter_marks(sweep) if mark.is_doomed)

    def is_over(self, sweep: Sweep, now: datetime) -> bool:
        """Tell whether nobody deletes any more what a sweep doomed; `now` is the storage's clock.

        When it was announced is told by the storage, too: who announced it may have slept before.
        """
        if not sweep.is_going_on or has_died(sweep.process):
            return True
        try:
            return now - self._files.modified(layout.PRUNE_STATE) > OVER
        except FileNotFoundError:
            return True

    # -- for who deletes

    def announce(self, before: Sweep, marks: Iterable[Mark]) -> Sweep:
        """Announce a sweep. Only after that it may be read what is reached by now.

        Raises:
            LeaseError: Somebody else was faster.
        """
        return self._change(
            before,
            Sweep(
                id=uuid.uuid4().hex,
                is_going_on=True,
                announced_at=datetime.now(timezone.utc).isoformat(timespec="seconds"),
                host=socket.gethostname(),
                process=this_process(),
                marks=self._write_marks(marks),
            ),
        )

    def end(self, sweep: Sweep, marks: Iterable[Mark] | None = None) -> Sweep:
        """Say that a sweep has ended, and what is marked; without marks they stay as they are.

        Raises:
            LeaseError: Somebody has taken it for dead.
        """
        kept = sweep.marks if marks is None else self._write_marks(marks)
        return self._change(sweep, replace(sweep, is_going_on=False, marks=kept))

    def is_current(self, sweep: Sweep) -> bool:
        """Tell whether nobody else has announced one since, or ended it."""
        return self.read().content == sweep.content

    def _change(self, before: Sweep, after: Sweep) -> Sweep:
        content = dump(after.to_json())
        self._files.sync()
        if before.content is None:
            is_done = self._files.create(layout.PRUNE_STATE, content)
        else:
            is_done = before.content == content or self._files.replace(
                layout.PRUNE_STATE, before.content, content
            )
        if not is_done:
            raise LeaseError(
                f"somebody else prunes {self._files.url} at the same time. Run it again later"
            )
        return replace(after, content=content)

    def _write_marks(self, marks: Iterable[Mark]) -> str:
        # Written anew even if it is there: another prune may be about to delete an old file of it.
        with PackedLines(self._files, layout.marks, replaces=True) as lines:
            lines.add(first_line(_MARKS_KIND))
            number = 0
            for number, mark in enumerate(sorted(marks, key=lambda m: m.path), start=1):  # noqa: B007
                lines.add(line_of(mark.to_json()))
            return lines.finish() if number else ""
