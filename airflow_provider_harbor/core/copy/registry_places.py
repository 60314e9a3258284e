"""Registries as places: any registry to copy from, and a Harbor to copy to."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timezone

from airflow_provider_harbor.core.copy.places import Group, Place, Source, View
from airflow_provider_harbor.core.exceptions import (
    HarborAuthError,
    HarborBackupError,
    HarborConfigurationError,
    HarborNotFoundError,
    HarborProtocolError,
    HarborRefusedError,
    HarborStatusError,
    MissingContentError,
    RefusalReason,
)
from airflow_provider_harbor.core.harbor.client import HarborClient
from airflow_provider_harbor.core.harbor.inventory import InventoryWalk
from airflow_provider_harbor.core.harbor.records import Record
from airflow_provider_harbor.core.http.transport import Body
from airflow_provider_harbor.core.oci.blob_reader import BlobReader
from airflow_provider_harbor.core.oci.manifest import Descriptor, Manifest
from airflow_provider_harbor.core.oci.referrers import ReferrersTags, Subject
from airflow_provider_harbor.core.oci.registry import RegistryClient
from airflow_provider_harbor.core.store.backup_store import BackupStore
from airflow_provider_harbor.core.store.known import Held


class RegistrySource(Source):
    """A registry to copy from.

    Args:
        registry: A login at its distribution API.
        rename: Returns what a repository is called there; by default as everywhere.
    """

    kind = "registry"

    def __init__(
        self, registry: RegistryClient, *, rename: Callable[[str], str] = lambda name: name
    ) -> None:
        self.registry = registry
        self.url = registry.url
        self._rename = rename

    @property
    def window(self) -> int:
        """So many requests may be in flight now."""
        return self.registry.window

    def get_manifest(self, record: Record) -> Manifest:
        """Return a record's manifest, verified."""
        return self.registry.get_manifest(self._rename(record.repository), record.digest)

    @contextmanager
    def open_blob(self, repository: str, blob: Descriptor) -> Iterator[BlobReader]:
        """Open a blob for reading."""
        name = self._rename(repository)
        try:
            with self.registry.open_blob(name, blob.digest, blob.size_bytes) as reader:
                yield reader
        except HarborNotFoundError as err:
            if not err.is_from(self.url):  # what it is read for may answer 404, too
                raise
            raise MissingContentError(blob.digest, name) from err

    def close(self) -> None:
        """Close all connections."""
        self.registry.close()


