"""How far large uploads to a registry have come: what a killed run leaves for the next one.

It is a cache. What cannot be read counts as nothing, and what cannot be written is left: then an
upload begins anew.
"""

from __future__ import annotations

import logging
import re
from datetime import datetime, timedelta, timezone

from airflow_provider_harbor.core.exceptions import (
    HarborBackupError,
    HarborConfigurationError,
    IntegrityError,
    StoreError,
)
from airflow_provider_harbor.core.oci.chunks import Kept
from airflow_provider_harbor.core.store import layout
from airflow_provider_harbor.core.store.documents import SHAPE_ERRORS, dump, read_object
from airflow_provider_harbor.core.store.files import Files

log = logging.getLogger(__name__)

# A registry forgets uploads after that by default. Source: distribution, "uploadpurging".
LIFE = timedelta(days=7)
# Path and query: with a host it would go elsewhere.
_LOCATION = re.compile(r"/[!-.0-~][!-~]{0,8000}")


class UploadFiles:
    """Remembers uploads to one registry in a store. May be shared by threads.

    Args:
        files: Of the store.
        place: URL of the registry.
    """

    def __init__(self, files: Files, place: str) -> None:
        self._files = files
        self._place = place

    def read(self, repository: str, digest: str) -> Kept | None:
        """Return how far the upload of a blob has come; None where nothing is known of one."""
        path = layout.upload(self._place, repository, digest)
        try:
            data = read_object(self._files, path)
            if data is None or (data["repository"], data["digest"]) != (repository, digest):
                return None
            location, offset = data["location"], data["offset"]
            age = datetime.now(timezone.utc) - datetime.fromisoformat(data["kept_at"])
        except (HarborConfigurationError, IntegrityError, StoreError, *SHAPE_ERRORS) as err:
            log.debug("%s: %s", self._files.url_of(path), err)
            return None
        is_whole = isinstance(location, str) and _LOCATION.fullmatch(location)
        if not is_whole or type(offset) is not int or age > LIFE:
            return None
        return Kept(location, offset)

    def keep(self, repository: str, digest: str, kept: Kept) -> None:
        """Remember it, in place of what was known."""
        content = dump(
            {
                "repository": repository,
                "digest": digest,
                "location": kept.location,
                "offset": kept.offset,
                "kept_at": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            }
        )
        try:
            self._files.write(layout.upload(self._place, repository, digest), content)
        except HarborBackupError as err:
            log.warning("if this run is killed, an upload has to start again: %s", err)

    def forget(self, repository: str, digest: str) -> None:
        """Forget it; what was not known does no harm."""
        try:
            self._files.delete([layout.upload(self._place, repository, digest)])
        except HarborBackupError as err:
            # Who backs up need not be able to delete. A registry does not know it any more.
            log.debug("an upload that is over stays remembered: %s", err)
