"""What is drawn on a terminal, by `rich`: rows of what is under way, tables, colours.

All that comes in here is text, and is never read as markup of `rich`: `[red]` is five characters.
Colours follow NO_COLOR. Not for threads: a `Console` lets in one at a time.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import TextIO, cast

from rich.console import Console as Terminal
from rich.console import Group, RenderableType
from rich.constrain import Constrain
from rich.live import Live
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.table import Table as Grid
from rich.text import Text

from airflow_provider_harbor.core.cli.tables import Kind, Table
from airflow_provider_harbor.core.cli.under_way import Rate, Row, Sum
from airflow_provider_harbor.core.human import human_left, human_rate, human_size
from airflow_provider_harbor.core.texts import own_lines, printable

_STYLES: dict[Kind, str] = {
    "": "",
    "good": "green",
    "warn": "yellow",
    "bad": "red",
    "soft": "dim",
}
# A project's name gets no more than so many columns, and less where there is little room.
_MOST_NAME = 28
# Cells are filled with spaces, which nobody wants to copy.
_END_SPACES = re.compile(r" *((?:\x1b\[0m)?) *\n")
# A terminal writes ^C behind what is drawn, and a line that wraps by that could not be erased.
_ECHO_COLUMNS = 3
# Below that many columns there is no room for a bar.
_BAR_COLUMNS = 70


class _Gentle(io.TextIOBase):
    """A stream that can break without anybody being told: a backup goes on without its terminal."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._stream.encoding or "utf-8"

    def isatty(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._stream.fileno()

    def write(self, text: str, /) -> int:
        # RuntimeError: a signal's handler writes while its thread is in the midst of writing.
        with suppress(OSError, RuntimeError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError, RuntimeError):
            self._stream.flush()


class _Steady(Terminal):
    """A terminal whose cursor is never hidden: a process that is killed could not show it again."""

    def show_cursor(self, show: bool = True) -> bool:
        return False


def _open(stream: TextIO) -> Terminal:
    return _Steady(
        file=stream,
        force_terminal=True,
        force_interactive=True,
        force_jupyter=False,
        highlight=False,
        markup=False,
        emoji=False,
        legacy_windows=False,
    )


class Screen:
    """The terminal of a command: lines that stay, and below them rows that are drawn anew.

    Args:
        stream: The terminal.
    """

    def __init__(self, stream: TextIO) -> None:
        self._terminal = _open(cast("TextIO", _Gentle(stream)))
        self._live: Live | None = None

    def write(self, lines: Iterable[tuple[str, Kind]]) -> None:
        """Write lines that stay, above the rows."""
        texts = [Text(text, style=_STYLES[kind]) for text, kind in lines]
        self._terminal.print(*texts, sep="\n", soft_wrap=True)

    def draw(self, rows: Sequence[Row], sums: Sum | None, work: Sequence[Row]) -> None:
        """Draw rows in place of those that were drawn before.

        Args:
            rows: Projects that are under way.
            sums: What all projects come to; None where there are none.
            work: What else is under way.
        """
        if not rows and not work:
            self.stop()
            return
        columns = max(self._terminal.width - _ECHO_COLUMNS, 10)
        drawn = Constrain(_draw(rows, sums, work, columns), columns)
        if self._live is None:
            self._live = Live(
                drawn,
                console=self._terminal,
                auto_refresh=False,
                transient=True,
                redirect_stdout=False,
                redirect_stderr=False,
            )
            self._live.start(refresh=True)
        else:
            self._live.update(drawn, refresh=True)

    def stop(self) -> None:
        """Take the rows away."""
        if self._live:
            live, self._live = self._live, None
            live.stop()


def _draw(
    rows: Sequence[Row], sums: Sum | None, work: Sequence[Row], columns: int
) -> RenderableType:
    numbered = [row for row in rows if row.how_far]
    parts: list[RenderableType] = []
    width = max((Text(row.name).cell_len for row in rows), default=0)
    width = min(max(width, len(sums.title) if sums else 0), _MOST_NAME, columns // 3)
    if numbered or sums:
        grid = _grid(width)
        has_bar = columns >= _BAR_COLUMNS
        if has_bar:
            grid.add_column(ratio=1)
        for _ in range(4):
            grid.add_column(justify="right", no_wrap=True)
        for row in numbered:
            far = row.how_far
            count = f"{far.done:,} of {far.total:,}" if far else ""
            cells = _cells(row.share, count, row.size_bytes, row.rate, row.left_seconds)
            grid.add_row(Text(printable(row.name)), *cells[not has_bar :])
        if sums and (sums.total > 1 or not numbered):
            cells = _cells(sums.share, "", sums.size_bytes, sums.rate, sums.left_seconds)
            grid.add_row(Text(sums.title), *cells[not has_bar :], style="bold")
        parts.append(grid)
    others = [(row.name, row.text) for row in rows if not row.how_far]
    if others:
        texts = _grid(width)
        texts.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
        for name, text in others:
            texts.add_row(Text(printable(name)), Text(printable(text), style="dim"))
        parts.insert(0, texts)
    parts += [
        Text(printable(row.line()), style="dim", no_wrap=True, overflow="ellipsis") for row in work
    ]
    return Group(*parts)


def _grid(width: int) -> Grid:
    grid = Grid.grid(padding=(0, 2, 0, 0), expand=True)
    grid.add_column(width=width, no_wrap=True, overflow="ellipsis")
    return grid


def _cells(
    share: float, count: str, size_bytes: int, rate: Rate, left: float | None
) -> list[RenderableType]:
    return [
        ProgressBar(total=1.0, completed=share, complete_style="cyan", finished_style="green"),
        count,
        human_size(size_bytes),
        human_rate(rate.bytes_per_second),
        human_left(left) if left else "",
    ]


# -- results


def render(parts: Iterable[str | Table], verdict: str, kind: Kind, encoding: str | None) -> str:
    """Return a result as a terminal shows it.

    Args:
        parts: Texts and tables.
        verdict: What the first text begins with, and is to be seen first.
        kind: Of the verdict.
        encoding: Of the terminal.
    """
    stream = io.StringIO()
    terminal = _open(stream)
    for number, part in enumerate(parts):
        if isinstance(part, Table):
            if grid := _table(part, terminal.width - 2):
                terminal.print(Padding(grid, (0, 0, 0, 2)))
            else:
                terminal.print(Text(own_lines(f"\n{part}")[1:]), soft_wrap=True)
            continue
        # As in a file: what does not begin the result is indented.
        text = Text(own_lines(part) if number == 0 else own_lines(f"\n{part}")[1:])
        if number == 0 and verdict and part.startswith(verdict):
            text.stylize(f"bold {_STYLES[kind]}".strip(), 0, len(verdict))
        terminal.print(text, soft_wrap=True)
    shown = _END_SPACES.sub(r"\1\n", stream.getvalue())
    return shown.encode(encoding or "utf-8", "replace").decode(encoding or "utf-8")


def _table(table: Table, columns: int) -> Grid | None:
    """Return a table that fits: what is too long for its column goes on below, in the column.

    No word is broken for that; None where there is no room for whole words.
    """
    widths = _widths([table.names, *table.rows], columns - 2 * (len(table.columns) - 1))
    if widths is None:
        return None
    # Two spaces between columns are columns of their own: padding is not in the width of one.
    grid = Grid(box=None, padding=0, pad_edge=False, header_style="bold")
    for index, (name, width) in enumerate(zip(table.names, widths, strict=True)):
        if index:
            grid.add_column(width=2)
        is_number = table.alignments[index] == ">"
        grid.add_column(name, justify="right" if is_number else "left", width=width)
    for row in table.rows:
        cells: list[Text] = []
        for cell in row:
            cells += [Text(), Text(printable(cell), style=_STYLES[table.kind_of(cell)])]
        grid.add_row(*cells[1:])
    return grid


def _widths(rows: Sequence[Sequence[str]], columns: int) -> list[int] | None:
    """Return how wide each column is: as wide as it wants to be, the first ones before the others.

    None where the longest words do not fit beside each other.
    """
    cells = list(zip(*rows, strict=True))
    widths = [max(map(_longest_word, column)) for column in cells]
    left = columns - sum(widths)
    for index, column in enumerate(cells):
        wanted = max(Text(printable(cell)).cell_len for cell in column)
        more = min(wanted - widths[index], max(left, 0))
        widths[index] += more
        left -= more
    return widths if left >= 0 else None


def _longest_word(cell: str) -> int:
    return max((Text(word).cell_len for word in printable(cell).split()), default=0)
