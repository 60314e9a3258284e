"""REST: artifacts of a repository or a project, their tags, accessories and labels."""

from __future__ import annotations

import json
from bisect import bisect_left, bisect_right
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from starlette.responses import Response

from .access import require_login, require_project
from .immutability import is_immutable
from .manifests import TAG
from .model import Accessory, Artifact, Listing, Project, Tag
from .query import AllOf, Fields, Fuzzy, OneOf, Range, filtered, keywords_of, ordered, sorts_of
from .rest_labels import label_json
from .rest_projects import checked_project
from .routes import PREFIX, route
from .state import State
from .wire import JSON, HarborError, Page, Request, answer, bad_request, not_found, timestamp

ARTIFACT_FIELDS: Fields = {
    "id": lambda a: a.id,
    "type": lambda a: a.type,
    "media_type": lambda a: a.media_type,
    "manifest_media_type": lambda a: a.manifest_media_type,
    "artifact_type": lambda a: a.artifact_type,
    "project_id": lambda a: a.repository.project.id,
    "repository_id": lambda a: a.repository.id,
    "repository_name": lambda a: a.repository.name,
    "digest": lambda a: a.digest,
    "size": lambda a: a.size,
    "push_time": lambda a: a.push_time,
    "pull_time": lambda a: a.pull_time,
}
TAG_FIELDS: Fields = {
    "id": lambda t: t.id,
    "name": lambda t: t.name,
    "artifact_id": lambda t: t.artifact.id,
    "repository_id": lambda t: t.artifact.repository.id,
    "push_time": lambda t: t.push_time,
    "pull_time": lambda t: t.pull_time,
}
ACCESSORY_FIELDS: Fields = {
    "id": lambda a: a.id,
    "artifact_id": lambda a: a.artifact.id,
    "subject_artifact_digest": lambda a: a.subject_digest,
    "type": lambda a: a.type,
    "size": lambda a: a.artifact.size,
    "digest": lambda a: a.artifact.digest,
    "creation_time": lambda a: a.creation_time,
}
# Where only these are asked for, a page is cut out of the sorted ids instead of found by a walk.
QUICK_KEYS = {"base", "id", "repository_id"}
BY_ID = ({"id"}, {"push_time"}, {"push_time", "id"})


class Options:
    """What a request wants to see of artifacts."""

    def __init__(self, request: Request, state: State) -> None:
        self.tags = request.flag("with_tag", True)
        self.labels = request.flag("with_label")
        self.accessories = request.flag("with_accessory")
        self.immutable = request.flag("with_immutable_status")
        self.new = state.version_numbers >= (2, 12)
        self.key = (self.tags, self.labels, self.accessories, self.new)


def tag_json(tag: Tag, immutable: bool) -> dict[str, Any]:
    repository = tag.artifact.repository
    return {
        "artifact_id": tag.artifact.id,
        "id": tag.id,
        "immutable": immutable and is_immutable(repository, tag.name),
        "name": tag.name,
        "pull_time": timestamp(tag.pull_time),
        "push_time": timestamp(tag.push_time),
        "repository_id": repository.id,
    }


def accessory_json(accessory: Accessory) -> dict[str, Any]:
    document = {
        "artifact_id": accessory.artifact.id,
        "creation_time": timestamp(accessory.creation_time),
        "digest": accessory.artifact.digest,
        "icon": accessory.icon,
        "id": accessory.id,
        "size": accessory.artifact.size,
        "subject_artifact_digest": accessory.subject_digest,
        "subject_artifact_id": accessory.subject.id if accessory.subject else None,
        "subject_artifact_repo": accessory.artifact.repository.name,
        "type": accessory.type,
    }
    return {key: value for key, value in document.items() if value is not None}


def artifact_text(state: State, artifact: Artifact, options: Options) -> str:
    """Return an artifact as JSON text; kept until it changes, as lists are read again."""
    keep = not options.immutable  # rules change without a word to the artifacts
    if keep and artifact.rendered is not None and artifact.rendered[0] == options.key:
        return artifact.rendered[1]
    document = _artifact_json(state, artifact, options)
    text = json.dumps(document, separators=(",", ":"), sort_keys=True)
    if keep:
        artifact.rendered = (options.key, text)
    return text


