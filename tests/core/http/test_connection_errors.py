"""Why there was no answer: in plain words, and never in those of a library."""

from __future__ import annotations

import errno
import http.client
import socket
import ssl
import threading
import traceback

import pytest
import requests
import urllib3

from airflow_provider_harbor.core.exceptions import (
    HarborBackupError,
    HarborConfigurationError,
    HarborConnectionError,
    HarborNotFoundError,
    HarborStatusError,
    HarborTlsError,
)
from airflow_provider_harbor.core.http.connection_errors import connection_error, in_plain_words
from airflow_provider_harbor.core.http.patience import TooSlowError
from tests.core.rig import fast_session
from tests.hostile_server import Asked, HostileServer


def wrapped(cause: BaseException) -> Exception:
    """Return an error as `requests` raises it."""
    try:
        try:
            raise cause
        except BaseException as err:
            raise urllib3.exceptions.ProtocolError(f"<object at 0x7f> Hush: {err}", err) from err
    except urllib3.exceptions.ProtocolError:
        try:
            raise requests.ConnectionError("Max retries exceeded with url: /x?Hush (Caused by ...)")
        except requests.ConnectionError as err:
            return err


@pytest.mark.parametrize(
    ("cause", "words"),
    [
        (ConnectionRefusedError(errno.ECONNREFUSED, "Hush"), "connection refused"),
        (ConnectionResetError(errno.ECONNRESET, "Hush"), "was reset"),
        (BrokenPipeError(errno.EPIPE, "Hush"), "was closed"),
        (http.client.RemoteDisconnected("Hush"), "closed before an answer"),
        (http.client.IncompleteRead(b"Hush", 5), "closed before the end"),
        (http.client.BadStatusLine("Hush"), "is not HTTP"),
        (TimeoutError("Hush"), "no answer in time"),
        (TooSlowError(), "too slowly"),
        (socket.gaierror(socket.EAI_NONAME, "Hush"), "its name is not known"),
        (socket.gaierror(socket.EAI_AGAIN, "Hush"), "cannot be looked up now"),
        (OSError(errno.EHOSTUNREACH, "Hush"), "No route to host"),
        (OSError("Tunnel connection failed: 407 Hush"), "the proxy answered 407"),
        (ssl.SSLEOFError(8, "Hush"), "was closed"),
        (OSError("Hush"), "OSError"),
    ],
)
def test_a_known_cause_is_said_in_words(cause: BaseException, words: str) -> None:
    error = connection_error(wrapped(cause), "GET", "https://h/x")
    assert type(error) is HarborConnectionError
    assert str(error).startswith("GET https://h/x: ")
    assert words in str(error)
    assert "Hush" not in str(error)
    assert (error.method, error.url, error.received_bytes) == ("GET", "https://h/x", None)


def test_an_unknown_cause_is_named_by_its_type() -> None:
    assert in_plain_words(urllib3.exceptions.ClosedPoolError(None, "Hush")) == "ClosedPoolError"


def test_what_the_caller_was_just_dealing_with_is_not_the_cause() -> None:
    for earlier in (HarborNotFoundError(status=404), KeyError("Hush")):
        try:
            raise earlier
        except (HarborBackupError, KeyError):
            with pytest.raises(ConnectionResetError) as caught:
                raise ConnectionResetError  # noqa: B904
            assert in_plain_words(caught.value) == "the connection was reset"


def test_a_certificate_is_said_to_be_wrong_with_the_reason() -> None:
    cause = ssl.SSLCertVerificationError(1, "Hush")
    cause.verify_message = "unable to get local issuer certificate\x1b[2J"
    try:
        raise requests.exceptions.SSLError("Hush") from cause
    except requests.exceptions.SSLError as err:
        error = connection_error(err, "GET", "https://h")
    assert isinstance(error, HarborTlsError)
    assert "does not verify (unable to get local issuer certificate?[2J)" in str(error)
    assert "Hush" not in str(error)


