"""The kinds of settings that Harbor has: names, where each is read, what is needed for that.

A setting is in a *scope*: the system, or a project by its name. Of each kind there is one value,
such as the configurations, or there are several items with a key, such as webhooks by name.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from airflow_provider_harbor.core.harbor.paths import project_path

# A text that is one word in the key of a rule: no space, comma, semicolon, or quote.
_ONE_WORD = re.compile(r"[^\s,;\"\\]+")
# The scope of what belongs to no project.
SYSTEM = ""
# A setting as plain JSON, see `form`.
Item = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A kind of settings.

    Attributes:
        name: What it is called in documents and on the command line.
        noun: What one item of it is called.
        permission: What a robot needs to read it; empty where no robot can.
        path: Where it is read; `{project}` stands for the path of its project.
        params: The query, in which `{id}` is the project's id.
        key: Fields that tell its items apart; none where there is one value.
        field: Where it is one object: a field that each Harbor gives. Without it the answer is of
            something else, such as a proxy, and says nothing of the setting.
        id_field: Where it is a list: the field that tells an item of Harbor's from all others.
    """

    name: str
    noun: str
    permission: str
    path: str = ""
    params: Mapping[str, str] | None = None
    key: tuple[str, ...] = ()
    field: str = ""
    id_field: str = "id"

    def path_in(self, project: str) -> str:
        """Return where it is read in a project."""
        if not self.path.startswith("{project}"):
            return self.path
        return self.path.replace("{project}", project_path(project), 1)

    def key_of(self, item: Mapping[str, Any]) -> str:
        """Return what tells an item from the others of its kind, as people may read it.

        One of another form, as another program may write it, is called by all that it holds.
        """
        try:
            return _KEYS.get(self.name, _joined)(self, item)
        except (ValueError, KeyError, TypeError, AttributeError):
            return json.dumps(item, sort_keys=True, default=str)


def _joined(kind: Kind, item: Mapping[str, Any]) -> str:
    return " ".join(str(item[name]) for name in kind.key if item.get(name) not in (None, ""))


def _group_key(kind: Kind, item: Mapping[str, Any]) -> str:
    return f"{item.get('type', '')} {item.get('ldap_group_dn') or item.get('name', '')}"


def _member_key(kind: Kind, item: Mapping[str, Any]) -> str:
    name = item.get("ldap_group_dn") or item.get("name", "")
    return " ".join(filter(None, (item.get("type", ""), item.get("group_type", ""), name)))


def _selectors(rules: Any) -> str:
    return ", ".join(
        f"{_quoted(one.get('decoration', ''))} {_quoted(one.get('pattern', ''))}"
        for one in rules or ()
    )


def _quoted(value: Any) -> str:
    """Return a text as it is, or in quotes where it could be taken for more than one."""
    text = str(value)
    return text if _ONE_WORD.fullmatch(text) else json.dumps(text, ensure_ascii=False)


def _rule_key(kind: Kind, item: Mapping[str, Any]) -> str:
    """Return the selectors of a rule of immutability, which has no name."""
    where = "; ".join(
        f"{_quoted(name)} {_selectors(rules)}"
        for name, rules in sorted((item.get("scope_selectors") or {}).items())
    )
    tags = item.get("tag_selectors") or ()
    # Of which of them they are, too.
    extras = [f"{at}:{_quoted(one['extras'])}" for at, one in enumerate(tags) if one.get("extras")]
    return " ".join([f"tags {_selectors(tags)} in {where}", *extras])


_KEYS: dict[str, Callable[[Kind, Mapping[str, Any]], str]] = {
    "groups": _group_key,
    "members": _member_key,
    "immutability": _rule_key,
}

