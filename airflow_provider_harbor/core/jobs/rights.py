"""Who may delete: `forget` and `prune` alone need to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from airflow_provider_harbor.core.exceptions import StoreError, StoreReason
from airflow_provider_harbor.core.store.backup_store import BackupStore


@contextmanager
def deleting(store: BackupStore) -> Iterator[None]:
    """Say what to do where the store denies that something is deleted.

    Raises:
        StoreError: It does.
    """
    try:
        yield
    except StoreError as err:
        if err.reason is not StoreReason.DENIED:
            raise
        raise StoreError(
            StoreReason.DENIED,
            "it could be read, but nothing may be deleted there. Forget and prune need the right "
            "to delete (s3:DeleteObject), and nothing else does: give them a login of their own. "
            f"What was said: {err}",
            where=store.url,
        ) from err
