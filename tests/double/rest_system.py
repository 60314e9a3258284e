"""REST: what belongs to the whole Harbor, and the settings of a project."""

from __future__ import annotations

import re

from starlette.responses import Response

from .access import ROLE_POLICIES, SELF, require_login, require_project, require_system
from .configuration import configuration_answer
from .model import Project
from .query import Fields, filtered, keywords_of, ordered
from .rest_projects import checked_project
from .routes import route
from .state import COMPONENTS, ROLES, State
from .wire import (
    HarborError,
    Page,
    Request,
    answer,
    bad_request,
    created,
    internal_error,
    timestamp,
)

DICT_FIELDS: Fields = {
    name: (lambda row, name=name: row.get(name))  # type: ignore[misc]
    for name in ("id", "name", "creation_time", "update_time")
}


@route("GET", "/ping")
def ping(state: State, request: Request) -> Response:
    return Response("Pong", headers={"Content-Type": "text/plain"})


@route("GET", "/health")
def health(state: State, request: Request) -> Response:
    components = []
    for name in COMPONENTS:
        if name in state.unhealthy:
            error = state.unhealthy[name]
            components.append({"error": error, "name": name, "status": "unhealthy"})
        else:
            components.append({"name": name, "status": "healthy"})
    status = "unhealthy" if state.unhealthy else "healthy"
    return answer({"components": components, "status": status})


@route("GET", "/systeminfo")
def system_info(state: State, request: Request) -> Response:
    values = state.configuration
    body = {
        "auth_mode": values["auth_mode"],
        "banner_message": values["banner_message"],
        "oidc_provider_name": values["oidc_name"] if values["auth_mode"] == "oidc_auth" else "",
        "primary_auth_mode": values["primary_auth_mode"],
        "self_registration": values["self_registration"],
    }
    if request.caller.authenticated:
        body |= {
            "current_time": timestamp(state.now()),
            "external_url": state.external_url,
            "harbor_version": state.version,
            "has_ca_root": False,
            "notification_enable": values["notification_enable"],
            "project_creation_restriction": values["project_creation_restriction"],
            "read_only": values["read_only"],
            "registry_storage_provider_name": "filesystem",
            "registry_url": state.external_url.rpartition("://")[2],
        }
    return answer(dict(sorted(body.items())))


@route("GET", "/statistics")
def statistics(state: State, request: Request) -> Response:
    caller = request.caller
    require_login(caller)

    def counts(projects: list[Project]) -> tuple[int, int]:
        return len(projects), sum(len(project.repositories) for project in projects)

    everything = list(state.projects.values())
    public = counts([project for project in everything if project.public])
    private, total, storage = (0, 0), (0, 0), 0
    if caller.sysadmin:
        private = counts([project for project in everything if not project.public])
        total, storage = counts(everything), state.storage_consumption
    elif caller.user is not None:
        number = caller.user.id
        private = counts([p for p in everything if not p.public and number in p.members])
    return answer(
        {
            "private_project_count": private[0],
            "private_repo_count": private[1],
            "public_project_count": public[0],
            "public_repo_count": public[1],
            "total_project_count": total[0],
            "total_repo_count": total[1],
            "total_storage_consumption": storage,
        }
    )


@route("GET", "/users/current")
def current_user(state: State, request: Request) -> Response:
    require_login(request.caller)
    user = request.caller.user
    if user is None:
        text = "get current user not available for security context: robot"
        raise HarborError(412, "PRECONDITION", text)
    body = {
        "admin_role_in_auth": False,
        "comment": user.comment,
        "creation_time": timestamp(user.creation_time),
        "realname": user.realname,
        "sysadmin_flag": user.sysadmin,
        "update_time": timestamp(user.creation_time),
        "user_id": user.id,
        "username": user.name,
    }
    return answer({key: value for key, value in body.items() if value != ""})


@route("GET", "/users/current/permissions")
def current_permissions(state: State, request: Request) -> Response:
    require_login(request.caller)
    match = re.match(r"^/project/(\d+)/?", request.query.get("scope", ""))
    if match is None:
        return answer([])
    project = state.project(int(match[1]))
    relative = request.flag("relative")
    body = []
    for resource, action in sorted(set().union(*ROLE_POLICIES.values())):
        if request.caller.can(state, project, resource, action):
            below = "" if resource == SELF else resource
            whole = f"/project/{match[1]}" + (f"/{below}" if below else "")
            body.append({"action": action, "resource": below if relative else whole})
    return answer(body)


@route("GET", "/configurations")
def get_configuration(state: State, request: Request) -> Response:
    require_system(request.caller, "configuration", "read")
    return answer(configuration_answer(state.configuration))


@route("PUT", "/configurations")
def put_configuration(state: State, request: Request) -> Response:
    require_system(request.caller, "configuration", "update")
    for name, value in request.json().items():
        if name in state.configuration:
            state.configuration[name] = value
    return Response(status_code=200)


# -- labels, and settings of projects ----------------------------------------------------------


