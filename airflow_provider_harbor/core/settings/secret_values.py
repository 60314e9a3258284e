"""Secrets in settings: what is one, what is known of it, and whether two are the same."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

# What Harbor shows in place of a secret. Never to be sent back: Harbor takes it for the new secret.
MASK = "*****"
# Names of what may be a secret, where a newer Harbor has a field that is not known here.
_SECRETIVE = re.compile(
    r"secret|passw|pass_?phrase|pwd|token|credential|auth_info|auth_?header|authoriz|cookie|key"
    r"|(^|_)headers?$",
    re.IGNORECASE,
)
# Names that sound so, and are known to be of nothing secret.
_HARMLESS = frozenset({
    "access_key",  # the name of a login at a registry
    "http_authproxy_tokenreview_endpoint", "robot_token_duration", "token_expiration",
})  # fmt: skip
# What tells an item from others is no secret, and must not become one.
_NAMES = frozenset({"name", "username", "namespace", "pattern", "cve_id", "type", "ldap_group_dn"})
# The password in a URL that has a login. Source: RFC 3986, 3.2.1.
_URL_PASSWORD = re.compile(
    r"([a-z][a-z0-9+.-]{0,30}://[^\s/?#@:\"'<>]*:)([^\s/?#\"'<>]+)(?=@)", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Secret:
    """A secret that is there, with its text where that is known, or sealed.

    As a text, and in errors, it shows nothing. Two of which one is only known to be there count as
    equal, since nobody can tell; see `is_same` for others that cannot be compared.

    Attributes:
        text: It; empty where it is not known.
        sealed: It, sealed; empty where only its presence was kept.
        key: What tells the key with which it is sealed, and the place for which, from other ones,
            and nothing of it.
        around: Where it is a text with a secret in it, such as a URL with a login: that text, with
            a mask in place of the secret; empty where all of it is one.
    """

    text: str = field(default="", repr=False)
    sealed: str = field(default="", repr=False)
    key: str = field(default="", repr=False)
    around: str = ""

    def __str__(self) -> str:
        return self.around or "a secret"


def is_same(one: Any, other: Any, *, if_unknown: bool = False) -> bool:
    """Tell whether two values are the same.

    Args:
        one: A value.
        other: Another one.
        if_unknown: What is said of two secrets that are both kept, and cannot be compared: sealed
            with two keys, or for two places, or one of them sealed and the other one not.
    """
    if isinstance(one, Secret) and isinstance(other, Secret):
        same = _is_same_secret(one, other)
        return if_unknown if same is None else same
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(
            is_same(one[key], other[key], if_unknown=if_unknown) for key in one
        )
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(
            is_same(*pair, if_unknown=if_unknown) for pair in zip(one, other, strict=True)
        )
    return type(one) is type(other) and bool(one == other)


def _is_same_secret(one: Secret, other: Secret) -> bool | None:
    """Tell whether two secrets are the same; None where that cannot be told of what is kept."""
    if one.around != other.around:
        return False
    if one.text and other.text:
        return one.text == other.text
    if one.sealed and other.sealed and one.key == other.key:
        return one.sealed == other.sealed
    if (one.text or one.sealed) and (other.text or other.sealed):
        return None
    return True


def iter_secrets(value: Any, path: str = "") -> Iterable[tuple[str, Secret]]:
    """Yield each secret in a value, with the way to it, such as `targets/0/auth_header`."""
    if isinstance(value, Secret):
        yield path, value
    elif isinstance(value, dict):
        for key, each in value.items():
            yield from iter_secrets(each, f"{path}/{key}" if path else str(key))
    elif isinstance(value, list):
        for number, each in enumerate(value):
            yield from iter_secrets(each, f"{path}/{number}" if path else str(number))


def map_secrets(value: Any, change: Callable[[str, Secret], Any], path: str = "") -> Any:
    """Return a value with each secret replaced by what a function makes of it and its path."""
    if isinstance(value, Secret):
        return change(path, value)
    if isinstance(value, dict):
        return {
            key: map_secrets(each, change, f"{path}/{key}" if path else str(key))
            for key, each in value.items()
        }
    if isinstance(value, list):
        return [
            map_secrets(each, change, f"{path}/{number}" if path else str(number))
            for number, each in enumerate(value)
        ]
    return value


def guarded(key: str, value: Any) -> Any:
    """Return a value with the secrets in it as such, by the names of the fields."""
    if value is None or isinstance(value, (bool, Secret)):
        return value
    # The one of a registry has fields, of which some are secret.
    has_fields = key == "credential" and isinstance(value, Mapping)
    if _SECRETIVE.search(key) and key not in _HARMLESS and not has_fields:
        return secret_of(value)
    if isinstance(value, Mapping):
        return {name: guarded(str(name), each) for name, each in value.items()}
    if isinstance(value, list):
        return [guarded("", each) for each in value]
    if isinstance(value, str) and key not in _NAMES:
        return _without_passwords(value)
    return value


def _without_passwords(text: str) -> str | Secret:
    """Return a text as a secret where it has a URL with a password, else as it is."""
    passwords = url_passwords(text)
    if not passwords:
        return text
    around = _URL_PASSWORD.sub(rf"\g<1>{MASK}", text)
    # Where Harbor itself shows a mask nobody knows the password.
    return Secret("" if MASK in passwords else text, around=around)


def url_passwords(text: str) -> list[str]:
    """Return the passwords of the URLs in a text."""
    return [found[2] for found in _URL_PASSWORD.finditer(text)]


def secret_of(value: Any) -> Secret | None:
    """Return a value as a secret; None where there is none, and one without a text for a mask."""
    if value in ("", {}, [], None):
        return None
    if value == MASK:
        return Secret()
    return Secret(value if isinstance(value, str) else as_text(value))


def as_text(value: Any) -> str:
    """Return a secret that is an object as one text, the same whatever its order."""
    return json.dumps(value, sort_keys=True)
