"""REST: providers of peer-to-peer distribution, and what a project hands them beforehand."""

from __future__ import annotations

import json
import re
from typing import Any

from starlette.responses import Response

from .access import require_project, require_system
from .cron import check_cron
from .model import Project
from .routes import route
from .state import State
from .tables import Row, columns, listed, shown
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

INSTANCES = "/p2p/preheat/instances"
POLICIES = "/projects/{project}/preheat/policies"
NAME = re.compile(r"^[a-zA-Z0-9]+(?:[._-][a-zA-Z0-9]+)*$")
INSTANCE_FIELDS = columns("id", "name", "vendor", "endpoint", "enabled", "default")
POLICY_FIELDS = columns("id", "name", "enabled", "provider_id", "creation_time", "update_time")


# -- instances ---------------------------------------------------------------------------------


def instance_json(state: State, row: Row) -> dict[str, Any]:
    """Return an instance as it is shown: nothing of its health; old versions show credentials."""
    names = ["auth_mode", "description", "endpoint", "id", "name", "setup_timestamp", "status"]
    if state.shows_credentials:
        names.append("auth_info")
    flags = ("default", "enabled", "insecure")
    return shown({**row, "status": "Unknown"}, *names, "vendor", always=flags)


def _read_instance(body: dict[str, Any]) -> dict[str, Any]:
    name = body.get("name") or ""
    if NAME.match(name) is None:
        raise internal_error()
    texts = ("auth_mode", "description", "endpoint", "name", "vendor")
    flags = ("default", "enabled", "insecure")
    row = {key: body.get(key) or "" for key in texts} | {key: bool(body.get(key)) for key in flags}
    return {**row, "auth_info": body.get("auth_info") or {}}


def _instance(state: State, name: str) -> Row:
    row = state.preheat_instances.first(name=name)
    if row is None:
        raise not_found(f"instance {name} not found")
    return row


@route("GET", INSTANCES)
def list_instances(state: State, request: Request) -> Response:
    page = Page(request)
    require_system(request.caller, "preheat-instance", "list")
    rows = state.preheat_instances
    return listed(request, page, rows, INSTANCE_FIELDS, lambda row: instance_json(state, row))


