"""Tables of results, and what is cut short in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

# What something is, for who has colours; words always say it, too.
Kind = Literal["", "good", "warn", "bad", "soft"]


@dataclass(frozen=True, slots=True)
class Table:
    """A table, whose text has as many columns as it takes.

    Attributes:
        columns: Names of the columns.
        rows: What is in them.
        numbers: For each column `>` where it is aligned to the right, else another character.
        marks: Of which kind a cell is, by what it begins with.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    numbers: str = ""
    marks: Mapping[str, Kind] = field(default_factory=dict)

    @property
    def alignments(self) -> str:
        """A character for each column, see `numbers`."""
        return self.numbers.ljust(len(self.columns), "<")

    @property
    def names(self) -> list[str]:
        """Names of the columns, as they are shown."""
        return [column.upper() for column in self.columns]

    def kind_of(self, cell: str) -> Kind:
        """Return of which kind a cell is."""
        return next((kind for mark, kind in self.marks.items() if cell.startswith(mark)), "")

    def __str__(self) -> str:
        """Return it as lines of text, the first one with the names of the columns."""
        cells = [self.names, *self.rows]
        widths = [max(len(row[index]) for row in cells) for index in range(len(self.columns))]
        return "\n".join(
            "  ".join(
                cell.rjust(width) if alignment == ">" else cell.ljust(width)
                for cell, width, alignment in zip(row, widths, self.alignments, strict=True)
            ).rstrip()
            for row in cells
        )


def more(total: int, shown: int) -> list[str]:
    """Return a line that says how much is not shown; none where all is."""
    return [f"... and {total - shown:,} more (--limit, --json)"] if total > shown else []


def short_digest(digest: str) -> str:
    """Return the beginning of a digest, as much as tells it from others: `sha256:0123456789ab`."""
    algorithm, colon, encoded = digest.partition(":")
    return f"{algorithm}{colon}{encoded[:12]}"
