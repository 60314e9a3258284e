"""The hook: an Airflow connection becomes a client of Harbor, or of a plain registry."""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseHook
from airflow.sdk.exceptions import AirflowNotFoundException
from airflow.sdk.log import mask_secret

from airflow_provider_harbor.core.copy.opening import open_registry
from airflow_provider_harbor.core.copy.plain_registry import PlainRegistryPlace
from airflow_provider_harbor.core.copy.registry_places import RegistryPlace, RegistrySource
from airflow_provider_harbor.core.exceptions import (
    HarborBackupError,
    HarborConfigurationError,
)
from airflow_provider_harbor.core.harbor.check import HarborStatus, check_harbor, list_projects
from airflow_provider_harbor.core.harbor.client import HarborClient
from airflow_provider_harbor.core.harbor.models import (
    Accessory,
    Artifact,
    Health,
    Project,
    Repository,
    Statistics,
    SystemInfo,
)
from airflow_provider_harbor.core.http.transport import (
    LONGEST_TIMEOUT_SECONDS,
    basic_authorization,
)
from airflow_provider_harbor.core.http.urls import names_port, normalise_url
from airflow_provider_harbor.core.human import human_count
from airflow_provider_harbor.core.oci.registry import RegistryClient
from airflow_provider_harbor.core.texts import shown

if TYPE_CHECKING:
    from airflow.sdk import Connection

_DEFAULT_TIMEOUT_SECONDS = 60.0
_FALSE_WORDS = frozenset({"false", "no", "off", "0"})
_TRUE_WORDS = frozenset({"true", "yes", "on", "1", ""})


