"""What is sent: as `requests` would send it, over no more connections than are in use at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests

from airflow_provider_harbor.core.exceptions import HarborProtocolError
from airflow_provider_harbor.core.http.connections import _prepared
from airflow_provider_harbor.core.http.pace import Pace
from airflow_provider_harbor.core.http.transport import HttpSession
from tests.hostile_server import Asked, HostileServer, Said

BASE = "https://harbor.example.com:8443"


class Body:
    def __len__(self) -> int:
        return 7

    def read(self, size: int = -1, /) -> bytes:
        return b""


BODY = Body()


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/v2/",
        "/v2/a/b.c/blobs/sha256:00ff",
        "/v2/a/blobs/uploads/1?_state=ab-c_D%3D%3D&digest=sha256%3A00ff",
        "/api/v2.0/projects?page_size=100&q=id%3D%5B5~%5D",
        "/api?a=%7E%2f%41",
        "/api?a=b c&d=ä",
        "/a/../b/./c",
        "/.hidden",
        "/a%252Fb",
        "/a//b",
        "/a#part",
        "?query",
        "",
    ],
)
@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("GET", {}),
        ("HEAD", {}),
        ("GET", {"params": {"page": 2}}),
        ("PUT", {"data": b"content"}),
        ("PUT", {"data": b""}),
        ("PUT", {"data": BODY}),
        ("POST", {}),
        ("DELETE", {}),
        ("POST", {"json": {"a": 1}}),
        ("PATCH", {"data": b"content"}),
    ],
)
def test_it_is_what_requests_would_send(method: str, options: dict[str, Any], path: str) -> None:
    headers = {"Accept": "*/*", "authorization": "Bearer abc", "X-Empty": ""}
    for some in (headers, {"Accept": "*/*", "Content-Type": "a/b"}):
        made = _prepared(method, BASE + path, headers=some, **options)
        wanted = requests.Request(method, BASE + path, headers=some, **options).prepare()
        assert (made.method, made.url, made.body) == (wanted.method, wanted.url, wanted.body)
        assert dict(made.headers) == dict(wanted.headers)


@pytest.mark.parametrize("value", ["a\r\nX-Other: b", " a", "a\n", "\x00a\r"])
def test_a_header_that_would_be_two_is_not_sent(value: str) -> None:
    with HostileServer(lambda asked: (200, {}, "")) as server:
        session = HttpSession(server.url, max_attempts=1)
        with pytest.raises(HarborProtocolError, match="cannot be sent"):
            session.request("GET", "/", headers={"X-Name": value})
        with pytest.raises(HarborProtocolError, match="cannot be sent") as caught:
            session.request("GET", "/", authorization=value + "secret")
    assert "secret" not in str(caught.value)
    assert not server.asked


def test_threads_share_as_many_connections_as_are_in_use_at_once() -> None:
    pace = Pace(fixed=3)
    with HostileServer(lambda asked: (200, {}, "")) as server:
        session = HttpSession(server.url, pace=pace)
        with ThreadPoolExecutor(12) as pool:
            list(pool.map(lambda _: session.request("GET", "/"), range(60)))
        pools = session._connections._adapter.poolmanager.pools
        (connections,) = [pools[key] for key in pools.keys()]  # noqa: SIM118
        assert connections.num_requests == 60
        assert connections.num_connections <= 3


def test_a_cookie_is_neither_kept_nor_sent() -> None:
    def say(asked: Asked) -> Said:
        return 200, {"Set-Cookie": "sid=1; Path=/"}, ""

    with HostileServer(say) as server:
        session = HttpSession(server.url)
        for _ in range(2):
            session.request("GET", "/")
    assert not any("Cookie" in asked.headers for asked in server.asked)
