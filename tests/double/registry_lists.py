"""/v2/: tags, the catalog, referrers."""

from __future__ import annotations

import re
from bisect import bisect_right
from urllib.parse import quote

from starlette.responses import Response

from .content import OCI_INDEX
from .manifests import wrong_digest
from .model import Artifact
from .state import State
from .wire import JSON_UTF8, Request, bad_request, dump, not_found


def _page(request: Request, names: list[str]) -> tuple[list[str], dict[str, str]]:
    """Return the names after `last`, at most `n`, and the Link to the next ones."""
    start = bisect_right(names, request.query.get("last", ""))
    size = _size(request)
    if size is None:
        return names[start:], {}
    chosen = names[start : start + size]
    if not chosen or start + size >= len(names):
        return chosen, {}
    query = f"last={quote(chosen[-1], safe='')}&n={size}"
    return chosen, {"Link": f'<{request.raw_path}?{query}>; rel="next"'}


def _size(request: Request) -> int | None:
    size = request.query.get("n", "")
    if size and re.fullmatch(r"\+?\d+", size) is None:
        raise bad_request("the N must be a positive int type")
    return int(size) if size else None


def tags(state: State, request: Request, name: str, reference: str) -> Response:
    if _size(request) == 0:
        body = dump({"name": name, "tags": []})
        return Response(body, headers={"Content-Type": JSON_UTF8})
    repository = state.repositories.get(name)
    if repository is None:
        raise not_found(f"repository {name} not found")
    tags, headers = _page(request, sorted(repository.tags))
    body = dump({"name": name, "tags": tags})
    return Response(body, headers={**headers, "Content-Type": JSON_UTF8})


def catalog(state: State, request: Request) -> Response:
    names = sorted(name for name, row in state.repositories.items() if row.tags)
    last = request.query.get("last", "")
    if last and _size(request) is not None and last not in names:
        raise bad_request(f"the last: {last} should be a valid repository name.")
    chosen, headers = _page(request, names)
    return Response(dump({"repositories": chosen}), headers={**headers, "Content-Type": JSON_UTF8})


def referrers(state: State, request: Request, name: str, reference: str) -> Response:
    wrong = wrong_digest(reference)
    if wrong:
        raise bad_request(f"unsupported digest {reference}: {wrong}")
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
