"""What a backup asks of Harbor. Answers become values, pages iterators."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

from airflow_provider_harbor.core.exceptions import (
    HarborAuthError,
    HarborNotFoundError,
    HarborProtocolError,
    HarborRouteError,
    HarborStatusError,
)
from airflow_provider_harbor.core.harbor.api import API, BY_NAME, MAX_PAGE_SIZE, HarborApi
from airflow_provider_harbor.core.harbor.models import (
    Accessory,
    Artifact,
    Health,
    Project,
    Repository,
    Statistics,
    SystemInfo,
    read_list,
    read_object,
    read_quota_project,
)
from airflow_provider_harbor.core.harbor.pages import one_of
from airflow_provider_harbor.core.harbor.paths import (
    artifact_path,
    project_path,
    repository_path,
    split_repository,
)
from airflow_provider_harbor.core.http.logins import login_hint
from airflow_provider_harbor.core.http.transport import HttpSession
from airflow_provider_harbor.core.oci.names import (
    is_digest,
    is_repository_name,
    parse_project,
    parse_repository,
)
from airflow_provider_harbor.core.texts import one_line

_WITH_ALL = {"with_tag": "true", "with_accessory": "true", "with_label": "true"}
# A project that nobody has.
_NO_PROJECT = "harbor-backup-looks-for-proxies"


class HarborClient(HarborApi):
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
        login_advice: How a login is given, for the error where there is none.
        session: Another transport, for tests.

    Attributes:
        page_size: Items for each page.
        clock: What time it is there.
    """

    def __init__(
        self,
        url: str,
        user: str = "",
        password: str = "",
        *,
        verify: bool | str = True,
        timeout_seconds: float = 60,
        page_size: int = MAX_PAGE_SIZE,
        login_advice: str = "",
        session: HttpSession | None = None,
    ) -> None:
        if session is None:
            session = HttpSession(url, verify=verify, timeout_seconds=timeout_seconds)
        super().__init__(session, user, password, page_size)
        self._login_advice = login_advice
        self._proxy_caches: dict[str, bool] = {}
        self._repository_counts: dict[str, int] = {}

    # -- the system

    def ping(self) -> None:
        """Make sure that a Harbor is there, whoever asks.

        Raises:
            HarborProtocolError: Something else answers at this URL.
        """
        try:
            answer = self._session.request("GET", f"{API}/ping")
        except HarborNotFoundError as err:
            raise self._no_harbor(str(err)) from err
        if answer.text.strip() != "Pong":
            raise self._no_harbor(f"{answer}, with {one_line(answer.text, 60)!r}")

    def _no_harbor(self, seen: str) -> HarborProtocolError:
        return HarborProtocolError(f"there is no Harbor at {self.url}: {seen}. Check the URL")

    def get_health(self) -> Health:
        """Return Harbor's own opinion of its components; it is cached by Harbor for 10 seconds."""
        return self._ask("/health").read(Health.from_json)

    def get_system_info(self) -> SystemInfo:
        """Return version and mode; `harbor_version` is empty unless the login was accepted."""
        try:
            return self._ask("/systeminfo").read(SystemInfo.from_json)
        except HarborNotFoundError as err:
            raise self._no_harbor(str(err)) from err
        except HarborAuthError as err:
            # Harbor itself answers everybody; what stands before it does not.
            err.hint = err.hint or (
                login_hint(self.user, self._login_advice)
                if err.status == 401
                else f"what stands before Harbor lets nobody ask {API}. Have it let this machine "
                "through, or give the URL of Harbor itself"
            )
            raise

    @functools.cached_property
    def system_info(self) -> SystemInfo:
        """What Harbor says of itself to a login that it accepted; asked for once.

        Raises:
            HarborAuthError: The login was not accepted, which Harbor itself would not say.
        """
        return self.check_login()

    @property
    def version(self) -> tuple[int, int, int]:
        """Harbor's version; raises as `system_info`."""
        return self.system_info.version

    @property
    def tells_changes(self) -> bool:
        """Whether a repository's `update_time` moves with everything that changes in it.

        Source: Harbor 2.15.2, `touchRepo`; before, only pulls moved it.
        """
        return self.version >= (2, 15, 2)

    @property
    def lists_whole_projects(self) -> bool:
        """Whether the artifacts of a project can be listed without asking each repository."""
        return self.version >= (2, 12, 0)

    def check_paths(self) -> None:
        """Make sure that paths of nested repositories arrive at Harbor as they were sent.

        Asks for a repository that cannot be there. Harbor says so, or denies it; where a proxy
        undoes the escapes once more, Harbor, or the proxy, knows no such route.

        Raises:
            HarborRouteError: A proxy changes them.
        """
        try:
            self.get_repository(_NO_PROJECT, "nested/name")
        except HarborNotFoundError as err:
            if err.is_of_route:
                raise HarborRouteError(err) from err
        except HarborAuthError:
            return

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
            url=f"{self.url}{API}/systeminfo",
            hint=login_hint(self.user, self._login_advice),
        )

    def get_statistics(self) -> Statistics:
        """Return counts; the totals are 0 unless the login is a system administrator's."""
        return self._ask("/statistics").read(Statistics.from_json)

    @functools.cached_property
    def statistics(self) -> Statistics:
        """What `get_statistics` returns; asked for once."""
        return self.get_statistics()

    def get_current_user(self) -> Mapping[str, Any] | None:
        """Return the user that is logged in; None for a robot, which Harbor answers with 412."""
        try:
            return self._ask("/users/current").read(read_object)
        except HarborStatusError as err:
            if err.status == 412:
                return None
            raise

    def iter_quota_projects(self) -> Iterator[str]:
        """Yield the name of every project that has a quota, which is every project of Harbor.

        Needs the system permission `quota:list`, which a robot can be given.
        """
        yield from self._lists.iter_numbered(
            "/quotas", {"reference": "project"}, read_quota_project
        )

    def find_own_permissions(self) -> list[Mapping[str, Any]] | None:
        """Return a system robot's own permissions; None for a login that is no system robot.

        Each has `kind` (system or project), `namespace` (`/`, a project or `*`) and `access`. Needs
        the system permission `robot:list`, which a robot can be given since Harbor 2.12.
        """
        for robot in self._lists.iter_numbered("/robots", {"sort": "id"}, read_object):
            if robot.get("name") == self.user:
                return [read_object(item) for item in read_list(robot.get("permissions") or [])]
        return None

    # -- projects

    def iter_projects(self) -> Iterator[Project]:
        """Yield every project that the login sees, by id. Public ones are seen by everybody."""
        for project in self._lists.iter_keyset(
            "/projects", "project_id", Project.from_json, lambda p: p.project_id
        ):
            self._proxy_caches[project.name] = project.is_proxy_cache
            self._repository_counts[project.name] = project.repo_count
            yield project

    def count_projects(self) -> int:
        """Return how many projects Harbor counts for the login."""
        return self._lists.count("/projects")

    def known_repository_count(self, name: str) -> int | None:
        """Return how many repositories a project had; None unless this login has listed it."""
        return self._repository_counts.get(name)

    def is_proxy_cache(self, name: str) -> bool:
        """Tell whether a project only caches another registry; none becomes one, or ceases to be.

        Asks for it unless this login has listed it before; raises as `get_project`.
        """
        known = self._proxy_caches.get(name)
        return self.get_project(name).is_proxy_cache if known is None else known

    def get_project(self, name: str) -> Project:
        """Return one project.

        Raises:
            HarborNotFoundError: There is none (said to administrators only).
            HarborAuthError: There is none, or the login may not see it.
        """
        return self._ask(project_path(name), headers=BY_NAME).read(Project.from_json)

    def has_project(self, name: str) -> bool:
        """Tell whether a project exists, even one that the login may not read."""
        try:
            # A page that says 200 to everything cannot say the name.
            return self.get_project(name).name == name
        except HarborNotFoundError:
            return False
        except HarborAuthError:
            pass  # not to be read by this login, or not there
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
            HarborProtocolError: It was answered with something else than that it was created, and
                it is not there.
        """
        metadata = {"public": "true" if public else "false"}
        body = {"project_name": parse_project(name), "metadata": metadata}
        answer = self._send("POST", "/projects", json_body=body)
        if answer.status != 201 and not self._is_there(name):
            raise answer.error(
                "that is not how Harbor says that it has created something (201), and the project "
                f"{name} is not found there. See what answers in its place, such as a proxy"
            )

    def _is_there(self, project: str) -> bool:
        try:
            return self.has_project(project)
        except HarborProtocolError:
            return False

    # -- repositories and artifacts

    def iter_repositories(
        self, project: str, *, tell_count: Callable[[int], object] | None = None
    ) -> Iterator[Repository]:
        """Yield every repository of a project, by id, empty ones included.

        Args:
            project: Name of the project.
            tell_count: Called before the first one, with how many Harbor counts.
        """
        yield from self._lists.iter_keyset(
            f"{project_path(project)}/repositories",
            "repository_id",
            Repository.from_json,
            lambda r: r.repository_id,
            first=None,  # those that were migrated from Harbor 1 have negative ids
            tell_count=tell_count,
        )

    def count_repositories(self, project: str) -> int:
        """Return how many repositories Harbor counts in the list of a project's."""
        return self._lists.count(f"{project_path(project)}/repositories")

    def find_repositories(self, project: str, ids: Collection[int]) -> list[Repository]:
        """Return the repositories of a project that have these ids: at most as many as fit a page.

        What knows no such filter ignores it, and others come: look at their ids.
        """
        params = {"q": f"repository_id={one_of(ids)}", "sort": "repository_id"}
        return self._lists.first_page(
            f"{project_path(project)}/repositories", params, Repository.from_json
        )

    def find_repository(self, project: str, repository: str) -> Repository | None:
        """Look one repository up in the list of its project's; None where it is not listed."""
        full_name = parse_repository(f"{project}/{repository}")
        path = f"{project_path(project)}/repositories"
        found = self._lists.first_page(path, {"q": f"name={full_name}"}, Repository.from_json)
        return next((item for item in found if item.name == full_name), None)

    def get_repository(self, project: str, repository: str) -> Repository:
        """Return one repository; `repository` is its name without the project."""
        answer = self._ask(repository_path(project, repository))
        found = answer.read(Repository.from_json)
        if found.name != f"{project}/{repository}":
            raise answer.error("it is of another repository")
        return found

    def iter_artifacts(
        self, project: str, repository: str | None = None, *, repository_ids: Collection[int] = ()
    ) -> Iterator[Artifact]:
        """Yield every artifact of a project, or of one repository, by id, with its accessories.

        Children of indexes come as artifacts of their own, also those that Harbor's pages hide;
        accessories do not, see `Artifact.accessories` and `get_artifact`. One page at a time is in
        memory. Since each page starts behind the last id, artifacts pushed or deleted meanwhile
        neither repeat nor hide others.

        Args:
            project: Project name.
            repository: Repository name without the project; None for all.
            repository_ids: Only of these repositories; none for all. Older Harbors, and what knows
                no such filter, ignore it: look at what comes.

        Raises:
            HarborProtocolError: A name is none, or the answer cannot be read. But a repository of
                an older Harbor whose name is none is left out, since nothing can be asked of it.

        Source: swagger.yaml `GET /projects/{project_name_or_id}/artifacts` (Harbor 2.12 and newer;
        of an older one the repositories are listed one by one), `q=base=*`; src/lib/q/builder.go.
        """
        if repository is not None:
            full_name = f"{project}/{repository}"
            path = repository_path(project, repository) + "/artifacts"
        elif self.lists_whole_projects:
            full_name = ""
            path = f"{project_path(project)}/artifacts"
        else:
            for known in list(self.iter_repositories(project)):
                name = split_repository(known.name)[1]
                if is_repository_name(name):
                    yield from self.iter_artifacts(project, name)
            return
        yield from self._lists.iter_keyset(
            path,
            "id",
            functools.partial(Artifact.from_json, repository=full_name),
            lambda artifact: artifact.artifact_id,
            filters=f"base=*,repository_id={one_of(repository_ids)}"
            if repository_ids
            else "base=*",
            params=_WITH_ALL,
        )

    def get_artifact(self, repository: str, reference: str) -> Artifact:
        """Return any artifact, accessories and hidden children included.

        Args:
            repository: Full name, the project in front.
            reference: Digest or tag.
        """
        answer = self._ask(artifact_path(repository, reference), params=_WITH_ALL)
        artifact = answer.read(lambda data: Artifact.from_json(data, repository))
        if is_digest(reference) and artifact.digest != reference:
            raise answer.error("it is of another artifact")
        return artifact

    def iter_accessories(self, repository: str, digest: str) -> Iterator[Accessory]:
        """Yield the accessories of one artifact; `repository` is the full name."""
        yield from self._lists.iter_numbered(
            f"{artifact_path(repository, digest)}/accessories",
            {"sort": "id"},
            lambda item: Accessory.from_json(item, digest),
        )
