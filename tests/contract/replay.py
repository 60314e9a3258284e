"""Replays the recording of a real Harbor 2.15.2 on a server, and says where its answers differ.

Two files of data in tests/data belong together: what was pushed before the recording and the bodies
that were sent (`harbor-2.15.2-scenario.json`), and the 292 exchanges as Harbor answered them
(`harbor-2.15.2.json`). In the answers everything a server is free to choose is a placeholder,
`<int>`, `<str>`, `<url>` and so on; everything else has to be the same.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests

DATA = Path(__file__).parent.parent / "data"
RECORDED_HEADERS = (
    "content-type", "x-total-count", "link", "www-authenticate", "docker-content-digest",
    "location", "content-range", "accept-ranges", "oci-filters-applied", "oci-subject", "range",
    "docker-distribution-api-version",
)  # fmt: skip
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
PARTS = {"<uuid>": r"[0-9a-f-]{36}", "<state>": r"[^&]+", "<id>": r"[0-9A-Za-z-]+"}
OCTETS = {"Content-Type": "application/octet-stream"}


@dataclass(frozen=True)
class Exchange:
    """One request of the recording and Harbor's answer to it."""

    name: str
    role: str
    method: str
    path: str
    headers: dict[str, str]
    body: bytes | None
    answer: dict[str, Any]


def load_exchanges() -> list[Exchange]:
    """Return the recording, in the order in which it has to be replayed."""
    recorded = json.loads((DATA / "harbor-2.15.2.json").read_text())["exchanges"]
    bodies = load_scenario()["request_bodies"]
    return [
        Exchange(
            name=each["name"],
            role=each["role"],
            method=each["method"],
            path=each["path"],
            headers=each["request_headers"],
            body=bodies[each["name"]].encode() if each["name"] in bodies else None,
            answer=each["answer"],
        )
        for each in recorded
    ]


def load_scenario() -> dict[str, Any]:
    scenario: dict[str, Any] = json.loads((DATA / "harbor-2.15.2-scenario.json").read_text())
    return scenario


