"""What an import of settings is to bring back: of which night, which of it, under which names."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from airflow_provider_harbor.core.exceptions import HarborConfigurationError
from airflow_provider_harbor.core.harbor.check import is_meant
from airflow_provider_harbor.core.jobs.choosing import parse_renames
from airflow_provider_harbor.core.jobs.settings.compare import kinds_of
from airflow_provider_harbor.core.jobs.settings.forms import OddSetting, without_odd
from airflow_provider_harbor.core.jobs.settings.nights import SettingsNight, read_whole_documents
from airflow_provider_harbor.core.jobs.settings.renames import renamed
from airflow_provider_harbor.core.jobs.settings.secrets import GivenSecrets
from airflow_provider_harbor.core.jobs.settings.steps import Stage
from airflow_provider_harbor.core.settings.kinds import KIND_NAMES, PROJECT_KINDS, SYSTEM
from airflow_provider_harbor.core.store.backup_store import BackupStore

log = logging.getLogger(__name__)

ARTIFACT_LABELS = "artifact-labels"
_OF_PROJECTS = frozenset(kind.name for kind in PROJECT_KINDS)


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedSettings:
    """The settings of a night, by the names that projects are to have.

    Attributes:
        values: By scope, then by kind.
        damaged: Why others cannot be read, by their scope.
        odd: What is left out, since it has another form than it should.
        unknown: Names of kinds that only a newer program knows.
    """

    values: Mapping[str, Mapping[str, Any]]
    damaged: Mapping[str, str]
    odd: tuple[OddSetting, ...] = ()
    unknown: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingsImport:
    """What is to be brought back.

    Attributes:
        store: From where.
        night: Of which night.
        projects: Names and globs; empty for all.
        kinds: Names of kinds; empty for all.
        renames: New names of projects, as texts `old=new`.
        given: Secrets.
        passphrase: What opens sealed ones; empty where it is not known.
        delete_surplus: Whether what is there, and not in the export, is deleted.
        stages: Which part: before the artifacts are brought back, after that, or both.
    """

    store: BackupStore
    night: SettingsNight
    projects: Sequence[str] = ()
    kinds: Sequence[str] = ()
    renames: Sequence[str] = ()
    given: GivenSecrets = field(default_factory=GivenSecrets)
    passphrase: str = ""
    delete_surplus: bool = False
    stages: Sequence[Stage] = tuple(Stage)

    def scopes(self) -> dict[str, str]:
        """Return new names by old ones: of the system, and of the projects that are meant.

        Raises:
            HarborConfigurationError: A project, a kind or a new name is none.
        """
        names = [name for name in self.night.settings.projects if is_meant(name, self.projects, ())]
        if self.projects and not names:
            raise HarborConfigurationError(
                f"the settings of {self.night.key} have no such project: {', '.join(self.projects)}"
            )
        if unknown := sorted(set(self.kinds) - {*KIND_NAMES, ARTIFACT_LABELS}):
            raise HarborConfigurationError(
                f"there is no kind of settings {unknown[0]!r}. There are: "
                f"{', '.join((*KIND_NAMES, ARTIFACT_LABELS))}"
            )
        of_system = [k for k in self.kinds if k not in {*_OF_PROJECTS, ARTIFACT_LABELS}]
        if self.projects and of_system:
            raise HarborConfigurationError(
                f"{', '.join(of_system)}: of the system, of which nothing is brought back where "
                "projects are named. Leave out the one or the other"
            )
        renames = parse_renames(self.renames, names)
        scopes = {name: renames.get(name, name) for name in names}
        # Only some projects are meant: the system stays as it is.
        return scopes if self.projects else {SYSTEM: SYSTEM, **scopes}

    def incomplete(self) -> set[tuple[str, str]]:
        """Return scopes, by their new names, and kinds that the export has not whole."""
        scopes = self.scopes()
        return {(scopes.get(u.scope, u.scope), u.kind) for u in self.night.settings.unread}

    def is_meant(self, scope: str) -> bool:
        """Tell whether any of the kinds that are meant is one of the system, or of a project."""
        own = {kind.name for kind in kinds_of(scope)}
        if scope != SYSTEM:
            own.add(ARTIFACT_LABELS)
        return not self.kinds or not own.isdisjoint(self.kinds)

    def wanted(self) -> WantedSettings:
        """Return the settings by the names that projects are to have.

        Raises:
            WrongPassphraseError: The passphrase is not the one.
        """
        scopes = self.scopes()
        read = read_whole_documents(self.store, self.night.settings, scopes)
        documents = read.found
        if not self.passphrase and any(each.encryption for each in documents.values()):
            log.warning("Secrets in these settings are sealed. Give the passphrase to open them")
        unknown = {kind for each in documents.values() for kind in each.values} - {*KIND_NAMES}
        found: dict[str, Mapping[str, Any]] = {}
        odd: list[OddSetting] = []
        for old, document in documents.items():
            document, other = without_odd(document)
            odd += [replace(each, scope=scopes[old]) for each in other]
            opened = document.opened(self.passphrase) if self.passphrase else document
            found[scopes[old]] = renamed(opened.values, scopes)
        damaged = {scopes[old]: why for old, why in read.damaged.items()}
        return WantedSettings(
            values=found, damaged=damaged, odd=tuple(odd), unknown=tuple(sorted(unknown))
        )
