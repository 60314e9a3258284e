"""A served store for tests: the real server, on a port of loopback, in a thread of this process."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import requests

from airflow_provider_harbor.core.jobs.choosing import find_snapshot
from airflow_provider_harbor.core.serve.catalogue import read_catalogue
from airflow_provider_harbor.core.serve.listening import listen, parse_address
from airflow_provider_harbor.core.serve.server import Server
from airflow_provider_harbor.core.store.backup_store import BackupStore


class Served:
    """A registry that answers."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.url = server.url
        self.host = server.url.partition("://")[2]

    def ask(self, method: str, path: str, **options: Any) -> requests.Response:
        """Send a request, and follow nothing."""
        options = {"timeout": 20, "allow_redirects": False, **options}
        headers = {"Accept": None, **options.pop("headers", {})}
        return requests.request(method, self.url + path, headers=headers, **options)

    def get(self, path: str, **options: Any) -> requests.Response:
        return self.ask("GET", path, **options)

    def head(self, path: str, **options: Any) -> requests.Response:
        return self.ask("HEAD", path, **options)

    def get_raw(self, target: str) -> tuple[int, bytes]:
        """Ask for a path as it is: no client cleans it up."""
        host, _, port = self.host.rpartition(":")
        connection = http.client.HTTPConnection(host, int(port), timeout=120)
        try:
            connection.putrequest("GET", target, skip_accept_encoding=True)
            connection.endheaders()
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()


@contextmanager
def serving(store: BackupStore, **options: Any) -> Iterator[Served]:
    """Serve the newest snapshot of a store until the end of the block."""
    catalogue = read_catalogue(store, find_snapshot(store, options.pop("snapshot", "latest")))
    server = Server(store, catalogue, listen(parse_address("127.0.0.1:0")), **options)
    thread = threading.Thread(target=server.run, name="served")
    thread.start()  # the socket listens already: who connects now is answered in a moment
    try:
        yield Served(server)
    finally:
        server.stop()
        thread.join(timeout=120)
        assert not thread.is_alive()
