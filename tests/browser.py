"""A headless Chromium, driven by its own protocol: what a person would see of a page.

with running_browser(directory) as browser:
    page = browser.open("http://127.0.0.1:8080/", width=390)
    assert page.evaluate("document.title") == "Backups"
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests

_PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
_HEIGHT = 844


def require_chromium() -> str:
    """Return the path of the program; without it skip the test, or fail where all is required."""
    for name in _PROGRAMS:
        if path := shutil.which(name):
            return path
    reason = "needs the program chromium"
    if os.environ.get("HARBOR_TESTS_REQUIRE_ALL"):
        pytest.fail(reason)
    pytest.skip(reason)


class Page:
    """A page that is open.

    Attributes:
        refused: What the browser did not load or run, because the page's policy forbids it.
    """

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._number = 0
        self.refused: list[str] = []
        self._events: list[str] = []

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a command, and return its result."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        self._connection.send(json.dumps(message))
        while True:
            answer = json.loads(self._connection.recv(timeout=60))
            if answer.get("id") == self._number:
                if "error" in answer:
                    raise AssertionError(f"{method}: {answer['error']}")
                return dict(answer["result"])
            self._note(answer)

    def _note(self, event: Mapping[str, Any]) -> None:
        self._events.append(event["method"])
        if event["method"] == "Log.entryAdded" and event["params"]["entry"]["level"] == "error":
            self.refused.append(event["params"]["entry"]["text"])

    def go(self, url: str) -> None:
        """Open an address, and wait until all of it is there."""
        self._events.clear()
        self.call("Page.navigate", url=url)
        while "Page.loadEventFired" not in self._events:
            self._note(json.loads(self._connection.recv(timeout=60)))

    def evaluate(self, expression: str) -> Any:
        """Return what an expression of JavaScript comes to."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        return answer["result"].get("value")

    def wait_for(self, expression: str, seconds: float = 30) -> Any:
        """Return what an expression comes to, as soon as that is something."""
        deadline = time.monotonic() + seconds
        while not (found := self.evaluate(expression)):
            if time.monotonic() > deadline:
                raise AssertionError(f"waited too long for {expression}")
            time.sleep(0.1)
        return found

    @property
    def overflow(self) -> int:
        """By how many pixels the page is wider than what is seen of it."""
        return int(
            self.evaluate(
                "document.documentElement.scrollWidth - document.documentElement.clientWidth"
            )
        )

    def shoot(self, path: Path, *, whole: bool = False) -> None:
        """Keep what is seen as a PNG file; `whole` also what is below it."""
        answer = self.call("Page.captureScreenshot", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(answer["data"]))


class Browser:
    """A browser that runs; see `running_browser`."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._open = ExitStack()

    def open(
        self,
        url: str,
        *,
        width: int = 1280,
        dark: bool = False,
        cookies: Mapping[str, str] | None = None,
    ) -> Page:
        """Open a page in a tab of its own, with cookies for its server."""
        websockets = pytest.importorskip("websockets.sync.client", reason="needs websockets")
        tab = requests.put(f"{self._url}/json/new?about:blank", timeout=120).json()
        connecting = websockets.connect(tab["webSocketDebuggerUrl"], max_size=None, proxy=None)
        page = Page(self._open.enter_context(connecting))
        for domain in ("Page", "Log", "Network"):
            page.call(f"{domain}.enable")
        page.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=_HEIGHT,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        page.call("Emulation.setEmulatedMedia", features=[scheme])
        for name, value in (cookies or {}).items():
            page.call("Network.setCookie", name=name, value=value, url=url)
        page.go(url)
        return page

    def close(self) -> None:
        """Let go of all pages."""
        self._open.close()


@contextmanager
def running_browser(directory: Path) -> Iterator[Browser]:
    """Start a browser, and stop it at the end of the block.

    Args:
        directory: For its files.
    """
    profile = directory / "profile"
    options = (
        "--headless --no-sandbox --disable-gpu --disable-dev-shm-usage --no-first-run "
        "--remote-debugging-port=0 --no-proxy-server --disable-background-networking"
    )
    process = subprocess.Popen(
        [require_chromium(), *options.split(), f"--user-data-dir={profile}", "about:blank"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        browser = Browser(f"http://127.0.0.1:{_port(profile, process)}")
        yield browser
        browser.close()
    finally:
        process.kill()
        process.wait(timeout=120)


def _port(profile: Path, process: subprocess.Popen[bytes]) -> int:
    """Return the port that the browser has chosen, which it writes down when it listens."""
    deadline = time.monotonic() + 60
    while True:
        try:
            return int((profile / "DevToolsActivePort").read_text().splitlines()[0])
        except (FileNotFoundError, IndexError):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("Chromium did not start") from None
            time.sleep(0.05)
