"""URLs of registries: as people write them, and as they may be shown."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from airflow_provider_harbor.core.exceptions import HarborConfigurationError


def normalise_url(text: str) -> str:
    """Return the base URL that a person meant: scheme, host and port only.

    `harbor.example.com` becomes `https://harbor.example.com`; what a browser shows of Harbor's
    pages (`/harbor/projects`) and `/api/v2.0` or `/v2` at the end are taken off.

    Raises:
        HarborConfigurationError: It is no such URL, or has credentials in it.
    """
    given = text.strip()
    if "://" not in given:
        given = "https://" + given
    try:
        parts = urlsplit(given)
        port = parts.port
    except ValueError as err:
        raise HarborConfigurationError(f"{redact(text)!r} is not a URL: {err}") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise HarborConfigurationError(
            f"{redact(text)!r} is not the URL of a registry; write it as https://harbor.example.com"
        )
    if parts.username or parts.password:
        raise HarborConfigurationError(
            f"leave the credentials out of the URL {redact(text)!r}: a URL ends up in logs"
        )
    if not re.fullmatch(r"/*|/harbor(/.*)?|/api(/v2\.0)?/*|/v2/*|/account/sign-in.*", parts.path):
        raise HarborConfigurationError(
            f"{redact(text)!r} has the path {parts.path!r}; only scheme, host and port are wanted"
        )
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    is_default = port is None or port == {"http": 80, "https": 443}[parts.scheme]
    return f"{parts.scheme}://{host}" + ("" if is_default else f":{port}")


def redact(url: str) -> str:
    """Return a URL as it may be shown: no credentials, no query of an upload or a signed address.

    Harbor's own listings keep their query, which helps to see what was asked.
    """
    url = re.sub(r"//[^/@\s]*@", "//", url)
    base, mark, query = url.partition("?")
    if mark and re.search(r"(?i)signature|token|secret|password|credential|_state|sig=", query):
        return base + "?..."
    return url
