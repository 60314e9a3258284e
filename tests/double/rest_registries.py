"""REST: registries, from which Harbor replicates or whose content it caches."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from starlette.responses import Response

from . import probe
from .access import require_system
from .query import Fuzzy
from .registries import registry_json
from .routes import route
from .state import State
from .tables import Row, columns, listed
from .wire import (
    HarborError,
    Page,
    Request,
    answer,
    bad_request,
    created,
    internal_error,
)

FIELDS = columns("id", "name", "type", "url", "insecure", "creation_time", "update_time")
# Names of the fields that a change of a credential has, to those of the credential.
CREDENTIAL = {
    "credential_type": "type", "access_key": "access_key", "access_secret": "access_secret",
}  # fmt: skip
MAXIMUM_NAME = 64


@route("GET", "/registries")
def list_registries(state: State, request: Request) -> Response:
    page = Page(request)
    require_system(request.caller, "registry", "list")
    name = request.query.get("name")
    keywords = {"name": Fuzzy(name)} if name else {}
    return listed(request, page, state.registries, FIELDS, registry_json, **keywords)


def valid_url(text: str) -> str:
    """Return a URL as Harbor keeps it, without a slash at its end, or raise what is wrong."""
    text = text.strip(" ").rstrip("/")
    if not text:
        raise bad_request("empty string")
    parts = urlsplit(text if "://" in text else f"http://{text}")
    if parts.scheme not in ("http", "https"):
        raise bad_request(f"invalid HTTP scheme: {parts.scheme}")
    return f"{parts.scheme}://{parts.netloc}{parts.path}"


async def _check(row: Row) -> None:
    """Raise what is wrong with a registry. It has to answer well, each time it is written."""
    if not row["name"]:
        raise bad_request("name cannot be empty")
    if len(row["name"]) > MAXIMUM_NAME:
        raise bad_request(f"the max length of name is {MAXIMUM_NAME}")
    row["url"] = valid_url(row["url"])
    if row["ca_certificate"] and "BEGIN CERTIFICATE" not in row["ca_certificate"]:
        raise bad_request("invalid CA certificate: failed to decode PEM block")
    if row["type"] not in probe.REGISTRY_TYPES:
        raise internal_error()
    credential = row["credential"]
    login = None
    if credential.get("access_key") or credential.get("access_secret"):
        login = (credential.get("access_key", ""), credential.get("access_secret", ""))
    if not await probe.registry_is_well(row["type"], row["url"], login, not row["insecure"]):
        raise bad_request("the registry is unhealthy")


@route("POST", "/registries")
async def create_registry(state: State, request: Request) -> Response:
    require_system(request.caller, "registry", "create")
    body = request.json()
    row = {
        key: body.get(key) or "" for key in ("ca_certificate", "description", "name", "type", "url")
    }
    given = body.get("credential") or {}
    row |= {
        "credential": {key: given.get(key) or "" for key in CREDENTIAL.values()},
        "insecure": bool(body.get("insecure")),
        "status": "healthy",
    }
    await _check(row)
    with state.lock:
        _refuse_twice(state, row["name"], None)
        number = state.registries.add(**row)["id"]
    return created(f"{request.raw_path.rstrip('/')}/{number}")


def _refuse_twice(state: State, name: str, own: Row | None) -> None:
    if state.registries.first(name=name) not in (None, own):
        raise HarborError(409, "CONFLICT", f"registry {name} already exists")


@route("GET", "/registries/{registry}")
def get_registry(state: State, request: Request, number: str) -> Response:
    require_system(request.caller, "registry", "read")
    return answer(registry_json(state.registries.checked(number, "registry")))


@route("PUT", "/registries/{registry}")
async def update_registry(state: State, request: Request, number: str) -> Response:
    require_system(request.caller, "registry", "update")
    row = state.registries.checked(number, "registry")
    body = {key: value for key, value in request.json().items() if value is not None}
    changed = dict(row, credential=dict(row["credential"]))
    changed |= {
        key: body[key]
        for key in ("ca_certificate", "description", "insecure", "name", "url")
        if key in body
    }
    # The mask is as good a secret as any other.
    changed["credential"] |= {CREDENTIAL[key]: body[key] for key in CREDENTIAL if key in body}
    await _check(changed)
    with state.lock:
        _refuse_twice(state, changed["name"], row)
        names = ("ca_certificate", "credential", "description", "insecure", "name", "url")
        state.registries.change(row, **{key: changed[key] for key in names})
    return Response(status_code=200)


@route("DELETE", "/registries/{registry}")
def delete_registry(state: State, request: Request, number: str) -> Response:
    require_system(request.caller, "registry", "delete")
    user = _user_of(state, number)
    if user:
        text = f"the registry {number} is referenced by {user}, cannot delete it"
        raise HarborError(412, "PRECONDITION", text)
    state.registries.remove(state.registries.checked(number, "registry"))
    return Response(status_code=200)


def _user_of(state: State, number: str) -> str:
    for row in state.replications:
        if number in (str(row["src_registry"]), str(row["dest_registry"])):
            return "replication policies"
    if any(str(project.registry_id) == number for project in state.projects.values()):
        return "proxy cache project"
    return ""


@route("POST", "/registries/ping")
async def ping_registry(state: State, request: Request) -> Response:
    require_system(request.caller, "registry", "read")
    body: dict[str, Any] = request.json()
    row: Row = {
        "ca_certificate": "", "credential": {}, "insecure": False, "name": "ping", "type": "",
        "url": "",
    }  # fmt: skip
    if body.get("id"):
        row = dict(state.registries.checked(body["id"], "registry"))
    row |= {key: body[key] for key in ("type", "url", "insecure") if body.get(key) is not None}
    sent = {CREDENTIAL[key]: body[key] for key in CREDENTIAL if body.get(key) is not None}
    row["credential"] = {**row["credential"], **sent}
    await _check(row)
    return Response(status_code=200)
