"""Walks through the project `p` of a double: what it holds, what is asked, what goes wrong when."""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import unquote_plus

from airflow_provider_harbor.core.harbor.inventory import InventoryWalk
from airflow_provider_harbor.core.harbor.records import Gap, Record
from tests.core.rig import login
from tests.double import Fault, HarborDouble
from tests.double.content import Image

# A page of the repositories of the project `p`.
REPOSITORIES = r"/projects/p/repositories\?.*sort=repository_id"
JSON = "application/json"
VERSIONS = ["v2.15.2", "v2.15.1", "v2.11.0"]
Walked = list[tuple[str, list[Record]]]

# Changes of `p/r1` as `fill` makes it with three artifacts, and how many it has then.
CHANGES: dict[str, tuple[Callable[[HarborDouble], object], int]] = {
    "push": (lambda d: d.push("p/r1", Image("late"), "late"), 4),
    "tag": (lambda d: d.push("p/r1", Image("1 0"), "v1"), 3),
    "deletion": (lambda d: d.state.delete_artifact("p/r1", Image("1 0").digest), 2),
}


def behind_the_listing(
    harbor: HarborDouble, change: Callable[[HarborDouble], object], *, skip: int = 1
) -> Fault:
    """Change something once the project `p` is listed, before it is asked what changed meanwhile.

    Harbor 2.12 to 2.15.1 is asked for the artifacts again, others for the repositories.

    Args:
        harbor: The double.
        change: Called with it.
        skip: How many pages of that kind are read before; 1 for a project that is one batch.
    """
    is_second_look = (2, 12) <= harbor.state.version_numbers < (2, 15, 2)
    path = r"/projects/p/artifacts\?" if is_second_look else REPOSITORIES
    return harbor.faults.add(Fault(path=path, skip=skip, callback=change))


def forget(harbor: HarborDouble, name: str) -> None:
    harbor.state.forget_repository(harbor.state.repositories[name])


def before_batch(harbor: HarborDouble, number: int) -> int:
    """Return how many pages come before the look back at a batch, counted from 0."""
    return 2 * number + 1 if (2, 12) <= harbor.state.version_numbers < (2, 15, 2) else number + 1


def saying(status: int, body: str, content_type: str = JSON) -> Callable[[str], Fault]:
    """Return what makes faults: all requests to a path are answered so."""

    def fault(path: str) -> Fault:
        return Fault(
            path=path,
            status=status,
            body=body,
            content_type=content_type,
            headers={"X-Total-Count": "1"},
            times=None,
        )

    return fault


def fill(harbor: HarborDouble, *numbers: int) -> None:
    """Make repositories `p/r0`, `p/r1`, ... with so many artifacts each."""
    for index, number in enumerate(numbers):
        for each in range(number):
            harbor.push(f"p/r{index}", Image(f"{index} {each}"), f"v{each}")


def begin(harbor: HarborDouble) -> InventoryWalk:
    return InventoryWalk(login(harbor), "p", sleep=lambda seconds: None)


def go(harbor: HarborDouble) -> tuple[Walked, tuple[Gap, ...]]:
    walk = begin(harbor)
    return list(walk), walk.gaps


def sizes(walked: Walked) -> dict[str, int]:
    return {name: len(records) for name, records in walked}


def asked(harbor: HarborDouble) -> list[str]:
    """Return what was asked, in short: `artifacts r0 r1`, `repositories`, `of r0/artifacts`, ..."""
    names = {str(row.id): row.short_name for row in harbor.state.repositories.values()}
    shown = []
    for _, target, _ in harbor.requests.log:
        path, _, query = unquote_plus(unquote_plus(target)).partition("?")
        found = re.search(r"repository_id=\{([^}]*)\}", query)
        chosen = [names.get(number, "?") for number in found[1].split()] if found else []
        path = path.removeprefix("/api/v2.0/projects/p/").replace("repositories/", "of ", 1)
        shown.append(" ".join([path, *sorted(chosen)]))
    return shown
