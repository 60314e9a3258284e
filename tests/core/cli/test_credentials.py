from __future__ import annotations

import base64
import json
import stat
from pathlib import Path

import pytest

from airflow_provider_harbor.core.cli.credentials import NOBODY, Given, credentials_for
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
        (json.dumps({"credHelpers": {HOST: "../../tmp/x"}}), "not the name of a credential helper"),
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


# -- passwords in files


def write_password(environ, text: str = f"{SECRET}\n", mode: int = 0o600) -> str:
    path = Path(environ["DOCKER_CONFIG"], "password")
    path.write_text(text)
    path.chmod(mode)
    return str(path)


@pytest.mark.parametrize("end", ["", "\n", "\r\n"], ids=["none", "unix", "windows"])
@pytest.mark.parametrize("prefix", ["SOURCE", "DESTINATION", "ADMIN"])
def test_a_variable_names_a_file_with_the_password(environ, prefix, end, caplog):
    environ[f"HARBOR_BACKUP_{prefix}_USER"] = "ann"
    environ[f"HARBOR_BACKUP_{prefix}_PASSWORD_FILE"] = write_password(environ, f" {SECRET} {end}")
    assert credentials_for(URL, prefix, environ) == ("ann", f" {SECRET} ")
    assert caplog.records == []


def test_arguments_come_before_variables(environ):
    environ["HARBOR_BACKUP_SOURCE_USER"] = "robot$other"
    environ["HARBOR_BACKUP_SOURCE_PASSWORD"] = "another"
    given = Given(user="ann", password_file=write_password(environ))
    assert credentials_for(URL, "SOURCE", environ, given) == ("ann", SECRET)
    given = Given(password_file=write_password(environ))
    assert credentials_for(URL, "SOURCE", environ, given) == ("robot$other", SECRET)
    assert credentials_for(URL, "SOURCE", environ, Given(user="ann")) == ("ann", "another")


def test_what_is_lacking_is_told_by_the_names_of_options_and_variables(environ):
    given = Given(password_file=write_password(environ), options="--to-")
    with pytest.raises(HarborConfigurationError) as caught:
        credentials_for(URL, "DESTINATION", environ, given)
    assert str(caught.value) == (
        "--to-password-file is set, but HARBOR_BACKUP_DESTINATION_USER is not. Set it, or give "
        "--to-user"
    )
    with pytest.raises(HarborConfigurationError) as caught:
        credentials_for(URL, "SOURCE", environ, Given(user="ann"))
    assert str(caught.value) == (
        "--user is set, but HARBOR_BACKUP_SOURCE_PASSWORD is not. Set it or "
        "HARBOR_BACKUP_SOURCE_PASSWORD_FILE, or give --password-file"
    )


def test_a_password_and_a_file_of_one_are_one_too_many(environ):
    environ["HARBOR_BACKUP_SOURCE_USER"] = "ann"
    environ["HARBOR_BACKUP_SOURCE_PASSWORD"] = "another"
    environ["HARBOR_BACKUP_SOURCE_PASSWORD_FILE"] = write_password(environ)
    with pytest.raises(HarborConfigurationError, match="are both set"):
        credentials_for(URL, "SOURCE", environ)


@pytest.mark.parametrize("mode", [0o604, 0o644, 0o640], ids=oct)
def test_a_file_that_everybody_can_read_is_a_warning(environ, mode, caplog):
    given = Given(user="ann", password_file=write_password(environ, mode=mode))
    assert credentials_for(URL, "SOURCE", environ, given) == ("ann", SECRET)
    assert len(caplog.records) == bool(mode & 0o004)
    assert all(given.password_file in record.message for record in caplog.records)
    assert SECRET not in caplog.text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has to hold the password and nothing else"),
        ("\n", "has to hold the password and nothing else"),
        (f"ann\n{SECRET}\n", "has to hold the password and nothing else, in one line"),
        (f"{SECRET}\0", "has to hold the password and nothing else"),
        (SECRET * 10_000, "has to hold the password and nothing else"),
    ],
    ids=["empty", "a line", "two lines", "binary", "endless"],
)
def test_a_file_that_is_no_password_is_an_error_that_shows_nothing_of_it(environ, text, message):
    given = Given(user="ann", password_file=write_password(environ, text))
    with pytest.raises(HarborConfigurationError, match=message) as caught:
        credentials_for(URL, "SOURCE", environ, given)
    assert given.password_file in str(caught.value)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("missing", "No such file"),
        (".", "Is a directory"),
        ("a\0b", "it is not the name of a file"),
    ],
)
def test_a_password_file_that_cannot_be_read_is_an_error(environ, tmp_path, name, why):
    given = Given(user="ann", password_file=str(tmp_path / name))
    with pytest.raises(HarborConfigurationError, match=f"^--password-file: .*{why}"):
        credentials_for(URL, "SOURCE", environ, given)


def test_the_mark_that_editors_write_before_a_text_is_no_part_of_a_password(environ):
    given = Given(user="ann", password_file=write_password(environ, "\ufeffpw\r\n"))
    assert credentials_for(URL, "SOURCE", environ, given)[1] == "pw"
