"""HTTP as the clients use it: what is tried again, what an error tells, what never leaks."""

from __future__ import annotations

import json
import logging
import socket
import threading
import traceback
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
import trustme

from airflow_provider_harbor.core.exceptions import (
    HarborAuthError,
    HarborBackupError,
    HarborConnectionError,
    HarborNotFoundError,
    HarborProtocolError,
    HarborRateLimitError,
    HarborRefusedError,
    HarborServerError,
    HarborStatusError,
    HarborTlsError,
    RefusalReason,
    is_passing,
)
from airflow_provider_harbor.core.harbor.client import HarborClient
from airflow_provider_harbor.core.http.statuses import error_for
from airflow_provider_harbor.core.http.transport import (
    HttpSession,
    basic_authorization,
)
from tests.core.rig import fast_session
from tests.double import Fault, HarborDouble
from tests.hostile_server import Asked, HostileServer, Said

PING = "/api/v2.0/ping"


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_a_passing_failure_is_tried_again(harbor: HarborDouble, status: int) -> None:
    fault = harbor.faults.add(Fault(path="/ping", times=2, status=status))
    assert fast_session(harbor.url).request("GET", PING).text == "Pong"
    assert fault.hits == 2


def test_a_cut_connection_is_tried_again(harbor: HarborDouble) -> None:
    fault = harbor.faults.add(Fault(path="/ping", times=2, reset=True))
    assert fast_session(harbor.url).request("GET", PING).text == "Pong"
    assert fault.hits == 2


def test_what_may_not_be_sent_twice_is_sent_once(harbor: HarborDouble) -> None:
    fault = harbor.faults.add(Fault(method="POST", times=None, status=503))
    with pytest.raises(HarborServerError):
        fast_session(harbor.url).request("POST", "/api/v2.0/projects", json_body={})
    assert fault.hits == 1


def test_it_gives_up_after_the_attempts_it_has(harbor: HarborDouble) -> None:
    fault = harbor.faults.add(Fault(path="/ping", times=None, status=503))
    with pytest.raises(HarborServerError):
        fast_session(harbor.url, max_attempts=3).request("GET", PING)
    assert fault.hits == 3


@pytest.mark.parametrize(
    ("value", "least", "most"),
    [
        ("7", 7, 7),
        (lambda: format_datetime(datetime.now(timezone.utc) + timedelta(seconds=20)), 15, 20),
        ("86400", 60, 60),
        ("soon", 0.3, 0.7),
    ],
    ids=["seconds", "date", "no longer than a minute", "nonsense"],
)
def test_retry_after_is_honoured(
    harbor: HarborDouble, value: object, least: float, most: float
) -> None:
    waits: list[float] = []
    text = value() if callable(value) else str(value)
    harbor.faults.add(Fault(path="/ping", status=429, headers={"Retry-After": text}))
    HttpSession(harbor.url, sleep=waits.append).request("GET", PING)
    assert least - 0.1 <= max(waits) <= most


def test_waits_grow_where_the_server_does_not_say(harbor: HarborDouble) -> None:
    waits: list[float] = []
    harbor.faults.add(Fault(path="/ping", times=3, status=503))
    HttpSession(harbor.url, sleep=waits.append).request("GET", PING)
    assert waits == sorted(waits)
    assert len(waits) == 3


def test_no_cookie_is_ever_sent_back(harbor: HarborDouble) -> None:
    """A Harbor refuses what writes and brings its session cookie (goharbor/harbor#10890)."""
    session = fast_session(harbor.url)
    admin = basic_authorization(harbor.user, harbor.password)
    session.request("GET", "/api/v2.0/systeminfo", authorization=admin)
    session.request(
        "POST", "/api/v2.0/projects", authorization=admin, json_body={"project_name": "made"}
    )
    assert harbor.state.project("made")


