"""REST: projects, repositories, quotas."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from .access import SELF, Caller, require_login, require_project, require_system
from .model import Project, Quota, Repository
from .query import Fields, Fuzzy, filtered, keywords_of, ordered
from .routes import route
from .state import State
from .wire import (
    JSON_UTF8,
    NEVER,
    HarborError,
    Page,
    Request,
    answer,
    created,
    not_found,
    timestamp,
)

PROJECT_FIELDS: Fields = {
    "project_id": lambda p: p.id,
    "name": lambda p: p.name,
    "owner_id": lambda p: p.owner.id,
    "owner": lambda p: p.owner.name,
    "public": lambda p: str(p.public).lower(),
    "registry_id": lambda p: p.registry_id,
    "creation_time": lambda p: p.creation_time,
    "update_time": lambda p: p.update_time,
}
REPOSITORY_FIELDS: Fields = {
    "repository_id": lambda r: r.id,
    "name": lambda r: r.name,
    "project_id": lambda r: r.project.id,
    "pull_count": lambda r: r.pull_count,
    "creation_time": lambda r: r.creation_time,
    "update_time": lambda r: r.update_time,
}
QUOTA_FIELDS: Fields = {
    # -1 is no limit, and sorts as the largest.
    "hard.storage": lambda p: p.quota.hard if p.quota.hard >= 0 else 1 << 63,
    "used.storage": lambda p: p.storage_used,
    "creation_time": lambda p: p.quota.creation_time,
    "update_time": lambda p: p.quota.update_time,
}


def find_project(state: State, request: Request, name_or_id: str) -> Project | None:
    """Return the project of a path: a number is an id, unless a header says that it is a name."""
    named = request.headers.get("x-is-resource-name", "").lower() == "true"
    if not named and name_or_id.lstrip("+-").isdigit():
        return state.project(int(name_or_id))
    return state.project(name_or_id)


def checked_project(
    state: State, request: Request, name_or_id: str, resource: str, action: str
) -> Project:
    """Return the project of a path after the caller's permission was checked."""
    project = find_project(state, request, name_or_id)
    require_project(state, request.caller, project, resource, action)
    if project is None:
        raise not_found(f"project {name_or_id} not found")
    return project


def visible_projects(state: State, caller: Caller, *, listing: bool) -> list[Project]:
    """Return the projects whose names (`listing`) or repositories a caller gets to see."""
    projects = list(state.projects.values())
    namespaces = caller.namespaces()
    if caller.sysadmin or "*" in namespaces:
        return projects
    if listing and caller.can_in_system("project", "list"):
        return projects
    if caller.robot is not None and not caller.robot.permissions:
        return projects  # no name to filter by is no filter
    user = caller.user
    return [
        project
        for project in projects
        if project.public
        or project.name in namespaces
        or (user is not None and user.id in project.members)
    ]


def project_json(project: Project, caller: Caller, detail: bool = True) -> dict[str, Any]:
    roles = None
    if caller.user is not None and caller.user.id in project.members:
        roles = [project.members[caller.user.id]]
    allowlist: dict[str, Any] = {"creation_time": NEVER, "items": None, "update_time": NEVER}
    if detail:
        allowlist = {
            "creation_time": NEVER, "id": project.id, "items": [], "project_id": project.id,
            "update_time": NEVER,
        }  # fmt: skip
    document = {
        "creation_time": timestamp(project.creation_time),
        "current_user_role_id": roles[0] if roles else None,
        "current_user_role_ids": roles,
        "cve_allowlist": allowlist,
        "metadata": project.metadata if detail else None,
        "name": project.name,
        "owner_id": project.owner.id,
        "owner_name": project.owner.name if detail else None,
        "project_id": project.id,
        "registry_id": project.registry_id or None,
        "repo_count": len(project.repositories),
        "update_time": timestamp(project.update_time),
    }
    return {
        key: value
        for key, value in document.items()
        if value is not None or key == "current_user_role_ids"
    }


