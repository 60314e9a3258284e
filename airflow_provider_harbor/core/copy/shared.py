"""What several copies of one run have in common, when they go on side by side."""

from __future__ import annotations

import threading
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from airflow_provider_harbor.core.copy.places import Place, Source
from airflow_provider_harbor.core.copy.threads import Share, Throttled, end_all
from airflow_provider_harbor.core.locks import KeyedLocks
from airflow_provider_harbor.core.oci.manifest import Descriptor
from airflow_provider_harbor.core.oci.names import pack_digest

if TYPE_CHECKING:
    from typing_extensions import Self

# Of so many blobs it is remembered where they are; a layer that many images share stays among them.
_REMEMBERED = 50_000
# So many records are under way at once, of all copies, if they are of several repositories.
_WINDOW = 2_000


class Shared:
    """The threads of copies between two places, and where at the destination blobs are.

    A context manager: at the end of the block the threads have ended.

    Args:
        source: Where the content is.
        destination: Where it goes.
        workers: At most so many manifests, and so many blobs, are on their way at once.
        copies: At most so many copies share it at one time.

    Attributes:
        homes: Where blobs are at the destination, as far as this run knows.
        locks: One for each blob, by its digest.
        window: So many records a copy may have under way at once.
    """

    def __init__(self, source: Source, destination: Place, workers: int, copies: int = 1) -> None:
        if workers < 1:
            raise ValueError(f"workers is {workers}, not 1 or more")
        self.homes = Homes()
        self.locks = KeyedLocks()
        self.window = _WINDOW // copies
        places = (source, destination)

        def at_once() -> int:
            # Threads that only wait for the windows of both cost more than they bring.
            return min(workers, sum(place.window or workers for place in places))

        # What a step waits for has begun before it, since each pool begins things in the order in
        # which it was given them; so it is also when copies share them.
        self._pools = [
            Throttled(ThreadPoolExecutor(workers, thread_name_prefix=name), at_once)
            for name in ("step", "blob", "end")
        ]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """Wait for all threads; what has not begun never does."""
        end_all(self._pools)

    def shares(self) -> tuple[Share, Share, Share]:
        """Return a copy's own access to the threads: for steps, for blobs, and for ends."""
        steps, blobs, ends = (Share(pool) for pool in self._pools)
        return steps, blobs, ends


class Homes:
    """In which repository of the destination blobs are, as far as this run knows."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # By the bytes of the digest, which take a third of the memory of its text, and the size.
        self._homes: OrderedDict[bytes, str] = OrderedDict()

    def find(self, blob: Descriptor) -> str | None:
        """Return a repository that has a blob; None where none is known."""
        key = _key(blob)
        with self._lock:
            home = self._homes.get(key)
            if home is not None:
                self._homes.move_to_end(key)
            return home

    def add(self, blob: Descriptor, repository: str) -> None:
        """Note that a repository has a blob."""
        with self._lock:
            self._homes.setdefault(_key(blob), repository)
            if len(self._homes) > _REMEMBERED:
                self._homes.popitem(last=False)


def _key(blob: Descriptor) -> bytes:
    return pack_digest(blob.digest) + blob.size_bytes.to_bytes(
        (blob.size_bytes.bit_length() + 7) // 8, "big"
    )
