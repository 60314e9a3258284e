"""REST: groups of users."""

from __future__ import annotations

from starlette.responses import Response

from .access import require_system
from .routes import route
from .state import State
from .tables import Row, shown
from .wire import (
    HarborError,
    Page,
    Request,
    answer,
    bad_request,
    created,
    internal_error,
    not_found,
)

LDAP, HTTP, OIDC = 1, 2, 3
# In these modes only groups of one type are listed.
LISTED = {"ldap_auth": LDAP, "http_auth": HTTP}


def group_json(row: Row) -> dict[str, object]:
    return shown(row, "group_name", "group_type", "id", "ldap_group_dn")


@route("GET", "/usergroups")
def list_groups(state: State, request: Request) -> Response:
    page = Page(request)
    require_system(request.caller, "user-group", "list")
    wanted = request.query.get("group_name", "").lower()
    rows = [row for row in state.groups if wanted in row["group_name"].lower()]
    kind = LISTED.get(state.configuration["auth_mode"])
    if kind is not None:
        rows = [row for row in rows if row["group_type"] == kind]
    if kind == LDAP and request.query.get("ldap_group_dn"):
        rows = [row for row in rows if row["ldap_group_dn"] == request.query["ldap_group_dn"]]
    return answer([group_json(row) for row in rows[page.window]], headers=page.headers(len(rows)))


@route("POST", "/usergroups")
def create_group(state: State, request: Request) -> Response:
    require_system(request.caller, "user-group", "create")
    body = request.json()
    name, kind = body.get("group_name") or "", body.get("group_type") or 0
    dn = (body.get("ldap_group_dn") or "").strip().lower()
    if not name:
        return Response(status_code=400)
    if kind not in (LDAP, HTTP, OIDC):
        raise internal_error()
    if kind == LDAP:
        raise bad_request(f"LDAP Group DN is not found: DN:{dn}")  # there is no directory to ask
    if state.groups.first(group_name=name, group_type=kind) is not None:
        text = f"group name:{name}, group type: {kind}, ldap group DN: {dn}"
        raise HarborError(409, "CONFLICT", f"duplicate user group, {text}")
    if state.groups.first(group_name=name) is not None:
        raise internal_error()  # names are unique over all types, which nobody checks before
    row = state.groups.add(group_name=name, group_type=kind, ldap_group_dn=dn)
    return created(f"{request.raw_path.rstrip('/')}/{row['id']}")


def _group(state: State, number: str) -> Row:
    row = state.groups.get(number)
    if row is None:
        raise not_found(f"the user group with id {number} is not found")
    return row


@route("GET", "/usergroups/{group}")
def get_group(state: State, request: Request, number: str) -> Response:
    require_system(request.caller, "user-group", "read")
    body = group_json(_group(state, number))
    del body["id"]
    return answer(body)


@route("PUT", "/usergroups/{group}")
def rename_group(state: State, request: Request, number: str) -> Response:
    require_system(request.caller, "user-group", "update")
    name = request.json().get("group_name") or ""
    if not name:
        return Response(status_code=400)
    row = _group(state, number)
    if state.groups.first(group_name=name) not in (None, row):
        raise internal_error()
    state.groups.change(row, group_name=name)
    return Response(status_code=200)


@route("DELETE", "/usergroups/{group}")
def delete_group(state: State, request: Request, number: str) -> Response:
    require_system(request.caller, "user-group", "delete")
    row = _group(state, number)
    state.groups.remove(row)
    for project in state.projects.values():
        project.members.pop(("g", row["id"]), None)
    return Response(status_code=200)
