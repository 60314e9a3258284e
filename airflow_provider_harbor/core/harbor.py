"""Harbor's REST API (`/api/v2.0`), as far as a backup needs it. Pages become iterators."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar
from urllib.parse import quote

from airflow_provider_harbor.core.answers import LIST_BYTES, Answer
from airflow_provider_harbor.core.exceptions import (
    HarborAuthError,
    HarborNotFoundError,
    HarborProtocolError,
    HarborStatusError,
)
from airflow_provider_harbor.core.models import (
    Accessory,
    Artifact,
    Health,
    Project,
    Repository,
    Statistics,
    SystemInfo,
)
from airflow_provider_harbor.core.transport import (
    Client,
    HttpSession,
    basic_authorization,
)

T = TypeVar("T")

_API = "/api/v2.0"
# Without it a purely numeric project name is read as an id. Source: swagger.yaml, isResourceName.
_BY_NAME = {"X-Is-Resource-Name": "true"}
_WITH_ALL = {"with_tag": "true", "with_accessory": "true", "with_label": "true"}
_MAX_PAGE_SIZE = 100


def split_repository(full_name: str) -> tuple[str, str]:
    """Return project and repository of a full name, which its first slash divides."""
    project, _, repository = full_name.partition("/")
    return project, repository


def _escape(repository: str) -> str:
    """Escape a repository's name for a path of the REST API.

    Twice, since a proxy in front of Harbor undoes one escape before it routes; the dashboards'
    own requests do the same. Source: swagger.yaml, repositoryName; goharbor/harbor#12224.
    """
    return quote(quote(repository, safe=""), safe="")


class HarborClient(Client):
    """A login at one Harbor. May be shared by threads.

    Wrong credentials are no error to Harbor: it goes on as if nobody had logged in, and answers 200
    with what is public. Prove the login first, see `check.check_harbor`.

    Args:
        url: Scheme, host and port, see `urls.normalise_url`.
        user: A user's or robot's name (`robot$backup`); empty for no login.
        password: Its password or secret.
        verify: Whether to verify TLS certificates, or the path of a CA bundle.
        timeout_seconds: How long to wait for each answer.
        page_size: Items for each page, 1 to 100.
        session: Another transport, for tests.
    """

    def __init__(
        self,
        url: str,
        user: str = "",
        password: str = "",
        *,
        verify: bool | str = True,
        timeout_seconds: float = 60,
        page_size: int = _MAX_PAGE_SIZE,
        session: HttpSession | None = None,
    ) -> None:
        if not 1 <= page_size <= _MAX_PAGE_SIZE:
            # Harbor takes 0 for "all at once", and answers 422 above 100.
            raise ValueError(f"page_size is {page_size}, not 1 to {_MAX_PAGE_SIZE}")
        super().__init__(
            session or HttpSession(url, verify=verify, timeout_seconds=timeout_seconds), user
        )
        self._authorization = basic_authorization(user, password) if user else None
        self._page_size = page_size

    # -- the system

    def ping(self) -> None:
        """Make sure that a Harbor is there, whoever asks.

        Raises:
            HarborProtocolError: Something else answers at this URL.
        """
        try:
            response = self._session.request("GET", f"{_API}/ping")
        except HarborNotFoundError as err:
            raise self._no_harbor(str(err)) from err
        if response.text.strip() != "Pong":
            raise self._no_harbor(f"GET {_API}/ping was answered {response.text[:60]!r}")

    def _no_harbor(self, seen: str) -> HarborProtocolError:
        return HarborProtocolError(f"there is no Harbor at {self.url}: {seen}. Check the URL")

    def get_health(self) -> Health:
        """Return Harbor's own opinion of its components; it is cached by Harbor for 10 seconds."""
        return Health.from_json(self._get("/health"))

    def get_system_info(self) -> SystemInfo:
        """Return version and mode; `harbor_version` is empty unless the login was accepted."""
        return SystemInfo.from_json(self._get("/systeminfo"))

    @functools.cached_property
    def version(self) -> tuple[int, int, int]:
        """Harbor's version; asked for once.

        Raises:
            HarborAuthError: The login was not accepted, which Harbor itself would not say.
        """
        return self.check_login().version

    def check_login(self) -> SystemInfo:
        """Make sure that Harbor accepted the login, and return version and mode.

        Raises:
            HarborAuthError: It took the login for nobody's, which Harbor itself would not say.
        """
        info = self.get_system_info()
        if info.harbor_version:
            return info
        raise HarborAuthError(
            status=401,
            message="as if nobody had logged in",
            method="GET",
            url=f"{self.url}{_API}/systeminfo",
            hint=f"the login {self.user!r} was not accepted. Check name and password (of a robot: "
            "the whole name with its prefix, that it is enabled and has not expired)"
            if self.user
            else "no credentials were given. Give the name of a user or robot, and its password",
        )

    def get_statistics(self) -> Statistics:
        """Return counts; the totals are 0 unless the login is a system administrator's."""
        return Statistics.from_json(self._get("/statistics"))

    def get_current_user(self) -> Mapping[str, Any] | None:
        """Return the user that is logged in; None for a robot, which Harbor answers with 412."""
        try:
            return self._get("/users/current")
        except HarborStatusError as err:
            if err.status == 412:
                return None
            raise

    def iter_quota_projects(self) -> Iterator[str]:
        """Yield the name of every project that has a quota, which is every project of Harbor.

        Needs the system permission `quota:list`, which a robot can be given.
        """
        query = {"reference": "project"}
        for quota in self._iter_pages("/quotas", query):
            yield str((quota.get("ref") or {}).get("name") or "")

    def get_permissions(self, project_id: int) -> frozenset[str]:
        """Return what the login may do in a project, as `repository:pull`, `artifact:list`, ...

        Of a project that the login may not see, or that is not there, it is empty. Takes a user as
        well as a robot. Source: swagger.yaml `GET /users/current/permissions`.
        """
        params = {"scope": f"/project/{project_id}", "relative": "true"}
        data, _ = self._ask("/users/current/permissions", params=params)
        if not isinstance(data, list):
            raise HarborProtocolError(f"GET {self.url}{_API}/users/current/permissions: no list")
        return frozenset(f"{item.get('resource')}:{item.get('action')}" for item in data)

    # -- projects

    def iter_projects(self) -> Iterator[Project]:
        """Yield every project that the login sees, by id. Public ones are seen by everybody."""
        yield from self._iter_keyset(
            "/projects", "project_id", Project.from_json, lambda p: p.project_id
        )

    def get_project(self, name: str) -> Project:
        """Return one project.

        Raises:
            HarborNotFoundError: There is none (said to administrators only).
            HarborAuthError: There is none, or the login may not see it.
        """
        return Project.from_json(self._get(f"/projects/{quote(name)}", headers=_BY_NAME))

    def has_project(self, name: str) -> bool:
        """Tell whether a project exists, even one that the login may not read."""
        try:
            self._send("HEAD", "/projects", params={"project_name": name})
        except HarborNotFoundError:
            return False
        return True

    def create_project(self, name: str, *, public: bool = False) -> None:
        """Create a project.

        Raises:
            HarborRefusedError: It exists (`reason` is conflict), or Harbor is read-only.
            HarborAuthError: The login may not create projects.
        """
        body = {"project_name": name, "metadata": {"public": "true" if public else "false"}}
        self._send("POST", "/projects", json_body=body)

    def get_summary(self, project: str) -> Mapping[str, Any]:
        """Return `repo_count`, and `quota` (bytes) where the login may see it."""
        return self._get(f"/projects/{quote(project)}/summary", headers=_BY_NAME)

    # -- repositories and artifacts

    def iter_repositories(self, project: str) -> Iterator[Repository]:
        """Yield every repository of a project, by id, empty ones included."""
        yield from self._iter_keyset(
            f"/projects/{quote(project)}/repositories",
            "repository_id",
            Repository.from_json,
            lambda r: r.repository_id,
        )

    def get_repository(self, project: str, repository: str) -> Repository:
        """Return one repository; `repository` is its name without the project."""
        return Repository.from_json(self._get(_repository_path(project, repository)))

    def iter_artifacts(self, project: str, repository: str | None = None) -> Iterator[Artifact]:
        """Yield every artifact of a project, or of one repository, by id, with its accessories.

        Children of indexes come as artifacts of their own, also those that Harbor's pages hide;
        accessories do not, see `Artifact.accessories` and `get_artifact`. One page at a time is in
        memory. Since each page starts behind the last id, artifacts pushed or deleted meanwhile
        neither repeat nor hide others.

        Args:
            project: Project name.
            repository: Repository name without the project; None for all.

        Source: swagger.yaml `GET /projects/{project_name_or_id}/artifacts` (Harbor 2.12 and newer;
        of an older one the repositories are listed one by one), `q=base=*`.
        """
        if repository is not None:
            full_name = f"{project}/{repository}"
            path = _repository_path(project, repository) + "/artifacts"
        elif self.version >= (2, 12, 0):
            full_name = ""
            path = f"/projects/{quote(project)}/artifacts"
        else:
            for known in list(self.iter_repositories(project)):
                yield from self.iter_artifacts(project, split_repository(known.name)[1])
            return
        yield from self._iter_keyset(
            path,
            "id",
            functools.partial(Artifact.from_json, repository=full_name),
            lambda artifact: artifact.artifact_id,
            filters="base=*,",
            params=_WITH_ALL,
        )

    def get_artifact(self, repository: str, reference: str) -> Artifact:
        """Return any artifact, accessories and hidden children included.

        Args:
            repository: Full name, the project in front.
            reference: Digest or tag.
        """
        path = _repository_path(*split_repository(repository)) + f"/artifacts/{reference}"
        return Artifact.from_json(self._get(path, params=_WITH_ALL), repository)

    def iter_accessories(self, repository: str, digest: str) -> Iterator[Accessory]:
        """Yield the accessories of one artifact; `repository` is the full name."""
        path = _repository_path(*split_repository(repository)) + f"/artifacts/{digest}/accessories"
        for item in self._iter_pages(path, {"sort": "id"}):
            yield Accessory.from_json(item, digest)

    # -- requests

    def _send(self, method: str, path: str, **kwargs: Any) -> Answer:
        return self._session.request(
            method, _API + path, authorization=self._authorization, **kwargs
        )

    def _ask(self, path: str, **kwargs: Any) -> tuple[Any, Mapping[str, str]]:
        answer = self._send("GET", path, limit_bytes=LIST_BYTES, **kwargs)
        return answer.json(), answer.headers

    def _get(self, path: str, **kwargs: Any) -> Mapping[str, Any]:
        data, _ = self._ask(path, **kwargs)
        if not isinstance(data, dict):
            raise HarborProtocolError(f"GET {self.url}{_API}{path} was not answered with an object")
        return data

    def _page(
        self, path: str, params: Mapping[str, str | int]
    ) -> tuple[list[dict[str, Any]], int | None]:
        """Return the items of one page, and how many there are from here on, if Harbor says it."""
        data, headers = self._ask(path, params=params, headers=_BY_NAME)
        if not isinstance(data, list) or not all(isinstance(item, dict) for item in data):
            raise HarborProtocolError(f"GET {self.url}{_API}{path} was not answered with a list")
        total = headers.get("X-Total-Count", "")
        return data, int(total) if total.isdigit() else None

    def _iter_pages(self, path: str, params: Mapping[str, str]) -> Iterator[dict[str, Any]]:
        """Yield items by page number: for lists that Harbor cannot filter by id."""
        page = 1
        while True:
            query: dict[str, str | int] = {**params, "page": page, "page_size": self._page_size}
            items, total = self._page(path, query)
            yield from items
            # Never stop at a short page: Harbor has filtered pages after cutting them (#16816).
            if not items or (total is not None and page * self._page_size >= total):
                return
            page += 1

    def _iter_keyset(
        self,
        path: str,
        key: str,
        read: Callable[[dict[str, Any]], T],
        key_of: Callable[[T], int],
        *,
        filters: str = "",
        params: Mapping[str, str] | None = None,
    ) -> Iterator[T]:
        """Yield items by rising id, each page from behind the last id of the one before.

        Page numbers would skip an item for each one deleted on an earlier page meanwhile.
        """
        first = 0
        while True:
            query: dict[str, str | int] = {
                "q": f"{filters}{key}=[{first}~]",
                "sort": key,
                "page_size": self._page_size,
                **(params or {}),
            }
            items, remaining = self._page(path, query)
            for item in items:
                value = read(item)
                if key_of(value) < first:
                    raise HarborProtocolError(
                        f"GET {self.url}{_API}{path} was not answered in the order of {key}"
                    )
                first = key_of(value) + 1
                yield value
            if not items or (remaining is not None and remaining <= len(items)):
                return


def _repository_path(project: str, repository: str) -> str:
    return f"/projects/{quote(project)}/repositories/{_escape(repository)}"
