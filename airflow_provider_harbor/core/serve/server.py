"""The process that serves: it listens, answers, and stops when it is told to."""

from __future__ import annotations

import asyncio
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import uvicorn

from airflow_provider_harbor.core.serve.app import make_app
from airflow_provider_harbor.core.serve.catalogue import Catalogue
from airflow_provider_harbor.core.serve.guard import Guard
from airflow_provider_harbor.core.serve.logins import Logins
from airflow_provider_harbor.core.store.backup_store import BackupStore

# So long connections that nobody uses stay open; and answers on their way, after the signal.
_IDLE_SECONDS = 30
_GRACE_SECONDS = 10
_GOODBYE_SECONDS = 0.5


class Server:
    """A registry that is served.

    Args:
        store: Where the snapshot is.
        catalogue: What is served.
        listener: A socket that listens; it is closed at the end.
        logins: Who may read; None for everybody.
        certfile: Certificate (PEM); None for plain HTTP.
        keyfile: Its key, where that is not in the same file.
        on_stop: Called when a signal has come, from its handler.

    Attributes:
        url: Where it is, the port as the system has chosen it.
    """

    def __init__(
        self,
        store: BackupStore,
        catalogue: Catalogue,
        listener: socket.socket,
        *,
        logins: Logins | None = None,
        certfile: Path | None = None,
        keyfile: Path | None = None,
        on_stop: Callable[[], None] = lambda: None,
    ) -> None:
        self._listener = listener
        host, port = listener.getsockname()[:2]
        scheme = "https" if certfile else "http"
        self.url = f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"
        self._guard = Guard(make_app(store, catalogue), logins)
        config = uvicorn.Config(
            self._guard,
            log_config=None,
            # Its warnings are of clients that try HTTPS first, as most do.
            log_level="error",
            access_log=False,
            lifespan="off",
            ws="none",
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=_IDLE_SECONDS,
            timeout_graceful_shutdown=_GRACE_SECONDS,
            ssl_certfile=certfile,
            ssl_keyfile=keyfile,
        )
        self._server = _Uvicorn(config, on_stop)

    @property
    def requests(self) -> int:
        """How many requests there were."""
        return self._guard.requests

    @property
    def sent_bytes(self) -> int:
        """How much was sent, headers not counted."""
        return self._guard.sent_bytes

    def run(self) -> None:
        """Serve until SIGINT or SIGTERM, or until `stop`. What is on its way then may end."""
        try:
            self._server.run(sockets=[self._listener])
        finally:
            self._listener.close()

    def stop(self) -> None:
        """Have it stop; from any thread."""
        self._server.should_exit = True


class _Uvicorn(uvicorn.Server):
    """Uvicorn, but that it does not send itself the signal again after it has stopped."""

    def __init__(self, config: uvicorn.Config, on_stop: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_stop = on_stop

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Stop on a signal, and at once on the second one."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        numbers = (signal.SIGINT, signal.SIGTERM)
        before = {number: signal.signal(number, self._stop) for number in numbers}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End connections; those that have nothing left to send are not waited for.

        A TLS connection would be: for half a minute, until the other side says goodbye, which many
        clients never do.
        """
        ending = asyncio.ensure_future(super().shutdown(sockets))
        while not ending.done():
            await asyncio.wait([ending], timeout=_GOODBYE_SECONDS)
            if self.server_state.tasks:
                continue
            for connection in list(self.server_state.connections):
                transport = connection.transport
                if transport is not None and not transport.get_write_buffer_size():
                    transport.abort()
        await ending

    def _stop(self, number: int, frame: FrameType | None) -> None:
        if self.should_exit:
            self.force_exit = True
        self.should_exit = True
        self._on_stop()
