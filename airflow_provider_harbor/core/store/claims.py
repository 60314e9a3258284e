"""Claims: how who writes a result makes sure that nobody deletes what it names.

A result is a claim on all that it names, from the moment that it is written. What it names was
found or written before, though, and somebody may have deleted it since. So, in this order: begin a
claim; look at the store, and write to it; write the result; `settle` the claim. See `layout`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor

from airflow_provider_harbor.core.exceptions import (
    IntegrityError,
    StoreReason,
    StoreUnreachableError,
)
from airflow_provider_harbor.core.store import layout
from airflow_provider_harbor.core.store.backup_store import BackupStore

log = logging.getLogger(__name__)

_LOOK_AGAIN_SECONDS = 2.0
_LONGEST_WAIT_SECONDS = 600.0
_READERS = 16
# What a result says whose claim was begun in the midst of a sweep: it is none's.
_UNSURE = "-"


class Claim:
    """A claim that is about to be made. Begin it before anything is believed of the store.

    Args:
        store: Where the result goes.

    Attributes:
        sweep: For the result: before which sweep it was begun.
    """

    def __init__(self, store: BackupStore) -> None:
        self._store = store
        begun = store.sweeps.read()
        self.sweep = _UNSURE if begun.is_going_on else begun.id

    def settle(self, project: str, inventory: str, contents: str) -> list[str]:
        """Find out what the result, which is written by now, names and the store lacks.

        Args:
            project: Name of the project.
            inventory: SHA-256 (hex) of its inventory.
            contents: Of its contents; empty where there are none.

        Returns:
            The paths of what is not there, one at least where anything is not; empty where all is,
            and stays.

        Raises:
            StoreUnreachableError: Somebody deletes for a long time, and may delete some of it.
            IntegrityError: The contents cannot be read.
        """
        return settle(self._store, self.sweep, project, inventory, contents)


def settle(
    store: BackupStore, sweep: str, project: str, inventory: str, contents: str
) -> list[str]:
    """Do what `Claim.settle` does, for a result that is there: `sweep` is what it says."""
    if store.sweeps.read().has_spared(sweep):
        return []
    lists = [layout.inventory(project, inventory)]
    if contents:
        lists.append(layout.contents(project, contents))
    _wait_while_doomed(store, lists)
    if missing := [path for path in lists if not store.files.exists(path)]:
        return missing
    # From here on the lists stay, since the result names them.
    named = dict(_iter_named(store, project, contents))
    _wait_while_doomed(store, named)
    return _missing(store, named)


def settle_files(store: BackupStore, sweep: str, paths: Collection[str]) -> list[str]:
    """Do what `settle` does, for what names files that name no others; the names stay there.

    Returns:
        Those that are not there.
    """
    if store.sweeps.read().has_spared(sweep):
        return []
    _wait_while_doomed(store, paths)
    return [path for path in paths if not store.files.exists(path)]


def _iter_named(store: BackupStore, project: str, contents: str) -> Iterator[tuple[str, int]]:
    """Yield path and size in bytes of all that contents name."""
    if contents:
        for _, found in store.inventories.iter_contents(project, contents):
            for content in found.values():
                for item in content.iter_sizes():
                    yield layout.blob(item.digest), item.size_bytes


def _missing(store: BackupStore, named: Mapping[str, int]) -> list[str]:
    with ThreadPoolExecutor(_READERS, thread_name_prefix="claims") as pool:
        sizes = pool.map(store.files.size, named)
        return [
            path
            for (path, wanted), size in zip(named.items(), sizes, strict=True)
            if size != wanted
        ]


def _wait_while_doomed(store: BackupStore, paths: Collection[str]) -> None:
    """Wait until no sweep goes on that may delete any of some files."""
    waited = 0.0
    while True:
        sweep = store.sweeps.read()
        if not sweep.is_going_on:
            return
        try:
            if store.sweeps.doomed(sweep).isdisjoint(paths):
                return
            if store.sweeps.is_over(sweep, store.now()):
                return
        except IntegrityError:
            if store.sweeps.is_current(sweep):
                raise
            continue  # it has ended meanwhile, and its marks are gone
        if waited >= _LONGEST_WAIT_SECONDS:
            raise StoreUnreachableError(
                StoreReason.OTHER,
                f"somebody on {sweep.host} prunes it, and may delete what is needed here. Run it "
                "again when that has ended; if it was killed, in an hour",
                where=store.url,
            )
        if not waited:
            log.info("Waiting until the prune on %s has ended", sweep.host)
        _sleep(_LOOK_AGAIN_SECONDS)
        waited += _LOOK_AGAIN_SECONDS


def _sleep(seconds: float) -> None:
    time.sleep(seconds)
