"""What of a batch changed while it was listed.

Harbor 2.15.2 and newer tell it by each repository's time, which is compared with that from before
the listing. It is the repositories of the batch that are asked for, by their ids. The hundred that
changed last in the project would be one request as well, but leave doubts: a repository that is not
among them may have been deleted, or have changed before a hundred others did.

Older Harbors say nothing to rely on, so that all artifacts of the batch are listed a second time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable, Iterator

from airflow_provider_harbor.core.exceptions import (
    HarborAuthError,
    HarborBackupError,
    HarborConnectionError,
    HarborNotFoundError,
    HarborRateLimitError,
)
from airflow_provider_harbor.core.harbor.batches import SIDE_BY_SIDE, Batch, Repositories
from airflow_provider_harbor.core.harbor.client import HarborClient
from airflow_provider_harbor.core.harbor.listing import Listing
from airflow_provider_harbor.core.harbor.models import Artifact
from airflow_provider_harbor.core.harbor.paths import split_repository
from airflow_provider_harbor.core.harbor.settling import is_same
from airflow_provider_harbor.core.side_by_side import do_all

# What is no fault of one repository.
_OF_ALL = (HarborConnectionError, HarborAuthError, HarborRateLimitError)


def find_changes(
    client: HarborClient, repositories: Repositories, batch: Batch, skipped: Container[str]
) -> None:
    """Add to `Batch.changed` what changed, or may have, since the batch was read before.

    Args:
        client: The login.
        repositories: What the batch is of.
        batch: What was listed; its repositories are read again where Harbor tells changes.
        skipped: Names of repositories that need no second look.

    Raises:
        HarborBackupError: Harbor could not be asked.
    """
    if client.tells_changes:
        before = batch.repositories
        repositories.read_again(batch)
        batch.changed |= {
            name
            for name in batch.listings
            if not is_same(before.get(name), batch.repositories.get(name))
        }
        return
    if not client.lists_whole_projects:
        # The artifacts would not show a repository that came into being meanwhile.
        repositories.read_again(batch)
    try:
        if batch.is_by_path:
            batch.changed.update(_look_by_path(client, batch, skipped))
        else:
            batch.changed.update(_look(client, batch))
    except (*_OF_ALL, HarborNotFoundError):
        raise
    except HarborBackupError:
        batch.changed.update(batch.listings)  # each is settled by itself


def _look(client: HarborClient, batch: Batch) -> Iterator[str]:
    """Yield the names of repositories whose artifacts are not what was listed."""
    numbers: Counter[str] = Counter()
    for artifact in batch.iter_artifacts(client):
        name = artifact.repository
        numbers[name] += 1
        if name not in batch.listings or not _is_known(artifact, batch.listings[name]):
            yield name
    for name, listing in batch.listings.items():
        if numbers[name] != len(listing.artifacts):
            yield name


def _look_by_path(client: HarborClient, batch: Batch, skipped: Container[str]) -> set[str]:
    changed: set[str] = set()

    def look(name: str) -> None:
        try:
            artifacts = client.iter_artifacts(*split_repository(name))
            is_changed = _differs(artifacts, batch.listings[name])
        except _OF_ALL:
            raise
        except HarborBackupError:
            is_changed = True
        if is_changed:
            changed.add(name)

    names = [name for name in batch.listings if name not in skipped]
    do_all(names, look, SIDE_BY_SIDE, "changes")
    return changed


def _differs(artifacts: Iterable[Artifact], listing: Listing) -> bool:
    number = 0
    for artifact in artifacts:
        if not _is_known(artifact, listing):
            return True
        number += 1
    return number != len(listing.artifacts)


def _is_known(artifact: Artifact, listing: Listing) -> bool:
    return listing.artifacts.get(artifact.digest) == artifact
