"""REST: what Harbor does at set times, but for the policies that have times of their own."""

from __future__ import annotations

import json
from typing import Any

from starlette.responses import Response

from .access import require_system
from .cron import check_cron, next_time
from .routes import route
from .state import State
from .tables import Row, shown
from .wire import JSON, HarborError, Page, Request, answer, bad_request, created, timestamp

GC, PURGE, SCAN_ALL = "GARBAGE_COLLECTION", "PURGE_AUDIT_LOG", "SCAN_ALL"
PERIODIC = ("Hourly", "Daily", "Weekly", "Custom")
MAXIMUM_HOURS, MAXIMUM_WORKERS = 240_000, 10


def _schedule_json(state: State, row: Row) -> dict[str, Any]:
    """Return a schedule: when it is due, and by which kind of choice."""
    due = timestamp(next_time(row["cron"], state.now()))
    return {"cron": row["cron"], "next_scheduled_time": due, "type": row["cron_type"]}


def _job_json(state: State, row: Row) -> dict[str, Any]:
    """Return a schedule as those of garbage collection and purge are shown."""
    parameters = {k: v for k, v in row["parameters"].items() if k not in row["left_out"] or v}
    document = {
        "creation_time": timestamp(row["creation_time"]),
        "id": row["id"],
        "job_kind": row["cron"],
        "job_parameters": json.dumps(parameters, separators=(",", ":"), sort_keys=True),
        "job_status": "Running",
        "schedule": _schedule_json(state, row),
        "update_time": timestamp(row["update_time"]),
    }
    return document


def _wanted(request: Request) -> tuple[str, str, dict[str, Any]]:
    body = request.json()
    schedule = body.get("schedule") or {}
    return schedule.get("type") or "", schedule.get("cron") or "", body.get("parameters") or {}


def _replace(
    state: State, vendor: str, number: int, wanted: tuple[str, str, dict[str, Any]], what: str,
    left_out: tuple[str, ...] = (),
) -> None:  # fmt: skip
    """Schedule a job anew, or no more; nothing happens for other types."""
    kind, cron, parameters = wanted
    if kind == "None":
        state.unschedule(vendor)
    elif kind in PERIODIC:
        check_cron(cron, what)
        state.unschedule(vendor)
        state.schedule(
            vendor, number, cron, cron_type=kind, parameters=parameters, left_out=left_out
        )


def _none() -> Response:
    """Return the answer where nothing is scheduled: JSON it says, and is nothing."""
    return Response(status_code=200, headers={"Content-Type": JSON})


def _one(state: State, vendor: str) -> Row | None:
    return state.schedules.first(vendor_type=vendor)


# -- garbage collection ------------------------------------------------------------------------


@route("GET", "/system/gc")
def list_garbage_collections(state: State, request: Request) -> Response:
    page = Page(request)
    require_system(request.caller, "garbage-collection", "list")
    return answer([], headers=page.headers(0))


@route("GET", "/system/gc/schedule")
def get_gc(state: State, request: Request) -> Response:
    require_system(request.caller, "garbage-collection", "read")
    row = _one(state, GC)
    return _none() if row is None else answer(_job_json(state, row))


def _kick_gc(state: State, request: Request) -> None:
    wanted = _wanted(request)
    workers = wanted[2].get("workers", 1)
    if wanted[0] in PERIODIC and not 0 < workers <= MAXIMUM_WORKERS:
        raise bad_request(
            f"Error: Invalid number of workers:{workers}. Workers must be greater than 0 and less "
            f"than or equal to {MAXIMUM_WORKERS}."
        )
    _replace(state, GC, -1, wanted, "gc", ("dry_run",))


@route("POST", "/system/gc/schedule")
def create_gc(state: State, request: Request) -> Response:
    require_system(request.caller, "garbage-collection", "create")
    _kick_gc(state, request)
    return created("/api/v2.0/system/gc/0")


@route("PUT", "/system/gc/schedule")
def update_gc(state: State, request: Request) -> Response:
    require_system(request.caller, "garbage-collection", "update")
    _kick_gc(state, request)
    return Response(status_code=200)


