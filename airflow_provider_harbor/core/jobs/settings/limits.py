"""What a Harbor cannot be made to have, and why.

Found out before anything is written, as far as it can be known then.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from airflow_provider_harbor.core.jobs.settings.compare import Settings
from airflow_provider_harbor.core.jobs.settings.configurations import Configurations
from airflow_provider_harbor.core.jobs.settings.fitting import BUILT_IN_SCANNERS
from airflow_provider_harbor.core.jobs.settings.known import is_elsewhere, settle
from airflow_provider_harbor.core.jobs.settings.own_login import OwnLogin
from airflow_provider_harbor.core.jobs.settings.renames import names_by_pattern, with_new_names
from airflow_provider_harbor.core.jobs.settings.secrets import GivenSecrets, secret_key
from airflow_provider_harbor.core.settings.kinds import SYSTEM, Item, kind_of
from airflow_provider_harbor.core.settings.secret_values import Secret
from airflow_provider_harbor.core.settings.target import SettingsTarget

_DATABASE = "db_auth"
_LOCKED_OUT = (
    "it needs a password, and none is given. Give the secret {}, or name a file for new secrets"
)
# The first administrator, whom no list of users has; Harbor lets it take the other name once.
_FIRST_USERS = ("admin", "admin@harbor.local")


class Limits:
    """What cannot be written, and why.

    Args:
        wanted: The settings.
        target: The Harbor that is to have them.
        given: Secrets.
        own: The login.
        left_names: Names of projects that come back under another one, by that.
        kinds: Names of the kinds that are meant; none for all.
        makes_passwords: Whether a new user of whom no password is given gets a new one.
    """

    def __init__(
        self,
        wanted: Settings,
        target: SettingsTarget,
        given: GivenSecrets,
        own: OwnLogin,
        left_names: Mapping[str, str],
        *,
        kinds: Sequence[str] = (),
        makes_passwords: bool = False,
    ) -> None:
        self._left_names = left_names
        self._own = own
        self._configurations = Configurations(target, given)
        self._kinds = kinds
        self._makes_passwords = makes_passwords
        self._wanted = wanted
        self._target = target
        self._given = given

    def _there(self, kind: str) -> Any:
        return self._target.settings.values.get((SYSTEM, kind), ())

    def _to_be(self, kind: str) -> Sequence[Item]:
        """Return what of a kind of the system is meant to be brought back."""
        is_meant = not self._kinds or kind in self._kinds
        return self._wanted.get(SYSTEM, {}).get(kind) or () if is_meant else ()

    @property
    def _auth_mode(self) -> str:
        """How people will log in there."""
        there = self._target.settings.values.get((SYSTEM, "configurations"))
        if there is None:
            return self._target.client.system_info.auth_mode
        wanted = self._wanted.get(SYSTEM, {}).get("configurations") or {}
        mode = wanted.get("auth_mode")
        if mode and not self._configurations.why_not("auth_mode", mode):
            return str(mode)
        return str(there.get("auth_mode", ""))

    def why_not(self, scope: str, kind: str, item: Item, before: Item | None) -> str:
        """Return why an item cannot be written; empty where nothing is known against it."""
        check = _CHECKS.get(kind)
        return check(self, scope, item, before) if check else ""

    def _user(self, scope: str, item: Item, before: Item | None) -> str:
        mode = self._auth_mode
        if mode != _DATABASE and (before is None or before != item):
            return (
                f"users are not written where the mode is {mode}: they come back when they log in"
            )
        email = item.get("email")
        others = [
            other["username"]
            for other in self._there("users")
            if other.get("email") == email and other["username"] != item["username"]
        ]
        if email and others:
            return f"its e-mail address {email} is that of {others[0]} there"
        is_given = self._given.of(SYSTEM, "users", item["username"])
        if before is None and not is_given and not self._makes_passwords:
            return _LOCKED_OUT.format(secret_key(SYSTEM, "users", item["username"]))
        return ""

    def _group(self, scope: str, item: Item, before: Item | None) -> str:
        if before is not None:
            return ""
        for other in self._there("groups"):
            if other["name"] == item["name"] and other["type"] != item["type"]:
                return f"the name is that of a group of the type {other['type']} there"
        return ""

    def _registry(self, scope: str, item: Item, before: Item | None) -> str:
        if before is not None and before.get("type") != item.get("type"):
            return f"it is of the type {before.get('type')} there, which cannot be changed"
        return self._lacks(
            scope, "registries", item, before, (item.get("credential") or {}).get("access_secret")
        )

    def _lacks(self, scope: str, kind: str, item: Item, before: Item | None, secret: Any) -> str:
        """Return that a secret is lacking without which Harbor does not take an item."""
        if before is None and isinstance(secret, Secret) and not secret.text:
            return (
                f"it needs the secret {secret_key(scope, kind, item['name'])}, which is not given"
            )
        return ""

    def _scanner(self, scope: str, item: Item, before: Item | None) -> str:
        if item.get("name") in BUILT_IN_SCANNERS:
            return "it comes with Harbor: install Harbor with it" if before is None else ""
        return self._lacks(scope, "scanners", item, before, item.get("access_credential"))

    def _project(self, scope: str, item: Item, before: Item | None) -> str:
        if item.get("registry_unknown"):
            return "it caches a registry, and the export could not tell which"
        name = item.get("registry")
        return self.hangs_on("registries", name) if name else ""

    def hangs_on(self, kind: str, name: str) -> str:
        """Return why nothing can hang on an item of the system; empty where something can.

        It is not there, and is not made; or what is there is of another server, and stays so.
        """
        noun = kind_of(SYSTEM, kind).noun
        there = next((item for item in self._there(kind) if item.get("name") == name), None)
        wanted = self._wanted.get(SYSTEM, {}).get(kind) or ()
        item = next((item for item in wanted if item.get("name") == name), None)
        is_meant = not self._kinds or kind in self._kinds
        if there is None and (item is None or not is_meant):
            return f"the {noun} {name} is not there"
        if item is None:
            return ""
        filled = self._given.fill(SYSTEM, kind, name, item)
        if there is None:
            why = self.why_not(SYSTEM, kind, filled, None)
            return f"it hangs on the {noun} {name}, which cannot be made" if why else ""
        if not is_elsewhere(kind, filled, there):
            return ""
        if is_meant and not self.why_not_changed(kind, filled, there):
            return ""
        return f"it hangs on the {noun} {name}, which is of another server there, and stays so"

    def why_not_changed(self, kind: str, item: Item, before: Item) -> str:
        """Return why an item of the system that is there cannot be made what it should be."""
        if settle(kind, item, before).lacking:
            return "it needs its secret"
        return self.why_not(SYSTEM, kind, item, before)

    def _member(self, scope: str, item: Item, before: Item | None) -> str:
        if not isinstance(item.get("role"), str):
            return f"its role {item.get('role')} is none that Harbor has"
        if before is not None:
            return ""
        if item["type"] == "user":
            return self._no_user(item["name"])
        return self._no_group(item)

    def _no_user(self, name: str) -> str:
        """Return that there is no such user, and will be none; elsewhere a login makes one."""
        if self._auth_mode != _DATABASE or not self._lists("users"):
            return ""
        there = {user["username"] for user in self._there("users")}
        if name in {*there, *_FIRST_USERS, self._target.client.user}:
            return ""
        for user in self._to_be("users"):
            if user["username"] == name:
                why = self._user(SYSTEM, user, None)
                return f"the user {name} is not there, and cannot be made" if why else ""
        return f"the user {name} is not there. Make it first"

    def _no_group(self, item: Item) -> str:
        """Return that there is no such group, and will be none, where a directory has none."""
        mode, kind, name = self._auth_mode, item.get("group_type"), item["name"]
        if kind == "ldap" or mode != _DATABASE or not self._lists("groups"):
            return ""
        known = {(group["name"], group["type"]) for group in self._there("groups")}
        named = {group for group, _ in known}
        if (name, kind) in known or (not kind and name in named):
            return ""
        for group in self._to_be("groups"):
            if group["name"] == name and kind in (None, group["type"]):
                why = self._group(SYSTEM, group, None)
                return f"the group {name} is not there, and cannot be made" if why else ""
        return f"the group {name} is not there. Make it first"

    def _lists(self, kind: str) -> bool:
        return (SYSTEM, kind) in self._target.settings.values

    def _robot(self, scope: str, item: Item, before: Item | None) -> str:
        if item.get("editable") == "no":
            return "it is of Harbor 1, and cannot be made again"
        if not item.get("permissions"):
            return "it has no permissions, and Harbor makes none without"
        if before is not None and before != item and self._own.is_it("robots", item):
            return "it is the login of this import"
        return ""

    def _replication(self, scope: str, item: Item, before: Item | None) -> str:
        names = [item[side] for side in ("src_registry", "dest_registry") if item.get(side)]
        if len(names) != 1:
            return "it has no registry that could be told"
        return self.hangs_on("registries", names[0]) or self._names_another(item, before)

    def _names_another(self, item: Item, before: Item | None) -> str:
        """Return that a policy is about a project that comes back under another name."""
        for old, new in self._left_names.items():
            if names_by_pattern(item, old, new):
                return (
                    f"it is about {old}, now {new}, in words that fit only {old}. Make it by hand"
                )
            renamed = with_new_names(before, {old: new}) if before is not None else before
            if renamed != before and self._target.is_there(old):
                return f"it is of the project {old} there. Make one for {new} by hand"
        return ""

    def _instance(self, scope: str, item: Item, before: Item | None) -> str:
        for other in self._there("preheat-instances"):
            if other["name"] != item["name"] and other.get("endpoint") == item.get("endpoint"):
                return f"its endpoint is that of {other['name']} there"
        return ""

    def _quota(self, scope: str, item: Item, before: Item | None) -> str:
        if before is None:
            return "the project has no quota there: quota_per_project_enable is, or was, off"
        return ""

    def _preheat_policy(self, scope: str, item: Item, before: Item | None) -> str:
        return self.hangs_on("preheat-instances", item.get("provider", ""))


_CHECKS: Mapping[str, Callable[[Limits, str, Item, Item | None], str]] = {
    "users": Limits._user,
    "groups": Limits._group,
    "registries": Limits._registry,
    "scanners": Limits._scanner,
    "project": Limits._project,
    "members": Limits._member,
    "robots": Limits._robot,
    "replications": Limits._replication,
    "preheat-instances": Limits._instance,
    "preheat-policies": Limits._preheat_policy,
    "quota": Limits._quota,
}
