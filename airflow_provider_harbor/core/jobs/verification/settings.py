"""Verify Harbor's settings in a store: each document is there, and is what its name says.

And it is of what each night has it for: the system, or that project.
"""

from __future__ import annotations

from collections.abc import Sequence

from airflow_provider_harbor.core.exceptions import HarborBackupError, IntegrityError
from airflow_provider_harbor.core.jobs.verification.report import Damage, Findings, Kind, Use
from airflow_provider_harbor.core.settings.kinds import SYSTEM
from airflow_provider_harbor.core.side_by_side import do_all
from airflow_provider_harbor.core.store import layout
from airflow_provider_harbor.core.store.backup_store import BackupStore
from airflow_provider_harbor.core.store.settings_files import NightSettings
from airflow_provider_harbor.core.store.snapshots import Snapshot

_READERS = 16


class SettingsCheck:
    """Reads each document of settings that a night names, once.

    Args:
        store: The store.
        findings: Where to.
    """

    def __init__(self, store: BackupStore, findings: Findings) -> None:
        self._store = store
        self._findings = findings

    def run(self, keys: Sequence[str], snapshots: Sequence[Snapshot]) -> None:
        """Look at the settings of some runs.

        Args:
            keys: Of all runs that are looked at.
            snapshots: Those of them that have ended, and can be read.
        """
        nights = {s.key: s.settings for s in snapshots if s.settings}
        # A run that has ended without settings has none; what it left of them nothing needs.
        for key in sorted(set(keys) - {s.key for s in snapshots}):
            if night := self._read_night(key):
                nights[key] = night
        users: dict[str, list[tuple[str, str]]] = {}
        for key, night in sorted(nights.items()):
            for scope in (SYSTEM, *night.projects):
                if sha256 := night.sha256_of(scope):
                    users.setdefault(sha256, []).append((key, scope))
        do_all(
            sorted(users), lambda sha256: self._read(sha256, users[sha256]), _READERS, "settings"
        )

    def _read_night(self, key: str) -> NightSettings | None:
        try:
            return self._store.settings.read_night(key)
        except IntegrityError as err:
            self._damage(layout.night_settings(key), err, [(key, "")])
            return None

    def _read(self, sha256: str, users: Sequence[tuple[str, str]]) -> None:
        path = layout.settings(sha256)
        try:
            document = self._store.settings.read(sha256)
        except IntegrityError as err:
            self._damage(path, err, users)
            return
        for key, scope in users:
            try:
                document.require_scope(scope)
            except ValueError as err:
                self._damage(layout.night_settings(key), IntegrityError(str(err)), [(key, scope)])

    def _damage(self, path: str, err: HarborBackupError, users: Sequence[tuple[str, str]]) -> None:
        keys = sorted({key for key, _ in users})
        scopes = sorted({scope for _, scope in users})
        message = str(err).removeprefix(self._store.files.url_of(path)).lstrip(": ")
        self._findings.add(
            Damage(
                kind=Kind.SETTINGS,
                where=self._store.url,
                thing=path,
                message=message,
                uses=tuple(
                    Use(
                        repository=scope or "the system",
                        first=keys[0],
                        last=keys[-1],
                        snapshots=len(keys),
                    )
                    for scope in scopes
                ),
                uses_in_all=len(scopes),
            )
        )
