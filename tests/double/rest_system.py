"""REST: what belongs to the whole Harbor."""

from __future__ import annotations

from starlette.responses import Response

from .access import require_login
from .model import Project
from .permissions import grantable
from .routes import route
from .state import COMPONENTS, State
from .wire import HarborError, Request, answer, timestamp

PROJECT_ADMIN = 1


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
        "banner_message": values.get("banner_message", ""),
        "oidc_provider_name": values["oidc_name"] if values["auth_mode"] == "oidc_auth" else "",
        "primary_auth_mode": values.get("primary_auth_mode", False),
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
        mine = [p for p in everything if not p.public and p.role_of(caller.user)]
        private = counts(mine)
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


@route("GET", "/permissions", since=(2, 10))
def list_permissions(state: State, request: Request) -> Response:
    caller = request.caller
    require_login(caller)
    leads = caller.user is not None and any(
        project.role_of(caller.user) == PROJECT_ADMIN for project in state.projects.values()
    )
    if not caller.sysadmin and not leads:
        text = "forbidden: only admins(system and project) can access permissions"
        raise HarborError(403, "FORBIDDEN", text)
    table = grantable(state.version_numbers)
    kinds = ("project", "system") if caller.sysadmin else ("project",)
    body = {
        kind: [{"action": action, "resource": resource} for resource, action in table[kind]]
        for kind in kinds
    }
    return answer(body)
