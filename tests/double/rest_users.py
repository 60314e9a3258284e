"""REST: users."""

from __future__ import annotations

import re
from typing import Any

from starlette.responses import Response

from .access import ROLE_POLICIES, SELF, Caller, require_login, require_system
from .model import User
from .query import Fields, Fuzzy, filtered, keywords_of, ordered
from .routes import route
from .state import State
from .wire import (
    HarborError,
    Page,
    Panic,
    Request,
    answer,
    bad_request,
    created,
    internal_error,
    not_found,
    timestamp,
)

USER_FIELDS: Fields = {
    "user_id": lambda u: u.id,
    "username": lambda u: u.name,
    "email": lambda u: u.email,
    "realname": lambda u: u.realname,
    "sysadmin_flag": lambda u: u.sysadmin,
    "creation_time": lambda u: u.creation_time,
    "update_time": lambda u: u.update_time,
}
EMAIL = re.compile(
    r'^(([^<>()\[\]\\.,;:\s@"]+(\.[^<>()\[\]\\.,;:\s@"]+)*)|(".+"))'
    r"@((\[[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}\])|(([a-zA-Z\-0-9]+\.)+[a-zA-Z]{2,}))$"
)
ILLEGAL = set(',"~#%$')  # in names
WEAK = (
    "{} must be 8-128, inclusively, characters long with at least 1 uppercase letter, 1 lowercase "
    "letter and 1 number"
)


def is_strong(secret: str) -> bool:
    kinds = all(re.search(kind, secret) for kind in ("[a-z]", "[A-Z]", "[0-9]"))
    return 8 <= len(secret) <= 128 and kinds


def user_json(user: User) -> dict[str, Any]:
    document = {
        "admin_role_in_auth": False,
        "comment": user.comment,
        "creation_time": timestamp(user.creation_time),
        "email": user.email,
        "realname": user.realname,
        "sysadmin_flag": user.sysadmin,
        "update_time": timestamp(user.update_time),
        "user_id": user.id,
        "username": user.name,
    }
    return {key: value for key, value in document.items() if value != ""}


# -- oneself -----------------------------------------------------------------------------------


@route("GET", "/users/current")
def current_user(state: State, request: Request) -> Response:
    require_login(request.caller)
    user = request.caller.user
    if user is None:
        text = "get current user not available for security context: robot"
        raise HarborError(412, "PRECONDITION", text)
    return answer(user_json(user))


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


# -- all ---------------------------------------------------------------------------------------


def _others(state: State) -> list[User]:
    """All but the first administrator, whom Harbor never lists."""
    return [user for user in state.users.values() if user is not state.admin]


@route("GET", "/users")
def list_users(state: State, request: Request) -> Response:
    page = Page(request)
    require_system(request.caller, "user", "list")
    keywords = keywords_of(request)
    for name in ("username", "email"):
        if request.query.get(name):
            keywords[name] = Fuzzy(request.query[name])
    rows = filtered(_others(state), keywords, USER_FIELDS)
    rows = ordered(rows, request, USER_FIELDS, [("username", False)])
    return answer([user_json(u) for u in rows[page.window]], headers=page.headers(len(rows)))


@route("POST", "/users")
def create_user(state: State, request: Request) -> Response:
    mode = state.configuration["auth_mode"]
    if mode != "db_auth":
        text = f"creating local user is not allowed under auth mode: {mode}"
        raise HarborError(403, "FORBIDDEN", text)
    if not state.configuration["self_registration"]:
        require_system(request.caller, "user", "create")
    elif not request.caller.can_in_system("user", "create") and "sid" not in request.cookies:
        raise HarborError(403, "FORBIDDEN", "self-registration cannot be triggered via API")
    body = request.json()
    password = body.get("password") or ""
    if not is_strong(password):
        raise bad_request(WEAK.format("the password or secret"))
    _check_profile(body)
    name, email = body.get("username") or "", body.get("email") or ""
    if not 1 <= len(name) <= 255:
        raise bad_request("username with illegal length")
    if ILLEGAL & set(name):
        raise bad_request("username contains illegal characters")
    if name in state.users or any(user.email == email for user in state.users.values()):
        raise HarborError(409, "CONFLICT", f"user {name} or email {email} already exists")
    profile = {key: body.get(key) or "" for key in ("email", "realname", "comment")}
    user = state.create_user(name, password, **profile)
    return created(f"{request.raw_path.rstrip('/')}/{user.id}")


