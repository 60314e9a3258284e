from __future__ import annotations

import base64
import json
import stat
from pathlib import Path

import pytest

from airflow_provider_harbor.core.cli.credentials import NOBODY, credentials_for
from airflow_provider_harbor.core.exceptions import HarborConfigurationError

URL = "https://harbor.example.com:8443"
HOST = "harbor.example.com:8443"
SECRET = "Kx-very/secret:with=colon"


def encode(user: str, password: str) -> str:
    return base64.b64encode(f"{user}:{password}".encode()).decode()


@pytest.fixture
def environ(tmp_path):
    """An environment with an empty docker configuration, and a PATH for helpers."""
    (tmp_path / "bin").mkdir()
    return {
        "DOCKER_CONFIG": str(tmp_path),
        "HOME": str(tmp_path / "home"),
        "PATH": f"{tmp_path / 'bin'}:/usr/bin:/bin",
    }


def configure(environ, config) -> None:
    Path(environ["DOCKER_CONFIG"], "config.json").write_text(json.dumps(config))


def install_helper(environ, name: str, script: str) -> Path:
    """Install a credential helper; it notes what it was asked in a file, whose path is returned."""
    folder = Path(environ["DOCKER_CONFIG"])
    asked = folder / "asked"
    helper = folder / "bin" / f"docker-credential-{name}"
    helper.write_text(
        f'#!/bin/sh\nread -r server\necho "$1 $server" >> {asked}\n{script}\n',
    )
    helper.chmod(helper.stat().st_mode | stat.S_IXUSR)
    return asked


def answer(user: str, secret: str) -> str:
    document = json.dumps({"ServerURL": HOST, "Username": user, "Secret": secret})
    return f"cat <<'END'\n{document}\nEND"


NOT_FOUND = "echo 'credentials not found in native keychain'; exit 1"


def test_nothing_is_known_without_environment_and_file(environ):
    assert credentials_for(URL, "SOURCE", environ) == NOBODY


@pytest.mark.parametrize("prefix", ["SOURCE", "DESTINATION"])
def test_environment_comes_first(environ, prefix):
    configure(environ, {"auths": {HOST: {"auth": encode("file", "file")}}})
    environ[f"HARBOR_BACKUP_{prefix}_USER"] = "robot$backup"
    environ[f"HARBOR_BACKUP_{prefix}_PASSWORD"] = SECRET
    other = "DESTINATION" if prefix == "SOURCE" else "SOURCE"
    assert credentials_for(URL, prefix, environ) == ("robot$backup", SECRET)
    assert credentials_for(URL, other, environ) == ("file", "file")


@pytest.mark.parametrize(
    ("there", "missing"), [("USER", "PASSWORD"), ("PASSWORD", "USER")], ids=["user", "password"]
)
def test_half_a_pair_is_refused(environ, there, missing):
    environ[f"HARBOR_BACKUP_SOURCE_{there}"] = SECRET
    with pytest.raises(HarborConfigurationError, match=f"SOURCE_{missing} is not") as caught:
        credentials_for(URL, "SOURCE", environ)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "key"),
    [
        (URL, HOST),
        (URL, f"https://{HOST}"),
        (URL, f"https://{HOST}/"),
        (URL, f"https://{HOST}/v1/"),
        (URL, f"{HOST}/v2/"),
        (URL, HOST.upper()),
        (HOST, HOST),
        (URL + "/harbor/projects", HOST),
        ("https://harbor.example.com", "harbor.example.com"),
        ("https://harbor.example.com", "harbor.example.com:443"),
        ("https://harbor.example.com:443", "https://harbor.example.com"),
        ("http://harbor.example.com", "http://harbor.example.com:80"),
        ("http://[::1]:5000", "[::1]:5000"),
    ],
)
def test_a_key_is_matched_by_host_and_port(environ, url, key):
    configure(environ, {"auths": {key: {"auth": encode("ann", SECRET)}}})
    assert credentials_for(url, "SOURCE", environ) == ("ann", SECRET)


@pytest.mark.parametrize(
    "key",
    [
        "harbor.example.com",
        "harbor.example.com:443",
        "registry.harbor.example.com:8443",
        "harbor.example.com:8443/library",
        "harbor.example.com:8443.evil.org",
    ],
)
def test_another_registry_is_not_matched(environ, key):
    configure(environ, {"auths": {key: {"auth": encode("ann", SECRET)}}})
    assert credentials_for(URL, "SOURCE", environ) == NOBODY


@pytest.mark.parametrize(
    "entry",
    [
        {"username": "ann", "password": SECRET},
        {"auth": encode("ann", SECRET)},
        {"auth": base64.b64encode(f"ann:{SECRET}\0\0".encode()).decode()},
    ],
    ids=["plain", "base64", "padded"],
)
def test_forms_of_an_entry(environ, entry):
    configure(environ, {"auths": {HOST: entry}})
    assert credentials_for(URL, "SOURCE", environ) == ("ann", SECRET)


@pytest.mark.parametrize("entry", [{}, {"auth": ""}, {"auth": encode("ann", "")}, None])
def test_an_entry_without_a_password_is_none(environ, entry):
    configure(environ, {"auths": {HOST: entry}})
    assert credentials_for(URL, "SOURCE", environ) == NOBODY


