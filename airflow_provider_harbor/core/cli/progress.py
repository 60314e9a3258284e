"""What the command line shows: the only place of this package that writes to a terminal.

Nothing that is written here moves a cursor or changes a colour but what `screen` draws, and no
words of others can begin a line, see `texts`.

Progress and errors go to stderr, results to stdout. On a terminal rows are drawn, and drawn anew
some times a second, below the lines that stay. Elsewhere (a file, a service's journal) there are
lines only, and of what takes long one now and then.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TextIO, cast

from airflow_provider_harbor.core.cli.tables import Kind, Table
from airflow_provider_harbor.core.cli.under_way import Projects, Row
from airflow_provider_harbor.core.texts import own_lines, printable

if TYPE_CHECKING:
    from typing_extensions import Self

    from airflow_provider_harbor.core.cli.screen import Screen

# So often a terminal is drawn anew, and a file looked at whether a line is due.
_DRAWN_SECONDS = 0.25
_LOOKED_SECONDS = 5.0

Part = str | Table


class Console:
    """The two streams of a command. May be used by threads.

    A context manager: in its block what is under way is shown again and again.

    Args:
        stdout: Where results go; None where the process has none.
        stderr: Where progress and errors go; likewise.
        quiet: Show errors and results only.
        clock: What tells seconds; tests give another.
    """

    def __init__(
        self,
        stdout: TextIO | None,
        stderr: TextIO | None,
        *,
        quiet: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stdout = stdout
        self._stderr = stderr
        self._quiet = quiet
        self._clock = clock
        self._is_terminal = _is_terminal(stderr)
        # Reentrant, since a signal's handler may write while its own thread is writing.
        self._lock = threading.RLock()
        self._screen: Screen | None = None
        self._lines: list[tuple[str, Kind]] = []  # that wait for the screen to be drawn
        self._work: Row | None = None
        self._projects: Projects | None = None
        self._ended = threading.Event()
        self._ticker = threading.Thread(target=self._tick_on, name="progress", daemon=True)

    def __enter__(self) -> Self:
        if not self._quiet:
            self._ticker.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._ended.set()
        if not self._quiet:
            self._ticker.join()
        self.clear()

    # -- what is under way

    def status(self, text: str) -> None:
        """Say how far the work is; shown now and then, and gone with `clear`."""
        if (work := self._work) is None:  # which another thread may clear meanwhile
            self._work = work = Row("", "", text, self._clock())
        work.text = text

    def begin(self, text: str) -> None:
        """Say that some work begins: as the status on a terminal, as a line elsewhere."""
        self._work = Row("", "", text, self._clock())
        if not self._is_terminal:
            self.line(text)

    def begin_projects(self, weights: Mapping[str, int]) -> None:
        """Say which projects will be taken, and how many repositories each one has."""
        self._work = None
        self._projects = Projects(weights, self._clock())

    def begin_project(self, place: str, name: str, text: str) -> None:
        """Say that a project begins; it is one of `begin_projects`."""
        if self._projects:
            self._projects.begin(place, name, text, self._clock())

    def tell_project(self, name: str, text: str) -> None:
        """Say how far a project is."""
        if self._projects:
            self._projects.tell(name, text)

    def end_project(self, name: str) -> None:
        """Say that a project has ended."""
        if self._projects:
            self._projects.end(name)

    def clear(self) -> None:
        """Take away what is shown of what is under way."""
        with self._lock:
            self._work = self._projects = None
            self._flush()
            if self._screen:
                self._screen.stop()

    def tick(self) -> None:
        """Show what is under way; called again and again."""
        if self._quiet:
            return
        with self._lock:
            now = self._clock()
            rows, sums = self._projects.look(now) if self._projects else ([], None)
            work = [self._work] if self._work else []
            if self._is_terminal:
                self._flush()
                if rows or work or self._screen:
                    self._get_screen().draw(rows, sums, work)
                return
            due = [row for row in (*rows, *work) if row.is_due(now)]
            for row in due:
                self.line(row.line())
            if sums and sums.total > 1 and any(row.how_far for row in due):
                self.line(sums.line())

    def _tick_on(self) -> None:
        seconds = _DRAWN_SECONDS if self._is_terminal else _LOOKED_SECONDS
        while not self._ended.wait(seconds):
            self.tick()

    # -- what stays

    def line(self, text: str, kind: Kind = "") -> None:
        """Write a line of progress that stays."""
        if self._quiet:
            return
        if not self._is_terminal:
            self.error(text)
            return
        with self._lock:
            # Together with the next drawing: a thousand projects may end in a second.
            self._lines.append((text, kind))
            if self._ended.is_set() or not self._ticker.is_alive():
                self._flush()

    def error(self, text: str, kind: Kind = "") -> bool:
        """Write to stderr, whatever was asked for; returns whether it could be written."""
        with self._lock:
            if self._is_terminal:
                self._lines.append((text, kind))
                self._flush()
                return True
            return self._write(own_lines(text) + "\n")

    def last_words(self, text: str) -> None:
        """Write to stderr at once, in the midst of whatever is being written, before the end."""
        self._write(("\n" if self._is_terminal else "") + own_lines(text) + "\n")

    def result(self, parts: Part | Sequence[Part], verdict: str = "", kind: Kind = "") -> None:
        """Write to stdout, below whatever progress was shown.

        Args:
            parts: Texts and tables.
            verdict: What the first one begins with, and is to be seen first.
            kind: Of the verdict.

        Raises:
            OSError: It cannot be written.
        """
        self.clear()
        stdout = self._result_stream()
        parts = [parts] if isinstance(parts, (str, Table)) else parts
        if _is_terminal(stdout):
            from airflow_provider_harbor.core.cli.screen import render

            text = render(parts, verdict, kind, stdout.encoding)
        else:
            text = own_lines("\n".join(map(str, parts))) + "\n"
        stdout.write(text)
        stdout.flush()

    def document(self, data: Mapping[str, Any]) -> None:
        """Write to stdout as JSON, below whatever progress was shown.

        Raises:
            OSError: It cannot be written.
        """
        self.clear()
        stdout = self._result_stream()
        text = json.dumps(data, ensure_ascii=False, indent=2)
        stdout.write("\n".join(map(printable, text.split("\n"))) + "\n")
        stdout.flush()

    def _result_stream(self) -> TextIO:
        if self._stdout is None or self._stdout.closed:
            raise OSError(errno.EBADF, "the process has no standard output")
        return self._stdout

    def _flush(self) -> None:
        if self._lines:
            lines, self._lines = self._lines, []
            self._get_screen().write([(own_lines(text), kind) for text, kind in lines])

    def _get_screen(self) -> Screen:
        if self._screen is None:
            # Only where something is drawn: it takes a tenth of a second to load.
            from airflow_provider_harbor.core.cli.screen import Screen

            self._screen = Screen(cast("TextIO", self._stderr))  # which is a terminal
        return self._screen

    def _write(self, text: str) -> bool:
        """Write to stderr; a stream that is gone must not stop a backup."""
        # RuntimeError: a signal's handler writes while its thread is in the midst of writing.
        # ValueError: it is closed.
        with suppress(OSError, RuntimeError, ValueError):
            if self._stderr is not None:
                self._stderr.write(text)
                self._stderr.flush()
                return True
        return False


def _is_terminal(stream: TextIO | None) -> bool:
    try:
        is_one = stream is not None and stream.isatty()
    except (OSError, ValueError):  # it is closed
        return False
    return is_one and os.environ.get("TERM") != "dumb"


class ConsoleHandler(logging.Handler):
    """Writes log records between the lines of a console."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console = console

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record."""
        kind: Kind = ""
        if record.levelno >= logging.WARNING:
            kind = "bad" if record.levelno >= logging.ERROR else "warn"
        try:
            self._console.error(self.format(record), kind)
        except Exception:
            self.handleError(record)
