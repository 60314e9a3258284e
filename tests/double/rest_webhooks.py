"""REST: webhooks of a project."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from .rest_projects import checked_project
from .routes import route
from .state import State
from .tables import Row, columns, listed, shown
from .wire import HarborError, Page, Request, answer, bad_request, created, not_found

POLICIES = "/projects/{project}/webhook/policies"
EVENTS = (
    "PUSH_ARTIFACT", "PULL_ARTIFACT", "DELETE_ARTIFACT", "QUOTA_EXCEED", "QUOTA_WARNING",
    "SCANNING_FAILED", "SCANNING_STOPPED", "SCANNING_COMPLETED", "REPLICATION", "TAG_RETENTION",
)  # fmt: skip
TYPES = ("http", "slack")
FORMATS = ("Default", "CloudEvents")
FIELDS = columns("id", "name", "enabled", "update_time") | {
    # A time that is not there sorts behind all others.
    "creation_time": lambda row: row["creation_time"] or 1 << 63
}


def webhook_json(row: Row) -> dict[str, Any]:
    document = shown(
        row, "creation_time", "description", "event_types", "id", "name", "project_id",
        "targets", "update_time", always=("enabled",),
    )  # fmt: skip
    names = ("address", "auth_header", "payload_format", "skip_cert_verify", "type")
    document["targets"] = [shown(target, *names) for target in row["targets"]]
    return document


def _read(state: State, body: dict[str, Any]) -> dict[str, Any]:
    """Return the policy of a body, or raise what is wrong with it. No address is dialled."""
    with_formats = state.version_numbers >= (2, 8)
    name, events = body.get("name") or "", body.get("event_types") or []
    if not events:
        raise bad_request("empty event type")
    for event in events:
        if event not in EVENTS:
            raise bad_request(f"unsupported event type {event}")
    targets = body.get("targets") or []
    if not targets:
        raise bad_request(f"empty notification target with policy {name}")
    for target in targets:
        kind, form = target.get("type", ""), target.get("payload_format") or ""
        if kind not in TYPES:
            raise bad_request(f"unsupported target type {kind} with policy {name}")
        if form and (kind == "slack" or form not in FORMATS):
            raise bad_request(f"unsupported payload format type {form} with policy {name}")
    return {
        "description": body.get("description") or "",
        "enabled": bool(body.get("enabled")),
        "event_types": list(events),
        "name": name,
        "targets": [
            {k: v for k, v in target.items() if k != "payload_format" or with_formats}
            for target in targets
        ],
    }


@route("GET", "/projects/{project}/webhook/events")
def list_events(state: State, request: Request, name: str) -> Response:
    checked_project(state, request, name, "notification-policy", "read")
    formats = [{"formats": list(FORMATS), "notify_type": "http"}]
    body = {"event_type": list(EVENTS), "notify_type": list(TYPES)}
    return answer({**body, "payload_formats": formats})


@route("GET", POLICIES)
def list_webhooks(state: State, request: Request, name: str) -> Response:
    page = Page(request)
    project = checked_project(state, request, name, "notification-policy", "list")
    rows = state.webhooks.where(project_id=project.id)
    return listed(request, page, rows, FIELDS, webhook_json, [("creation_time", True)])


@route("POST", POLICIES)
def create_webhook(state: State, request: Request, name: str) -> Response:
    project = checked_project(state, request, name, "notification-policy", "create")
    row = _read(state, request.json())
    _refuse_twice(state, project.id, row["name"], None)
    number = state.webhooks.add(**row, project_id=project.id)["id"]
    return created(f"{request.raw_path.rstrip('/')}/{number}")


def _refuse_twice(state: State, project_id: int, name: str, own: Row | None) -> None:
    if state.webhooks.first(project_id=project_id, name=name) not in (None, own):
        text = f"notification policy named {name} already exists"
        raise HarborError(409, "CONFLICT", text)


def _found(state: State, request: Request, name: str, number: str, action: str) -> Row:
    project = checked_project(state, request, name, "notification-policy", action)
    row = state.webhooks.get(number)
    if row is None or row["project_id"] != project.id:
        text = f"project id:{project.id}, webhook policy id: {number} not found"
        raise not_found(f"resource not found: {text}")
    return row


@route("GET", POLICIES + "/{webhook}")
def get_webhook(state: State, request: Request, name: str, number: str) -> Response:
    return answer(webhook_json(_found(state, request, name, number, "read")))


@route("PUT", POLICIES + "/{webhook}")
def update_webhook(state: State, request: Request, name: str, number: str) -> Response:
    row = _found(state, request, name, number, "update")
    changes = _read(state, request.json())
    _refuse_twice(state, row["project_id"], changes["name"], row)
    # All of it: a header that is left out is gone, and so is the time when it was made.
    state.webhooks.change(row, **changes, creation_time=0)
    return Response(status_code=200)


@route("DELETE", POLICIES + "/{webhook}")
def delete_webhook(state: State, request: Request, name: str, number: str) -> Response:
    state.webhooks.remove(_found(state, request, name, number, "delete"))
    return Response(status_code=200)
