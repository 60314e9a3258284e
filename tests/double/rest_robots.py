"""REST: robot accounts."""

from __future__ import annotations

import re
import secrets
from typing import Any

from starlette.responses import Response

from .access import Caller, require_login, require_project, require_system
from .model import Robot
from .query import Fields, filtered, keywords_of, ordered
from .routes import route
from .state import State
from .wire import Page, Request, answer, bad_request, created, not_found, timestamp

ROBOT_FIELDS: Fields = {
    "id": lambda r: r.id,
    "name": lambda r: r.stored_name,
    "level": lambda r: r.level,
    "project_id": lambda r: r.project_id,
}


# Of a few rows the database keeps the order in which they were made; of more it does not.
FEW = 8


def _permissions(state: State, robot: Robot) -> list[dict[str, Any]]:
    """Return what a robot may do, in another order each time: Harbor keeps none."""
    turn = state.next_id("robot_answer")
    rows = [
        {
            "access": [
                {key: value for key, value in access.items() if value}
                for access in permission["access"]
            ],
            "kind": permission["kind"],
            "namespace": permission["namespace"],
        }
        for permission in robot.permissions
    ]
    if sum(len(row["access"]) for row in rows) > FEW:
        for row in rows:
            row["access"] = _rotated(row["access"], turn)
    return _rotated(rows, turn)


def _rotated(items: list[Any], turn: int) -> list[Any]:
    start = turn % len(items) if items else 0
    return items[start:] + items[:start]


def robot_json(state: State, robot: Robot) -> dict[str, Any]:
    document = {
        "creation_time": timestamp(robot.creation_time),
        "creator_ref": robot.creator_ref,
        "creator_type": robot.creator_type,
        "description": robot.description,
        "disable": robot.disabled,
        "duration": robot.duration,
        "editable": True,
        "expires_at": robot.expires_at,
        "id": robot.id,
        "level": robot.level,
        "name": robot.name,
        "permissions": _permissions(state, robot),
        "update_time": timestamp(robot.update_time),
    }
    return {key: value for key, value in document.items() if value != ""}


def _require_robots(state: State, caller: Caller, project_id: int, action: str) -> None:
    if project_id:
        require_project(state, caller, state.project(project_id), "robot", action)
    else:
        require_system(caller, "robot", action)


@route("GET", "/robots")
def list_robots(state: State, request: Request) -> Response:
    page = Page(request)
    require_login(request.caller)
    keywords = keywords_of(request)
    level = keywords.pop("Level", "system")
    project_id = 0
    if level == "project":
        if not str(keywords.get("ProjectID", "")).isdigit():
            raise bad_request("must with project ID when to query project robots")
        project_id = int(keywords["ProjectID"])
    elif level != "system":
        raise bad_request("bad request error level input")
    keywords.pop("ProjectID", None)
    _require_robots(state, request.caller, project_id, "list")
    rows = [each for each in state.robots.values() if each.project_id == project_id]
    rows = ordered(filtered(rows, keywords, ROBOT_FIELDS), request, ROBOT_FIELDS, [("name", False)])
    return answer(
        [robot_json(state, each) for each in rows[page.window]], headers=page.headers(len(rows))
    )


@route("POST", "/robots")
def create_robot(state: State, request: Request) -> Response:
    require_login(request.caller)
    body = request.json()
    level, permissions = body.get("level", ""), body.get("permissions") or []
    duration = body.get("duration", 0)
    if duration == 0 or duration < -1:
        text = "duration must be either -1(Never) or a positive integer"
        raise bad_request(f"bad request error duration input: {duration}, {text}")
    if level not in ("system", "project"):
        raise bad_request(f"bad request error level input: {level}")
    if not permissions:
        raise bad_request("bad request empty permission")
    project = None
    if level == "project":
        project = state.project(permissions[0].get("namespace", ""))
        if project is None:
            raise not_found(f"project {permissions[0].get('namespace')} not found")
    _require_robots(state, request.caller, project.id if project else 0, "create")
    secret = secrets.token_urlsafe(20) + "Aa1"
    robot = state.create_robot(
        body.get("name", ""), permissions, secret=secret, level=level, duration=duration,
        disabled=bool(body.get("disable")), description=body.get("description") or "",
    )  # fmt: skip
    answered = {
        "creation_time": timestamp(robot.creation_time),
        "expires_at": robot.expires_at,
        "id": robot.id,
        "name": robot.name,
        "secret": secret,
    }
    return created(f"{request.raw_path.rstrip('/')}/{robot.id}", answered)


def _robot(state: State, request: Request, number: str, action: str) -> Robot:
    require_login(request.caller)
    robot = state.robots.get(int(number)) if number.isdigit() else None
    if robot is None:
        raise not_found(f"robot {number} not found")
    _require_robots(state, request.caller, robot.project_id, action)
    return robot


@route("GET", "/robots/{robot}")
def get_robot(state: State, request: Request, number: str) -> Response:
    return answer(robot_json(state, _robot(state, request, number, "read")))


@route("PATCH", "/robots/{robot}")
def refresh_secret(state: State, request: Request, number: str) -> Response:
    robot = _robot(state, request, number, "update")
    secret = request.json().get("secret") or ""
    if not secret:
        robot.secret = secrets.token_urlsafe(20) + "Aa1"
        return answer({"secret": robot.secret})
    kinds = all(re.search(kind, secret) for kind in ("[a-z]", "[A-Z]", "[0-9]"))
    if not 8 <= len(secret) <= 128 or not kinds:
        raise bad_request(
            "the secret must be 8-128, inclusively, characters long with at least 1 uppercase "
            "letter, 1 lowercase letter and 1 number"
        )
    robot.secret = secret
    return answer({})


@route("PUT", "/robots/{robot}")
def update_robot(state: State, request: Request, number: str) -> Response:
    robot = _robot(state, request, number, "update")
    body = request.json()
    robot.disabled = bool(body.get("disable", robot.disabled))
    robot.permissions = body.get("permissions") or robot.permissions
    robot.description = body.get("description", robot.description)
    return Response(status_code=200)


@route("DELETE", "/robots/{robot}")
def delete_robot(state: State, request: Request, number: str) -> Response:
    del state.robots[_robot(state, request, number, "delete").id]
    return Response(status_code=200)
