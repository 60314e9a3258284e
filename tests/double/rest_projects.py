"""REST: projects."""

from __future__ import annotations

import re
from typing import Any

from starlette.responses import Response

from .access import SELF, Caller, require_login, require_project
from .configuration import quota_problem
from .model import Project
from .query import Fields, Fuzzy, filtered, keywords_of, ordered
from .registries import registry_json
from .rest_allowlists import allowlist_json, read_allowlist
from .routes import route
from .state import ROLES, State
from .wire import (
    JSON_UTF8,
    NEVER,
    HarborError,
    Page,
    Request,
    answer,
    bad_request,
    created,
    internal_error,
    not_found,
    timestamp,
)

# What a project can be told, and since when.
METADATA = {
    "public": (2, 0), "auto_scan": (2, 0), "prevent_vul": (2, 0), "severity": (2, 0),
    "enable_content_trust": (2, 0), "reuse_sys_cve_allowlist": (2, 0), "retention_id": (2, 0),
    "enable_content_trust_cosign": (2, 5), "auto_sbom_generation": (2, 11),
    "proxy_speed_kb": (2, 12), "max_upstream_conn": (2, 15),
    "proxy_cache_local_on_not_found": (2, 15, 1),
}  # fmt: skip
FOR_PROXIES = ("proxy_speed_kb", "max_upstream_conn")
# Registries whose content a project can be a cache of.
CACHEABLE = (
    "docker-hub", "harbor", "azure-acr", "ali-acr", "aws-ecr", "google-gcr", "quay",
    "docker-registry", "github-ghcr", "jfrog-artifactory",
)  # fmt: skip
SEVERITIES = ("none", "low", "medium", "high", "critical")
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
        or (user is not None and project.role_of(user))
    ]


def shown_metadata(metadata: dict[str, str]) -> dict[str, str]:
    """Return the metadata that a project shows: not its scanner, and no severity that is none."""
    shown = {key: value for key, value in metadata.items() if key in METADATA}
    if "severity" in shown and shown["severity"].lower() not in SEVERITIES:
        shown["severity"] = "unknown"
    return shown


def project_json(project: Project, caller: Caller, detail: bool = True) -> dict[str, Any]:
    role = project.role_of(caller.user) if caller.user is not None else 0
    roles = [role] if role in ROLES else None
    allowlist: dict[str, Any] = {"creation_time": NEVER, "items": None, "update_time": NEVER}
    if detail:
        allowlist = allowlist_json(project.allowlist, id=project.id, project_id=project.id)
    document = {
        "creation_time": timestamp(project.creation_time),
        "current_user_role_id": roles[0] if roles else None,
        "current_user_role_ids": roles,
        "cve_allowlist": allowlist,
        "metadata": shown_metadata(project.metadata) if detail else None,
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
    may_create = caller.can_in_system("project", "create")
    registry_id = body.get("registry_id")
    _require_creator(state, caller, may_create, proxy=registry_id is not None)
    metadata = read_metadata(state, body.get("metadata") or {}, proxy=registry_id is not None)
    public = metadata.pop("public", "") or str(bool(body.get("public"))).lower()
    if public not in ("true", "false"):
        text = f"metadata.public should only be 'true' or 'false', but got: '{public}'"
        raise bad_request(text)
    if metadata.pop("retention_id", ""):
        raise bad_request(
            "bad request: the retention_id in the request's payload when creating a project "
            "should be omitted, alternatively passing an empty string"
        )
    if registry_id is not None:
        _check_registry(state, registry_id, metadata)
    limit = body.get("storage_limit") if may_create else None
    if limit and state.configuration["quota_per_project_enable"] and quota_problem(limit):
        raise bad_request(f"bad request: {quota_problem(limit)}")
    project = state.create_project(
        body.get("project_name", ""),
        public=public == "true",
        storage_limit=limit,
        registry_id=registry_id,
        metadata=metadata,
        owner=caller.user,
    )
    named = request.headers.get("x-resource-name-in-location", "").lower() == "true"
    return created(f"{request.raw_path.rstrip('/')}/{project.name if named else project.id}")


def _require_creator(state: State, caller: Caller, may_create: bool, *, proxy: bool) -> None:
    if caller.robot is not None and caller.robot.level != "system":
        raise HarborError(403, "FORBIDDEN", "Only system level robot can create project")
    restriction = state.configuration["project_creation_restriction"]
    if restriction == "adminonly" and not may_create:
        raise HarborError(403, "FORBIDDEN", "Only system admin can create project")
    if proxy and not may_create:
        raise HarborError(403, "FORBIDDEN", "Only system admin can create proxy cache project")


def read_metadata(state: State, sent: dict[str, Any], *, proxy: bool) -> dict[str, str]:
    """Return the metadata that a project takes; what it does not know is dropped silently."""
    never = (1 << 31,)
    dropped = ("enable_content_trust",) if proxy else FOR_PROXIES
    return {
        key: str(value)
        for key, value in sent.items()
        if value is not None
        and state.version_numbers >= METADATA.get(key, never)
        and key not in dropped
    }


def _check_registry(state: State, registry_id: int, metadata: dict[str, str]) -> None:
    if registry_id <= 0:
        text = f"{registry_id} is invalid value of registry_id, it should be geater than 0"
        raise bad_request(f"bad request: {text}")
    registry = state.registries.get(registry_id)
    if registry is None:
        raise internal_error()
    if registry["type"] not in CACHEABLE:
        raise bad_request(f"bad request: unsupported registry type {registry['type']}")
    for key in FOR_PROXIES:
        value = metadata.get(key, "0")
        if re.fullmatch(r"[+-]?\d{1,9}", value) is None:
            raise bad_request(f"metadata.{key} should by an int32, but got: '{value}'")


@route("GET", "/projects/{project}")
def get_project(state: State, request: Request, name: str) -> Response:
    project = checked_project(state, request, name, SELF, "read")
    return answer(project_json(project, request.caller))


@route("PUT", "/projects/{project}")
def update_project(state: State, request: Request, name: str) -> Response:
    project = checked_project(state, request, name, SELF, "update")
    body = request.json()
    sent = body.get("cve_allowlist")
    if sent is not None and sent.get("project_id") not in (None, 0, project.id):
        text = f"project_id in cve_allowlist must be {project.id} but it's {sent['project_id']}"
        raise bad_request(text)
    # What it says is stored as it is: nobody looks whether a severity is one.
    changes = read_metadata(state, body.get("metadata") or {}, proxy=bool(project.registry_id))
    own = project.metadata.get("retention_id", "")
    if changes.get("retention_id", own) != own:
        raise bad_request(
            "the retention_id in the request's payload when updating a project should be "
            "omitted, alternatively passing the one that has already been associated to this "
            "project"
        )
    if sent is not None:
        project.allowlist = read_allowlist(state, project.allowlist, sent)
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
            count = sum(1 for each in project.members.values() if each.role == role)
            if count:
                body[f"{title}_count"] = count
    if project.registry_id:
        body["registry"] = registry_json(state.registries.checked(project.registry_id, "registry"))
        body["registry"].pop("credential", None)
    return answer(dict(sorted(body.items())))
