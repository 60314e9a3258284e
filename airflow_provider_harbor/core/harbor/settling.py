"""Listing one repository again until it is quiet.

Harbor cannot show a repository as it was at one moment: pages are read one after the other, and
people push meanwhile. So one that changed while it was listed is listed again, until it was quiet
for the length of one listing, or two listings in a row were equal.
"""

from __future__ import annotations

from collections.abc import Callable

from airflow_provider_harbor.core.exceptions import (
    HarborNotFoundError,
    HarborProtocolError,
    HarborRouteError,
    UnsettledHarborError,
)
from airflow_provider_harbor.core.harbor.client import HarborClient
from airflow_provider_harbor.core.harbor.listing import Listing, list_repository
from airflow_provider_harbor.core.harbor.models import Repository
from airflow_provider_harbor.core.harbor.paths import split_repository

# How long to wait before a repository that goes on to change is listed again: half a minute in all,
# so that a pipeline gets to its end which pushes one tag after the other.
_PAUSES_SECONDS = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0)
# A repository that contradicts itself although nothing changes will not get better by waiting.
_QUIET_ROUNDS = 3


def settle(
    client: HarborClient,
    listings: dict[str, Listing],
    sleep: Callable[[float], None],
    name: str,
    *,
    workers: int = 1,
) -> None:
    """List one repository again until it is quiet.

    Args:
        client: The login.
        listings: Where its last listing is. It is replaced by the new one in any case, and taken
            away where the repository is gone.
        sleep: What waits, in seconds.
        name: Full name of the repository.
        workers: How many of its accessories are asked for at once.

    Raises:
        UnsettledHarborError: It goes on to change, or to contradict itself.
    """
    before = look_up(client, name)
    contradiction = ""
    quiet_rounds = rounds = 0
    while before and rounds < len(_PAUSES_SECONDS) and quiet_rounds < _QUIET_ROUNDS:
        sleep(_PAUSES_SECONDS[rounds])
        rounds += 1
        last, now = listings[name], list_repository(client, name, workers=workers)
        listings[name] = now
        after = look_up(client, name)
        if after:
            contradiction = now.contradiction(after.artifact_count)
            is_quiet = now == last or (client.tells_changes and is_same(before, after))
            if is_quiet and not contradiction:
                return
            quiet_rounds += is_quiet
        before = after
    if before is None:
        listings.pop(name, None)
        return
    raise UnsettledHarborError(
        f"{contradiction or 'it kept changing while it was listed'}, also when it was "
        f"listed again ({rounds} times). What was listed last is copied; a tag or an artifact "
        "that moved meanwhile may be missing. Run the project again; if it stays so and nobody "
        "pushes, Harbor's database is damaged there"
    )


def look_up(client: HarborClient, name: str) -> Repository | None:
    """Return one repository; None only where Harbor denies it and does not list it, either.

    Raises:
        HarborRouteError: A 404 came that does not say that the repository is gone.
        HarborProtocolError: Harbor denies it, and lists artifacts of it.
    """
    project, short_name = split_repository(name)
    try:
        return client.get_repository(project, short_name)
    except HarborNotFoundError as err:
        if not err.names(name):
            raise HarborRouteError(err) from err
    listed = client.find_repository(project, short_name)
    if listed is None and list_repository(client, name).artifacts:
        raise HarborProtocolError(
            "Harbor lists artifacts of it, and says that it is not there. Harbor's database is "
            "damaged there"
        )
    return listed


def is_same(before: Repository | None, after: Repository | None) -> bool:
    """Tell whether a repository shows no change, where Harbor's `update_time` tells changes.

    One that was deleted and made again has another id.
    """
    return (
        before is not None
        and after is not None
        and before.update_time is not None
        and (before.repository_id, before.update_time) == (after.repository_id, after.update_time)
    )
