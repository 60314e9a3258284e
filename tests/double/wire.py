"""What every handler of the double reads and answers: requests, errors, pages, times."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Callable
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote, unquote_plus, urlencode

from starlette.requests import ClientDisconnect
from starlette.responses import Response

if TYPE_CHECKING:
    from .access import Caller

JSON = "application/json"
JSON_UTF8 = "application/json; charset=utf-8"
REGISTRY_VERSION = {"Docker-Distribution-Api-Version": "registry/2.0"}
BROKEN_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
TRUE = {"true", "1", "yes", "ok", "y", "on", "selected", "checked", "t", "enabled"}
NEVER = "0001-01-01T00:00:00.000Z"


def dump(document: Any) -> bytes:
    """Return JSON as Go's encoder sends it: compact, and ended by a newline."""
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"


def timestamp(milliseconds: int) -> str:
    """Return a time as Harbor prints it; 0 is the time of what never happened."""
    if not milliseconds:
        return NEVER
    moment = datetime.fromtimestamp(milliseconds // 1000, timezone.utc)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{milliseconds % 1000:03d}Z"


def milliseconds(text: str) -> int | None:
    """Return a time of a query in milliseconds since 1970, or None where it is not a time."""
    try:
        moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=timezone.utc)
    return int(moment.timestamp() * 1000)


class HarborError(Exception):
    """An answer that is an error; `registry` marks those of the registry below Harbor."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        detail: Any = None,
        headers: dict[str, str] | None = None,
        registry: bool = False,
    ) -> None:
        super().__init__(f"{status} {code}: {message}")
        self.status = status
        self.headers = {**(REGISTRY_VERSION if registry else {}), **(headers or {})}
        self.errors: list[dict[str, Any]] = [{"code": code, "message": message}]
        if detail is not None:
            self.errors[0]["detail"] = detail

    def response(self) -> Response:
        headers = {**self.headers, "Content-Type": JSON_UTF8}
        return Response(dump({"errors": self.errors}), self.status, headers)


class Panic(Exception):
    """A handler of Harbor's breaks: 500, without a word."""


def not_found(message: str) -> HarborError:
    return HarborError(404, "NOT_FOUND", message)


def bad_request(message: str) -> HarborError:
    return HarborError(400, "BAD_REQUEST", message)


def internal_error() -> HarborError:
    return HarborError(500, "UNKNOWN", "internal server error")