def _artifact_json(state: State, artifact: Artifact, options: Options) -> dict[str, Any]:
    repository = artifact.repository
    newest_first = sorted(artifact.tags.values(), key=lambda t: (t.push_time, t.id), reverse=True)
    tags = [tag_json(tag, options.immutable) for tag in newest_first]
    found = state.accessories(artifact) if options.accessories else []
    document: dict[str, Any] = {
        "accessories": [accessory_json(each) for each in found] or None,
        "addition_links": _addition_links(artifact),
        "annotations": artifact.annotations,
        "artifact_type": artifact.artifact_type if options.new else "",
        "digest": artifact.digest,
        "extra_attrs": artifact.extra_attrs,
        "icon": artifact.icon,
        "id": artifact.id,
        "labels": _labels_json(state, artifact) if options.labels else None,
        "manifest_media_type": artifact.manifest_media_type,
        "media_type": artifact.media_type,
        "project_id": repository.project.id,
        "pull_time": timestamp(artifact.pull_time),
        "push_time": timestamp(artifact.push_time),
        "references": [_reference_json(each) for each in artifact.references] or None,
        "repository_id": repository.id,
        "repository_name": repository.name if options.new else "",
        "size": artifact.size,
        "tags": (tags or None) if options.tags else None,
        "type": artifact.type,
    }
    nullable = ("accessories", "labels", "references", "tags")
    return {key: value for key, value in document.items() if value or key in nullable}


def _labels_json(state: State, artifact: Artifact) -> list[dict[str, Any]] | None:
    rows = [row for row in state.labels if row["id"] in artifact.labels] if artifact.labels else []
    return [label_json(row) for row in rows] or None


def _addition_links(artifact: Artifact) -> dict[str, Any]:
    repository = artifact.repository
    name = quote(quote(repository.short_name, safe=""), safe="")
    base = f"{PREFIX}/projects/{repository.project.name}/repositories/{name}/artifacts"
    return {
        addition: {"absolute": False, "href": f"{base}/{artifact.digest}/additions/{addition}"}
        for addition in artifact.addition_names
    }


def _reference_json(reference: Any) -> dict[str, Any]:
    document: dict[str, Any] = {}
    if reference.annotations:
        document["annotations"] = reference.annotations
    document["child_digest"] = reference.child.digest
    document["child_id"] = reference.child.id
    document["parent_id"] = reference.parent.id
    if reference.platform is not None:
        platform = {"OsFeatures": reference.platform.get("os.features")}
        if reference.platform.get("os.version"):
            platform["OsVersion"] = reference.platform["os.version"]
        for key in ("architecture", "os", "variant"):
            if reference.platform.get(key):
                platform[key] = reference.platform[key]
        document["platform"] = platform
    document["urls"] = reference.urls
    return document


def _select(
    state: State, request: Request, page: Page, listing: Listing
) -> tuple[list[Artifact], int]:
    """Return the artifacts of a page and the number of all that fit."""
    keywords = keywords_of(request, state.unknown_keys)
    if keywords.get("base", "*") != "*":
        raise bad_request('the value of "base" query can only be exact match value with "*"')
    ids = _ids(listing, keywords)
    sorts = sorts_of(request, ARTIFACT_FIELDS) or [("push_time", True), ("id", True)]
    directions = {descending for _, descending in sorts}
    span = keywords.get("id", Range())
    wanted = keywords.get("repository_id", OneOf(()))
    if (
        set(keywords) <= QUICK_KEYS
        and isinstance(wanted, OneOf)
        and all(isinstance(number, int) for number in wanted.values)
        and {name for name, _ in sorts} in BY_ID
        and len(directions) == 1
        and isinstance(span, Range)
        and all(isinstance(bound, int | None) for bound in (span.low, span.high))
    ):
        if wanted.values:
            ids = _ids_of(state, listing, keywords, wanted)
        return _cut(state, page, ids, span, directions.pop())
    rows = [state.artifacts[number] for number in ids]
    rows = _by_tags_and_labels(rows, keywords)
    rows = filtered(rows, keywords, ARTIFACT_FIELDS)
    rows = ordered(rows, request, ARTIFACT_FIELDS, [("push_time", True), ("id", True)])
    return rows[page.window], len(rows)


