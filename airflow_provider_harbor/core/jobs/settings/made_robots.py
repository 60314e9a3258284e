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

from airflow_provider_harbor.core.exceptions import HarborConfigurationError, StoreError
from airflow_provider_harbor.core.jobs.settings.remembered import UNREADABLE, Remembered
from airflow_provider_harbor.core.store import layout
from airflow_provider_harbor.core.store.backup_store import BackupStore

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


class MadeRobots(Remembered):
    """The robots that imports of a store made at a Harbor, and whose secrets are not told.

    They are named as secrets are, see `secrets.secret_key`.

    Args:
        store: Where that is remembered.
        url: Of the Harbor.
    """

    def __init__(self, store: BackupStore, url: str) -> None:
        super().__init__(store, url, "robot", layout.made_robot)
        self._names: set[str] | None = None

    def fail(self, name: str, err: Exception) -> None:
        """Forget a robot, unless Harbor may have made it all the same."""
        if isinstance(err, HarborConfigurationError):
            self.end(name)
        else:
            super().fail(name, err)

    def _keep(self, name: str, number: int | None) -> None:
        self._names = None
        super()._keep(name, number)

    def is_untold(self, key: str, number: object) -> bool:
        """Tell whether the robot that is there, of that id, is one of them."""
        if self.path(key).rpartition("/")[2] not in self._known():
            return False
        try:
            is_remembered, made = self.read(key)
            return is_remembered and (made is None or str(made) == str(number))
        except UNREADABLE as err:
            # Its name says which one it is.
            log.warning("%s: %s", self.shown(key), err)
            return True

    def _known(self) -> set[str]:
        if self._names is None:
            self._names = set()
            with suppress(StoreError):
                self._names.update(self._files.list_names(layout.made_robots(self._url)))
        return self._names

    def end(self, name: str) -> None:
        """Forget a robot: somebody has its secret."""
        self._names = None
        super().end(name)
