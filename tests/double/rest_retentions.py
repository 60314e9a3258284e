"""REST: policies on which tags of a project are kept."""

from __future__ import annotations

import json
from typing import Any

from starlette.responses import Response

from .access import require_login, require_project, require_system
from .cron import check_cron, next_time
from .routes import route
from .state import State
from .tables import Row
from .wire import (
    HarborError,
    Request,
    answer,
    bad_request,
    created,
    internal_error,
    not_found,
    timestamp,
)

MAXIMUM_RULES = 15


def _require_access(state: State, request: Request, scope: dict[str, Any], action: str) -> None:
    if scope.get("level") == "project":
        project = state.project(int(scope.get("ref") or 0))
        require_project(state, request.caller, project, "tag-retention", action)
    else:
        require_system(request.caller, "tag-retention", action)


def _cron(policy: dict[str, Any]) -> str:
    cron: str = (policy["trigger"].get("settings") or {}).get("cron") or ""
    return cron


def retention_json(state: State, row: Row) -> dict[str, Any]:
    trigger = dict(row["trigger"])
    if _cron(row):
        due = timestamp(next_time(_cron(row), state.now()))
        trigger["settings"] = {**trigger["settings"], "next_scheduled_time": due}
    return {
        "algorithm": row["algorithm"],
        "id": row["id"],
        "rules": [
            {key: value for key, value in sorted(rule.items()) if value or key.endswith("ors")}
            for rule in row["rules"]
        ],
        "scope": {"level": "project", "ref": row["project_id"]},
        "trigger": trigger,
    }


def _read(body: dict[str, Any]) -> dict[str, Any]:
    """Return the policy of a body, its rules numbered, or raise what is wrong with it."""
    rules = [{k: v for k, v in rule.items() if k != "id"} for rule in body.get("rules") or []]
    if len(rules) > MAXIMUM_RULES:
        raise bad_request(f"bad request: only {MAXIMUM_RULES} rules are allowed at most")
    texts = [json.dumps(rule, sort_keys=True) for rule in rules]
    for number, text in enumerate(texts):
        if text in texts[:number]:
            clash = f"rule {number} is conflict with rule {texts.index(text)}"
            raise HarborError(409, "CONFLICT", f"resource conflict: {clash}")
    return {
        "algorithm": body.get("algorithm") or "",
        "rules": [{**rule, "id": number} for number, rule in enumerate(rules)],
        "trigger": body.get("trigger") or {},
    }


def _check_trigger(policy: dict[str, Any]) -> None:
    kind, cron = policy["trigger"].get("kind", ""), _cron(policy)
    if kind not in ("", "Schedule"):
        raise internal_error()
    if cron:
        check_cron(cron, "tag retention")


def _found(state: State, number: str) -> Row:
    row = state.retentions.get(number)
    if row is None:
        raise internal_error()  # not 404: nobody expects it to be gone
    return row


@route("GET", "/retentions/{retention}")
def get_retention(state: State, request: Request, number: str) -> Response:
    require_login(request.caller)
    row = _found(state, number)
    scope = {"level": "project", "ref": row["project_id"]}
    _require_access(state, request, scope, "read")
    return answer(retention_json(state, row))


@route("POST", "/retentions")
def create_retention(state: State, request: Request) -> Response:
    require_login(request.caller)
    body = request.json()
    policy, scope = _read(body), body.get("scope") or {}
    _require_access(state, request, scope, "create")
    if scope.get("level") != "project":
        raise bad_request(f"bad request: scope {scope.get('level', '')} is not support")
    project = state.project(int(scope.get("ref") or 0))
    if project is None:
        raise bad_request(f"bad request: invalid Project id {scope.get('ref', 0)}")
    there = project.metadata.get("retention_id")
    if there:
        text = f"project {project.id} already has retention policy {there}"
        raise bad_request(f"bad request: {text}")
    _check_trigger(policy)
    row = state.add_retention(project.id, policy)
    project.metadata["retention_id"] = str(row["id"])
    return created(f"{request.raw_path.rstrip('/')}/{row['id']}")


@route("PUT", "/retentions/{retention}")
def update_retention(state: State, request: Request, number: str) -> Response:
    require_login(request.caller)
    body = request.json()
    policy, scope = _read(body), body.get("scope") or {}
    _require_access(state, request, scope, "update")
    row = _found(state, number)
    if row["project_id"] != scope.get("ref"):
        text = f"the retention policy id {number} does not match"
        raise not_found(f"resource not found: {text}")
    _check_trigger(policy)
    before = _cron(row)
    state.retentions.change(row, **policy)
    if _cron(row) != before:
        state.unschedule("RETENTION", row["id"])
        if _cron(row):
            state.schedule("RETENTION", row["id"], _cron(row))
    return Response(status_code=200)


@route("DELETE", "/retentions/{retention}")
def delete_retention(state: State, request: Request, number: str) -> Response:
    require_login(request.caller)
    row = state.retentions.get(number)
    if row is None:
        raise bad_request(f"bad request: no such Retention policy with id {number}")
    scope = {"level": "project", "ref": row["project_id"]}
    _require_access(state, request, scope, "delete")
    state.retentions.remove(row)
    state.unschedule("RETENTION", row["id"])
    state.projects[row["project_id"]].metadata.pop("retention_id", None)
    return Response(status_code=200)
