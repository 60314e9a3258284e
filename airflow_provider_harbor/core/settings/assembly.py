"""Settings in canonical form, made of what Harbor answered."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar

from airflow_provider_harbor.core.human import human_count
from airflow_provider_harbor.core.settings.form import (
    Names,
    UnknownNameError,
    canonical,
    canonical_project,
    sorted_items,
)
from airflow_provider_harbor.core.settings.kinds import (
    PROJECT_KINDS,
    SYSTEM,
    SYSTEM_KINDS,
    Item,
    Kind,
    kind_of,
)
from airflow_provider_harbor.core.settings.secret_values import is_same
from airflow_provider_harbor.core.settings.values import HarborSettings, Raw, Unread
from airflow_provider_harbor.core.texts import one_line

T = TypeVar("T")

# What was answered, by scope and kind; what could not be read is not there.
Answers = Mapping[tuple[str, str], Sequence[Raw]]

_PREFIX = "robot$"
_SHAPE_ERRORS = (KeyError, TypeError, ValueError, AttributeError)


def assemble(
    answers: Answers,
    projects: Sequence[Raw],
    unread: Sequence[Unread],
    *,
    counted_quotas: int = 0,
) -> HarborSettings:
    """Return settings in canonical form.

    Args:
        answers: What was answered; all quotas as `quotas`.
        projects: Of the list of all projects those that are meant.
        unread: What could not be read.
        counted_quotas: How many quotas Harbor counts.
    """
    made = _Assembly(answers, projects, unread)
    made.sort_quotas(counted_quotas)
    for kind in SYSTEM_KINDS:
        made.add_system(kind)
    for project in projects:
        made.add_project(project)
    return HarborSettings(
        values=made.values,
        raws=made.raws,
        project_ids={str(p["name"]): int(p["project_id"]) for p in projects},
        names=made.names,
        unread=tuple(sorted(made.unread, key=lambda u: (u.scope, u.kind, u.reason))),
    )


class _Assembly:
    def __init__(self, answers: Answers, projects: Sequence[Raw], unread: Sequence[Unread]) -> None:
        self._answers = answers
        self.unread = list(unread)
        self.values: dict[tuple[str, str], Any] = {}
        self.raws: dict[tuple[str, str], Mapping[str, Raw]] = {}
        self.names = self._names(projects)
        self._quotas: dict[str, list[Raw]] = {}
        # Why a project that has none among them may have one all the same.
        self._quotas_lack = ""

    def _of_system(self, name: str) -> Sequence[Raw]:
        return self._answers.get((SYSTEM, name), ())

    def _names(self, projects: Sequence[Raw]) -> Names:
        kind = kind_of(SYSTEM, "groups")
        groups = self._by("groups", lambda raw: (int(raw["id"]), canonical(kind, raw, Names())))
        return Names(
            registries=dict(self._by("registries", lambda r: (int(r["id"]), str(r["name"])))),
            scanners=dict(self._by("scanners", lambda r: (str(r["uuid"]), str(r["name"])))),
            groups={number: group for number, group in groups if group},
            prefix=self._prefix(projects),
        )

    def _by(self, name: str, read: Callable[[Raw], T]) -> list[T]:
        """Return what is read of the items of a kind; what is odd is told where they are added."""
        found = []
        for raw in self._of_system(name):
            with suppress(*_SHAPE_ERRORS):
                found.append(read(raw))
        return found

    def _prefix(self, projects: Sequence[Raw]) -> str | None:
        """Return with what the names of robots begin, which only an administrator is told."""
        for answer in self._of_system("configurations"):
            told = answer.get("robot_name_prefix")
            if isinstance(told, Mapping) and told.get("value"):
                return str(told["value"])
        for project in projects:
            name = str(project["name"])
            for robot in self._answers.get((name, "robots"), ()):
                whole = str(robot.get("name")).rpartition("+")[0]
                if whole.endswith(name):
                    return whole.removesuffix(name)
        names = [str(robot.get("name")) for robot in self._of_system("robots")]
        return _PREFIX if all(name.startswith(_PREFIX) for name in names) else None

    def sort_quotas(self, counted: int) -> None:
        """Sort the list of all quotas by projects, and note how it is not whole.

        Args:
            counted: How many Harbor counts.
        """
        quotas = self._of_system("quotas")
        for quota in quotas:
            self._quotas.setdefault(name_of_quota(quota), []).append(quota)
        if len(quotas) != counted:
            self._quotas_lack = f"Harbor counts {counted:,} quotas, and lists {len(quotas):,}"
        elif nameless := self._quotas.get("", ()):
            number = human_count(len(nameless), "quota")
            self._quotas_lack = f"Harbor lists {number} without the name of a project"
        elif len(self._quotas) != len(quotas):
            self._quotas_lack = "Harbor lists several quotas of one project"

    def add_system(self, kind: Kind) -> None:
        """Add a kind of the system, if it could be read."""
        if kind.key:
            self._add_items(SYSTEM, kind)
        else:
            for answer in self._of_system(kind.name):
                self._add_one(SYSTEM, kind, answer)

    def add_project(self, project: Raw) -> None:
        """Add all of a project that could be read."""
        name = str(project["name"])
        metadata = self._answers.get((name, "project"))
        make = partial(canonical_project, project, metadata[0] if metadata else None, self.names)
        self._add_one(name, kind_of(name, "project"), project, make)
        if (SYSTEM, "quotas") in self._answers:
            self._add_quota(name)
        self._add_policy(name, kind_of(name, "retention"), self._answers.get((name, "retention")))
        for kind in PROJECT_KINDS:
            if kind.key:
                self._add_items(name, kind)

    def _add_quota(self, project: str) -> None:
        own = self._quotas.get(project, [])
        why = self._quotas_lack if len(own) != 1 else ""
        if why:
            reason = f"{why}, so that nobody can tell it. Look at the quotas in Harbor"
            self.unread.append(Unread(scope=project, kind="quota", reason=reason, failed=True))
        else:
            self._add_policy(project, kind_of(project, "quota"), own)

    def _add_policy(self, scope: str, kind: Kind, answers: Sequence[Raw] | None) -> None:
        """Add what a project has one of, or none, if that could be read."""
        if answers is None:
            return
        self.values[scope, kind.name] = None
        for answer in answers:
            self._add_one(scope, kind, answer)

    def _add_items(self, scope: str, kind: Kind) -> None:
        answers = self._answers.get((scope, kind.name))
        if answers is None:
            return
        items: dict[str, Item] = {}
        raws: dict[str, Raw] = {}
        try:
            for raw in answers:
                item = canonical(kind, raw, self.names, scope) or {}
                _require_key(kind, item)
                key = kind.key_of(item)
                if key in items and not is_same(items[key], item):
                    self._note_twice(scope, kind, key)
                items.setdefault(key, item)
                raws.setdefault(key, raw)
        except (UnknownNameError, *_SHAPE_ERRORS) as err:
            self._cannot(scope, kind, err)
            return
        self.values[scope, kind.name] = sorted_items(kind, items.values())
        self.raws[scope, kind.name] = raws

    def _note_twice(self, scope: str, kind: Kind, key: str) -> None:
        reason = f"there are two of {key!r} that differ, and one of them is left out"
        self.unread.append(
            Unread(scope=scope, kind=kind.name, reason=one_line(reason, 300), failed=True)
        )

    def _add_one(
        self, scope: str, kind: Kind, raw: Raw, make: Callable[[], Item | None] | None = None
    ) -> None:
        try:
            self.values[scope, kind.name] = (
                make() if make else canonical(kind, raw, self.names, scope)
            )
        except (UnknownNameError, *_SHAPE_ERRORS) as err:
            self.values.pop((scope, kind.name), None)
            self._cannot(scope, kind, err)
            return
        self.raws[scope, kind.name] = {"": raw}

    def _cannot(self, scope: str, kind: Kind, err: Exception) -> None:
        why = f"Harbor's answer has another form than it should ({type(err).__name__})"
        is_odd = not isinstance(err, UnknownNameError)
        self.unread.append(
            Unread(scope=scope, kind=kind.name, reason=why if is_odd else str(err), failed=is_odd)
        )


def _require_key(kind: Kind, item: Item) -> None:
    """Make sure that an item can be told from others; only a label may have no name.

    Raises:
        ValueError: It cannot.
    """
    texts = [item[name] for name in ("name", "username") if name in item]
    if not all(isinstance(text, str) for text in texts) or not (
        texts or kind.name in ("labels", "immutability")
    ):
        raise ValueError("an item has no name")


def name_of_quota(quota: Raw) -> str:
    """Return the name of the project that a quota is of; empty where it says none."""
    reference = quota.get("ref")
    name = reference.get("name") if isinstance(reference, Mapping) else None
    return name if isinstance(name, str) else ""