class HarborHook(BaseHook):
    """Reach a Harbor by an Airflow connection.

    A thin wrapper around :class:`~airflow_provider_harbor.core.harbor.client.HarborClient`: pages
    become iterators, errors are those of :mod:`airflow_provider_harbor.core.exceptions`. For
    example, the names of all public projects::

        from airflow_provider_harbor.hooks.harbor import HarborHook

        names = [project.name for project in HarborHook().iter_projects() if project.public]

    A plain registry (distribution API without Harbor), as the destination of a backup, takes a
    connection of the same type; ``get_registry`` and ``get_place`` work with both.

    The connection: *host* is a name or a URL; *schema* is ``https`` (the default) or ``http``
    where the host names none; *port* may be empty or 0; *login* and *password* are a user's or a
    robot's. Extras, all optional: ``verify_tls`` (default true), ``ca_file`` (path of a PEM file on
    each worker), ``timeout_seconds`` (default 60).

    :param harbor_conn_id: Id of the connection.
    """

    conn_name_attr = "harbor_conn_id"
    default_conn_name = "harbor_default"
    conn_type = "harbor"
    hook_name = "Harbor"

    def __init__(self, harbor_conn_id: str = default_conn_name) -> None:
        super().__init__()
        self.harbor_conn_id = harbor_conn_id

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.harbor_conn_id!r})"

    # -- clients

    @functools.cached_property
    def url(self) -> str:
        """Scheme, host and port of the server; nothing is asked over the network."""
        connection = self._connection
        host = (connection.host or "").strip()
        if not host:
            raise self._misconfigured("has no host")
        if "://" not in host:
            scheme = (connection.schema or "").strip().lower() or "https"
            host = f"{scheme}://{host}"
        try:
            url = normalise_url(host)
            # Airflow's form sends 0 for an empty port.
            if connection.port and not names_port(host):
                url = normalise_url(f"{url}:{connection.port}")
        except HarborConfigurationError as err:
            raise self._misconfigured(f"has a host that cannot be used: {err}") from None
        return url

    def get_conn(self) -> HarborClient:
        """Return the client of Harbor's REST API; always the same one."""
        return self._client

    def get_registry(self) -> RegistryClient:
        """Return a client of the distribution API (``/v2/``) of the same server.

        The caller closes it.
        """
        return RegistryClient(self.url, **self._login())

    def get_source(self, rename: Callable[[str], str] = lambda name: name) -> RegistrySource:
        """Return the server as a source to copy from. The caller closes it.

        :param rename: Returns what a repository is called there; by default as everywhere.
        """
        return RegistrySource(self.get_registry(), rename=rename)

    def get_place(self) -> RegistryPlace:
        """Return the server as a place to copy to, after finding out whether it is a Harbor.

        The caller closes it.
        """
        return open_registry(self.url, **self._login())

    @functools.cached_property
    def _client(self) -> HarborClient:
        return HarborClient(self.url, **self._login())

    def _login(self) -> dict[str, Any]:
        connection = self._connection
        return {
            "user": connection.login or "",
            "password": connection.password or "",
            "login_advice": f"Fill in user and password of the connection {self.harbor_conn_id!r}",
            **self._options,
        }

    @functools.cached_property
    def _connection(self) -> Connection:
        try:
            connection = self.get_connection(self.harbor_conn_id)
        except AirflowNotFoundException as err:
            raise HarborConfigurationError(
                f"there is no connection {self.harbor_conn_id!r}: create it in the UI (Admin, "
                "Connections, type Harbor), or correct the name"
            ) from err
        if password := connection.password:
            mask_secret(password)
            mask_secret(basic_authorization(connection.login or "", password).split()[1])
        return connection

    @functools.cached_property
    def _options(self) -> dict[str, Any]:
        """TLS and timeout, as the clients take them."""
        extra = self._extra()
        ca_file = extra.get("ca_file") or ""
        if not isinstance(ca_file, str) or (ca_file and not os.path.isfile(ca_file)):
            raise self._misconfigured(
                f"names the CA file {shown(ca_file, 200)}, which is not on this machine"
            )
        verify: bool | str = ca_file or True
        if not self._flag(extra.get("verify_tls", True)):
            verify = False
        return {"verify": verify, "timeout_seconds": self._seconds(extra.get("timeout_seconds"))}

    def _extra(self) -> Mapping[str, Any]:
        try:
            extra = json.loads((self._connection.extra or "").strip() or "{}")
        except (ValueError, RecursionError):
            extra = None
        if not isinstance(extra, dict):
            # What it has instead may be a secret that was typed into the wrong field.
            raise self._misconfigured("has an extra that is not a JSON object")
        return extra

    def _flag(self, value: object) -> bool:
        """Read a boolean; a connection in the form of a URI has only texts."""
        word = "" if value is None else str(value).strip().lower()
        if word not in _TRUE_WORDS | _FALSE_WORDS:
            raise self._misconfigured("has a verify_tls that is neither true nor false")
        return word in _TRUE_WORDS

    def _seconds(self, value: Any) -> float:
        """Read a time; no number is infinite, or is none (`nan`), or is longer than a day."""
        try:
            seconds = float(value or _DEFAULT_TIMEOUT_SECONDS)
        except (TypeError, ValueError, OverflowError):
            seconds = 0.0
        if isinstance(value, bool) or not 0 < seconds <= LONGEST_TIMEOUT_SECONDS:
            raise self._misconfigured(
                "has a timeout_seconds that is no number of seconds above 0 and up to a day"
            )
        return seconds

    def _misconfigured(self, what: str) -> HarborConfigurationError:
        return HarborConfigurationError(f"connection {self.harbor_conn_id!r} {what}")

    # -- checks

    def check(self, *, require_healthy: bool = True) -> HarborStatus:
        """Make sure that Harbor is there, is healthy, and accepts the login.

        :param require_healthy: Whether an unhealthy component is an error.
        """
        return check_harbor(self.get_conn(), require_healthy=require_healthy)

    def test_connection(self) -> tuple[bool, str]:
        """Tell whether the connection works, and what can be done with it: the Test button."""
        try:
            with closing(self.get_place()) as server:
                if isinstance(server, PlainRegistryPlace):
                    return True, f"{self.url} is a plain registry (distribution API): a destination"
            status = self.check(require_healthy=False)
            seen = sum(1 for _ in self.iter_projects())
        except HarborBackupError as err:
            return False, str(err)
        except Exception as err:
            # Airflow's own trouble with a connection may repeat what is in it.
            return False, f"the connection cannot be used: {type(err).__name__}"
        projects = human_count(seen, "project")
        text = f"Harbor {status.harbor_version} at {self.url}, logged in as {status.user!r}"
        if not status.is_healthy:
            ill = ", ".join(n for n, s in sorted(status.components.items()) if s != "healthy")
            return False, f"{text}; Harbor says that it is unhealthy: {ill}"
        try:
            list_projects(self.get_conn())
        except HarborBackupError as err:
            return True, f"{text}, sees {projects}. As the source of a backup: {err}"
        return True, f"{text}, sees all projects: {seen:,}"

    # -- for other DAGs

    def get_health(self) -> Health:
        """Return Harbor's own opinion of its components; it needs no login."""
        return self.get_conn().get_health()

    def get_system_info(self) -> SystemInfo:
        """Return version and mode; the version is empty for a login that was not accepted."""
        return self.get_conn().get_system_info()

    def get_statistics(self) -> Statistics:
        """Return counts of projects and repositories, and the bytes of all blobs.

        The totals are 0 unless the login is a system administrator's.
        """
        return self.get_conn().get_statistics()

    def iter_projects(self) -> Iterator[Project]:
        """Yield every project that the login sees, by id; see ``list_projects`` for all of Harbor.

        :return: Projects, a page at a time; public ones are seen by every login.
        """
        return self.get_conn().iter_projects()

    def iter_repositories(self, project: str) -> Iterator[Repository]:
        """Yield every repository of a project, by id.

        :param project: Name of the project.
        """
        return self.get_conn().iter_repositories(project)

    def iter_artifacts(self, project: str, repository: str | None = None) -> Iterator[Artifact]:
        """Yield every artifact of a project, with its tags, children and accessories.

        What is not signed::

            for artifact in HarborHook().iter_artifacts("team-a"):
                if not any(a.type.startswith("signature") for a in artifact.accessories):
                    print(artifact.repository, artifact.digest)

        :param project: Name of the project.
        :param repository: Name of one repository, without the project; None for all.
        """
        return self.get_conn().iter_artifacts(project, repository)

    def iter_accessories(self, repository: str, digest: str) -> Iterator[Accessory]:
        """Yield the signatures, SBOMs and other accessories of one artifact.

        :param repository: Full name of the repository, the project in front.
        :param digest: Digest of the artifact.
        """
        return self.get_conn().iter_accessories(repository, digest)

    def get_artifact(self, repository: str, reference: str) -> Artifact:
        """Return one artifact.

        :param repository: Full name of the repository, the project in front.
        :param reference: Digest or tag.
        """
        return self.get_conn().get_artifact(repository, reference)

    def list_projects(
        self, include: list[str] | None = None, exclude: list[str] | None = None
    ) -> list[Project]:
        """Return projects by name, after proving that the login sees all that was asked for.

        :param include: Names or globs such as ``team-*``; none for all projects.
        :param exclude: Names or globs that win over ``include``.
        """
        return list_projects(self.get_conn(), include or (), exclude or ())
