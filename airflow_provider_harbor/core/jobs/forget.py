"""Forget runs that a policy does not keep. What they named is deleted later, by `prune`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from airflow_provider_harbor.core.exceptions import HarborBackupError, IntegrityError
from airflow_provider_harbor.core.human import Progress, human_count
from airflow_provider_harbor.core.jobs.overview import forget_nights
from airflow_provider_harbor.core.jobs.rights import deleting
from airflow_provider_harbor.core.store import layout
from airflow_provider_harbor.core.store.backup_store import BackupStore
from airflow_provider_harbor.core.store.files import Entry
from airflow_provider_harbor.core.store.layout import is_of_settings
from airflow_provider_harbor.core.store.retention import (
    Decision,
    OtherRun,
    Policy,
    begun_at,
    decide,
)
from airflow_provider_harbor.core.store.snapshots import Snapshot

_AT_ONCE = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Forgotten:
    """What became of the runs of a store.

    Attributes:
        decisions: Of each run, the newest first.
        unreadable: What is wrong with those that cannot be read, by their keys; they are kept.
        dry_run: Whether it was only found out.
    """

    decisions: tuple[Decision, ...]
    unreadable: dict[str, str]
    dry_run: bool

    @property
    def kept(self) -> int:
        """How many runs stay."""
        return sum(decision.is_kept for decision in self.decisions) + len(self.unreadable)

    @property
    def forgotten(self) -> int:
        """How many runs go, or would go."""
        return sum(not decision.is_kept for decision in self.decisions)

    def summary_line(self) -> str:
        """Return it as a sentence."""
        number, kept = human_count(self.forgotten, "run"), f"{self.kept:,} kept"
        if self.dry_run:
            return f"Would forget {number}, {kept}"
        rest = ". What only they had is deleted by prune" if self.forgotten else ""
        return f"Forgot {number}, {kept}{rest}"


def forget(
    store: BackupStore,
    policy: Policy,
    *,
    now: datetime | None = None,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> Forgotten:
    """Forget all runs that a policy does not keep.

    Args:
        store: Whose runs.
        policy: What is to be kept.
        now: With a time zone; by default what the storage's clock says, or in a dry run, which
            writes nothing, this machine's.
        dry_run: Find out what would be forgotten, and change nothing.
        progress: Called with a line of text.

    Raises:
        HarborConfigurationError: There is no store, or one of a newer format.
        StoreError: It cannot be read; or it may not be deleted from.
    """
    _ = store.harbor_url  # that it is a store
    tell = progress or (lambda text: None)
    tell(f"reading the snapshots of {store.url}")
    if now is None:
        now = datetime.now().astimezone() if dry_run else store.now()
    backups = _by_run(store.files.iter_files(layout.SNAPSHOTS))
    restores = _by_run(store.files.iter_files(layout.RESTORES))
    snapshots, unreadable = _read(store, backups)
    ended = {snapshot.key for snapshot in snapshots}
    cut_short = {k: v for k, v in backups.items() if k not in ended | set(unreadable)}
    alone = {k: v for k, v in cut_short.items() if is_of_settings(k)}
    others = [
        *_others("cut short", {k: v for k, v in cut_short.items() if k not in alone}),
        *(run for key, entries in alone.items() for run in _settings_alone(store, key, entries)),
        *_others("restore", restores),
    ]
    decisions = decide(policy, snapshots, others, now)
    if not dry_run:
        gone = [decision for decision in decisions if not decision.is_kept]
        if gone:
            # First, since who looks at the nights believes what is kept of them in short.
            forget_nights(store, {decision.key for decision in gone})
        for number, decision in enumerate(gone, start=1):
            tell(f"forgetting {number:,} of {human_count(len(gone), 'run')}: {decision.key}")
            kind = restores if decision.state == "restore" else backups
            with deleting(store):
                _delete(store, [entry.path for entry in kind[decision.key]])
        if gone:
            for kind_name in (layout.SNAPSHOTS, layout.RESTORES):
                store.files.delete_empty_directories(kind_name)
    return Forgotten(decisions=tuple(decisions), unreadable=unreadable, dry_run=dry_run)


def _by_run(entries: Iterable[Entry]) -> dict[str, list[Entry]]:
    """Return files by the run to whose directory they belong."""
    found: dict[str, list[Entry]] = {}
    for entry in entries:
        found.setdefault(entry.path.split("/")[1], []).append(entry)
    return found


def _read(store: BackupStore, keys: Iterable[str]) -> tuple[list[Snapshot], dict[str, str]]:
    snapshots, unreadable = [], {}
    for key in keys:
        try:
            if snapshot := store.snapshots.read(key):
                begun_at(snapshot)
                snapshots.append(snapshot)
        except IntegrityError as err:
            unreadable[key] = str(err)
        except ValueError as err:
            unreadable[key] = f"nobody can tell when the snapshot {key} was begun: {err}"
    return snapshots, unreadable


def _others(kind: str, runs: dict[str, list[Entry]], *, is_ruled: bool = False) -> list[OtherRun]:
    return [
        OtherRun(
            key=key,
            kind=kind,
            written_at=max(entry.modified for entry in entries),
            is_ruled=is_ruled,
        )
        for key, entries in runs.items()
    ]


def _settings_alone(store: BackupStore, key: str, entries: list[Entry]) -> list[OtherRun]:
    """Return settings that were exported alone: whole ones count apart from those with less."""
    state = series = ""
    try:
        night = store.settings.read_night(key)
    except HarborBackupError:
        state = "unreadable"
    else:
        state = night.state if night else "cut short"
        if night and night.limited:
            series = ", ".join(sorted(night.projects))
    kind = f"settings, {state}" if state else "settings"
    runs = _others(kind, {key: entries}, is_ruled=True)
    return [replace(run, series=series) for run in runs]


def _delete(store: BackupStore, paths: Sequence[str]) -> None:
    """Delete the files of a run: first what makes it a snapshot, last its results.

    Killed anywhere it is a snapshot as before, or none any more; the next `forget` goes on.
    """
    ends = [
        path
        for name in ("partial.json", "snapshot.json")
        for path in paths
        if path.endswith(f"/{name}") and path.count("/") == 2
    ]
    for path in ends:
        store.files.delete([path])
    rest = [path for path in paths if path not in ends]
    for at in range(0, len(rest), _AT_ONCE):
        store.files.delete(rest[at : at + _AT_ONCE])
