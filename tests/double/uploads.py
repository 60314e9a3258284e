"""Uploads of blobs, as distribution 2.8.3 does them behind Harbor.

A Location is bound to the bytes received when it was given out. A request to any but the newest
Location, or to a session whose body was cut, is answered 404 BLOB_UPLOAD_INVALID, and nothing can
revive the session. `Content-Range` is not looked at: chunks are appended as they come.
"""

from __future__ import annotations

from starlette.requests import ClientDisconnect
from starlette.responses import Response

from .artifacts import LONGEST_NAME
from .manifests import is_digest
from .registry_manifests import location_base, refuse_proxy
from .state import State
from .storage import Upload
from .wire import REGISTRY_VERSION, HarborError, Request


async def handle(state: State, request: Request, name: str, upload_id: str) -> Response:
    if request.method == "POST" and not upload_id:
        return await _start(state, request, name)
    if not upload_id or request.method not in ("GET", "PATCH", "PUT", "DELETE"):
        raise HarborError(405, "UNSUPPORTED", "The operation is unsupported.", registry=True)
    upload = _find(state, request, name, upload_id)
    if request.method == "GET":
        return _status(state, request, upload, 204)
    if request.method == "DELETE":
        state.storage.cancel_upload(upload)
        return Response(status_code=204, headers=REGISTRY_VERSION)
    if request.method == "PATCH":
        kind = request.headers.get("content-type", "")
        if kind not in ("", "application/octet-stream"):
            raise HarborError(500, "UNKNOWN", "unknown error", detail={}, registry=True)
        await _receive(state, request, upload)
        return _status(state, request, upload, 202)
    return await _finish(state, request, upload)


async def _start(state: State, request: Request, name: str) -> Response:
    await request.body()  # a monolithic POST is not supported: its body is ignored, as Harbor does
    project = state.project_names[name.partition("/")[0]]
    refuse_proxy(project)
    if len(name) > LONGEST_NAME:
        raise HarborError(400, "NAME_INVALID", "invalid repository name", registry=True)
    mounted = request.query.get("mount", "")
    source = request.query.get("from", "")
    with state.lock:
        blob = state.storage.blob_in(source, mounted) if mounted and source else None
        if blob is not None:
            state.check_quota(project, {mounted: blob.size})
            state.storage.link(name, mounted)
            state.count_blob(project, mounted, blob.size)
            return _stored(state, request, name, mounted)
        return _status(state, request, state.storage.start_upload(name), 202)


def _find(state: State, request: Request, name: str, upload_id: str) -> Upload:
    signed = state.storage.read_upload_state(request.query.get("_state", ""))
    if signed is None or signed["Name"] != name or signed["UUID"] != upload_id:
        raise _invalid(detail={})
    upload = state.storage.uploads.get(upload_id)
    if upload is None:
        text = "blob upload unknown to registry"
        raise HarborError(404, "BLOB_UPLOAD_UNKNOWN", text, detail={}, registry=True)
    if upload.cut or upload.size != signed["Offset"]:
        raise _invalid()
    return upload


def _invalid(detail: object = None) -> HarborError:
    text = "blob upload invalid"
    return HarborError(404, "BLOB_UPLOAD_INVALID", text, detail=detail, registry=True)


async def _receive(state: State, request: Request, upload: Upload) -> None:
    try:
        async for chunk in request.chunks():
            if state.storage_full:
                continue
            upload.append(chunk)
    except ClientDisconnect:
        # Some of the bytes arrived, no matter how many: the Location the client has is wrong now.
        upload.cut = True
        raise
    if state.storage_full:
        path = f"/storage/docker/registry/v2/repositories/{upload.repository}/_uploads/{upload.id}"
        detail = f"write {path}/data: no space left on device"
        raise HarborError(500, "UNKNOWN", "unknown error", detail=detail, registry=True)


async def _finish(state: State, request: Request, upload: Upload) -> Response:
    digest = request.query.get("digest", "")
    project = state.project_names[upload.repository.partition("/")[0]]
    await _receive(state, request, upload)
    with state.lock:
        if not is_digest(digest):
            raise _wrong_digest("digest parsing failed" if digest else "digest missing")
        state.check_quota(project, {digest: upload.size})
        if state.storage.finish_upload(upload, digest) is None:
            raise _wrong_digest({"Digest": digest, "Reason": {}})
        state.count_blob(project, digest, upload.size)
        return _stored(state, request, upload.repository, digest)


def _wrong_digest(detail: object) -> HarborError:
    text = "provided digest did not match uploaded content"
    return HarborError(400, "DIGEST_INVALID", text, detail=detail, registry=True)


def _status(state: State, request: Request, upload: Upload, status: int) -> Response:
    base = f"{location_base(state, request)}/v2/{upload.repository}/blobs/uploads/{upload.id}"
    headers = {
        **REGISTRY_VERSION,
        "Location": f"{base}?_state={state.storage.upload_state(upload)}",
        # An empty session and one with a single byte look the same, as in distribution.
        "Range": f"0-{max(upload.size - 1, 0)}",
        "Docker-Upload-Uuid": upload.id,
    }
    return Response(status_code=status, headers=headers)


def _stored(state: State, request: Request, name: str, digest: str) -> Response:
    location = f"{location_base(state, request)}/v2/{name}/blobs/{digest}"
    headers = {**REGISTRY_VERSION, "Location": location, "Docker-Content-Digest": digest}
    return Response(status_code=201, headers=headers)
