"""REST: the configuration of the system."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from . import probe
from .access import require_system
from .configuration import check_changes, configuration_answer, known_changes
from .routes import route
from .state import State
from .wire import HarborError, Request, answer, bad_request

AUDIT_ENDPOINT = "audit_log_forward_endpoint"


def _has_users(state: State) -> bool:
    """Whether there is anybody but the first administrator."""
    return len(state.users) > 1


@route("GET", "/configurations")
def get_configuration(state: State, request: Request) -> Response:
    require_system(request.caller, "configuration", "read")
    fixed: tuple[str, ...] = ("auth_mode",) if _has_users(state) else ()
    if state.configuration_is_given:
        fixed = tuple(state.configuration)
    return answer(configuration_answer(state.configuration, fixed))


@route("PUT", "/configurations")
async def put_configuration(state: State, request: Request) -> Response:
    require_system(request.caller, "configuration", "update")
    if state.configuration_is_given:
        text = "current config is init by env variable: CONFIG_OVERWRITE_JSON, it cannot be updated"
        raise HarborError(403, "FORBIDDEN", text)
    changes = known_changes(state.configuration, request.json())
    with state.lock:
        mode = changes.get("auth_mode", state.configuration["auth_mode"])
        if mode != state.configuration["auth_mode"] and _has_users(state):
            raise bad_request(
                "the auth mode cannot be modified as new users have been inserted into database"
            )
        check_changes(state.configuration, changes)
        _store(state, changes)
    endpoint = changes.get(AUDIT_ENDPOINT)
    # It is dialled after it was stored, so one that is not there stays.
    if endpoint and not await probe.listens(endpoint):
        raise bad_request(f"bad request: could not connect to the audit endpoint: {endpoint}")
    return Response(status_code=200)


def _store(state: State, changes: dict[str, Any]) -> None:
    for name, value in changes.items():
        if name in state.configuration:
            state.configuration[name] = value
        else:
            state.secrets[name] = value


@route("GET", "/internalconfig")
def get_internal_configuration(state: State, request: Request) -> Response:
    text = "only internal service is allowed to call this API"
    raise HarborError(401, "UNAUTHORIZED", text)
