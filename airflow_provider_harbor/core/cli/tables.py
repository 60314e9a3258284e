"""Tables for a terminal, and what is cut short in them."""

from __future__ import annotations

from collections.abc import Sequence


def table(columns: Sequence[str], rows: Sequence[Sequence[str]], numbers: str = "") -> str:
    """Return a table as lines of text, the first one with the names of the columns.

    Args:
        columns: Names of the columns.
        rows: What is in them.
        numbers: For each column `>` where it is aligned to the right, else another character.
    """
    alignments = numbers.ljust(len(columns), "<")
    cells = [[column.upper() for column in columns], *rows]
    widths = [max(len(row[index]) for row in cells) for index in range(len(columns))]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if alignment == ">" else cell.ljust(width)
            for cell, width, alignment in zip(row, widths, alignments, strict=True)
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
