"""Errors and pages of the distribution API, and what the headers of a request ask for.

Sources: distribution-spec v1.1; RFC 9110 sections 13 and 14; distribution registry/api/errcode.
"""

from __future__ import annotations

import bisect
import enum
from collections.abc import Iterable, Sequence
from typing import Any
from urllib.parse import urlencode

from starlette.datastructures import Headers, QueryParams
from starlette.responses import JSONResponse

from airflow_provider_harbor.core.oci.manifest import MANIFEST_MEDIA_TYPES


class Code(str, enum.Enum):
    """The distribution's codes of errors. Source: distribution-spec v1.1, "Error Codes"."""

    BLOB_UNKNOWN = "BLOB_UNKNOWN"
    DIGEST_INVALID = "DIGEST_INVALID"
    MANIFEST_UNKNOWN = "MANIFEST_UNKNOWN"
    NAME_INVALID = "NAME_INVALID"
    NAME_UNKNOWN = "NAME_UNKNOWN"
    PAGINATION_NUMBER_INVALID = "PAGINATION_NUMBER_INVALID"
    RANGE_INVALID = "RANGE_INVALID"
    TAG_INVALID = "TAG_INVALID"
    UNAUTHORIZED = "UNAUTHORIZED"
    UNAVAILABLE = "UNAVAILABLE"
    UNKNOWN = "UNKNOWN"
    UNSUPPORTED = "UNSUPPORTED"


class ApiError(Exception):
    """An answer that is an error.

    Attributes:
        detail: What it is about, such as `{"tag": "1.0"}`; may be None.
    """

    def __init__(
        self,
        status: int,
        code: Code,
        message: str,
        detail: object = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(status, code, message)
        self.status = status
        self.code = code
        self.message = message
        self.detail = detail
        self.headers = headers

    def response(self) -> JSONResponse:
        """Return the answer."""
        error: dict[str, Any] = {"code": self.code.value, "message": self.message}
        if self.detail is not None:
            error["detail"] = self.detail
        return JSONResponse({"errors": [error]}, self.status, self.headers)


def page(names: Sequence[str], query: QueryParams, path: str) -> tuple[list[str], dict[str, str]]:
    """Return the names that a request asks for, and the header that leads to the next ones.

    Args:
        names: All of them, sorted.
        query: With `n` (how many) and `last` (after which), maybe.
        path: Of the list.

    Raises:
        ApiError: `n` is no number.
    """
    begin = bisect.bisect_right(names, query["last"]) if "last" in query else 0
    if "n" not in query:
        return list(names[begin:]), {}
    wanted = query["n"]
    if not (wanted.isascii() and wanted.isdecimal()) or len(wanted) > 18:
        detail = {"n": wanted}
        raise ApiError(400, Code.PAGINATION_NUMBER_INVALID, "n is no number", detail)
    found = list(names[begin : begin + int(wanted)])
    if not found or begin + len(found) == len(names):
        return found, {}
    following = urlencode({"n": wanted, "last": found[-1]})
    return found, {"Link": f'<{path}?{following}>; rel="next"'}


class Accepted:
    """Which media types of manifests a client takes.

    As the distribution has it, but that a client which says nothing, or `*/*`, takes all.
    """

    def __init__(self, headers: Iterable[str]) -> None:
        self._types = {
            item.partition(";")[0].strip().lower()
            for header in headers
            for item in header.split(",")
        } - {""}

    def __contains__(self, media_type: str) -> bool:
        if not self._types or self._types & {"*/*", "application/*"}:
            return True
        # The distribution knows these four; of what else a manifest can be, the client knows best.
        return media_type in self._types or media_type not in MANIFEST_MEDIA_TYPES


def is_unchanged(headers: Headers, etag: str) -> bool:
    """Whether the client has it already. The distribution takes the digest without quotes, too."""
    known = [item.strip() for item in headers.get("if-none-match", "").split(",")]
    return any(item.removeprefix("W/") in (etag, etag.strip('"'), "*") for item in known)


def find_range(headers: Headers, size_bytes: int, etag: str) -> tuple[int, int] | None:
    """Return where the part that is asked for begins, and where it ends; None for all.

    Several parts at once are answered with all, as RFC 9110 allows it.

    Raises:
        ApiError: No byte of it is in there.
    """
    unit, equals, text = headers.get("range", "").partition("=")
    if not equals or unit.strip().lower() != "bytes" or "," in text:
        return None
    if headers.get("if-range", etag) != etag:
        return None
    first, dash, last = (part.strip() for part in text.partition("-"))
    if not dash or not all(not part or _is_number(part) for part in (first, last)):
        return None
    if not first and not last:
        return None
    if first:
        start, end = int(first), min(int(last) + 1 if last else size_bytes, size_bytes)
        if last and int(last) < int(first):
            return None  # no valid range: RFC 9110 section 14.1.1
    else:
        start, end = max(size_bytes - int(last), 0), size_bytes
    if start >= end:
        raise ApiError(
            416,
            Code.RANGE_INVALID,
            f"the content has {size_bytes} bytes",
            headers={"Content-Range": f"bytes */{size_bytes}"},
        )
    return start, end


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= 18