class Replayer:
    """Seeds a fresh Harbor (or a double of it) and replays exchanges on it."""

    def __init__(self, url: str, user: str, password: str) -> None:
        self.url = url.rstrip("/")
        self._host = urlsplit(url).netloc
        self._logins: dict[str, tuple[str, str] | None] = {
            "admin": (user, password),
            "anonymous": None,
            "wrong-password": (user, password + "?"),
        }

    # -- seeding -------------------------------------------------------------------------------

    def seed(self) -> None:
        """Create what was there before the recording, over the server's own APIs."""
        scenario = load_scenario()
        for project in scenario["projects"]:
            self._expect(201, "POST", "/api/v2.0/projects", json=project)
        for push in scenario["pushes"]:
            self._push(scenario, *push)
        self._create_robots(scenario)

    def _push(self, scenario: dict[str, Any], repository: str, reference: str, digest: str) -> None:
        manifest = scenario["manifests"][digest]
        for blob in manifest["blobs"]:
            self._upload(repository, blob, _text(scenario["blobs"][blob]).encode())
        self._expect(
            201,
            "PUT",
            f"/v2/{repository}/manifests/{reference}",
            data=manifest["text"].encode(),
            headers={"Content-Type": manifest["media_type"]},
        )

    def _create_robots(self, scenario: dict[str, Any]) -> dict[str, int]:
        """Create the robots of a scenario and return their numbers by role."""
        numbers = {}
        for role, robot in scenario["robots"].items():
            created = self._expect(201, "POST", "/api/v2.0/robots", json=robot).json()
            secret = scenario["robot_secret"]
            path = f"/api/v2.0/robots/{created['id']}"
            self._expect(200, "PATCH", path, json={"secret": secret})
            self._logins[role] = (created["name"], secret)
            numbers[role] = created["id"]
        return numbers

    def _upload(self, repository: str, digest: str, data: bytes) -> None:
        blob = f"/v2/{repository}/blobs/{digest}"
        if self._send("HEAD", blob, "admin").status_code == 200:
            return
        started = self._expect(202, "POST", f"/v2/{repository}/blobs/uploads/")
        target = _next(started, f"digest={digest}")
        self._expect(201, "PUT", target, data=data, headers=OCTETS)

    def _expect(self, status: int, method: str, path: str, **options: Any) -> requests.Response:
        answer = self._send(method, path, "admin", **options)
        if answer.status_code != status:
            text = f"{method} {path}: {answer.status_code} instead of {status}: {answer.text[:200]}"
            raise AssertionError(text)
        return answer

    # -- replaying -----------------------------------------------------------------------------

    def replay(self, exchange: Exchange) -> list[str]:
        """Send a request of the recording and return the differences of its answer."""
        if exchange.method.startswith("UPLOAD"):
            answer = self._upload_steps(exchange)
        else:
            answer = self._send(
                exchange.method,
                exchange.path,
                exchange.role,
                data=exchange.body,
                headers=exchange.headers,
            )
        return list(self._differences(exchange, answer))

    def _upload_steps(self, exchange: Exchange) -> requests.Response:
        """Upload a body in the way the exchange is about; return the last answer."""
        role, data = exchange.role, exchange.body or b""
        digest = f"digest=sha256:{hashlib.sha256(data).hexdigest()}"
        started = self._send("POST", exchange.path, role)
        if started.status_code != 202:
            return started

        def step(answer: requests.Response, method: str, part: bytes, query: str = "", at: int = 0):
            headers = dict(OCTETS)
            if method == "PATCH":
                headers["Content-Range"] = f"{at}-{at + len(part) - 1}"
            return self._send(method, _next(answer, query), role, data=part, headers=headers)

        kind = exchange.method.removeprefix("UPLOAD").removeprefix("-")
        if kind == "":
            return step(started, "PUT", data, digest)
        if kind == "WRONG-DIGEST":
            return step(started, "PUT", data + b"and more", digest)
        if kind == "OUT-OF-ORDER":
            return step(started, "PATCH", data, at=7)
        if kind == "CHUNKS":
            first = step(started, "PATCH", data[:5])
            second = step(first, "PATCH", data[5:], at=5)
            return step(second, "PUT", b"", digest)
        raise ValueError(f"no such way to upload: {exchange.method}")

    def _send(self, method: str, path: str, role: str, **options: Any) -> requests.Response:
        return requests.request(
            method,
            self.url + path,
            auth=self._logins[role],
            allow_redirects=False,
            timeout=60,
            **options,
        )

    # -- comparing -----------------------------------------------------------------------------

    def _differences(self, exchange: Exchange, answer: requests.Response) -> Iterator[str]:
        wanted = exchange.answer
        if answer.status_code != wanted["status"]:
            yield f"status: {answer.status_code} instead of {wanted['status']}"
        for name in RECORDED_HEADERS:
            yield from self._compare(
                f"header {name}", wanted["headers"].get(name), answer.headers.get(name)
            )
        cookies = sorted(cookie.name for cookie in answer.cookies)
        yield from self._compare("cookies", wanted["cookies"], cookies)
        try:
            body = self._body(exchange, answer)
        except ValueError as err:
            yield f"body: cannot be read: {err}"
            return
        yield from self._compare("body", wanted["body"], body)

    def _compare(self, where: str, wanted: Any, seen: Any) -> Iterator[str]:
        """Yield the differences between what was recorded and what was answered."""
        if isinstance(wanted, dict) and isinstance(seen, dict):
            for key in sorted(wanted.keys() | seen.keys()):
                if key not in seen:
                    yield f"{where}.{key}: absent, Harbor has {_short(wanted[key])}"
                elif key not in wanted:
                    yield f"{where}.{key}: {_short(seen[key])}, Harbor has none"
                else:
                    yield from self._compare(f"{where}.{key}", wanted[key], seen[key])
        elif isinstance(wanted, list) and isinstance(seen, list):
            if len(wanted) != len(seen):
                yield f"{where}: {len(seen)} elements, Harbor has {len(wanted)}"
            for number, (one, other) in enumerate(zip(wanted, seen, strict=False)):
                yield from self._compare(f"{where}[{number}]", one, other)
        elif not self._fits(where, wanted, seen):
            yield f"{where}: {_short(seen)}, Harbor has {_short(wanted)}"

    def _fits(self, where: str, wanted: Any, seen: Any) -> bool:
        if wanted == "<int>":
            return type(seen) is int
        if wanted == "<str>":
            is_time = where.endswith("_time")
            return isinstance(seen, str) and (not is_time or TIME.fullmatch(seen) is not None)
        if not isinstance(wanted, str) or "<" not in wanted:
            return type(wanted) is type(seen) and bool(wanted == seen)
        pattern = re.escape(wanted)
        for placeholder, expression in self._placeholders().items():
            pattern = pattern.replace(placeholder, expression)
        return isinstance(seen, str) and re.fullmatch(pattern, seen) is not None

    def _placeholders(self) -> dict[str, str]:
        """Return what may stand for a placeholder within a text, as expressions."""
        own = {"<url>": re.escape(self.url), "<host>": re.escape(self._host)}
        return {**own, **PARTS}

    def _body(self, exchange: Exchange, answer: requests.Response) -> Any:
        return _body(exchange, answer)


def _body(exchange: Exchange, answer: requests.Response) -> Any:
    """Return the body of an answer in the form in which it was recorded."""
    if isinstance(exchange.answer["body"], str):
        return answer.text
    body = answer.json()
    if exchange.path.startswith("/service/token"):
        body["claims"] = _claims(body["token"])
    elif "sort=update_time" in exchange.path:
        # A real Harbor counts pulls some seconds later, which moves these; recorded by name.
        body.sort(key=lambda row: row["name"])
    elif "/robots" in exchange.path and isinstance(body, list):
        for robot in body:
            # Harbor keeps them in no order.
            robot["permissions"].sort(key=lambda each: (each["kind"], each["namespace"]))
    return body


def _claims(token: str) -> dict[str, Any]:
    """Return what a registry token grants, in the form in which it was recorded."""
    payload = token.split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    for access in claims["access"]:
        access["actions"] = sorted(access["actions"] or [])
    lifetime = claims["exp"] - claims["iat"]
    kept = {key: claims[key] for key in ("access", "aud", "iss")}
    return {**kept, "lifetime": lifetime}


def _next(answer: requests.Response, query: str) -> str:
    """Return the path of an upload's next step, from the Location of the answer to the last one."""
    location = urlsplit(answer.headers["Location"])
    queries = [each for each in (location.query, query) if each]
    return f"{location.path}?{'&'.join(queries)}"


def _text(blob: str | dict[str, Any]) -> str:
    return blob if isinstance(blob, str) else blob["text"] * blob["times"]


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 120 else text[:117] + "..."
