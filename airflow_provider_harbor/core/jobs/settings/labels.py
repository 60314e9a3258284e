"""Labels on artifacts: which a night's inventories have, and the artifacts there have not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from airflow_provider_harbor.core.exceptions import (
    HarborAuthError,
    HarborBackupError,
    HarborNotFoundError,
    describe,
)
from airflow_provider_harbor.core.harbor.client import HarborClient
from airflow_provider_harbor.core.harbor.paths import artifact_path
from airflow_provider_harbor.core.human import human_count
from airflow_provider_harbor.core.jobs.settings.compare import Settings
from airflow_provider_harbor.core.jobs.settings.steps import Action, Stage, Step
from airflow_provider_harbor.core.settings.kinds import SYSTEM
from airflow_provider_harbor.core.settings.target import SettingsTarget
from airflow_provider_harbor.core.settings.writer import SettingsWriter
from airflow_provider_harbor.core.store.backup_store import BackupStore
from airflow_provider_harbor.core.store.snapshots import Snapshot
from airflow_provider_harbor.core.texts import one_line

# A repository's full name there, a digest, a label that is missing, and whose label it is: the
# project's, or the system's.
Missing = tuple[str, str, str, str]
Labels = Mapping[tuple[str, str], tuple[str, ...]]

_UNSURE = (
    "the backup has the names of labels only, and {} is one of the project and one of all "
    "projects. Put the right one there by hand: {}"
)
_SHOWN = 3


class ArtifactLabels:
    """The labels on the artifacts of a night.

    Args:
        client: A login at the Harbor that is to have them.
        store: Where the night is.
        key: Of the night; where its settings were exported alone, the next snapshot tells of the
            artifacts, or else the one before.
        target: The Harbor, by the names of its settings.
        wanted: The settings of the night, by the names that projects are to have.
    """

    def __init__(
        self,
        client: HarborClient,
        store: BackupStore,
        key: str,
        target: SettingsTarget,
        wanted: Settings,
    ) -> None:
        self._client = client
        self._store = store
        self._target = target
        self._settings = wanted
        self._snapshot = _snapshot_of(store, key)

    def steps(
        self, scopes: Mapping[str, str], *, is_plan: bool = False
    ) -> Iterator[tuple[Step, list[Missing]]]:
        """Yield a step for each project whose artifacts had labels, and what is missing.

        And one more for what is missing where nobody can tell which label it was.

        Args:
            scopes: New names of the projects by their old ones.
            is_plan: Whether the artifacts may come back before it is done.
        """
        for old, new in sorted(scopes.items()):
            if old == SYSTEM or self._snapshot is None or old not in self._snapshot.projects:
                continue
            wanted = self._wanted(self._snapshot.projects[old].inventory, old, new)
            if wanted:
                yield from self._steps(new, wanted, is_plan)

    def _wanted(self, inventory: str, old: str, new: str) -> Labels:
        return {
            (new + record.repository.removeprefix(old), record.digest): record.labels
            for record in self._store.inventories.iter_records(old, inventory)
            if record.labels
        }

    def _steps(
        self, project: str, wanted: Labels, is_plan: bool
    ) -> Iterator[tuple[Step, list[Missing]]]:
        there = self._there(project)
        missing: list[Missing] = []
        unsure: list[tuple[str, str]] = []
        for artifact, labels in sorted(wanted.items()):
            if not is_plan and artifact not in there:
                continue
            for label, number in sorted(Counter(labels).items()):
                owners = self._owners(project, label)
                if there.get(artifact, ()).count(label) >= number:
                    continue
                if len(owners) > number:
                    unsure.append((label, "{}@{:.19}".format(*artifact)))
                else:
                    missing += [(*artifact, label, owner) for owner in owners]
        absent = sum(key not in there for key in wanted)
        yield self._step(project, len(missing), absent, is_plan), missing
        if unsure:
            names = ", ".join(sorted({label for label, _ in unsure}))
            shown = [where for _, where in unsure[:_SHOWN]]
            if more := len(unsure) - len(shown):
                shown.append(f"and {more:,} more")
            why = _UNSURE.format(one_line(names, 100), ", ".join(shown))
            noun = human_count(len(unsure), "other label")
            yield self._labels(project, noun, Action.CANNOT, why), []

    def _step(self, project: str, missing: int, absent: int, is_plan: bool) -> Step:
        why, action = "", Action.CREATE if missing else Action.LEAVE
        if absent:
            why = f"{human_count(absent, 'artifact')} not there"
            why += " yet: they come back first" if is_plan else ". Restore first"
            action = action if is_plan else Action.CANNOT
        return self._labels(
            project, human_count(missing, "label") if missing else "labels", action, why
        )

    @staticmethod
    def _labels(project: str, noun: str, action: Action, why: str) -> Step:
        return Step(
            stage=Stage.AFTER,
            scope=project,
            kind="labels",
            noun=f"{noun} on artifacts",
            key="",
            action=action,
            why=why,
        )

    def _owners(self, project: str, label: str) -> list[str]:
        """Return whose a label of that name was: the project's, the system's, or both."""
        was = [scope for scope in (project, SYSTEM) if label in self._names(scope, label)]
        return was or [SYSTEM]

    def _names(self, scope: str, label: str) -> set[str]:
        """Return the labels of a scope at the night; those that are there, where it has none."""
        wanted = self._settings.get(scope, {}).get("labels")
        if wanted is not None:
            return {str(item.get("name")) for item in wanted}
        made = {label} if self._target.has_made(scope, "labels", label) else set()
        return {*self._target.settings.raws.get((scope, "labels"), {}), *made}

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
        """Put labels on artifacts; returns a line for each that failed."""
        failures = []
        for repository, digest, label, owner in missing:
            try:
                path = artifact_path(repository, digest)
                writer.label_artifact(project, path, owner, label)
            except HarborBackupError as err:
                failures.append(f"{repository}@{digest[:19]}: {describe(err)}")
        return failures


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
