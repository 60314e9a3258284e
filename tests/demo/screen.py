"""What the demo shows: lines that stay, and below them rows that change while something runs."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TextIO

_MARKS = {"waiting": "·", "running": "▸", "done": "✓", "failed": "✗", "skipped": "-"}
_PLAIN_MARKS = {"waiting": ".", "running": ">", "done": "+", "failed": "!", "skipped": "-"}
_COLOURS = {"waiting": "2", "running": "36", "done": "32", "failed": "31;1", "skipped": "2"}


@dataclass(frozen=True)
class Row:
    """One thing that is being done.

    Attributes:
        state: A key of `_MARKS`.
        text: What became of it so far.
    """

    name: str
    state: str
    text: str


class Screen:
    """Writes to a terminal, or anywhere else.

    On a terminal the rows are painted over. Elsewhere (a pipe, a log of continuous integration)
    a row is written when it has come to its end, and never again.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stdout
        terminal = self._stream.isatty() and os.environ.get("TERM", "dumb") != "dumb"
        self._repaints = terminal
        self._colours = terminal and not os.environ.get("NO_COLOR")
        self._marks = _MARKS if "utf" in (self._stream.encoding or "").lower() else _PLAIN_MARKS
        self._painted: list[str] = []
        self._settled: set[str] = set()

    def line(self, text: str = "") -> None:
        """Write a line that stays."""
        self._stream.write(f"{text}\n")
        self._stream.flush()

    def title(self, text: str) -> None:
        self.line(self._styled(text, "1"))

    def good(self, text: str) -> None:
        self.line(self._styled(text, "32;1"))

    def bad(self, text: str) -> None:
        self.line(self._styled(text, "31;1"))

    def fields(self, pairs: Sequence[tuple[str, str]]) -> None:
        """Write names and values, aligned with all others."""
        for name, value in pairs:
            self.line(f"  {name:<12}  {value}")

    def rows(self, rows: Sequence[Row]) -> None:
        """Show rows, in place of those that were shown before."""
        width = max((len(row.name) for row in rows), default=0)
        if self._repaints:
            self._repaint([self._painted_row(row, width) for row in rows])
            return
        for row in rows:
            if row.state in ("done", "failed", "skipped") and row.name not in self._settled:
                self._settled.add(row.name)
                self.line(f"  {self._marks[row.state]} {row.name:<{width}}  {row.text}")

    def keep(self) -> None:
        """Let the rows stay as they are; what comes next is written below."""
        self._painted = []
        self._settled = set()

    def _painted_row(self, row: Row, width: int) -> str:
        # What wraps cannot be painted over.
        room = shutil.get_terminal_size().columns - width - 7
        text = row.text if len(row.text) <= room else row.text[: max(room - 1, 0)] + "…"
        mark = self._styled(self._marks[row.state], _COLOURS[row.state])
        return f"  {mark} {row.name:<{width}}  {self._styled(text, '2') if text else ''}"

    def _repaint(self, lines: list[str]) -> None:
        # More rows than lines of the terminal cannot be painted over either: show the last ones.
        lines = lines[-(shutil.get_terminal_size().lines - 2) :]
        if lines == self._painted:
            return
        up = f"\x1b[{len(self._painted)}A" if self._painted else ""
        body = "".join(f"\r\x1b[K{line}\n" for line in lines)
        self._stream.write(f"{up}{body}\x1b[J")
        self._stream.flush()
        self._painted = lines

    def _styled(self, text: str, code: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self._colours else text
