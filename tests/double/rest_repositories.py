"""REST: repositories."""

from __future__ import annotations

import html
from typing import Any

from starlette.responses import Response

from .access import require_project
from .model import Repository
from .query import Fields, filtered, keywords_of, ordered
from .rest_projects import visible_projects
from .routes import route
from .state import State
from .wire import Page, Request, answer, not_found, timestamp

REPOSITORY_FIELDS: Fields = {
    "repository_id": lambda r: r.id,
    "name": lambda r: r.name,
    "project_id": lambda r: r.project.id,
    "pull_count": lambda r: r.pull_count,
    "creation_time": lambda r: r.creation_time,
    "update_time": lambda r: r.update_time,
}


def repository_json(repository: Repository) -> dict[str, Any]:
    described = {"description": repository.description} if repository.description else {}
    return {
        "artifact_count": len(repository.listing.visible),
        "creation_time": timestamp(repository.creation_time),
        **described,
        "id": repository.id,
        "name": repository.name,
        "project_id": repository.project.id,
        "pull_count": repository.pull_count,
        "update_time": timestamp(repository.update_time),
    }


@route("GET", "/projects/{project}/repositories")
def list_repositories(state: State, request: Request, name: str) -> Response:
    page = Page(request)
    project = state.project(name)
    require_project(state, request.caller, project, "repository", "list")
    if project is None:
        raise not_found(f"project {name} not found")
    return _repositories(state, request, page, list(project.repositories.values()))


@route("GET", "/repositories")
def list_all_repositories(state: State, request: Request) -> Response:
    page = Page(request)
    rows = [
        repository
        for project in visible_projects(state, request.caller, listing=False)
        for repository in project.repositories.values()
    ]
    return _repositories(state, request, page, rows)


def _repositories(state: State, request: Request, page: Page, rows: list[Repository]) -> Response:
    keywords = keywords_of(request, state.unknown_keys)
    digest = keywords.pop("blob_digest", None)
    if digest is not None:
        rows = [r for r in rows if any(digest in a.blob_digests for a in r.artifacts.values())]
    rows = filtered(rows, keywords, REPOSITORY_FIELDS)
    default = [("creation_time", True), ("repository_id", True)]
    rows = ordered(rows, request, REPOSITORY_FIELDS, default)
    body = [repository_json(repository) for repository in rows[page.window]]
    return answer(body, headers=page.headers(len(rows)))


def checked_repository(
    state: State, request: Request, project: str, repository: str, action: str
) -> Repository:
    found = state.project(project)
    require_project(state, request.caller, found, "repository", action)
    row = state.repositories.get(f"{project}/{repository}")
    if row is None:
        raise not_found(f"repository {project}/{repository} not found")
    return row


@route("GET", "/projects/{project}/repositories/{repository}")
def get_repository(state: State, request: Request, project: str, repository: str) -> Response:
    return answer(repository_json(checked_repository(state, request, project, repository, "read")))


@route("PUT", "/projects/{project}/repositories/{repository}")
def describe_repository(state: State, request: Request, project: str, repository: str) -> Response:
    row = checked_repository(state, request, project, repository, "update")
    row.description = html.escape(request.json().get("description") or "")
    return Response(status_code=200)


@route("DELETE", "/projects/{project}/repositories/{repository}")
def delete_repository(state: State, request: Request, project: str, repository: str) -> Response:
    row = checked_repository(state, request, project, repository, "delete")
    state.refuse_immutable_delete(row, list(row.tags))
    state.forget_repository(row)
    return Response(status_code=200)
