"""The registry side: /service/token and /v2/, but for uploads (`uploads.py`)."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import AsyncIterator
from urllib.parse import quote

from starlette.responses import Response, StreamingResponse

from . import uploads
from .access import SERVICE, make_token
from .content import OCI_INDEX, OCI_MANIFEST
from .manifests import TAG, is_digest
from .model import Artifact
from .state import State
from .storage import Blob
from .wire import (
    JSON_UTF8,
    REGISTRY_VERSION,
    HarborError,
    Request,
    bad_request,
    dump,
    not_found,
)

REPOSITORY = (
    r"(?P<name>[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*)+)"
)
PATHS = [
    (kind, re.compile(rf"^/v2/{REPOSITORY}/{rest}$"))
    for kind, rest in (
        ("manifests", r"manifests/(?P<reference>[^/]+)"),
        ("uploads", r"blobs/uploads/?"),
        ("upload", r"blobs/uploads/(?P<reference>[^/]+)"),
        ("blobs", r"blobs/(?P<reference>[^/]+)"),
        ("tags", r"tags/list"),
        ("referrers", r"referrers/(?P<reference>[^/]+)"),
    )
]
ACTIONS = {"GET": "pull", "HEAD": "pull", "POST": "push", "PATCH": "push", "PUT": "push",
           "DELETE": "delete"}  # fmt: skip
SCOPES = {"pull": "pull", "push": "pull,push", "delete": "delete"}
# Harbor's own components pull with this name; pulls of theirs are not counted.
UNCOUNTED_USER_AGENT = "harbor-registry-client"


def token(state: State, request: Request) -> Response:
    if request.method != "GET":
        raise HarborError(405, "METHOD_NOT_ALLOWED", "method not allowed")
    if request.query.get("service") != SERVICE:
        raise bad_request("invalid service")
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
    body = make_token(state, request.caller.name, access)
    return Response(dump(body), headers={"Content-Type": JSON_UTF8})


async def dispatch(state: State, request: Request) -> Response:
    """Answer a request to /v2/."""
    path = request.raw_path
    if path in ("/v2", "/v2/"):
        if not request.caller.authenticated:
            raise _unauthorized(request, "unauthorized", [])
        return Response("{}", headers={**REGISTRY_VERSION, "Content-Type": JSON_UTF8})
    if path == "/v2/_catalog":
        return _catalog(state, request)
    kind, name, reference = _split(path)
    _authorize(state, request, name)
    if kind in ("uploads", "upload"):
        return await uploads.handle(state, request, name, reference)
    if kind == "manifests" and request.method == "PUT":
        return _put_manifest(state, request, name, reference, await request.body())
    handler = {
        ("manifests", "GET"): _get_manifest,
        ("manifests", "HEAD"): _get_manifest,
        ("manifests", "DELETE"): _delete_manifest,
        ("blobs", "GET"): _get_blob,
        ("blobs", "HEAD"): _get_blob,
        ("tags", "GET"): _tags,
        ("referrers", "GET"): _referrers,
    }.get((kind, request.method))
    if handler is None:
        raise HarborError(405, "UNSUPPORTED", "The operation is unsupported.", registry=True)
    with state.lock:
        return handler(state, request, name, reference)


def _split(path: str) -> tuple[str, str, str]:
    """Return what a path is about: kind, repository, and tag, digest or upload."""
    for kind, pattern in PATHS:
        match = pattern.match(path)
        if match is not None:
            return kind, match["name"], match.groupdict().get("reference", "")
    raise not_found(f"path {path} was not found")


# -- authorization -----------------------------------------------------------------------------


def _authorize(state: State, request: Request, name: str) -> None:
    wanted = [(name, ACTIONS.get(request.method, "pull"))]
    source = request.query.get("from")
    if request.method == "POST" and request.query.get("mount") and source:
        wanted.append((source, "pull"))
    for repository, action in wanted:
        if request.method in ("GET", "HEAD") and "authorization" not in request.headers:
            text = "authorize header needed to send HEAD to repository"
            raise _unauthorized(request, text, wanted)
        project = state.project(repository.partition("/")[0])
        if project is None:
            text = f"project {repository.partition('/')[0]} not found"
            raise _refusal(text, "")
        if not request.caller.can(state, project, "repository", action):
            text = f"unauthorized to access repository: {repository}, action: {action}"
            raise _unauthorized(request, text, wanted)


def _unauthorized(request: Request, text: str, wanted: list[tuple[str, str]]) -> HarborError:
    if "authorization" in request.headers or request.raw_path == "/v2/_catalog":
        return _refusal(text, 'Basic realm="harbor"')
    challenge = f'Bearer realm="{request.base_url}/service/token",service="{SERVICE}"'
    if wanted:
        scope = " ".join(f"repository:{name}:{SCOPES[action]}" for name, action in wanted)
        challenge += f',scope="{scope}"'
    return _refusal(text, challenge)


def _refusal(text: str, challenge: str) -> HarborError:
    headers = {"Www-Authenticate": challenge}
    # Harbor prints the message and its cause, which are the same.
    return HarborError(401, "UNAUTHORIZED", f"{text}: {text}", headers=headers, registry=True)


# -- manifests ---------------------------------------------------------------------------------


def _get_manifest(state: State, request: Request, name: str, reference: str) -> Response:
    artifact = state.artifact(name, reference)
    refusal = state.pull_refusals.get(name.partition("/")[0])
    if refusal is not None:
        raise HarborError(412, "PROJECTPOLICYVIOLATION", refusal)
    if request.headers.get("if-none-match", "").strip('"') == artifact.digest:
        return Response(status_code=304)
    stored = state.storage.manifest_in(name, artifact.digest)
    if stored is None:
        detail = {"Name": name, "Revision": artifact.digest}
        raise HarborError(404, "MANIFEST_UNKNOWN", "manifest unknown", detail=detail, registry=True)
    media_type, data = stored
    _check_accept(request, media_type)
    counted = request.headers.get("user-agent") != UNCOUNTED_USER_AGENT
    if request.method == "GET" and counted:
        state.record_pull(artifact, reference)
    headers = {
        **REGISTRY_VERSION,
        "Content-Type": media_type,
        "Docker-Content-Digest": artifact.digest,
        "Etag": f'"{artifact.digest}"',
    }
    return Response(data, headers=headers)


def _check_accept(request: Request, media_type: str) -> None:
    """Refuse OCI manifests to clients that do not name them; `*/*` does not count."""
    accepted = {
        each.partition(";")[0].strip() for each in request.headers.get("accept", "").split(",")
    }
    if media_type in accepted or media_type not in (OCI_MANIFEST, OCI_INDEX):
        return
    text = "OCI manifest found, but accept header does not support OCI manifests"
    if media_type == OCI_INDEX:
        text = "OCI index found, but accept header does not support OCI indexes"
    raise HarborError(404, "MANIFEST_UNKNOWN", text, registry=True)


def _put_manifest(
    state: State, request: Request, name: str, reference: str, data: bytes
) -> Response:
    if not is_digest(reference) and TAG.match(reference) is None:
        raise not_found("invalid reference format")
    with state.lock:
        _refuse_proxy(state, name)
        media_type = request.headers.get("content-type", "").partition(";")[0].strip()
        subject = state.put_manifest(name, reference, media_type, data)
        digest = reference if is_digest(reference) else state.artifact(name, reference).digest
    location = f"{location_base(state, request)}/v2/{name}/manifests/{digest}"
    headers = {**REGISTRY_VERSION, "Location": location, "Docker-Content-Digest": digest}
    if subject:
        headers["OCI-Subject"] = subject
    return Response(status_code=201, headers=headers)


def _delete_manifest(state: State, request: Request, name: str, reference: str) -> Response:
    if not is_digest(reference):
        raise HarborError(400, "UNSUPPORTED", f"unsupported digest {reference}")
    state.delete_artifact(name, reference)
    return Response(status_code=202)


def _refuse_proxy(state: State, name: str) -> None:
    project = state.project(name.partition("/")[0])
    if project is not None and project.registry_id:
        text = f"can not push artifact to a proxy project: {project.name}"
        raise HarborError(403, "DENIED", text)


def location_base(state: State, request: Request) -> str:
    return "" if state.relative_locations else request.base_url


# -- blobs -------------------------------------------------------------------------------------


def _get_blob(state: State, request: Request, name: str, reference: str) -> Response:
    blob = state.storage.blob_in(name, reference)
    if blob is None:
        text = "blob unknown to registry"
        raise HarborError(404, "BLOB_UNKNOWN", text, detail=reference, registry=True)
    headers = {
        **REGISTRY_VERSION,
        "Content-Type": "application/octet-stream",
        "Docker-Content-Digest": reference,
        "Etag": f'"{reference}"',
        "Accept-Ranges": "bytes",
        "Cache-Control": "max-age=31536000",
    }
    if request.headers.get("if-none-match", "").strip('"') == reference:
        return Response(status_code=304, headers=headers)
    if state.redirect_blobs and request.method == "GET":
        return Response(status_code=307, headers={"Location": _storage_url(request, reference)})
    return _blob_response(request, blob, headers)


def _storage_url(request: Request, digest: str) -> str:
    """Return where storage serves a blob: on this server, but by another name of it."""
    port = request.base_url.rpartition(":")[2]
    return f"{request.scheme}://localhost:{port}/_storage/{digest}?X-Amz-Signature=0123"


def stored_blob(state: State, request: Request) -> Response:
    """Answer for the storage to which blobs can be redirected."""
    if "authorization" in request.headers:
        text = "Only one auth mechanism allowed; only the signature should be specified"
        return Response(text, 400, {"Content-Type": "application/xml"})
    blob = state.storage.blobs.get(request.raw_path.rpartition("/")[2])
    if blob is None:
        return Response("NoSuchKey", 404, {"Content-Type": "application/xml"})
    return _blob_response(request, blob, {"Content-Type": "application/octet-stream"})


def _blob_response(request: Request, blob: Blob, headers: dict[str, str]) -> Response:
    """Return a blob, or the range of it that is asked for."""
    start, end, status = 0, blob.size, 200
    asked = re.fullmatch(r"bytes=(\d*)-(\d*)", request.headers.get("range", ""))
    if asked is not None and (asked[1] or asked[2]):
        start, end = _range(asked[1], asked[2], blob.size)
        status = 206
        if start >= end:
            headers["Content-Range"] = f"bytes */{blob.size}"
            return Response("invalid range: failed to overlap\n", 416, headers)
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{blob.size}"
    if blob.data is not None:
        return Response(blob.data[start:end], status, headers)
    headers["Content-Length"] = str(end - start)
    return StreamingResponse(_stream(blob, start, end), status, headers)


def _range(first: str, last: str, size: int) -> tuple[int, int]:
    if not first:
        return max(size - int(last), 0), size
    return int(first), min(int(last) + 1, size) if last else size


async def _stream(blob: Blob, start: int, end: int) -> AsyncIterator[bytes]:
    for chunk in blob.read(start, end):
        yield chunk


# -- lists -------------------------------------------------------------------------------------


def _page(request: Request, names: list[str]) -> tuple[list[str], dict[str, str]]:
    """Return the names after `last`, at most `n`, and the Link to the next ones."""
    start = bisect_right(names, request.query.get("last", ""))
    size = request.query.get("n", "")
    if not size:
        return names[start:], {}
    if not size.isdigit():
        raise bad_request(f"the value of n is not a valid number: {size}")
    chosen = names[start : start + int(size)]
    if not chosen or start + int(size) >= len(names):
        return chosen, {}
    query = f"last={quote(chosen[-1], safe='')}&n={size}"
    return chosen, {"Link": f'<{request.raw_path}?{query}>; rel="next"'}


def _tags(state: State, request: Request, name: str, reference: str) -> Response:
    repository = state.repositories.get(name)
    if repository is None:
        raise not_found(f"repository {name} not found")
    tags, headers = _page(request, sorted(repository.tags))
    body = dump({"name": name, "tags": tags})
    return Response(body, headers={**headers, "Content-Type": JSON_UTF8})


def _catalog(state: State, request: Request) -> Response:
    if not request.caller.can_in_system("catalog", "read"):
        raise _unauthorized(request, "unauthorized to list catalog", [])
    with state.lock:
        names = sorted(name for name, row in state.repositories.items() if row.tags)
    chosen, headers = _page(request, names)
    return Response(dump({"repositories": chosen}), headers={**headers, "Content-Type": JSON_UTF8})


def _referrers(state: State, request: Request, name: str, reference: str) -> Response:
    if not is_digest(reference):
        raise bad_request(f"unsupported digest {reference}")
    repository = state.repositories.get(name)
    found = repository.accessories_of.get(reference, []) if repository else []
    wanted = request.query.get("artifactType", "")
    manifests = [
        _referrer(state, each.artifact)
        for each in found
        if not wanted or each.artifact.artifact_type == wanted
    ]
    headers = {"Content-Type": OCI_INDEX, "X-Total-Count": str(len(found))}
    if wanted:
        headers["OCI-Filters-Applied"] = "artifactType"
    body = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": manifests}
    return Response(dump(body), headers=headers)


def _referrer(state: State, artifact: Artifact) -> dict[str, object]:
    stored = state.storage.manifest_in(artifact.repository.name, artifact.digest)
    if stored is None:
        raise not_found(f"manifest {artifact.digest} not found")
    described: dict[str, object] = {
        "mediaType": artifact.manifest_media_type,
        "digest": artifact.digest,
        "size": len(stored[1]),
    }
    if artifact.annotations:
        described["annotations"] = artifact.annotations
    if artifact.artifact_type:
        described["artifactType"] = artifact.artifact_type
    return described
