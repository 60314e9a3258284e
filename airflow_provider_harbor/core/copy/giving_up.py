"""When to try no more: where it is the server that fails, and not one artifact after the other."""

from __future__ import annotations

import threading
from collections import defaultdict

from airflow_provider_harbor.core.exceptions import (
    HarborAuthError,
    HarborBackupError,
    HarborConnectionError,
    HarborRateLimitError,
    HarborRefusedError,
    HarborServerError,
    NotTriedError,
    RefusalReason,
    StoreError,
    StoreReason,
)

# So many failures in a row that may not be the artifacts' own stop the rest of a repository, and
# so many repositories in a row that of the project: one broken repository must not keep the others
# from being copied, night after night.
_FAILURES = 5
_REPOSITORIES = 3
_SERVERS_ERRORS = (
    HarborConnectionError,
    HarborAuthError,
    HarborRateLimitError,
    HarborServerError,
)


class GivingUp:
    """Counts the failures of one copy. May be shared by threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rows: dict[str, int] = defaultdict(int)
        self._row_of_all = 0
        self._stopped: dict[str, HarborBackupError] = {}
        self._stopped_in_a_row: set[str] = set()
        self._stopped_all: HarborBackupError | None = None
        # By identity; kept, so that no other error gets the same one.
        self._counted: dict[int, HarborBackupError] = {}

    @property
    def reason(self) -> HarborBackupError | None:
        """Why all of the copy was given up; None as long as it was not."""
        with self._lock:
            return self._stopped_all

    def check(self, repository: str) -> None:
        """Raise `NotTriedError` where nothing more is to be tried."""
        with self._lock:
            reason = self._stopped_all or self._stopped.get(repository)
        if reason:
            raise NotTriedError(f"not tried, since those before it failed: {reason}")

    def succeeded(self, repository: str) -> None:
        """Note that an artifact was copied."""
        with self._lock:
            self._rows[repository] = self._row_of_all = 0
            self._stopped_in_a_row.clear()

    def failed(self, repository: str, err: HarborBackupError) -> None:
        """Note why an artifact was not."""
        is_of_all = isinstance(err, StoreError) or (
            isinstance(err, HarborRefusedError)
            and err.reason in (RefusalReason.READ_ONLY, RefusalReason.QUOTA)
        )
        if not is_of_all and not isinstance(err, _SERVERS_ERRORS):
            return
        with self._lock:
            # A layer that fails fails all the images that have it, with one and the same error.
            if id(err) in self._counted:
                return
            self._counted[id(err)] = err
            self._rows[repository] += 1
            self._row_of_all += is_of_all
            if self._rows[repository] >= _FAILURES:
                self._stopped.setdefault(repository, err)
                self._stopped_in_a_row.add(repository)
            # What is full takes the small ones still, and in the end none.
            is_full = isinstance(err, StoreError) and err.reason is StoreReason.FULL
            if (
                is_full
                or self._row_of_all >= _FAILURES
                or len(self._stopped_in_a_row) >= _REPOSITORIES
            ):
                self._stopped_all = self._stopped_all or err
