"""Settings of a document that have another form than this program writes.

Such a document is whole by its checksum, and of another program. One odd setting is one finding,
and the others are taken: who finds out what becomes of them reads some fields of all.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from airflow_provider_harbor.core.settings.kinds import Kind, kind_of
from airflow_provider_harbor.core.store.settings_files import SettingsDocument
from airflow_provider_harbor.core.texts import one_line

# A form is a class; or a list of one form; or an object with forms by fields, of which those that
# end in a question mark may lack, or be null; or an object of which all fields have one form.
_ALL = "*"
_SELECTORS = [{"decoration?": str, "pattern?": str, "extras?": str}]
_FORMS: Mapping[str, Any] = {
    "users": {"username": str, "email?": str},
    "groups": {"name": str, "type": str, "ldap_group_dn?": str},
    "members": {"name": str, "type": str, "group_type?": str, "ldap_group_dn?": str},
    "registries": {"name": str, "url?": str, "type?": str, "credential?": {}},
    "labels": {"name?": str},
    "robots": {
        "name": str,
        "permissions?": [
            {"kind": str, "namespace": str, "access": [{"resource": str, "action": str}]}
        ],
    },
    "scanners": {"name": str, "url?": str},
    "preheat-instances": {"name": str, "endpoint?": str},
    "preheat-policies": {"name": str, "provider?": str},
    "replications": {
        "name": str, "src_registry?": str, "dest_registry?": str, "dest_namespace?": str,
        "filters?": [{}], "trigger?": {"trigger_settings?": {}},
    },
    "webhooks": {"name": str, "targets?": [{}], "event_types?": [str]},
    "immutability": {"scope_selectors?": {_ALL: _SELECTORS}, "tag_selectors?": _SELECTORS},
    "retention": {"rules?": [{"params?": {}}], "trigger?": {"settings?": {}}},
    "project": {
        "metadata?": {}, "registry?": str, "scanner?": str,
        "cve_allowlist?": {"items?": [object]},
    },
    "quota": {"storage?": int},
    "garbage-collection": {"parameters?": {}},
    "purge-audit": {"parameters?": {}},
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class OddSetting:
    """A setting that has another form than it should.

    Attributes:
        scope: The system (empty), or a project.
        kind: Which settings.
        key: What it may be called; empty where there is one value.
        why: Where in it the form is another one.
    """

    scope: str
    kind: str
    key: str
    why: str

    def __str__(self) -> str:
        where = f"project {one_line(self.scope)}: " if self.scope else ""
        noun = f"{kind_of(self.scope, self.kind).noun} {one_line(self.key, 100)}".strip()
        return f"{where}{noun}: {self.why}"


def without_odd(document: SettingsDocument) -> tuple[SettingsDocument, list[OddSetting]]:
    """Return a document without the settings that have another form, and these."""
    odd: list[OddSetting] = []
    values: dict[str, Any] = {}
    for name, value in document.values.items():
        try:
            kind = kind_of(document.scope, name)
        except KeyError:  # of a newer program
            values[name] = value
            continue
        found = list(_odd_of(document.scope, kind, value))
        odd += [each for _, each in found]
        if not found:
            values[name] = value
        elif kind.key:
            numbers = {number for number, _ in found}
            values[name] = [item for at, item in enumerate(value) if at not in numbers]
    return replace(document, values=values), odd


def _odd_of(scope: str, kind: Kind, value: Any) -> Iterator[tuple[int, OddSetting]]:
    items = value if kind.key else [] if value is None else [value]
    for number, item in enumerate(items):
        place = _find_odd(item, _FORMS.get(kind.name, {}), "")
        if place is not None:
            why = f"it has another form than it should{f', in {place}' if place else ''}"
            key = _called(item, number) if kind.key else ""
            yield number, OddSetting(scope=scope, kind=kind.name, key=key, why=why)


def _called(item: Mapping[str, Any], number: int) -> str:
    names: tuple[Any, ...] = (item.get("name"), item.get("username"))
    return next((n for n in names if isinstance(n, str) and n), f"number {number + 1}")


def _find_odd(value: Any, form: Any, place: str) -> str | None:
    """Return the way to what has another form; None where there is none."""
    if isinstance(form, type):
        is_right = isinstance(value, form) and not (form is int and isinstance(value, bool))
        return None if is_right else place
    if isinstance(form, list):
        if not isinstance(value, list):
            return place
        found = (_find_odd(one, form[0], place) for one in value)
        return next((each for each in found if each is not None), None)
    if not isinstance(value, dict):
        return place
    return _find_odd_field(value, form, place)


def _find_odd_field(value: Mapping[str, Any], form: Mapping[str, Any], place: str) -> str | None:
    forms = {name: form[_ALL] for name in value} if _ALL in form else form
    for field, own in forms.items():
        name = field.removesuffix("?")
        if field.endswith("?") and value.get(name) is None:
            continue
        way = f"{place}.{name}" if place else name
        odd = _find_odd(value[name], own, way) if name in value else way
        if odd is not None:
            return odd
    return None
