"""Labels on artifacts: which a night's inventories have, and the artifacts there have not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from airflow_provider_harbor.core.exceptions import (
    HarborAuthError,
    HarborBackupError,
    HarborNotFoundError,
    describe,
)
from airflow_provider_harbor.core.harbor.client import HarborClient
from airflow_provider_harbor.core.harbor.paths import artifact_path
from airflow_provider_harbor.core.harbor.settings_kinds import SYSTEM
from airflow_provider_harbor.core.harbor.settings_target import SettingsTarget
from airflow_provider_harbor.core.harbor.settings_writer import SettingsWriter
from airflow_provider_harbor.core.human import human_count
from airflow_provider_harbor.core.jobs.settings_steps import Action, Stage, Step
from airflow_provider_harbor.core.store.backup_store import BackupStore
from airflow_provider_harbor.core.store.snapshots import Snapshot

# A repository's full name there, a digest, and the label that is missing.
Missing = tuple[str, str, str]


class ArtifactLabels:
    """The labels on the artifacts of a night.

    Args:
        client: A login at the Harbor that is to have them.
        store: Where the night is.
        key: Of the night; where its settings were exported alone, the next snapshot tells of the
            artifacts, or else the one before.
        target: The Harbor, by the names of its settings.
    """

    def __init__(
        self, client: HarborClient, store: BackupStore, key: str, target: SettingsTarget
    ) -> None:
        self._client = client
        self._store = store
        self._target = target
        self._snapshot = _snapshot_of(store, key)

    def steps(
        self, scopes: Mapping[str, str], *, is_plan: bool = False
    ) -> Iterator[tuple[Step, list[Missing]]]:
        """Yield a step for each project whose artifacts had labels, and what is missing.

        Args:
            scopes: New names of the projects by their old ones.
            is_plan: Whether the artifacts may come back before it is done.
        """
        for old, new in sorted(scopes.items()):
            if old == SYSTEM or self._snapshot is None or old not in self._snapshot.projects:
                continue
            wanted = self._wanted(self._snapshot.projects[old].inventory, old, new)
            if wanted:
                yield self._step(new, wanted, is_plan)

    def _wanted(self, inventory: str, old: str, new: str) -> dict[tuple[str, str], tuple[str, ...]]:
        return {
            (new + record.repository.removeprefix(old), record.digest): record.labels
            for record in self._store.inventories.iter_records(old, inventory)
            if record.labels
        }

    def _step(
        self, project: str, wanted: Mapping[tuple[str, str], tuple[str, ...]], is_plan: bool
    ) -> tuple[Step, list[Missing]]:
        there = self._there(project)
        absent = sum(key not in there for key in wanted)
        missing = [
            (repository, digest, label)
            for (repository, digest), labels in sorted(wanted.items())
            for label in sorted(set(labels))
            if label not in there.get((repository, digest), ())
            and (is_plan or (repository, digest) in there)
        ]
        why, action = "", Action.CREATE if missing else Action.LEAVE
        if absent:
            why = f"{human_count(absent, 'artifact')} not there"
            why += " yet: they come back first" if is_plan else ". Restore first"
            action = action if is_plan else Action.CANNOT
        noun = human_count(len(missing), "label") if missing else "labels"
        step = Step(
            stage=Stage.AFTER,
            scope=project,
            kind="labels",
            noun=f"{noun} on artifacts",
            key="",
            action=action,
            why=why,
        )
        return step, missing

    def _there(self, project: str) -> dict[tuple[str, str], tuple[str, ...]]:
        """Return the labels of all artifacts of a project, none where there is no project."""
        try:
            return {
                (artifact.repository, artifact.digest): artifact.labels
                for artifact in self._client.iter_artifacts(project)
            }
        except (HarborNotFoundError, HarborAuthError):
            return {}

    def put(self, writer: SettingsWriter, project: str, missing: list[Missing]) -> list[str]:
        """Put labels on artifacts; returns a line for each that failed.

        An inventory has their names only: one that the project has, too, is meant to be its own.
        """
        failures = []
        for repository, digest, label in missing:
            own: Any = self._target.settings.raws.get((project, "labels"), {})
            try:
                path = artifact_path(repository, digest)
                scope = project if label in own or self._is_made(project, label) else SYSTEM
                writer.label_artifact(project, path, scope, label)
            except HarborBackupError as err:
                failures.append(f"{repository}@{digest[:19]}: {describe(err)}")
        return failures

    def _is_made(self, project: str, label: str) -> bool:
        return self._target.has_made(project, "labels", label)


def _snapshot_of(store: BackupStore, key: str) -> Snapshot | None:
    if found := store.snapshots.read(key):
        return found
    keys = store.snapshots.list_keys()
    later, earlier = [k for k in keys if k > key], [k for k in keys if k < key]
    for other in (*later, *reversed(earlier)):
        found = store.snapshots.read(other)
        if found and found.complete:
            return found
    return None
