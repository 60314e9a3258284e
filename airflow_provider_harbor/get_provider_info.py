"""What Airflow learns of this provider without importing anything else of it."""

from __future__ import annotations

from typing import Any

_INTEGRATION = "Harbor"
_PACKAGE = "airflow_provider_harbor"


def _modules(kind: str, *names: str) -> list[dict[str, Any]]:
    modules = [f"{_PACKAGE}.{kind}.{name}" for name in names]
    return [{"integration-name": _INTEGRATION, "python-modules": modules}]


def get_provider_info() -> dict[str, Any]:
    """Return the provider's metadata; called at every start of Airflow, so it must stay cheap."""
    return {
        "package-name": "airflow-provider-harbor",
        "name": "Harbor",
        # Airflow's page of providers glues to a link what follows it: the link comes last.
        "description": (
            "Back up a container registry, every night, and restore it: "
            "`Harbor <https://goharbor.io>`__"
        ),
        "integrations": [
            {
                "integration-name": _INTEGRATION,
                "external-doc-url": "https://goharbor.io/docs/",
                "tags": ["service"],
            }
        ],
        "hooks": _modules("hooks", "harbor"),
        "operators": _modules(
            "operators", "harbor", "backup", "restore", "retention", "settings", "verify", "drill"
        ),
        "sensors": _modules("sensors", "harbor"),
        "triggers": _modules("triggers", "harbor"),
        "notifications": [f"{_PACKAGE}.notifications.harbor.HarborNotifier"],
        "connection-types": [_CONNECTION_TYPE],
        "extra-links": [f"{_PACKAGE}.operators.report_link.ReportLink"],
        "config": _CONFIG,
    }


_CONNECTION_TYPE: dict[str, Any] = {
    "connection-type": "harbor",
    "hook-name": "Harbor",
    "hook-class-name": f"{_PACKAGE}.hooks.harbor.HarborHook",
    "ui-field-behaviour": {
        "hidden-fields": [],
        "relabeling": {
            "host": "Host or URL",
            "schema": "Scheme",
            "login": "User or robot",
            "password": "Password or robot secret",
        },
        "placeholders": {
            "host": "harbor.example.com",
            "schema": "https",
            "port": "443",
            "login": "robot$backup",
        },
    },
    "conn-fields": {
        "verify_tls": {
            "label": "Verify TLS certificate",
            "description": "Switch off only for a test installation.",
            "schema": {"type": ["boolean", "null"], "default": True},
        },
        "ca_file": {
            "label": "CA file",
            "description": "Path of a PEM file, on every worker, with the CA to trust.",
            "schema": {"type": ["string", "null"]},
        },
        "timeout_seconds": {
            "label": "Timeout in seconds",
            "description": "How long to wait for a connection, and for each next byte.",
            "schema": {"type": ["integer", "null"], "minimum": 1, "default": 60},
        },
    },
}

_CONFIG: dict[str, Any] = {
    "harbor": {
        "description": "Backups of Harbor registries.",
        "options": {
            "store": {
                "description": (
                    "Where backups are kept: a directory, or s3://bucket/prefix, gs://..., "
                    "az://...; s3://conn_id@bucket/prefix takes credentials from a connection. All "
                    "workers must reach the same place, so set this as soon as there is more than "
                    "one machine.\n"
                ),
                "version_added": "0.1.0",
                "type": "string",
                "example": "s3://backups@bucket/harbor",
                "default": "{AIRFLOW_HOME}/harbor-backup",
            },
        },
    },
}
