"""REST: labels, of the whole Harbor and of projects."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from .access import require_project, require_system
from .query import Fuzzy
from .routes import route
from .state import State
from .tables import Row, columns, listed, shown
from .wire import HarborError, Page, Request, answer, bad_request, created

FIELDS = columns("id", "name", "description", "color", "creation_time", "update_time")


def label_json(row: Row) -> dict[str, Any]:
    names = ("color", "description", "id", "name", "project_id", "scope")
    return shown(row, *names, "creation_time", "update_time")


def _require_access(state: State, request: Request, row: Row, action: str) -> None:
    if row["scope"] == "g":
        require_system(request.caller, "label", action)
    elif row["scope"] == "p":
        project = state.project(row["project_id"])
        require_project(state, request.caller, project, "label", action)
    else:
        raise bad_request("unsupported label scope")


@route("GET", "/labels")
def list_labels(state: State, request: Request) -> Response:
    page = Page(request)
    scope = request.query.get("scope", "")
    if scope not in ("g", "p"):
        raise bad_request(f"invalid scope: {scope}")
    rows = state.labels.where(scope=scope)
    if scope == "p":
        number = request.query.get("project_id") or "0"
        if number == "0" or not number.isdigit():
            raise bad_request("must with project ID when to query project labels")
        project = state.project(int(number))
        require_project(state, request.caller, project, "label", "list")
        rows = state.labels.where(scope=scope, project_id=int(number))
    keywords = {"name": Fuzzy(request.query["name"])} if request.query.get("name") else {}
    return listed(request, page, rows, FIELDS, label_json, **keywords)


@route("POST", "/labels")
def create_label(state: State, request: Request) -> Response:
    body = request.json()
    row = {key: body.get(key) or "" for key in ("color", "description", "name", "scope")}
    row["project_id"] = (body.get("project_id") or 0) if row["scope"] == "p" else 0
    _require_access(state, request, row, "create")
    key = ("name", "scope", "project_id")
    if state.labels.first(**{name: row[name] for name in key}) is not None:
        raise HarborError(409, "CONFLICT", f"label {row['name']} already exists")
    return created(f"{request.raw_path.rstrip('/')}/{state.labels.add(**row)['id']}")


@route("GET", "/labels/{label}")
def get_label(state: State, request: Request, number: str) -> Response:
    row = state.labels.checked(number, "label")
    _require_access(state, request, row, "read")
    return answer(label_json(row))


@route("PUT", "/labels/{label}")
def update_label(state: State, request: Request, number: str) -> Response:
    row = state.labels.checked(number, "label")
    _require_access(state, request, row, "update")
    body = request.json()
    changes = {key: body.get(key) or "" for key in ("color", "description", "name")}
    if not changes["name"]:
        raise bad_request("cannot be empty")
    if len(changes["name"]) > 128:
        raise bad_request("max length is 128")
    there = state.labels.first(
        name=changes["name"], scope=row["scope"], project_id=row["project_id"]
    )
    if there not in (None, row):
        raise HarborError(409, "CONFLICT", f"label {changes['name']} already exists")
    state.labels.change(row, **changes)
    _show_again(state, row)
    return Response(status_code=200)


@route("DELETE", "/labels/{label}")
def delete_label(state: State, request: Request, number: str) -> Response:
    row = state.labels.checked(number, "label")
    _require_access(state, request, row, "delete")
    _show_again(state, row)
    for artifact in state.artifacts.values():
        artifact.labels -= {row["id"]}
    state.labels.remove(row)
    return Response(status_code=200)


def _show_again(state: State, row: Row) -> None:
    """Forget the answers about artifacts that have a label which changes."""
    for artifact in state.artifacts.values():
        if row["id"] in artifact.labels:
            artifact.rendered = None
