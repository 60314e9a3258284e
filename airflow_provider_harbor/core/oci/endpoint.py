"""Where a registry takes uploads: how one is opened, and how it is concluded."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol
from urllib.parse import quote, urlsplit

from airflow_provider_harbor.core.http.answers import Answer
from airflow_provider_harbor.core.http.patience import answering_later
from airflow_provider_harbor.core.http.transport import Body
from airflow_provider_harbor.core.oci.registry_answers import not_stored, upload_location

# A registry that has all of a blob reads it again, or has its storage copy it, before it answers:
# at so many bytes a second at least, and no longer than that.
_SETTLING_RATE = 4 * 1024 * 1024
_MOST_SETTLING_SECONDS = 3600.0


class Requests(Protocol):
    """Sends a request about a repository; see `RegistryClient._request`."""

    def __call__(
        self,
        method: str,
        repository: str,
        path: str,
        *,
        writes: bool = ...,
        data: Body | bytes | None = ...,
        headers: dict[str, str] | None = ...,
        repeatable: bool | None = ...,
    ) -> Answer:
        """Return its answer; raises what the registry says."""


class Endpoint:
    """Takes uploads to one registry. May be shared by threads.

    Args:
        url: Of the registry.
        request: Sends a request to it.
        has_blob: Tells whether a repository has a blob of a digest and size.
        pause: What waits, in seconds.
    """

    def __init__(
        self,
        url: str,
        request: Requests,
        has_blob: Callable[[str, str, int], bool],
        pause: Callable[[float], None],
    ) -> None:
        self.url = url
        self.request = request
        self.has_blob = has_blob
        self.pause = pause

    def begin(self, repository: str) -> tuple[str, int]:
        """Open an upload; returns where it goes on, and how large a chunk has to be at least."""
        answer = self.request("POST", repository, "blobs/uploads/", writes=True, repeatable=True)
        return upload_location(answer, self.url), answer.number("OCI-Chunk-Min-Length") or 0

    def conclude(
        self,
        repository: str,
        digest: str,
        location: str,
        body: Body | bytes,
        size_bytes: int | None = None,
    ) -> None:
        """Send the rest of an upload, and have it stored under its digest.

        Args:
            repository: Full name.
            digest: Of the whole blob.
            location: Where the upload goes on.
            body: The rest; all of it, where nothing was sent yet.
            size_bytes: Of the whole blob, if that is more.
        """
        size_bytes = len(body) if size_bytes is None else size_bytes
        mark = "&" if urlsplit(location).query else "?"
        with answering_later(min(size_bytes / _SETTLING_RATE, _MOST_SETTLING_SECONDS)):
            answer = self.request(
                "PUT",
                repository,
                f"{location}{mark}digest={quote(digest, safe='')}",
                writes=True,
                data=body,
                headers={"Content-Type": "application/octet-stream"},
            )
        if answer.status != 201 and not self.has_blob(repository, digest, size_bytes):
            raise not_stored(answer, "blob")
