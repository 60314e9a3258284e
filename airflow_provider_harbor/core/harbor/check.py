"""Before anything is listed: is Harbor there and healthy, is this the login, does it see all?

Harbor takes wrong credentials for nobody's and answers 200 with what is public, and it shows a
robot only the projects that the robot was made for. A backup that believes such an answer ends
green and holds a tenth. So both are proved, and what cannot be proved is an error.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from airflow_provider_harbor.core.exceptions import (
    HarborAuthError,
    HarborConfigurationError,
    HarborSightError,
    UnhealthyHarborError,
)
from airflow_provider_harbor.core.harbor.client import HarborClient
from airflow_provider_harbor.core.harbor.models import Health, Project, Statistics
from airflow_provider_harbor.core.human import human_count

log = logging.getLogger(__name__)

# What listing and pulling go through. The others (job service, registry controller, portal,
# scanner) run jobs and pages: a night without them is no reason for a night without a backup.
NEEDED_COMPONENTS = frozenset({"core", "database", "redis", "registry"})
# Source: Harbor 2.12 release notes; before, no robot can have the permission `robot:list`.
_ROBOTS_READ_ROBOTS = (2, 12, 0)
_GLOB = re.compile(r"[*?\[]")


@dataclass(frozen=True, slots=True, kw_only=True)
class HarborStatus:
    """What a check found.

    Attributes:
        is_healthy: Harbor's own word; also with an unhealthy component that no backup needs it is
            False.
        components: State of each component, as Harbor names it.
        project_count: Of the whole Harbor; None unless the login is an administrator's.
        repository_count: Likewise.
        storage_bytes: What all blobs take, each once; likewise.
    """

    url: str
    harbor_version: str
    user: str
    is_robot: bool
    is_healthy: bool
    is_read_only: bool
    components: dict[str, str] = field(default_factory=dict)
    project_count: int | None = None
    repository_count: int | None = None
    storage_bytes: int | None = None

    def to_json(self) -> dict[str, Any]:
        """Return all fields by name."""
        return asdict(self)


def check_harbor(client: HarborClient, *, require_healthy: bool = True) -> HarborStatus:
    """Make sure that a Harbor is there, is healthy, and accepted the login.

    An unhealthy component that a backup needs (`NEEDED_COMPONENTS`) is an error; another one is
    logged as a warning.

    Args:
        client: The login.
        require_healthy: Whether an unhealthy component can be an error.

    Raises:
        HarborConnectionError: Nobody answers; `HarborTlsError` when the certificate is wrong.
        HarborProtocolError: Something else than Harbor answers.
        HarborAuthError: Harbor did not accept the login.
        HarborRouteError: A proxy before Harbor changes paths.
        UnhealthyHarborError: Harbor says so itself.
    """
    client.ping()
    health = client.get_health()
    if require_healthy:
        _require_health(client.url, health)
    info = client.system_info
    client.check_paths()
    user = client.get_current_user()
    statistics = client.statistics
    is_admin = bool(user and user.get("sysadmin_flag"))
    return HarborStatus(
        url=client.url,
        harbor_version=info.harbor_version,
        user=client.user,
        is_robot=user is None,
        is_healthy=health.is_healthy,
        is_read_only=info.read_only,
        components=dict(health.components),
        project_count=statistics.total_project_count if is_admin else None,
        repository_count=statistics.total_repo_count if is_admin else None,
        storage_bytes=statistics.total_storage_bytes if is_admin else None,
    )


def _require_health(url: str, health: Health) -> None:
    needed = {name: text for name, text in health.errors.items() if name in NEEDED_COMPONENTS}
    if needed or (not health.is_healthy and not health.errors):
        raise UnhealthyHarborError(url, needed)
    for name, text in sorted(health.errors.items()):
        log.warning(
            "Harbor's component %s is unhealthy, which a backup does without: %s", name, text
        )


def list_projects(
    client: HarborClient, include: Sequence[str] = (), exclude: Sequence[str] = ()
) -> list[Project]:
    """Return the projects to back up, sorted by name, and make sure that none is overlooked.

    Args:
        client: The login.
        include: Names or globs (`team-*`), case-sensitive; empty for all projects.
        exclude: Names or globs; they win over `include`.

    Raises:
        HarborSightError: All projects were asked for, or all that fit a glob, and the login does
            not see them all, or cannot prove that it does.
        HarborConfigurationError: A name or glob of `include` matches nothing, or nothing is left.
    """
    projects = list_seen_projects(client, include, exclude)
    for pattern in include:
        if not any(fnmatchcase(project.name, pattern) for project in projects):
            raise HarborConfigurationError(_no_match(client, pattern, projects))
    chosen = [p for p in projects if is_meant(p.name, include, exclude)]
    if not chosen:
        raise HarborConfigurationError(
            f"there is nothing to back up at {client.url}: of {len(projects)} projects that "
            f"{client.user!r} sees, include {list(include) or ['*']} and exclude {list(exclude)} "
            "leave none"
        )
    return chosen


def list_seen_projects(
    client: HarborClient, include: Sequence[str] = (), exclude: Sequence[str] = ()
) -> list[Project]:
    """Return all projects that a login sees, sorted by name, wanted or not.

    Args:
        client: The login.
        include: As `list_projects` takes it.
        exclude: Likewise.

    Raises:
        HarborSightError: All projects are wanted, or all that fit a glob, and the login does not
            see them all, or cannot prove that it does.
    """

    def is_wanted(name: str) -> bool:
        return is_meant(name, include, exclude)

    projects = _sorted_projects(client)
    if not include or any(_GLOB.search(pattern) for pattern in include):
        try:
            _prove_sight(client, client.statistics, _names(projects), is_wanted)
        except HarborSightError:
            # One may have been created since the others were listed, or deleted before. Where that
            # goes on, as many as were counted just before the list are enough.
            enough = client.get_statistics().total_project_count or client.count_projects()
            projects = _sorted_projects(client)
            _prove_sight(client, client.get_statistics(), _names(projects), is_wanted, enough)
    return projects


def is_meant(name: str, include: Sequence[str], exclude: Sequence[str]) -> bool:
    """Tell whether a project is one of those that names and globs ask for; `exclude` wins."""
    return (not include or _matches(name, include)) and not _matches(name, exclude)


def _sorted_projects(client: HarborClient) -> list[Project]:
    return sorted(client.iter_projects(), key=lambda project: project.name)


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _no_match(client: HarborClient, pattern: str, projects: Sequence[Project]) -> str:
    names = [project.name for project in projects]
    return (
        f"no project matches {pattern!r}. {client.user!r} sees {len(names)} projects at "
        f"{client.url}: {_listed(names) or 'none'}. Correct the name, or give the login access"
    )


def _names(projects: Iterable[Project]) -> set[str]:
    return {project.name for project in projects}


def _prove_sight(
    client: HarborClient,
    statistics: Statistics,
    seen: set[str],
    is_wanted: Callable[[str], bool],
    enough: int | None = None,
) -> None:
    """Compare what was listed with what Harbor says that it has.

    An administrator's statistics count all projects. A robot's do not; what proves its sight are
    its own permissions, which it may read since Harbor 2.12, or else the list of quotas.

    Args:
        client: The login.
        statistics: What it was told after the list, or before.
        seen: Names of what was listed.
        is_wanted: Tells of a name whether that project is to be backed up.
        enough: So many need to be in the list, however many are counted after it; None for all.
    """
    total = statistics.total_project_count
    if total:
        _require_as_many(client, seen, total, enough)
    elif client.version >= _ROBOTS_READ_ROBOTS:
        _prove_by_permissions(client, seen, is_wanted, enough)
    else:
        _prove_by_quotas(client, seen, is_wanted)


def _require_as_many(client: HarborClient, seen: set[str], total: int, enough: int | None) -> None:
    if len(seen) < (total if enough is None else min(enough, total)):
        raise HarborSightError(
            f"{client.user!r} sees {len(seen)} of the {total} projects of {client.url}"
        )


def _prove_by_permissions(
    client: HarborClient,
    seen: set[str],
    is_wanted: Callable[[str], bool],
    enough: int | None,
) -> None:
    """Make sure that a robot sees all projects: Harbor hides none from it that may see any.

    The list of quotas is no proof: Harbor makes none for a project while quotas are switched off.
    But it can name a project that is hidden.

    Source: Harbor src/server/v2.0/handler/project.go, ListProjects and CreateProject.
    """
    try:
        permissions = client.find_own_permissions()
    except HarborAuthError as err:
        raise _unproved(
            client,
            seen,
            "Give the robot the system permission 'robot:list' (its own permissions are the proof)",
        ) from err
    if permissions is not None and any(map(_sees_all, permissions)):
        # It may see them all; that all were in the list, another answer has to say.
        _require_as_many(client, seen, client.count_projects(), enough)
        return
    with suppress(HarborAuthError):
        _require_none_hidden(client, set(client.iter_quota_projects()) - seen, is_wanted)
    raise _unproved(
        client,
        seen,
        "Give the robot the system permission 'project:list', or permissions on all projects",
    )


def _sees_all(permission: Mapping[str, Any]) -> bool:
    access = permission.get("access") or []
    if permission.get("kind") == "project":
        return permission.get("namespace") == "*" and bool(access)
    return permission.get("kind") == "system" and any(
        item.get("resource") == "project" and item.get("action") == "list" for item in access
    )


def _prove_by_quotas(
    client: HarborClient, seen: set[str], is_wanted: Callable[[str], bool]
) -> None:
    """Compare with the list of quotas, which is not filtered by what a robot may see."""
    try:
        existing = {name for name in client.iter_quota_projects() if name}
    except HarborAuthError as err:
        raise _unproved(
            client,
            seen,
            "Give the robot the system permission 'quota:list' (its list "
            "of quotas names every project)",
        ) from err
    _require_none_hidden(client, existing - seen, is_wanted)
    if without := sorted(seen - existing):
        raise _unproved(
            client,
            seen,
            f"Harbor keeps no quota of {_listed(without)}: it makes none while quotas "
            "for each project are switched off, so its list of quotas is no proof. Log in as an "
            "administrator",
        )


def _require_none_hidden(
    client: HarborClient, unseen: set[str], is_wanted: Callable[[str], bool]
) -> None:
    if hidden := sorted(filter(is_wanted, unseen)):
        raise HarborSightError(
            f"{client.user!r} does not see {human_count(len(hidden), 'project')} of {client.url}: "
            f"{_listed(hidden)}. Give the robot its permissions on them, leave them out, or name "
            "the projects to back up"
        )


def _unproved(client: HarborClient, seen: set[str], remedy: str) -> HarborSightError:
    return HarborSightError(
        f"{client.user!r} sees {human_count(len(seen), 'project')} at {client.url}, and nothing "
        f"proves that these are all. {remedy}, or name the projects to back up, without wildcards"
    )


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:10]) + (" and more" if len(names) > 10 else "")
