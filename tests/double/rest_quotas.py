"""REST: quotas of projects."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from .access import require_system
from .configuration import quota_problem
from .model import Project, Quota
from .query import Fields, ordered
from .routes import route
from .state import State
from .wire import Page, Request, answer, bad_request, not_found, timestamp

QUOTA_FIELDS: Fields = {
    # -1 is no limit, and sorts as the largest.
    "hard.storage": lambda p: p.quota.hard if p.quota.hard >= 0 else 1 << 63,
    "used.storage": lambda p: p.storage_used,
    "creation_time": lambda p: p.quota.creation_time,
    "update_time": lambda p: p.quota.update_time,
}


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


def _project(state: State, number: str) -> Project:
    for project in state.projects.values():
        if project.quota is not None and str(project.quota.id) == number:
            return project
    raise not_found(f"quota {number} not found")


@route("GET", "/quotas/{quota}")
def get_quota(state: State, request: Request, number: str) -> Response:
    require_system(request.caller, "quota", "read")
    project = _project(state, number)
    assert project.quota is not None
    return answer(quota_json(project.quota, project))


@route("PUT", "/quotas/{quota}")
def update_quota(state: State, request: Request, number: str) -> Response:
    require_system(request.caller, "quota", "update")
    hard = request.json().get("hard")
    if not hard:
        raise bad_request("hard required in body")
    project = _project(state, number)
    assert project.quota is not None
    problem = _problem(hard)
    if problem:
        raise bad_request(problem)
    # Less than what is used is a limit as well: nothing can be added then.
    project.quota.hard, project.quota.update_time = hard["storage"], state.now()
    return Response(status_code=200)


def _problem(hard: dict[str, Any]) -> str:
    for name, value in hard.items():
        if name != "storage":
            return f"resource {name} not support"
        if quota_problem(value):
            return quota_problem(value)
    return "" if "storage" in hard else "resource storage not found"
