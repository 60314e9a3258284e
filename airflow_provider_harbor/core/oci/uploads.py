"""Sending a blob to a registry: in one request, or where it is large in chunks."""

from __future__ import annotations

import logging

from airflow_provider_harbor.core.http.transport import Body
from airflow_provider_harbor.core.oci.blob_reader import is_rereadable
from airflow_provider_harbor.core.oci.chunks import ChunkedUpload, KeptUploads
from airflow_provider_harbor.core.oci.endpoint import Endpoint

log = logging.getLogger(__name__)

CHUNK_BYTES = 64 * 1024 * 1024


class Uploads:
    """Sends blobs to one registry. May be shared by threads.

    Args:
        endpoint: Takes them.

    Attributes:
        chunk_bytes: What is larger goes in chunks of this size; 0 is never.
        kept: Where uploads are remembered; None is nowhere.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self.chunk_bytes = CHUNK_BYTES
        self.kept: KeptUploads | None = None
        # None is not known yet. That it takes none is believed for as long as this process runs.
        self.takes_chunks: bool | None = None

    def put(self, repository: str, digest: str, body: Body | bytes) -> None:
        """Upload a blob.

        The registry makes it visible only when it is whole and its digest is right.

        Raises:
            HarborProtocolError: It was answered with something else than that it is stored, and it
                is not there.
            HarborNotFoundError: The registry forgets the upload, each time.
        """
        is_large = 0 < self.chunk_bytes < len(body)
        if is_large and self.takes_chunks is not False and is_rereadable(body):
            upload = ChunkedUpload(
                self._endpoint,
                repository,
                digest,
                body,
                chunk_bytes=self.chunk_bytes,
                kept=self.kept,
                is_taken=bool(self.takes_chunks),
            )
            try:
                if upload.run():
                    return
                self.takes_chunks = False
            finally:
                if upload.is_taken:
                    self.takes_chunks = True
            log.info("%s takes no chunks. Sending in one request", self._endpoint.url)
            body.rewind(0)
        location, _ = self._endpoint.begin(repository)
        self._endpoint.conclude(repository, digest, location, body)