def test_real_troubles_are_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as refusing:
        port = refusing.getsockname()[1]
    for url, words in (
        (f"http://127.0.0.1:{port}", "connection refused"),
        ("http://nowhere.example.com", "its name is not known"),
    ):
        with pytest.raises(HarborConnectionError, match=words) as caught:
            fast_session(url, max_attempts=1).request("GET", "/x")
        shown = "".join(traceback.format_exception(caught.value))
        assert "0x" not in str(caught.value)
        assert "Max retries" not in shown
    with (
        HostileServer(lambda asked: b"") as server,
        pytest.raises(HarborConnectionError, match="closed before an answer"),
    ):
        fast_session(server.url, max_attempts=1).request("GET", "/x")
    with (
        HostileServer(lambda asked: server.trickle(b"", b"", 0.05)) as server,
        pytest.raises(HarborConnectionError, match="no answer in time"),
    ):
        fast_session(server.url, max_attempts=1, timeout_seconds=0.2).request("GET", "/x")


# -- proxies


@pytest.mark.parametrize(
    "proxy",
    [
        "http://pu:Hush@127.0.0.1:notaport",
        "http://pu:x/Hush@127.0.0.1:1",
        "http://pu:Hush@[::1",
        "http://pu:Hush\u20ac@127.0.0.1:1",
        "foo://pu:Hush@127.0.0.1:1",
        "socks5://pu:Hush@127.0.0.1:1",
        "http://",
    ],
)
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_that_cannot_be_used_is_a_matter_of_configuration_and_not_shown(
    monkeypatch: pytest.MonkeyPatch, scheme: str, proxy: str
) -> None:
    if proxy.startswith("socks"):
        monkeypatch.setattr("requests.adapters.SOCKSProxyManager", _no_socks)
    monkeypatch.setenv(f"{scheme}_proxy", proxy)
    with pytest.raises(HarborConfigurationError, match="HTTPS_PROXY") as caught:
        fast_session(f"{scheme}://h.example.com").request("GET", "/x")
    assert "Hush" not in "".join(traceback.format_exception(caught.value))


def _no_socks(*args: object, **kwargs: object) -> None:
    raise requests.exceptions.InvalidSchema("Missing dependencies for SOCKS support: Hush")


def test_a_proxy_is_used_and_the_login_at_it_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    def say(asked: Asked) -> tuple[int, dict[str, str], str]:
        return (200, {}, "through") if "/good" in asked.path else (400, {}, f"{asked.headers}")

    with HostileServer(say) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url.replace("//", "//pu:Hush-Hush1@"))
        session = fast_session("http://h.example.com")
        assert session.request("GET", "/good").text == "through"
        assert proxy.asked[0].path == "http://h.example.com/good"
        with pytest.raises(HarborStatusError) as caught:
            session.request("GET", "/bad")
    sent = proxy.asked[1].headers["Proxy-Authorization"].split()[1]
    assert "Proxy-Authorization" in str(caught.value)
    assert "Hush" not in str(caught.value)
    assert sent.rstrip("=") not in str(caught.value)


def test_what_trickles_through_a_proxy_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n"
    with HostileServer(lambda asked: proxy.trickle(head, b"P", 0.04)) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        session = fast_session("http://h.example.com", timeout_seconds=0.2, max_attempts=1)
        with pytest.raises(HarborConnectionError, match=r"too slowly|in time"):
            session.request("GET", "/x")


def test_a_proxy_that_lets_nobody_through_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    refusal = b"HTTP/1.1 407 Hush\r\nContent-Length: 0\r\n\r\n"
    with socket.create_server(("127.0.0.1", 0)) as server:

        def refuse() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(refusal)

        threading.Thread(target=refuse, daemon=True).start()
        monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{server.getsockname()[1]}")
        with pytest.raises(
            HarborConnectionError, match=r"through the proxy.*answered 407"
        ) as caught:
            fast_session("https://h.example.com", max_attempts=1).request("GET", "/x")
    assert "Hush" not in str(caught.value)


def test_a_ca_file_of_the_environment_that_is_not_there_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/no/such/file.pem")
    with pytest.raises(HarborConfigurationError, match=r"/no/such/file\.pem"):
        fast_session("https://h.example.com")