class Request:
    """One request as the handlers see it: the path still escaped, the query both raw and parsed.

    `target` is what the client sent; `raw_path` may have been changed by nginx.
    """

    caller: Caller
    names_user = False  # whether it came with the name of a user, whatever the password

    def __init__(self, scope: dict[str, Any], receive: Callable[[], Any]) -> None:
        self.method: str = scope["method"]
        self.raw_path: str = scope["raw_path"].split(b"?")[0].decode("latin-1")
        self.raw_query: str = scope["query_string"].decode("latin-1")
        self.headers: dict[str, str] = {}
        for name, value in scope["headers"]:
            key, text = name.decode("latin-1"), value.decode("latin-1")
            # Go clients send Accept in several lines; together they are one list.
            self.headers[key] = f"{self.headers[key]}, {text}" if key in self.headers else text
        self.query: dict[str, str] = {}
        self.scopes: list[str] = []
        for key, value in parse_qsl(self.raw_query, keep_blank_values=True):
            self.query.setdefault(key, value)
            if key == "scope":
                self.scopes += value.split(" ")
        self.scheme: str = scope["scheme"]
        self.target = self.raw_path + ("?" + self.raw_query if self.raw_query else "")
        self._receive = receive
        self._ended = False
        self._whole: bytes | None = None

    @property
    def base_url(self) -> str:
        return f"{self.scheme}://{self.host}"

    @property
    def host(self) -> str:
        return self.headers.get("host", "localhost")

    @property
    def cookies(self) -> dict[str, str]:
        pairs = (pair.partition("=") for pair in self.headers.get("cookie", "").split(";"))
        return {name.strip(): value.strip() for name, _, value in pairs if name.strip()}

    def flag(self, name: str, default: bool = False) -> bool:
        """A boolean of the query; whatever is not known as true is false, as in Harbor."""
        value = self.query.get(name)
        return default if value is None else value.lower() in TRUE

    def has_broken_query(self) -> bool:
        return ";" in self.raw_query or BROKEN_ESCAPE.search(self.raw_query) is not None

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the body as it arrives; raises ClientDisconnect where it is cut."""
        while not self._ended:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ClientDisconnect
            self._ended = not message.get("more_body", False)
            if message.get("body"):
                yield message["body"]

    async def drain(self) -> None:
        """Read what is left of the body, else the client may see a reset instead of the answer."""
        async for _ in self.chunks():
            pass

    async def body(self) -> bytes:
        if self._whole is None:
            self._whole = b"".join([chunk async for chunk in self.chunks()])
        return self._whole

    def json(self) -> dict[str, Any]:
        """The body as a JSON object. The application has read it before it calls a REST handler."""
        kind = self.headers.get("content-type", "application/octet-stream")
        if self._whole and kind.partition(";")[0].strip() != JSON:
            text = f'unsupported media type "{kind}", only [application/json] are allowed'
            raise HarborError(415, "UNSUPPORTED_MEDIA_TYPE", text)
        try:
            document = json.loads(self._whole or b"{}")
        except ValueError as err:
            raise unprocessable('parsing body body from "" failed') from err
        return document if isinstance(document, dict) else {}


def unprocessable(*failures: str) -> HarborError:
    text = "\n".join(("validation failure list:", *failures))
    return HarborError(422, "UNPROCESSABLE_ENTITY", text)


class Page:
    """The page a request asks for.

    Each list handler makes it first, since Harbor validates a request before it asks who sent it.
    """

    def __init__(self, request: Request) -> None:
        failures = []
        numbers = {"page": 1, "page_size": 10}
        for name in numbers:
            value = request.query.get(name)
            if not value:
                continue
            if re.fullmatch(r"[+-]?\d{1,18}", value) is None:
                failures.append(f'{name} in query must be of type int64: "{value}"')
            elif name == "page_size" and int(value) > 100:
                failures.append("page_size in query should be less than or equal to 100")
            else:
                numbers[name] = int(value)
        if failures:
            raise unprocessable(*failures)
        self.number, self.size = numbers["page"], numbers["page_size"]
        self._request = request

    @property
    def window(self) -> slice:
        """The rows of this page. No size is no limit, so everything; as Harbor does it."""
        if self.size <= 0:
            return slice(None)
        start = self.size * (max(self.number, 1) - 1)
        return slice(start, start + self.size)

    def headers(self, total: int) -> dict[str, str]:
        links = []
        if self.size != 0:
            if self.number > 1 and (self.number - 1) * self.size < total:
                links.append(self._link(self.number - 1, "prev"))
            if self.size * self.number < total:
                links.append(self._link(self.number + 1, "next"))
        headers = {"X-Total-Count": str(total)}
        if links:
            headers["Link"] = " , ".join(links)
        return headers

    def _link(self, number: int, relation: str) -> str:
        query = parse_qsl(self._request.raw_query, keep_blank_values=True)
        query = [pair for pair in query if pair[0] not in ("page", "page_size")]
        query += [("page", str(number)), ("page_size", str(self.size))]
        # Harbor unescapes the whole query again, so that values with + or % do not survive.
        text = unquote_plus(urlencode(sorted(query, key=lambda pair: pair[0])))
        return f'<{self._request.raw_path}?{text}>; rel="{relation}"'


def answer(document: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Return a document of the REST API."""
    return Response(dump(document), status, {**(headers or {}), "Content-Type": JSON})


def created(location: str, document: Any = None) -> Response:
    if document is None:
        return Response(status_code=201, headers={"Location": location})
    return answer(document, 201, {"Location": location})


def once_unescaped(segment: str) -> str:
    return unquote(segment)


def twice_unescaped(segment: str) -> str:
    """Return a repository name of a REST path, which clients escape twice."""
    return unquote(unquote(segment))
