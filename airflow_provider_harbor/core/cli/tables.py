"""Tables for a terminal: aligned columns, and nothing else."""

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
