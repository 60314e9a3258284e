"""A scratch project of a Harbor: made, filled, looked at, and removed, and never anybody else's."""

from __future__ import annotations

import logging

from airflow_provider_harbor.core.exceptions import (
    HarborBackupError,
    HarborConfigurationError,
    HarborNotFoundError,
    HarborRefusedError,
    RefusalReason,
)
from airflow_provider_harbor.core.harbor.client import HarborClient
from airflow_provider_harbor.core.harbor.paths import (
    project_path,
    repository_path,
    split_repository,
)

log = logging.getLogger(__name__)


class ScratchProject:
    """A project that is made here, and is removed only as long as it is the one that was made.

    What it is known by is its number: Harbor never gives one twice. So a project of this name that
    somebody else has made meanwhile is left alone.

    Args:
        client: A login that may create and delete projects, and delete repositories.
        name: Of the project; there must be none of this name.
    """

    def __init__(self, client: HarborClient, name: str) -> None:
        self._client = client
        self.name = name
        self._number: int | None = None

    @property
    def is_there(self) -> bool:
        """Whether it was made, and not removed since."""
        return self._number is not None

    def create(self) -> None:
        """Create the project, after proving that it can be removed again.

        Raises:
            HarborConfigurationError: There is a project of this name already, or the login may not
                delete what it makes; an empty project is left then, which the error names.
            HarborBackupError: It could not be created.
        """
        if self._client.has_project(self.name):
            raise self._is_somebodys()
        self._make()
        self._prove()
        self._make()

    def _is_somebodys(self) -> HarborConfigurationError:
        return HarborConfigurationError(
            f"there is a project {self.name} at {self._client.url} already, and a drill touches no "
            "project that it did not make. Name another one; if it was left by a drill that was "
            f"killed, {self.how_to_remove()}"
        )

    def how_to_remove(self) -> str:
        """Return what to do where it could not be removed, in words."""
        return (
            f"delete its repositories, and then the project {self.name}, in the UI of "
            f"{self._client.url}"
        )

    def _make(self) -> None:
        try:
            self._client.create_project(self.name, public=False)
        except HarborRefusedError as err:
            if err.reason is RefusalReason.CONFLICT:  # somebody was faster
                raise self._is_somebodys() from err
            raise
        self._number = self._client.get_project(self.name).project_id

    def _prove(self) -> None:
        """Make sure, while it is empty, that it can be removed: by doing it.

        Who may delete a project may delete the repositories in it. Seen on Harbor 2.15.2.
        """
        try:
            self.remove()
        except HarborBackupError as err:
            raise HarborConfigurationError(
                f"the login {self._client.user!r} created the project {self.name} at "
                f"{self._client.url}, and may not delete it again, so that nothing was restored. "
                f"Give it Project: delete. The project is empty: {self.how_to_remove()} ({err})"
            ) from err

    def remove(self) -> None:
        """Remove the project with all that is in it, if it still is the one that was made.

        Raises:
            HarborConfigurationError: It is another one.
            HarborBackupError: It could not be removed.
        """
        if self._number is None:
            return
        try:
            found = self._client.get_project(self.name)
        except HarborNotFoundError:
            self._number = None
            return
        if found.project_id != self._number:
            raise HarborConfigurationError(
                f"the project {self.name} at {self._client.url} is another one than was made here. "
                "It is left alone"
            )
        for repository in list(self._client.iter_repositories(self.name)):
            self._client.delete(repository_path(*split_repository(repository.name)))
        self._client.delete(project_path(self.name))
        self._number = None
