"""Which secret is sent where: one that is kept goes to the address that it was kept for."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any

from airflow_provider_harbor.core.settings.kinds import Item
from airflow_provider_harbor.core.settings.secret_values import Secret, iter_secrets, map_secrets

# By kind: fields that say to whom its secret is shown, and of what it is.
_ADDRESSES = {
    "registries": ("type", "url", "credential/type", "credential/access_key"),
    "scanners": ("url", "auth"),
    "preheat-instances": ("endpoint", "auth_mode"),
}
# Kinds that are not written to another address without their secret: Harbor would keep the old one.
KEEP_SECRETS = frozenset(_ADDRESSES)
# By kind: what says which server it is, whoever logs in there.
_SERVERS = {
    "registries": ("type", "url"),
    "scanners": ("url",),
    "preheat-instances": ("vendor", "endpoint"),
}
# Kinds of the system on which others hang by name.
HELD = tuple(_SERVERS)
# Of the configurations: each secret, with the address to which Harbor sends it.
CONFIGURED: Mapping[str, str] = {
    "ldap_search_password": "ldap_url",
    "oidc_client_secret": "oidc_endpoint",
    "uaa_client_secret": "uaa_endpoint",
}
WRITTEN_AGAIN = "secret given: written again, since nobody can tell which one is there"
_LACKING = object()


def is_elsewhere(kind: str, item: Item, before: Item) -> bool:
    """Tell whether an item is of another server than what has its name there."""
    names = _SERVERS.get(kind, ())
    return any(_field(item, name) != _field(before, name) for name in names)


def moved_secrets(wanted: Item, there: Item) -> list[str]:
    """Return which secrets of the configurations would be sent elsewhere than they were.

    So Harbor does with one that it has, where only the address changes. It shows none of them but
    one, so that one may be there wherever there is an address.

    Args:
        wanted: The configurations, with the secrets that are known.
        there: What they are there.
    """
    found = []
    for name, address in CONFIGURED.items():
        secret, before = wanted.get(name), there.get(name)
        is_known = isinstance(secret, Secret) and secret.text
        may_be = isinstance(before, Secret) if name in there else bool(there.get(address))
        old, new = _field(there, address), _field(wanted, address)
        if may_be and new and old != new and not is_known:
            found.append(name)
    return found


@dataclass(frozen=True, slots=True)
class Settled:
    """An item in which each secret is one that is known, or is that which is there.

    Attributes:
        item: It, without the secrets that nobody knows.
        lacking: The ways to those, see `settings.secret_values.iter_secrets`.
        is_unsure: Whether it has a secret with its text where nobody can tell what is there.
    """

    item: Item
    lacking: tuple[str, ...]
    is_unsure: bool


def settle(kind: str, item: Item, before: Item | None) -> Settled:
    """Return an item with what is there for each secret that is not known.

    Only a secret for the same address: one for another would be told to whom it is not meant for.
    A webhook that is written without its header would lose it, so that what can be read is sent.
    """
    there = {_home(kind, before or {}, path): each for path, each in iter_secrets(before or {})}
    lacking: list[str] = []
    is_unsure = False

    def settled(path: str, secret: Secret) -> Any:
        nonlocal is_unsure
        old = there.get(_home(kind, item, path))
        if secret.text:
            is_unsure = is_unsure or (old is not None and not old.text)
            return secret
        if old is not None and old.around == secret.around:
            return old
        lacking.append(path)
        return _LACKING

    found: Item = _without_lacking(map_secrets(item, settled))
    return Settled(found, tuple(lacking), is_unsure)


def _without_lacking(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _without_lacking(each) for k, each in value.items() if each is not _LACKING}
    if isinstance(value, list):
        return [_without_lacking(each) for each in value]
    return value


def _home(kind: str, item: Item, path: str) -> Hashable:
    """Return what a secret is of: equal where it may stay."""
    if kind == "webhooks" and path.startswith("targets/"):
        _, number, *rest = path.split("/")
        homes = [_of_target(target) for target in item["targets"]]
        home = homes[int(number)]
        # Two may go to one address, with a header each.
        return (*rest, home, homes[: int(number)].count(home))
    return (path, *(_field(item, name) for name in _ADDRESSES.get(kind, ())))


def _of_target(target: Item) -> Hashable:
    return (str(target.get("type", "")), str(target.get("address", "")))


def _field(item: Any, path: str) -> str:
    for name in path.split("/"):
        item = item.get(name) if isinstance(item, dict) else None
    return str(item or "").rstrip("/")
