"""REST: policies by which content is copied from registries and to them."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from .access import require_system
from .cron import CronError, parse
from .query import Fuzzy
from .registries import LOCAL, registry_json
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

POLICIES = "/replication/policies"
FIELDS = columns("id", "name", "description", "enabled", "creation_time", "update_time")
TRIGGERS = ("manual", "event_based", "scheduled")
FILTERS = ("name", "tag", "label", "resource")


def replication_json(state: State, row: Row) -> dict[str, Any]:
    document = shown(
        row, "creation_time", "deletion", "description", "dest_namespace", "enabled", "id",
        "name", "override", "update_time",
        always=("copy_by_chunk", "dest_namespace_replace_count", "single_active_replication",
                "speed"),
    )  # fmt: skip
    if row["deletion"]:
        document["replicate_deletion"] = True
    document["filters"] = row["filters"] or None
    for name in ("src_registry", "dest_registry"):
        found = state.registries.get(row[name]) if row[name] else LOCAL
        document[name] = registry_json(found or LOCAL)
    if row["trigger"]:
        document["trigger"] = row["trigger"]
    versions = {"copy_by_chunk": (2, 7), "single_active_replication": (2, 14)}
    known = {k: v for k, v in document.items() if state.version_numbers >= versions.get(k, (0,))}
    return dict(sorted(known.items()))


def _read(body: dict[str, Any]) -> dict[str, Any]:
    count = body.get("dest_namespace_replace_count")
    trigger = body.get("trigger") or {}
    if trigger.get("type") == "event_based" and body.get("single_active_replication"):
        raise internal_error()
    return {
        "copy_by_chunk": bool(body.get("copy_by_chunk")),
        # `replicate_deletion` is shown as well, and not read.
        "deletion": bool(body.get("deletion")),
        "description": body.get("description") or "",
        "dest_namespace": body.get("dest_namespace") or "",
        "dest_namespace_replace_count": -1 if count is None else count,
        "dest_registry": (body.get("dest_registry") or {}).get("id") or 0,
        "enabled": bool(body.get("enabled")),
        "filters": [_filter(each) for each in body.get("filters") or []],
        "name": body.get("name") or "",
        "override": bool(body.get("override")),
        "single_active_replication": bool(body.get("single_active_replication")),
        "speed": max(body.get("speed") or 0, 0),
        "src_registry": (body.get("src_registry") or {}).get("id") or 0,
        "trigger": _trigger(trigger),
    }


def _filter(sent: dict[str, Any]) -> dict[str, Any]:
    if sent.get("type") not in FILTERS:
        raise bad_request(f"invalid filter type: {sent.get('type', '')}")
    return {key: sent[key] for key in ("decoration", "type", "value") if sent.get(key)}


def _trigger(sent: dict[str, Any]) -> dict[str, Any]:
    if not sent:
        return {}
    trigger: dict[str, Any] = {"type": sent.get("type", "")}
    cron = (sent.get("trigger_settings") or {}).get("cron") or ""
    if "trigger_settings" in sent and cron:
        trigger = {"trigger_settings": {"cron": cron}, **trigger}
    return trigger


def _cron(policy: dict[str, Any]) -> str:
    if policy["trigger"].get("type") != "scheduled":
        return ""
    cron: str = policy["trigger"].get("trigger_settings", {}).get("cron", "")
    return cron


def _check(state: State, policy: dict[str, Any]) -> None:
    if not policy["name"]:
        raise bad_request("empty name")
    source, destination = policy["src_registry"], policy["dest_registry"]
    if bool(source) == bool(destination):
        text = "either src_registry or dest_registry should be empty and the other one shouldn't"
        raise bad_request(f"{text} be empty")
    _check_trigger(policy)
    if state.registries.get(source or destination) is None:
        raise not_found(f"registry {source or destination} not found")


def _check_trigger(policy: dict[str, Any]) -> None:
    kind, cron = policy["trigger"].get("type"), _cron(policy)
    if kind is not None and kind not in TRIGGERS:
        raise bad_request("invalid trigger type")
    if kind != "scheduled":
        return
    if not cron:
        raise bad_request("the cron string cannot be empty when the trigger type is scheduled")
    try:
        parse(cron)
    except CronError as err:
        raise bad_request(f"invalid cron string for scheduled trigger: {cron}") from err
    seconds, minutes = cron.split(" ")[:2]
    if seconds != "0":
        text = "the 1st field (indicating Seconds of time) of the cron setting must be 0"
        raise bad_request(text)
    if minutes == "*":
        text = "* is not allowed for the Minutes field of the cron setting of replication policy"
        raise bad_request(text)


def _refuse_twice(state: State, name: str, own: Row | None) -> None:
    if state.replications.first(name=name) not in (None, own):
        raise HarborError(409, "CONFLICT", f"replication policy {name} already exists")


@route("GET", POLICIES)
def list_replications(state: State, request: Request) -> Response:
    page = Page(request)
    require_system(request.caller, "replication-policy", "list")
    name = request.query.get("name")
    keywords = {"name": Fuzzy(name)} if name else {}
    return listed(
        request, page, state.replications, FIELDS, lambda row: replication_json(state, row),
        [("creation_time", True)], **keywords,
    )  # fmt: skip


@route("POST", POLICIES)
def create_replication(state: State, request: Request) -> Response:
    require_system(request.caller, "replication-policy", "create")
    policy = _read(request.json())
    _check(state, policy)
    _refuse_twice(state, policy["name"], None)
    row = state.replications.add(**policy)
    if _cron(policy):
        state.schedule("REPLICATION", row["id"], _cron(policy))
    return created(f"{request.raw_path.rstrip('/')}/{row['id']}")


def _found(state: State, number: str) -> Row:
    return state.replications.checked(number, "replication policy")


@route("GET", POLICIES + "/{policy}")
def get_replication(state: State, request: Request, number: str) -> Response:
    require_system(request.caller, "replication-policy", "read")
    return answer(replication_json(state, _found(state, number)))


@route("PUT", POLICIES + "/{policy}")
def update_replication(state: State, request: Request, number: str) -> Response:
    require_system(request.caller, "replication-policy", "update")
    policy = _read(request.json())
    _check(state, policy)
    row = _found(state, number)
    _refuse_twice(state, policy["name"], row)
    state.unschedule("REPLICATION", row["id"])
    state.replications.change(row, **policy)
    if _cron(policy):
        state.schedule("REPLICATION", row["id"], _cron(policy))
    return Response(status_code=200)


@route("DELETE", POLICIES + "/{policy}")
def delete_replication(state: State, request: Request, number: str) -> Response:
    require_system(request.caller, "replication-policy", "delete")
    row = _found(state, number)
    state.unschedule("REPLICATION", row["id"])
    state.replications.remove(row)
    return Response(status_code=200)
