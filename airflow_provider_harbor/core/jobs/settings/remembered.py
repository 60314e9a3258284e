"""What an import has made at a Harbor and has not ended, as the store remembers it.

An import may be stopped at any moment. What it made and did not come to the end with would look to
the next one as if somebody wanted it so.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

from airflow_provider_harbor.core.exceptions import (
    HarborConfigurationError,
    HarborStatusError,
    IntegrityError,
    StoreError,
)
from airflow_provider_harbor.core.store.backup_store import BackupStore
from airflow_provider_harbor.core.store.documents import SHAPE_ERRORS, dump, read_object

log = logging.getLogger(__name__)

# What `read` raises where what is remembered cannot be told.
UNREADABLE = (HarborConfigurationError, IntegrityError, StoreError, *SHAPE_ERRORS)


class Remembered:
    """Things of one kind that imports of a store made at a Harbor, and have not ended.

    Args:
        store: Where that is remembered. One that cannot be written is no error: then the next
            import says what it finds.
        url: Of the Harbor.
        noun: What such a thing is called; fields of the files are named by it.
        path_of: Returns where one is remembered, by the URL and its name.
    """

    def __init__(
        self, store: BackupStore, url: str, noun: str, path_of: Callable[[str, str], str]
    ) -> None:
        self._files = store.files
        self._url = url
        self._noun = noun
        self._path_of = path_of

    def path(self, name: str) -> str:
        """Return where it is remembered."""
        return self._path_of(self._url, name)

    def shown(self, name: str) -> str:
        """Return the whole address of that, for people."""
        return self._files.url_of(self.path(name))

    def begin(self, name: str) -> None:
        """Remember that one is going to be made."""
        self._keep(name, None)

    def made(self, name: str, number: int) -> None:
        """Remember that it was made, with its id."""
        self._keep(name, number)

    def fail(self, name: str, err: Exception) -> None:
        """Forget it, where Harbor refused to; a proxy's 5xx may hide that it did not."""
        if isinstance(err, HarborStatusError) and err.status < 500:
            self.end(name)

    def _keep(self, name: str, number: int | None) -> None:
        data = {"harbor_url": self._url, self._noun: name, f"{self._noun}_id": number}
        try:
            self._files.write(self.path(name), dump(data))
        except StoreError as err:
            log.warning("That this import makes %s cannot be kept in the store: %s", name, err)

    def read(self, name: str) -> tuple[bool, Any]:
        """Return whether it is remembered, and its id; None before it was made.

        Raises:
            HarborBackupError: It cannot be read; so any of `UNREADABLE`.
        """
        data: Mapping[str, Any] | None = read_object(self._files, self.path(name))
        if data is None or (data["harbor_url"], data[self._noun]) != (self._url, name):
            return False, None
        return True, data[f"{self._noun}_id"]

    def end(self, name: str) -> None:
        """Forget it: nothing is left to be done."""
        try:
            self._files.delete([self.path(name)])
        except StoreError as err:
            log.warning("That %s was made cannot be taken from the store: %s", name, err)
