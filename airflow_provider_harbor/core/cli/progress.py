"""What the command line shows: the only place of this package that writes to a terminal.

Nothing that is written here moves a cursor or changes a colour but the line of progress itself, and
no words of others can begin a line, see `texts`.

Progress and errors go to stderr, results to stdout. On a terminal one line is updated in place;
elsewhere (a file, a service's journal) only lines that are worth keeping are written.
"""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, TextIO

from airflow_provider_harbor.core.texts import own_lines, printable

_SECONDS_BETWEEN_UPDATES = 0.1
_ERASE_LINE = "\r\x1b[K"


class Console:
    """The two streams of a command. May be used by threads.

    Args:
        stdout: Where results go.
        stderr: Where progress and errors go.
        quiet: Show errors and results only.
        clock: What tells seconds; tests give another.
    """

    def __init__(
        self,
        stdout: TextIO,
        stderr: TextIO,
        *,
        quiet: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stdout = stdout
        self._stderr = stderr
        self._quiet = quiet
        self._clock = clock
        self._is_terminal = stderr.isatty() and os.environ.get("TERM") != "dumb"
        # Reentrant, since a signal's handler may write while its own thread is writing.
        self._lock = threading.RLock()
        self._is_status_shown = False
        self._updated_at = float("-inf")

    def status(self, text: str) -> None:
        """Show how far things are: now and then, on a terminal only, gone with the next line."""
        now = self._clock()
        if now - self._updated_at >= _SECONDS_BETWEEN_UPDATES:
            self._show(text, now)

    def begin(self, text: str) -> None:
        """Show that something begins: as the status on a terminal, as a line elsewhere."""
        if self._is_terminal:
            self._show(text, self._clock())
        else:
            self.line(text)

    def line(self, text: str) -> None:
        """Write a line of progress that stays."""
        if not self._quiet:
            self.error(text)

    def error(self, text: str) -> None:
        """Write to stderr, whatever was asked for."""
        with self._lock:
            self.clear()
            self._write(own_lines(text) + "\n")

    def result(self, text: str) -> None:
        """Write to stdout, below whatever progress was shown."""
        self._write_result(own_lines(text))

    def document(self, data: Mapping[str, Any]) -> None:
        """Write to stdout as JSON, below whatever progress was shown."""
        text = json.dumps(data, ensure_ascii=False, indent=2)
        self._write_result("\n".join(map(printable, text.split("\n"))))

    def _write_result(self, text: str) -> None:
        self.clear()
        self._stdout.write(text + "\n")
        self._stdout.flush()

    def clear(self) -> None:
        """Take the status away."""
        with self._lock:
            if self._is_status_shown:
                self._is_status_shown = False
                self._write(_ERASE_LINE)

    def _show(self, text: str, now: float) -> None:
        if self._quiet or not self._is_terminal:
            return
        with self._lock:
            self._updated_at = now
            self._is_status_shown = True
            self._write(_ERASE_LINE + printable(text[: self._width()]))

    def _write(self, text: str) -> None:
        """Write to stderr; a terminal that is gone must not stop a backup."""
        # RuntimeError: a signal's handler writes while its thread is in the midst of writing.
        with suppress(OSError, RuntimeError):
            self._stderr.write(text)
            self._stderr.flush()

    def _width(self) -> int:
        """Return how much fits on one line: a longer text would wrap, and could not be erased."""
        try:
            columns = os.get_terminal_size(self._stderr.fileno()).columns
        except (OSError, ValueError):
            columns = 0
        return (columns or 80) - 1


class ConsoleHandler(logging.Handler):
    """Writes log records between the lines of a console."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console = console

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record."""
        try:
            self._console.error(self.format(record))
        except Exception:
            self.handleError(record)
