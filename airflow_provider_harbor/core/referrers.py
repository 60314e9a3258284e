"""Referrers at a registry that does not list them itself: the client keeps the list under a tag.

Source: distribution-spec v1.1, "Referrers Tag Schema" and "Pushing Manifests with Subject".
"""

from __future__ import annotations

import json
from typing import Any

from airflow_provider_harbor.core.exceptions import HarborNotFoundError, UnsettledHarborError
from airflow_provider_harbor.core.locks import KeyedLocks
from airflow_provider_harbor.core.manifest import OCI_INDEX, Manifest, digest_of
from airflow_provider_harbor.core.registry import RegistryClient, referrers_tag

_ROUNDS = 5


class ReferrersTags:
    """Keeps the lists of referrers of one registry. May be shared by threads."""

    def __init__(self, registry: RegistryClient) -> None:
        self._registry = registry
        # Reading, adding and writing a list is not one request: one thread at a time for each.
        self._locks = KeyedLocks()

    def add(self, repository: str, manifest: Manifest) -> None:
        """Add a manifest to the list of its subject, once.

        Raises:
            UnsettledHarborError: It goes on to be missing there.
        """
        tag = referrers_tag(manifest.subject)
        with self._locks[repository, tag]:
            for _ in range(_ROUNDS):
                entries = self._entries(repository, tag)
                # Read again after it was written: another process may have written its own list.
                if any(entry.get("digest") == manifest.digest for entry in entries):
                    return
                index = _index([*entries, _entry(manifest)])
                self._registry.put_manifest(repository, tag, index)
        raise UnsettledHarborError(
            f"the list of referrers {repository}:{tag} goes on to lack {manifest.digest} after it "
            "was added: does somebody else write it? Run it again"
        )

    def _entries(self, repository: str, tag: str) -> list[dict[str, Any]]:
        try:
            listed = self._registry.get_manifest(repository, tag)
        except HarborNotFoundError:
            return []
        return list(json.loads(listed.content).get("manifests") or [])


def _entry(manifest: Manifest) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "mediaType": manifest.media_type,
        "digest": manifest.digest,
        "size": len(manifest.content),
        "artifactType": manifest.artifact_type,
        "annotations": dict(manifest.annotations),
    }
    return {key: value for key, value in entry.items() if value}


def _index(entries: list[dict[str, Any]]) -> Manifest:
    content = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": OCI_INDEX,
            "manifests": sorted(entries, key=lambda entry: str(entry["digest"])),
        },
        separators=(",", ":"),
    ).encode()
    return Manifest(content=content, media_type=OCI_INDEX, digest=digest_of(content))
