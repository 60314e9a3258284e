"""Credentials of AWS that something else manages, for stores on S3; needs the package `boto3`."""

from __future__ import annotations

from typing import Any


def options_of_session(session: Any, endpoint_url: str | None = None) -> dict[str, Any]:
    """Return options for `Files`, by which a boto3 session's credentials are used, and renewed.

    Args:
        session: A `boto3.session.Session`.
        endpoint_url: Of a storage that is not Amazon's.

    Raises:
        ValueError: The session has no credentials.
        ImportError: boto3 is not installed.
    """
    from obstore.auth.boto3 import Boto3CredentialProvider

    options: dict[str, Any] = {"credential_provider": Boto3CredentialProvider(session)}
    if endpoint_url:
        options["endpoint"] = endpoint_url
    return options
