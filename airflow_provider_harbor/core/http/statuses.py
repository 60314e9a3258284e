"""What an HTTP error status of Harbor or of a registry means, as an exception with fields."""

from __future__ import annotations

import email.utils
import json
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime, timezone
from typing import Any

from airflow_provider_harbor.core.exceptions import (
    HarborAuthError,
    HarborNotFoundError,
    HarborRateLimitError,
    HarborRefusedError,
    HarborServerError,
    HarborStatusError,
    RefusalReason,
)
from airflow_provider_harbor.core.texts import one_line

_STORAGES_ERROR = re.compile(
    r"<Error>.{0,200}?<Code>([^<]{1,100})</Code>(?:\s*<Message>([^<]{0,500})</Message>)?", re.DOTALL
)
_REFUSALS = {
    "PROJECTPOLICYVIOLATION": RefusalReason.POLICY,
    "CONFLICT": RefusalReason.CONFLICT,
    "MANIFEST_BLOB_UNKNOWN": RefusalReason.INVALID,
    "MANIFEST_INVALID": RefusalReason.INVALID,
    "DIGEST_INVALID": RefusalReason.INVALID,
}


def error_for(
    status: int,
    headers: Mapping[str, str],
    text: str,
    method: str,
    url: str,
    *,
    hide: Callable[[str], str] = lambda text: text,
) -> HarborStatusError:
    """Return the exception for an error answer.

    What it holds of the server's words can be shown: one line each, and not endless.

    Args:
        status: HTTP status, 400 or above.
        headers: The answer's, whatever their case if the mapping allows it.
        text: The answer's body; Harbor's are JSON, those of a proxy in between are HTML.
        method: Of the request.
        url: Of the request, as it may be shown.
        hide: Takes out of the server's words what it repeats of the login.
    """
    code, message = _read_body(text)
    fields: dict[str, Any] = {
        "status": status,
        "code": one_line(hide(code), 100),
        "message": one_line(hide(message), 500),
        "method": method,
        "url": url,
        "request_id": one_line(hide(headers.get("X-Request-ID", "")), 100),
    }
    error = _typed(status, code, message, fields)
    if isinstance(error, HarborAuthError):
        error.challenge = one_line(hide(headers.get("WWW-Authenticate", "")), 2000)
    error.retry_after_seconds = _retry_after_seconds(headers.get("Retry-After", ""))
    return error


def _typed(status: int, code: str, message: str, fields: dict[str, Any]) -> HarborStatusError:
    reason = _refusal(status, code, message)
    if reason:
        return HarborRefusedError(reason, **fields)
    if status in (401, 403):
        return HarborAuthError(**fields)
    if status == 404:
        return HarborNotFoundError(**fields)
    if status == 429:
        return HarborRateLimitError(**fields)
    if status >= 500 or status == 408:
        return HarborServerError(**fields)
    return HarborStatusError(**fields)


def _refusal(status: int, code: str, message: str) -> RefusalReason | None:
    """Tell which rule of the server said no; None where it was none.

    Harbor answers quota and read-only mode with one status and code (403 DENIED), so that only
    the message tells them apart. Source: Harbor src/server/middleware/{readonly,quota,immutable}.
    """
    if status == 403 and code == "DENIED":
        if "read only" in message:
            return RefusalReason.READ_ONLY
        if "upper limit" in message or "quota" in message:
            return RefusalReason.QUOTA
        # Anything else is what other registries say to a login that may not do it.
        return RefusalReason.POLICY if "proxy project" in message else None
    if status == 412 and code == "PRECONDITION" and "immutable" in message:
        return RefusalReason.IMMUTABLE
    if status == 413:
        return RefusalReason.TOO_LARGE
    return _REFUSALS.get(code) if status in (400, 409, 412) else None


def _read_body(text: str) -> tuple[str, str]:
    """Return code and message of an error body, which under /v2/ may be JSON sent as text."""
    with suppress(ValueError, LookupError, TypeError, AttributeError, RecursionError):
        first = json.loads(text)["errors"][0]
        detail = first.get("detail")
        message = str(first.get("message") or "")
        if isinstance(detail, str) and detail and detail not in message:
            message = f"{message} ({detail})"
        return str(first.get("code") or ""), message
    if "<html" in text[:1000].lower():
        return "", "an HTML page, probably of a proxy in between"
    # An object storage; what else it says has the signature in it that was wrong.
    if found := _STORAGES_ERROR.search(text[:4000]):
        return found[1], found[2] or ""
    return "", text


def _retry_after_seconds(value: str) -> float | None:
    """Read Retry-After, which is a number of seconds or a date (RFC 9110 section 10.2.3)."""
    if re.fullmatch(r"[0-9]{1,9}", value.strip()):
        return float(value)
    with suppress(TypeError, ValueError, LookupError, OverflowError):
        when = email.utils.parsedate_to_datetime(value)
        return max(0.0, (when - datetime.now(timezone.utc)).total_seconds())
    return None