_BY_ID = {"sort": "id"}
SYSTEM_KINDS = (
    Kind(
        name="configurations",
        noun="configuration",
        permission="",
        path="/configurations",
        field="auth_mode",
    ),
    Kind(
        name="cve-allowlist",
        noun="allowlist of the system",
        permission="any login",
        path="/system/CVEAllowlist",
        field="items",
    ),
    Kind(
        name="users",
        noun="user",
        permission="user:list",
        path="/users",
        params={"sort": "username"},
        key=("username",),
        id_field="user_id",
    ),
    Kind(
        name="groups",
        noun="group",
        permission="user-group:list",
        path="/usergroups",
        params={},
        key=("type", "name"),
    ),
    Kind(
        name="registries",
        noun="registry",
        permission="registry:list",
        path="/registries",
        params=_BY_ID,
        key=("name",),
    ),
    Kind(
        name="labels",
        noun="label",
        permission="any login",
        path="/labels",
        params={"scope": "g", **_BY_ID},
        key=("name",),
    ),
    Kind(
        name="robots",
        noun="robot",
        permission="robot:list",
        path="/robots",
        params=_BY_ID,
        key=("name",),
    ),
    Kind(
        name="scanners",
        noun="scanner",
        permission="scanner:list",
        path="/scanners",
        params={"sort": "name"},
        key=("name",),
        id_field="uuid",
    ),
    Kind(
        name="preheat-instances",
        noun="preheat instance",
        permission="preheat-instance:list",
        path="/p2p/preheat/instances",
        params=_BY_ID,
        key=("name",),
    ),
    Kind(
        name="replications",
        noun="replication policy",
        permission="replication-policy:list",
        path="/replication/policies",
        params=_BY_ID,
        key=("name",),
    ),
    Kind(
        name="garbage-collection",
        noun="schedule of garbage collection",
        permission="garbage-collection:read",
        path="/system/gc/schedule",
        field="schedule",
    ),
    Kind(
        name="purge-audit",
        noun="schedule of purging audit logs",
        permission="purge-audit:read",
        path="/system/purgeaudit/schedule",
        field="schedule",
    ),
    Kind(
        name="scan-all",
        noun="schedule of scanning all",
        permission="scan-all:read",
        path="/system/scanAll/schedule",
        field="schedule",
    ),
)
SCHEDULES = ("garbage-collection", "purge-audit", "scan-all")
PROJECT_KINDS = (
    # Read from the list of all projects, and the raw metadata of each.
    Kind(
        name="project",
        noun="project",
        permission="metadata:list",
        path="{project}/metadatas/",
        field="public",
    ),
    Kind(name="quota", noun="quota", permission="quota:list", path="/quotas"),
    Kind(
        name="labels",
        noun="label",
        permission="label:list",
        path="/labels",
        params={"scope": "p", "project_id": "{id}", **_BY_ID},
        key=("name",),
    ),
    Kind(
        name="members",
        noun="member",
        permission="member:list",
        path="{project}/members",
        params={},
        key=("type", "group_type", "name"),
    ),
    Kind(
        name="robots",
        noun="robot",
        permission="robot:list of the project",
        path="/robots",
        params={"q": "Level=project,ProjectID={id}", **_BY_ID},
        key=("name",),
    ),
    Kind(
        name="retention",
        noun="retention policy",
        permission="tag-retention:read",
        path="/retentions/",
        field="algorithm",
    ),
    Kind(
        name="immutability",
        noun="rule of immutability",
        permission="immutable-tag:list",
        path="{project}/immutabletagrules",
        params=_BY_ID,
        key=("tag_selectors", "scope_selectors"),
    ),
    Kind(
        name="webhooks",
        noun="webhook",
        permission="notification-policy:list",
        path="{project}/webhook/policies",
        params=_BY_ID,
        key=("name",),
    ),
    Kind(
        name="preheat-policies",
        noun="preheat policy",
        permission="preheat-policy:list",
        path="{project}/preheat/policies",
        params=_BY_ID,
        key=("name",),
    ),
)
KIND_NAMES = tuple(dict.fromkeys(kind.name for kind in (*SYSTEM_KINDS, *PROJECT_KINDS)))


def kind_of(scope: str, name: str) -> Kind:
    """Return a kind; `scope` is the system or any project.

    Raises:
        KeyError: There is none of this name.
    """
    return _BY_NAME[scope != SYSTEM, name]


_BY_NAME = {(False, kind.name): kind for kind in SYSTEM_KINDS} | {
    (True, kind.name): kind for kind in PROJECT_KINDS
}


def items_of(kind: Kind, value: Any) -> dict[str, Item]:
    """Return the items of a kind by their keys; a single value has the empty key."""
    if not kind.key:
        return {} if value is None else {"": value}
    return {kind.key_of(item): item for item in value}
