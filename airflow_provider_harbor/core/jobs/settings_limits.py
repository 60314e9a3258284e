"""What a Harbor cannot be made to have, and what of a setting it does not know.

Found out before anything is written, as far as it can be known then.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from airflow_provider_harbor.core.jobs.settings_compare import FieldChange, Settings
from airflow_provider_harbor.core.jobs.settings_known import (
    CONFIGURED,
    is_elsewhere,
    moved_secrets,
    settle,
)
from airflow_provider_harbor.core.jobs.settings_renames import names_by_pattern, with_new_names
from airflow_provider_harbor.core.jobs.settings_secrets import (
    WRITE_ONLY,
    GivenSecrets,
    secret_key,
)
from airflow_provider_harbor.core.settings.form import dump_item
from airflow_provider_harbor.core.settings.kinds import SYSTEM, Item, kind_of
from airflow_provider_harbor.core.settings.secret_values import Secret, is_same
from airflow_provider_harbor.core.settings.target import SettingsTarget
from airflow_provider_harbor.core.settings.versions import (
    newer_fields,
    unknown_metadata,
    with_defaults,
    without_unknown_fields,
    without_unknown_metadata,
)

# Once set they cannot be emptied over REST, and Harbor refuses to be told so.
_NEVER_EMPTY = ("ldap_base_dn", "ldap_uid", "ldap_url")
_BUILT_IN_SCANNERS = ("Trivy",)
_DATABASE = "db_auth"
_LOCKED_OUT = (
    "it needs a password, and none is given. Give the secret {}, or name a file for new secrets"
)
# The first administrator, whom no list of users has; Harbor lets it take the other name once.
_FIRST_USERS = ("admin", "admin@harbor.local")
_LOGINS = {
    "ldap_search_password": "ldap_",
    "oidc_client_secret": "oidc_",
    "uaa_client_secret": "uaa_",
}
_MOVED = (
    "it is {there} there, and a secret that Harbor has for that would be sent to {wanted}. It "
    "needs the secret {key}, which is not given; {others} left as they are, too"
)


class Limits:
    """What cannot be written, and why.

    Args:
        wanted: The settings.
        target: The Harbor that is to have them.
        given: Secrets.
        left_names: Names of projects that come back under another one, by that.
        kinds: Names of the kinds that are meant; none for all.
        makes_passwords: Whether a new user of whom no password is given gets a new one.
    """

    def __init__(
        self,
        wanted: Settings,
        target: SettingsTarget,
        given: GivenSecrets,
        left_names: Mapping[str, str] | None = None,
        *,
        kinds: Sequence[str] = (),
        makes_passwords: bool = False,
    ) -> None:
        self._left_names = left_names or {}
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

    def _is_project(self, name: str) -> bool:
        return name in self._wanted or self._target.is_there(name)

    @property
    def _auth_mode(self) -> str:
        """How people will log in there."""
        there = self._target.settings.values.get((SYSTEM, "configurations"))
        if there is None:
            return self._target.client.system_info.auth_mode
        wanted = self._wanted.get(SYSTEM, {}).get("configurations") or {}
        mode = wanted.get("auth_mode")
        if mode and not self.why_no_configuration("auth_mode", mode):
            return str(mode)
        return str(there.get("auth_mode", ""))

    def why_not(self, scope: str, kind: str, item: Item, before: Item | None) -> str:
        """Return why an item cannot be written; empty where nothing is known against it."""
        check = _CHECKS.get(kind)
        return check(self, scope, item, before) if check else ""

    def has_importer(self, members: Iterable[str]) -> bool:
        """Tell whether the login is among some members, by their keys."""
        return f"user {self._target.client.user}" in members

    def is_own(self, kind: str, item: Item) -> bool:
        """Tell whether an item is the login itself, which is never deleted."""
        user = self._target.client.user
        if kind == "users":
            return item.get("username") == user
        return kind == "robots" and user == f"{self._target.settings.names.prefix}{item['name']}"

    def stays_administrator(self, kind: str, item: Item, before: Item | None) -> bool:
        """Tell whether an item would take from the login what it needs for all the rest."""
        leads = bool(before and before.get("sysadmin_flag"))
        return (
            kind == "users" and leads and not item.get("sysadmin_flag") and self.is_own(kind, item)
        )

    def is_own_robot(self, scope: str, item: Item) -> bool:
        """Tell whether a robot is the login itself, which would lose its secret on the way."""
        place = f"{scope}+" if scope != SYSTEM else ""
        name = f"{self._target.settings.names.prefix}{place}{item['name']}"
        return name == self._target.client.user

    # -- what is left out of an item

    def fitted(self, scope: str, kind: str, item: Item, before: Item | None) -> tuple[Item, str]:
        """Return an item without what this Harbor does not know, and what that is."""
        item = with_defaults(kind, item)
        item, unknown = without_unknown_fields(kind, item, self._target.client.version)
        # What only a newer Harbor has is there as it is: an older export says nothing of it.
        item = newer_fields(kind, before or {}) | item
        item, why = self._fitted(scope, kind, item, before)
        lost = f"without {', '.join(unknown)}, which this Harbor has not" if unknown else ""
        return item, "; ".join(filter(None, (lost, why)))

    def fitted_project(self, item: Item, before: Item | None) -> tuple[Item, list[str]]:
        """Return a project without metadata that this Harbor does not know, and their names."""
        item, unknown = without_unknown_metadata(item, self._target.client.version)
        there = (before or {}).get("metadata") or {}
        kept = {name: there[name] for name in unknown_metadata(before or {})}
        if kept:
            item = {**item, "metadata": {**kept, **(item.get("metadata") or {})}}
        return item, unknown

    def _fitted(self, scope: str, kind: str, item: Item, before: Item | None) -> tuple[Item, str]:
        if kind == "robots":
            return self._fitted_robot(item, before)
        if kind == "webhooks":
            return self._fitted_webhook(item, before)
        if self.stays_administrator(kind, item, before):
            return {**item, "sysadmin_flag": True}, ""
        if kind == "scanners" and item.get("name") in _BUILT_IN_SCANNERS and before is not None:
            # It comes with Harbor, and only whether it is the default can be changed.
            return {**before, "is_default": True} if item.get("is_default") else before, ""
        return item, ""

    def _fitted_robot(self, item: Item, before: Item | None) -> tuple[Item, str]:
        item = self._with_left_names(item, before)
        if before is not None and before.get("permissions") == item.get("permissions"):
            return item, ""
        known = self._target.permissions()
        dropped: list[str] = []
        rows = []
        for row in item.get("permissions") or ():
            if row["kind"] == "project" and not self._is_namespace(row["namespace"]):
                dropped.append(f"those on the project {row['namespace']}, which is not there")
                continue
            table = known.get(row["kind"])
            access = []
            for one in row["access"]:
                if table is None or (one["resource"], one["action"]) in table:
                    access.append(one)
                else:
                    dropped.append(f"{one['resource']}:{one['action']}, which this Harbor has not")
            rows += [{**row, "access": access}] if access else []
        if not dropped:
            return item, ""
        return {**item, "permissions": rows}, f"without {', '.join(dict.fromkeys(dropped))}"

    def _with_left_names(self, item: Item, before: Item | None) -> Item:
        """Return a robot with what it may on projects that are there beside their copies."""
        kept = [
            row
            for row in (before or {}).get("permissions") or ()
            if row["kind"] == "project" and row["namespace"] in self._left_names
        ]
        if not kept:
            return item
        rows = [*(item.get("permissions") or ()), *kept]
        return {**item, "permissions": sorted(rows, key=dump_item)}

    def _is_namespace(self, name: str) -> bool:
        return name == "*" or self._is_project(name)

    def _fitted_webhook(self, item: Item, before: Item | None) -> tuple[Item, str]:
        wanted = item.get("event_types") or []
        if before is not None and before.get("event_types") == wanted:
            return item, ""
        known = self._target.events()
        kept = [event for event in wanted if not known or event in known]
        if kept == wanted or not kept:
            return item, ""
        dropped = [event for event in wanted if event not in kept]
        return {**item, "event_types": kept}, (
            f"without the events {', '.join(dropped)}, which this Harbor has not"
        )

    def relevant(self, kind: str, fields: tuple[FieldChange, ...]) -> tuple[FieldChange, ...]:
        """Return those changes of an item that can be made."""
        if kind == "scanners":
            # The default moves to another one, and is never only taken away.
            return tuple(f for f in fields if not (f.name == "is_default" and not f.after))
        return fields

    # -- the configurations

    def is_no_matter(self, key: str, value: Any) -> bool:
        """Tell whether this Harbor has no such configuration, and none of that value is missed."""
        there = self._target.settings.values[SYSTEM, "configurations"]
        return key not in there and _is_nothing(value)

    def why_no_configuration(self, key: str, value: Any) -> str:
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

    # -- the kinds

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
        if item.get("name") in _BUILT_IN_SCANNERS:
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
        if before is not None and before != item and self.is_own("robots", item):
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


def _is_nothing(value: Any) -> bool:
    return not isinstance(value, Secret) and value in ("", 0, False, None, "{}")


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
