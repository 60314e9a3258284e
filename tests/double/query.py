"""The `q` and `sort` parameters of list requests (src/lib/q/builder.go, src/lib/orm/query.go)."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import unquote_plus

from .wire import Request, bad_request, internal_error, milliseconds

Row = TypeVar("Row")
Fields = dict[str, Callable[[Any], Any]]
OPERATORS = ("icontains", "in", "gte", "lte", "gt", "lt", "exact")
TIMES = ("push_time", "pull_time", "creation_time", "update_time")


@dataclass(frozen=True)
class Fuzzy:
    value: str


@dataclass(frozen=True)
class Range:
    low: Any = None
    high: Any = None


@dataclass(frozen=True)
class OneOf:
    values: tuple[Any, ...]


@dataclass(frozen=True)
class AllOf:
    values: tuple[Any, ...]


def keywords_of(request: Request, ignored: Collection[str] = ()) -> dict[str, Any]:
    """Return the filters of a request: field to a value or one of the classes above."""
    text = request.query.get("q", "")
    if not text:
        return {}
    keywords: dict[str, Any] = {}
    # Harbor unescapes q once more than the rest of the query.
    for part in unquote_plus(text).split(","):
        key, _, value = part.partition("=")
        if not key or not value:
            raise bad_request('the query string must contain "=" and the key/value cannot be empty')
        keywords[key] = _pattern(value)
    return {key: value for key, value in keywords.items() if key not in ignored}


def _pattern(value: str) -> Any:
    wrong = bad_request(f"invalid query string value: {value}")
    if value[0] == "~":
        if len(value) < 2:
            raise wrong
        return Fuzzy(value[1:])
    if value[0] == "[":
        low, found, high = value[1:-1].partition("~")
        low, high = low.strip(), high.strip()
        if value[-1] != "]" or not found or "~" in high or not (low or high):
            raise wrong
        return Range(_value(low) if low else None, _value(high) if high else None)
    if value[0] in "{(":
        if value[-1] != {"{": "}", "(": ")"}[value[0]]:
            raise wrong
        values = tuple(each for each in map(_value, value[1:-1].split(" ")) if each != "")
        return OneOf(values) if value[0] == "{" else AllOf(values)
    return value.removeprefix("\\")


def _value(text: str) -> Any:
    text = text.strip()
    if re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", text):
        return milliseconds(text)
    if re.fullmatch(r"[+-]?\d+", text):
        return int(text)
    return text.strip("\"'")


def snake_case(key: str) -> str:
    """Return a column name; keys may be Go field names as well."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", key).lower()


def filtered(rows: Iterable[Row], keywords: dict[str, Any], fields: Fields) -> list[Row]:
    """Return the rows that fit. Keys that are no field are ignored, as Harbor ignores them."""
    tests = []
    for key, value in keywords.items():
        name, _, operator = key.partition("__")
        name = snake_case(name)
        if name in fields and (not operator or operator in OPERATORS):
            tests.append((fields[name], _test(name, operator, value)))
    return [row for row in rows if all(test(read(row)) for read, test in tests)]


def _test(name: str, operator: str, value: Any) -> Callable[[Any], bool]:
    if isinstance(value, Fuzzy):
        wanted = value.value.lower()
        return lambda seen: wanted in str(seen).lower()
    if isinstance(value, Range):
        return _between(name, value)
    if isinstance(value, OneOf):
        if not value.values:  # no filter to Harbor
            return lambda seen: True
        return lambda seen: any(seen == _as(name, seen, each) for each in value.values)
    if isinstance(value, AllOf):
        return lambda seen: True
    if operator == "icontains":
        return lambda seen: str(value).lower() in str(seen).lower()
    if operator in ("gte", "lte", "gt", "lt"):
        return _compare(name, operator, value)
    return lambda seen: bool(seen == _as(name, seen, value))


def _between(name: str, value: Range) -> Callable[[Any], bool]:
    def test(seen: Any) -> bool:
        if value.low is not None and seen < _as(name, seen, value.low):
            return False
        return value.high is None or bool(seen <= _as(name, seen, value.high))

    return test


def _compare(name: str, operator: str, value: Any) -> Callable[[Any], bool]:
    def test(seen: Any) -> bool:
        bound = _as(name, seen, value)
        return bool(
            {"gte": seen >= bound, "lte": seen <= bound, "gt": seen > bound, "lt": seen < bound}[
                operator
            ]
        )

    return test


def _as(name: str, seen: Any, value: Any) -> Any:
    """Return a value of a query as the column's type; what does not fit is a database error."""
    if name in TIMES and isinstance(value, str):
        moment = milliseconds(value)
        if moment is None:
            raise internal_error()
        return moment
    if isinstance(seen, int) and isinstance(value, str):
        if re.fullmatch(r"[+-]?\d+", value) is None:
            raise internal_error()
        return int(value)
    return str(value) if isinstance(seen, str) else value


def sorts_of(request: Request, fields: Fields) -> list[tuple[str, bool]]:
    """Return (field, descending) of the sort parameter, without what is no field."""
    sorts = []
    for each in request.query.get("sort", "").split(","):
        name = snake_case(each.removeprefix("-"))
        if name in fields:
            sorts.append((name, each.startswith("-")))
    return sorts


def ordered(
    rows: list[Row], request: Request, fields: Fields, default: list[tuple[str, bool]]
) -> list[Row]:
    """Return the rows sorted as asked, else by the default. Ties stay as they come."""
    for name, descending in reversed(sorts_of(request, fields) or default):
        rows = sorted(rows, key=fields[name], reverse=descending)
    return rows
