"""Rows of settings, as a database keeps them, and how they are shown and listed."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import Any

from starlette.responses import Response

from .query import Fields, filtered, keywords_of, ordered
from .wire import Page, Request, answer, not_found, timestamp

Row = dict[str, Any]
Sorts = list[tuple[str, bool]]


class Table:
    """Rows of one kind, by their number, in the order in which a database finds them.

    Without `sort` a database gives rows as they lie there: those that were changed come last.
    """

    def __init__(self, now: Callable[[], int]) -> None:
        self._now = now
        self._last = 0
        self.rows: dict[int, Row] = {}

    def __iter__(self) -> Iterable[Row]:
        return iter(list(self.rows.values()))

    def __len__(self) -> int:
        return len(self.rows)

    def add(self, **values: Any) -> Row:
        self._last += 1
        now = self._now()
        row = {**values, "id": self._last, "creation_time": now, "update_time": now}
        self.rows[self._last] = row
        return row

    def change(self, row: Row, **values: Any) -> None:
        row.update(values, update_time=self._now())
        self.rows[row["id"]] = self.rows.pop(row["id"])

    def move(self, row: Row, number: int) -> None:
        """Give a row a number of one's choice; later ones go on from there."""
        del self.rows[row["id"]]
        row["id"] = number
        self.rows[number] = row
        self._last = max(self._last, number)

    def remove(self, row: Row) -> None:
        del self.rows[row["id"]]

    def get(self, number: Any) -> Row | None:
        """Return a row by its number, which may come as text out of a path."""
        try:
            return self.rows.get(int(number))
        except (TypeError, ValueError):
            return None

    def where(self, **values: Any) -> list[Row]:
        return [
            row
            for row in self.rows.values()
            if all(row.get(name) == value for name, value in values.items())
        ]

    def first(self, **values: Any) -> Row | None:
        return next(iter(self.where(**values)), None)

    def checked(self, number: Any, kind: str) -> Row:
        row = self.get(number)
        if row is None:
            raise not_found(f"{kind} {number} not found")
        return row


def shown(row: Row, *names: str, always: Collection[str] = ()) -> dict[str, Any]:
    """Return fields of a row as Go shows them: what is zero is left out, lists are not."""
    document = {}
    for name in sorted((*names, *always)):
        value = row.get(name)
        if name.endswith("_time"):
            document[name] = timestamp(value or 0)
        elif name in always or isinstance(value, list) or value:
            document[name] = value
    return document


def columns(*names: str) -> Fields:
    """Return the columns by which rows can be filtered and sorted."""
    return {name: (lambda row, name=name: row.get(name)) for name in names}  # type: ignore[misc]


def listed(
    request: Request,
    page: Page,
    rows: Iterable[Row],
    fields: Fields,
    show: Callable[[Row], Any],
    default: Sorts | None = None,
    **keywords: Any,
) -> Response:
    """Answer with a page of rows, filtered and sorted as asked."""
    found = filtered(rows, {**keywords_of(request), **keywords}, fields)
    found = ordered(found, request, fields, default or [])
    return answer([show(row) for row in found[page.window]], headers=page.headers(len(found)))