def _check_profile(body: dict[str, Any]) -> None:
    email, realname = body.get("email") or "", body.get("realname") or ""
    if not email:
        raise bad_request("email can't be empty")
    if EMAIL.match(email) is None:
        raise bad_request("email with illegal format")
    if not 1 <= len(realname) <= 255:
        raise bad_request("realname with illegal length")
    if ILLEGAL & set(realname):
        raise bad_request("realname contains illegal characters")
    if len(body.get("comment") or "") > 30:
        raise bad_request("comment with illegal length")


def _user(state: State, number: str) -> User:
    user = state.user_by_id(int(number)) if number.isdigit() else None
    if user is None:
        raise not_found(f"user {number} not found")
    return user


def _is_caller(caller: Caller, number: str) -> bool:
    """Whether somebody asks about himself; Harbor breaks where it is nobody who asks."""
    if not caller.authenticated:
        raise Panic
    return caller.user is not None and str(caller.user.id) == number


@route("GET", "/users/{user}")
def get_user(state: State, request: Request, number: str) -> Response:
    if not _is_caller(request.caller, number):
        require_system(request.caller, "user", "read")
    user = _user(state, number)
    body = user_json(user)
    if state.configuration["auth_mode"] == "oidc_auth" and user.cli_secret:
        body["oidc_user_meta"] = {
            "creation_time": timestamp(user.creation_time), "id": user.id,
            "secret": user.cli_secret, "subiss": f"{user.name}idp",
            "update_time": timestamp(user.update_time), "user_id": user.id,
        }  # fmt: skip
    return answer(dict(sorted(body.items())))


def _require_modifiable(state: State, request: Request, number: str) -> None:
    if state.configuration["auth_mode"] == "db_auth":
        if _is_caller(request.caller, number):
            return
    elif number != "1":
        raise HarborError(403, "FORBIDDEN", f"User with ID {number} can't be updated")
    require_system(request.caller, "user", "update")


@route("PUT", "/users/{user}")
def update_profile(state: State, request: Request, number: str) -> Response:
    _require_modifiable(state, request, number)
    body = request.json()
    _check_profile(body)
    user = _user(state, number)
    if any(other.email == body["email"] for other in state.users.values() if other is not user):
        raise internal_error()
    user.email, user.realname = body["email"], body["realname"]
    user.comment, user.update_time = body.get("comment") or "", state.now()
    return Response(status_code=200)


@route("PUT", "/users/{user}/sysadmin")
def set_administrator(state: State, request: Request, number: str) -> Response:
    require_system(request.caller, "user", "update")
    user = _user(state, number)
    user.sysadmin, user.update_time = bool(request.json().get("sysadmin_flag")), state.now()
    return Response(status_code=200)


@route("PUT", "/users/{user}/password")
def set_password(state: State, request: Request, number: str) -> Response:
    _require_modifiable(state, request, number)
    own = _is_caller(request.caller, number)
    body = request.json()
    user = _user(state, number)
    if own and user.password != body.get("old_password"):
        raise HarborError(403, "FORBIDDEN", "Current password is incorrect")
    password = body.get("new_password") or ""
    if not is_strong(password):
        raise bad_request(WEAK.format("the password or secret"))
    if password == user.password:
        raise bad_request("New password is identical to old password")
    user.password, user.update_time = password, state.now()
    return Response(status_code=200)


@route("DELETE", "/users/{user}")
def delete_user(state: State, request: Request, number: str) -> Response:
    require_system(request.caller, "user", "delete")
    if number == "1" or _is_caller(request.caller, number):
        raise HarborError(403, "FORBIDDEN", f"User with ID {number} cannot be deleted")
    del state.users[_user(state, number).name]
    return Response(status_code=200)
