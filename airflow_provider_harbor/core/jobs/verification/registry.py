"""Verify a registry: what a snapshot lists, can the registry serve it?

Each manifest is fetched and hashed, and of each of its blobs one byte is read, each digest once: a
HEAD is answered from a cache. Nothing of it moves pull times. What a Harbor does not list any more
was deleted, and is no damage there.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator

from airflow_provider_harbor.core.exceptions import (
    HarborAuthError,
    HarborBackupError,
    HarborConnectionError,
    HarborNotFoundError,
    HarborProtocolError,
    HarborRateLimitError,
    HarborRefusedError,
    HarborServerError,
    IntegrityError,
    MissingContentError,
)
from airflow_provider_harbor.core.harbor.client import HarborClient
from airflow_provider_harbor.core.harbor.records import Record
from airflow_provider_harbor.core.http.attempts import attempt
from airflow_provider_harbor.core.human import Progress, human_count
from airflow_provider_harbor.core.jobs.side_by_side import FailuresInARow, ask_all
from airflow_provider_harbor.core.jobs.verification.report import (
    Damage,
    Findings,
    Kind,
    Part,
    Stage,
    Use,
)
from airflow_provider_harbor.core.oci.manifest import Descriptor, Manifest
from airflow_provider_harbor.core.oci.names import pack_digest
from airflow_provider_harbor.core.oci.registry import RegistryClient
from airflow_provider_harbor.core.store.backup_store import BackupStore
from airflow_provider_harbor.core.store.snapshots import Snapshot

_SERVERS_ERRORS = (HarborConnectionError, HarborRateLimitError, HarborServerError)
_SHOWN = 3


class RegistryUnderTest:
    """A registry that is asked whether it can serve what it should.

    Args:
        name: `source` or `mirror`.
        registry: A login at its distribution API. The caller closes it.
        client: A login at its REST API, where it is a Harbor of which a list was taken; it tells
            what was deleted since.
        sleep: What waits between attempts, in seconds.
    """

    def __init__(
        self,
        name: str,
        registry: RegistryClient,
        client: HarborClient | None = None,
        *,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.name = name
        self.registry = registry
        self.client = client
        self.url = registry.url
        self._sleep = sleep

    def get_manifest(self, repository: str, digest: str) -> Manifest:
        """Return a manifest, verified."""
        return attempt(lambda: self.registry.get_manifest(repository, digest), sleep=self._sleep)

    def prove_blob(self, repository: str, digest: str, size_bytes: int) -> None:
        """Read one byte of a blob.

        Raises:
            MissingContentError: The registry has lost it.
            HarborBackupError: It could not be asked.
        """
        tries = came_to_nothing = 0

        def read() -> None:
            nonlocal tries, came_to_nothing
            tries += 1
            try:
                self.registry.read_first_byte(repository, digest, size_bytes)
            except HarborConnectionError as err:
                came_to_nothing += err.received_bytes == 0
                raise

        try:
            attempt(read, sleep=self._sleep)
        except HarborNotFoundError as err:
            if err.is_of_route:  # a proxy's page is not the registry's word
                raise
            raise MissingContentError(digest, repository) from err
        except HarborConnectionError as err:
            if came_to_nothing < tries:
                raise
            raise MissingContentError(digest, repository) from err

    def has_deleted(self, repository: str, digest: str) -> bool:
        """Tell whether a Harbor itself says that it does not have an artifact any more."""
        if self.client is None:
            return False
        try:
            self.client.get_artifact(repository, digest)
        except HarborNotFoundError as err:
            project = repository.partition("/")[0]
            return any(err.names(thing) for thing in (digest, repository, project))
        except HarborAuthError:
            return not self.client.has_project(repository.partition("/")[0])
        return False

    def is_cache(self, project: str) -> bool:
        """Tell whether a project caches another registry: pulling may pull from there."""
        if self.client is None:
            return False
        try:
            return self.client.get_project(project).is_proxy_cache
        except (HarborAuthError, HarborNotFoundError):
            return False


class RegistryCheck:
    """Asks a registry for what a snapshot lists, and notes what it cannot serve.

    Args:
        registry: Which.
        store: Where the lists are, and the manifests that the registry has lost.
        snapshot: What it should hold.
        findings: Where to.
        progress: Called with a line of text now and then.
    """

    def __init__(
        self,
        registry: RegistryUnderTest,
        store: BackupStore,
        snapshot: Snapshot,
        findings: Findings,
        progress: Progress,
    ) -> None:
        self._registry = registry
        self._store = store
        self._snapshot = snapshot
        self._findings = findings
        self._progress = progress
        self._lock = threading.Lock()
        self._seen: set[bytes] = set()
        self._counts: Counter[str] = Counter()
        self._failures: FailuresInARow[Record] = FailuresInARow()
        self._denied: list[str] = []
        self._refused: list[str] = []
        self._caches: list[str] = []

    def run(self, part: Part, workers: int, stage: Stage) -> None:
        """Ask for the manifests of a part, and for all that they are made of.

        Args:
            part: By the digests of the manifests.
            workers: How many are asked for at once.
            stage: Where it is noted how far it came.

        Raises:
            PlaceStoppedError: It does not answer any more. What was found is noted.
        """
        is_over = False
        try:
            ask_all(self._iter_records(part), lambda r: self._check(r, stage), workers, "ask")
            is_over = True
        finally:
            for record, err in self._failures.own(is_over=is_over):
                self._denied.append(f"{record.repository}@{record.digest} ({err})")
            if self._denied:
                stage.error = (
                    f"{human_count(len(self._denied), 'manifest')} could not be asked for, "
                    f"{min(self._denied)} for one"
                )
            stage.what = (
                f"{human_count(self._counts['manifests'], 'manifest')}{part.suffix} of the "
                f"snapshot {self._snapshot.key} fetched, and a byte of "
                f"{human_count(self._counts['blobs'], 'blob')}, at {self._registry.url}"
            )
            self._note_rest()

    def _note_rest(self) -> None:
        where = f"{self._registry.name} {self._registry.url}"
        if gone := self._counts["deleted"]:
            self._findings.notes.append(
                f"{where}: {human_count(gone, 'manifest')} of the snapshot deleted there since"
            )
        if self._refused:
            shown = "; ".join(self._refused[:_SHOWN])
            self._findings.not_looked_at.append(
                f"{where}: {human_count(len(self._refused), 'manifest')} that a rule withholds: "
                f"{shown}{'; ...' if len(self._refused) > _SHOWN else ''}"
            )
        if self._caches:
            self._findings.not_looked_at.append(
                f"{where}: projects that cache another registry: {', '.join(self._caches)}"
            )

    def _iter_records(self, part: Part) -> Iterator[Record]:
        for project, item in sorted(self._snapshot.projects.items()):
            if self._registry.is_cache(project):
                self._caches.append(project)
                continue
            try:
                # All of it first: what a damaged list says is not asked for.
                self._store.inventories.verify(project, item.inventory)
            except IntegrityError as err:
                self._findings.not_looked_at.append(
                    f"{self._registry.name} {self._registry.url}: project {project}: {err}"
                )
                continue
            for record in self._store.inventories.iter_records(project, item.inventory):
                if part.covers(record.digest):
                    yield record

    def _check(self, record: Record, stage: Stage) -> None:
        if not self._is_first(record.digest):
            return
        try:
            self._check_one(record)
            self._failures.succeeded()
        except _SERVERS_ERRORS as err:
            self._failures.failed(record, err)
            return
        except HarborRefusedError as err:  # a policy, such as that of vulnerabilities
            with self._lock:
                self._refused.append(f"{record.repository}@{record.digest} ({err})")
        except HarborBackupError as err:
            with self._lock:
                self._denied.append(f"{record.repository}@{record.digest} ({err})")
        with self._lock:
            stage.checked += 1
        self._progress(f"{self._registry.name}: {human_count(stage.checked, 'manifest')} asked for")

    def _check_one(self, record: Record) -> None:
        """Ask for one manifest, and for what it is made of."""
        manifest: Manifest | None = None
        try:
            manifest = self._registry.get_manifest(record.repository, record.digest)
            self._count("manifests")
        except (HarborNotFoundError, HarborAuthError) as err:
            # A Harbor answers 401 where there is no such project any more.
            if self._was_deleted(record, record.digest):
                return
            if isinstance(err, HarborAuthError) or err.is_of_route:
                raise
            self._damage(record, record.digest, 0, "its manifest is lost", is_manifest=True)
        except (IntegrityError, HarborProtocolError) as err:
            message = f"its manifest is damaged: {err}"
            self._damage(record, record.digest, 0, message, is_manifest=True)
        for blob in self._blobs(record, manifest):
            if not blob.is_foreign_layer and self._is_first(blob.digest):
                self._check_blob(record, blob)

    def _was_deleted(self, record: Record, digest: str) -> bool:
        """Tell whether an artifact is gone; then another one may have what it was asked for."""
        if not self._registry.has_deleted(record.repository, record.digest):
            return False
        self._count("deleted")
        with self._lock:
            self._seen.discard(pack_digest(digest))
        return True

    def _blobs(self, record: Record, manifest: Manifest | None) -> Iterable[Descriptor]:
        if manifest is not None:
            return manifest.blobs
        try:  # what the registry has lost, the store may have
            content = self._store.pool.read(record.digest)
            where = f"{record.repository}@{record.digest}"
            return Manifest.from_bytes(content, record.media_type, where).blobs
        except (HarborBackupError, FileNotFoundError):
            return ()

    def _check_blob(self, record: Record, blob: Descriptor) -> None:
        try:
            self._registry.prove_blob(record.repository, blob.digest, blob.size_bytes)
        except IntegrityError as err:
            if self._was_deleted(record, blob.digest):
                return
            message = "it is lost" if isinstance(err, MissingContentError) else str(err)
            self._damage(record, blob.digest, blob.size_bytes, message)
        self._count("blobs")

    def _damage(
        self,
        record: Record,
        digest: str,
        size_bytes: int,
        message: str,
        *,
        is_manifest: bool = False,
    ) -> None:
        key = self._snapshot.key
        use = Use(
            repository=record.repository,
            digest=record.digest,
            tags=tuple(tag.name for tag in record.tags),
            first=key,
            last=key,
            snapshots=1,
        )
        self._findings.add(
            Damage(
                kind=Kind.LOST,
                where=self._registry.url,
                thing=digest,
                message=f"{self._registry.name} {self._registry.url} cannot serve it: {message}",
                size_bytes=size_bytes,
                is_manifest=is_manifest,
                uses=(use,),
                uses_in_all=1,
            )
        )

    def _is_first(self, digest: str) -> bool:
        key = pack_digest(digest)
        with self._lock:
            if key in self._seen:
                return False
            self._seen.add(key)
            return True

    def _count(self, name: str) -> None:
        with self._lock:
            self._counts[name] += 1
