"""Which nights have Harbor's settings, and what these were."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from airflow_provider_harbor.core.exceptions import (
    HarborBackupError,
    HarborConfigurationError,
    IntegrityError,
    describe,
)
from airflow_provider_harbor.core.jobs.choosing import LATEST
from airflow_provider_harbor.core.store.backup_store import BackupStore
from airflow_provider_harbor.core.store.claims import settle_files
from airflow_provider_harbor.core.store.layout import run_key
from airflow_provider_harbor.core.store.settings_files import NightSettings, SettingsDocument
from airflow_provider_harbor.core.texts import one_line

log = logging.getLogger(__name__)

# States of nights, see `NightSettings.state`: the best first.
_WORSE = ("", "incomplete", "limited")
# So many nights are looked at for one that has all: older ones are no picture of the present.
_MOST = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingsNight:
    """A night that has settings.

    Attributes:
        key: Name of the run's directory.
        settings: Which ones.
        passed_over: Keys of newer ones that have not all settings, with what is wrong with each.
    """

    key: str
    settings: NightSettings
    passed_over: tuple[tuple[str, str], ...] = ()

    def lines(self) -> list[str]:
        """Return as lines what one should know before these are taken for all."""
        lines = []
        if self.settings.state == "limited":
            names = one_line(", ".join(self.settings.projects), 200) or "none"
            lines.append(f"{self.key} is LIMITED: of the projects it has only {names}")
        elif self.settings.state:
            lines.append(f"{self.key} is INCOMPLETE: Harbor failed to answer for some of them")
        if self.passed_over:
            keys = ", ".join(f"{key} ({state})" for key, state in self.passed_over[:5])
            lines.append(f"{self.key} is taken for the latest, since newer ones have less: {keys}")
        return lines


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
            newest of those. One that has all settings rather than a newer one that has not.
        before: Only runs whose keys are less; empty for all. Then it is the newest, whatever it
            has.

    Raises:
        HarborConfigurationError: There is none.
        IntegrityError: It cannot be read.
    """
    keys = [key for key in store.snapshots.list_keys() if not before or key < before]
    key = run_key(wanted)
    named = [k for k in keys if k == key or k.endswith(f".{key}")]
    meant = keys if wanted == LATEST else named or [k for k in keys if k.startswith(key)]
    found = list(islice(_iter_nights(store, meant, is_first_enough=bool(before or named)), _MOST))
    if found:
        best = min(found, key=lambda night: _WORSE.index(night.settings.state))
        newer = found[: found.index(best)]
        return replace(best, passed_over=tuple((n.key, n.settings.state) for n in newer))
    what = "no settings of Harbor yet" if wanted == LATEST else f"no settings of {wanted!r}"
    if before:
        what = f"no settings of a night before {before}"
    raise HarborConfigurationError(
        f"the store {store.url} has {what}. Make them with: harbor-backup settings export"
    )


def _iter_nights(
    store: BackupStore, keys: Sequence[str], *, is_first_enough: bool
) -> Iterator[SettingsNight]:
    """Yield the nights that have settings, the newest first, up to one that has all of them."""
    is_first = True
    for key in reversed(keys):
        try:
            settings = read_night(store, key)
        except IntegrityError:
            if is_first:
                raise
            log.warning("The settings of %s cannot be read, and are passed over", key)
            continue
        if settings:
            is_first = False
            yield SettingsNight(key=key, settings=settings)
            if is_first_enough or not settings.state:
                return


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadDocuments:
    """The documents of a night.

    Attributes:
        found: By their scopes.
        damaged: Why others cannot be read, by theirs: they are gone or damaged.
    """

    found: Mapping[str, SettingsDocument]
    damaged: Mapping[str, str]


def read_documents(
    store: BackupStore, night: NightSettings, scopes: Iterable[str]
) -> dict[str, SettingsDocument]:
    """Return the documents of a night by their scopes, those that it has.

    Raises:
        IntegrityError: One is gone or damaged, or is of another scope.
    """
    return {
        scope: store.settings.read(sha256, scope)
        for scope in scopes
        if (sha256 := night.sha256_of(scope))
    }


def read_whole_documents(
    store: BackupStore, night: NightSettings, scopes: Iterable[str]
) -> ReadDocuments:
    """Return the documents of a night by their scopes, those that it has.

    One that is damaged is no reason to do without the others.

    Raises:
        HarborConfigurationError: One is of a newer format.
    """
    found: dict[str, SettingsDocument] = {}
    damaged: dict[str, str] = {}
    for scope in scopes:
        if not (sha256 := night.sha256_of(scope)):
            continue
        try:
            document = store.settings.read(sha256)
        except IntegrityError as err:
            damaged[scope] = describe(err)
            continue
        if document.scope == scope:
            found[scope] = document
        else:
            of = f"the project {document.scope}" if document.scope else "the system"
            damaged[scope] = f"the document that the night names for it is that of {of}"
    return ReadDocuments(found=found, damaged=damaged)


def damage_lines(damaged: Mapping[str, str]) -> list[str]:
    """Return a line for each document that cannot be read: of the system, or of which project."""
    return [
        f"{f'project {one_line(scope)}' if scope else 'the system'}: damaged: {one_line(why, 400)}"
        for scope, why in sorted(damaged.items())
    ]


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