class RegistryPlace(RegistrySource, Place):
    """A registry to copy to.

    Args:
        registry: A login at its distribution API.
        sleep: What waits, in seconds, before lists of referrers are looked at again.
    """

    def __init__(
        self, registry: RegistryClient, *, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        super().__init__(registry)
        self._referrers = ReferrersTags(registry, sleep=sleep)

    def find_manifest(self, record: Record) -> Manifest | None:
        """Return a record's manifest; None where it is not there."""
        try:
            return self.get_manifest(record)
        except HarborNotFoundError:
            return None

    def names(self, repository: str, tag: str, digest: str) -> bool:
        """Tell whether a tag names a digest there."""
        return self.registry.find_manifest(repository, tag) == digest

    def put_manifest(self, repository: str, reference: str, manifest: Manifest) -> bool:
        """Push a manifest."""
        return self.registry.put_manifest(repository, reference, manifest).handles_subject

    def has_blob(self, repository: str, blob: Descriptor) -> bool:
        """Tell whether a blob is in this repository."""
        return self.registry.has_blob(repository, blob.digest, blob.size_bytes)

    def put_blob(self, repository: str, blob: Descriptor, body: Body) -> None:
        """Upload a blob."""
        self.registry.put_blob(repository, blob.digest, body)

    def keep_uploads_in(self, store: BackupStore) -> None:
        """Have a store remember how far uploads have come, so that the next process goes on."""
        self.registry.uploads.kept = store.uploads_to(self.url)

    def take_over(self, repository: str, digest: str, home: str) -> bool:
        """Have the registry take a blob over from another of its repositories (a mount)."""
        try:
            return self.registry.mount_blob(repository, digest, home)
        except HarborStatusError:
            return False  # not every registry knows mounts; sending it will tell what is wrong

    def list_referrers(self, repository: str, manifests: Sequence[Manifest]) -> None:
        """Put manifests on the list that is kept under a tag."""
        self._referrers.put(repository, manifests)

    def confirm_referrers(
        self, written: Mapping[Subject, Sequence[Manifest]]
    ) -> Mapping[Subject, HarborBackupError]:
        """Look at the lists again, a moment after the last one was written."""
        return self._referrers.confirm(written)

    def require_other(self, source: HarborClient) -> None:
        """Make sure that it has another address than the source."""
        if self.url == source.url:
            raise HarborConfigurationError(
                f"source and destination are the same registry, {self.url}: that is no backup. "
                "Name another destination"
            )


class HarborPlace(RegistryPlace):
    """A Harbor to copy to: it lists what it holds.

    What it listed is remembered, so that repositories which did not change since need not be listed
    again, see `harbor.earlier`.

    Args:
        client: A login at its REST API.
        registry: The same login at its distribution API.
        now: What tells the time; tests give another.
        sleep: What waits, in seconds, before what changes is looked at again; tests give another.
    """

    kind = "Harbor"

    def __init__(
        self,
        client: HarborClient,
        registry: RegistryClient,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(timezone.utc),
        sleep: Callable[[float], None] | None = None,
    ) -> None:
        super().__init__(registry, sleep=sleep or time.sleep)
        self.client = client
        self._now = now
        self._sleep = sleep

    def look_at(self, project: str, remembered: Mapping[str, Held], *, workers: int) -> View:
        """List the project, but for what did not change since it was listed before."""
        if not self.client.has_project(project):
            return HeldView({}, unlisted=Held(is_new=True))
        earlier = {name: held.seen for name, held in remembered.items() if held.seen}
        walk = InventoryWalk(
            self.client, project, earlier=earlier or None, sleep=self._sleep, now=self._now
        )
        try:
            held = {name: Held.of_records(records) for name, records in walk}
        except HarborStatusError as err:
            err.hint = f"at the destination {err.hint}"
            if isinstance(err, HarborAuthError):
                err.hint = (
                    f"at the destination the login may not list the project {project}. Give it the "
                    "permissions repository:list, artifact:list and artifact:read there"
                )
            raise
        held |= {name: remembered[name] for name in walk.believed}
        for name, seen in (walk.seen or {}).items():
            held[name] = replace(held.get(name, Held()), seen=seen)
        for gap in walk.gaps:
            error = HarborProtocolError(
                f"the destination's {gap.repository} could not be listed: {gap.message}"
            )
            held[gap.repository] = Held(error=error)
        return HeldView(held)

    def worth_remembering(self, held: Held) -> Held | None:
        """Return it where it need not be listed again as long as it does not change."""
        return held if held.seen else None

    def prepare(self, project: str) -> None:
        """Create the project, private whatever the source's is, if it is missing."""
        if self.client.has_project(project):
            return
        try:
            self.client.create_project(project, public=False)
        except HarborRefusedError as err:
            if err.reason is RefusalReason.CONFLICT:  # somebody else was faster
                return
            err.hint = (
                f"the destination refuses to create the project {project}. Correct what it says, "
                "and run it again"
            )
            if err.reason is RefusalReason.READ_ONLY:
                err.hint = "the destination is read-only. Switch that off, and run it again"
            raise
        except HarborAuthError as err:
            err.hint = (
                f"the destination has no project {project}, and the login may not create it. "
                "Create it there, or let the login create projects"
            )
            raise

    def require_other(self, source: HarborClient) -> None:
        """Make sure that it is not the source under another name.

        Both say which address they are known by. Where that is the same, they are the same Harbor,
        unless a project of one name is not of one age.
        """
        super().require_other(source)
        address = source.system_info.external_url
        if not address or address != self.client.system_info.external_url:
            return
        theirs = {p.name: p.creation_time for p in self.client.iter_projects()}
        times = [
            (p.creation_time, theirs[p.name]) for p in source.iter_projects() if p.name in theirs
        ]
        if all(ours == other for ours, other in times):
            raise HarborConfigurationError(
                f"{source.url} and {self.url} both say that they are {address}, so they are the "
                "same Harbor, and it is no backup of itself. If they are two, give each its own "
                "external URL"
            )

    def close(self) -> None:
        """Close all connections."""
        super().close()
        self.client.close()


class HeldView(View):
    """What is known of all repositories of a project before any is asked for.

    Args:
        held: By repository.
        unlisted: What is known of all others. A Harbor lists a repository from its first manifest
            on, so that blobs can be there already.
    """

    def __init__(self, held: Mapping[str, Held], *, unlisted: Held | None = None) -> None:
        self._held = held
        self._unlisted = unlisted or Held()

    def find(self, groups: Sequence[Group]) -> Mapping[str, Held]:
        """Return what is known of the repositories of some groups."""
        return {name: self._held.get(name, self._unlisted) for name, _ in groups}

    def find_other(self, is_wanted: Callable[[str, str], bool]) -> str:
        """Return an artifact of the project that is not wanted; empty where none is known."""
        others = (
            f"{name}@{digest}"
            for name, held in sorted(self._held.items())
            for digest in sorted(held.digests)
            if not is_wanted(name, digest)
        )
        return next(others, "")
