"""Replays the recording of a real Harbor's settings, each exchange building on those before it.

Two files of data in tests/data belong together: the 250 exchanges as Harbor answered them
(`harbor-2.15.2-settings.json`), and what a replay needs besides (`...-settings-scenario.json`):
the robots that ask, the numbers to remember from answers, the one image that is pushed between.
`{name}` in a path or a body is such a number, and `<service>` a server that stands for registries,
scanners and providers: always well, but below `/ill`.
"""

from __future__ import annotations

import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import requests

from tests.contract.replay import DATA, Exchange, Replayer

ROBOTS = "/api/v2.0/robots"
# Numbers that stand there as texts.
TEXTS = ("retention_id", "uuid")


def load_settings() -> list[dict[str, Any]]:
    """Return the recording, in the order in which it has to be replayed."""
    recorded: list[dict[str, Any]] = json.loads((DATA / "harbor-2.15.2-settings.json").read_text())[
        "exchanges"
    ]
    return recorded


def load_settings_scenario() -> dict[str, Any]:
    scenario: dict[str, Any] = json.loads(
        (DATA / "harbor-2.15.2-settings-scenario.json").read_text()
    )
    return scenario


class Service:
    """A registry, a scanner and a preheat provider, on a port of the loopback interface."""

    def __init__(self, scanner: dict[str, Any]) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                metadata = self.path.endswith("/api/v1/metadata")
                body = json.dumps(scanner if metadata else {}).encode()
                self.send_response(500 if self.path.startswith("/ill") else 200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Service:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._server.server_close()


class SettingsReplayer(Replayer):
    """Seeds a fresh Harbor (or a double of it) and replays exchanges of settings on it."""

    def __init__(self, url: str, user: str, password: str, service: str) -> None:
        super().__init__(url, user, password)
        self._service = service
        self._scenario = load_settings_scenario()
        self._numbers: dict[str, str] = {}

    def seed(self) -> None:
        numbers = self._create_robots(self._scenario)
        self._numbers = {role: str(number) for role, number in numbers.items()}

    def replay_settings(self, recorded: dict[str, Any]) -> list[str]:
        """Send a request of the recording and return the differences of its answer."""
        if recorded["grant"]:
            self._grant(recorded["grant"])
        body = recorded["request_body"]
        exchange = Exchange(
            name=recorded["name"],
            role=recorded["role"],
            method=recorded["method"],
            path=self._filled(recorded["path"]),
            headers={} if body is None else {"Content-Type": "application/json"},
            body=None if body is None else json.dumps(self._filled_in(body)).encode(),
            answer=recorded["answer"],
        )
        answer = self._send(
            exchange.method,
            exchange.path,
            exchange.role,
            data=exchange.body,
            headers=exchange.headers,
        )
        report = list(self._differences(exchange, answer))
        self._remember(exchange.name, answer)
        push = self._scenario["push"]
        if exchange.name == push["after"]:
            self._push(self._scenario, push["repository"], push["reference"], push["digest"])
        return report

    def _grant(self, grant: str) -> None:
        """Let the robot that has one permission have exactly this one."""
        kind, access = grant.split(" ")
        resource, action = access.split(":")
        row = {
            "kind": kind,
            "namespace": "/" if kind == "system" else "*",
            "access": [{"resource": resource, "action": action}],
        }
        name = self._logins["robot-only"][0]  # type: ignore[index]
        body = {"name": name, "level": "system", "duration": -1, "permissions": [row]}
        self._expect(200, "PUT", f"{ROBOTS}/{self._numbers['robot-only']}", json=body)

    def _remember(self, name: str, answer: requests.Response) -> None:
        if name not in self._scenario["saves"]:
            return
        saved, path = self._scenario["saves"][name]
        if path is None:
            number = answer.headers.get("Location", "").rpartition("/")[2]
        else:
            number = answer.json()
            for step in path:
                number = number[step]
        self._numbers[saved] = str(number)

    # -- what is sent --------------------------------------------------------------------------

    def _filled(self, text: str) -> str:
        text = text.replace("<service>", self._service)
        return re.sub(r"\{([a-z0-9-]+)\}", lambda match: self._numbers.get(match[1], "0"), text)

    def _filled_in(self, value: Any, key: str = "") -> Any:
        if isinstance(value, dict):
            return {name: self._filled_in(each, name) for name, each in value.items()}
        if isinstance(value, list):
            return [self._filled_in(each, key) for each in value]
        if not isinstance(value, str):
            return value
        filled = self._filled(value)
        return int(filled) if filled != value and filled.isdigit() and key not in TEXTS else filled

    # -- what comes back -----------------------------------------------------------------------

    def _placeholders(self) -> dict[str, str]:
        own = {"<service>": re.escape(self._service), "<local>": r"https?://[^/]+"}
        return {**super()._placeholders(), **own}

    def _body(self, exchange: Exchange, answer: requests.Response) -> Any:
        if isinstance(exchange.answer["body"], str):
            return answer.text
        return _sorted(answer.json())


def _sorted(value: Any, key: str = "") -> Any:
    """Return a document with all that Harbor keeps in no order in that of the recording."""
    if isinstance(value, dict):
        return {name: _sorted(each, name) for name, each in value.items()}
    if not isinstance(value, list):
        return value
    items = [_sorted(each, key) for each in value]
    if key == "permissions":
        return sorted(items, key=lambda each: (each["kind"], each["namespace"]))
    if key == "access":
        return sorted(items, key=lambda each: (each["resource"], each["action"]))
    if items and isinstance(items[0], dict) and "vendor_type" in items[0]:
        return sorted(items, key=lambda each: (each["vendor_type"], each["cron"]))
    return items
