"""Who logs in where, for the command line: what comes first in this list counts.

    --user, --password-file                                    never a password as an argument
    HARBOR_BACKUP_SOURCE_USER, HARBOR_BACKUP_SOURCE_PASSWORD   or _PASSWORD_FILE; and the same with
                                                               DESTINATION and ADMIN
    $DOCKER_CONFIG/config.json, else ~/.docker/config.json     what `docker login` wrote

No log and no error holds a password or any part of what could be one.

Source of the file's format: docker/cli cli/config/configfile/file.go; of the helpers' protocol:
docker/docker-credential-helpers README.md.
"""

from __future__ import annotations

import base64
import json
import logging
import os
import re
import stat
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from airflow_provider_harbor.core.exceptions import HarborConfigurationError
from airflow_provider_harbor.core.http.urls import normalise_url

log = logging.getLogger(__name__)

Credentials = tuple[str, str]
Prefix = Literal["SOURCE", "DESTINATION", "ADMIN"]
NOBODY: Credentials = ("", "")

# Longer than any password, and short enough to read whatever a name leads to.
_MOST_PASSWORD_CHARACTERS = 65_536
_HELPER_TIMEOUT_SECONDS = 60
# Printed by a helper that simply has none. Source: docker-credential-helpers credentials/error.go.
_NOT_FOUND = "credentials not found in native keychain"
# The name that a helper gives an identity token. Source: docker/cli credentials/native_store.go.
_TOKEN_USER = "<token>"  # noqa: S105


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What the arguments say of a login.

    Attributes:
        user: Name of a user or robot; empty where it is not said.
        password_file: Path of a file that has the password; empty where it is not said.
        options: How the names of these options begin: `--`, or `--to-` for another server.
    """

    user: str = ""
    password_file: str = ""
    options: str = "--"


def credentials_for(
    url: str,
    prefix: Prefix,
    environ: Mapping[str, str] = os.environ,
    given: Given | None = None,
) -> Credentials:
    """Return user and password for a registry; two empty texts where none are known.

    Args:
        url: Of the registry, see `urls.normalise_url`.
        prefix: Which variables are meant.
        environ: The environment; a credential helper is found and run with it.
        given: What the arguments say.

    Raises:
        HarborConfigurationError: Half a pair is set, a file cannot be read or used, or docker has
            only a token where a password is needed.
    """
    given = given or Given()
    names = _variables(prefix)
    user, user_from = given.user, f"{given.options}user"
    if not user:
        user, user_from = environ.get(names.user, ""), names.user
    password, password_from = _find_password(given, names, environ)
    if user and password:
        return user, password
    if user:
        raise HarborConfigurationError(
            f"{user_from} is set, but {names.password} is not. Set it or {names.password_file}, "
            f"or give {given.options}password-file"
        )
    if password:
        raise HarborConfigurationError(
            f"{password_from} is set, but {names.user} is not. Set it, or give {given.options}user"
        )
    path = _docker_path(environ)
    try:
        return _from_docker(_read_json(path), _names_of(url), environ)
    except HarborConfigurationError as err:
        raise HarborConfigurationError(
            f"{path}: {err}. Correct it, or set {names.user} and {names.password}"
        ) from None


def login_advice(url: str, prefix: Prefix) -> str:
    """Return how a login is given for a registry, in a sentence."""
    names = _variables(prefix)
    return (
        f"Set {names.user} and {names.password} (or {names.password_file}), or run: "
        f"docker login {_names_of(url)[0]}"
    )


@dataclass(frozen=True, slots=True)
class _Variables:
    user: str
    password: str
    password_file: str


def _variables(prefix: Prefix) -> _Variables:
    begin = f"HARBOR_BACKUP_{prefix}"
    return _Variables(f"{begin}_USER", f"{begin}_PASSWORD", f"{begin}_PASSWORD_FILE")


def _find_password(given: Given, names: _Variables, environ: Mapping[str, str]) -> tuple[str, str]:
    """Return the password, and the name of what said it; two empty texts where nothing did."""
    if given.password_file:
        option = f"{given.options}password-file"
        return _read_password(given.password_file, option), option
    password, path = environ.get(names.password, ""), environ.get(names.password_file, "")
    if password and path:
        raise HarborConfigurationError(
            f"{names.password} and {names.password_file} are both set. Set one of them"
        )
    if path:
        return _read_password(path, names.password_file), names.password_file
    return password, names.password


def _read_password(name: str, said_by: str) -> str:
    """Return what a file has, without the end of its line; warn where everybody can read it."""
    path = Path(name)
    try:
        # Editors of Windows write a mark before the text, which is no part of the password.
        with path.open(encoding="utf-8-sig") as file:
            is_open_to_all = os.fstat(file.fileno()).st_mode & stat.S_IROTH
            text = file.read(_MOST_PASSWORD_CHARACTERS + 1).rstrip("\r\n")
    except UnicodeError:
        raise HarborConfigurationError(f"{said_by}: {path} is not a text") from None
    except (OSError, ValueError) as err:
        why = getattr(err, "strerror", "") or "it is not the name of a file"
        raise HarborConfigurationError(f"{said_by}: {path} cannot be read: {why}") from None
    if not text or len(text) > _MOST_PASSWORD_CHARACTERS or set(text) & set("\r\n\0"):
        raise HarborConfigurationError(
            f"{said_by}: {path} has to hold the password and nothing else, in one line"
        )
    if is_open_to_all:
        log.warning("Everybody on this machine can read the password in %s: chmod 600 it", path)
    return text


def _docker_path(environ: Mapping[str, str]) -> Path:
    folder = environ.get("DOCKER_CONFIG")
    home = environ.get("HOME")
    if folder:
        return Path(folder) / "config.json"
    return (Path(home) if home else Path.home()) / ".docker" / "config.json"


def _read_json(path: Path) -> dict[str, Any]:
    """Return the file's object; an empty one where there is no file."""
    try:
        data = json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as err:
        raise HarborConfigurationError(f"cannot be read: {err.strerror}") from None
    except ValueError:
        raise HarborConfigurationError("is not JSON") from None
    if not isinstance(data, dict):
        raise HarborConfigurationError("is not a JSON object")
    return data


