"""Repair what a verification found, and look at it again.

Content of the store comes from the source or the mirror; content that a registry has lost comes
from the store. Lists and results are made again, where that is possible, see `rebuild`.
Nothing else is touched.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace

from airflow_provider_harbor.core.exceptions import (
    HarborBackupError,
    HarborNotFoundError,
    IntegrityError,
    LeaseError,
    StoreError,
    describe,
    is_passing,
)
from airflow_provider_harbor.core.human import Progress, human_count
from airflow_provider_harbor.core.jobs.verification.lists import Lists
from airflow_provider_harbor.core.jobs.verification.rebuild import Rebuilding
from airflow_provider_harbor.core.jobs.verification.registry import RegistryUnderTest
from airflow_provider_harbor.core.jobs.verification.report import Damage, Findings, Kind, Stage
from airflow_provider_harbor.core.oci.manifest import (
    OCI_INDEX,
    OCI_MANIFEST,
    Manifest,
)
from airflow_provider_harbor.core.side_by_side import do_all
from airflow_provider_harbor.core.store import layout
from airflow_provider_harbor.core.store.backup_store import BackupStore
from airflow_provider_harbor.core.store.leases import Lease
from airflow_provider_harbor.core.store.pool_files import hash_blob
from airflow_provider_harbor.core.store.sweeps import Mark

log = logging.getLogger(__name__)

_OF_CONTENT = (Kind.MISSING, Kind.WRONG_SIZE, Kind.WRONG_CONTENT, Kind.UNREADABLE)
_NOBODY = "cannot be repaired: nobody that was asked has it"
_LEFT_ALONE = "is left alone, since a list that is damaged may name it"
_REMEDIES = {
    Kind.LIST: "cannot be repaired: restore the project from another night",
    Kind.SNAPSHOT: "cannot be repaired: restore from another night, and remove this one",
    Kind.RESULT: "cannot be written again, since the report of that night is gone or damaged, too",
    Kind.LACKING: "the next backup stores it, if Harbor still has it",
    Kind.TWO_SIZES: "cannot be repaired: restore from a night whose list has the file's own size",
    Kind.SETTINGS: "cannot be repaired: the next night has the settings of then",
    Kind.STORE: "write it anew, with the URL of the Harbor; the format is in core/store/layout.py",
}


class Repairs:
    """Finds out what can be repaired, and from where; and repairs it.

    Args:
        store: The store.
        lists: What its snapshots name.
        registries: The source and the mirror, as far as they are known.
        findings: What was found; what becomes of it is noted there.
        progress: Called with a line of text now and then.
        workers: How many things are repaired side by side.
    """

    def __init__(
        self,
        store: BackupStore,
        lists: Lists,
        registries: Sequence[RegistryUnderTest],
        findings: Findings,
        progress: Progress,
        workers: int,
    ) -> None:
        self._store = store
        self._lists = lists
        self._registries = registries
        self._findings = findings
        self._progress = progress
        self._workers = workers
        self._rebuilding = Rebuilding(store, lists)
        self._lock = threading.Lock()
        self._sweeping = threading.Lock()

    # -- what could be done

    def look(self) -> None:
        """Say of each damage whether it can be repaired, and from where; changes nothing."""
        unsaid = [d for d in self._damages() if not d.repaired and not d.remedy]

        def look(damage: Damage) -> None:
            self._findings.change(damage, remedy=self._remedy(damage))
            self._progress(f"asking who has {damage.thing}")

        do_all(unsaid, look, self._workers, "repair")

    def _damages(self) -> list[Damage]:
        """Return the damages: blobs before manifests, which are read for the lists that follow."""
        return sorted(
            self._findings.damages.values(),
            key=lambda damage: (damage.kind is Kind.LIST, damage.is_manifest, damage.thing),
        )

    def _remedy(self, damage: Damage) -> str:
        if damage.kind in _OF_CONTENT:
            return self._remedy_of_content(damage)
        if damage.kind is Kind.LOST:
            return self._remedy_of_lost(damage)
        return self._rebuilding.find(damage) or _REMEDIES.get(damage.kind, "cannot be repaired")

    def _remedy_of_lost(self, damage: Damage) -> str:
        if self._has_whole(damage.thing):
            return f"can be repaired from {self._store.url}"
        ours = self._findings.damages.get((self._store.url, damage.thing))
        if ours and self._remedy(ours).startswith("can be "):
            return "can be repaired once the store has it again"
        return _NOBODY

    def _remedy_of_content(self, damage: Damage) -> str:
        if not damage.uses:
            return _LEFT_ALONE if self._is_list_damaged() else "can be taken away"
        if not self._registries:
            return "whether the source or a mirror still has it, was not asked"
        remedy = _NOBODY
        for registry, repository in self._homes(damage):
            try:
                if damage.is_manifest:
                    registry.get_manifest(repository, damage.thing)
                else:
                    registry.prove_blob(repository, damage.thing, damage.size_bytes)
                return f"can be repaired from {registry.url}"
            except HarborBackupError as err:
                log.info("%s cannot be got: %s", damage.thing, err)
                if is_passing(err):
                    remedy = f"whether the {registry.name} has it could not be asked: {err}"
        return remedy

    def _homes(self, damage: Damage) -> Iterator[tuple[RegistryUnderTest, str]]:
        """Yield the places where content may be, those of the newest snapshots first."""
        uses = sorted(damage.uses, key=lambda use: use.last, reverse=True)
        repositories = list(dict.fromkeys(use.repository for use in uses))
        for registry in self._registries:
            for repository in repositories:
                yield registry, repository

    def _has_whole(self, digest: str) -> bool:
        try:
            return hash_blob(self._store.files, digest)[1] == digest
        except (HarborBackupError, FileNotFoundError):
            return False

    # -- doing it

    def run(self, leases: Callable[[str], Lease], stage: Stage) -> None:
        """Repair what can be, and look at each again.

        Args:
            leases: Returns the lease on a place, by its URL, not taken yet.
            stage: Where it is noted what was done.
        """
        open_damages = [damage for damage in self._damages() if not damage.repaired]
        # The store first: what it has again, it can give to a registry.
        places = dict.fromkeys([self._store.url, *(damage.where for damage in open_damages)])
        for place in places:
            of_place = [damage for damage in open_damages if damage.where == place]
            if not of_place:
                continue
            lease = leases(place)
            try:
                with lease:
                    self._repair_place(of_place, lease, stage)
            except HarborBackupError as err:
                stage.error = stage.error or describe(err)
            finally:
                lease.release()
        stage.what = f"{human_count(stage.checked, 'damage')} of {len(open_damages):,} repaired"

    def _repair_place(self, damages: list[Damage], lease: Lease, stage: Stage) -> None:
        def repair(damage: Damage) -> None:
            lease.check()
            self._progress(f"repairing {damage.thing}")
            self._repair(damage, stage)

        content = [damage for damage in damages if damage.kind in (*_OF_CONTENT, Kind.LOST)]
        blobs = [damage for damage in content if not damage.is_manifest]
        manifests = [damage for damage in content if damage.is_manifest]
        do_all(blobs, repair, self._workers, "repair")
        do_all(manifests, repair, self._workers, "repair")
        # A manifest may have had to wait for its children, which are manifests, too.
        do_all(self._still(manifests), repair, 1, "repair")
        others = [d for d in damages if d.kind not in (*_OF_CONTENT, Kind.LOST)]
        do_all(others, repair, 1, "repair")

    def _still(self, damages: list[Damage]) -> list[Damage]:
        now = (self._findings.damages[damage.where, damage.thing] for damage in damages)
        return [damage for damage in now if not damage.repaired]

    def _repair(self, damage: Damage, stage: Stage) -> None:
        try:
            how = self._repaired(damage)
        except (HarborBackupError, OSError) as err:
            self._findings.change(damage, remedy=f"was NOT repaired: {describe(err)}")
            return
        if not how:
            self._findings.change(damage, remedy=self._remedy(damage))
            return
        with self._lock:
            stage.checked += 1
        self._findings.change(damage, remedy=how, repaired=True)

    def _repaired(self, damage: Damage) -> str:
        """Repair one damage, and return how that was done; empty where it cannot be."""
        if damage.kind is Kind.LOST:
            (registry,) = [r for r in self._registries if r.url == damage.where]
            return self._give_back(damage, registry)
        if damage.kind in _OF_CONTENT:
            return self._fetch(damage) if damage.uses else self._take_away(damage)
        return self._rebuilding.run(damage)

    # -- the store

    def _fetch(self, damage: Damage) -> str:
        """Fetch content of the pool from whoever has it."""
        reasons: list[HarborBackupError] = []
        for registry, repository in self._homes(damage):
            try:
                if damage.is_manifest:
                    manifest = registry.get_manifest(repository, damage.thing)
                    self._store.pool.put_bytes(manifest.content, damage.thing)
                else:
                    registry.prove_blob(repository, damage.thing, damage.size_bytes)
                    with registry.registry.open_blob(
                        repository, damage.thing, damage.size_bytes
                    ) as reader:
                        self._store.pool.put(reader, damage.thing)
            except (StoreError, LeaseError):
                raise
            except HarborBackupError as err:
                reasons.append(err)
                continue
            self._store.files.sync()
            if hash_blob(self._store.files, damage.thing) != (damage.size_bytes, damage.thing):
                raise IntegrityError(
                    f"it was written again, and is still not the {damage.size_bytes:,} bytes that "
                    "it should be"
                )
            return f"repaired from {registry.url} {repository}"
        for reason in reasons:
            log.info("%s cannot be got: %s", damage.thing, reason)
            if is_passing(reason):
                raise reason
        return ""

    def _is_list_damaged(self) -> bool:
        kinds = (Kind.LIST, Kind.SNAPSHOT)
        return any(damage.kind in kinds for damage in self._findings.damages.values())

    def _take_away(self, damage: Damage) -> str:
        if self._is_list_damaged():
            return ""
        # A result of a run that has not ended may name it: so that is announced, see `layout`.
        with self._sweeping:
            sweeps, path = self._store.sweeps, layout.blob(damage.thing)
            before, now = sweeps.read(), self._store.now()
            if not sweeps.is_over(before, now):
                return ""
            marks: list[Mark] = []
            with suppress(IntegrityError):  # prune begins them anew then
                marks = [mark for mark in sweeps.iter_marks(before) if mark.path != path]
            sweep = sweeps.announce(before, [*marks, Mark(path, now, True)])
            try:
                self._store.files.delete([path])
            finally:
                sweeps.end(sweep, marks)
        return "taken away, since no snapshot names it; the next backup writes what it needs"

    # -- registries

    def _give_back(self, damage: Damage, registry: RegistryUnderTest) -> str:
        """Give a registry back what it has lost, and read it from there."""
        if not self._has_whole(damage.thing):
            return ""
        repository, digest = damage.uses[0].repository, damage.thing
        client = registry.registry
        if not damage.is_manifest:
            client.put_blob(repository, digest, self._store.pool.open(digest, damage.size_bytes))
            registry.prove_blob(repository, digest, damage.size_bytes)
            with client.open_blob(repository, digest, damage.size_bytes) as reader:
                while reader.read(1024 * 1024):
                    continue
            return f"given back from {self._store.url}"
        content = self._store.pool.read(digest)
        # A Harbor that takes its cache's word stores nothing when the manifest itself is put:
        # manifests and blobs are in one pool, so it goes there as a blob. Seen on Harbor 2.15.2.
        client.put_blob(repository, digest, content)
        try:
            registry.get_manifest(repository, digest)
        except HarborNotFoundError:
            client.put_manifest(repository, digest, _manifest(content, repository))
            registry.get_manifest(repository, digest)
            return f"given back from {self._store.url}; its tags are set by a backup or a restore"
        return f"given back from {self._store.url}"


def _manifest(content: bytes, where: str) -> Manifest:
    manifest = Manifest.from_bytes(content, "", where)
    kind = OCI_INDEX if manifest.children else OCI_MANIFEST
    return manifest if manifest.media_type else replace(manifest, media_type=kind)
