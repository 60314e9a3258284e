"""/v2/: manifests."""

from __future__ import annotations

from starlette.responses import Response

from .content import OCI_INDEX, OCI_MANIFEST
from .manifests import is_digest, wrong_digest
from .model import Project
from .state import State
from .wire import REGISTRY_VERSION, HarborError, Request

# Harbor's own components pull with this name; pulls of theirs are not counted.
UNCOUNTED_USER_AGENT = "harbor-registry-client"


def get(state: State, request: Request, name: str, reference: str) -> Response:
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


def put(state: State, request: Request, name: str, reference: str, data: bytes) -> Response:
    with state.lock:
        refuse_proxy(state.project_names[name.partition("/")[0]])
        media_type = request.headers.get("content-type", "").partition(";")[0].strip()
        subject = state.put_manifest(name, reference, media_type, data)
        digest = reference if is_digest(reference) else state.artifact(name, reference).digest
    location = f"{location_base(state, request)}/v2/{name}/manifests/{digest}"
    headers = {**REGISTRY_VERSION, "Location": location, "Docker-Content-Digest": digest}
    if subject:
        headers["OCI-Subject"] = subject
    return Response(status_code=201, headers=headers)


def delete(state: State, request: Request, name: str, reference: str) -> Response:
    wrong = wrong_digest(reference)
    if wrong:
        raise HarborError(400, "UNSUPPORTED", f"unsupported digest {reference}: {wrong}")
    state.delete_artifact(name, reference)
    return Response(status_code=202)


def refuse_proxy(project: Project) -> None:
    if project.registry_id:
        text = f"denied: can not push artifact to a proxy project: {project.name}"
        raise HarborError(403, "DENIED", text)


def location_base(state: State, request: Request) -> str:
    return "" if state.relative_locations else request.base_url
