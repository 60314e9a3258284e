"""The backup store as a whole: whose it is, and what is in it; see `layout` for its format."""

from __future__ import annotations

import os
import socket
from datetime import datetime, timezone
from typing import Any

from airflow_provider_harbor.core.exceptions import HarborConfigurationError, IntegrityError
from airflow_provider_harbor.core.http.urls import normalise_url
from airflow_provider_harbor.core.store import layout
from airflow_provider_harbor.core.store.documents import damage, dump, read_object
from airflow_provider_harbor.core.store.files import Files
from airflow_provider_harbor.core.store.inventories import Inventories
from airflow_provider_harbor.core.store.known import Known, read_known, write_known
from airflow_provider_harbor.core.store.leases import Lease
from airflow_provider_harbor.core.store.listed import Listed, read_listed, write_listed
from airflow_provider_harbor.core.store.pool import Pool
from airflow_provider_harbor.core.store.result_files import ResultFiles
from airflow_provider_harbor.core.store.settings_files import SettingsFiles
from airflow_provider_harbor.core.store.snapshots import Snapshots
from airflow_provider_harbor.core.store.sweeps import Sweeps
from airflow_provider_harbor.core.store.upload_files import UploadFiles

# The lease of a run that keeps everything in the store itself.
_ITSELF = "store"


class BackupStore:
    """The backups of one Harbor, in a directory or an object storage.

    Any number of tasks, threads and machines can use one store at the same time.

    Args:
        url: A directory, or `s3://bucket/prefix`, `gs://...`, `az://...`; see `files.Files`.
        options: Credentials and more, see `files.Files`.

    Attributes:
        url: The root as a URL, without credentials.
        pool: All content.
        inventories: What projects held.
        snapshots: How each run ended.
        results: How each project ended in a backup.
        restore_results: How each project ended in a restore.
        settings: Harbor's settings, and which of them a run has.
        sweeps: What is going to be deleted.
    """

    def __init__(self, url: str | os.PathLike[str], **options: Any) -> None:
        self.files = Files(url, **options)
        self.url = self.files.url
        self.pool = Pool(self.files)
        self.inventories = Inventories(self.files)
        self.snapshots = Snapshots(self.files)
        self.results = ResultFiles(self.files, layout.SNAPSHOTS)
        self.restore_results = ResultFiles(self.files, layout.RESTORES)
        self.settings = SettingsFiles(self.files)
        self.sweeps = Sweeps(self.files)

    def __repr__(self) -> str:
        return f"BackupStore({self.url!r})"

    def is_there(self) -> bool:
        """Tell whether there is a store.

        Raises:
            HarborConfigurationError: It is of a newer format.
            IntegrityError: store.json cannot be read.
        """
        return read_object(self.files, layout.STORE) is not None

    def begin_for(self, harbor_url: str) -> bool:
        """Make sure that this is the store of a Harbor; where there is none it begins.

        Only what has looked whether that Harbor is there should call it.

        Returns:
            Whether it is a new one.

        Raises:
            Whatever `open_for` does.
        """
        is_new = False
        if not self.is_there():
            created = datetime.now(timezone.utc).isoformat(timespec="seconds")
            # Whoever is first: at the same time another one may make it its own.
            content = dump({"harbor_url": normalise_url(harbor_url), "created": created})
            is_new = self.files.create(layout.STORE, content)
        self.open_for(harbor_url)
        return is_new

    def open_for(self, harbor_url: str) -> None:
        """Make sure that this is the store of a Harbor.

        Raises:
            HarborConfigurationError: There is none, or it is that of another Harbor, or of a newer
                format.
            IntegrityError: store.json cannot be read.
            StoreError: It cannot be read.
        """
        wanted = normalise_url(harbor_url)
        found = self.harbor_url
        if found != wanted:
            raise HarborConfigurationError(
                f"the store {self.url} is that of {found}, not of {wanted}. Use another one; if it "
                "is the same Harbor under a new address, change harbor_url in its store.json"
            )

    @property
    def harbor_url(self) -> str:
        """URL of the Harbor whose backups these are.

        Raises:
            HarborConfigurationError: There is no store, or one of a newer format.
            IntegrityError: store.json cannot be read.
        """
        try:
            data = read_object(self.files, layout.STORE)
        except IntegrityError as err:
            raise IntegrityError(
                f"{err}. Nothing else is lost. Put a whole one in its place: "
                '{"format_version": 1, "harbor_url": "https://harbor.example.com"}'
            ) from err
        if data is None:
            raise HarborConfigurationError(
                f"there is no backup store at {self.url}: it has no {layout.STORE}. Check the "
                "path; is everything mounted? The first backup begins one"
            )
        try:
            return normalise_url(_text(data["harbor_url"]))
        except (KeyError, TypeError, HarborConfigurationError) as err:
            raise damage(self.files, layout.STORE, err) from None

    @property
    def created(self) -> datetime | None:
        """When the first backup began the store; None where it does not say so.

        Raises:
            HarborConfigurationError: It is of a newer format.
            IntegrityError: store.json cannot be read.
        """
        try:
            moment = datetime.fromisoformat(
                (read_object(self.files, layout.STORE) or {})["created"]
            )
        except (KeyError, TypeError, ValueError):
            return None
        return moment if moment.tzinfo else None

    def check(self) -> None:
        """Make sure that the store can be written and read, before a night begins.

        Raises:
            StoreError: It cannot.
        """
        self._write_check()
        self.files.read(layout.CHECK)
        self.files.list_names("")

    def now(self) -> datetime:
        """Return what time it is by the storage's clock, which is one for all machines.

        Raises:
            StoreError: The store cannot be written.
        """
        self._write_check()
        return self.files.modified(layout.CHECK)

    def _write_check(self) -> None:
        moment = datetime.now(timezone.utc).isoformat(timespec="seconds")
        content = dump({"checked": moment, "host": socket.gethostname()})
        self.files.write(layout.CHECK, content)

    def lease(self, place: str, run: str, *, is_process: bool = False) -> Lease:
        """Return the lease of a run, not taken yet.

        Args:
            place: URL of what the run writes to: of a registry, or of this store.
            run: The run's name.
            is_process: Whether the run is this process, and ends with it.
        """
        place = _ITSELF if place == self.url else place
        return Lease(self.files, place, run, is_process=is_process)

    def uploads_to(self, place: str) -> UploadFiles:
        """Return what remembers how far uploads to a registry have come."""
        return UploadFiles(self.files, place)

    def read_known(self, place: str, project: str) -> Known:
        """Return what is remembered of a registry and a project; see `known.read_known`."""
        return read_known(self.files, place, project)

    def write_known(self, place: str, project: str, known: Known) -> str:
        """Remember what a registry holds of a project; returns the path."""
        return write_known(self.files, place, project, known)

    def read_listed(self, harbor_url: str, project: str) -> Listed | None:
        """Return what the last listing of a project has seen; see `listed.read_listed`."""
        return read_listed(self.files, harbor_url, project)

    def write_listed(self, harbor_url: str, project: str, listed: Listed) -> str:
        """Keep what a listing of a project has seen; returns the path."""
        return write_listed(self.files, harbor_url, project, listed)


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    raise TypeError("its harbor_url is not a text")
