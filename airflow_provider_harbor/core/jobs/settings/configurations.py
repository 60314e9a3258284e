"""What of the configurations cannot be written, or is not, and why."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from airflow_provider_harbor.core.jobs.settings.known import CONFIGURED, moved_secrets
from airflow_provider_harbor.core.jobs.settings.secrets import (
    WRITE_ONLY,
    GivenSecrets,
    secret_key,
)
from airflow_provider_harbor.core.settings.kinds import SYSTEM, Item
from airflow_provider_harbor.core.settings.secret_values import Secret, is_same
from airflow_provider_harbor.core.settings.target import SettingsTarget

# Once set they cannot be emptied over REST, and Harbor refuses to be told so.
_NEVER_EMPTY = ("ldap_base_dn", "ldap_uid", "ldap_url")
_LOGINS = {
    "ldap_search_password": "ldap_",
    "oidc_client_secret": "oidc_",
    "uaa_client_secret": "uaa_",
}
_MOVED = (
    "it is {there} there, and a secret that Harbor may have for that would be sent to {wanted}. "
    "It needs the secret {key}, which is not given; {others} left as they are, too"
)


class Configurations:
    """The limits of a Harbor's configurations, which the login may read.

    Args:
        target: The Harbor.
        given: Secrets.
    """

    def __init__(self, target: SettingsTarget, given: GivenSecrets) -> None:
        self._target = target
        self._given = given

    def is_no_matter(self, key: str, value: Any) -> bool:
        """Tell whether this Harbor has no such configuration, and none of that value is missed."""
        there = self._target.settings.values[SYSTEM, "configurations"]
        return key not in there and _is_nothing(value)

    def why_not(self, key: str, value: Any) -> str:
        """Return why a configuration cannot be set; empty where nothing is known against it."""
        there = self._target.settings.values[SYSTEM, "configurations"]
        if key not in there:
            return "this Harbor has no such configuration"
        if there[key] == value or isinstance(value, Secret):
            return ""
        if key in _NEVER_EMPTY and not value:
            return "" if not there[key] else "Harbor does not take it back once it is set"
        raw = self._target.settings.raws[SYSTEM, "configurations"][""]
        if raw[key].get("editable", True):
            return ""
        if key == "auth_mode":
            return (
                f"it is {there[key]} there, and can be changed only while there is no user but the "
                "administrator"
            )
        return "the deployment sets it (CONFIG_OVERWRITE_JSON)"

    def kept_together(self, wanted: Item) -> Iterator[tuple[str, list[str], str, str]]:
        """Yield what of the configurations is left as it is, since a secret would be sent away.

        All that is of one way to log in: half of it would be of two servers.

        Args:
            wanted: The configurations, with the secrets that are known.

        Yields:
            An address that is not written, all keys that are left with it, why, and the key of the
            secret that is needed.
        """
        there = self._target.settings.values[SYSTEM, "configurations"]
        given = {name: Secret(self._given.of(SYSTEM, "configurations", name)) for name in _LOGINS}
        wanted = wanted | {name: secret for name, secret in given.items() if secret.text}
        for name in moved_secrets(wanted, there):
            address, begin = CONFIGURED[name], _LOGINS[name]
            keys = [key for key in wanted if key.startswith(begin)]
            if str(wanted.get("auth_mode", "")).startswith(begin):
                keys.append("auth_mode")
            others = [k for k in keys if k != address and not is_same(wanted[k], there.get(k))]
            key = secret_key(SYSTEM, "configurations", name)
            why = _MOVED.format(
                there=there.get(address) or "empty",
                wanted=wanted[address],
                key=key,
                others=f"{', '.join(others)} are" if others else "the others of its kind are",
            )
            yield address, keys, why, key

    def write_only(self, wanted: Item, changed: Sequence[str]) -> tuple[dict[str, str], list[str]]:
        """Return secrets that no Harbor shows, as they are given, and what lacks of what changes.

        Args:
            wanted: The configurations.
            changed: Names of those that change.
        """
        found: dict[str, str] = {}
        lacking = []
        for name in WRITE_ONLY:
            text = self._given.of(SYSTEM, "configurations", name)
            begin = _LOGINS[name]
            if text:
                # Whatever else changes: nobody can tell which one is there.
                found[name] = text
                continue
            if not any(key.startswith(begin) or key == "auth_mode" for key in changed):
                continue
            if str(wanted.get("auth_mode", "")).startswith(begin):
                lacking.append(secret_key(SYSTEM, "configurations", name))
        return found, lacking

    def unseen(self, wanted: Item, lacking: Sequence[str]) -> str:
        """Return of which secrets nobody can tell whether they are there, in words.

        Args:
            wanted: The configurations.
            lacking: Keys of those that are needed, whatever is there.
        """
        mode = str(wanted.get("auth_mode", ""))
        keys = {secret_key(SYSTEM, "configurations", n): _LOGINS[n] for n in WRITE_ONLY}
        names = [
            key.rpartition("/")[2]
            for key, begin in keys.items()
            if mode.startswith(begin) and key not in lacking
        ]
        told = [name for name in names if not self._given.of(SYSTEM, "configurations", name)]
        return f"whether {told[0]} is there, nobody can tell" if told else ""


def _is_nothing(value: Any) -> bool:
    return not isinstance(value, Secret) and value in ("", 0, False, None, "{}")