def _names_of(url: str) -> tuple[str, ...]:
    """Return how docker may call a registry: host and port, the default port also written out."""
    scheme, _, host = normalise_url(url).partition("://")
    if re.search(r":\d+$", host):
        return (host,)
    return (host, f"{host}:{443 if scheme == 'https' else 80}")


def _host_of(key: str) -> str:
    """Return host and port of a key of docker's file; empty for a key that is of a part of it.

    Keys are `host:port`, `https://host:port` or, from older days, `https://host:port/v1/`; podman
    also writes `host:port/namespace`, which is no login for the whole registry.
    """
    found = re.fullmatch(r"(?:https?://)?([^/]+)(?:/|/v[12]/?)?", key.strip())
    return found.group(1).lower() if found else ""


def _section(config: Mapping[str, Any], name: str) -> dict[str, Any]:
    value = config.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise HarborConfigurationError(f"{name!r} is not an object")
    return value


def _from_docker(
    config: Mapping[str, Any], hosts: tuple[str, ...], environ: Mapping[str, str]
) -> Credentials:
    """Look where docker looks: the host's own helper, the helper for all, the file itself."""
    for helper, server in _helpers(config, hosts):
        found = _ask_helper(helper, server, environ)
        if found != NOBODY:
            return found
    for key, entry in _section(config, "auths").items():
        if _host_of(key) in hosts and isinstance(entry, dict):
            found = _from_entry(key, entry)
            if found != NOBODY:
                return found
    return NOBODY


def _helpers(config: Mapping[str, Any], hosts: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """Yield each helper to ask, and for what."""
    for key, helper in _section(config, "credHelpers").items():
        if _host_of(key) in hosts:
            yield str(helper), key
            return
    store = config.get("credsStore")
    if store:
        # `docker login` stores under the address as it was typed.
        logged_in = [key for key in _section(config, "auths") if _host_of(key) in hosts]
        for server in dict.fromkeys([*logged_in, hosts[0], f"https://{hosts[0]}"]):
            yield str(store), server


def _ask_helper(name: str, server: str, environ: Mapping[str, str]) -> Credentials:
    program = f"docker-credential-{name}"
    if not re.fullmatch(r"[\w.-]+", name):
        raise HarborConfigurationError(f"{name!r} is not the name of a credential helper")
    try:
        answer = subprocess.run(  # noqa: S603  (the person's own configuration names it)
            [program, "get"],
            input=server,
            capture_output=True,
            text=True,
            check=False,
            timeout=_HELPER_TIMEOUT_SECONDS,
            env=dict(environ),
        )
    except OSError as err:
        raise HarborConfigurationError(f"{program} cannot be run: {err.strerror}") from None
    except subprocess.TimeoutExpired:
        raise HarborConfigurationError(
            f"{program} gave no answer in {_HELPER_TIMEOUT_SECONDS} seconds"
        ) from None
    if answer.returncode != 0:
        said = " ".join((answer.stdout.strip() or answer.stderr.strip()).split())
        if _NOT_FOUND in said:
            return NOBODY
        raise HarborConfigurationError(
            f"{program} failed for {server} with code {answer.returncode}: {said[:200]}"
        )
    return _from_helper(program, server, answer.stdout)


def _from_helper(program: str, server: str, text: str) -> Credentials:
    try:
        data = json.loads(text)
        user, secret = str(data["Username"]), str(data["Secret"])
    except (ValueError, KeyError, TypeError):
        raise HarborConfigurationError(
            f"{program} answered for {server} with something else than a user and a secret"
        ) from None
    if user == _TOKEN_USER:
        raise _only_a_token(server)
    return user, secret


def _from_entry(key: str, entry: Mapping[str, Any]) -> Credentials:
    """Read one entry of `auths`; one without anything only marks that a helper has it."""
    if entry.get("auth"):
        try:
            plain = base64.b64decode(str(entry["auth"]), validate=True).decode()
            user, colon, password = plain.partition(":")
            if not colon:
                raise ValueError
        except ValueError:
            raise HarborConfigurationError(
                f"'auth' of {key!r} is not the base64 of user:password"
            ) from None
        # Docker pads with NUL. Source: docker/cli configfile/file.go, decodeAuth.
        password = password.strip("\0")
    else:
        user, password = str(entry.get("username") or ""), str(entry.get("password") or "")
    if user and password:
        return user, password
    if entry.get("identitytoken") or entry.get("registrytoken"):
        raise _only_a_token(key)
    return NOBODY


def _only_a_token(server: str) -> HarborConfigurationError:
    return HarborConfigurationError(
        f"it has only a token for {server}, which a backup cannot log in with: a user (or robot) "
        "and a password are needed"
    )
