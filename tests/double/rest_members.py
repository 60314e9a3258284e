"""REST: members of a project."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from .model import Member, Project
from .rest_projects import checked_project
from .routes import route
from .state import ROLES, State
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


def _name(state: State, member: Member) -> str | None:
    """Return the name of who is a member; nothing where the user or the group is gone."""
    if member.kind == "u":
        user = state.user_by_id(member.entity_id)
        return user.name if user else None
    row = state.groups.get(member.entity_id)
    return row["group_name"] if row else None


def member_json(state: State, project: Project, member: Member) -> dict[str, Any]:
    return {
        "entity_id": member.entity_id,
        "entity_name": _name(state, member),
        "entity_type": member.kind,
        "id": member.id,
        "project_id": project.id,
        "role_id": member.role,
        "role_name": ROLES[member.role],
    }


@route("GET", "/projects/{project}/members")
def list_members(state: State, request: Request, name: str) -> Response:
    page = Page(request)
    project = checked_project(state, request, name, "member", "list")
    wanted = request.query.get("entityname")
    # A role that is none hides its member, and all are counted whatever was asked for.
    rows = [
        member_json(state, project, member)
        for member in project.members.values()
        if member.role in ROLES and _name(state, member) is not None
    ]
    rows = [row for row in rows if not wanted or row["entity_name"] == wanted]
    rows.sort(key=lambda row: row["entity_name"])
    return answer(rows[page.window], headers=page.headers(len(project.members)))


@route("POST", "/projects/{project}/members")
def add_member(state: State, request: Request, name: str) -> Response:
    project = checked_project(state, request, name, "member", "create")
    body = request.json()
    kind, number = _entity(state, body.get("member_user") or {}, body.get("member_group") or {})
    role = body.get("role_id")
    there = project.members.get((kind, number))
    if there is not None and there.role in ROLES:
        raise HarborError(409, "CONFLICT", "The project member specified already exist")
    if there is not None:  # hidden by its role, but there
        raise internal_error()
    if role not in ROLES:
        raise bad_request("Failed to update project member, role is not in 1,2,3")
    member = state.join(project, kind, number, role)
    return created(f"/api/v2.0/projects/{name}/members/{member.id}")


def _entity(state: State, user: dict[str, Any], group: dict[str, Any]) -> tuple[str, int]:
    """Return type and number of who is to be a member, looked for in Harbor's order."""
    if user.get("user_id"):
        if state.user_by_id(user["user_id"]) is None:
            raise bad_request(f"Failed to get user {user['user_id']}: user not found")
        return "u", user["user_id"]
    if group.get("id"):
        if state.groups.get(group["id"]) is None:
            raise bad_request(f"Group {group['id']} not found")
        return "g", group["id"]
    if user.get("username"):
        found = state.users.get(user["username"])
        if found is None:
            raise _unknown(state, user["username"])
        return "u", found.id
    wanted = {key: group[key] for key in ("ldap_group_dn", "group_name") if group.get(key)}
    if not wanted:
        raise internal_error()
    if "ldap_group_dn" in wanted:
        row = state.groups.first(ldap_group_dn=wanted["ldap_group_dn"], group_type=1)
    else:
        row = state.groups.first(**wanted, group_type=group.get("group_type", 0))
    return "g", row["id"] if row else _make_group(state, wanted, group.get("group_type", 0))


def _make_group(state: State, wanted: dict[str, str], kind: int) -> int:
    """Make a group that is not known; only the mode of OIDC can, for its own type."""
    mode = state.configuration["auth_mode"]
    name = wanted.get("group_name", "")
    if mode == "oidc_auth" and kind == 3:
        number: int = state.groups.add(group_name=name, group_type=3, ldap_group_dn="")["id"]
        return number
    raise _unknown(state, wanted.get("ldap_group_dn") or name)


def _unknown(state: State, name: str) -> HarborError:
    if state.configuration["auth_mode"] == "ldap_auth":
        return internal_error()  # there is no directory to ask
    return not_found(f"{name} not found: not supported")


def _member(project: Project, number: str) -> Member | None:
    return next((m for m in project.members.values() if str(m.id) == number), None)


@route("GET", "/projects/{project}/members/{member}")
def get_member(state: State, request: Request, name: str, number: str) -> Response:
    project = checked_project(state, request, name, "member", "read")
    member = _member(project, number)
    if member is None or member.role not in ROLES:
        raise not_found(f"the project member {number} is not found")
    return answer(member_json(state, project, member))


@route("PUT", "/projects/{project}/members/{member}")
def update_member(state: State, request: Request, name: str, number: str) -> Response:
    project = checked_project(state, request, name, "member", "update")
    member = _member(project, number)
    # Nobody looks here whether the role is one, nor whether the member is there.
    if member is not None:
        member.role = request.json().get("role_id", 0)
    return Response(status_code=200)


@route("DELETE", "/projects/{project}/members/{member}")
def delete_member(state: State, request: Request, name: str, number: str) -> Response:
    project = checked_project(state, request, name, "member", "delete")
    member = _member(project, number)
    if member is not None:
        del project.members[member.kind, member.entity_id]
    return Response(status_code=200)
