"""Harbor's lists, page by page: all of each, and to its end.

Harbor counts what fits a query in each answer (`X-Total-Count`), so that a list that is cut short,
or has no end, can be told from a whole one.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from airflow_provider_harbor.core.exceptions import UnsettledHarborError
from airflow_provider_harbor.core.harbor.models import read_list
from airflow_provider_harbor.core.http.answers import Answer

T = TypeVar("T")

# More than a list of any Harbor has; of that many a walk would take days.
_MOST_ITEMS = 10_000_000
# So much may be pushed while a list is read; what grows more has no end.
_PUSHED_MEANWHILE = 100_000
# So often a list that cannot be read from id to id is read, to be seen the same twice running.
_ROUNDS = 5


def one_of(ids: Iterable[int]) -> str:
    """Return what `q` wants of a field that is any of some numbers: `{1 2 3}`.

    Source: Harbor src/lib/q/builder.go, parseOrList.
    """
    return f"{{{' '.join(map(str, ids))}}}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted(Generic[T]):
    """A list, and what Harbor counts of it.

    Attributes:
        items: Each once.
        ids: What tells them apart.
        total: How many Harbor counts.
        has_twins: Whether one was listed twice.
    """

    items: list[T]
    ids: frozenset[Hashable]
    total: int
    has_twins: bool


class PagedLists:
    """Reads lists; one page at a time is in memory.

    What all methods raise:
        HarborProtocolError: A page is no list, has no count or another order, or there is no end.
        UnsettledHarborError: A page is empty, and Harbor counts more.

    Args:
        ask: Sends a GET to a path of the REST API, with the query in `params`.
        page_size: Items for each page.
    """

    def __init__(self, ask: Callable[..., Answer], page_size: int) -> None:
        self._ask = ask
        self._page_size = page_size

    def iter_numbered(
        self, path: str, params: Mapping[str, str], read: Callable[[Any], T]
    ) -> Iterator[T]:
        """Yield items by page number: for lists that Harbor cannot filter by id.

        Args:
            path: Of the list.
            params: More of the query.
            read: Makes an item of what the list holds.
        """
        page = 0
        walk = _Walk()
        while True:
            items, total, answer = self._numbered(path, params, page + 1, read)
            walk.add(len(items), max(0, total - page * self._page_size), answer)
            yield from items
            page += 1
            # Never stop at a short page: Harbor has filtered pages after cutting them (#16816).
            if page * self._page_size >= total:
                return

    def list_counted(
        self,
        path: str,
        params: Mapping[str, str],
        read: Callable[[Any], T],
        id_of: Callable[[T], Hashable],
    ) -> Counted[T]:
        """Return all items, each once, and how many Harbor counts: it hides some that it counts.

        Of pages by number each item that is deleted meanwhile hides another one, and each new one
        shows another one twice. So what has more than one page, or not as many items as Harbor
        counts, is read again until it is the same twice running.

        Args:
            path: Of the list.
            params: More of the query.
            read: Makes an item of what the list holds.
            id_of: Returns what tells an item from all others.

        Raises:
            UnsettledHarborError: It was never the same twice running.
        """
        before: tuple[frozenset[Hashable], int] | None = None
        for _ in range(_ROUNDS):
            found, is_one_page = self._numbered_once(path, params, read, id_of)
            if is_one_page and len(found.items) == found.total:
                return found
            if before == (before := (found.ids, found.total)):
                return found
        raise UnsettledHarborError(
            f"{path}: it kept changing while it was read, {_ROUNDS} times over. Run it again when "
            "less is changed there"
        )

    def _numbered_once(
        self,
        path: str,
        params: Mapping[str, str],
        read: Callable[[Any], T],
        id_of: Callable[[T], Hashable],
    ) -> tuple[Counted[T], bool]:
        """Return the items of all pages, and whether it is one page."""
        found: dict[Hashable, T] = {}
        page, total, listed = 0, 1, 0
        walk = _Walk()
        while page * self._page_size < total:
            items, total, answer = self._numbered(path, params, page + 1, read)
            walk.add(len(items), len(items), answer)
            for item in items:
                found.setdefault(id_of(item), item)
            listed += len(items)
            page += 1
        whole = Counted(
            items=list(found.values()),
            ids=frozenset(found),
            total=total,
            has_twins=listed > len(found),
        )
        return whole, page == 1

    def count(self, path: str) -> int:
        """Return how many items Harbor counts in a list."""
        return self._page(path, {"page_size": 1}, lambda item: item)[1]

    def first_page(self, path: str, params: Mapping[str, str], read: Callable[[Any], T]) -> list[T]:
        """Return the first page only, see `iter_numbered`."""
        items, _, _ = self._numbered(path, params, 1, read)
        return items

    def iter_keyset(
        self,
        path: str,
        key: str,
        read: Callable[[Any], T],
        key_of: Callable[[T], int],
        *,
        first: int | None = 0,
        filters: str = "",
        params: Mapping[str, str] | None = None,
        tell_count: Callable[[int], object] | None = None,
    ) -> Iterator[T]:
        """Yield items by rising id, each page from behind the last id of the one before.

        Page numbers would skip an item for each one deleted on an earlier page meanwhile.

        Args:
            path: Of the list.
            key: Name of the id in queries.
            read: Makes an item of what the list holds.
            key_of: Returns the id of an item.
            first: The least id there can be; None where that is not known.
            filters: More of `q`.
            params: More of the query.
            tell_count: Called before the first item, with how many Harbor counts in all.
        """
        walk = _Walk()
        while True:
            known = [filters] if filters else []
            known += [] if first is None else [f"{key}=[{first}~]"]
            query: dict[str, str | int] = {"sort": key, "page_size": self._page_size}
            query |= {"q": ",".join(known)} if known else {}
            items, remaining, answer = self._page(path, {**query, **(params or {})}, read)
            walk.add(len(items), remaining, answer)
            if tell_count:
                tell_count(remaining)
                tell_count = None
            for item in items:
                if first is not None and key_of(item) < first:
                    raise answer.error(f"it is not in the order of {key}")
                first = key_of(item) + 1
                yield item
            if remaining <= len(items):
                return

    def _numbered(
        self, path: str, params: Mapping[str, str], number: int, read: Callable[[Any], T]
    ) -> tuple[list[T], int, Answer]:
        """Return a page by its number, from 1 on, see `_page`."""
        return self._page(path, {**params, "page": number, "page_size": self._page_size}, read)

    def _page(
        self, path: str, params: Mapping[str, str | int], read: Callable[[Any], T]
    ) -> tuple[list[T], int, Answer]:
        """Return the items of a page, Harbor's count of all that fit the query, and the answer."""
        answer = self._ask(path, params=params)
        items = answer.read(lambda data: list(map(read, read_list(data))))
        total = answer.number("X-Total-Count")
        if total is None:
            raise answer.error(
                "it has no X-Total-Count, so that nobody knows whether the list is whole. Does a "
                "proxy in front of Harbor take it away?"
            )
        return items, total, answer


class _Walk:
    """Makes sure that a list comes to its end, and to no other, whatever is pushed meanwhile."""

    def __init__(self) -> None:
        self._listed = 0
        self._counted: int | None = None

    def add(self, number: int, remaining: int, answer: Answer) -> None:
        """Note a page.

        Args:
            number: How many items it has.
            remaining: How many Harbor counts from its first one on.
            answer: What it was read from.
        """
        if self._counted is None:
            self._counted = remaining
        most = min(self._counted + _PUSHED_MEANWHILE, _MOST_ITEMS)
        if self._listed + max(number, remaining) > most:
            raise answer.error(
                f"the list has no end: Harbor counted {self._counted:,}, and goes on"
            )
        if remaining and not number:
            raise UnsettledHarborError(
                f"{answer}: Harbor counts {remaining:,} more, and lists none. Run it again; if it "
                "stays so, Harbor's database is damaged there"
            )
        self._listed += number
