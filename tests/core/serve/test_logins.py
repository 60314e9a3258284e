"""Logins: a file of htpasswd, in the form of bcrypt, and nothing weaker."""

from __future__ import annotations

import base64
from pathlib import Path

import bcrypt
import pytest
import requests

from airflow_provider_harbor.core.exceptions import HarborConfigurationError
from airflow_provider_harbor.core.serve.logins import Logins, read_logins
from tests.core.night import REPOSITORY, Night
from tests.core.serve.running import serving


def hashed(password: str, prefix: bytes = b"2y") -> str:
    value = bcrypt.hashpw(password.encode(), bcrypt.gensalt(4))
    return value.replace(b"$2b$", b"$" + prefix + b"$").decode()


def test_the_forms_of_bcrypt_are_taken(tmp_path: Path):
    path = tmp_path / "users"
    path.write_text(
        f"# our users\n\nalice:{hashed('a', b'2y')}\nbob:{hashed('b', b'2a')}  \n"
        f"carol:{hashed('c', b'2b')}\nalice:{hashed('later')}\n"
    )
    logins = read_logins(path)
    assert len(logins) == 3
    for user, password in (("alice", "a"), ("bob", "b"), ("carol", "c")):
        assert logins.check(user, password)
        assert not logins.check(user, password + "x")
    assert not logins.check("alice", "later")
    assert not logins.check("nobody", "a")


@pytest.mark.parametrize(
    "line",
    [
        "alice:$apr1$abcdefgh$0123456789012345678901",
        "alice:{SHA}qUqP5cyxm6YcTAhz05Hph5gvu9M=",
        "alice:plain",
        "alice:",
        "alice",
        ":" + "x",
        "alice:$2y$04$short",
    ],
)
def test_other_lines_are_refused_by_their_number(tmp_path: Path, line: str):
    path = tmp_path / "users"
    path.write_text(f"bob:{hashed('b')}\n{line}\n")
    with pytest.raises(HarborConfigurationError, match=r"line 2 of .*htpasswd -B") as caught:
        read_logins(path)
    assert "plain" not in str(caught.value)
    assert "$" not in str(caught.value)


def test_a_file_without_logins_is_refused(tmp_path: Path):
    path = tmp_path / "users"
    path.write_text("# nobody yet\n")
    with pytest.raises(HarborConfigurationError, match="no login in"):
        read_logins(path)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path):
    with pytest.raises(HarborConfigurationError, match=r"users: No such file"):
        read_logins(tmp_path / "users")
    (tmp_path / "users").write_bytes(b"\xff\xfe")
    with pytest.raises(HarborConfigurationError, match="not UTF-8"):
        read_logins(tmp_path / "users")


def test_long_passwords_are_as_htpasswd_has_them(tmp_path: Path):
    logins = Logins({"alice": hashed("x" * 72).encode()})
    assert logins.check("alice", "x" * 100)
    assert not logins.check("alice", "x" * 71)
    assert not logins.check("alice", "x\0" + "x" * 71)


def test_only_what_was_right_before_is_told_at_once():
    logins = Logins({"alice": hashed("a").encode()})
    assert not logins.knows("alice", "a")
    assert not logins.check("alice", "b")
    assert not logins.knows("alice", "b")
    assert logins.check("alice", "a")
    assert logins.knows("alice", "a")
    assert not logins.knows("alice", "b")
    assert not logins.knows("alice\0a", "")


def test_nothing_is_served_without_a_login(night: Night):
    logins = Logins({"alice": hashed("päss:wörd").encode()})
    with serving(night.store, logins=logins) as served:
        path = f"/v2/{REPOSITORY}/manifests/1.0"
        for url in ("/v2/", path, "/v2/_catalog", "/", f"/v2/{REPOSITORY}/blobs/x"):
            for method in ("GET", "HEAD", "PUT"):
                answer = served.ask(method, url)
                assert answer.status_code == 401
                assert answer.headers["WWW-Authenticate"].startswith('Basic realm="harbor-backup"')
        assert served.get(path).json()["errors"][0]["code"] == "UNAUTHORIZED"
        right = "päss:wörd".encode()
        for _ in range(2):  # the second one is known
            assert ask_as(served.url + path, b"alice:" + right).status_code == 200
        for wrong in (b"alice:", b"alice:x", b"bob:" + right, b":", b"alice", b"\xff:x", right):
            assert ask_as(served.url + path, wrong).status_code == 401
        for header in ("Bearer abc", "Basic ====", "Basic", "basic !", "Digest x", "Basic \xff"):
            answer = served.get(path, headers={"Authorization": header})
            assert answer.status_code == 401


def ask_as(url: str, login: bytes) -> requests.Response:
    header = b"Basic " + base64.b64encode(login)
    return requests.get(url, headers={"Authorization": header}, timeout=120)
