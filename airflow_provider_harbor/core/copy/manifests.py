"""The manifests of a source, each fetched once, however many repositories need it."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable

from airflow_provider_harbor.core.copy.places import Source
from airflow_provider_harbor.core.harbor.records import Record
from airflow_provider_harbor.core.http.attempts import attempt
from airflow_provider_harbor.core.locks import KeyedLocks
from airflow_provider_harbor.core.oci.manifest import Manifest

# Those that were needed last are kept; the same artifact in several repositories is the exception.
_KEPT = 1_000
_KEPT_BYTES = 4 * 1024 * 1024


class Manifests:
    """Fetches manifests. May be shared by threads.

    Args:
        source: Where they are.
        sleep: What waits between attempts.
    """

    def __init__(self, source: Source, sleep: Callable[[float], None]) -> None:
        self._source = source
        self._sleep = sleep
        self._locks = KeyedLocks()
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, Manifest] = OrderedDict()
        self._kept_bytes = 0

    def get(self, record: Record) -> Manifest:
        """Return a record's manifest, see `Source.get_manifest`."""
        with self._locks.holding(record.digest):
            with self._lock:
                manifest = self._kept.get(record.digest)
            if manifest is None:
                manifest = attempt(lambda: self._source.get_manifest(record), sleep=self._sleep)
                self._keep(record.digest, manifest)
            return manifest

    def _keep(self, digest: str, manifest: Manifest) -> None:
        with self._lock:
            self._kept[digest] = manifest
            self._kept_bytes += len(manifest.content)
            while len(self._kept) > _KEPT or self._kept_bytes > _KEPT_BYTES:
                _, forgotten = self._kept.popitem(last=False)
                self._kept_bytes -= len(forgotten.content)
