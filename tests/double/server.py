"""Runs the double: in a thread for tests, or in a process of its own (`__main__.py`)."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from pathlib import Path
from types import TracebackType
from typing import Any

import uvicorn

from .app import Application
from .content import Content
from .counters import RequestCounter
from .faults import Faults
from .generate import generate
from .model import Project, User
from .sample import fill
from .state import State

VERSION = "v2.15.2-double"
READS = {
    "repository": ("list", "read", "pull"), "artifact": ("list", "read"), "project": ("read",),
}  # fmt: skip
ROBOT_SECRET = "Robot-12345"


class _Server(uvicorn.Server):
    """A server that stops at once: uvicorn's own takes up to 0.3 s, which each test would pay."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.running = threading.Event()

    async def main_loop(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        self.running.set()
        ticks = 0
        while not await self.on_tick(ticks):
            ticks = (ticks + 1) % 864_000
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), 0.1)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        for listener in sockets or []:
            listener.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        # A request that is being answered gets a moment, one that is held back by a fault does not.
        tasks = list(self.server_state.tasks)
        if tasks:
            await asyncio.wait(tasks, timeout=0.5)
        for task in tasks:
            task.cancel()
        await asyncio.sleep(0)

    def stop(self) -> None:
        # In its own thread: it looks by itself, too, and its loop may be closed in between.
        self._loop.call_soon_threadsafe(self._end)

    def _end(self) -> None:
        self.should_exit = True
        self._stopping.set()


class HarborDouble:
    """A Harbor on a port of the loopback interface.

    Use it as a context manager, or call `start` and `stop`; after `stop` it can be started again,
    on the same port and with all it held, as a Harbor that was down. It can be filled before.

    Args:
        sample: Fill it with the sample (`sample.py`).
        certfile: Serve TLS with this certificate and `keyfile`.
        version: What it says it is; before 2.12 it lacks what came with 2.12.
        behind_nginx: Do to requests what the nginx before a real Harbor does (`nginx.py`).
        port: 0 is any free port.

    Attributes:
        url: Base URL, without a slash at its end.
        user: Name of the system administrator.
        password: The administrator's password.
        state: The database and the switches; see `State`.
        requests: Counts requests by kind; see `RequestCounter`.
        faults: What goes wrong; see `Fault`.
    """

    def __init__(
        self,
        *,
        sample: bool = False,
        certfile: str | Path | None = None,
        keyfile: str | Path | None = None,
        version: str = VERSION,
        behind_nginx: bool = True,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        self.user, self.password = "admin", "Harbor12345"
        self.state = State(version, self.user, self.password)
        self.state.behind_nginx = behind_nginx
        self.requests = RequestCounter()
        self.faults = Faults()
        self._application = Application(self.state, self.requests, self.faults, self)
        self._tls: dict[str, Any] = {}
        if certfile is not None:
            self._tls = {"ssl_certfile": str(certfile), "ssl_keyfile": keyfile and str(keyfile)}
        self._host, self._port = host, port
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None
        if sample:
            fill(self.state)

    # -- running -------------------------------------------------------------------------------

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://{self._host}:{self._port}"

    def start(self) -> HarborDouble:
        """Start to serve; returns when connections are accepted."""
        # Only sockets that name TCP are made TCP_NODELAY by asyncio; else each answer takes 40 ms.
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((self._host, self._port))
        listener.listen(1024)
        self._port = listener.getsockname()[1]
        self.state.external_url = self.state.external_url or self.url
        config = uvicorn.Config(
            self._application, log_level="critical", log_config=None, access_log=False,
            lifespan="off", server_header=False, proxy_headers=False, loop="asyncio",
            timeout_keep_alive=75, **self._tls,
        )  # fmt: skip
        self._server = server = _Server(config)
        self._thread = threading.Thread(
            target=server.run, args=([listener],), name="harbor-double", daemon=True
        )
        self._thread.start()
        while not server.running.wait(0.1):
            if not self._thread.is_alive():
                raise RuntimeError("the double did not start")
        return self

    def stop(self) -> None:
        """Stop serving; what it holds is kept."""
        if self._server is not None and self._thread is not None:
            self._server.stop()
            self._thread.join(timeout=120)
            self._server = self._thread = None

    def close(self) -> None:
        """Stop, and remove the files that hold large blobs."""
        self.stop()
        self.state.storage.close()

    def __enter__(self) -> HarborDouble:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    # -- filling -------------------------------------------------------------------------------

    def create_project(
        self,
        name: str,
        *,
        public: bool = False,
        storage_limit_bytes: int = -1,
        registry_id: int | None = None,
    ) -> Project:
        """Create a project; with a `registry_id` a proxy cache, together with its registry."""
        return self.state.create_project(
            name, public=public, storage_limit=storage_limit_bytes, registry_id=registry_id
        )

    def push(self, repository: str, content: Content, *tags: str) -> Content:
        """Push content, children and blobs included, and return it. Without tags: by digest."""
        self.state.push(repository, content, *tags)
        return content

    def create_robot(
        self,
        name: str,
        namespaces: list[str] | tuple[str, ...] = ("*",),
        *,
        secret: str = ROBOT_SECRET,
        expires_at: int = -1,
        push: bool = False,
        access: dict[str, tuple[str, ...]] | None = None,
        list_projects: bool = True,
        disabled: bool = False,
    ) -> str:
        """Create a system robot and return its login name.

        By default it may read all that a backup needs, in the projects named.

        Args:
            namespaces: Names of projects, or `*` for all.
            expires_at: Seconds since 1970; -1 is never.
            push: May push, too.
            access: Resource to actions, instead of the default.
            list_projects: With `*`: has `project:list` of the system as well.
        """
        table = dict(READS if access is None else access)
        if push:
            table["repository"] = (*table.get("repository", ()), "push")
        rows = [{"resource": r, "action": a} for r, actions in table.items() for a in actions]
        permissions: list[dict[str, Any]] = [
            {"kind": "project", "namespace": namespace, "access": rows} for namespace in namespaces
        ]
        if list_projects and "*" in namespaces:
            access_rows = [{"resource": "project", "action": "list"}]
            permissions.append({"kind": "system", "namespace": "/", "access": access_rows})
        robot = self.state.create_robot(
            name, permissions, secret=secret, expires_at=expires_at, disabled=disabled
        )
        return robot.name

    def create_user(
        self, name: str, password: str, *, sysadmin: bool = False, **profile: str
    ) -> User:
        """Create a user; the profile may have `email`, `realname`, `comment`, `cli_secret`."""
        return self.state.create_user(name, password, sysadmin=sysadmin, **profile)

    def generate(self, projects: int = 10, repositories: int = 100, artifacts: int = 1000) -> None:
        """Make so many small artifacts in all, spread evenly and always the same."""
        generate(self.state, projects, repositories, artifacts)
