"""/_double/: by which other processes set faults and read the counters."""

from __future__ import annotations

import json

from starlette.responses import Response

from .counters import RequestCounter
from .faults import Fault, Faults
from .wire import JSON, Request

PREFIX = "/_double/"


async def answer(request: Request, faults: Faults, counter: RequestCounter) -> Response:
    what = (request.method, request.raw_path.removeprefix(PREFIX))
    if what == ("POST", "faults"):
        try:
            faults.add(Fault(**json.loads(await request.body())))
        except (TypeError, ValueError) as err:
            return Response(f"{err}\n", 400)
        return Response(status_code=201)
    if what == ("DELETE", "faults"):
        faults.clear()
        return Response(status_code=204)
    if what == ("GET", "requests"):
        body = {"by_kind": counter.by_kind(), "total": counter.total()}
        return Response(json.dumps(body), headers={"Content-Type": JSON})
    if what == ("DELETE", "requests"):
        counter.reset()
        return Response(status_code=204)
    return Response("not found\n", 404)
