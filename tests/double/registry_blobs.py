"""/v2/: blobs, but for their uploads (`uploads.py`); and the storage they can be redirected to."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

from starlette.responses import Response, StreamingResponse

from .connection import LostBody
from .state import State
from .storage import Blob
from .wire import REGISTRY_VERSION, HarborError, Request


def get(state: State, request: Request, name: str, reference: str) -> Response:
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
    if state.redirect_blobs:
        return Response(status_code=307, headers={"Location": _storage_url(request, reference)})
    return _blob_response(request, blob, headers)


def _storage_url(request: Request, digest: str) -> str:
    """Return where storage serves a blob: on this server, but by another name of it."""
    port = request.base_url.rpartition(":")[2]
    return f"{request.scheme}://localhost:{port}/_storage/{digest}?X-Amz-Signature=0123"


def stored(state: State, request: Request) -> Response:
    """Answer for the storage to which blobs can be redirected."""
    if "authorization" in request.headers:
        text = "Only one auth mechanism allowed; only the signature should be specified"
        return Response(text, 400, {"Content-Type": "application/xml"})
    blob = state.storage.blobs.get(request.raw_path.rpartition("/")[2])
    if blob is None:
        return Response("NoSuchKey", 404, {"Content-Type": "application/xml"})
    return _blob_response(request, blob, {"Content-Type": "application/octet-stream"})


def _blob_response(request: Request, blob: Blob, headers: dict[str, str]) -> Response:
    """Return a blob, or the range of it that is asked for.

    What was lost looks like the others until its first byte should come.
    """
    start, end, status = 0, blob.size, 200
    asked = re.fullmatch(r"bytes=(\d*)-(\d*)", request.headers.get("range", ""))
    if asked is not None and (asked[1] or asked[2]):
        start, end = _range(asked[1], asked[2], blob.size)
        status = 206
        if start >= end:
            headers["Content-Range"] = f"bytes */{blob.size}"
            return Response("invalid range: failed to overlap\n", 416, headers)
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{blob.size}"
    if blob.lost and request.method == "GET":
        return LostBody(end - start, status, headers)
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
