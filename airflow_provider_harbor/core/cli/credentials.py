"""Who logs in where, for the command line: the environment first, else docker's configuration.

    HARBOR_BACKUP_SOURCE_USER, HARBOR_BACKUP_SOURCE_PASSWORD              and the same with
    HARBOR_BACKUP_DESTINATION_USER, HARBOR_BACKUP_DESTINATION_PASSWORD    DESTINATION
    $DOCKER_CONFIG/config.json, else ~/.docker/config.json                what `docker login` wrote

Nothing here is logged, and no error holds a password or any part of what could be one.

Source of the file's format: docker/cli cli/config/configfile/file.go; of the helpers' protocol:
docker/docker-credential-helpers README.md.
"""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from airflow_provider_harbor.core.exceptions import HarborConfigurationError
from airflow_provider_harbor.core.http.urls import normalise_url

Credentials = tuple[str, str]
Prefix = Literal["SOURCE", "DESTINATION", "ADMIN"]
NOBODY: Credentials = ("", "")

_HELPER_TIMEOUT_SECONDS = 60
# Printed by a helper that simply has none. Source: docker-credential-helpers credentials/error.go.
_NOT_FOUND = "credentials not found in native keychain"
# The name that a helper gives an identity token. Source: docker/cli credentials/native_store.go.
_TOKEN_USER = "<token>"  # noqa: S105


def credentials_for(
    url: str,
    prefix: Prefix,
    environ: Mapping[str, str] = os.environ,
) -> Credentials:
    """Return user and password for a registry; two empty texts where none are known.

    Args:
        url: Of the registry, see `urls.normalise_url`.
        prefix: Which pair of variables is meant.
        environ: The environment; a credential helper is found and run with it.

    Raises:
        HarborConfigurationError: Half a pair is set, docker's file cannot be read or used, or it
            has only a token where a password is needed.
    """
    names = (f"HARBOR_BACKUP_{prefix}_USER", f"HARBOR_BACKUP_{prefix}_PASSWORD")
    user, password = (environ.get(name, "") for name in names)
    if user and password:
        return user, password
    if user or password:
        there, missing = names if user else reversed(names)
        raise HarborConfigurationError(f"{there} is set, but {missing} is not: set both or none")
    path = _docker_path(environ)
    try:
        return _from_docker(_read_json(path), _names_of(url), environ)
    except HarborConfigurationError as err:
        raise HarborConfigurationError(
            f"{path}: {err}. Mend it, or set {names[0]} and {names[1]}"
        ) from None


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
        raise HarborConfigurationError(f"{name!r} is no name of a credential helper")
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
