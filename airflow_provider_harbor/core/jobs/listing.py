"""List a project into a store: what changed at Harbor, and the rest as the last inventory has it.

The last inventory is read alongside, one repository after the other, so that no more than a part of
a project is in memory. Nothing is kept before all of it turned out to be what was written.
"""

from __future__ import annotations

import heapq
import logging
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import datetime, timezone
from operator import itemgetter

from airflow_provider_harbor.core.exceptions import IntegrityError
from airflow_provider_harbor.core.harbor.client import HarborClient
from airflow_provider_harbor.core.harbor.earlier import fingerprint_of
from airflow_provider_harbor.core.harbor.inventory import InventoryWalk
from airflow_provider_harbor.core.harbor.records import Gap, Record
from airflow_provider_harbor.core.http.waiting import check_stopped
from airflow_provider_harbor.core.human import Progress
from airflow_provider_harbor.core.store.backup_store import BackupStore
from airflow_provider_harbor.core.store.inventories import InventoryRef
from airflow_provider_harbor.core.store.listed import Listed

log = logging.getLogger(__name__)


class _UnlikeEarlierError(Exception):
    """The last inventory is not there, or not what was listed."""


def _utc_now() -> datetime:
    return datetime.now(timezone.utc)


def list_project(
    client: HarborClient,
    store: BackupStore,
    project: str,
    *,
    progress: Progress | None = None,
    now: Callable[[], datetime] = _utc_now,
) -> tuple[InventoryRef, tuple[Gap, ...]]:
    """List a project, and return its inventory, and what could not be listed whole.

    Args:
        client: The login.
        store: Where the inventory goes.
        project: Name of the project.
        progress: Called with a line of text now and then.
        now: What tells the time; tests give another.

    Raises:
        HarborBackupError: Nothing could be listed, or the store cannot be written.
    """
    earlier = store.read_listed(client.url, project)
    try:
        return _list(client, store, project, earlier, progress, now)
    except _UnlikeEarlierError as err:
        log.info("%s. All of %s is listed", err, project)
    return _list(client, store, project, None, progress, now)


def _list(
    client: HarborClient,
    store: BackupStore,
    project: str,
    earlier: Listed | None,
    progress: Progress | None,
    now: Callable[[], datetime],
) -> tuple[InventoryRef, tuple[Gap, ...]]:
    listed_at = now()
    known = earlier.repositories if earlier else None
    walk = InventoryWalk(client, project, earlier=known, progress=progress, now=now)
    with store.inventories.write(project) as writer, closing(iter(walk)) as changed:
        unchanged = _iter_believed(walk, store, project, earlier) if earlier else ()
        # It begins with the walk, which knows by then what it believes.
        for _, records in heapq.merge(changed, unchanged, key=itemgetter(0)):
            check_stopped()
            writer.add(records)
        ref = InventoryRef(
            project=project,
            sha256=writer.finish(),
            counts=writer.counts,
            listed_at=listed_at.isoformat(timespec="microseconds"),
            gaps=len(walk.gaps),
        )
    made = Listed(inventory=ref.sha256, repositories=walk.seen)
    if made != earlier and (earlier or made.repositories is not None):
        store.write_listed(client.url, project, made)
    return ref, tuple(walk.gaps)


def _iter_believed(
    walk: InventoryWalk, store: BackupStore, project: str, earlier: Listed
) -> Iterator[tuple[str, list[Record]]]:
    """Yield what the last inventory has of the repositories that a walk believes to be unchanged.

    Raises:
        _UnlikeEarlierError: It is not there any more, or is not what that walk has seen.
    """
    left = (
        {name: earlier.repositories[name] for name in walk.believed} if earlier.repositories else {}
    )
    if not left:
        return
    try:
        for name, records in store.inventories.iter_repositories(project, earlier.inventory):
            seen = left.pop(name, None)
            if seen is None:
                continue
            if seen.fingerprint != fingerprint_of(records):
                raise _UnlikeEarlierError(f"the last inventory of {name} is not what was listed")
            yield name, records
    except IntegrityError as err:
        raise _UnlikeEarlierError(str(err)) from err
    for name, seen in left.items():
        if seen.fingerprint != fingerprint_of(()):
            raise _UnlikeEarlierError(f"the last inventory lacks {name}")
