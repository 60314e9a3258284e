"""Do the steps of an import of settings, one after the other: one that fails stops no other."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from airflow_provider_harbor.core.exceptions import (
    HarborBackupError,
    HarborConfigurationError,
    HarborConnectionError,
    HarborStatusError,
    describe,
)
from airflow_provider_harbor.core.human import Progress
from airflow_provider_harbor.core.jobs.settings.hiding import HiddenSecrets
from airflow_provider_harbor.core.jobs.settings.known import HELD, is_elsewhere
from airflow_provider_harbor.core.jobs.settings.made import MadeProjects
from airflow_provider_harbor.core.jobs.settings.made_robots import (
    MadeRobots,
    OnSecret,
    Told,
    unknown,
)
from airflow_provider_harbor.core.jobs.settings.outcome import State, StepResult, planned
from airflow_provider_harbor.core.jobs.settings.secrets import secret_key
from airflow_provider_harbor.core.jobs.settings.steps import Action, Stage, Step
from airflow_provider_harbor.core.jobs.settings.wanted import SettingsImport
from airflow_provider_harbor.core.settings.kinds import SYSTEM, Item, items_of, kind_of
from airflow_provider_harbor.core.settings.target import SettingsTarget
from airflow_provider_harbor.core.settings.writer import SettingsWriter

log = logging.getLogger(__name__)

# Nobody can read which one it has, so another import leaves it as it is, unless one is given.
_MAYBE_A_ROBOT = (
    ". If it is there by now, its secret may not be the old one: run again with its secret given, "
    "or delete it first"
)
_NOT_KEPT = "the new secret of {} could not be kept: {}"
_MAYBE_WANTED = "not deleted, since another one could not be created, and may be this one"
_NOT_MADE = "left, since this import has not made the project"
_ELSEWHERE = (
    "it hangs on the {} {}, which is of another server there, and was not changed. Bring that back "
    "first"
)


class Doing:
    """Writes what an import has planned.

    Args:
        target: The Harbor.
        wanted: What is to be brought back.
        values: The settings of that, by the names that projects are to have.
        made: Remembers which projects were made.
        robots: Remembers which robots were made whose secrets nobody has yet.
        hidden: Keeps secrets out of what is told.
        on_secret: Called with the key and the text of each secret that is made on the way.
        new_password: Makes one for a new user of whom none is given; None not to make such users.
        tell: Called with a line of text for each step.
        again: Returns a step as it is known to be just before it is done.

    Attributes:
        writer: What sends it.
    """

    def __init__(
        self,
        target: SettingsTarget,
        wanted: SettingsImport,
        values: Mapping[str, Mapping[str, Any]],
        *,
        made: MadeProjects,
        hidden: HiddenSecrets,
        robots: MadeRobots,
        on_secret: OnSecret,
        new_password: Callable[[], str] | None,
        tell: Progress,
        again: Callable[[Step], Step] = lambda step: step,
    ) -> None:
        self._target = target
        self._wanted = wanted
        self._values = values
        self._made = made
        self._robots = robots
        self._untold: set[str] = set()
        self._not_kept = ""
        self._hidden = hidden
        self._on_secret = on_secret
        self._new_password = new_password
        self._tell = tell
        self._again = again
        self.writer = SettingsWriter(target, self._keep_secret)

    def do_all(self, steps: Sequence[Step]) -> tuple[list[StepResult], bool]:
        """Do steps; returns what came of each, and whether Harbor still answers."""
        results: list[StepResult] = []
        stopped = ""
        not_made: set[tuple[str, str]] = set()
        elsewhere = self._elsewhere()
        for step in steps:
            self._tell(f"{step.scope or 'system'}: {step.title}")
            result = StepResult(step=step, state=planned(step))
            if stopped and step.writes:
                result = StepResult(step=step, state=State.FAILED, message=stopped)
            elif _is_surplus(step) and (step.scope, step.kind) in not_made:
                result = StepResult(step=step, state=State.FAILED, message=_MAYBE_WANTED)
            elif is_of_making(step) and step.scope not in self._target.made_projects:
                result = StepResult(step=step, state=State.FAILED, message=_NOT_MADE)
            elif step.writes and (other := _hanging(step) & elsewhere):
                kind, name = min(other)
                message = _ELSEWHERE.format(kind_of(SYSTEM, kind).noun, name)
                result = StepResult(step=step, state=State.FAILED, message=message)
            elif step.writes:
                result = self.do(step)
                if result.is_connection and not self._answers():
                    stopped = "not tried, since Harbor did not answer before"
            if result.state is State.DONE:
                elsewhere.discard((step.kind, step.key))
            if result.state is State.FAILED and step.action is Action.CREATE:
                not_made.add((step.scope, step.kind))
            results.append(result)
        return results, not stopped

    def _elsewhere(self) -> set[tuple[str, str]]:
        """Return what is of another server there than it is to be, by kind and name.

        Until a step has changed it, what hangs on it would be of that server, too.
        """
        found = set()
        for kind in HELD:
            there = self._target.settings.values.get((SYSTEM, kind)) or ()
            known = {item.get("name"): item for item in there}
            for item in self._values.get(SYSTEM, {}).get(kind) or ():
                name = item.get("name")
                if name in known and is_elsewhere(kind, item, known[name]):
                    found.add((kind, str(name)))
        return found

    def _answers(self) -> bool:
        """Tell whether Harbor is there: one connection may break without it."""
        try:
            self._target.client.ping()
        except HarborBackupError:
            return False
        return True

    def _keep_secret(self, key: str, text: str) -> None:
        """Hand a new secret out.

        Where that fails nothing else is cut short, but no further secret is made.
        """
        if not text:
            return
        self._hidden.add(text)
        try:
            told = self._on_secret(key, text)
        except Exception as err:  # whatever keeps them
            self._not_kept = self._hidden.hide(_NOT_KEPT.format(key, describe(err)))
            log.debug("This is where it happened:", exc_info=True)
            return
        if told is Told.NEVER:
            self._untold.add(key)
        elif told is not Told.LATER:
            self._robots.end(key)

    def _require_keeping(self) -> None:
        """Make sure that new secrets can be kept, as far as is known.

        Raises:
            HarborConfigurationError: One could not.
        """
        if self._not_kept:
            raise HarborConfigurationError(
                f"not made, since its secret would be lost: {self._not_kept}"
            )

    def do(self, step: Step) -> StepResult:
        """Do one step; returns what came of it."""
        try:
            step = self._again(step)
            message = self._written(step)
            if (key := secret_key(step.scope, step.kind, step.key)) in self._untold:
                lost = "; ".join(filter(None, (step.lost, unknown(key))))
                step = replace(step, lost=lost)
                message = "; ".join(filter(None, (message, unknown(key))))
            return StepResult(step=step, state=State.DONE, message=message)
        except HarborBackupError as err:
            message = self._hidden.hide(describe(err))
            is_refused = isinstance(err, HarborStatusError) and err.status < 500
            is_connection = isinstance(err, HarborConnectionError)
        except (KeyError, ValueError, TypeError, AttributeError) as err:
            # A document of another program, or a secret or an answer of another form than it
            # should have.
            log.debug("This is where it happened:", exc_info=True)
            message = f"it has another form than it should ({type(err).__name__})"
            is_connection = is_refused = False
        is_known = is_refused or bool(self._not_kept)
        if step.kind == "robots" and step.action is Action.CREATE and not is_known:
            message += _MAYBE_A_ROBOT
        return StepResult(
            step=step, state=State.FAILED, message=message, is_connection=is_connection
        )

    def _written(self, step: Step) -> str:
        """Do a step; returns what was done otherwise than it was planned."""
        if step.action is Action.DELETE:
            return self._deleted(step)
        item = step.item or {}
        if step.action is Action.UPDATE:
            return self._updated(step)
        if step.kind == "project":
            return self._make_project(step.scope, item)
        secret = self._wanted.given.of(step.scope, step.kind, step.key)
        if step.kind == "users" and not secret and self._new_password:
            secret = self._new_password()
            # First: later the answer may be lost, and with it what the password is.
            self._require_keeping()
            self._keep_secret(f"users/{step.key}", secret)
            self._require_keeping()
        if step.kind == "robots":
            return self._make_robot(step, item, secret)
        done = self.writer.create(step.scope, step.kind, item, secret)
        return self._hidden.hide("; ".join(done.notes))

    def _make_robot(self, step: Step, item: Item, secret: str) -> str:
        self._require_keeping()
        key = secret_key(step.scope, step.kind, step.key)
        self._robots.begin(key)
        try:
            done = self.writer.create(step.scope, step.kind, item, secret)
        except Exception as err:
            if not self._target.has_made(step.scope, step.kind, step.key):
                self._robots.fail(key, err)
            raise
        if secret:
            self._robots.end(key)
        elif self._robots.is_untold(key, None):
            self._robots.made(key, self._target.number_of(step.scope, step.kind, step.key))
        if self._not_kept:
            raise HarborConfigurationError(self._not_kept)
        return self._hidden.hide("; ".join(done.notes))

    def _updated(self, step: Step) -> str:
        before, late = step.before or {}, step.stage is Stage.AFTER
        is_robot = step.kind == "robots"
        notes: list[str] = []
        if step.fields or not is_robot:
            notes = self.writer.update(
                step.scope, step.kind, step.item or {}, before, late=late
            ).notes
        if step.rewrites and is_robot:
            secret = self._wanted.given.of(step.scope, step.kind, step.key)
            self.writer.put_robot_secret(step.scope, before, secret)
            self._robots.end(secret_key(step.scope, step.kind, step.key))
        return self._hidden.hide("; ".join(notes))

    def _make_project(self, scope: str, item: Item) -> str:
        self._made.begin(scope)
        kinds = self._wanted.kinds
        if self._values[scope].get("quota") and (not kinds or "quota" in kinds):
            self.writer.with_room.add(scope)
        try:
            done = self.writer.create(scope, "project", item)
        except HarborBackupError as err:
            if scope not in self._target.made_projects:
                self._made.fail(scope, err)
                raise
            self._made.made(scope, self._target.project_id(scope))
            raise
        self._made.made(scope, self._target.project_id(scope))
        return self._hidden.hide("; ".join(done.notes))

    def _deleted(self, step: Step) -> str:
        if step.before is not None:
            self.writer.delete(step.scope, step.kind, step.before)
            return ""
        if step.kind == "retention":
            return "" if self.writer.delete_made_retention(step.scope) else "there was none"
        return "" if self._delete_creator(step.scope) else "there was none"

    def _delete_creator(self, scope: str) -> bool:
        """Delete the creator of a project that was made, whom the export has not as a member.

        Nobody else: others may be at work there, too.
        """
        wanted = items_of(kind_of(scope, "members"), self._values[scope]["members"])
        creators = {self._target.client.user, self._target.owner_of(scope)}
        creators -= {item["name"] for item in wanted.values() if item["type"] == "user"}
        gone = [
            member
            for member in self.writer.list_members(scope)
            if member["entity_type"] == "u" and member["entity_name"] in creators
        ]
        for member in gone:
            self.writer.delete_member(scope, member)
        return bool(gone)


def is_of_making(step: Step) -> bool:
    """Tell whether something goes that came with a project which was made."""
    return step.action is Action.DELETE and step.before is None


def _is_surplus(step: Step) -> bool:
    return step.action is Action.DELETE and step.before is not None


def _hanging(step: Step) -> set[tuple[str, str]]:
    """Return on what of the system a setting hangs, by kind and name."""
    item = step.item or {}
    names: dict[str, list[Any]] = {}
    if step.kind == "replications":
        names["registries"] = [item.get("src_registry"), item.get("dest_registry")]
    elif step.kind == "preheat-policies":
        names["preheat-instances"] = [item.get("provider")]
    elif step.kind == "project" and step.before is None:
        names["registries"] = [item.get("registry")]
    elif step.kind == "project":
        names["scanners"] = [each.after for each in step.fields if each.name == "scanner"]
    return {(kind, str(name)) for kind, found in names.items() for name in found if name}