def test_the_home_directory_is_the_default(environ, tmp_path):
    del environ["DOCKER_CONFIG"]
    folder = tmp_path / "home" / ".docker"
    folder.mkdir(parents=True)
    config = {"auths": {HOST: {"auth": encode("ann", SECRET)}}}
    (folder / "config.json").write_text(json.dumps(config))
    assert credentials_for(URL, "SOURCE", environ) == ("ann", SECRET)


@pytest.mark.parametrize(
    "entry",
    [
        {"identitytoken": SECRET},
        {"auth": encode("00000000-0000-0000-0000-000000000000", ""), "identitytoken": SECRET},
        {"registrytoken": SECRET},
    ],
    ids=["identity", "identity-with-user", "registry"],
)
def test_a_token_is_refused(environ, entry):
    configure(environ, {"auths": {HOST: entry}})
    with pytest.raises(HarborConfigurationError, match="only a token") as caught:
        credentials_for(URL, "DESTINATION", environ)
    assert "HARBOR_BACKUP_DESTINATION_USER" in str(caught.value)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not JSON"),
        ("[]", "is not a JSON object"),
        ('{"auths": []}', "'auths' is not an object"),
        (json.dumps({"auths": {HOST: {"auth": SECRET}}}), "not the base64"),
        (json.dumps({"auths": {HOST: {"auth": "bm9jb2xvbg=="}}}), "not the base64"),
        (json.dumps({"credHelpers": {HOST: "../../tmp/x"}}), "no name of a credential helper"),
    ],
)
def test_a_damaged_file_is_named_without_its_content(environ, text, message):
    path = Path(environ["DOCKER_CONFIG"], "config.json")
    path.write_text(text)
    with pytest.raises(HarborConfigurationError, match=message) as caught:
        credentials_for(URL, "SOURCE", environ)
    assert str(path) in str(caught.value)
    assert SECRET not in str(caught.value)


def test_a_file_that_cannot_be_read_is_an_error(environ):
    Path(environ["DOCKER_CONFIG"], "config.json").mkdir()
    with pytest.raises(HarborConfigurationError, match="cannot be read: Is a directory"):
        credentials_for(URL, "SOURCE", environ)


def test_a_helper_of_the_host_is_asked_with_its_own_key(environ):
    configure(environ, {"credHelpers": {f"https://{HOST}": "mine"}, "credsStore": "other"})
    asked = install_helper(environ, "mine", answer("ann", SECRET))
    assert credentials_for(URL, "SOURCE", environ) == ("ann", SECRET)
    assert asked.read_text() == f"get https://{HOST}\n"


def test_the_helper_for_all_is_asked_by_host_and_by_url(environ):
    configure(environ, {"credsStore": "all"})
    script = f'[ "$server" = https://{HOST} ] || {{ {NOT_FOUND}; }}\n' + answer("ann", SECRET)
    asked = install_helper(environ, "all", script)
    assert credentials_for(URL, "SOURCE", environ) == ("ann", SECRET)
    assert asked.read_text() == f"get {HOST}\nget https://{HOST}\n"


def test_what_a_helper_does_not_know_is_looked_up_in_the_file(environ):
    configure(environ, {"credsStore": "all", "auths": {HOST: {"auth": encode("ann", SECRET)}}})
    install_helper(environ, "all", NOT_FOUND)
    assert credentials_for(URL, "SOURCE", environ) == ("ann", SECRET)


def test_a_helper_that_knows_nothing_is_no_error(environ):
    configure(environ, {"credsStore": "all"})
    install_helper(environ, "all", NOT_FOUND)
    assert credentials_for(URL, "SOURCE", environ) == NOBODY


@pytest.mark.parametrize(
    ("script", "message"),
    [
        (answer("<token>", SECRET), "only a token"),
        ("echo 'the keyring is locked'; exit 1", "code 1: the keyring is locked"),
        (f"echo {SECRET}", "something else than a user and a secret"),
        (f"echo '[\"{SECRET}\"]'", "something else than a user and a secret"),
    ],
    ids=["token", "fails", "text", "list"],
)
def test_a_helper_that_is_of_no_use_is_an_error(environ, script, message):
    configure(environ, {"credsStore": "all"})
    install_helper(environ, "all", script)
    with pytest.raises(HarborConfigurationError, match=message) as caught:
        credentials_for(URL, "SOURCE", environ)
    assert SECRET not in str(caught.value)


def test_a_helper_that_is_not_installed_is_an_error(environ):
    configure(environ, {"credHelpers": {HOST: "missing"}})
    with pytest.raises(
        HarborConfigurationError, match="docker-credential-missing cannot be run: No such file"
    ):
        credentials_for(URL, "SOURCE", environ)


def test_a_helper_that_hangs_is_an_error(environ, monkeypatch):
    monkeypatch.setattr(
        "airflow_provider_harbor.core.cli.credentials._HELPER_TIMEOUT_SECONDS", 0.2, raising=True
    )
    configure(environ, {"credHelpers": {HOST: "slow"}})
    install_helper(environ, "slow", "exec sleep 30")
    with pytest.raises(HarborConfigurationError, match="gave no answer in"):
        credentials_for(URL, "SOURCE", environ)
