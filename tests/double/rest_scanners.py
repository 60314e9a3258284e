"""REST: scanners for vulnerabilities."""

from __future__ import annotations

import uuid
from typing import Any

from starlette.responses import Response

from . import probe
from .access import require_login, require_system
from .query import Fuzzy, filtered, keywords_of, ordered
from .rest_projects import checked_project
from .rest_registries import valid_url
from .routes import route
from .state import State
from .tables import Row, columns, shown
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

FIELDS = columns("id", "uuid", "name", "url", "description", "is_default", "disabled")
AUTH = ("Basic", "Bearer", "X-ScannerAdapter-API-Key")
RESERVED = ("Trivy",)  # the names of scanners that come with Harbor
PROJECT_SCANNER = "projectScanner"
# Whether a scanner can do more than look for vulnerabilities shows in its capabilities.
CAPABILITIES = {"vulnerability": "support_vulnerability", "sbom": "support_sbom"}


def scanner_json(state: State, row: Row, metadata: dict[str, Any] | None) -> dict[str, Any]:
    """Return a scanner as it is shown; of its credential only old versions show anything."""
    document = {
        **shown(
            {**row, "create_time": row["creation_time"]}, "create_time", "update_time",
            always=("auth", "description", "disabled", "is_default", "name", "skip_certVerify",
                    "url", "use_internal_addr", "uuid"),
        ),
        "access_credential": row["access_credential"] if state.shows_credentials else "",
        "capabilities": _capabilities(metadata),
    }  # fmt: skip
    return dict(sorted(document.items()))


def _capabilities(metadata: dict[str, Any] | None) -> dict[str, bool] | None:
    if metadata is None:
        return None
    kinds = [each.get("type", "vulnerability") for each in metadata.get("capabilities") or []]
    return {CAPABILITIES[kind]: True for kind in sorted(kinds) if kind in CAPABILITIES}


async def _ask(row: Row) -> dict[str, Any] | None:
    return await probe.scanner_metadata(row["url"], not row["skip_certVerify"])


def _read(body: dict[str, Any]) -> dict[str, Any]:
    texts = {key: body.get(key) or "" for key in ("auth", "description", "name", "url")}
    flags = ("disabled", "skip_certVerify", "use_internal_addr")
    credential = body.get("access_credential") or ""
    return {**texts, **{key: bool(body.get(key)) for key in flags}, "access_credential": credential}


def _check(row: dict[str, Any]) -> None:
    if not row["name"]:
        raise bad_request("missing registration name")
    row["url"] = valid_url(row["url"])
    if row["auth"] and row["auth"] not in AUTH:
        raise bad_request(f"auth type {row['auth']} is not supported")
    if row["auth"] and not row["access_credential"]:
        raise bad_request(f"access_credential is required for auth type {row['auth']}")
    if row["name"] in RESERVED:
        text = f'name "{row["name"]}" is reserved, please try a different name'
        raise bad_request(text)


def _refuse_twice(state: State, row: dict[str, Any], own: Row | None) -> None:
    for key in ("name", "url"):
        if state.scanners.first(**{key: row[key]}) not in (None, own):
            text = "dao: create registration: registration name or url already exists"
            raise HarborError(409, "UNKNOWN", text)


def _found(state: State, number: str) -> Row:
    row = state.scanners.first(uuid=number)
    if row is None:
        raise not_found(f"scanner {number} not found")
    return row


def _refuse_built_in(row: Row, action: str) -> None:
    if row.get("immutable"):
        text = f"registration {row['name']} is not allowed to {action} as it is immutable"
        raise HarborError(403, "FORBIDDEN", f"{text}: scanner API: {action}")


@route("GET", "/scanners")
async def list_scanners(state: State, request: Request) -> Response:
    page = Page(request)
    require_system(request.caller, "scanner", "list")
    keywords = keywords_of(request)
    keywords |= {
        key: Fuzzy(request.query[key])
        for key in ("name", "description", "url")
        if request.query.get(key)
    }
    rows = ordered(filtered(state.scanners, keywords, FIELDS), request, FIELDS, [])
    body = [scanner_json(state, row, await _ask(row)) for row in rows[page.window]]
    return answer(body, headers=page.headers(len(rows)))