def _ids(listing: Listing, keywords: dict[str, Any]) -> list[int]:
    return (listing.everything if "base" in keywords else listing.visible).ids


def _ids_of(state: State, listing: Listing, keywords: dict[str, Any], wanted: OneOf) -> list[int]:
    """Return the ids of a listing that are of repositories with some numbers, sorted."""
    rows = [row for row in state.repositories.values() if row.id in wanted.values]
    listings = [row.listing for row in rows if listing in (row.listing, row.project.listing)]
    return sorted(number for each in listings for number in _ids(each, keywords))


def _cut(
    state: State, page: Page, ids: list[int], span: Range, descending: bool
) -> tuple[list[Artifact], int]:
    low = 0 if span.low is None else bisect_left(ids, int(span.low))
    high = len(ids) if span.high is None else bisect_right(ids, int(span.high))
    total = max(high - low, 0)
    window = page.window
    start = min(window.start or 0, total)
    stop = total if window.stop is None else min(window.stop, total)
    chosen = ids[low + start : low + stop]
    if descending:
        chosen = ids[high - stop : high - start][::-1]
    return [state.artifacts[number] for number in chosen], total


def _by_tags_and_labels(rows: list[Artifact], keywords: dict[str, Any]) -> list[Artifact]:
    wanted = keywords.get("tags", keywords.get("Tags"))
    if wanted is not None:
        rows = list(filter(_tag_test(wanted), rows))
    labels = keywords.get("labels", keywords.get("Labels"))
    if labels is not None:
        if not isinstance(labels, AllOf) or not all(isinstance(i, int) for i in labels.values):
            text = (
                'the value of "labels" query can only be integer list with intersetion relationship'
            )
            raise bad_request(text)
        numbers = set(labels.values)
        rows = [row for row in rows if numbers <= row.labels]
    return rows


def _tag_test(wanted: Any) -> Callable[[Artifact], bool]:
    if isinstance(wanted, Fuzzy):
        return lambda row: any(wanted.value in name for name in row.tags)
    if not isinstance(wanted, str):
        text = 'the value of "tags" query can only be fuzzy match value or exact match value'
        raise bad_request(text)
    if wanted == "*":
        return lambda row: bool(row.tags)
    if wanted == "nil":
        return lambda row: not row.tags
    return lambda row: wanted in row.tags


def _listed(state: State, request: Request, page: Page, listing: Listing) -> Response:
    rows, total = _select(state, request, page, listing)
    options = Options(request, state)
    text = ",".join([artifact_text(state, row, options) for row in rows])
    return Response(f"[{text}]\n", 200, {**page.headers(total), "Content-Type": JSON})


@route("GET", "/projects/{project}/repositories/{repository}/artifacts")
def list_artifacts(state: State, request: Request, project: str, repository: str) -> Response:
    page = Page(request)
    require_project(state, request.caller, state.project(project), "artifact", "list")
    row = state.repositories.get(f"{project}/{repository}")
    return _listed(state, request, page, row.listing if row else Listing())


@route("GET", "/projects/{project}/artifacts", since=(2, 12))
def list_artifacts_of_project(state: State, request: Request, name: str) -> Response:
    page = Page(request)
    require_login(request.caller)
    project = checked_project(state, request, name, "artifact", "list")
    if request.flag("latest_in_repository"):
        return _latest(state, request, project)
    return _listed(state, request, page, project.listing)


def _latest(state: State, request: Request, project: Project) -> Response:
    """Answer with the newest artifact of each repository; there are no pages."""
    keywords = keywords_of(request)
    if ("media_type" in keywords) == ("artifact_type" in keywords):
        text = "either 'media_type' or 'artifact_type' must be specified, but not both, when"
        raise bad_request(f"bad request: {text} querying with latest_in_repository")
    rows = filtered([state.artifacts[i] for i in project.listing.visible.ids], keywords,
                    ARTIFACT_FIELDS)  # fmt: skip
    newest = {row.repository.id: row for row in sorted(rows, key=lambda row: row.push_time)}
    options = Options(request, state)
    text = ",".join([artifact_text(state, row, options) for row in newest.values()])
    headers = {"X-Total-Count": str(len(newest)), "Content-Type": JSON}
    return Response(f"[{text}]\n", 200, headers)


