"""Words of others, made fit to be shown: printable, on one line, not endless.

A server can put anything into what it says: codes that move a terminal's cursor, new lines that
begin what looks like a message of ours, marks that turn the direction of writing, megabytes. None
of it may reach a terminal, a log, a report or a result.
"""

from __future__ import annotations

import reprlib

_MORE = "..."


def printable(text: str) -> str:
    """Return a text with a space for each white space, and `?` for what else cannot be printed.

    Unassigned and private characters count as not printable, and so do lone surrogates, which no
    file takes. The length stays the same.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else " " if c.isspace() else "?" for c in text)


def one_line(text: str, limit: int = 300) -> str:
    """Return what somebody else said as one line.

    Args:
        text: Their words.
        limit: How many characters are left of it at most.
    """
    line = text if text.isprintable() else " ".join(printable(text[: 4 * limit]).split())
    return line if len(line) <= limit else line[: limit - len(_MORE)] + _MORE


def own_lines(text: str) -> str:
    """Return a message of our own, of several lines maybe, as it may be written to a terminal.

    The last line of defence: should words of others be in it after all, a line that they begin is
    indented, so that it cannot pass for one of ours.
    """
    if text.isprintable():
        return text
    first, *others = map(printable, text.split("\n"))
    return "\n".join([first, *(f"  {o}" if o and not o.startswith("  ") else o for o in others)])


def shown(value: object, limit: int = 80) -> str:
    """Return a value that is not what it should be, in quotes if it is a text, and not endless."""
    short = reprlib.Repr()
    short.maxstring = short.maxother = short.maxlong = limit
    short.maxlevel = 2
    return one_line(short.repr(value), 2 * limit)