@route("POST", "/scanners")
async def create_scanner(state: State, request: Request) -> Response:
    require_system(request.caller, "scanner", "create")
    row = _read(request.json())
    _check(row)
    if await _ask(row) is None:
        raise internal_error()
    with state.lock:
        _refuse_twice(state, row, None)
        # The first one is the default by itself.
        added = state.scanners.add(
            **row, uuid=str(uuid.uuid4()), is_default=not len(state.scanners)
        )
    return created(f"{request.raw_path.rstrip('/')}/{added['uuid']}")


@route("POST", "/scanners/ping")
async def ping_scanner(state: State, request: Request) -> Response:
    require_system(request.caller, "scanner", "read")
    row = _read(request.json())
    _check(row)
    if await _ask(row) is None:
        raise internal_error()
    return Response(status_code=200)


@route("GET", "/scanners/{scanner}")
async def get_scanner(state: State, request: Request, number: str) -> Response:
    require_system(request.caller, "scanner", "read")
    row = _found(state, number)
    return answer(scanner_json(state, row, await _ask(row)))


@route("PATCH", "/scanners/{scanner}")
def set_default(state: State, request: Request, number: str) -> Response:
    require_system(request.caller, "scanner", "update")
    if request.json().get("is_default"):  # false does nothing
        wanted = _found(state, number)
        for row in state.scanners:
            row["is_default"] = row is wanted
    return Response(status_code=200)


@route("PUT", "/scanners/{scanner}")
def update_scanner(state: State, request: Request, number: str) -> Response:
    """Change a scanner; whether it answers is not asked here."""
    require_system(request.caller, "scanner", "update")
    row = _found(state, number)
    _refuse_built_in(row, "update")
    changes = _read(request.json())
    if not changes["access_credential"] and changes["auth"] in AUTH:
        changes["access_credential"] = row["access_credential"]
    _check(changes)
    if row["is_default"] and changes["disabled"]:
        raise internal_error()
    _refuse_twice(state, changes, row)
    state.scanners.change(row, **changes)
    return Response(status_code=200)


@route("DELETE", "/scanners/{scanner}")
def delete_scanner(state: State, request: Request, number: str) -> Response:
    require_system(request.caller, "scanner", "delete")
    row = _found(state, number)
    _refuse_built_in(row, "delete")
    state.scanners.remove(row)
    return answer(scanner_json(state, row, None))


# -- of a project ------------------------------------------------------------------------------


@route("GET", "/projects/{project}/scanner")
async def get_project_scanner(state: State, request: Request, name: str) -> Response:
    require_login(request.caller)
    project = checked_project(state, request, name, "scanner", "read")
    row = state.scanners.first(uuid=project.metadata.get(PROJECT_SCANNER, ""))
    if row is None:  # one that was deleted is forgotten here, and not before
        project.metadata.pop(PROJECT_SCANNER, None)
    row = row or state.scanners.first(is_default=True)
    if row is None:
        return Response(status_code=200)
    metadata = await _ask(row)
    document = scanner_json(state, row, metadata)
    document["health"] = "unhealthy" if metadata is None else "healthy"
    if metadata is not None:
        found = metadata["scanner"]
        document |= {"adapter": found.get("name"), "vendor": found.get("vendor")}
        document["version"] = found.get("version")
    return answer(dict(sorted(document.items())))


@route("PUT", "/projects/{project}/scanner")
def set_project_scanner(state: State, request: Request, name: str) -> Response:
    require_login(request.caller)
    project = checked_project(state, request, name, "scanner", "create")
    number = request.json().get("uuid") or ""
    if not number:
        raise internal_error()
    project.metadata[PROJECT_SCANNER] = number  # whether there is such a scanner or not
    return Response(status_code=200)
