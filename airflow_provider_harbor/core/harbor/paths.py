"""Paths of the REST API: names become parts of them, and nothing else does.

What all functions raise:
    HarborProtocolError: A name is none.
"""

from __future__ import annotations

from urllib.parse import quote

from airflow_provider_harbor.core.oci.names import parse_project, parse_reference, parse_repository


def split_repository(full_name: str) -> tuple[str, str]:
    """Return project and repository of a full name, which its first slash divides."""
    project, _, repository = full_name.partition("/")
    return project, repository


def project_path(project: str) -> str:
    """Return the path of a project."""
    return f"/projects/{quote(parse_project(project), safe='')}"


def repository_path(project: str, repository: str) -> str:
    """Return the path of a repository; its name is without the project."""
    return f"{project_path(project)}/repositories/{_escape(parse_repository(repository))}"


def artifact_path(repository: str, reference: str) -> str:
    """Return the path of an artifact; the repository's name is the full one."""
    path = repository_path(*split_repository(repository))
    return f"{path}/artifacts/{quote(parse_reference(reference), safe=':')}"


def _escape(repository: str) -> str:
    """Escape a repository's name for a path of the REST API.

    Twice, since a proxy in front of Harbor undoes one escape before it routes; the dashboards'
    own requests do the same. Source: swagger.yaml, repositoryName; goharbor/harbor#12224.
    """
    return quote(quote(repository, safe=""), safe="")
