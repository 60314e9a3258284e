"""Where damaged content is used: a second pass over the lists, only where there is damage."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from airflow_provider_harbor.core.exceptions import HarborBackupError
from airflow_provider_harbor.core.harbor.records import Record
from airflow_provider_harbor.core.human import Progress, human_count
from airflow_provider_harbor.core.jobs.verification.lists import Lists
from airflow_provider_harbor.core.jobs.verification.report import Findings, Kind, Use
from airflow_provider_harbor.core.oci.names import is_digest
from airflow_provider_harbor.core.store.backup_store import BackupStore

_KEPT_USES = 50
# What says itself where it is used.
_SELF_TOLD = (Kind.LIST, Kind.RESULT, Kind.SETTINGS, Kind.SNAPSHOT, Kind.STORE, Kind.LACKING)


@dataclass(slots=True)
class _Sightings:
    """What is known of one artifact that has something damaged."""

    tags: set[str] = field(default_factory=set)
    nights: set[int] = field(default_factory=set)


class UsesSearch:
    """Finds the artifacts that have some content.

    Args:
        store: Whose lists are read.
        lists: Which.
        progress: Called with a line of text now and then.
    """

    def __init__(self, store: BackupStore, lists: Lists, progress: Progress) -> None:
        self._store = store
        self._lists = lists
        self._progress = progress
        self._found: dict[str, dict[tuple[str, str], _Sightings]] = defaultdict(dict)
        self._manifests: set[str] = set()

    def add_to(self, findings: Findings, where: Iterable[str]) -> None:
        """Say of the damages of some places where they are used."""
        damages = [
            damage
            for place in where
            for damage in findings.of(place)
            if damage.kind not in _SELF_TOLD and is_digest(damage.thing)
        ]
        if not damages:
            return
        wanted = frozenset(damage.thing for damage in damages)
        for number, ((project, inventory, contents), nights) in enumerate(
            sorted(self._lists.nights.items())
        ):
            self._progress(
                f"where damage is used: {number:,} of "
                f"{human_count(len(self._lists.nights), 'list')} searched"
            )
            if contents:
                self._search(wanted, project, inventory, contents, nights)
        for damage in damages:
            uses = self._uses(damage.thing)
            if damage.uses:  # where it was asked for comes first
                uses = _with_first(damage.uses[0], uses)
            findings.change(
                damage,
                uses=tuple(uses[:_KEPT_USES]),
                uses_in_all=len(uses),
                is_manifest=damage.is_manifest or damage.thing in self._manifests,
            )

    def _search(
        self,
        wanted: frozenset[str],
        project: str,
        inventory: str,
        contents: str,
        nights: list[int],
    ) -> None:
        """Look into one pair of lists; what cannot be read is a damage by itself."""
        hits: dict[tuple[str, str], set[str]] = {}
        try:
            for repository, manifests in self._store.inventories.iter_contents(project, contents):
                for content in manifests.values():
                    if content.digest in wanted:
                        self._manifests.add(content.digest)
                    named = {blob.digest for blob in content.iter_sizes()} & wanted
                    if named:
                        hits[repository, content.digest] = named
        except HarborBackupError:
            pass
        if not hits:
            return
        tags = self._tags(project, inventory, {repository for repository, _ in hits})
        for key, named in hits.items():
            for digest in named:
                sightings = self._found[digest].setdefault(key, _Sightings())
                sightings.tags |= tags.get(key, set())
                sightings.nights.update(nights)

    def _tags(
        self, project: str, inventory: str, repositories: set[str]
    ) -> dict[tuple[str, str], set[str]]:
        """Return the names of artifacts; what has none goes by those of its parents or subject."""
        found: dict[tuple[str, str], set[str]] = {}
        try:
            for repository, records in self._store.inventories.iter_repositories(
                project, inventory
            ):
                if repository in repositories:
                    by_digest = {record.digest: record for record in records}
                    for digest in by_digest:
                        found[repository, digest] = _names(digest, by_digest, set())
        except HarborBackupError:
            pass
        return found

    def _uses(self, digest: str) -> list[Use]:
        uses = [
            self._lists.use(
                repository, sorted(seen.nights), digest=artifact, tags=tuple(sorted(seen.tags))
            )
            for (repository, artifact), seen in self._found.get(digest, {}).items()
        ]
        return sorted(uses, key=lambda use: (not use.tags, use.repository, use.tags, use.digest))


def _with_first(first: Use, uses: list[Use]) -> list[Use]:
    key = (first.repository, first.digest)
    same = [use for use in uses if (use.repository, use.digest) == key]
    return [*(same or [first]), *(u for u in uses if (u.repository, u.digest) != key)]


def _names(digest: str, records: Mapping[str, Record], seen: set[str]) -> set[str]:
    record = records.get(digest)
    if record is None or digest in seen:
        return set()
    seen.add(digest)
    if record.tags:
        return {tag.name for tag in record.tags}
    above = [*record.parents, *([record.subject] if record.subject else [])]
    return {name for parent in above for name in _names(parent, records, seen)}
