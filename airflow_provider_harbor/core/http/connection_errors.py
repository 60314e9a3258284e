"""Why there was no answer, in plain words.

The texts of `requests` and `urllib3` are never shown: they hold whole addresses, with the
signatures of signed ones and the credentials of proxies, and where objects lie in memory.
"""

from __future__ import annotations

import http.client
import os
import re
import socket
import ssl

import requests
import urllib3

from airflow_provider_harbor.core.exceptions import HarborConnectionError, HarborTlsError
from airflow_provider_harbor.core.http.patience import TooSlowError
from airflow_provider_harbor.core.texts import one_line

# What reaching a server, and reading its answer, raises.
CONNECTION_ERRORS = (
    requests.RequestException,
    urllib3.exceptions.HTTPError,
    http.client.HTTPException,
    OSError,
)

_CUT = "the connection was closed before the end of the answer"
_PLAIN_WORDS: tuple[tuple[type[BaseException], str], ...] = (
    (TooSlowError, "the answer came too slowly"),
    (TimeoutError, "no answer in time"),
    (ConnectionRefusedError, "connection refused: nobody listens there"),
    (http.client.RemoteDisconnected, "the connection was closed before an answer"),
    (ConnectionResetError, "the connection was reset"),
    (ConnectionError, "the connection was closed"),
    (ssl.SSLEOFError, "the connection was closed"),
    (ssl.SSLZeroReturnError, "the connection was closed"),
    (http.client.IncompleteRead, _CUT),
    (urllib3.exceptions.IncompleteRead, _CUT),
    (http.client.HTTPException, "the answer is not HTTP"),
)


def connection_error(
    err: Exception, method: str, url: str, asked: str = ""
) -> HarborConnectionError:
    """Return the error to raise for one of `CONNECTION_ERRORS`.

    Args:
        err: What sending a request, or reading its answer, raised.
        method: Of the request.
        url: Where it was sent first, as it may be shown.
        asked: Where it was sent at last, likewise; empty where it was not redirected.
    """
    cause = _cause(err)
    what = f"{method} {url}" + (f", redirected to {asked}" if asked else "")
    if isinstance(err, requests.exceptions.ProxyError):
        what += ", through the proxy that the environment names"
    if getattr(cause, "reason", "") == "WRONG_VERSION_NUMBER":
        return HarborTlsError(
            f"{what}: the server does not speak TLS on this port. If that is meant, write the URL "
            "with http://",
            method=method,
            url=url,
        )
    # A connection that is cut in the middle of the handshake is an SSLError too, but may pass.
    is_cut = isinstance(cause, (ssl.SSLEOFError, ssl.SSLZeroReturnError))
    if isinstance(err, requests.exceptions.SSLError) and not is_cut:
        return HarborTlsError(f"{what}: {_tls_problem(cause)}", method=method, url=url)
    return HarborConnectionError(f"{what}: {in_plain_words(err)}", method=method, url=url)


def in_plain_words(err: BaseException) -> str:
    """Return what happened to a connection: known causes in words, else the name of the type."""
    cause = _cause(err)
    for kind, words in _PLAIN_WORDS:
        if isinstance(cause, kind):
            return words
    if isinstance(cause, (requests.Timeout, urllib3.exceptions.TimeoutError)):
        return "no answer in time"
    if isinstance(cause, socket.gaierror):
        is_passing = cause.errno == socket.EAI_AGAIN
        return "its name cannot be looked up now" if is_passing else "its name is not known"
    # http.client tells only in words what a proxy said.
    if found := re.match(r"Tunnel connection failed: (\d{3})\b", str(cause)):
        return f"the proxy answered {found[1]}"
    if isinstance(cause, OSError) and cause.errno and not isinstance(cause, ssl.SSLError):
        return os.strerror(cause.errno)
    return type(cause).__name__


def _tls_problem(cause: BaseException) -> str:
    if isinstance(cause, ssl.SSLCertVerificationError):
        # The words of OpenSSL, which may have names of the certificate in them.
        return (
            f"the TLS certificate does not verify ({one_line(cause.verify_message, 200)}). Give "
            "the CA's file, or have the certificate corrected"
        )
    reason = getattr(cause, "reason", "")
    said = reason if isinstance(reason, str) and reason else type(cause).__name__
    return f"no TLS connection can be made ({said}). See which versions of TLS it speaks"


def _cause(err: BaseException) -> BaseException:
    """Return what an error of `requests` or `urllib3` began with.

    What the caller was just dealing with stands behind it too, and is not the reason.
    """
    while isinstance(following := err.__cause__ or err.__context__, CONNECTION_ERRORS):
        err = following
    return err
