"""What an import of settings would do: create, update, leave, delete; and what it cannot, and why.

The order is one in which each setting finds what it needs. In the middle of it the artifacts are
brought back: what would act on them, or refuse them, comes after them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from airflow_provider_harbor.core.jobs.settings_compare import (
    Settings,
    field_changes,
    kinds_of,
)
from airflow_provider_harbor.core.jobs.settings_known import KEEP_SECRETS, Settled, settle
from airflow_provider_harbor.core.jobs.settings_limits import Limits
from airflow_provider_harbor.core.jobs.settings_made import OF_THIS, OF_WHOM, left_by_making
from airflow_provider_harbor.core.jobs.settings_pairs import Pairs, Surplus, pair
from airflow_provider_harbor.core.jobs.settings_secrets import (
    GivenSecrets,
    secret_key,
    secret_keys,
)
from airflow_provider_harbor.core.jobs.settings_steps import Action, Stage, Step
from airflow_provider_harbor.core.settings.bodies import LATE_METADATA
from airflow_provider_harbor.core.settings.kinds import (
    SCHEDULES,
    SYSTEM,
    Item,
    Kind,
    items_of,
    kind_of,
)
from airflow_provider_harbor.core.settings.secret_values import Secret
from airflow_provider_harbor.core.settings.target import SettingsTarget

# Kinds in their order; of the system, or of each project.
_SYSTEM, _PROJECTS = False, True
_ORDER: Mapping[Stage, Sequence[tuple[bool, str]]] = {
    Stage.BEFORE: (
        (_SYSTEM, "configurations"),
        (_SYSTEM, "cve-allowlist"),
        (_SYSTEM, "users"),
        (_SYSTEM, "groups"),
        (_SYSTEM, "registries"),
        (_PROJECTS, "project"),
        (_SYSTEM, "labels"),
        (_PROJECTS, "labels"),
        (_PROJECTS, "members"),
        (_SYSTEM, "robots"),
        (_PROJECTS, "robots"),
    ),
    Stage.AFTER: (
        (_SYSTEM, "scanners"),
        (_PROJECTS, "project"),
        (_SYSTEM, "preheat-instances"),
        (_PROJECTS, "retention"),
        (_PROJECTS, "immutability"),
        (_PROJECTS, "webhooks"),
        (_PROJECTS, "preheat-policies"),
        (_PROJECTS, "quota"),
        (_SYSTEM, "replications"),
        (_SYSTEM, "garbage-collection"),
        (_SYSTEM, "purge-audit"),
        (_SYSTEM, "scan-all"),
        (_SYSTEM, "configurations"),
    ),
}
# Of the configurations what comes last of all: nothing can be written after it.
_LAST = "read_only"
_WRITTEN_AGAIN = "secret given: written again, since nobody can tell which one is there"
# People choose theirs anew, and nobody may take that from them.
_KEEPS_ITS_OWN = "it is there, and keeps its own password: the one given is not written"
_ANOTHER_ADDRESS = (
    "there is no secret for this address and login there: it needs the secret {}, which is not "
    "given"
)
_CREATOR = "whom Harbor makes a member as its creator"

_OWN_LOGIN = (
    "left an administrator, which it was not: it is the login of this import. Run it as another "
    "one, or take that away afterwards"
)


class Planner:
    """Finds out what an import would do.

    Args:
        wanted: The settings, by the names that projects are to have, with the secrets that are
            known.
        target: The Harbor that is to have them.
        given: Secrets.
        kinds: Names of the kinds that are meant; none for all.
        delete_surplus: Whether what is there, and not wanted, is deleted. Projects never are.
        incomplete: Scopes and kinds that the export has not whole: nothing of those is deleted.
        made: Projects that an import like this one made, and has not ended.
        left_names: Old names of projects that come back under another one, with that.
        makes_passwords: Whether a new user of whom no password is given gets a new one.
    """

    def __init__(
        self,
        wanted: Settings,
        target: SettingsTarget,
        given: GivenSecrets,
        *,
        kinds: Sequence[str] = (),
        delete_surplus: bool = False,
        incomplete: Collection[tuple[str, str]] = (),
        made: Collection[str] = (),
        left_names: Mapping[str, str] | None = None,
        makes_passwords: bool = False,
    ) -> None:
        self._wanted = wanted
        self._target = target
        self._given = given
        self._kinds = kinds
        self._delete_surplus = delete_surplus
        self._limits = Limits(
            wanted, target, given, left_names, kinds=kinds, makes_passwords=makes_passwords
        )
        self._made = made
        self._left = Surplus(wanted, target, incomplete)
        self._surplus: dict[str, int] = {}
        for scope, values in wanted.items():
            for kind in kinds_of(scope):
                for key, item in items_of(kind, values.get(kind.name) or ()).items():
                    given.expect(scope, kind.name, key, item)

    @property
    def surplus(self) -> Mapping[str, int]:
        """How many items of each kind are there, are not wanted, and are left."""
        return self._surplus

    def steps(self, stages: Sequence[Stage] = tuple(Stage)) -> list[Step]:
        """Return all steps in their order; what is to be deleted last, in the opposite one."""
        found: list[Step] = []
        last: list[Step] = []
        gone: list[Step] = []
        for stage in stages:
            for of_projects, name in _ORDER[stage]:
                for scope in self._scopes(of_projects):
                    for step in self._of_kind(stage, scope, kind_of(scope, name)):
                        if step.action is Action.DELETE and step.before is not None:
                            gone.append(step)
                        elif step.kind == "configurations" and stage is Stage.AFTER:
                            last.append(step)
                        else:
                            found.append(step)
        return [*found, *reversed(gone), *last]

    def _scopes(self, of_projects: bool) -> list[str]:
        if not of_projects:
            return [SYSTEM] if SYSTEM in self._wanted else []
        return sorted(scope for scope in self._wanted if scope != SYSTEM)

    def _of_kind(self, stage: Stage, scope: str, kind: Kind) -> Iterator[Step]:
        values = self._wanted[scope]
        is_meant = not self._kinds or kind.name in self._kinds
        if not is_meant or kind.name not in values:
            return
        if kind.name == "configurations":
            yield from self._configurations(stage, kind)
        elif kind.name == "project":
            yield from self._project(stage, scope, kind)
        elif scope != SYSTEM and not self._target.has_project(scope):
            yield from self._of_new_project(stage, scope, kind)
        else:
            yield from self._items(stage, scope, kind)

    # -- what is there

    def _items(self, stage: Stage, scope: str, kind: Kind) -> Iterator[Step]:
        there = self._target.settings.values
        wanted = items_of(kind, self._wanted[scope][kind.name])
        if (scope, kind.name) not in there and not self._is_hidden(scope, kind):
            yield self._step(
                stage, scope, kind, "", Action.CANNOT, why="the login may not read it there"
            )
            return
        pairs = pair(kind, wanted, items_of(kind, there.get((scope, kind.name))))
        steps = [
            self._one(stage, scope, kind, key, *pairs.wanted[key])
            for key in self._in_order(kind, wanted)
        ]
        yield from steps
        for key, (item, before) in pairs.wanted.items():
            if self._limits.stays_administrator(kind.name, item, before):
                yield self._step(stage, scope, kind, key, Action.CANNOT, why=_OWN_LOGIN)
        why = self._left.why_left(scope, kind.name, pairs)
        if any(s.action is Action.CANNOT and pairs.wanted[s.key][1] is None for s in steps):
            why = why or "one that cannot be created may be among them"
        yield from self._of_surplus(stage, scope, kind, pairs, why)

    def _is_hidden(self, scope: str, kind: Kind) -> bool:
        """Tell whether Harbor does not show what is there, and takes another one in its place.

        So it is with the schedule of scanning all, until there is a scanner.
        """
        notes = self._target.settings.unread
        return kind.name in SCHEDULES and any(
            (each.scope, each.kind) == (scope, kind.name) and not (each.denied or each.failed)
            for each in notes
        )

    def _of_surplus(
        self, stage: Stage, scope: str, kind: Kind, pairs: Pairs, why: str
    ) -> Iterator[Step]:
        """Yield what becomes of what is there, and not wanted; `why` it may be none."""
        own: Mapping[str, str] = {}
        if scope != SYSTEM:
            is_known = scope in self._made
            own = left_by_making(self._wanted, self._target, scope, is_known=is_known)
        gone = []
        for key, before in sorted(pairs.surplus.items()):
            comes_with_it = own.get(kind.name) == key
            if self._delete_surplus and not self._limits.is_own(kind.name, before):
                gone.append((key, "not wanted"))
            elif comes_with_it and scope in self._made:
                gone.append((key, OF_THIS))
            else:
                self._surplus[kind.name] = self._surplus.get(kind.name, 0) + 1
                if comes_with_it:
                    about = OF_WHOM[kind.name]
                    yield self._step(stage, scope, kind, key, Action.CANNOT, why=about)
        if why and gone:
            self._surplus[kind.name] = self._surplus.get(kind.name, 0) + len(gone)
            names = ", ".join(key for key, _ in gone)
            why = f"not deleted, though the export has them not: {names}: {why}"
            yield self._step(stage, scope, kind, "", Action.CANNOT, why=why)
            return
        for key, about in gone:
            before = pairs.surplus[key]
            yield self._step(stage, scope, kind, key, Action.DELETE, before=before, why=about)

    def _in_order(self, kind: Kind, wanted: Mapping[str, Item]) -> list[str]:
        # The first scanner is the default by itself, and could not be disabled then.
        return sorted(wanted, key=lambda key: (not wanted[key].get("is_default"), key))

    def _one(
        self, stage: Stage, scope: str, kind: Kind, key: str, item: Item, before: Item | None
    ) -> Step:
        item = self._given.fill(scope, kind.name, key, item)
        item, why = self._limits.fitted(scope, kind.name, item, before)
        lost = why
        settled = settle(kind.name, item, before)
        needs = tuple(self._needs(scope, kind, key, item, before, settled))
        fields = tuple(field_changes(before or {}, settled.item))
        cannot = self._limits.why_not(scope, kind.name, item, before)
        if before is not None and settled.lacking and kind.name in KEEP_SECRETS:
            cannot = cannot or _ANOTHER_ADDRESS.format(needs[0])
        if cannot:
            if before is not None and not fields:
                return self._step(stage, scope, kind, key, Action.LEAVE, needs=needs)
            return self._step(stage, scope, kind, key, Action.CANNOT, why=cannot, needs=needs)
        rewrites = False
        if before is None:
            action = Action.CREATE
        else:
            fields = self._limits.relevant(kind.name, fields)
            rewrites = settled.is_unsure or self._is_given_again(scope, kind, key, item)
            action = Action.UPDATE if fields or rewrites else Action.LEAVE
            said = _WRITTEN_AGAIN if rewrites else ""
            if kind.name == "users" and self._given.of(scope, kind.name, key):
                said = _KEEPS_ITS_OWN
            why = "; ".join(filter(None, (why, said)))
        return self._step(
            stage, scope, kind, key, action, item=settled.item, before=before, fields=fields,
            why=why, needs=needs, lost=lost, rewrites=rewrites,
        )  # fmt: skip

    def _is_given_again(self, scope: str, kind: Kind, key: str, item: Item) -> bool:
        """Tell whether the secret of a robot that is there is given, and can be written."""
        is_given = kind.name == "robots" and self._given.of(scope, kind.name, key)
        return bool(is_given) and not self._limits.is_own_robot(scope, item)

    def _needs(
        self,
        scope: str,
        kind: Kind,
        key: str,
        item: Item,
        before: Item | None,
        settled: Settled,
    ) -> Iterator[str]:
        """Yield the keys of secrets without which it is not what it was."""
        if before is None and kind.name in ("users", "robots"):
            if not self._given.of(scope, kind.name, key):
                yield secret_key(scope, kind.name, key)
            return
        keys = secret_keys(scope, kind.name, key, item)
        yield from dict.fromkeys(keys[path] for path in settled.lacking)

    # -- a project

    def _project(self, stage: Stage, scope: str, kind: Kind) -> Iterator[Step]:
        there = self._target.settings.values.get((scope, kind.name))
        item = self._given.fill(scope, kind.name, "", self._wanted[scope][kind.name])
        item, unknown = self._limits.fitted_project(item, there)
        settled = settle(kind.name, item, there)
        item = settled.item
        needs = tuple(secret_key(scope, kind.name, path) for path in settled.lacking)
        early = {k: v for k, v in (item.get("metadata") or {}).items() if k not in LATE_METADATA}
        if not self._target.has_project(scope):
            cannot = self._limits.why_not(scope, kind.name, item, None)
            if stage is Stage.BEFORE:
                action = Action.CANNOT if cannot else Action.CREATE
                shown = {**{k: v for k, v in item.items() if k != "scanner"}, "metadata": early}
                fields = () if cannot else tuple(field_changes({}, shown))
                yield self._step(
                    stage, scope, kind, scope, action, item=item, fields=fields, why=cannot,
                    needs=needs,
                )  # fmt: skip
                if not cannot:
                    yield from self._without_metadata(scope, kind, unknown)
                    yield from self._made_retention(stage, scope, item)
                return
            if cannot:
                return
            before: Item | None = {k: v for k, v in item.items() if k != "scanner"}
            before = {**(before or {}), "metadata": early}
        elif (scope, kind.name) not in self._target.settings.values:
            if stage is Stage.BEFORE:
                why = "the login may not read it there"
                yield self._step(stage, scope, kind, scope, Action.CANNOT, why=why)
            return
        else:
            before = there
            if stage is Stage.BEFORE:
                yield from self._without_metadata(scope, kind, unknown)
        yield from self._project_update(stage, scope, kind, item, before or {}, needs)

    def _without_metadata(self, scope: str, kind: Kind, unknown: Sequence[str]) -> Iterator[Step]:
        if unknown:
            why = f"this Harbor has no {', '.join(unknown)}, which the project was set to"
            yield self._step(Stage.BEFORE, scope, kind, scope, Action.CANNOT, why=why)

    def _made_retention(self, stage: Stage, scope: str, item: Item) -> Iterator[Step]:
        """Yield that the policy goes which Harbor makes with a project, where the export has none.

        At once: later nobody could tell it from one that somebody made there.
        """
        values, kind = self._wanted[scope], kind_of(scope, "retention")
        is_meant = not self._kinds or kind.name in self._kinds
        if is_meant and item.get("registry") and values.get(kind.name, {}) is None:
            why = "it comes with each project that caches a registry, and the export has none"
            yield self._step(stage, scope, kind, "", Action.DELETE, why=why)

    def _project_update(
        self,
        stage: Stage,
        scope: str,
        kind: Kind,
        item: Item,
        before: Item,
        needs: tuple[str, ...],
    ) -> Iterator[Step]:
        if stage is Stage.BEFORE and item.get("registry") != before.get("registry"):
            what = before.get("registry") or "no registry"
            why = f"it caches {what} there, which can never be changed"
            yield self._step(stage, scope, kind, scope, Action.CANNOT, why=why)
        scanner = item.get("scanner")
        is_other = stage is Stage.AFTER and scanner and scanner != before.get("scanner")
        if is_other and (why := self._limits.hangs_on("scanners", str(scanner))):
            yield self._step(stage, scope, kind, scope, Action.CANNOT, why=why)
            item = {key: value for key, value in item.items() if key != "scanner"}
        fields = tuple(
            each
            for each in field_changes(before, item)
            if _is_late(each.name) == (stage is Stage.AFTER)
            and each.name not in ("registry", "registry_unknown")
            # A scanner of its own can be changed, and not be taken away.
            and not (each.name == "scanner" and each.after is None)
        )
        action = Action.UPDATE if fields else Action.LEAVE
        if action is Action.UPDATE or stage is Stage.BEFORE:
            yield self._step(
                stage, scope, kind, scope, action, item=item, before=before, fields=fields,
                needs=needs if stage is Stage.BEFORE else (),
            )  # fmt: skip

    def _of_new_project(self, stage: Stage, scope: str, kind: Kind) -> Iterator[Step]:
        """Yield what is set in a project that is made by this import."""
        project = self._wanted[scope].get("project")
        is_made = not self._kinds or "project" in self._kinds
        wanted = items_of(kind, self._wanted[scope][kind.name])
        if project is None or not is_made or self._limits.why_not(scope, "project", project, None):
            if wanted:
                yield self._step(
                    stage, scope, kind, "", Action.CANNOT, why="its project is not there"
                )
            return
        for key in sorted(wanted):
            # It is made with room for all that is brought back.
            before = {"storage": -1} if kind.name == "quota" else None
            yield self._one(stage, scope, kind, key, wanted[key], before)
        if kind.name == "members" and not self._limits.has_importer(wanted):
            yield self._step(
                stage, scope, kind, _CREATOR, Action.DELETE, why="unless the export has it"
            )

    # -- the configurations

    def _configurations(self, stage: Stage, kind: Kind) -> Iterator[Step]:
        there = self._target.settings.values.get((SYSTEM, kind.name))
        if there is None:
            if stage is Stage.BEFORE:
                why = "only an administrator may read and write them"
                yield self._step(stage, SYSTEM, kind, "", Action.CANNOT, why=why)
            return
        wanted = self._given.fill(SYSTEM, kind.name, "", self._wanted[SYSTEM][kind.name])
        item: Item = {}
        steps, left = self._left_together(stage, kind, wanted)
        yield from steps
        for key, value in sorted(wanted.items()):
            is_of_stage = (key == _LAST) == (stage is Stage.AFTER)
            if not is_of_stage or key in left or self._limits.is_no_matter(key, value):
                continue
            if why := self._limits.why_no_configuration(key, value):
                yield self._step(stage, SYSTEM, kind, key, Action.CANNOT, why=why)
            else:
                item[key] = value
        settled = settle(kind.name, item, there)
        item = settled.item
        # Not what lacks its secret: that is left as it is there.
        before = {key: there[key] for key in item if key in there}
        fields = tuple(field_changes(before, item))
        needs = [secret_key(SYSTEM, kind.name, path) for path in settled.lacking]
        more: Mapping[str, str] = {}
        if stage is Stage.BEFORE:
            more, lacking = self._limits.write_only(wanted, [each.name for each in fields])
            item |= {key: Secret(text) for key, text in more.items()}
            needs += lacking
        if fields or stage is Stage.BEFORE:
            rewrites = bool(more) or settled.is_unsure
            action = Action.UPDATE if fields or rewrites else Action.LEAVE
            yield self._step(
                stage, SYSTEM, kind, "", action, item=item, before=before, fields=fields,
                why=_WRITTEN_AGAIN if rewrites else "", needs=tuple(needs), rewrites=rewrites,
            )  # fmt: skip

    def _left_together(self, stage: Stage, kind: Kind, wanted: Item) -> tuple[list[Step], set[str]]:
        """Return which configurations are left, since a secret would be sent away, and why."""
        steps: list[Step] = []
        left: set[str] = set()
        for address, keys, why, secret in self._limits.kept_together(wanted):
            left.update(keys)
            if stage is Stage.BEFORE:
                steps.append(
                    self._step(
                        stage, SYSTEM, kind, address, Action.CANNOT, why=why, needs=(secret,)
                    )
                )
        return steps, left

    def _step(
        self, stage: Stage, scope: str, kind: Kind, key: str, action: Action, **more: Any
    ) -> Step:
        return Step(
            stage=stage,
            scope=scope,
            kind=kind.name,
            noun=kind.noun,
            key=key,
            action=action,
            **more,
        )


def _is_late(field: str) -> bool:
    return field == "scanner" or field.removeprefix("metadata.") in LATE_METADATA
