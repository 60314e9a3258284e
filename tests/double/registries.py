"""Registries that Harbor knows, as its API shows them."""

from __future__ import annotations

from typing import Any

from .tables import Row, shown

MASK = "*****"
# Harbor itself, as it appears where one of two registries is another one.
LOCAL: Row = {
    "ca_certificate": "", "credential": {"type": "secret", "access_secret": "internal"},
    "id": 0, "insecure": True, "name": "Local", "status": "healthy", "type": "harbor",
    "url": "http://core:8080",
}  # fmt: skip


def registry_json(row: Row) -> dict[str, Any]:
    """Return a registry as it is shown: of its secret only that there is one."""
    document = shown(
        row, "ca_certificate", "creation_time", "description", "insecure", "name", "status",
        "type", "update_time", "url", always=("id",),
    )  # fmt: skip
    credential = {key: value for key, value in row["credential"].items() if value}
    if "access_secret" in credential:
        credential["access_secret"] = MASK
    return dict(sorted({**document, "credential": dict(sorted(credential.items()))}.items()))