@route("GET", "/labels")
def list_labels(state: State, request: Request) -> Response:
    page = Page(request)
    require_login(request.caller)
    scope = request.query.get("scope")
    if scope not in ("g", "p"):
        raise bad_request("invalid scope")
    if scope == "p":
        project = state.project(int(request.query.get("project_id") or 0))
        require_project(state, request.caller, project, "label", "list")
    wanted = request.query.get("name", "")
    project_id = request.query.get("project_id") if scope == "p" else None
    rows = [
        row
        for row in state.labels.values()
        if row["scope"] == scope
        and wanted in row["name"]
        and (project_id is None or str(row.get("project_id")) == project_id)
    ]
    return answer(rows[page.window], headers=page.headers(len(rows)))


@route("POST", "/labels")
def create_label(state: State, request: Request) -> Response:
    body = request.json()
    if body.get("scope") == "p":
        project = state.project(int(body.get("project_id") or 0))
        require_project(state, request.caller, project, "label", "create")
    else:
        require_system(request.caller, "label", "create")
    if any(row["name"] == body.get("name") for row in state.labels.values()):
        raise HarborError(409, "CONFLICT", f"label {body.get('name')} already exists")
    number, now = state.next_id("label"), timestamp(state.now())
    kept = ("color", "description", "name", "project_id", "scope")
    row = {key: body[key] for key in kept if body.get(key)}
    state.labels[number] = dict(
        sorted({**row, "creation_time": now, "id": number, "update_time": now}.items())
    )
    return created(f"{request.raw_path.rstrip('/')}/{number}")


@route("GET", "/projects/{project}/members")
def list_members(state: State, request: Request, name: str) -> Response:
    page = Page(request)
    project = checked_project(state, request, name, "member", "list")
    rows = [
        {
            "entity_id": number,
            "entity_name": state.user_by_id(number).name,
            "entity_type": "u",
            "id": project.id * 1000 + number,
            "project_id": project.id,
            "role_id": role,
            "role_name": ROLES[role],
        }
        for number, role in project.members.items()
    ]
    return answer(rows[page.window], headers=page.headers(len(rows)))


@route("GET", "/projects/{project}/metadatas")
def list_metadata(state: State, request: Request, name: str) -> Response:
    return answer(checked_project(state, request, name, "metadata", "list").metadata)


@route("GET", "/projects/{project}/immutabletagrules")
def list_immutable_rules(state: State, request: Request, name: str) -> Response:
    page = Page(request)
    project = checked_project(state, request, name, "immutable-tag", "list")
    rows = project.immutable_rules
    return answer(rows[page.window], headers=page.headers(len(rows)))


@route("POST", "/projects/{project}/immutabletagrules")
def create_immutable_rule(state: State, request: Request, name: str) -> Response:
    project = checked_project(state, request, name, "immutable-tag", "create")
    body = request.json()
    number = state.next_id("immutable_rule")
    kept = ("action", "disabled", "priority", "scope_selectors", "tag_selectors", "template")
    rule = {key: body[key] for key in kept if body.get(key)}
    project.immutable_rules.append(dict(sorted({**rule, "id": number}.items())))
    return created(f"{request.raw_path.rstrip('/')}/{number}")


@route("DELETE", "/projects/{project}/immutabletagrules/{rule}")
def delete_immutable_rule(state: State, request: Request, name: str, number: str) -> Response:
    project = checked_project(state, request, name, "immutable-tag", "delete")
    project.immutable_rules = [r for r in project.immutable_rules if str(r["id"]) != number]
    return Response(status_code=200)


@route("GET", "/projects/{project}/webhook/policies")
def list_webhooks(state: State, request: Request, name: str) -> Response:
    page = Page(request)
    checked_project(state, request, name, "notification-policy", "list")
    return answer([], headers=page.headers(0))


@route("GET", "/registries")
def list_registries(state: State, request: Request) -> Response:
    page = Page(request)
    require_system(request.caller, "registry", "list")
    rows = ordered(
        filtered(state.registries.values(), keywords_of(request), DICT_FIELDS),
        request, DICT_FIELDS, [],
    )  # fmt: skip
    body = [
        {
            **row,
            "creation_time": timestamp(row["creation_time"]),
            "status": "healthy",
            "update_time": timestamp(row["update_time"]),
        }
        for row in rows[page.window]
    ]
    return answer(body, headers=page.headers(len(rows)))


@route("GET", "/replication/policies")
def list_replication_policies(state: State, request: Request) -> Response:
    page = Page(request)
    require_system(request.caller, "replication-policy", "list")
    return answer([], headers=page.headers(0))


@route("GET", "/system/gc")
def list_garbage_collections(state: State, request: Request) -> Response:
    page = Page(request)
    require_system(request.caller, "garbage-collection", "list")
    return answer([], headers=page.headers(0))


@route("GET", "/retentions/{retention}")
def get_retention(state: State, request: Request, number: str) -> Response:
    """Answer as Harbor does for a retention policy that is not there; the double has none."""
    require_login(request.caller)
    raise internal_error()
