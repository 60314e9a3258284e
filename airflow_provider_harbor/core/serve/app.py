"""The distribution API, read-only, out of a store. Source: distribution-spec v1.1.

Where the specification leaves a choice, an answer is as the distribution's, the registry inside
Harbor. Repositories have the names that Harbor has. Every name of a request is looked up in the
catalogue, and only digests become paths.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ParamSpec, TypeVar

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from airflow_provider_harbor.core.exceptions import (
    HarborProtocolError,
    IntegrityError,
    StoreError,
)
from airflow_provider_harbor.core.oci.manifest import (
    DOCKER_INDEX,
    OCI_INDEX,
    Manifest,
)
from airflow_provider_harbor.core.oci.names import is_digest, is_repository_name, is_tag_name
from airflow_provider_harbor.core.oci.referrers import referrer_entry, referrers_index
from airflow_provider_harbor.core.serve.answers import (
    Accepted,
    ApiError,
    Code,
    find_range,
    is_unchanged,
    page,
)
from airflow_provider_harbor.core.serve.catalogue import Catalogue, Repository
from airflow_provider_harbor.core.serve.content import Block, check_blob, open_blob
from airflow_provider_harbor.core.serve.streaming import BlobResponse
from airflow_provider_harbor.core.store.backup_store import BackupStore

log = logging.getLogger(__name__)

_THREADS = 32
_INDEXES = (OCI_INDEX, DOCKER_INDEX)
# What a client gets that does not know indexes. Source: distribution
# registry/handlers/manifests.go.
_DEFAULT_PLATFORM = ("linux", "amd64")
# Content does not change under its digest.
_FOR_EVER = {"Cache-Control": "max-age=31536000"}

_P = ParamSpec("_P")
_R = TypeVar("_R")
_Endpoint = Callable[[Request], Coroutine[Any, Any, Response]]


def make_app(store: BackupStore, catalogue: Catalogue) -> Starlette:
    """Return the registry as an ASGI application, open to everybody, see `guard`."""
    one = _Registry(store, catalogue)
    endpoints: list[tuple[str, _Endpoint]] = [
        ("/v2", one.base),
        ("/v2/", one.base),
        ("/v2/_catalog", one.catalog),
        ("/v2/{name:path}/tags/list", one.tags),
        ("/v2/{name:path}/manifests/{reference}", one.manifest),
        ("/v2/{name:path}/blobs/{digest}", one.blob),
        ("/v2/{name:path}/referrers/{digest}", one.referrers),
    ]
    app = Starlette(
        routes=[
            *(Route(path, endpoint, methods=["GET"]) for path, endpoint in endpoints),
            Route("/v2/{name:path}/blobs/uploads/{rest:path}", _refuse, methods=["GET"]),
        ],
        exception_handlers={HTTPException: _no_route, ApiError: _api_error, Exception: _defect},
    )
    app.router.redirect_slashes = False
    return app


async def _refuse(request: Request) -> Response:
    raise HTTPException(405)


async def _no_route(request: Request, err: Exception) -> Response:
    if isinstance(err, HTTPException) and err.status_code == 405:
        return ApiError(
            405,
            Code.UNSUPPORTED,
            "this is a backup: it can be read, and not be written",
            headers={"Allow": "GET, HEAD"},
        ).response()
    return ApiError(404, Code.UNSUPPORTED, "there is no such endpoint").response()


async def _api_error(request: Request, err: Exception) -> Response:
    return err.response() if isinstance(err, ApiError) else await _defect(request, err)


async def _defect(request: Request, err: Exception) -> Response:
    """Answer; Starlette hands the error on to uvicorn, which logs it."""
    return ApiError(500, Code.UNKNOWN, "a defect of this program; its log says more").response()


class _Registry:
    """The endpoints. What reads the store runs in threads."""

    def __init__(self, store: BackupStore, catalogue: Catalogue) -> None:
        self._store = store
        self._repositories = catalogue.repositories
        self._names = tuple(catalogue.repositories)
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="serve")

    async def base(self, request: Request) -> Response:
        """Answer that this is a registry."""
        return JSONResponse({})

    async def catalog(self, request: Request) -> Response:
        """List the repositories."""
        names, headers = page(self._names, request.query_params, "/v2/_catalog")
        return JSONResponse({"repositories": names}, headers=headers)

    async def tags(self, request: Request) -> Response:
        """List the tags of a repository."""
        name, repository = self._repository(request)
        names, headers = page(repository.tags, request.query_params, f"/v2/{name}/tags/list")
        return JSONResponse({"name": name, "tags": names}, headers=headers)

    async def manifest(self, request: Request) -> Response:
        """Send a manifest, by tag or digest, after its bytes were verified."""
        name, repository = self._repository(request)
        reference = request.path_params["reference"]
        found = _find_manifest(name, repository, reference)
        digest, media_type = await self._negotiate(request, name, repository, found)
        headers = {"Docker-Content-Digest": digest, "ETag": f'"{digest}"'}
        if is_unchanged(request.headers, headers["ETag"]):
            return Response(None, 304, headers)
        content = await self._in_thread(self._read, name, digest)
        # Harbor takes a few kinds of manifests that do not say what they are.
        return Response(content, headers=headers, media_type=media_type or None)

    async def _negotiate(
        self, request: Request, name: str, repository: Repository, digest: str
    ) -> tuple[str, str]:
        """Return what the client takes, with its media type: a manifest, or one of its children."""
        accepted = Accepted(request.headers.getlist("accept"))
        media_type = repository.media_type_of(digest) or ""
        if media_type in accepted:
            return digest, media_type
        reference = request.path_params["reference"]
        if media_type in _INDEXES and digest != reference:
            child = await self._in_thread(self._default_child, name, repository, digest)
            child_type = repository.media_type_of(child) if child else None
            if child and child_type and child_type in accepted:
                return child, child_type
        what = "an index" if media_type in _INDEXES else "a manifest"
        raise ApiError(
            404,
            Code.MANIFEST_UNKNOWN,
            f"{reference} is {what} of the type {media_type}, which the client does not accept",
            {"name": name, "reference": reference},
        )

    async def blob(self, request: Request) -> Response:
        """Send a config or layer, or a part of it."""
        name, repository = self._repository(request)
        digest = _parse_digest(request.path_params["digest"])
        size_bytes = repository.blob_size(digest)
        if size_bytes is None:
            raise ApiError(
                404, Code.BLOB_UNKNOWN, "the repository has no such blob", {"digest": digest}
            )
        etag = f'"{digest}"'
        headers = {
            "Docker-Content-Digest": digest,
            "ETag": etag,
            "Accept-Ranges": "bytes",
            "Content-Type": "application/octet-stream",
            **_FOR_EVER,
        }
        if is_unchanged(request.headers, etag):
            return Response(None, 304, headers)
        # Only GET has ranges: RFC 9110 section 14.2.
        is_head = request.method == "HEAD"
        part = None if is_head else find_range(request.headers, size_bytes, etag)
        start, end = part or (0, size_bytes)
        headers["Content-Length"] = str(end - start)
        if part:
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{size_bytes}"
        status = 206 if part else 200
        first: Block = b""
        rest: Iterator[Block] = iter(())
        if is_head or not size_bytes:
            await self._in_thread(self._look, name, digest, size_bytes)
        else:
            first, rest = await self._in_thread(self._open, name, digest, size_bytes, start, end)
        return BlobResponse(first, rest, self._threads, f"{name}@{digest}", status, headers)

    async def referrers(self, request: Request) -> Response:
        """List what refers to a digest by its `subject`.

        A signature that cosign 2 keeps under a tag has none, and is found by that tag.
        """
        name, repository = self._repository(request)
        subject = _parse_digest(request.path_params["digest"])
        wanted = request.query_params.get("artifactType")
        content = await self._in_thread(self._list_referrers, name, repository, subject, wanted)
        headers = {"OCI-Filters-Applied": "artifactType"} if wanted else {}
        return Response(content, headers=headers | {"Content-Type": OCI_INDEX})

    # -- what reads the store, in threads

    async def _in_thread(
        self, function: Callable[_P, _R], *args: _P.args, **kwargs: _P.kwargs
    ) -> _R:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, lambda: function(*args, **kwargs))

    def _read(self, name: str, digest: str) -> bytes:
        with _Troubles(name, digest, Code.MANIFEST_UNKNOWN):
            return self._store.pool.read(digest)

    def _look(self, name: str, digest: str, size_bytes: int) -> None:
        with _Troubles(name, digest, Code.BLOB_UNKNOWN):
            check_blob(self._store, digest, size_bytes)

    def _open(
        self, name: str, digest: str, size_bytes: int, start: int, end: int
    ) -> tuple[Block, Iterator[Block]]:
        """Return the first block, which is often the only one, and the others."""
        with _Troubles(name, digest, Code.BLOB_UNKNOWN):
            blocks = open_blob(self._store, digest, size_bytes, start, end)
            return next(blocks, b""), blocks

    def _default_child(self, name: str, repository: Repository, digest: str) -> str | None:
        manifest = self._parse(name, repository, digest)
        for child in manifest.children:
            platform = child.platform
            if platform and (platform.os, platform.architecture) == _DEFAULT_PLATFORM:
                return child.digest if repository.media_type_of(child.digest) else None
        return None

    def _parse(self, name: str, repository: Repository, digest: str) -> Manifest:
        media_type = repository.media_type_of(digest) or ""
        with _Troubles(name, digest, Code.MANIFEST_UNKNOWN):
            return Manifest.from_bytes(self._store.pool.read(digest), media_type, name)

    def _list_referrers(
        self, name: str, repository: Repository, subject: str, wanted: str | None
    ) -> bytes:
        entries = []
        for digest in repository.referrers_of(subject):
            try:
                manifest = self._parse(name, repository, digest)
            except ApiError as err:
                if err.status >= 500:
                    raise
                continue  # it cannot be pulled either, and the log has it
            entry = referrer_entry(manifest)
            if manifest.subject == subject and wanted in (None, "", entry.get("artifactType")):
                entries.append(entry)
        return referrers_index(entries).content

    # -- what is asked for

    def _repository(self, request: Request) -> tuple[str, Repository]:
        name = request.path_params["name"]
        if not is_repository_name(name):
            raise ApiError(
                400, Code.NAME_INVALID, "this is not the name of a repository", {"name": name}
            )
        repository = self._repositories.get(name)
        if repository is None:
            raise ApiError(
                404, Code.NAME_UNKNOWN, "the snapshot has no such repository", {"name": name}
            )
        return name, repository


def _find_manifest(name: str, repository: Repository, reference: str) -> str:
    """Return the digest of the manifest that a tag or digest names."""
    detail = {"name": name, "reference": reference}
    if ":" in reference:
        digest: str | None = _parse_digest(reference)
    elif is_tag_name(reference):
        digest = repository.digest_of(reference)
    else:
        raise ApiError(400, Code.TAG_INVALID, "this is not the name of a tag", detail)
    if digest is None or repository.media_type_of(digest) is None:
        raise ApiError(404, Code.MANIFEST_UNKNOWN, "the repository has no such manifest", detail)
    return digest


def _parse_digest(text: str) -> str:
    if not is_digest(text):
        raise ApiError(400, Code.DIGEST_INVALID, "this is not a digest", {"digest": text})
    return text


class _Troubles:
    """Turns what reading the store raises into an answer, and a line of the log."""

    def __init__(self, name: str, digest: str, code: Code) -> None:
        self._where = f"{name}@{digest}"
        self._digest = digest
        self._code = code

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, err: BaseException | None, traceback: object) -> None:
        if isinstance(err, (IntegrityError, HarborProtocolError)):
            log.error("%s cannot be served: %s", self._where, err)
            # Not 5xx, which clients try again; the next mirror that a client knows may have it.
            message = "the backup's own file of it is damaged or gone"
            raise ApiError(404, self._code, message, {"digest": self._digest}) from None
        if isinstance(err, StoreError):
            log.error("%s cannot be served now: %s", self._where, err)
            message = "the backup store cannot be read now"
            raise ApiError(503, Code.UNAVAILABLE, message) from None