# -- purge of the audit log --------------------------------------------------------------------


@route("GET", "/system/purgeaudit/schedule", since=(2, 6))
def get_purge(state: State, request: Request) -> Response:
    require_system(request.caller, "purge-audit", "read")
    row = _one(state, PURGE)
    return _none() if row is None else answer(_job_json(state, row))


def _kick_purge(state: State, request: Request) -> None:
    wanted = _wanted(request)
    parameters = wanted[2]
    # They are required even to switch it off.
    if not parameters:
        raise bad_request("bad request: schedule parameter cann't be empty")
    for name in ("audit_retention_hour", "include_event_types"):
        if name not in parameters:
            raise bad_request(f"bad request: {name} should provide")
    if parameters["audit_retention_hour"] > MAXIMUM_HOURS:
        text = f"audit_retention_hour should be less than {MAXIMUM_HOURS}"
        raise bad_request(f"bad request: {text}")
    _replace(state, PURGE, -1, wanted, "log rotation purge")


@route("POST", "/system/purgeaudit/schedule", since=(2, 6))
def create_purge(state: State, request: Request) -> Response:
    require_system(request.caller, "purge-audit", "create")
    _kick_purge(state, request)
    return created("/api/v2.0/system/purgeaudit/0")


@route("PUT", "/system/purgeaudit/schedule", since=(2, 6))
def update_purge(state: State, request: Request) -> Response:
    require_system(request.caller, "purge-audit", "update")
    _kick_purge(state, request)
    return Response(status_code=200)


# -- scan of all -------------------------------------------------------------------------------


def _require_scanner(state: State, request: Request, action: str) -> None:
    require_system(request.caller, "scan-all", action)
    if state.scanners.first(is_default=True) is None:
        text = "no scanner is configured, it's not possible to scan"
        raise HarborError(412, "PRECONDITION", text)


@route("GET", "/system/scanAll/schedule")
def get_scan_all(state: State, request: Request) -> Response:
    _require_scanner(state, request, "read")
    row = _one(state, SCAN_ALL)
    if row is None:
        return _none()
    document = {
        "creation_time": timestamp(row["creation_time"]),
        "id": row["id"],
        "schedule": _schedule_json(state, row),
        "status": "Running",
        "update_time": timestamp(row["update_time"]),
    }
    return answer(document)


@route("POST", "/system/scanAll/schedule")
def create_scan_all(state: State, request: Request) -> Response:
    _require_scanner(state, request, "create")
    kind, cron, _ = _wanted(request)
    if kind not in ("None", "Manual"):
        if _one(state, SCAN_ALL) is not None:
            raise HarborError(
                412, "PRECONDITION",
                "fail to set schedule for scan all as always had one, please delete it firstly "
                "then to re-schedule",
            )  # fmt: skip
        _replace(state, SCAN_ALL, 0, (kind, cron, {}), "scan all")
    return Response(status_code=201)


@route("PUT", "/system/scanAll/schedule")
def update_scan_all(state: State, request: Request) -> Response:
    _require_scanner(state, request, "update")
    kind, cron, _ = _wanted(request)
    if kind == "Manual":
        raise bad_request(f"fail to update scan all schedule as wrong schedule type: {kind}")
    row = _one(state, SCAN_ALL)
    if row is None or (row["cron_type"], row["cron"]) != (kind, cron):
        _replace(state, SCAN_ALL, 0, (kind, cron, {}), "scan all")
    return Response(status_code=200)


# -- all of them -------------------------------------------------------------------------------


@route("GET", "/schedules", since=(2, 7))
def list_schedules(state: State, request: Request) -> Response:
    page = Page(request)
    require_system(request.caller, "jobservice-monitor", "list")
    rows = [
        shown(row, "cron", "id", "update_time", "vendor_id", "vendor_type")
        for row in state.schedules
    ]
    return answer(rows[page.window], headers=page.headers(len(rows)))
