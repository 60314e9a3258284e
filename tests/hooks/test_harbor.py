from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import trustme

from airflow_provider_harbor.core.exceptions import (
    HarborAuthError,
    HarborConfigurationError,
    HarborSightError,
    HarborTlsError,
)
from airflow_provider_harbor.hooks.harbor import HarborHook
from tests.double import HarborDouble, Image, cosign_signature, multi_arch

Connect = Callable[..., str]


@contextmanager
def other_server(answer: Callable[[str], tuple[int, str]]) -> Iterator[str]:
    """Run a server that is no Harbor: `answer` maps a path to status and body."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = answer(self.path)
            self.send_response(status)
            if body == "{}":
                self.send_header("Docker-Distribution-Api-Version", "registry/2.0")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.mark.parametrize(
    ("fields", "url"),
    [
        ({"host": "harbor.example.com"}, "https://harbor.example.com"),
        ({"host": "harbor.example.com", "port": 0}, "https://harbor.example.com"),
        ({"host": "harbor.example.com", "port": 443}, "https://harbor.example.com"),
        ({"host": "harbor.example.com", "port": 8443}, "https://harbor.example.com:8443"),
        ({"host": "harbor.example.com:8443"}, "https://harbor.example.com:8443"),
        ({"host": "harbor.example.com:8443", "port": 443}, "https://harbor.example.com:8443"),
        ({"host": "https://harbor.example.com"}, "https://harbor.example.com"),
        ({"host": "http://harbor.example.com", "port": 8080}, "http://harbor.example.com:8080"),
        ({"host": "http://harbor.example.com", "schema": "https"}, "http://harbor.example.com"),
        ({"host": "harbor.example.com", "schema": "http"}, "http://harbor.example.com"),
        ({"host": "https://harbor.example.com/harbor/projects"}, "https://harbor.example.com"),
        ({"host": "[::1]", "schema": "http", "port": 8080}, "http://[::1]:8080"),
        ({"host": " harbor.example.com/ ", "port": 8443}, "https://harbor.example.com:8443"),
        ({"host": "::1"}, "https://[::1]"),
        ({"host": "::1", "port": 8443}, "https://[::1]:8443"),
        ({"host": "http://[::1]:8080", "port": 443}, "http://[::1]:8080"),
        ({"host": "h", "schema": " HTTP "}, "http://h"),
    ],
)
def test_url_is_made_of_the_connection(connect: Connect, fields: Any, url: str) -> None:
    assert HarborHook(connect("some_harbor", **fields)).url == url


def test_connection_as_a_uri(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(
        "AIRFLOW_CONN_SOME_HARBOR",
        "harbor://robot%24backup:secret@harbor.example.com:8443/https?verify_tls=false",
    )
    hook = HarborHook("some_harbor")

    assert hook.url == "https://harbor.example.com:8443"
    assert hook.get_conn().user == "robot$backup"
    assert hook._options["verify"] is False


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({}, "has no host"),
        ({"host": "ftp://harbor.example.com"}, "is not the URL of a registry"),
        ({"host": "https://user:secret@harbor.example.com"}, "leave the credentials out"),
        ({"host": "h", "extra": {"ca_file": "/no/such/file.pem"}}, "/no/such/file.pem"),
        ({"host": "h", "extra": {"verify_tls": "perhaps"}}, "verify_tls"),
        ({"host": "h", "extra": {"timeout_seconds": "soon"}}, "timeout_seconds"),
        ({"host": "h", "extra": {"timeout_seconds": -1}}, "timeout_seconds"),
        ({"host": "h", "extra": {"timeout_seconds": "nan"}}, "timeout_seconds"),
        ({"host": "h", "extra": {"timeout_seconds": "inf"}}, "timeout_seconds"),
        ({"host": "h", "extra": {"timeout_seconds": 1e300}}, "timeout_seconds"),
        ({"host": "h", "extra": {"timeout_seconds": 86_401}}, "timeout_seconds"),
        ({"host": "h", "extra": {"timeout_seconds": [1]}}, "timeout_seconds"),
        ({"host": "h", "extra": {"timeout_seconds": True}}, "timeout_seconds"),
        ({"host": "h", "extra": {"timeout_seconds": "secret"}}, "timeout_seconds"),
        ({"host": "h", "extra": {"verify_tls": "secret"}}, "verify_tls"),
        ({"host": "h", "extra": {"ca_file": ["x"]}}, "CA file"),
        ({"host": "h", "extra": "[]"}, "is not a JSON object"),
        ({"host": "h", "extra": "3"}, "is not a JSON object"),
        ({"host": "h", "extra": "null"}, "is not a JSON object"),
        ({"host": "h", "extra": '"secret"'}, "is not a JSON object"),
        ({"host": "h", "extra": "secret"}, "is not a JSON object"),
        ({"host": "   "}, "has no host"),
        ({"host": "exa mple"}, "is not the URL of a registry"),
        ({"host": "h\nX"}, "is not the URL of a registry"),
        ({"host": "h", "port": 70_000}, "port is no number"),
        ({"host": "h", "port": -1}, "port is no number"),
        ({"host": "h:0"}, "port is no number"),
        ({"host": "https://user:pw/secret@h"}, "leave the credentials out"),
        ({"host": "user:secret@h", "port": 443}, "leave the credentials out"),
        ({"host": "https://h/?password=secret"}, "is not the URL of a registry"),
        ({"host": "h", "schema": "secret"}, "is not the URL of a registry"),
    ],
)
def test_connection_that_cannot_be_used(connect: Connect, fields: Any, problem: str) -> None:
    hook = HarborHook(connect("some_harbor", **fields))
    with pytest.raises(HarborConfigurationError, match=problem) as caught:
        hook.get_conn()

    assert "'some_harbor'" in str(caught.value)
    assert "secret" not in str(caught.value)
    assert hook.test_connection() == (False, str(caught.value))


def test_unknown_connection_is_named() -> None:
    with pytest.raises(HarborConfigurationError, match="no connection 'nowhere'"):
        HarborHook("nowhere").get_conn()


def test_nothing_is_read_before_it_is_needed() -> None:
    assert HarborHook("nowhere").harbor_conn_id == "nowhere"


def test_client_is_made_once(harbor: HarborDouble, connect: Connect) -> None:
    hook = HarborHook(connect("some_harbor", harbor))

    assert hook.get_conn() is hook.get_conn()


def test_hook_is_found_by_connection_type(harbor: HarborDouble, connect: Connect) -> None:
    hook = HarborHook.get_hook(connect("some_harbor", harbor))

    assert isinstance(hook, HarborHook)
    assert hook.url == harbor.url


def test_what_other_dags_can_list(harbor: HarborDouble, connect: Connect) -> None:
    harbor.create_project("team-a")
    image = harbor.push("team-a/app", Image("app"), "v1")
    signature = harbor.push("team-a/app", cosign_signature(image))
    index = harbor.push("team-a/deep/web", multi_arch("web"), "v2")
    hook = HarborHook(connect("some_harbor", harbor))

    assert [p.name for p in hook.iter_projects()] == ["library", "team-a"]
    assert [p.name for p in hook.list_projects(["team-*"])] == ["team-a"]
    assert [r.name for r in hook.iter_repositories("team-a")] == ["team-a/app", "team-a/deep/web"]
    assert {a.digest for a in hook.iter_artifacts("team-a")} >= {image.digest, index.digest}
    assert [a.digest for a in hook.iter_artifacts("team-a", "app")] == [image.digest]
    accessories = list(hook.iter_accessories("team-a/app", image.digest))
    assert [a.digest for a in accessories] == [signature.digest]
    assert hook.get_artifact("team-a/deep/web", "v2").digest == index.digest
    assert hook.get_health().is_healthy
    assert hook.get_system_info().version == (2, 15, 2)
    assert hook.get_statistics().total_project_count == 2


def test_registry_of_the_same_server(harbor: HarborDouble, connect: Connect) -> None:
    image = harbor.push("library/app", Image("app"), "v1")
    with closing(HarborHook(connect("some_harbor", harbor)).get_registry()) as registry:
        assert registry.get_manifest("library/app", "v1").digest == image.digest


# -- the Test button


def test_button_on_a_harbor(harbor: HarborDouble, connect: Connect) -> None:
    ok, message = HarborHook(connect("some_harbor", harbor)).test_connection()

    assert ok
    assert f"Harbor {harbor.state.version} at {harbor.url}" in message
    assert "logged in as 'admin'" in message
    assert "sees all projects: 1" in message


def test_button_with_a_wrong_password(harbor: HarborDouble, connect: Connect) -> None:
    conn_id = connect("some_harbor", harbor, password="Wrong12345")
    ok, message = HarborHook(conn_id).test_connection()

    assert not ok
    assert message.startswith("the login 'admin' was not accepted. Check name and password (of a ")
    assert "robot: the whole name with its prefix" in message
    assert "Wrong12345" not in message


def test_button_without_a_login(harbor: HarborDouble, connect: Connect) -> None:
    conn_id = connect("some_harbor", harbor, login="", password="")
    ok, message = HarborHook(conn_id).test_connection()

    assert not ok
    assert message.startswith(
        "no credentials were given. Fill in user and password of the connection 'some_harbor': "
    )


def test_button_with_a_robot_that_sees_one_project(harbor: HarborDouble, connect: Connect) -> None:
    for name in ("team-a", "team-b"):
        harbor.create_project(name)
    robot = harbor.create_robot("backup", ["team-a"])
    conn_id = connect("some_harbor", harbor, login=robot, password="Robot-12345")
    ok, message = HarborHook(conn_id).test_connection()

    assert ok
    assert f"logged in as {robot!r}" in message
    assert "As the source of a backup: " in message
    with pytest.raises(HarborSightError):
        HarborHook(conn_id).list_projects()


def test_button_on_an_unhealthy_harbor(harbor: HarborDouble, connect: Connect) -> None:
    harbor.state.set_unhealthy("jobservice", "connection refused")
    ok, message = HarborHook(connect("some_harbor", harbor)).test_connection()

    assert not ok
    assert "unhealthy: jobservice" in message


def test_button_on_a_plain_registry(connect: Connect) -> None:
    with other_server(lambda path: (200, "{}") if path == "/v2/" else (404, "")) as url:
        ok, message = HarborHook(connect("plain", host=url)).test_connection()

    assert ok, message
    assert "a plain registry (distribution API)" in message


def test_button_on_something_else(connect: Connect) -> None:
    with other_server(lambda path: (200, "<html>Welcome</html>")) as url:
        ok, message = HarborHook(connect("some_harbor", host=url)).test_connection()

    assert not ok
    assert url in message


def test_button_never_raises(harbor: HarborDouble, connect: Connect) -> None:
    class Broken(HarborHook):
        def get_place(self) -> Any:
            raise RuntimeError("of Airflow's, with a secret in it")

    assert Broken(connect("some_harbor", harbor)).test_connection() == (
        False,
        "the connection cannot be used: RuntimeError",
    )


def test_button_on_a_connection_that_airflow_cannot_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_BROKEN", '{"conn_type": "harbor", "password": secret')
    ok, message = HarborHook("broken").test_connection()

    assert not ok
    assert "secret" not in message


def test_button_where_nobody_answers(harbor: HarborDouble, connect: Connect) -> None:
    conn_id = connect("some_harbor", harbor)
    harbor.stop()
    ok, message = HarborHook(conn_id).test_connection()

    assert not ok
    assert harbor.url in message


# -- TLS


@pytest.fixture
def tls_harbor(tmp_path: Path) -> Iterator[HarborDouble]:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    server = authority.issue_cert("127.0.0.1")
    server.private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "server.pem"))
    with HarborDouble(certfile=tmp_path / "server.pem", keyfile=tmp_path / "server.pem") as double:
        yield double


def test_certificate_of_an_unknown_authority(tls_harbor: HarborDouble, connect: Connect) -> None:
    hook = HarborHook(connect("some_harbor", tls_harbor))
    with pytest.raises(HarborTlsError):
        hook.check()

    ok, message = hook.test_connection()
    assert not ok
    assert "certificate" in message


def test_certificate_of_the_authority_given(
    tls_harbor: HarborDouble, connect: Connect, tmp_path: Path
) -> None:
    extra = {"ca_file": str(tmp_path / "ca.pem")}
    hook = HarborHook(connect("some_harbor", tls_harbor, extra=extra))

    assert hook.check().is_healthy


@pytest.mark.filterwarnings("ignore::urllib3.exceptions.InsecureRequestWarning")
def test_certificate_that_nobody_looks_at(tls_harbor: HarborDouble, connect: Connect) -> None:
    hook = HarborHook(connect("some_harbor", tls_harbor, extra={"verify_tls": False}))

    assert hook.check().is_healthy


# -- secrets


def test_password_is_nowhere_to_be_seen(harbor: HarborDouble, connect: Connect) -> None:
    from airflow.sdk.log import redact

    secret = "a-secret-of-2026"
    hook = HarborHook(connect("some_harbor", harbor, password=secret))
    with pytest.raises(HarborAuthError) as caught:
        hook.check()

    registry = hook.get_registry()
    registry.close()
    shown = " ".join(map(repr, [hook, hook.get_conn(), registry, caught.value, vars(caught.value)]))
    assert secret not in shown
    assert redact(f"a log line with {secret}") == "a log line with ***"
