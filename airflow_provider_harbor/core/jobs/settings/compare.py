"""Compare the settings of two nights, or of a night and now: what came, went, or changed."""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from airflow_provider_harbor.core.human import human_count
from airflow_provider_harbor.core.settings.form import dump_item
from airflow_provider_harbor.core.settings.kinds import (
    PROJECT_KINDS,
    SYSTEM,
    SYSTEM_KINDS,
    Item,
    Kind,
    items_of,
    kind_of,
)
from airflow_provider_harbor.core.settings.secret_values import Secret, is_same, iter_secrets
from airflow_provider_harbor.core.settings.values import PROJECTS, Unread
from airflow_provider_harbor.core.texts import one_line

# Settings by scope, and by name of the kind; what could not be read is not there.
Settings = Mapping[str, Mapping[str, Any]]

_LONGEST_VALUE = 120


class Change(str, enum.Enum):
    """What became of a setting."""

    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"
    # Whether it has changed nobody can tell: nothing but secrets that cannot be compared.
    UNKNOWN = "not compared"

    @property
    def sign(self) -> str:
        """How it is shown."""
        return {"added": "+", "removed": "-", "changed": "~", "not compared": "?"}[self.value]


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldChange:
    """What became of a field, or of an item of a list in it; None is nothing."""

    name: str
    before: Any
    after: Any

    @property
    def is_unknown(self) -> bool:
        """Whether it may be the same: all that differs are secrets that cannot be compared."""
        return is_same(self.before, self.after, if_unknown=True)

    def __str__(self) -> str:
        if self.is_unknown:
            secrets = [each for _, each in iter_secrets([self.before, self.after])]
            is_all_sealed = all(each.sealed for each in secrets if each.text or each.sealed)
            why = (
                "sealed with another key, or for another address"
                if is_all_sealed
                else "one is sealed: give the passphrase"
            )
            return f"{self.name}: a secret that cannot be compared: {why}"
        if dump_item(self.before) == dump_item(self.after):
            return f"{self.name}: another secret"
        if self.after is None:
            return f"{self.name}: {show(self.before)} removed"
        if self.before is None:
            return f"{self.name}: {show(self.after)} added"
        return f"{self.name}: {show(self.before)} -> {show(self.after)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingChange:
    """What became of one setting.

    Attributes:
        scope: The system (empty), or a project.
        kind: Which settings.
        noun: What one of them is called.
        key: What tells it from the others of its kind; empty where there is one value.
        fields: What changed in it; of one that was added or removed all that it has.
    """

    scope: str
    kind: str
    noun: str
    key: str
    change: Change
    fields: tuple[FieldChange, ...]

    @property
    def title(self) -> str:
        """What it is of, in words."""
        return one_line(f"{self.noun} {self.key}".strip(), 200)

    def field_lines(self) -> list[str]:
        """Return the fields as lines: of what was removed none, and not what the title says."""
        if self.change is Change.REMOVED:
            return []
        if self.change in (Change.CHANGED, Change.UNKNOWN):
            return [str(each) for each in self.fields]
        own = kind_of(self.scope, self.kind).key
        return [f"{each.name}: {show(each.after)}" for each in self.fields if each.name not in own]

    def to_json(self) -> dict[str, Any]:
        """Return it by names; of secrets only that they are other ones."""
        return {
            "scope": self.scope,
            "kind": self.kind,
            "key": self.key,
            "change": self.change.value,
            "fields": [
                {"name": f.name, "before": plain(f.before), "after": plain(f.after)}
                for f in self.fields
            ],
        }


def plain(value: Any) -> Any:
    """Return a value as JSON takes it; a secret as the words for one."""
    if isinstance(value, Secret):
        return str(value)
    if isinstance(value, dict):
        return {key: plain(each) for key, each in value.items()}
    if isinstance(value, list):
        return [plain(each) for each in value]
    return value


def show(value: Any) -> str:
    """Return a value as a person may read it, on one line, never a secret."""
    if value is None:
        return "nothing"
    if isinstance(value, Secret):
        return str(value)
    text = value if isinstance(value, str) and value else dump_item(value)
    return one_line(text, _LONGEST_VALUE)


def compare(before: Settings, after: Settings) -> list[SettingChange]:
    """Return all that differs, the system first, then project by project.

    What could not be read at one of the two times is left out, see `not_compared`. A project that
    came or went is one change with the fields of the project itself; what was set in it is not
    listed.
    """
    found: list[SettingChange] = []
    for scope in sorted({*before, *after}):
        for kind in kinds_of(scope):
            if pair := _pair(kind, before.get(scope), after.get(scope)):
                found += _compare_items(scope, kind, *pair)
    return found


def _pair(
    kind: Kind, before: Mapping[str, Any] | None, after: Mapping[str, Any] | None
) -> tuple[Mapping[str, Item], Mapping[str, Item]] | None:
    """Return the items of a kind before and after; None where they are not to be compared."""
    if before is not None and after is not None:
        if kind.name not in before or kind.name not in after:
            return None
        return items_of(kind, before[kind.name]), items_of(kind, after[kind.name])
    # A project that came or went. (The system does neither: it could not be read.)
    if kind.name != "project":
        return None
    own = items_of(kind, (before or after or {}).get(kind.name, {}))
    return ({}, own) if before is None else (own, {})


