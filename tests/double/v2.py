"""The registry side: the token service, and who may do what below /v2/."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from starlette.responses import Response

from . import registry_blobs, registry_lists, registry_manifests, uploads
from .manifests import DIGEST, TAG
from .state import State
from .tokens import SERVICE, make_token
from .wire import (
    JSON_UTF8,
    REGISTRY_VERSION,
    HarborError,
    Request,
    bad_request,
    dump,
    not_found,
)

# What a name may look like; the first component may look like a host, so that
# `localhost:5000/app` is the name of an image, too.
HOST = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?"
COMPONENT = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
NAME = rf"(?:{HOST}(?:\.{HOST})*(?::[0-9]+)?/)?{COMPONENT}(?:/{COMPONENT})*"
PATHS = [
    (kind, re.compile(rf"^/v2/(?P<name>{NAME})/{rest}$"))
    for kind, rest in (
        ("manifests", r"manifests/(?P<reference>.*)"),
        ("uploads", r"blobs/uploads/?"),
        ("upload", r"blobs/uploads/(?P<reference>[a-zA-Z0-9_.=-]+)"),
        ("blobs", rf"blobs/(?P<reference>{DIGEST.pattern.strip('^$')})"),
        ("tags", r"tags/list"),
        ("referrers", r"referrers/(?P<reference>.*)"),
    )
]
CATALOG = re.compile(r"^/v2/_catalog(/.*)?$")
ACTIONS = {"GET": "pull", "HEAD": "pull", "POST": "push", "PATCH": "push", "PUT": "push",
           "DELETE": "delete"}  # fmt: skip
SCOPES = {"pull": "pull", "push": "pull,push", "delete": "delete"}
HANDLERS: dict[tuple[str, str], Callable[[State, Request, str, str], Response]] = {
    ("manifests", "GET"): registry_manifests.get,
    ("manifests", "HEAD"): registry_manifests.get,
    ("manifests", "DELETE"): registry_manifests.delete,
    ("blobs", "GET"): registry_blobs.get,
    ("blobs", "HEAD"): registry_blobs.get,
    ("tags", "GET"): registry_lists.tags,
    ("referrers", "GET"): registry_lists.referrers,
}
Wanted = list[tuple[str, str]]


class Target(NamedTuple):
    """What a path is about: kind, repository, and tag, digest or upload."""

    kind: str
    name: str
    reference: str


def token(state: State, request: Request) -> Response:
    if request.method != "GET":
        raise HarborError(405, "METHOD_NOT_ALLOWED", "method not allowed")
    service = request.query.get("service", "")
    if service != SERVICE:
        text = f"Unable to handle service: {service}"
        return Response(text, 400, {"Content-Type": "text/plain; charset=utf-8"})
    scopes = [scope for scope in request.scopes if scope]
    if not request.caller.authenticated and not scopes:
        raise HarborError(401, "UNAUTHORIZED", "Unauthorized")
    access = []
    for scope in scopes:
        kind, _, rest = scope.partition(":")
        name = rest.rpartition(":")[0]
        actions: list[str] = []
        if kind == "registry" and request.caller.sysadmin:
            actions = ["*"]
        elif kind == "repository":
            project = state.project(name.partition("/")[0])
            actions = [
                action
                for action in ("delete", "pull", "push")
                if project and request.caller.can(state, project, "repository", action)
            ]
        access.append({"type": kind, "name": name, "actions": actions})
    minutes = int(state.configuration["token_expiration"])
    body = make_token(state.secret, minutes, request.caller.name, access, state.seconds())
    return Response(dump(body), headers={"Content-Type": JSON_UTF8})


async def dispatch(state: State, request: Request) -> Response:
    """Answer a request to /v2/."""
    path = request.raw_path
    if path == "/v2/":
        if not request.caller.authenticated:
            raise _unauthorized(state, request, "unauthorized", [])
        return Response("{}", headers={**REGISTRY_VERSION, "Content-Type": JSON_UTF8})
    if CATALOG.match(path):
        if not request.caller.can_in_system("catalog", "read"):
            raise _refusal("unauthorized to list catalog", 'Basic realm="harbor"')
        with state.lock:
            return registry_lists.catalog(state, request)
    target = _target(path)
    if target is None or request.method not in ACTIONS:
        # What is no name, be it for one letter in upper case, belongs to no project.
        raise _refusal(f"un-recognized request: {request.method} {path}", "")
    _authorize(state, request, target)
    if target.kind in ("uploads", "upload"):
        return await uploads.handle(state, request, target.name, target.reference)
    if (target.kind, request.method) == ("manifests", "PUT"):
        body = await request.body()
        return registry_manifests.put(state, request, target.name, target.reference, body)
    handler = HANDLERS.get((target.kind, request.method))
    if handler is None:
        raise HarborError(405, "UNSUPPORTED", "The operation is unsupported.", registry=True)
    with state.lock:
        return handler(state, request, target.name, target.reference)


def _target(path: str) -> Target | None:
    for kind, pattern in PATHS:
        match = pattern.match(path)
        if match is None:
            continue
        reference = match.groupdict().get("reference", "")
        if kind in ("manifests", "referrers") and not _is_reference(reference):
            raise not_found("invalid reference format")
        return Target(kind, _in_a_project(match["name"]), reference)
    return None


def _is_reference(text: str) -> bool:
    return DIGEST.match(text) is not None or TAG.match(text) is not None


def _in_a_project(name: str) -> str:
    if "/" not in name:
        raise bad_request(f"bad request: invalid repository name: {name}")
    return name


# -- authorization -----------------------------------------------------------------------------


def _authorize(state: State, request: Request, target: Target) -> None:
    wanted = [(target.name, ACTIONS[request.method])]
    source = request.query.get("from")
    if request.method == "POST" and target.kind == "uploads" and source:
        wanted.append((_in_a_project(source), "pull"))
    for repository, action in wanted:
        if request.method in ("GET", "HEAD") and "authorization" not in request.headers:
            text = "authorize header needed to send HEAD to repository"
            raise _unauthorized(state, request, text, wanted)
        project = state.project(repository.partition("/")[0])
        if project is None:
            raise _refusal(f"project {repository.partition('/')[0]} not found", "")
        if not request.caller.can(state, project, "repository", action):
            text = f"unauthorized to access repository: {repository}, action: {action}"
            raise _unauthorized(state, request, text, wanted)


def _unauthorized(state: State, request: Request, text: str, wanted: Wanted) -> HarborError:
    if "authorization" in request.headers:
        return _refusal(text, 'Basic realm="harbor"')
    # The host is the one that the client used, the scheme is that of the configured URL.
    scheme = state.external_url.partition("://")[0] or request.scheme
    realm = f"{scheme}://{request.host}/service/token"
    challenge = f'Bearer realm="{realm}",service="{SERVICE}"'
    if wanted:
        scope = " ".join(f"repository:{name}:{SCOPES[action]}" for name, action in wanted)
        challenge += f',scope="{scope}"'
    return _refusal(text, challenge)


def _refusal(text: str, challenge: str) -> HarborError:
    headers = {"Www-Authenticate": challenge}
    # Harbor prints the message and its cause, which are the same.
    return HarborError(401, "UNAUTHORIZED", f"{text}: {text}", headers=headers, registry=True)
