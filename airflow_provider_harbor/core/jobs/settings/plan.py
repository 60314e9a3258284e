"""What an import of settings would do: create, update, leave, delete; and what it cannot, and why.

The order is one in which each setting finds what it needs. In the middle of it the artifacts are
brought back: what would act on them, or refuse them, comes after them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress

from airflow_provider_harbor.core.jobs.settings.compare import (
    Settings,
    field_changes,
    kinds_of,
)
from airflow_provider_harbor.core.jobs.settings.fitting import Fitting
from airflow_provider_harbor.core.jobs.settings.known import (
    KEEP_SECRETS,
    WRITTEN_AGAIN,
    Settled,
    settle,
)
from airflow_provider_harbor.core.jobs.settings.limits import Limits
from airflow_provider_harbor.core.jobs.settings.made import OF_THIS, OF_WHOM, left_by_making
from airflow_provider_harbor.core.jobs.settings.made_robots import unknown
from airflow_provider_harbor.core.jobs.settings.own_login import OwnLogin
from airflow_provider_harbor.core.jobs.settings.pairs import Pairs, Surplus, pair
from airflow_provider_harbor.core.jobs.settings.plan_configurations import ConfigurationPlan
from airflow_provider_harbor.core.jobs.settings.plan_projects import ProjectPlan
from airflow_provider_harbor.core.jobs.settings.secrets import (
    GivenSecrets,
    secret_key,
    secret_keys,
)
from airflow_provider_harbor.core.jobs.settings.steps import Action, Stage, Step, step_of
from airflow_provider_harbor.core.settings.kinds import (
    SCHEDULES,
    SYSTEM,
    Item,
    Kind,
    items_of,
    kind_of,
)
from airflow_provider_harbor.core.settings.target import SettingsTarget
from airflow_provider_harbor.core.store.documents import SHAPE_ERRORS

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

log = logging.getLogger(__name__)


def _odd(stage: Stage, scope: str, kind: Kind, key: str, err: Exception) -> Step:
    """Return that a setting of a document of another program cannot be taken."""
    log.debug("This is where it happened:", exc_info=True)
    why = f"it has another form than it should ({type(err).__name__})"
    return step_of(stage, scope, kind, key, Action.CANNOT, why=why)


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
        is_untold: Tells of the key of a secret, and the id of the robot that is there, whether
            nobody knows that.
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
        is_untold: Callable[[str, object], bool] = lambda key, number: False,
        left_names: Mapping[str, str] | None = None,
        makes_passwords: bool = False,
    ) -> None:
        self._wanted = wanted
        self._target = target
        self._given = given
        self._kinds = kinds
        self._delete_surplus = delete_surplus
        self._own = OwnLogin(target)
        self._fitting = Fitting(wanted, target, self._own, left_names or {})
        self._limits = Limits(
            wanted, target, given, self._own, left_names or {}, kinds=kinds,
            makes_passwords=makes_passwords,
        )  # fmt: skip
        self._configurations = ConfigurationPlan(wanted, target, given)
        self._projects = ProjectPlan(
            wanted, target, given, self._limits, self._fitting, kinds,
            knows_scanners=(SYSTEM, "scanners") not in incomplete,
        )  # fmt: skip
        self._made = made
        self._is_untold = is_untold
        self._left = Surplus(wanted, target, incomplete)
        self._surplus: dict[str, int] = {}
        for scope, values in wanted.items():
            for kind in kinds_of(scope):
                with suppress(*SHAPE_ERRORS):  # told where its step is looked for
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
                    for step in self._safely(stage, scope, kind_of(scope, name)):
                        if step.action is Action.DELETE and step.before is not None:
                            gone.append(step)
                        elif step.kind == "configurations" and stage is Stage.AFTER:
                            last.append(step)
                        else:
                            found.append(step)
        return [*found, *reversed(gone), *last]

    def again(self, step: Step) -> Step:
        """Return the step that makes an item, as it is known to be now that its project is there.

        Before, nobody may have been able to tell what this Harbor knows.
        """
        if step.kind != "webhooks" or step.action is not Action.CREATE:
            return step
        kind = kind_of(step.scope, step.kind)
        item = items_of(kind, self._wanted[step.scope][kind.name])[step.key]
        return self._one(step.stage, step.scope, kind, step.key, item, None)

    def _scopes(self, of_projects: bool) -> list[str]:
        if not of_projects:
            return [SYSTEM] if SYSTEM in self._wanted else []
        return sorted(scope for scope in self._wanted if scope != SYSTEM)

    def _safely(self, stage: Stage, scope: str, kind: Kind) -> list[Step]:
        """Return the steps of a kind; where it has an odd form that is all that is known of it."""
        try:
            return list(self._of_kind(stage, scope, kind))
        except SHAPE_ERRORS as err:
            return [_odd(stage, scope, kind, "", err)]

    def _of_kind(self, stage: Stage, scope: str, kind: Kind) -> Iterator[Step]:
        values = self._wanted[scope]
        is_meant = not self._kinds or kind.name in self._kinds
        if not is_meant or kind.name not in values:
            return
        if kind.name == "configurations":
            yield from self._configurations.steps(stage, kind)
        elif kind.name == "project":
            yield from self._projects.steps(stage, scope, kind)
        elif scope != SYSTEM and not self._target.has_project(scope):
            yield from self._of_new_project(stage, scope, kind)
        else:
            yield from self._items(stage, scope, kind)

    # -- what is there

    def _items(self, stage: Stage, scope: str, kind: Kind) -> Iterator[Step]:
        there = self._target.settings.values
        wanted = items_of(kind, self._wanted[scope][kind.name])
        if (scope, kind.name) not in there and not self._is_hidden(scope, kind):
            yield step_of(
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
            if self._own.stays_administrator(kind.name, item, before):
                yield step_of(stage, scope, kind, key, Action.CANNOT, why=_OWN_LOGIN)
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
            if self._delete_surplus and not self._own.is_it(kind.name, before):
                gone.append((key, "not wanted"))
            elif comes_with_it and scope in self._made:
                gone.append((key, OF_THIS))
            else:
                self._surplus[kind.name] = self._surplus.get(kind.name, 0) + 1
                if comes_with_it:
                    about = OF_WHOM[kind.name]
                    yield step_of(stage, scope, kind, key, Action.CANNOT, why=about)
        if why and gone:
            self._surplus[kind.name] = self._surplus.get(kind.name, 0) + len(gone)
            names = ", ".join(key for key, _ in gone)
            why = f"not deleted, though the export has them not: {names}: {why}"
            yield step_of(stage, scope, kind, "", Action.CANNOT, why=why)
            return
        for key, about in gone:
            before = pairs.surplus[key]
            yield step_of(stage, scope, kind, key, Action.DELETE, before=before, why=about)

    def _in_order(self, kind: Kind, wanted: Mapping[str, Item]) -> list[str]:
        # The first scanner is the default by itself, and could not be disabled then.
        return sorted(wanted, key=lambda key: (not wanted[key].get("is_default"), key))

    def _one(
        self, stage: Stage, scope: str, kind: Kind, key: str, item: Item, before: Item | None
    ) -> Step:
        try:
            return self._planned(stage, scope, kind, key, item, before)
        except SHAPE_ERRORS as err:
            return _odd(stage, scope, kind, key, err)

    def _planned(
        self, stage: Stage, scope: str, kind: Kind, key: str, item: Item, before: Item | None
    ) -> Step:
        item = self._given.fill(scope, kind.name, key, item)
        item, why = self._fitting.fitted(kind.name, item, before)
        lost = why
        settled = settle(kind.name, item, before)
        needs = tuple(self._needs(scope, kind, key, item, before, settled))
        fields = tuple(field_changes(before or {}, settled.item))
        cannot = self._limits.why_not(scope, kind.name, item, before)
        if kind.name == "robots" and lost and not item.get("permissions"):
            cannot = f"nothing is left of what it may do, and Harbor makes no such robot: {lost}"
        if before is not None and settled.lacking and kind.name in KEEP_SECRETS:
            cannot = cannot or _ANOTHER_ADDRESS.format(needs[0])
        if cannot:
            if before is not None and not fields:
                return step_of(stage, scope, kind, key, Action.LEAVE, needs=needs)
            return step_of(stage, scope, kind, key, Action.CANNOT, why=cannot, needs=needs)
        rewrites = False
        if before is None:
            action = Action.CREATE
        else:
            fields = self._fitting.relevant(kind.name, fields)
            rewrites = settled.is_unsure or self._is_given_again(scope, kind, key, item)
            action = Action.UPDATE if fields or rewrites else Action.LEAVE
            said = WRITTEN_AGAIN if rewrites else ""
            if kind.name == "robots" and not rewrites:
                untold = self._untold(scope, kind, key)
                lost = "; ".join(filter(None, (lost, untold)))
                said = untold
                needs = (*needs, secret_key(scope, kind.name, key)) if untold else needs
            if kind.name == "users" and self._given.of(scope, kind.name, key):
                said = _KEEPS_ITS_OWN
            why = "; ".join(filter(None, (why, said)))
        return step_of(
            stage, scope, kind, key, action, item=settled.item, before=before, fields=fields,
            why=why, needs=needs, lost=lost, rewrites=rewrites,
        )  # fmt: skip

    def _untold(self, scope: str, kind: Kind, key: str) -> str:
        """Return that nobody knows the secret of a robot that is there; empty where it is known."""
        name = secret_key(scope, kind.name, key)
        raw = self._target.settings.raws.get((scope, kind.name), {}).get(key, {})
        return unknown(name) if self._is_untold(name, raw.get("id")) else ""

    def _is_given_again(self, scope: str, kind: Kind, key: str, item: Item) -> bool:
        """Tell whether the secret of a robot that is there is given, and can be written."""
        is_given = kind.name == "robots" and self._given.of(scope, kind.name, key)
        return bool(is_given) and not self._own.is_own_robot(scope, item)

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

    def _of_new_project(self, stage: Stage, scope: str, kind: Kind) -> Iterator[Step]:
        """Yield what is set in a project that is made by this import."""
        project = self._wanted[scope].get("project")
        is_made = not self._kinds or "project" in self._kinds
        wanted = items_of(kind, self._wanted[scope][kind.name])
        if project is None or not is_made or self._limits.why_not(scope, "project", project, None):
            if wanted:
                yield step_of(stage, scope, kind, "", Action.CANNOT, why="its project is not there")
            return
        for key in sorted(wanted):
            # It is made with room for all that is brought back.
            before = {"storage": -1} if kind.name == "quota" else None
            yield self._one(stage, scope, kind, key, wanted[key], before)
        if kind.name == "members" and not self._own.has_importer(wanted):
            yield step_of(
                stage, scope, kind, _CREATOR, Action.DELETE, why="unless the export has it"
            )
