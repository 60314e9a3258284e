"""URLs of registries: as people write them, and as they may be shown."""

from __future__ import annotations

import ipaddress
import re
from contextlib import suppress
from typing import NoReturn
from urllib.parse import parse_qsl, urlsplit

from airflow_provider_harbor.core.exceptions import HarborConfigurationError
from airflow_provider_harbor.core.texts import one_line

_EXAMPLE = "https://harbor.example.com"
_DEFAULT_PORTS = {"http": 80, "https": 443}
_HOST = re.compile(r"[A-Za-z0-9._-]{1,253}")
# What a browser shows of Harbor's pages, with whatever query and fragment; and where its APIs are.
_PAGES = re.compile(r"/harbor(/.*)?|/account/sign-in.*")
_BASES = re.compile(r"/*|/api(/v2\.0)?/*|/v2/*")
_SHORTEST_SECRET = 6
# The keys of queries that this package and registries use, and that are no secret. An address with
# any other one may be a signed one, or that of an upload, which is as good as a login.
_HARMLESS = frozenset({
    "q", "sort", "page", "page_size", "reference", "relative", "project_name",
    "n", "last", "mount", "from", "digest", "scope", "service",
})  # fmt: skip


def normalise_url(text: str) -> str:
    """Return the base URL that a person meant: scheme, host and port only.

    `harbor.example.com` becomes `https://harbor.example.com`, and `::1` `https://[::1]`; what a
    browser shows of Harbor's pages (`/harbor/projects`) and `/api/v2.0` or `/v2` at the end are
    taken off.

    Raises:
        HarborConfigurationError: It is no such URL, or has credentials in it. People do type
            passwords into URLs, with signs that change what is the host and what is a path, so
            that no more of it is shown than a part that can be nothing but the host.
    """
    given = text.strip()
    scheme, mark, rest = given.partition("://")
    if not mark:
        scheme, rest = "https", given
    scheme = scheme.lower()
    if not given:
        _refuse("there is none")
    if "@" in given:
        _refuse("leave the credentials out of the URL: a URL ends up in logs")
    if scheme not in _DEFAULT_PORTS:
        _refuse("it begins neither with https:// nor with http://")
    authority, path, more = _parts(rest)
    host, port = _host_and_port(authority)
    if not host:
        _refuse("it has no host, or one that can be no name")
    if not _PAGES.fullmatch(path) and (more or not _BASES.fullmatch(path)):
        _refuse("it has a path or a query, and only scheme, host and port are wanted", host)
    number = _port_number(port) if port is not None else _DEFAULT_PORTS[scheme]
    if number is None:
        _refuse("its port is no number from 1 to 65535", host)
    return f"{scheme}://{host}" + ("" if number == _DEFAULT_PORTS[scheme] else f":{number}")


def names_port(text: str) -> bool:
    """Whether a URL, as people write it, says the port."""
    _, mark, rest = text.strip().partition("://")
    authority, _, _ = _parts(rest if mark else text.strip())
    return _host_and_port(authority)[1] is not None


def _refuse(why: str, host: str = "") -> NoReturn:
    about = f" (its host is {host!r})" if host else ""
    raise HarborConfigurationError(
        f"this is not the URL of a registry{about}: {why}. Write it as {_EXAMPLE}"
    )


def _parts(rest: str) -> tuple[str, str, str]:
    """Return what follows the scheme as host and port, path, and query with fragment."""
    found = re.fullmatch(r"([^/?#]*)([^?#]*)(.*)", rest, re.DOTALL)
    authority, path, more = found.groups() if found else ("", "", "")
    return authority, path, more


def _host_and_port(authority: str) -> tuple[str, str | None]:
    """Return a host as a URL has it, and the text of a port; an empty host where it is none."""
    address, port = authority, None
    if found := re.fullmatch(r"\[(.*)\](?::(.*))?", authority, re.DOTALL):
        address, port = found.groups()
    # With a zone (`%eth0`) it means something on this machine only.
    if ":" in address and "%" not in address:
        with suppress(ValueError):
            return f"[{ipaddress.IPv6Address(address)}]", port
    host, mark, port = authority.partition(":")
    if not host.isascii():
        with suppress(UnicodeError):
            host = host.encode("idna").decode()
    is_name = _HOST.fullmatch(host) and ":" not in port
    return host.lower() if is_name else "", port if mark else None


def _port_number(text: str) -> int | None:
    number = int(text) if re.fullmatch(r"[0-9]{1,5}", text) else 0
    return number if 0 < number < 65536 else None


def origin_of(url: str) -> str:
    """Return scheme, host and port of a URL, the same text for the same server.

    Raises:
        ValueError: It has none: it is broken, or neither of http nor of https.
    """
    parts = urlsplit(url)
    scheme, host, port = parts.scheme, parts.hostname, parts.port
    if scheme not in _DEFAULT_PORTS or not host:
        raise ValueError("no address of a web server")
    shown = f"[{host}]" if ":" in host else host
    return f"{scheme}://{shown}" + ("" if port in (None, _DEFAULT_PORTS[scheme]) else f":{port}")


def secrets_in(url: str, base_url: str) -> tuple[str, ...]:
    """Return what of a URL is not to be shown, nor what a server repeats of it, see `redact`."""
    try:
        parts, is_elsewhere = urlsplit(url), origin_of(url) != base_url
        found = [v for key, v in parse_qsl(parts.query) if not _is_harmless(key)]
    except ValueError:
        return ()
    if is_elsewhere:
        found += [parts.query, parts.path]
    return tuple(text for text in found if len(text) >= _SHORTEST_SECRET)


def redact(url: str, base_url: str = "") -> str:
    """Return a URL as it may be shown, on one line.

    Never with credentials, and with its query only where each key is known to be no secret: that
    of Harbor's listings helps to see what was asked.

    Args:
        url: What somebody wants to show.
        base_url: Of the server that was meant. Of another one scheme, host and port are shown only:
            the path of an upload or of a signed address can be a secret, too.
    """
    try:
        origin, parts = origin_of(url), urlsplit(url)
        is_elsewhere = bool(base_url) and origin != origin_of(base_url)
        keys = [key for key, _ in parse_qsl(parts.query, keep_blank_values=True)]
    except ValueError:
        return "an address that cannot be read"
    if is_elsewhere or "@" in parts.path:
        return one_line(origin)
    is_harmless = keys and all(map(_is_harmless, keys))
    query = "?" + (parts.query if is_harmless else "...") if parts.query else ""
    return one_line(f"{origin}{parts.path}{query}", 500)


def _is_harmless(key: str) -> bool:
    return key in _HARMLESS or key.startswith("with_")
