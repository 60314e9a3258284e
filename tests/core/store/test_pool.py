"""The pool of a store, where some of its content is going to be deleted."""

from __future__ import annotations

from airflow_provider_harbor.core.oci.manifest import digest_of
from airflow_provider_harbor.core.store.backup_store import BackupStore
from airflow_provider_harbor.core.store.pool import Pool


def test_what_is_going_to_be_deleted_counts_as_absent(any_store: BackupStore) -> None:
    kept, marked, gone = (digest_of(content) for content in (b"kept", b"mark", b"gone"))
    any_store.pool.put_bytes(b"kept", kept)
    any_store.pool.put_bytes(b"mark", marked)
    pool = Pool(any_store.files, frozenset([marked]))
    assert [pool.has(digest, 4) for digest in (kept, marked, gone)] == [True, False, False]
    assert pool.find_absent({kept: 4, marked: 4, gone: 4}) == {marked, gone}
