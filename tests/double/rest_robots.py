"""REST: robot accounts."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import Any

from starlette.responses import Response

from .access import Caller, require_login, require_project, require_system
from .model import Robot
from .permissions import grantable
from .query import Fields, filtered, keywords_of, ordered
from .rest_users import WEAK, is_strong
from .routes import route
from .state import State
from .wire import HarborError, Page, Request, answer, bad_request, created, not_found, timestamp

ROBOT_FIELDS: Fields = {
    "id": lambda r: r.id,
    "name": lambda r: r.stored_name,
    "project_id": lambda r: r.project_id,
    "creation_time": lambda r: r.creation_time,
    "update_time": lambda r: r.update_time,
}
# Of a few rows the database keeps the order in which they were made; of more it does not.
FEW = 8
LEVELS = ("system", "project")
MAXIMUM_DAYS = (1 << 31) - 1
DAY = 86400

Permissions = list[dict[str, Any]]


def _shown_permissions(state: State, robot: Robot) -> Permissions:
    """Return what a robot may do, in another order each time: Harbor keeps none."""
    turn = state.next_id("robot_answer")
    rows = [
        {
            "access": [
                {key: value for key, value in sorted(access.items()) if value}
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
    document: dict[str, Any] = {
        "creation_time": timestamp(robot.creation_time),
        "description": robot.description,
        "disable": robot.disabled,
        "duration": robot.duration,
        "editable": robot.editable,
        "expires_at": robot.expires_at,
        "id": robot.id,
        "level": robot.level,
        "name": robot.name,
        "permissions": _shown_permissions(state, robot),
        "update_time": timestamp(robot.update_time),
    }
    if state.version_numbers >= (2, 12):
        document |= {"creator_ref": robot.creator_ref, "creator_type": robot.creator_type}
    return {key: value for key, value in sorted(document.items()) if value != ""}


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
    wanted = keywords.pop("ProjectID", None)
    if level not in LEVELS:
        raise bad_request("bad request error level input")
    project_id = 0
    if level == "project":
        if wanted is None:
            raise bad_request("must with project ID when to query project robots")
        if not str(wanted).isdigit() or int(wanted) <= 0:
            raise bad_request("ProjectID must be a positive integer")
        project_id = int(wanted)
    _require_robots(state, request.caller, project_id, "list")
    rows = [each for each in state.robots.values() if each.project_id == project_id]
    rows = ordered(filtered(rows, keywords, ROBOT_FIELDS), request, ROBOT_FIELDS, [("name", False)])
    body = [robot_json(state, each) for each in rows[page.window]]
    return answer(body, headers=page.headers(len(rows)))


# -- what is sent ------------------------------------------------------------------------------


def _check(state: State, duration: int, level: str, permissions: Permissions) -> None:
    """Raise what is wrong with a robot that is to be made or changed."""
    if duration != -1 and not 0 < duration < MAXIMUM_DAYS:
        text = "duration must be either -1(Never) or a positive integer"
        raise bad_request(f"bad request error duration input: {duration}, {text}")
    if level not in LEVELS:
        raise bad_request(f"bad request error level input: {level}")
    if not permissions:
        raise bad_request("bad request empty permission")
    if not all(permission.get("access") for permission in permissions):
        raise bad_request("bad request empty access")
    if level == "project" and len(permissions) > 1:
        raise bad_request("bad request permission")
    table = grantable(state.version_numbers)
    for permission in permissions:
        kind = permission.get("kind", "")
        if kind not in table:
            raise bad_request(f"bad request permission level: {kind}")
        for resource, action in _pairs(permission):
            # Before 2.10 nobody looked whether there is such a permission.
            if state.version_numbers >= (2, 10) and (resource, action) not in table[kind]:
                raise bad_request(f"bad request permission: {resource}:{action}")


def _pairs(permission: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for access in permission["access"]:
        yield access.get("resource", ""), access.get("action", "")


def _require_projects(state: State, permissions: Permissions) -> None:
    """Raise where a permission is for a project that is not there."""
    for permission in permissions:
        namespace = permission.get("namespace", "")
        everywhere = permission["kind"] == "system" or namespace == "*"
        if not everywhere and state.project(namespace) is None:
            raise not_found(f"project {namespace} not found")


def _require_less_than(creator: Robot, permissions: Permissions) -> None:
    """Raise where a robot makes one that may do more than it may itself."""
    own = {
        (permission["kind"], permission["namespace"], *pair)
        for permission in creator.permissions
        for pair in _pairs(permission)
    }
    for permission in permissions:
        for pair in _pairs(permission):
            kind, namespace = permission["kind"], permission.get("namespace", "")
            if not {(kind, namespace, *pair), (kind, "*", *pair)} & own:
                text = "permission scope is invalid. It must be equal to or more restrictive than"
                text += f" the creator robot's permissions: {creator.name}"
                raise HarborError(403, "DENIED", text)


def _kept(permissions: Permissions) -> Permissions:
    return [
        {
            "access": [dict(access) for access in permission["access"]],
            "kind": permission["kind"],
            "namespace": "/" if permission["kind"] == "system" else permission["namespace"],
        }
        for permission in permissions
    ]


def _made_secret() -> str:
    return secrets.token_urlsafe(20) + "Aa1"


@route("POST", "/robots")
def create_robot(state: State, request: Request) -> Response:
    require_login(request.caller)
    body = request.json()
    level, permissions = body.get("level", ""), body.get("permissions") or []
    duration = body.get("duration") or 0
    _check(state, duration, level, permissions)
    project = state.project(permissions[0].get("namespace", "")) if level == "project" else None
    if level == "project" and project is None:
        raise not_found(f"project {permissions[0].get('namespace')} not found")
    _require_robots(state, request.caller, project.id if project else 0, "create")
    creator = request.caller.robot
    if creator is not None:
        _require_less_than(creator, permissions)
    _require_projects(state, permissions)
    # Neither `disable` nor `secret` of the body is looked at.
    robot = state.create_robot(
        body.get("name", ""), _kept(permissions), secret=_made_secret(), level=level,
        duration=duration, description=body.get("description") or "",
    )  # fmt: skip
    if creator is not None:
        robot.creator_ref, robot.creator_type = creator.id, "robot"
    elif request.caller.user is not None:
        robot.creator_ref = request.caller.user.id
    answered = {
        "creation_time": timestamp(robot.creation_time),
        "expires_at": robot.expires_at,
        "id": robot.id,
        "name": robot.name,
        "secret": robot.secret,
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
    if secret and not is_strong(secret):
        raise bad_request(WEAK.format("the secret"))
    robot.secret, robot.update_time = secret or _made_secret(), state.now()
    return answer({} if secret else {"secret": robot.secret})


@route("PUT", "/robots/{robot}")
def update_robot(state: State, request: Request, number: str) -> Response:
    robot = _robot(state, request, number, "update")
    if not robot.editable:
        raise HarborError(403, "DENIED", "editing of legacy robot is not allowed")
    body = request.json()
    level, permissions = body.get("level", ""), body.get("permissions") or []
    duration = body.get("duration")
    duration = robot.duration if duration is None else duration
    _check(state, duration, level, permissions)
    if robot.project_id:
        project = state.project(permissions[0].get("namespace", ""))
        if project is None or project.id != robot.project_id:
            raise bad_request("cannot update the project id of robot")
    if level != robot.level or body.get("name") != robot.name:
        raise bad_request("cannot update the level or name of robot")
    _require_projects(state, permissions)
    if duration != robot.duration:
        robot.duration = duration
        made = robot.creation_time // 1000
        robot.expires_at = -1 if duration == -1 else made + duration * DAY
    robot.disabled = bool(body.get("disable"))
    robot.description = body.get("description") or ""
    robot.permissions, robot.update_time = _kept(permissions), state.now()
    return Response(status_code=200)


@route("DELETE", "/robots/{robot}")
def delete_robot(state: State, request: Request, number: str) -> Response:
    del state.robots[_robot(state, request, number, "delete").id]
    return Response(status_code=200)
