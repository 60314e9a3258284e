"""The nginx that stands before a real Harbor: what it makes of requests before core sees them.

Its `location /api/ { proxy_pass http://core/api/; }` hands on a path that was unescaped and escaped
again. So a slash that was escaped once arrives as a slash, and one that was escaped twice as one
that is escaped twice still, since `%` is escaped again.

The recording was made at core itself, without nginx. So `python -m tests.double` has none either,
unless it is asked for; tests, which stand for clients in the field, always have it.
"""

from __future__ import annotations

import re

from starlette.responses import Response

from .wire import Request

SLASHES = re.compile(r"/{2,}")
HIDDEN = ("/v1/", "/service/notifications")
TO_CORE = ("/api/", "/v2/", "/service/", "/c/")
PORTAL = b"<!doctype html>\n<html><head><title>Harbor</title></head><body></body></html>\n"
ERROR = (
    "<html>\r\n<head><title>{0}</title></head>\r\n<body>\r\n<center><h1>{0}</h1></center>\r\n"
    "<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
)


def pass_through(request: Request) -> Response | None:
    """Change a request as nginx does, or answer it where it does not reach core."""
    path = re.sub("%2f", "/", request.raw_path, flags=re.IGNORECASE)
    request.raw_path = path = SLASHES.sub("/", path)
    if f"{path}/" in TO_CORE:
        location = f"{request.base_url}{path}/"
        return _error("301 Moved Permanently", {"Location": location})
    if path.startswith(HIDDEN):
        return _error("404 Not Found")
    if path.startswith(TO_CORE):
        return None
    # Everything else is the portal, whose pages are one page: whatever is asked, it is there.
    if request.method not in ("GET", "HEAD"):
        return _error("405 Not Allowed")
    return Response(PORTAL, headers={"Content-Type": "text/html"})


def _error(status: str, headers: dict[str, str] | None = None) -> Response:
    sent = {**(headers or {}), "Content-Type": "text/html"}
    return Response(ERROR.format(status), int(status[:3]), sent)