def repository_json(repository: Repository) -> dict[str, Any]:
    return {
        "artifact_count": len(repository.listing.visible),
        "creation_time": timestamp(repository.creation_time),
        "id": repository.id,
        "name": repository.name,
        "project_id": repository.project.id,
        "pull_count": repository.pull_count,
        "update_time": timestamp(repository.update_time),
    }


@route("GET", "/projects")
def list_projects(state: State, request: Request) -> Response:
    page = Page(request)
    keywords = keywords_of(request)
    if request.query.get("name"):
        keywords["name"] = Fuzzy(request.query["name"])
    if request.query.get("owner"):
        keywords["owner"] = request.query["owner"]
    if "public" in request.query:
        keywords["public"] = str(request.flag("public")).lower()
    projects = visible_projects(state, request.caller, listing=True)
    projects = filtered(projects, keywords, PROJECT_FIELDS)
    projects = ordered(projects, request, PROJECT_FIELDS, [("name", False)])
    detail = request.flag("with_detail", True)
    body = [project_json(p, request.caller, detail) for p in projects[page.window]]
    return answer(body, headers=page.headers(len(projects)))


@route("HEAD", "/projects")
def head_project(state: State, request: Request) -> Response:
    require_login(request.caller)
    found = state.project(request.query.get("project_name", ""))
    if found is None:
        return Response(status_code=404, headers={"Content-Type": JSON_UTF8})
    return Response(status_code=200)


@route("POST", "/projects")
def create_project(state: State, request: Request) -> Response:
    caller = request.caller
    require_login(caller)
    body = request.json()
    if caller.robot is not None and caller.robot.level != "system":
        raise HarborError(403, "FORBIDDEN", "Only system level robot can create project")
    may_create = caller.can_in_system("project", "create")
    restriction = state.configuration["project_creation_restriction"]
    if restriction == "adminonly" and not may_create:
        raise HarborError(403, "FORBIDDEN", "Only system admin can create project")
    if body.get("registry_id") is not None and not may_create:
        raise HarborError(403, "FORBIDDEN", "Only system admin can create proxy cache project")
    metadata = dict(body.get("metadata") or {})
    public = metadata.pop("public", None) or str(bool(body.get("public"))).lower()
    metadata.pop("retention_id", None)
    project = state.create_project(
        body.get("project_name", ""),
        public=public == "true",
        storage_limit=body.get("storage_limit") if may_create else None,
        registry_id=body.get("registry_id"),
        metadata={key: str(value) for key, value in metadata.items() if value is not None},
        owner=caller.user,
    )
    named = request.headers.get("x-resource-name-in-location", "").lower() == "true"
    return created(f"{request.raw_path.rstrip('/')}/{project.name if named else project.id}")


@route("GET", "/projects/{project}")
def get_project(state: State, request: Request, name: str) -> Response:
    project = checked_project(state, request, name, SELF, "read")
    return answer(project_json(project, request.caller))


@route("PUT", "/projects/{project}")
def update_project(state: State, request: Request, name: str) -> Response:
    project = checked_project(state, request, name, SELF, "update")
    body = request.json()
    changes = {k: str(v) for k, v in (body.get("metadata") or {}).items() if v is not None}
    project.metadata.update(changes)
    project.update_time = state.now()
    return Response(status_code=200)


@route("DELETE", "/projects/{project}")
def delete_project(state: State, request: Request, name: str) -> Response:
    project = checked_project(state, request, name, SELF, "delete")
    if project.repositories:
        text = "precondition failed: the project contains repositories, can not be deleted"
        raise HarborError(412, "PRECONDITION", text)
    state.delete_project(project.name)
    return Response(status_code=200)


