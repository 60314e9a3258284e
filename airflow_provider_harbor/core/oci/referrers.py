"""Referrers at a registry that does not list them itself: the client keeps the list under a tag.

Source: distribution-spec v1.1, "Referrers Tag Schema" and "Pushing Manifests with Subject".
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from airflow_provider_harbor.core.exceptions import (
    HarborBackupError,
    HarborNotFoundError,
    HarborRefusedError,
    RefusalReason,
    UnsettledHarborError,
)
from airflow_provider_harbor.core.locks import KeyedLocks
from airflow_provider_harbor.core.oci.manifest import OCI_INDEX, Manifest, digest_of
from airflow_provider_harbor.core.oci.registry import RegistryClient, referrers_tag

# How long after the last write a list is looked at again: longer than it takes another writer, who
# has read the list before, to write what it made of it.
_MOMENT_SECONDS = 6.0
_ROUNDS = 5

# A repository, and the digest of a subject in it.
Subject = tuple[str, str]


class ReferrersTags:
    """Keeps the lists of referrers of one registry. May be shared by threads.

    Reading a list, adding to it and writing it is not one request. Where the registry takes
    conditional requests, a list that somebody else has written meanwhile is not overwritten; where
    it does not, that is noticed by looking again after a moment.

    Args:
        registry: Where the lists are.
        sleep: What waits, in seconds; tests give another.
    """

    def __init__(
        self, registry: RegistryClient, *, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._registry = registry
        self._sleep = sleep
        self._locks = KeyedLocks()
        self._written_at = float("-inf")

    def add(self, repository: str, manifest: Manifest) -> None:
        """Add one manifest to the list of its subject, and see it stay there.

        Raises:
            UnsettledHarborError: It goes on to be missing there.
        """
        self.put(repository, [manifest])
        if errors := self.confirm({(repository, manifest.subject): [manifest]}):
            raise next(iter(errors.values()))

    def put(self, repository: str, manifests: Sequence[Manifest]) -> None:
        """Add manifests of one subject to its list, those that are not there yet.

        Raises:
            UnsettledHarborError: Somebody else goes on to write it at the same time.
        """
        tag = referrers_tag(manifests[0].subject)
        with self._locks.holding((repository, tag)):
            for _ in range(_ROUNDS):
                entries, etag = self._read(repository, tag)
                if not (missing := _missing(manifests, entries)):
                    return
                index = referrers_index([*entries, *map(referrer_entry, missing)])
                if self._write(repository, tag, index, etag):
                    return
        raise _unsettled(repository, tag)

    def confirm(
        self, written: Mapping[Subject, Sequence[Manifest]]
    ) -> dict[Subject, HarborBackupError]:
        """Look at lists again, a moment after the last one was written, and mend what got lost.

        Args:
            written: What was put, by repository and subject.

        Returns:
            What could not be mended, and why.
        """
        errors: dict[Subject, HarborBackupError] = {}
        waiting = dict(written)
        for _ in range(_ROUNDS):
            if not waiting:
                return errors
            self._sleep(max(0.0, self._written_at + _MOMENT_SECONDS - time.monotonic()))
            for key, manifests in list(waiting.items()):
                try:
                    if self._is_whole(key[0], manifests):
                        del waiting[key]
                    else:
                        self.put(key[0], manifests)
                except HarborBackupError as err:
                    errors[key] = err
                    del waiting[key]
        for repository, subject in waiting:
            errors[repository, subject] = _unsettled(repository, referrers_tag(subject))
        return errors

    def _is_whole(self, repository: str, manifests: Sequence[Manifest]) -> bool:
        entries, _ = self._read(repository, referrers_tag(manifests[0].subject))
        return not _missing(manifests, entries)

    def _read(self, repository: str, tag: str) -> tuple[list[dict[str, Any]], str | None]:
        """Return a list's entries, and what names its state: empty where there is no list."""
        try:
            listed, etag = self._registry.get_manifest_and_etag(repository, tag)
        except HarborNotFoundError:
            return [], ""
        return list(json.loads(listed.content).get("manifests") or []), etag

    def _write(self, repository: str, tag: str, index: Manifest, etag: str | None) -> bool:
        """Write a list; False where somebody else has written it since it was read."""
        try:
            self._registry.put_manifest(repository, tag, index, etag)
        except HarborRefusedError as err:
            if err.reason is not RefusalReason.CHANGED:
                raise
            return False
        self._written_at = time.monotonic()
        return True


def _missing(manifests: Sequence[Manifest], entries: Sequence[dict[str, Any]]) -> list[Manifest]:
    listed = {entry.get("digest") for entry in entries}
    return [manifest for manifest in manifests if manifest.digest not in listed]


def _unsettled(repository: str, tag: str) -> UnsettledHarborError:
    return UnsettledHarborError(
        f"the list of referrers {repository}:{tag} still lacks what was added to it: does "
        "somebody else write it? Run it again"
    )


def referrer_entry(manifest: Manifest) -> dict[str, Any]:
    """Return the descriptor by which a list of referrers names a manifest.

    Source: distribution-spec v1.1, "Listing Referrers".
    """
    entry: dict[str, Any] = {
        "mediaType": manifest.media_type,
        "digest": manifest.digest,
        "size": len(manifest.content),
        "artifactType": manifest.artifact_type,
        "annotations": dict(manifest.annotations),
    }
    return {key: value for key, value in entry.items() if value}


def referrers_index(entries: Iterable[dict[str, Any]]) -> Manifest:
    """Return a list of referrers, sorted by digest."""
    content = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": OCI_INDEX,
            "manifests": sorted(entries, key=lambda entry: str(entry["digest"])),
        },
        separators=(",", ":"),
    ).encode()
    return Manifest(content=content, media_type=OCI_INDEX, digest=digest_of(content))
