"""Which version of Harbor knows which field of a setting: others ignore it, and say nothing.

What is named here is known since the version that it has, or always. What is not named here came
with a Harbor that is newer than this program, and older ones do not know it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_provider_harbor.core.settings.kinds import Item

Version = tuple[int, ...]

# The newest version whose settings are all named here.
NEWEST: Version = (2, 15)
_ALWAYS: Version = (0,)
# What metadata say where they say the same as if they were not there.
_NOTHING = ("", "false", "0", "-1")


def _fields(text: str, **since: Version) -> dict[str, Version]:
    return {**dict.fromkeys(text.split(), _ALWAYS), **since}


# Source: the answers of 2.15.2 and, for versions, facts on Harbor's history of its API.
_METADATA = _fields(
    "public auto_scan prevent_vul severity enable_content_trust reuse_sys_cve_allowlist",
    enable_content_trust_cosign=(2, 5),
    auto_sbom_generation=(2, 11),
    proxy_speed_kb=(2, 12),
    max_upstream_conn=(2, 15),
    proxy_cache_local_on_not_found=(2, 15, 1),
)
_FIELDS: Mapping[str, Mapping[str, Version]] = {
    "users": _fields("username email realname comment sysadmin_flag"),
    "groups": _fields("name type ldap_group_dn"),
    "registries": _fields(
        "name type url description insecure credential", ca_certificate=(2, 15)
    ),
    "labels": _fields("name description color"),
    "members": _fields("name type role group_type ldap_group_dn"),
    "robots": _fields("name description disable duration permissions editable"),
    "scanners": _fields(
        "name description url auth access_credential disabled is_default skip_certVerify "
        "use_internal_addr"
    ),
    "preheat-instances": _fields(
        "name description vendor endpoint auth_mode auth_info enabled default insecure"
    ),
    "replications": _fields(
        "name description src_registry dest_registry dest_namespace trigger filters deletion "
        "override enabled speed",
        dest_namespace_replace_count=(2, 3),
        copy_by_chunk=(2, 7),
        single_active_replication=(2, 14),
    ),
    "immutability": _fields(
        "action template params priority disabled tag_selectors scope_selectors"
    ),
    "retention": _fields("algorithm trigger rules"),
    "webhooks": _fields("name description enabled event_types targets"),
    "preheat-policies": _fields(
        "name description enabled provider filters trigger scope extra_attrs"
    ),
}  # fmt: skip
# Of each target of a webhook.
_TARGETS = _fields("type address auth_header skip_cert_verify", payload_format=(2, 8))


# What a Harbor takes where nothing is said, and says then: an older one had no such field.
_DEFAULTS: Mapping[str, Item] = {
    "replications": {"dest_namespace_replace_count": -1},
    "robots": {"duration": -1},
    "preheat-instances": {"auth_mode": "NONE"},
}


def with_defaults(kind: str, item: Item, version: Version) -> Item:
    """Return an item with what a Harbor says where nothing was said."""
    known = _FIELDS.get(kind, {})
    defaults = _DEFAULTS.get(kind, {})
    return {n: each for n, each in defaults.items() if _is_known(known, n, version)} | item


def _is_known(known: Mapping[str, Version], name: str, version: Version) -> bool:
    if not any(version):
        # It is no number, such as that of a build of one's own.
        return True
    if name in known:
        return version >= known[name]
    return version[: len(NEWEST)] > NEWEST


def without_unknown_metadata(item: Item, version: Version) -> tuple[Item, list[str]]:
    """Return a project without metadata that a Harbor does not know, and names of those.

    Those that say nothing are left out without a word.
    """
    metadata: Mapping[str, Any] = item.get("metadata") or {}
    unknown = [name for name in metadata if not _is_known(_METADATA, name, version)]
    if not unknown:
        return item, []
    kept = {name: value for name, value in metadata.items() if name not in unknown}
    return {**item, "metadata": kept}, [n for n in unknown if metadata[n] not in _NOTHING]


def without_unknown_fields(kind: str, item: Item, version: Version) -> tuple[Item, list[str]]:
    """Return an item without the fields that a Harbor does not know, and names of those.

    What is the same as nothing is left out without a word.
    """
    found, lost = _of_version(_FIELDS.get(kind), item, version, _DEFAULTS.get(kind, {}))
    if kind == "webhooks" and found.get("targets"):
        targets = [_of_version(_TARGETS, target, version, {}) for target in found["targets"]]
        found["targets"] = [target for target, _ in targets]
        lost += [name for _, names in targets for name in names]
    return found, list(dict.fromkeys(lost))


def _of_version(
    known: Mapping[str, Version] | None, item: Item, version: Version, defaults: Item
) -> tuple[Item, list[str]]:
    if known is None:
        return item, []
    found = {name: each for name, each in item.items() if _is_known(known, name, version)}
    lost = [n for n in sorted(item) if n not in found and (n, item[n]) not in defaults.items()]
    return found, lost


def unknown_metadata(item: Item) -> list[str]:
    """Return names of metadata that only a newer Harbor has."""
    return [name for name in item.get("metadata") or () if name not in _METADATA]


def newer_fields(kind: str, item: Item) -> Item:
    """Return the fields of an item that only a newer Harbor has: they are sent as they came."""
    known = _FIELDS.get(kind, item)
    return {name: value for name, value in item.items() if name not in known}
