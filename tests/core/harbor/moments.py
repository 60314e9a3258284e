"""Moments in the listing of a project at which a test changes something."""

from __future__ import annotations

from collections.abc import Callable

from tests.double import Fault, HarborDouble

# A page of the repositories of the project `p`.
REPOSITORIES = r"/projects/p/repositories\?.*sort=repository_id"


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
