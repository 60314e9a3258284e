"""Ports for servers that are started a moment after their port was chosen."""

from __future__ import annotations

import contextlib
import secrets
import socket


def find_free_port() -> int:
    """Return a port that nobody has, nor gets by chance before the server takes it.

    The system gives ports above 32767 to whoever asks for any, and to each connection that goes out
    (Linux: `net.ipv4.ip_local_port_range`): some other test may have it in between.
    """
    while True:
        with socket.socket() as listener, contextlib.suppress(OSError):
            listener.bind(("127.0.0.1", secrets.choice(range(15_000, 32_000))))
            return int(listener.getsockname()[1])