def _artifact(
    state: State, request: Request, path: tuple[str, ...], resource: str, action: str
) -> Artifact:
    project, repository, reference = path
    require_project(state, request.caller, state.project(project), resource, action)
    return state.artifact(f"{project}/{repository}", reference)


ONE = "/projects/{project}/repositories/{repository}/artifacts/{reference}"


@route("GET", ONE)
def get_artifact(state: State, request: Request, *path: str) -> Response:
    artifact = _artifact(state, request, path, "artifact", "read")
    text = artifact_text(state, artifact, Options(request, state))
    return Response(text + "\n", 200, {"Content-Type": JSON})


@route("DELETE", ONE)
def delete_artifact(state: State, request: Request, *path: str) -> Response:
    artifact = _artifact(state, request, path, "artifact", "delete")
    state.delete_artifact(artifact.repository.name, artifact.digest)
    return Response(status_code=200)


@route("GET", ONE + "/tags")
def list_tags(state: State, request: Request, *path: str) -> Response:
    page = Page(request)
    artifact = _artifact(state, request, path, "tag", "list")
    rows = filtered(artifact.tags.values(), keywords_of(request), TAG_FIELDS)
    rows = ordered(rows, request, TAG_FIELDS, [("push_time", True), ("id", True)])
    immutable = request.flag("with_immutable_status")
    body = [tag_json(row, immutable) for row in rows[page.window]]
    return answer(body, headers=page.headers(len(rows)))


@route("POST", ONE + "/tags")
def create_tag(state: State, request: Request, *path: str) -> Response:
    project = state.project(path[0])
    require_project(state, request.caller, project, "tag", "create")
    if project is not None and project.registry_id:
        text = "the operation isn't supported for a proxy cache project"
        raise HarborError(405, "METHOD_NOT_ALLOWED", text)
    artifact = _artifact(state, request, path, "tag", "create")
    name = request.json().get("name", "")
    if TAG.match(name) is None:
        raise bad_request(f"bad request: invalid tag name: {name}")
    state.create_tag(artifact, name)
    return Response(status_code=201)


@route("DELETE", ONE + "/tags/{tag}")
def delete_tag(state: State, request: Request, *path: str) -> Response:
    artifact = _artifact(state, request, path[:3], "tag", "delete")
    state.delete_tag(artifact, path[3])
    return Response(status_code=200)


@route("GET", ONE + "/accessories")
def list_accessories(state: State, request: Request, *path: str) -> Response:
    page = Page(request)
    artifact = _artifact(state, request, path, "accessory", "list")
    # Without `sort` they come in no order; here in one that nobody expects.
    rows = state.accessories(artifact)[::-1]
    rows = filtered(rows, keywords_of(request), ACCESSORY_FIELDS)
    rows = ordered(rows, request, ACCESSORY_FIELDS, [])
    body = [accessory_json(row) for row in rows[page.window]]
    return answer(body, headers=page.headers(len(rows)))


@route("POST", ONE + "/labels")
def add_label(state: State, request: Request, *path: str) -> Response:
    artifact = _artifact(state, request, path, "artifact-label", "create")
    label = state.labels.checked(request.json().get("id", 0), "label")
    number, project = label["id"], artifact.repository.project
    if label["scope"] == "p" and label["project_id"] != project.id:
        text = f"project id {project.id}, label {number} not found"
        raise not_found(text)
    if number in artifact.labels:
        text = f"label {number} is already added to the artifact {artifact.id}"
        raise HarborError(409, "CONFLICT", text)
    artifact.labels |= {number}
    artifact.rendered = None
    return Response(status_code=200)


@route("DELETE", ONE + "/labels/{label}")
def remove_label(state: State, request: Request, *path: str) -> Response:
    artifact = _artifact(state, request, path[:3], "artifact-label", "delete")
    if not path[3].isdigit() or int(path[3]) not in artifact.labels:
        raise not_found(f"reference with label {path[3]} and artifact {artifact.id} not found")
    artifact.labels -= {int(path[3])}
    artifact.rendered = None
    return Response(status_code=200)