@route("POST", INSTANCES)
def create_instance(state: State, request: Request) -> Response:
    require_system(request.caller, "preheat-instance", "create")
    row = _read_instance(request.json())
    if state.preheat_instances.first(endpoint=row["endpoint"]) is not None:
        raise internal_error()
    if state.preheat_instances.first(name=row["name"]) is not None:
        text = f"instance {row['name']} already exists"
        raise HarborError(409, "CONFLICT", text)
    state.preheat_instances.add(**row, setup_timestamp=state.now() // 1000)
    return created(f"{request.raw_path.rstrip('/')}/{row['name']}")


@route("GET", INSTANCES + "/{instance}")
def get_instance(state: State, request: Request, name: str) -> Response:
    require_system(request.caller, "preheat-instance", "read")
    return answer(instance_json(state, _instance(state, name)))


@route("PUT", INSTANCES + "/{instance}")
def update_instance(state: State, request: Request, name: str) -> Response:
    require_system(request.caller, "preheat-instance", "update")
    body = request.json()
    there = _instance(state, name)
    changes = _read_instance(body)
    row = state.preheat_instances.get(body.get("id"))
    if row is None:
        raise not_found(f"instance {body.get('id', 0)} not found")
    if not changes["enabled"] and state.preheat_policies.first(provider_id=row["id"]):
        raise _in_use(row, "disabled")
    if changes["vendor"] != row["vendor"]:
        raise internal_error()
    mode = changes["auth_mode"] or there["auth_mode"]
    if not changes["auth_info"] and mode != "NONE":
        changes["auth_info"] = there["auth_info"]
    # What the body does not say is nothing now, as the time when it was set up.
    state.preheat_instances.change(row, **changes, setup_timestamp=body.get("setup_timestamp", 0))
    return Response(status_code=200)


def _in_use(row: Row, what: str) -> HarborError:
    text = f"Provider [{row['name']}] cannot be {what} as some preheat policies are using it"
    return HarborError(412, "PRECONDITION", text)


@route("DELETE", INSTANCES + "/{instance}")
def delete_instance(state: State, request: Request, name: str) -> Response:
    require_system(request.caller, "preheat-instance", "delete")
    row = _instance(state, name)
    if state.preheat_policies.first(provider_id=row["id"]) is not None:
        raise _in_use(row, "deleted")
    state.preheat_instances.remove(row)
    return Response(status_code=200)


# -- policies ----------------------------------------------------------------------------------


def policy_json(state: State, row: Row) -> dict[str, Any]:
    provider = state.preheat_instances.checked(row["provider_id"], "instance")
    return shown(
        {**row, "provider_name": provider["name"]}, "creation_time", "description",
        "extra_attrs", "filters", "id", "name", "project_id", "provider_id", "provider_name",
        "trigger", "update_time", always=("enabled",),
    )  # fmt: skip


def _project(state: State, request: Request, name: str, action: str) -> Project:
    """Return the project of a path, which is a name here, also where it is made of digits."""
    project = state.project_names.get(name)
    require_project(state, request.caller, project, "preheat-policy", action)
    if project is None:
        raise not_found(f"project {name} not found")
    return project


def _read_policy(state: State, body: dict[str, Any]) -> dict[str, Any]:
    name = body.get("name") or ""
    if NAME.match(name) is None:
        raise internal_error()
    if state.preheat_instances.get(body.get("provider_id")) is None:
        raise not_found(f"instance {body.get('provider_id', 0)} not found")
    texts = ("description", "extra_attrs", "filters", "name", "trigger")
    row = {key: body.get(key) or "" for key in texts}
    if _cron(row):
        check_cron(_cron(row), "preheat")
    return {**row, "enabled": bool(body.get("enabled")), "provider_id": body["provider_id"]}


def _parsed(text: str) -> Any:
    try:
        return json.loads(text) if text else {}
    except ValueError as err:
        raise internal_error() from err


def _cron(row: Row) -> str:
    _parsed(row["filters"])
    trigger = _parsed(row["trigger"])
    if trigger.get("type") != "scheduled":
        return ""
    cron: str = trigger.get("trigger_setting", {}).get("cron", "")
    return cron


def _policy(state: State, project: Project, name: str) -> Row:
    row = state.preheat_policies.first(project_id=project.id, name=name)
    if row is None:
        raise not_found(f"preheat policy {name} not found")
    return row


@route("GET", POLICIES)
def list_policies(state: State, request: Request, name: str) -> Response:
    page = Page(request)
    project = _project(state, request, name, "list")
    rows = state.preheat_policies.where(project_id=project.id)
    default = [("creation_time", True), ("id", True)]
    return listed(request, page, rows, POLICY_FIELDS, lambda row: policy_json(state, row), default)


@route("POST", POLICIES)
def create_policy(state: State, request: Request, name: str) -> Response:
    project = _project(state, request, name, "create")
    row = _read_policy(state, request.json())
    if state.preheat_policies.first(project_id=project.id, name=row["name"]) is not None:
        text = f"preheat policy {row['name']} already exists"
        raise HarborError(409, "CONFLICT", text)
    if _cron(row):
        # A schedule that is made is written down again, in Go's form of JSON.
        row["trigger"] = _as_go_writes_it(_parsed(row["trigger"]))
    added = state.preheat_policies.add(**row, project_id=project.id)
    if _cron(row):
        state.schedule("P2P_PREHEAT", added["id"], _cron(row))
    return created(f"{request.raw_path.rstrip('/')}/{row['name']}")


def _as_go_writes_it(trigger: dict[str, Any]) -> str:
    setting = {"cron": trigger.get("trigger_setting", {}).get("cron", "")}
    document = {"type": trigger.get("type", ""), "trigger_setting": setting}
    return json.dumps(document, separators=(",", ":"))


@route("GET", POLICIES + "/{policy}")
def get_policy(state: State, request: Request, name: str, policy: str) -> Response:
    project = _project(state, request, name, "read")
    return answer(policy_json(state, _policy(state, project, policy)))


@route("PUT", POLICIES + "/{policy}")
def update_policy(state: State, request: Request, name: str, policy: str) -> Response:
    body = request.json()
    project = _project(state, request, name, "update")
    row = state.preheat_policies.get(body.get("id"))
    if row is None or row["project_id"] != project.id:
        raise bad_request(f"the policy {body.get('id', 0)} is not in the project {name}")
    changes = _read_policy(state, body)
    before = _cron(row)
    state.preheat_policies.change(row, **changes)
    if _cron(row) != before:
        state.unschedule("P2P_PREHEAT", row["id"])
        if _cron(row):
            state.schedule("P2P_PREHEAT", row["id"], _cron(row))
    return Response(status_code=200)


@route("DELETE", POLICIES + "/{policy}")
def delete_policy(state: State, request: Request, name: str, policy: str) -> Response:
    row = _policy(state, _project(state, request, name, "delete"), policy)
    state.preheat_policies.remove(row)
    state.unschedule("P2P_PREHEAT", row["id"])
    return Response(status_code=200)
