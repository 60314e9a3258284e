"""Where a served registry listens, and what protects it there."""

from __future__ import annotations

import errno
import ipaddress
import socket
import ssl
from dataclasses import dataclass
from pathlib import Path

from airflow_provider_harbor.core.exceptions import HarborConfigurationError, describe

_BACKLOG = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where to listen.

    Attributes:
        host: As it was given.
        family, place: What it is for the system.
        is_loopback: Whether no other machine can reach it.
    """

    host: str
    family: int
    place: tuple[str, int]
    is_loopback: bool


def parse_address(text: str) -> Address:
    """Return an address, from a text such as `127.0.0.1:5000`, `[::1]:5000` or `localhost:5000`.

    Raises:
        HarborConfigurationError: It is none, or one of another machine.
    """
    host, colon, port = text.rpartition(":")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    is_bare_v6 = ":" in bare and bare == host
    if not (bare and colon and port.isascii() and port.isdecimal()) or is_bare_v6:
        raise HarborConfigurationError(
            f"{text!r} is not an address to listen on. Write HOST:PORT, such as 127.0.0.1:5000, "
            "[::1]:5000, or 0.0.0.0:5000 for all of this machine"
        )
    if int(port) > 65535:
        raise HarborConfigurationError(f"{port} is not a port: they end at 65535")
    try:
        found = socket.getaddrinfo(bare, int(port), type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise HarborConfigurationError(f"{bare!r} is not an address of this machine") from None
    found.sort(key=lambda item: item[0] != socket.AF_INET)
    family, _, _, _, place = found[0]
    return Address(
        host=host,
        family=family,
        place=(str(place[0]), int(place[1])),
        is_loopback=all(_is_loopback(str(item[4][0])) for item in found),
    )


def _is_loopback(address: str) -> bool:
    return ipaddress.ip_address(address.partition("%")[0]).is_loopback


def require_protection(
    address: Address,
    *,
    has_certificate: bool,
    has_logins: bool,
    without_tls: bool = False,
    without_login: bool = False,
) -> None:
    """Make sure that nobody opens a backup to others without having said so.

    Raises:
        HarborConfigurationError: It would be open.
    """
    if address.is_loopback:
        return
    lacking = []
    if not (has_certificate or without_tls):
        lacking.append(
            "a certificate (--certfile, --keyfile), or --without-tls where something in front of "
            "it has one"
        )
    if not (has_logins or without_login):
        lacking.append("logins (--htpasswd), or --without-login where everybody may read all of it")
    if lacking:
        raise HarborConfigurationError(
            f"other machines can reach {address.host}, so that it takes {'; and '.join(lacking)}"
        )


def check_certificate(certfile: Path, keyfile: Path | None) -> None:
    """Make sure that a certificate and its key can be used.

    Raises:
        HarborConfigurationError: They cannot.
    """
    for path in filter(None, (certfile, keyfile)):
        try:
            path.read_bytes()
        except OSError as err:
            raise HarborConfigurationError(
                f"the certificate cannot be read: {describe(err)}"
            ) from None
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(
            certfile, keyfile, password=lambda: ""
        )
    except (ssl.SSLError, ValueError, OSError) as err:
        reason = getattr(err, "reason", None) or str(err)
        files = f"{certfile} and {keyfile}" if keyfile else str(certfile)
        raise HarborConfigurationError(
            f"{files} are not a certificate and its key, as PEM and without a passphrase ({reason})"
        ) from None


def listen(address: Address) -> socket.socket:
    """Return a socket that listens.

    Raises:
        HarborConfigurationError: Somebody else does, or it is not an address of this machine.
    """
    # Named TCP, since asyncio sends at once only on such ones: else each answer takes 40 ms.
    listener = socket.socket(address.family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if address.family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind(address.place)
        listener.listen(_BACKLOG)
    except OSError as err:
        listener.close()
        raise HarborConfigurationError(_why_not(err, address)) from None
    return listener


def _why_not(err: OSError, address: Address) -> str:
    where = f"{address.host}:{address.place[1]}"
    if err.errno == errno.EADDRINUSE:
        return f"something listens on {where} already. Choose another port with --listen"
    if err.errno == errno.EACCES:
        return f"this user may not listen on {where}. Choose a port above 1023 with --listen"
    if err.errno == errno.EADDRNOTAVAIL:
        return f"{where} is not an address of this machine"
    return f"nothing can listen on {where}: {err.strerror}"
