"""REST: vulnerabilities that do not count, in the whole system and in a project."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from .access import require_login, require_system
from .routes import route
from .state import State
from .wire import Request, answer, internal_error, timestamp

Allowlist = dict[str, Any]


def read_allowlist(state: State, old: Allowlist | None, body: dict[str, Any]) -> Allowlist:
    """Return the list that a body describes; the same vulnerability twice breaks Harbor."""
    items = [each.get("cve_id", "") for each in body.get("items") or []]
    if len(set(items)) != len(items):
        raise internal_error()
    now = state.now()
    return {
        "id": old["id"] if old else state.next_id("allowlist"),
        "creation_time": old["creation_time"] if old else now,
        "expires_at": body.get("expires_at"),
        "items": items,
        "update_time": now,
    }


def allowlist_json(allowlist: Allowlist | None, **more: Any) -> dict[str, Any]:
    """Return a list as it is shown; `more` comes first where the list has it not itself."""
    found = allowlist or {}
    document = {
        **more,
        "creation_time": timestamp(found.get("creation_time", 0)),
        "items": [{"cve_id": each} for each in found.get("items", ())],
        "update_time": timestamp(found.get("update_time", 0)),
    }
    document |= {key: found[key] for key in ("expires_at", "id") if found.get(key)}
    return dict(sorted(document.items()))


@route("GET", "/system/CVEAllowlist")
def get_system_allowlist(state: State, request: Request) -> Response:
    require_login(request.caller)
    return answer(allowlist_json(state.allowlist))


@route("PUT", "/system/CVEAllowlist")
def put_system_allowlist(state: State, request: Request) -> Response:
    require_system(request.caller, "configuration", "update")
    state.allowlist = read_allowlist(state, state.allowlist, request.json())
    return Response(status_code=200)
