"""Looks at what settings point to: registries, scanners, an endpoint for audit logs."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import requests

SECONDS = 5

# Those that Harbor has an adapter for.
REGISTRY_TYPES = (
    "ali-acr", "aws-ecr", "azure-acr", "docker-hub", "docker-registry", "dtr", "github-ghcr",
    "gitlab", "google-gcr", "harbor", "huawei-SWR", "jfrog-artifactory", "quay", "tencent-tcr",
    "volcengine-cr",
)  # fmt: skip
Login = tuple[str, str] | None


async def registry_is_well(kind: str, url: str, login: Login, verify: bool) -> bool:
    """Return whether a registry answers well to this login."""
    if kind == "harbor":
        # Another Harbor has to know the login; nobody at all is not enough.
        if login is None or not login[0]:
            return False
        answer = await _get(f"{url}/api/v2.0/users/current/permissions", login, verify)
        return answer is not None and answer.status_code == 200
    answer = await _get(f"{url}/v2/", None, verify)
    if answer is not None and answer.status_code == 401 and login is not None:
        answer = await _get(f"{url}/v2/", login, verify)
    return answer is not None and answer.status_code == 200


async def scanner_metadata(url: str, verify: bool) -> dict[str, Any] | None:
    """Return what a scanner says of itself, or None where it is not well."""
    answer = await _get(f"{url}/api/v1/metadata", None, verify)
    if answer is None or answer.status_code != 200:
        return None
    try:
        document = answer.json()
    except ValueError:
        return None
    return document if isinstance(document, dict) and "scanner" in document else None


async def _get(url: str, login: Login, verify: bool) -> requests.Response | None:
    def get() -> requests.Response | None:
        try:
            return requests.get(
                url, auth=login, verify=verify, timeout=SECONDS, allow_redirects=False
            )
        except (requests.RequestException, OSError):
            return None

    return await asyncio.to_thread(get)


async def listens(address: str) -> bool:
    """Return whether something listens at `host:port`."""
    host, _, port = address.rpartition(":")

    def connect() -> bool:
        try:
            with socket.create_connection((host, int(port)), SECONDS):
                return True
        except (OSError, ValueError):
            return False

    return await asyncio.to_thread(connect)
