"""What content is copied from, and to: a registry, or a backup store. Copying knows no more."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager

from airflow_provider_harbor.core.exceptions import HarborBackupError, MissingContentError
from airflow_provider_harbor.core.harbor.client import HarborClient
from airflow_provider_harbor.core.harbor.records import Record
from airflow_provider_harbor.core.http.transport import Body
from airflow_provider_harbor.core.oci.blob_reader import BlobReader
from airflow_provider_harbor.core.oci.manifest import Descriptor, Manifest
from airflow_provider_harbor.core.oci.referrers import Subject
from airflow_provider_harbor.core.store.backup_store import BackupStore
from airflow_provider_harbor.core.store.known import Held

# A repository, and its records.
Group = tuple[str, Sequence[Record]]


class Source(ABC):
    """A place to copy from. May be shared by threads.

    Attributes:
        kind: What it is, in words.
        url: Where it is, without credentials.
    """

    kind: str
    url: str

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.url!r})"

    @abstractmethod
    def get_manifest(self, record: Record) -> Manifest:
        """Return a record's manifest, verified.

        Raises:
            MissingContentError: A store lacks it.
            HarborNotFoundError: A registry does.
            IntegrityError: It is damaged.
        """

    @abstractmethod
    def open_blob(self, repository: str, blob: Descriptor) -> AbstractContextManager[BlobReader]:
        """Open a blob for reading, until the end of the block.

        Raises:
            MissingContentError: It is not there.
            IntegrityError: It is there with another size.
        """

    @property
    def window(self) -> int | None:
        """So much is asked of it at once now; None where it is left to who asks."""
        return None

    def lacks(self, repository: str, digest: str) -> MissingContentError:
        """Return the error to raise where it should have a blob of a repository, and has not."""
        return MissingContentError(digest, repository)

    def close(self) -> None:
        """Close all connections."""
        return


class Place(Source):
    """A place to copy to, and from.

    Attributes:
        shares_content: Whether what is there is there for all repositories.
        keeps_tags: Whether tags are set there.
    """

    shares_content = False
    keeps_tags = True

    @abstractmethod
    def find_manifest(self, record: Record) -> Manifest | None:
        """Return a record's manifest; None where it is not there, or not whole."""

    @abstractmethod
    def names(self, repository: str, tag: str, digest: str) -> bool:
        """Tell whether a tag names a digest there."""

    @abstractmethod
    def put_manifest(self, repository: str, reference: str, manifest: Manifest) -> bool:
        """Store a manifest under a tag or under its own digest, byte for byte.

        Returns:
            Whether the place knows by itself what refers to its subject; else it has to be told,
            see `list_referrers`.
        """

    @abstractmethod
    def has_blob(self, repository: str, blob: Descriptor) -> bool:
        """Tell whether a blob is there, whole."""

    @abstractmethod
    def put_blob(self, repository: str, blob: Descriptor, body: Body) -> None:
        """Store a blob; it becomes visible only when it is whole and right."""

    @abstractmethod
    def take_over(self, repository: str, digest: str, home: str) -> bool:
        """Have a blob in one repository that is in another one; False where that did not work."""

    def list_referrers(self, repository: str, manifests: Sequence[Manifest]) -> None:
        """Put manifests on the list of what refers to their subject, which is one for all."""
        return

    def confirm_referrers(
        self, written: Mapping[Subject, Sequence[Manifest]]
    ) -> Mapping[Subject, HarborBackupError]:
        """Make sure that what was put on lists is there; returns what is not, and why."""
        return {}

    @abstractmethod
    def prepare(self, project: str) -> None:
        """Make ready to receive a project."""

    @abstractmethod
    def look_at(self, project: str, remembered: Mapping[str, Held], *, workers: int) -> View:
        """Begin to find out what is there of a project; changes nothing.

        Args:
            project: Name of the project.
            remembered: What `worth_remembering` returned before, by repository.
            workers: At most so many repositories are asked for at once.

        Raises:
            HarborBackupError: It could not be asked at all.
        """

    def keep_uploads_in(self, store: BackupStore) -> None:
        """Have a store remember how far uploads have come, so that the next process goes on."""
        return

    def worth_remembering(self, held: Held) -> Held | None:
        """Return what of one repository could not be asked for in a few requests, or None."""
        return None

    def require_other(self, source: HarborClient) -> None:
        """Make sure that it is not the source of a backup itself.

        Raises:
            HarborConfigurationError: It is.
        """
        return


class View(ABC):
    """What a place holds of a project, looked at some repositories at a time, sorted by name."""

    @abstractmethod
    def find(self, groups: Sequence[Group]) -> Mapping[str, Held]:
        """Return what is there of the repositories of some groups.

        Args:
            groups: What is going to be there. They begin behind those of the call before.

        Raises:
            HarborBackupError: It could not be asked at all. One repository that cannot be asked for
                is in the answer, with its error.
        """

    def find_other(self, is_wanted: Callable[[str, str], bool]) -> str:
        """Return an artifact of the project that is not wanted; empty where none is known.

        Args:
            is_wanted: Tells it by repository and digest.
        """
        return ""
