"""Secrets that an import is given: what no export has, or has sealed only.

A JSON object, by what they are of, as the plan of an import names it:

    {"users/ann": "...", "robots/ci": "...", "team/robots/ci": "...", "registries/upstream": "...",
     "scanners/second": "...", "preheat-instances/swarm": {"username": "...", "password": "..."},
     "configurations/oidc_client_secret": "...", "team/webhooks/all events": "Bearer ..."}

A webhook with several targets that have a header has a secret for each, by its address:
`team/webhooks/all events/https://hooks.example.com/harbor`.
"""

from __future__ import annotations

import json
import logging
import os
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from airflow_provider_harbor.core.exceptions import HarborConfigurationError
from airflow_provider_harbor.core.settings.kinds import PROJECT_KINDS, SYSTEM, Item
from airflow_provider_harbor.core.settings.secret_values import (
    MASK,
    Secret,
    as_text,
    iter_secrets,
    map_secrets,
)
from airflow_provider_harbor.core.texts import one_line

log = logging.getLogger(__name__)

# Never shown by a Harbor, so that no export knows whether there is one.
WRITE_ONLY = ("ldap_search_password", "oidc_client_secret")
# Kinds of which one may be given whether it is there or not.
_HAVE_SECRETS = frozenset({
    "configurations", "users", "robots", "registries", "scanners", "preheat-instances", "webhooks",
})  # fmt: skip
_OF_PROJECTS = frozenset(kind.name for kind in PROJECT_KINDS)

# Ways to the secret of an item, which is given by the key of that; another one by its way, too.
_HEADER = re.compile(r"targets/[0-9]+/auth_header")
_PLACES = frozenset({"credential/access_secret", "access_credential", "auth_info"})


def _in_order(text: str) -> str:
    """Return an object, given as a text, as Harbor's own is read: in the order of its keys."""
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return as_text(data) if isinstance(data, dict) else text


def secret_key(scope: str, kind: str, key: str) -> str:
    """Return what a secret is called in a file of secrets."""
    return "/".join(part for part in (scope, kind, key) if part != SYSTEM)


def secret_keys(scope: str, kind: str, key: str, item: Item) -> dict[str, str]:
    """Return what the secrets of an item are called in a file of secrets, by the way to each."""
    paths = [path for path, _ in iter_secrets(item)]
    headers = [path for path in paths if _HEADER.fullmatch(path)]
    found = {}
    for path in paths:
        if path in _PLACES or headers == [path]:
            name = key
        elif path in headers:
            # One of them for all would be told to whom it is not meant for.
            target = item["targets"][int(path.split("/")[1])]
            name = f"{key}/{target.get('address', '')}"
        else:
            name = "/".join(filter(None, (key, path)))
        found[path] = secret_key(scope, kind, name)
    return found


class GivenSecrets:
    """The secrets that an import is given, and which of them may be of use.

    Args:
        secrets: By their keys.

    Raises:
        HarborConfigurationError: One is no text, nor an object; or is empty, or a mask.
    """

    def __init__(self, secrets: Mapping[str, Any] | None = None) -> None:
        self._texts: dict[str, str] = {}
        self._taken: set[str] = set()
        for key, value in (secrets or {}).items():
            text = as_text(value) if isinstance(value, dict) and value else value
            if not isinstance(text, str) or not text or text == MASK:
                raise HarborConfigurationError(
                    f"the secret {key!r} is no text, is empty, or a mask"
                )
            self._texts[key] = text

    def __repr__(self) -> str:
        return f"GivenSecrets({len(self._texts)})"

    def of(self, scope: str, kind: str, key: str) -> str:
        """Return a secret; empty where it is not given."""
        return self._texts.get(secret_key(scope, kind, key), "")

    def expect(self, scope: str, kind: str, key: str, item: Item) -> None:
        """Note that a secret may be given of an item, whether it is needed or not."""
        keys = set(secret_keys(scope, kind, key, item).values())
        if kind == "configurations":
            keys = {secret_key(scope, kind, name) for name in (*item, *WRITE_ONLY)}
        if not keys and kind in _HAVE_SECRETS:
            keys = {secret_key(scope, kind, key)}
        self._taken.update(keys)

    @property
    def unused(self) -> list[str]:
        """The keys of those that are of nothing: probably mistyped."""
        return sorted(self._texts.keys() - self._taken)

    @property
    def texts(self) -> list[str]:
        """All of them, so that no message shows one."""
        return list(self._texts.values())

    def fill(self, scope: str, kind: str, key: str, item: Item) -> Item:
        """Return an item with the secrets that are given in their places."""
        keys = secret_keys(scope, kind, key, item)

        def filled(path: str, secret: Secret) -> Secret:
            text = self._texts.get(keys[path], "")
            if text and path == "auth_info":
                text = _in_order(text)
            return Secret(text) if text else secret

        found: Item = map_secrets(item, filled)
        return found

    def renamed(self, scopes: Mapping[str, str]) -> GivenSecrets:
        """Return the secrets of projects by the names that those are to have.

        They may be given by the old ones, too; a name that another project takes is that one's.
        """
        taken = set(scopes.values())
        found: dict[str, str] = {}
        for key, text in self._texts.items():
            project, _, rest = key.partition("/")
            # A project may be called like a kind of the system: `users/ann` is of none.
            is_of_project = rest.partition("/")[1] and rest.partition("/")[0] in _OF_PROJECTS
            if is_of_project and project in scopes and project not in taken:
                found.setdefault(f"{scopes[project]}/{rest}", text)
            else:
                found[key] = text
        return GivenSecrets(found)


def read_secrets(path: str) -> GivenSecrets:
    """Return the secrets of a file.

    Raises:
        HarborConfigurationError: It cannot be read, or holds something else.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
        if os.stat(path).st_mode & 0o077:
            log.warning("Others than its owner may read or write the file of secrets %s", path)
    except (OSError, ValueError) as err:
        what = getattr(err, "strerror", "") or "it is no text"
        raise HarborConfigurationError(f"the file of secrets {path}: {what}") from None
    return parse_secrets(text, f"the file of secrets {path}")


class _TwiceError(ValueError):
    pass


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object; of two values of a key nobody could tell which one is meant."""
    for key, number in Counter(key for key, _ in pairs).items():
        if number > 1:
            raise _TwiceError(key)
    return dict(pairs)


def parse_secrets(text: str, where: str) -> GivenSecrets:
    """Return the secrets of a text; `where` says where it is from.

    Raises:
        HarborConfigurationError: It holds something else.
    """
    try:
        data = json.loads(text, object_pairs_hook=_each_once)
    except _TwiceError as err:
        raise HarborConfigurationError(
            f"{where} has the key {one_line(str(err), 100)} twice. Leave one of them out"
        ) from None
    except (ValueError, RecursionError):
        # Not what it holds.
        raise HarborConfigurationError(f"{where} is no JSON") from None
    if not isinstance(data, dict):
        raise HarborConfigurationError(f"{where} is no JSON object of secrets by their keys")
    return GivenSecrets(data)
