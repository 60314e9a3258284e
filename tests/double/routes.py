"""Finds the handler of a REST request by its escaped path, as Harbor's router does."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from starlette.responses import Response

from .state import State
from .wire import HarborError, Request, not_found, once_unescaped, twice_unescaped

PREFIX = "/api/v2.0"
Handler = Callable[..., Response | Awaitable[Response]]
Version = tuple[int, ...]
_TABLE: dict[int, list[tuple[list[str], Version, dict[str, Handler]]]] = {}


def route(method: str, path: str, *, since: Version = (0,)) -> Callable[[Handler], Handler]:
    """Register a handler; `{name}` in the path is one escaped segment, given to the handler.

    The segment is unescaped once, and `{repository}` twice: clients have to escape that twice.
    Before the version `since` there is no such path.
    """
    pattern = path.split("/")[1:]

    def register(handler: Handler) -> Handler:
        rows = _TABLE.setdefault(len(pattern), [])
        for known, _, handlers in rows:
            if known == pattern:
                handlers[method] = handler
                return handler
        rows.append((pattern, since, {method: handler}))
        # What is written out goes before what is a placeholder.
        rows.sort(key=lambda row: [segment.startswith("{") for segment in row[0]])
        return handler

    return register


def dispatch(state: State, request: Request) -> Response | Awaitable[Response]:
    """Answer a REST request, or return what has to be waited for to have the answer."""
    path = request.raw_path
    segments = path.removeprefix(PREFIX).strip("/").split("/")
    for pattern, since, handlers in _TABLE.get(len(segments), []):
        values = _match(pattern, segments)
        if values is None or state.version_numbers < since:
            continue
        handler = handlers.get(request.method)
        if handler is None:
            allowed = ",".join(sorted(handlers))
            text = f"method {request.method} is not allowed, but [{allowed}] are"
            raise HarborError(405, "METHOD_NOT_ALLOWED", text)
        return handler(state, request, *values)
    raise not_found(f"path {path} was not found")


def _match(pattern: list[str], segments: list[str]) -> list[str] | None:
    values = []
    for wanted, segment in zip(pattern, segments, strict=True):
        if not wanted.startswith("{"):
            if wanted != segment:
                return None
        elif not segment:
            return None
        elif wanted == "{repository}":
            values.append(twice_unescaped(segment))
        else:
            values.append(once_unescaped(segment))
    return values
