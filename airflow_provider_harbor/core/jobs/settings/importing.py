"""Bring Harbor's settings back: plan, write, read back, compare."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from airflow_provider_harbor.core.exceptions import (
    HarborBackupError,
    HarborConfigurationError,
    describe,
)
from airflow_provider_harbor.core.harbor.client import HarborClient
from airflow_provider_harbor.core.human import Progress
from airflow_provider_harbor.core.jobs.settings.doing import Doing, is_of_making
from airflow_provider_harbor.core.jobs.settings.forms import OddSetting
from airflow_provider_harbor.core.jobs.settings.hiding import HiddenSecrets
from airflow_provider_harbor.core.jobs.settings.labels import ArtifactLabels
from airflow_provider_harbor.core.jobs.settings.made import MadeProjects, left_by_making
from airflow_provider_harbor.core.jobs.settings.made_robots import (
    MadeRobots,
    OnSecret,
    tell_nobody,
)
from airflow_provider_harbor.core.jobs.settings.outcome import (
    ImportReport,
    State,
    StepResult,
    planned,
)
from airflow_provider_harbor.core.jobs.settings.plan import Planner
from airflow_provider_harbor.core.jobs.settings.renames import left_names
from airflow_provider_harbor.core.jobs.settings.rights import require_rights
from airflow_provider_harbor.core.jobs.settings.steps import Action, Stage, Step, step_of
from airflow_provider_harbor.core.jobs.settings.wanted import ARTIFACT_LABELS, SettingsImport
from airflow_provider_harbor.core.settings.kinds import SYSTEM, kind_of
from airflow_provider_harbor.core.settings.reader import read_settings
from airflow_provider_harbor.core.settings.target import SettingsTarget
from airflow_provider_harbor.core.settings.writer import SettingsWriter
from airflow_provider_harbor.core.texts import one_line

log = logging.getLogger(__name__)

# No name of a project is this.
_NO_PROJECT = ("/",)
_NOT_YET = (
    "not done yet, since something else failed, which could not be done in read-only mode. Mend "
    "that, and run it again"
)
_UNSEEN = "written, but it could not be read back"
_CHANGED = (
    "it was as it should be, and is otherwise now, by what was written or by somebody else. Run it "
    "again"
)
_STILL = "it is still otherwise"
_IGNORED = f"Harbor accepted it, and {_STILL}"


def import_settings(
    client: HarborClient,
    wanted: SettingsImport,
    *,
    dry_run: bool = False,
    on_secret: OnSecret = tell_nobody,
    new_password: Callable[[], str] | None = None,
    progress: Progress | None = None,
) -> ImportReport:
    """Bring settings back.

    Args:
        client: An administrator's login at the Harbor that is to have them.
        wanted: Which ones.
        dry_run: Only find out what would be done.
        on_secret: Called with the key and the text of each secret that is made on the way: those of
            new robots, which Harbor shows once, and passwords of new users. It returns `Told.LATER`
            or `NEVER` where nobody has it yet; the store remembers such a robot, and an import
            names it, until a secret is given or `MadeRobots.end` is called. Where it raises, no
            further secrets are made.
        new_password: Makes one for a new user of whom none is given; None not to make such users.
        progress: Called with a line of text now and then.

    Returns:
        What was done, or would be. One setting that fails stops no other; whether anything failed
        is for the caller to raise.

    Raises:
        HarborBackupError: Nothing was begun: the night, the login, a name or a secret is wrong; or
            the login is no administrator's; or Harbor is in read-only mode.
    """
    run = _Import(client, wanted, on_secret, new_password, progress or (lambda text: None))
    return run.plan_only() if dry_run else run.run()


class _Import:
    def __init__(
        self,
        client: HarborClient,
        wanted: SettingsImport,
        on_secret: OnSecret,
        new_password: Callable[[], str] | None,
        progress: Progress,
    ) -> None:
        self._client = client
        wanted = replace(wanted, given=wanted.given.renamed(wanted.scopes()))
        self._wanted = wanted
        self._new_password = new_password
        self._tell = progress
        self._on_secret = on_secret
        self._hidden = HiddenSecrets(wanted.given.texts)
        found = wanted.wanted()
        self._values = found.values
        self._damaged = found.damaged
        self._odd = found.odd
        self._unknown = found.unknown
        self._hidden.add_all_of(self._values)
        info = client.check_login()
        require_rights(client)
        self._is_read_only = info.read_only
        self._made = MadeProjects(wanted.store, client.url)
        self._robots = MadeRobots(wanted.store, client.url)
        self._target = self._read()
        self._planner = self._plan_on(self._target)
        self._labels = ArtifactLabels(
            client, wanted.store, wanted.night.key, self._target, self._values
        )

    def _read(self) -> SettingsTarget:
        names = [scope for scope in self._values if scope != SYSTEM]
        found = read_settings(self._client, include=names or _NO_PROJECT, progress=self._tell)
        for value in found.values.values():
            self._hidden.add_all_of(value)
        return SettingsTarget(self._client, found)

    def _plan_on(self, target: SettingsTarget) -> Planner:
        return Planner(
            self._values,
            target,
            self._wanted.given,
            kinds=self._wanted.kinds,
            delete_surplus=self._wanted.delete_surplus,
            # Of what is left out nobody can tell that it is a surplus there.
            incomplete=self._wanted.incomplete() | {(odd.scope, odd.kind) for odd in self._odd},
            made=self._made_there(target),
            is_untold=self._robots.is_untold,
            left_names=left_names(self._wanted.scopes()),
            makes_passwords=self._new_password is not None,
        )

    def _made_there(self, target: SettingsTarget) -> list[str]:
        numbers = target.settings.project_ids
        return [name for name, number in numbers.items() if self._made.is_made(name, number)]

    def _end_made(self, target: SettingsTarget) -> None:
        """Forget the projects of which nothing is left that came with them."""
        for name in self._made_there(target):
            if not left_by_making(self._values, target, name):
                self._made.end(name)

    # -- what would be done

    def plan_only(self) -> ImportReport:
        steps = self._planner.steps(self._wanted.stages)
        results = self._damage()
        results += [StepResult(step=step, state=planned(step)) for step in steps]
        labels = self._label_steps(is_plan=True)
        results += [StepResult(step=step, state=planned(step)) for step, _ in labels]
        return self._report(results, dry_run=True)

    def _label_steps(self, *, is_plan: bool = False) -> Iterator[tuple[Step, list[Any]]]:
        kinds = self._wanted.kinds
        if Stage.AFTER in self._wanted.stages and (not kinds or ARTIFACT_LABELS in kinds):
            scopes = self._wanted.scopes()
            whole = {old: new for old, new in scopes.items() if new not in self._damaged}
            yield from self._labels.steps(whole, is_plan=is_plan)

    @property
    def _first_stage(self) -> Stage:
        return next(iter(self._wanted.stages))

    def _damage(self) -> list[StepResult]:
        """Return what cannot be brought back, since its document is gone, damaged, or odd."""
        results = [
            StepResult(step=_step_of_odd(self._first_stage, odd), state=State.CANNOT)
            for odd in self._odd
            if not self._wanted.kinds or odd.kind in self._wanted.kinds
        ]
        for scope, why in sorted(self._damaged.items()):
            if not self._wanted.is_meant(scope):
                log.warning("Damaged, and not needed for what is meant: %s", why)
                continue
            step = Step(
                stage=self._first_stage,
                scope=scope,
                kind="document",
                noun="all settings" if scope else "all settings of the system",
                key="",
                action=Action.CANNOT,
                why=f"damaged: {why}. Take another night, or export them again",
            )
            results.append(StepResult(step=step, state=State.CANNOT))
        return results

    def _report(self, results: Sequence[StepResult], *, dry_run: bool) -> ImportReport:
        unread = [
            unread
            for unread in self._wanted.night.settings.unread
            if not self._wanted.kinds or unread.kind in self._wanted.kinds
        ]
        return ImportReport(
            url=self._client.url,
            night=self._wanted.night.key,
            dry_run=dry_run,
            results=tuple(results),
            unread=tuple(unread),
            surplus=dict(self._planner.surplus),
            unused=tuple(self._unused()),
            is_read_only=self._is_read_only,
            warnings=tuple(self._warnings()),
        )

    def _warnings(self) -> Iterator[str]:
        yield from self._wanted.night.lines()
        if self._unknown:
            names = one_line(", ".join(self._unknown), 200)
            yield f"not brought back, since only a newer program knows these kinds: {names}"

    def _unused(self) -> list[str]:
        """Return which secrets are of nothing; of what is damaged nobody can tell."""
        projects = {f"{scope}/" for scope in (*self._values, *self._damaged) if scope}
        found = []
        for key in self._wanted.given.unused:
            of = next((begin[:-1] for begin in projects if key.startswith(begin)), SYSTEM)
            if of not in self._damaged:
                found.append(key)
        return found

    # -- what is done

    def run(self) -> ImportReport:
        steps = list(self._planner.steps(self._wanted.stages))
        if self._is_read_only:
            return self._run_on_read_only(steps)
        doing = Doing(
            self._target,
            self._wanted,
            self._values,
            made=self._made,
            robots=self._robots,
            hidden=self._hidden,
            on_secret=self._on_secret,
            new_password=self._new_password,
            tell=self._tell,
            again=self._planner.again,
        )
        last = [step for step in steps if _makes_read_only(step)]
        damage = self._damage()
        results, is_there = doing.do_all([step for step in steps if step not in last])
        if is_there:
            results += self._put_labels(doing.writer)
            results = self._compared(results)
        for step in last:
            if damage or any(result.state is State.FAILED for result in results):
                results.append(StepResult(step=step, state=State.FAILED, message=_NOT_YET))
            else:
                results += self._compared([doing.do(step)])
        return self._report([*damage, *results], dry_run=False)

    def _run_on_read_only(self, steps: Sequence[Step]) -> ImportReport:
        """Return a report where nothing is to be done.

        Raises:
            HarborConfigurationError: Something is.
        """
        labels = [step for step, _ in self._label_steps(is_plan=True)]
        if any(step.writes for step in (*steps, *labels)):
            raise HarborConfigurationError(
                f"{self._client.url} is in read-only mode, in which it takes no settings. Switch "
                "that off there (Configuration, System Settings), and run it again"
            )
        results = [StepResult(step=step, state=planned(step)) for step in (*steps, *labels)]
        return self._report([*self._damage(), *results], dry_run=False)

    def _put_labels(self, writer: SettingsWriter) -> list[StepResult]:
        results = []
        for step, missing in self._label_steps():
            failures = self._labels.put(writer, step.scope, missing)
            state = State.FAILED if failures else State.DONE if step.writes else planned(step)
            message = self._hidden.hide("; ".join(failures[:3]))
            results.append(StepResult(step=step, state=state, message=message))
        return results

    # -- what came of it

    def _is_left(self, target: SettingsTarget, step: Step) -> bool:
        has_it = step.scope in target.settings.project_ids
        return has_it and step.kind in left_by_making(self._values, target, step.scope)

    def _compared(self, results: Sequence[StepResult]) -> list[StepResult]:
        """Return the results, with an error where Harbor has not what was written."""
        if not any(result.state is State.DONE for result in results):
            self._end_made(self._target)
            return list(results)
        self._tell("reading back what was written")
        try:
            target = self._read()
            left = self._plan_on(target).steps(self._wanted.stages)
            self._end_made(target)
        except HarborBackupError as err:
            why = self._hidden.hide(describe(err))
            log.warning("What was written could not be read back: %s", why)
            note = f"written, but it could not be read back: {why}"
            return [
                StepResult(step=r.step, state=State.FAILED, message=note)
                if r.state is State.DONE
                else r
                for r in results
            ]
        # A secret that nobody can compare would be written each time.
        differing = {
            _name(step): step
            for step in left
            if step.writes and not (step.rewrites and not step.fields)
        }
        checked = []
        for result in results:
            step = differing.get(_name(result.step))
            # What came with a project has another name now, and may be of another stage.
            if is_of_making(result.step) and self._is_left(target, result.step):
                step = result.step
            if result.state is State.LEFT and step:
                checked.append(_changed(result, step))
            elif result.state is State.DONE and step:
                said = "; ".join(map(str, step.fields)) or step.action.value
                # One that was refused was not accepted.
                message = f"{result.message}; {_STILL}" if result.message else _IGNORED
                message = f"{message}: {said}"
                checked.append(StepResult(step=result.step, state=State.FAILED, message=message))
            elif result.state is State.DONE and not _was_read(target, result.step):
                checked.append(StepResult(step=result.step, state=State.FAILED, message=_UNSEEN))
            else:
                checked.append(result)
        return checked


def _name(step: Step) -> tuple[str, str, str, str]:
    return (step.stage.value, step.scope, step.kind, step.key)


def _step_of_odd(stage: Stage, odd: OddSetting) -> Step:
    kind = kind_of(odd.scope, odd.kind)
    return step_of(stage, odd.scope, kind, odd.key, Action.CANNOT, why=odd.why)


def _changed(result: StepResult, now: Step) -> StepResult:
    """Return that a setting which was left is otherwise now: by what was written, or by others."""
    said = "; ".join(map(str, now.fields)) or now.why or now.action.value
    message = f"{_CHANGED}: {said}"
    return StepResult(step=result.step, state=State.FAILED, message=message)


def _was_read(target: SettingsTarget, step: Step) -> bool:
    return (step.scope, step.kind) in target.settings.values


def _makes_read_only(step: Step) -> bool:
    return step.writes and step.kind == "configurations" and step.stage is Stage.AFTER
