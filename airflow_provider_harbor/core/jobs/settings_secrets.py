"""Secrets that an import is given: what no export has, or has sealed only.

A JSON object, by what they are of, as the plan of an import names it:

    {"users/ann": "...", "robots/ci": "...", "team/robots/ci": "...", "registries/upstream": "...",
     "scanners/second": "...", "preheat-instances/swarm": {"username": "...", "password": "..."},
     "configurations/oidc_client_secret": "...", "team/webhooks/all events": "Bearer ..."}
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from airflow_provider_harbor.core.exceptions import HarborConfigurationError
from airflow_provider_harbor.core.harbor.settings_form import MASK, Secret
from airflow_provider_harbor.core.harbor.settings_kinds import SYSTEM, Item

# Never shown by a Harbor, so that no export knows whether there is one.
WRITE_ONLY = ("ldap_search_password", "oidc_client_secret")
# Kinds of which something may be secret.
HAVE_SECRETS = frozenset({
    "configurations", "users", "robots", "registries", "scanners", "preheat-instances", "webhooks",
})  # fmt: skip


def secret_key(scope: str, kind: str, key: str) -> str:
    """Return what a secret is called in a file of secrets."""
    return "/".join(part for part in (scope, kind, key) if part != SYSTEM)


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
            text = json.dumps(value) if isinstance(value, dict) and value else value
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
        names = (*item, *WRITE_ONLY) if kind == "configurations" else (key,)
        self._taken.update(secret_key(scope, kind, name) for name in names)

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
        if kind == "registries" and item.get("credential"):
            credential = dict(item["credential"])
            self._put(credential, "access_secret", scope, kind, key)
            return {**item, "credential": credential}
        if kind == "webhooks":
            targets = [dict(target) for target in item.get("targets") or ()]
            for target in targets:
                self._put(target, "auth_header", scope, kind, key)
            return {**item, "targets": targets}
        if kind == "configurations":
            filled = dict(item)
            for name, value in item.items():
                if isinstance(value, Secret):
                    self._put(filled, name, scope, kind, name)
            return filled
        filled = dict(item)
        for name in ("access_credential", "auth_info"):
            self._put(filled, name, scope, kind, key)
        return filled

    def _put(self, item: Item, name: str, scope: str, kind: str, key: str) -> None:
        if isinstance(item.get(name), Secret) and (text := self.of(scope, kind, key)):
            item[name] = Secret(text)

    def renamed(self, scopes: Mapping[str, str]) -> GivenSecrets:
        """Return the secrets of projects by the names that those are to have.

        They may be given by the old ones, too; a name that another project takes is that one's.
        """
        taken = set(scopes.values())
        found: dict[str, str] = {}
        for key, text in self._texts.items():
            project, slash, rest = key.partition("/")
            if slash and project in scopes and project not in taken:
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
    except (OSError, ValueError) as err:
        what = getattr(err, "strerror", "") or "it is no text"
        raise HarborConfigurationError(f"the file of secrets {path}: {what}") from None
    return parse_secrets(text, f"the file of secrets {path}")


def parse_secrets(text: str, where: str) -> GivenSecrets:
    """Return the secrets of a text; `where` says where it is from.

    Raises:
        HarborConfigurationError: It holds something else.
    """
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        # Not what it holds.
        raise HarborConfigurationError(f"{where} is no JSON") from None
    if not isinstance(data, dict):
        raise HarborConfigurationError(f"{where} is no JSON object of secrets by their keys")
    return GivenSecrets(data)