def kinds_of(scope: str) -> Sequence[Kind]:
    """Return all kinds of a scope."""
    return PROJECT_KINDS if scope != SYSTEM else SYSTEM_KINDS


def not_compared(before: Settings, after: Settings) -> list[str]:
    """Return a line for each kind that was read at one of the two times only."""
    scopes: dict[str, list[str]] = {}
    for scope in sorted(before.keys() & after.keys()):
        for name in sorted(before[scope].keys() ^ after[scope].keys()):
            scopes.setdefault(name, []).append(scope)
    return [
        f"{name}" + (f" of {human_count(len(names), 'project')}" if any(names) else "")
        for name, names in scopes.items()
    ]


def split_unseen(
    changes: Iterable[SettingChange], before: Iterable[Unread], after: Iterable[Unread]
) -> tuple[list[SettingChange], list[str]]:
    """Return the changes that are known to be some, and a line for each that may be none.

    What is not there is gone only where all that is there was seen.

    Args:
        changes: As `compare` returned them.
        before: What could not be read at the older time.
        after: And at the newer one.
    """
    gaps = {Change.REMOVED: _gaps(after), Change.ADDED: _gaps(before)}
    known: list[SettingChange] = []
    unseen: list[str] = []
    for change in changes:
        place = (SYSTEM, PROJECTS) if change.kind == "project" else (change.scope, change.kind)
        if place not in gaps.get(change.change, ()):
            known.append(change)
            continue
        where = f" of {one_line(change.scope)}" if change.scope and place[0] != SYSTEM else ""
        when = "now" if change.change is Change.REMOVED else "before"
        unseen.append(f"{change.title}{where}: not seen {when}, since not all could be read")
    return known, unseen


def _gaps(unread: Iterable[Unread]) -> set[tuple[str, str]]:
    """Return of what there may be more than was read, by scope and kind."""
    return {(one.scope, one.kind) for one in unread if one.failed or one.kind == PROJECTS}


def _compare_items(
    scope: str, kind: Kind, before: Mapping[str, Item], after: Mapping[str, Item]
) -> Iterator[SettingChange]:
    for key in sorted({*before, *after}):
        old, new = before.get(key), after.get(key)
        fields = tuple(field_changes(old or {}, new or {}))
        if old is None:
            change = Change.ADDED
        elif new is None:
            change = Change.REMOVED
        elif fields:
            is_unknown = all(each.is_unknown for each in fields)
            change = Change.UNKNOWN if is_unknown else Change.CHANGED
        else:
            continue
        # A project itself is its scope.
        shown = scope if kind.name == "project" else key
        yield SettingChange(
            scope=scope, kind=kind.name, noun=kind.noun, key=shown, change=change, fields=fields
        )


def field_changes(before: Item, after: Item, name: str = "") -> Iterator[FieldChange]:
    """Yield what differs between two objects, field by field, at any depth."""
    for key in sorted({*before, *after}):
        old, new = before.get(key), after.get(key)
        path = f"{name}.{key}" if name else key
        if is_same(old, new):
            continue
        if isinstance(old, dict) and isinstance(new, dict):
            yield from field_changes(old, new, path)
        elif isinstance(old, list) and isinstance(new, list):
            yield from _list_changes(old, new, path)
        else:
            yield FieldChange(name=path, before=old, after=new)


def _list_changes(old: list[Any], new: list[Any], name: str) -> Iterator[FieldChange]:
    if len(old) == len(new) == 1 and isinstance(old[0], dict) and isinstance(new[0], dict):
        yield from field_changes(old[0], new[0], name)
        return
    texts = Counter(map(dump_item, old)), Counter(map(dump_item, new))
    gone, come = texts[0] - texts[1], texts[1] - texts[0]
    if not gone and not come:  # or a secret in it
        yield FieldChange(name=name, before=old, after=new)
        return
    for items, left, is_new in ((old, gone, False), (new, come, True)):
        for item in items:
            if left[text := dump_item(item)]:
                left[text] -= 1
                pair = (None, item) if is_new else (item, None)
                yield FieldChange(name=name, before=pair[0], after=pair[1])


def summarise(changes: Sequence[SettingChange]) -> str:
    """Return how much differs, in words."""
    counts = Counter(change.change for change in changes)
    if not changes:
        return "no difference"
    return ", ".join(f"{counts[change]:,} {change.value}" for change in Change if counts[change])


def describe_changes(changes: Sequence[SettingChange], limit: int = 0) -> list[str]:
    """Return the changes as lines, below the scope that each is of.

    Args:
        changes: As `compare` returned them.
        limit: How many changes are shown at most; 0 for all.
    """
    lines: list[str] = []
    scope: str | None = None
    shown = changes[:limit] if limit else changes
    for change in shown:
        if change.scope != scope:
            scope = change.scope
            lines.append(f"project {one_line(scope)}" if scope else "system")
        if change.kind == "project" and change.change in (Change.ADDED, Change.REMOVED):
            lines.append(f"  {change.change.sign} the whole project")
            continue
        lines.append(f"  {change.change.sign} {change.title}")
        lines += [f"      {line}" for line in change.field_lines()]
    if more := len(changes) - len(shown):
        lines.append(f"and {more:,} more")
    return lines