def test_a_netrc_file_does_not_replace_the_login(
    harbor: HarborDouble, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password else\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    admin = basic_authorization(harbor.user, harbor.password)
    data = (
        fast_session(harbor.url).request("GET", "/api/v2.0/systeminfo", authorization=admin).json()
    )
    assert "harbor_version" in data


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("method", ["PUT", "POST", "DELETE"])
def test_what_writes_is_not_redirected_into_a_read(
    harbor: HarborDouble, method: str, status: int
) -> None:
    headers = {"Location": f"{PING}?_state=Hush"}
    fault = harbor.faults.add(
        Fault(method=method, path="/somewhere", times=None, status=status, headers=headers)
    )
    with pytest.raises(HarborProtocolError, match=f"{status}, a redirect to") as caught:
        fast_session(harbor.url).request(method, "/somewhere", data=b"content")
    assert PING in str(caught.value)
    assert "Hush" not in str(caught.value)
    assert fault.hits == 1
    assert harbor.requests["rest.other"] == 0


def test_a_netrc_file_does_not_replace_the_login_of_a_redirected_request(
    harbor: HarborDouble, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password else\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    harbor.faults.add(
        Fault(path="/moved", status=307, headers={"Location": "/api/v2.0/systeminfo"})
    )
    admin = basic_authorization(harbor.user, harbor.password)
    data = fast_session(harbor.url).request("GET", "/moved", authorization=admin).json()
    assert "harbor_version" in data


def test_a_redirect_to_another_host_takes_neither_the_login_nor_one_of_netrc_along(
    harbor: HarborDouble,
    other_harbor: HarborDouble,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text(f"machine 127.0.0.1 login {harbor.user} password {harbor.password}\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    elsewhere = f"{other_harbor.url}/api/v2.0/systeminfo"
    harbor.faults.add(Fault(path="/moved", status=307, headers={"Location": elsewhere}))
    admin = basic_authorization(harbor.user, harbor.password)
    data = fast_session(harbor.url).request("GET", "/moved", authorization=admin).json()
    assert "harbor_version" not in data


def test_a_storage_that_cannot_be_reached_is_named_without_its_signature(
    harbor: HarborDouble,
) -> None:
    signed = "http://127.0.0.1:9/bucket/blob?X-Amz-Signature=Hush"
    harbor.faults.add(Fault(path="/v2/", times=None, status=307, headers={"Location": signed}))
    with pytest.raises(HarborConnectionError) as caught:
        fast_session(harbor.url).open("/v2/p/blobs/x")
    assert f"{harbor.url}/v2/p/blobs/x, redirected to http://127.0.0.1:9: " in str(caught.value)
    # As a task's log shows it: with all that led to it.
    assert "Hush" not in "".join(traceback.format_exception(caught.value))


def test_a_storage_that_refuses_is_named_without_its_signature(
    harbor: HarborDouble, other_harbor: HarborDouble
) -> None:
    signed = f"{other_harbor.url}/bucket/blob?X-Amz-Signature=Hush"
    harbor.faults.add(Fault(path="/v2/", status=307, headers={"Location": signed}))
    other_harbor.faults.add(Fault(path="/bucket/", status=403, body="<Code>AccessDenied</Code>"))
    with pytest.raises(HarborAuthError, match="to which it was redirected") as caught:
        fast_session(harbor.url).open("/v2/p/blobs/x")
    assert other_harbor.url in str(caught.value)
    assert caught.value.url.startswith(harbor.url)
    assert "Hush" not in "".join(traceback.format_exception(caught.value))


def test_a_connection_cut_while_tls_begins_is_tried_again() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        accepted: list[bytes] = []

        def cut_all() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    with connection:
                        accepted.append(connection.recv(1000))

        threading.Thread(target=cut_all, daemon=True).start()
        url = f"https://127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(HarborConnectionError) as caught:
            fast_session(url, max_attempts=3).request("GET", PING)
    assert not isinstance(caught.value, HarborTlsError)
    assert "certificate" not in str(caught.value)
    assert len(accepted) == 3


def test_the_reason_is_that_of_this_request_and_not_what_led_to_it() -> None:
    try:
        raise HarborNotFoundError(status=404, method="GET", url="https://h/earlier")
    except HarborNotFoundError:
        with pytest.raises(HarborConnectionError) as caught:
            fast_session("http://127.0.0.1:9", max_attempts=1).request("GET", PING)
    assert "earlier" not in str(caught.value)
    assert "refused" in str(caught.value)


def test_a_login_is_not_sent_unencrypted_where_the_server_wants_tls(
    harbor: HarborDouble, tmp_path: Path
) -> None:
    ca = trustme.CA()
    ca.cert_pem.write_to_path(tmp_path / "ca.pem")
    ca.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(tmp_path / "server.pem")
    with HarborDouble(certfile=tmp_path / "server.pem") as secured:
        location = {"Location": f"{secured.url}{PING}"}
        harbor.faults.add(Fault(path="/ping", times=None, status=308, headers=location))
        session = fast_session(harbor.url, verify=str(tmp_path / "ca.pem"))
        with pytest.raises(HarborProtocolError, match="Write the URL with https://"):
            HarborClient(harbor.url, "admin", "Hush-Hush1", session=session).ping()
        # Elsewhere, such as to a storage, it may be redirected.
        location["Location"] = f"{secured.url}/api/v2.0/health"
        assert "components" in session.request("GET", PING).text


def test_a_proxy_that_fails_is_told_from_the_server_and_its_login_is_not_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://user:Hush@127.0.0.1:9")
    with pytest.raises(HarborConnectionError, match="through the proxy") as caught:
        fast_session("https://harbor.example.com", max_attempts=1).request("GET", PING)
    assert "Hush" not in "".join(traceback.format_exception(caught.value))


def test_nobody_at_the_address_is_a_connection_error() -> None:
    with pytest.raises(HarborConnectionError) as caught:
        fast_session("http://127.0.0.1:9", max_attempts=1).request("GET", PING)
    assert "http://127.0.0.1:9" in str(caught.value)
    assert is_passing(caught.value)


def test_a_certificate_that_does_not_verify_is_permanent(tmp_path: Path) -> None:
    trustme.CA().issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(
        tmp_path / "server.pem"
    )
    with HarborDouble(certfile=tmp_path / "server.pem") as harbor:
        waits: list[float] = []
        with pytest.raises(HarborTlsError) as caught:
            HttpSession(harbor.url, sleep=waits.append).request("GET", PING)
        assert not waits
        assert not is_passing(caught.value)
        assert "CA" in str(caught.value)


def test_a_server_without_tls_behind_an_https_url_is_told(harbor: HarborDouble) -> None:
    with pytest.raises(HarborTlsError, match=r"does not speak TLS.*http://"):
        fast_session(harbor.url.replace("http:", "https:")).request("GET", PING)


def test_a_certificate_of_a_ca_of_ones_own_verifies_with_its_file(tmp_path: Path) -> None:
    ca = trustme.CA()
    ca.cert_pem.write_to_path(tmp_path / "ca.pem")
    ca.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(tmp_path / "server.pem")
    with HarborDouble(certfile=tmp_path / "server.pem") as harbor:
        session = fast_session(harbor.url, verify=str(tmp_path / "ca.pem"))
        assert session.request("GET", PING).text == "Pong"


def test_html_where_json_was_asked_for_says_what_to_look_at(harbor: HarborDouble) -> None:
    harbor.faults.add(Fault(path="/systeminfo", status=200, body="<html>Sign in</html>"))
    with pytest.raises(HarborProtocolError, match="login page or proxy"):
        fast_session(harbor.url).request("GET", "/api/v2.0/systeminfo").json()


@pytest.mark.parametrize(
    ("status", "body", "kind", "reason"),
    [
        (
            401,
            '{"errors":[{"code":"UNAUTHORIZED","message":"unauthorized"}]}',
            HarborAuthError,
            None,
        ),
        (403, '{"errors":[{"code":"FORBIDDEN","message":"forbidden"}]}', HarborAuthError, None),
        (
            404,
            '{"errors":[{"code":"NOT_FOUND","message":"x not found"}]}',
            HarborNotFoundError,
            None,
        ),
        (
            403,
            '{"errors":[{"code":"DENIED","message":"The system is in read only mode. Any '
            'modification is prohibited."}]}',
            HarborRefusedError,
            RefusalReason.READ_ONLY,
        ),
        (
            403,
            '{"errors":[{"code":"DENIED","message":"adding 2.0 KiB of storage resource, which '
            "when updated to current usage of 0 B will exceed the configured upper limit of "
            '1.5 KiB."}]}',
            HarborRefusedError,
            RefusalReason.QUOTA,
        ),
        (
            412,
            '{"errors":[{"code":"PRECONDITION","message":"Failed to process request due to '
            "'app:v1' configured as immutable.\"}]}",
            HarborRefusedError,
            RefusalReason.IMMUTABLE,
        ),
        (
            412,
            '{"errors":[{"code":"PROJECTPOLICYVIOLATION","message":"current image without '
            'vulnerability scanning cannot be pulled"}]}',
            HarborRefusedError,
            RefusalReason.POLICY,
        ),
        (
            409,
            '{"errors":[{"code":"CONFLICT","message":"exists"}]}',
            HarborRefusedError,
            RefusalReason.CONFLICT,
        ),
        (
            413,
            "<html>413 Request Entity Too Large</html>",
            HarborRefusedError,
            RefusalReason.TOO_LARGE,
        ),
        (
            400,
            '{"errors":[{"code":"MANIFEST_BLOB_UNKNOWN","message":"blob unknown to registry"}]}',
            HarborRefusedError,
            RefusalReason.INVALID,
        ),
        (429, "", HarborRateLimitError, None),
        (502, "<html><h1>502 Bad Gateway</h1></html>", HarborServerError, None),
        (
            422,
            '{"errors":[{"code":"UNPROCESSABLE_ENTITY","message":"page_size"}]}',
            HarborStatusError,
            None,
        ),
        (404, '{"errors":null}', HarborNotFoundError, None),
        (404, "[1]", HarborNotFoundError, None),
    ],
)
def test_an_error_answer_becomes_the_error_that_callers_decide_by(
    status: int, body: str, kind: type[HarborStatusError], reason: RefusalReason | None
) -> None:
    error = error_for(status, {"X-Request-ID": "r1"}, body, "GET", "https://h/x")
    assert type(error) is kind
    assert (error.status, error.method, error.url, error.request_id) == (
        status,
        "GET",
        "https://h/x",
        "r1",
    )
    assert getattr(error, "reason", None) == reason
    assert "r1" in str(error)


@pytest.mark.parametrize(
    ("detail", "message"),
    [
        ('"no space left"', "it failed (no space left)"),
        ('"failed"', "it failed"),
        ('""', "it failed"),
        ('{"Name": "x"}', "it failed"),
        ("null", "it failed"),
    ],
)
def test_what_an_error_adds_to_its_message_is_shown_with_it(detail: str, message: str) -> None:
    body = f'{{"errors":[{{"code":"UNKNOWN","message":"it failed","detail":{detail}}}]}}'
    assert error_for(500, {}, body, "GET", "https://h/x").message == message


# -- redirects


def redirecting(
    to: Callable[[Asked], str | None], status: int = 302, **headers: str
) -> HostileServer:
    """Return a server that redirects, or says what it was asked with."""

    def say(asked: Asked) -> Said:
        target = to(asked)
        if target is None:
            return 200, {}, {"method": asked.method, "path": asked.path, **asked.headers}
        return status, {"Location": target, "Set-Cookie": "sid=Hush; Path=/", **headers}, b"gone"

    return HostileServer(say)


def asked_at_last(url: str, path: str = "/start", **options: Any) -> dict[str, str]:
    answer = fast_session(url).request("GET", path, authorization=LOGIN, **options)
    return dict(answer.json())


LOGIN = basic_authorization("admin", "Hush-Hush1")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_cookie_of_a_redirect_is_sent_on(status: int) -> None:
    with (
        redirecting(lambda asked: None) as elsewhere,
        redirecting(
            lambda asked: f"{elsewhere.url}/end" if asked.path == "/there" else None, status
        ) as server,
    ):
        assert "Cookie" not in asked_at_last(server.url, "/there")
        assert "Cookie" not in asked_at_last(server.url, "/here")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_what_reads_is_redirected_as_it_is(method: str, status: int) -> None:
    with redirecting(lambda asked: "/end" if asked.path == "/start" else None, status) as server:
        answer = fast_session(server.url).request(method, "/start", headers={"X-More": "y"})
    assert answer.url == f"{server.url}/end"
    assert [(a.method, a.path, a.headers["X-More"]) for a in server.asked] == [
        (method, "/start", "y"),
        (method, "/end", "y"),
    ]


def test_a_login_stays_with_its_server_and_does_not_come_back() -> None:
    def back(asked: Asked) -> str | None:
        return f"{server.url}/end" if asked.path == "/back" else None

    with (
        redirecting(back) as elsewhere,
        redirecting(
            lambda asked: {"/start": "/again", "/there": f"{elsewhere.url}/back"}.get(asked.path)
        ) as server,
    ):
        assert LOGIN.split()[1] not in json.dumps(asked_at_last(server.url, "/there"))
        fast_session(server.url).request("GET", "/start", authorization=LOGIN)
    sent = {a.path: a.headers.get("Authorization") for a in (*server.asked, *elsewhere.asked)}
    assert sent == {
        "/there": LOGIN, "/back": None, "/end": None, "/start": LOGIN, "/again": LOGIN
    }  # fmt: skip


def test_a_login_of_a_redirects_address_is_not_sent() -> None:
    with redirecting(lambda asked: None) as elsewhere:
        target = elsewhere.url.replace("//", "//somebody:else@") + "/end"
        with redirecting(lambda asked: target) as server:
            assert "Authorization" not in asked_at_last(server.url)


def test_a_redirect_says_all_of_its_address_and_nothing_of_a_fragment() -> None:
    with redirecting(lambda asked: "/end?a=b#c" if "/start" in asked.path else None) as server:
        assert asked_at_last(server.url, params={"page": 2})["path"] == "/end?a=b"
    assert server.asked[0].path == "/start?page=2"


def test_redirects_come_to_an_end() -> None:
    with (
        redirecting(lambda asked: asked.path + "x") as server,
        pytest.raises(HarborProtocolError, match=r"^GET http.*/start was redirected more than 5"),
    ):
        asked_at_last(server.url)
    assert len(server.asked) == 6


@pytest.mark.parametrize(
    "target",
    [
        "http://[::1",
        "http://h:x/",
        "ftp://h/x",
        "file:///etc/passwd",
        "http://h:99999",
    ],
)
@pytest.mark.parametrize("method", ["GET", "PUT"])
def test_a_redirect_to_what_is_no_web_server_is_not_followed(method: str, target: str) -> None:
    with (
        redirecting(lambda asked: target) as server,
        pytest.raises(HarborProtocolError, match=f"^{method} http.*302, a redirect to an address"),
    ):
        fast_session(server.url).request(method, "/start", data=b"x")


def test_what_redirects_nowhere_is_an_answer() -> None:
    with HostileServer(lambda asked: (302, {}, "x")) as server:
        assert fast_session(server.url).request("GET", "/start").status == 302


def test_a_redirect_over_and_over_uses_one_connection(harbor: HarborDouble) -> None:
    harbor.faults.add(Fault(path="/moved", times=None, status=307, headers={"Location": PING}))
    session = fast_session(harbor.url)
    for _ in range(20):
        assert session.request("GET", "/moved").text == "Pong"
    pools = session._connections._adapter.poolmanager.pools
    (pool,) = [pools[key] for key in pools.keys()]  # noqa: SIM118
    assert (pool.num_connections, pool.num_requests) == (1, 40)


# -- what servers say


FORGED = "\x1b]0;owned\x07\x1b[2J\nharbor-backup: Everything is protected\u202e\ud800\x9b"


def test_a_servers_words_are_one_line_each_and_not_endless() -> None:
    said = {"code": FORGED, "message": FORGED + "x" * 10_000, "detail": FORGED * 999}
    error = error_for(
        401,
        {"X-Request-ID": FORGED, "WWW-Authenticate": FORGED * 999},
        json.dumps({"errors": [said]}),
        "GET",
        "https://h/x",
    )
    assert isinstance(error, HarborAuthError)
    for text in (error.code, error.message, error.request_id, error.challenge, str(error)):
        assert "owned" in text
        assert text.isprintable()
    assert len(str(error)) < 1000


@pytest.mark.parametrize(
    "body",
    [
        FORGED,
        "x" * 100_000,
        "[" * 100_000,
        '{"errors": [{"message": ' + "[" * 900 + "]" * 900 + "}]}",
        '{"errors": [{"message": "x", "detail": 5, "code": [1]}]}',
        '{"errors": {"0": 1}}',
        '{"errors": "text"}',
    ],
)
def test_an_error_of_any_kind_is_shown_on_one_line(body: str) -> None:
    error = error_for(400, {}, body, "GET", "https://h/x")
    assert str(error).isprintable()
    assert len(str(error)) < 1000


@pytest.mark.parametrize("said", ["\xb2", "1e3", "-1", "9" * 400, "\u0663", "Sat, 99 Foo 2099"])
def test_a_time_to_wait_that_is_none_is_no_error(said: str) -> None:
    assert error_for(429, {"Retry-After": said}, "", "GET", "u").retry_after_seconds is None


def test_the_error_of_an_object_storage_is_said_without_what_it_repeats() -> None:
    body = (
        '<?xml version="1.0"?><Error><Code>SignatureDoesNotMatch</Code><Message>They differ.'
        "</Message><AWSAccessKeyId>Hush</AWSAccessKeyId><SignatureProvided>Hush"
        "</SignatureProvided></Error>"
    )
    error = error_for(403, {}, body, "GET", "https://h/x")
    assert (error.code, error.message) == ("SignatureDoesNotMatch", "They differ.")


@pytest.mark.parametrize(
    "echo",
    [
        lambda headers: f"cannot handle {headers}",
        lambda headers: json.dumps({"errors": [{"code": "X", "message": f"{headers}"}]}),
        lambda headers: json.dumps({"errors": [{"code": headers["Authorization"]}]}),
        lambda headers: json.dumps({"errors": [{"message": json.dumps(headers)}]}),
        lambda headers: "the password Hush-Hush1 is wrong",
    ],
)
def test_a_login_that_a_server_sends_back_is_not_in_its_error(
    echo: Callable[[dict[str, str]], str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)

    def say(asked: Asked) -> Said:
        headers = {name: asked.headers["Authorization"] for name in ("X-Request-Id", "X")}
        headers["WWW-Authenticate"] = asked.headers["Authorization"]
        return 503 if asked.method == "GET" else 401, headers, echo(asked.headers)

    with HostileServer(say) as server:
        for method in ("GET", "POST"):
            with pytest.raises(HarborStatusError) as caught:
                fast_session(server.url).request(method, "/x", authorization=LOGIN)
            shown = f"{caught.value!s} {caught.value!r} {vars(caught.value)} {caplog.text}"
            assert "***" in shown
            assert "Hush" not in shown
            assert LOGIN.split()[1] not in shown


def test_a_signature_that_a_storage_sends_back_is_not_in_its_error() -> None:
    def say(asked: Asked) -> Said:
        if asked.path.startswith("/v2/"):
            return 307, {"Location": storage.url + "/Hidden/x?Policy=HushPolicy&page=1"}, b""
        return 403, {"Content-Type": "text/plain"}, f"you asked for {asked.path}"

    with (
        HostileServer(say) as storage,
        HostileServer(say) as server,
        pytest.raises(HarborAuthError, match="to which it was redirected") as caught,
    ):
        fast_session(server.url).request("GET", "/v2/p/blobs/x")
    assert "Hush" not in str(caught.value)
    assert "Hidden" not in str(caught.value)
    assert storage.url in str(caught.value)


def test_a_signature_is_not_logged_by_other_packages_either(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)

    def say(asked: Asked) -> Said:
        if asked.path == "/start":
            return 307, {"Location": "/end?X-Amz-Signature=Hush"}, b""
        return b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nno field\r\n\r\nOK"

    with HostileServer(say) as server:
        assert fast_session(server.url).request("GET", "/start").text == "OK"
    assert "/end" in caplog.text
    assert "Hush" not in caplog.text


def test_an_upload_elsewhere_is_not_shown() -> None:
    with pytest.raises(HarborConnectionError) as caught:
        fast_session("http://h").request("PUT", "http://127.0.0.1:9/up/Hush?a=Hush", data=b"x")
    assert "Hush" not in f"{caught.value} {vars(caught.value)}"
    assert "PUT http://127.0.0.1:9: " in str(caught.value)


def test_no_secret_shows_in_errors_logs_or_representations(
    harbor: HarborDouble, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    harbor.faults.add(Fault(path="/statistics", times=None, reset=True))
    session = fast_session(harbor.url)
    secret = basic_authorization("admin", "Hush-Hush1")
    with pytest.raises(HarborBackupError) as caught:
        session.request("GET", "/api/v2.0/statistics", authorization=secret)
    shown = f"{caught.value!s} {caught.value!r} {session!r} {vars(caught.value)} {caplog.text}"
    assert "Hush-Hush1" not in shown
    assert secret.split()[1] not in shown


def test_a_cache_in_between_is_to_ask_how_things_are_now() -> None:
    """A list of yesterday would lack what was pushed since, and nobody would see it."""
    with HostileServer(lambda asked: (200, {}, b"x")) as server:
        session = fast_session(server.url)
        for method in ("GET", "HEAD", "PUT", "POST", "DELETE"):
            session.request(method, "/", headers={"Accept": "text/plain"})
        session.open("/").close()
    found = {(one.method, one.headers.get("Cache-Control")) for one in server.asked}
    assert found == {
        ("GET", "no-cache"),
        ("HEAD", "no-cache"),
        ("PUT", None),  # a storage would keep that of an upload with it
        ("POST", None),
        ("DELETE", None),
        ("GET", None),  # the stream, which is hashed
    }
    assert {one.headers["Accept"] for one in server.asked[:5]} == {"text/plain"}