@route("GET", "/projects/{project}/summary")
def summary(state: State, request: Request, name: str) -> Response:
    project = checked_project(state, request, name, SELF, "read")
    caller = request.caller
    body: dict[str, Any] = {"repo_count": len(project.repositories)}
    enabled = state.configuration["quota_per_project_enable"]
    if enabled and project.quota and caller.can(state, project, "quota", "read"):
        body["quota"] = {
            "hard": {"storage": project.quota.hard},
            "used": {"storage": project.storage_used},
        }
    if caller.can(state, project, "member", "list"):
        names = ("project_admin", "developer", "guest", "maintainer", "limited_guest")
        for role, title in enumerate(names, 1):
            count = sum(1 for each in project.members.values() if each == role)
            if count:
                body[f"{title}_count"] = count
    if project.registry_id:
        registry = state.registries[project.registry_id]
        body["registry"] = {key: registry[key] for key in ("id", "name", "type", "url")}
    return answer(dict(sorted(body.items())))


@route("GET", "/projects/{project}/repositories")
def list_repositories(state: State, request: Request, name: str) -> Response:
    page = Page(request)
    project = state.project(name)
    require_project(state, request.caller, project, "repository", "list")
    if project is None:
        raise not_found(f"project {name} not found")
    return _repositories(request, page, list(project.repositories.values()))


@route("GET", "/repositories")
def list_all_repositories(state: State, request: Request) -> Response:
    page = Page(request)
    rows = [
        repository
        for project in visible_projects(state, request.caller, listing=False)
        for repository in project.repositories.values()
    ]
    return _repositories(request, page, rows)


def _repositories(request: Request, page: Page, rows: list[Repository]) -> Response:
    keywords = keywords_of(request)
    digest = keywords.pop("blob_digest", None)
    if digest is not None:
        rows = [r for r in rows if any(digest in a.blob_digests for a in r.artifacts.values())]
    rows = filtered(rows, keywords, REPOSITORY_FIELDS)
    default = [("creation_time", True), ("repository_id", True)]
    rows = ordered(rows, request, REPOSITORY_FIELDS, default)
    body = [repository_json(repository) for repository in rows[page.window]]
    return answer(body, headers=page.headers(len(rows)))


def checked_repository(
    state: State, request: Request, project: str, repository: str, action: str
) -> Repository:
    found = state.project(project)
    require_project(state, request.caller, found, "repository", action)
    row = state.repositories.get(f"{project}/{repository}")
    if row is None:
        raise not_found(f"repository {project}/{repository} not found")
    return row


@route("GET", "/projects/{project}/repositories/{repository}")
def get_repository(state: State, request: Request, project: str, repository: str) -> Response:
    return answer(repository_json(checked_repository(state, request, project, repository, "read")))


@route("DELETE", "/projects/{project}/repositories/{repository}")
def delete_repository(state: State, request: Request, project: str, repository: str) -> Response:
    row = checked_repository(state, request, project, repository, "delete")
    state.refuse_immutable_delete(row, list(row.tags))
    state.forget_repository(row)
    return Response(status_code=200)


@route("GET", "/quotas")
def list_quotas(state: State, request: Request) -> Response:
    page = Page(request)
    require_system(request.caller, "quota", "list")
    rows = [row for row in state.projects.values() if row.quota is not None]
    if request.query.get("reference", "") not in ("", "project"):
        rows = []
    if request.query.get("reference_id"):
        rows = [row for row in rows if str(row.id) == request.query["reference_id"]]
    rows = ordered(rows, request, QUOTA_FIELDS, [("creation_time", True)])
    body = [quota_json(row.quota, row) for row in rows[page.window] if row.quota]
    return answer(body, headers=page.headers(len(rows)))


def quota_json(quota: Quota, project: Project) -> dict[str, Any]:
    return {
        "creation_time": timestamp(quota.creation_time),
        "hard": {"storage": quota.hard},
        "id": quota.id,
        "ref": {"id": project.id, "name": project.name, "owner_name": ""},
        "update_time": timestamp(quota.update_time),
        "used": {"storage": project.storage_used},
    }
