"""REST: metadata of a project, one at a time and checked."""

from __future__ import annotations

import re

from starlette.responses import Response

from .rest_projects import FOR_PROXIES, METADATA, SEVERITIES, checked_project
from .routes import route
from .state import State
from .wire import HarborError, Request, answer, bad_request

FLAGS = (
    "public", "enable_content_trust", "enable_content_trust_cosign", "auto_sbom_generation",
    "prevent_vul", "auto_scan", "reuse_sys_cve_allowlist", "proxy_cache_local_on_not_found",
)  # fmt: skip
TRUE, FALSE = ("1", "t", "T", "TRUE", "true", "True"), ("0", "f", "F", "FALSE", "false", "False")


def checked(state: State, sent: dict[str, str]) -> dict[str, str]:
    """Return the one pair of a body in the form in which it is kept."""
    if len(sent) != 1:
        raise bad_request("only allow one key/value pair")
    ((key, value),) = sent.items()
    value = str(value)
    if key not in METADATA or state.version_numbers < METADATA[key]:
        raise _unknown(key)
    if key in FLAGS:
        if value not in TRUE + FALSE:
            raise bad_request(f"invalid value: {value}")
        return {key: str(value in TRUE).lower()}
    if key == "severity":
        if value.lower() not in SEVERITIES:
            raise bad_request(f"invalid value: {value}")
        return {key: value.lower()}
    if key in FOR_PROXIES:
        if re.fullmatch(r"[+-]?\d{1,9}", value) is None:
            raise bad_request(f"invalid value: {value}")
        return {key: str(int(value))}
    raise _unknown(key)


def _unknown(key: str) -> HarborError:
    return bad_request(f"invalid key: {key}")


@route("GET", "/projects/{project}/metadatas")
def list_metadata(state: State, request: Request, name: str) -> Response:
    return answer(checked_project(state, request, name, "metadata", "list").metadata)


@route("POST", "/projects/{project}/metadatas")
def add_metadata(state: State, request: Request, name: str) -> Response:
    project = checked_project(state, request, name, "metadata", "create")
    for key, value in checked(state, request.json()).items():
        if key in project.metadata:
            text = f"metadata {key} already exists for project {project.id}"
            raise HarborError(409, "CONFLICT", text)
        project.metadata[key] = value
    return Response(status_code=200)


@route("GET", "/projects/{project}/metadatas/{key}")
def get_metadata(state: State, request: Request, name: str, key: str) -> Response:
    project = checked_project(state, request, name, "metadata", "read")
    return answer({k: v for k, v in project.metadata.items() if k == key})


@route("PUT", "/projects/{project}/metadatas/{key}")
def change_metadata(state: State, request: Request, name: str, key: str) -> Response:
    project = checked_project(state, request, name, "metadata", "update")
    changes = checked(state, {key: request.json().get(key, "")})
    if key in project.metadata:  # what is not there is not changed, and that is no error
        project.metadata.update(changes)
    return Response(status_code=200)


@route("DELETE", "/projects/{project}/metadatas/{key}")
def delete_metadata(state: State, request: Request, name: str, key: str) -> Response:
    checked_project(state, request, name, "metadata", "delete").metadata.pop(key, None)
    return Response(status_code=200)
