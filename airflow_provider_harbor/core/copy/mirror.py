"""A mirror as the source of a restore: the list is of the store, the content of the mirror."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from airflow_provider_harbor.core.copy.places import Source
from airflow_provider_harbor.core.exceptions import HarborNotFoundError, MissingContentError
from airflow_provider_harbor.core.harbor.records import Record
from airflow_provider_harbor.core.oci.blob_reader import BlobReader
from airflow_provider_harbor.core.oci.manifest import Descriptor, Manifest


class Mirror(Source):
    """A registry that does not know what it should hold, and may lack some of it.

    Args:
        source: The registry. Whoever opened it closes it.
        listed_by: What lists the content, for the error where the registry lacks it.
    """

    kind = "mirror"

    def __init__(self, source: Source, listed_by: str) -> None:
        self.url = source.url
        self._source = source
        self._listed_by = listed_by

    def get_manifest(self, record: Record) -> Manifest:
        """Return a record's manifest, verified."""
        try:
            return self._source.get_manifest(record)
        except HarborNotFoundError as err:
            if not err.code:  # a proxy before it says so, and not the registry
                raise
            raise self.lacks(record.repository, record.digest) from err

    @contextmanager
    def open_blob(self, repository: str, blob: Descriptor) -> Iterator[BlobReader]:
        """Open a blob for reading."""
        with ExitStack() as opened:
            try:
                reader = opened.enter_context(self._source.open_blob(repository, blob))
            except MissingContentError as err:
                raise self.lacks(repository, blob.digest) from err
            yield reader

    def lacks(self, repository: str, digest: str) -> MissingContentError:
        """Return the error to raise where it should have content, and has not."""
        return MissingContentError(
            digest,
            self._listed_by,
            f"the mirror {self.url} does not have it. Take it from the store, or from another "
            "mirror",
        )
