"""Which nights have Harbor's settings, and what these were."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass, replace

from airflow_provider_harbor.core.exceptions import HarborBackupError, HarborConfigurationError
from airflow_provider_harbor.core.jobs.choosing import LATEST
from airflow_provider_harbor.core.store.backup_store import BackupStore
from airflow_provider_harbor.core.store.claims import settle_files
from airflow_provider_harbor.core.store.layout import run_key
from airflow_provider_harbor.core.store.settings_files import NightSettings, SettingsDocument

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingsNight:
    """A night that has settings.

    Attributes:
        key: Name of the run's directory.
        settings: Which ones.
    """

    key: str
    settings: NightSettings


def read_night(store: BackupStore, key: str) -> NightSettings | None:
    """Return which settings a run has; None where it has none.

    A snapshot names them itself; before it has ended, and where settings were exported alone, a
    file of its own does.

    Raises:
        IntegrityError: It cannot be read.
    """
    snapshot = store.snapshots.read(key)
    if snapshot and snapshot.settings:
        return snapshot.settings
    return store.settings.read_night(key)


def find_night(store: BackupStore, wanted: str = LATEST, *, before: str = "") -> SettingsNight:
    """Return a night that has settings.

    Args:
        store: Of which store.
        wanted: `latest`; or the name or key of a run; or a beginning of it, such as a date: the
            newest of those.
        before: Only runs whose keys are less; empty for all.

    Raises:
        HarborConfigurationError: There is none.
        IntegrityError: It cannot be read.
    """
    keys = [key for key in store.snapshots.list_keys() if not before or key < before]
    key = run_key(wanted)
    named = [k for k in keys if k == key or k.endswith(f".{key}")]
    meant = keys if wanted == LATEST else named or [k for k in keys if k.startswith(key)]
    for key in reversed(meant):
        if found := read_night(store, key):
            return SettingsNight(key=key, settings=found)
    what = "no settings of Harbor yet" if wanted == LATEST else f"no settings of {wanted!r}"
    if before:
        what = f"no settings of a night before {before}"
    raise HarborConfigurationError(
        f"the store {store.url} has {what}. Make them with: harbor-backup settings export"
    )


def read_documents(
    store: BackupStore, night: NightSettings, scopes: Iterable[str]
) -> dict[str, SettingsDocument]:
    """Return the documents of a night by their scopes, those that it has.

    Raises:
        IntegrityError: One is gone or damaged.
    """
    return {
        scope: store.settings.read(sha256) for scope in scopes if (sha256 := night.sha256_of(scope))
    }


def settled_night(store: BackupStore, run: str) -> tuple[NightSettings | None, str]:
    """Return which settings a run has, for its snapshot; and why it has none, or not all.

    What the snapshot names is there, whoever deletes beside it.
    """
    try:
        night = store.settings.read_night(run)
        if night is None:
            return None, ""
        missing = settle_files(store, night.sweep, night.paths)
    except HarborBackupError as err:
        # Whatever it is: the artifacts of the night are protected all the same.
        return None, str(err)
    if missing:
        return None, f"prune has deleted {missing[0]} meanwhile. Export the settings again"
    return replace(night, sweep="", run=""), ""
