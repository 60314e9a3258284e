"""Robots that an import made, and whose secrets it has not told yet.

Harbor shows the secret of a robot once, when it is made. An import that is stopped between that and
telling it leaves a robot whose secret nobody knows, and the next one would find it as it should be;
so the store remembers it. It never has the secret itself.
"""

from __future__ import annotations

import enum
import logging
from collections.abc import Callable
from contextlib import suppress

from airflow_provider_harbor.core.exceptions import (
    HarborConfigurationError,
    HarborStatusError,
    IntegrityError,
    StoreError,
)
from airflow_provider_harbor.core.store import layout
from airflow_provider_harbor.core.store.backup_store import BackupStore
from airflow_provider_harbor.core.store.documents import SHAPE_ERRORS, dump, read_object

log = logging.getLogger(__name__)

_UNKNOWN = (
    "nobody knows its secret, since an import made it and could not tell. Refresh it in Harbor, "
    "and give the new one as {} at the next import; or delete the robot there, and import it again"
)


class Told(enum.Enum):
    """Whether somebody has a secret that was made."""

    NOW = "now"
    # The caller does it, and calls `MadeRobots.end` then.
    LATER = "later"
    NEVER = "never"


# Called with the key and the text of each secret that is made. One that returns nothing has it.
OnSecret = Callable[[str, str], Told | object]


def tell_nobody(key: str, secret: str) -> Told:
    """Keep no secret, as where nobody asks for them."""
    return Told.NEVER


def unknown(key: str) -> str:
    """Return what is to be said of a robot whose secret nobody knows; `key` is that of it."""
    return _UNKNOWN.format(key)


class MadeRobots:
    """The robots that imports of a store made at a Harbor, and whose secrets are not told.

    They are named as secrets are, see `settings_secrets.secret_key`.

    Args:
        store: Where that is remembered. One that cannot be written is no error.
        url: Of the Harbor.
    """

    def __init__(self, store: BackupStore, url: str) -> None:
        self._files = store.files
        self._url = url
        self._names: set[str] | None = None

    def begin(self, key: str) -> None:
        """Remember that a robot is going to be made."""
        self._keep(key, None)

    def made(self, key: str, number: int) -> None:
        """Remember that it was made, with its id."""
        self._keep(key, number)

    def fail(self, key: str, err: Exception) -> None:
        """Forget it, unless Harbor may have made it all the same."""
        is_refused = isinstance(err, HarborStatusError) and err.status < 500
        if is_refused or isinstance(err, HarborConfigurationError):
            self.end(key)

    def _keep(self, key: str, number: int | None) -> None:
        path = layout.made_robot(self._url, key)
        content = dump({"harbor_url": self._url, "robot": key, "robot_id": number})
        self._names = None
        try:
            self._files.write(path, content)
        except StoreError as err:
            log.warning("That this import makes %s cannot be kept in the store: %s", key, err)

    def is_untold(self, key: str, number: object) -> bool:
        """Tell whether the robot that is there, of that id, is one of them."""
        path = layout.made_robot(self._url, key)
        if path.rpartition("/")[2] not in self._known():
            return False
        try:
            data = read_object(self._files, path)
            if data is None or (data["harbor_url"], data["robot"]) != (self._url, key):
                return False
            return data["robot_id"] is None or str(data["robot_id"]) == str(number)
        except (HarborConfigurationError, IntegrityError, StoreError, *SHAPE_ERRORS) as err:
            # Its name says which one it is.
            log.warning("%s: %s", self._files.url_of(path), err)
            return True

    def _known(self) -> set[str]:
        if self._names is None:
            self._names = set()
            with suppress(StoreError):
                self._names.update(self._files.list_names(layout.made_robots(self._url)))
        return self._names

    def end(self, key: str) -> None:
        """Forget a robot: somebody has its secret."""
        self._names = None
        try:
            self._files.delete([layout.made_robot(self._url, key)])
        except StoreError as err:
            log.warning("That %s was told cannot be taken from the store: %s", key, err)
