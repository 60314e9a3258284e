"""Bring Harbor's settings back: plan, write, read back, compare."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from airflow_provider_harbor.core.exceptions import (
    HarborBackupError,
    HarborConfigurationError,
    HarborConnectionError,
    describe,
)
from airflow_provider_harbor.core.harbor.client import HarborClient
from airflow_provider_harbor.core.human import Progress
from airflow_provider_harbor.core.jobs.choosing import parse_renames
from airflow_provider_harbor.core.jobs.settings_hiding import HiddenSecrets
from airflow_provider_harbor.core.jobs.settings_known import HELD, is_elsewhere
from airflow_provider_harbor.core.jobs.settings_labels import ArtifactLabels
from airflow_provider_harbor.core.jobs.settings_made import MadeProjects, left_by_making
from airflow_provider_harbor.core.jobs.settings_nights import SettingsNight, read_documents
from airflow_provider_harbor.core.jobs.settings_outcome import (
    ImportReport,
    State,
    StepResult,
)
from airflow_provider_harbor.core.jobs.settings_plan import Planner
from airflow_provider_harbor.core.jobs.settings_renames import left_names, renamed
from airflow_provider_harbor.core.jobs.settings_rights import require_rights
from airflow_provider_harbor.core.jobs.settings_secrets import GivenSecrets
from airflow_provider_harbor.core.jobs.settings_steps import Action, Stage, Step
from airflow_provider_harbor.core.settings.kinds import (
    KIND_NAMES,
    SYSTEM,
    Item,
    items_of,
    kind_of,
)
from airflow_provider_harbor.core.settings.reader import is_meant, read_settings
from airflow_provider_harbor.core.settings.target import SettingsTarget
from airflow_provider_harbor.core.settings.writer import SettingsWriter
from airflow_provider_harbor.core.store.backup_store import BackupStore

log = logging.getLogger(__name__)

ARTIFACT_LABELS = "artifact-labels"
# No name of a project is this.
_NO_PROJECT = ("/",)
# Nobody can read which one it has, so another import leaves it as it is, unless one is given.
_MAYBE_A_ROBOT = (
    ". If it is there by now, its secret may not be the old one: run again with its secret given, "
    "or delete it first"
)
_MAYBE_WANTED = "not deleted, since another one could not be created, and may be this one"
_NOT_MADE = "left, since this import has not made the project"
_NOT_YET = (
    "not done yet, since something else failed, which could not be done in read-only mode. Mend "
    "that, and run it again"
)
_ELSEWHERE = (
    "it hangs on the {} {}, which is of another server there, and was not changed. Bring that back "
    "first"
)
_UNSEEN = "written, but it could not be read back"
_IGNORED = "Harbor accepted it, and it is still otherwise"


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingsImport:
    """What is to be brought back.

    Attributes:
        store: From where.
        night: Of which night.
        projects: Names and globs; empty for all.
        kinds: Names of kinds; empty for all.
        renames: New names of projects, as texts `old=new`.
        given: Secrets.
        passphrase: What opens sealed ones; empty where it is not known.
        delete_surplus: Whether what is there, and not in the export, is deleted.
        stages: Which part: before the artifacts are brought back, after that, or both.
    """

    store: BackupStore
    night: SettingsNight
    projects: Sequence[str] = ()
    kinds: Sequence[str] = ()
    renames: Sequence[str] = ()
    given: GivenSecrets = field(default_factory=GivenSecrets)
    passphrase: str = ""
    delete_surplus: bool = False
    stages: Sequence[Stage] = tuple(Stage)

    def scopes(self) -> dict[str, str]:
        """Return new names by old ones: of the system, and of the projects that are meant.

        Raises:
            HarborConfigurationError: A project, a kind or a new name is none.
        """
        names = [name for name in self.night.settings.projects if is_meant(name, self.projects, ())]
        if self.projects and not names:
            raise HarborConfigurationError(
                f"the settings of {self.night.key} have no such project: {', '.join(self.projects)}"
            )
        if unknown := sorted(set(self.kinds) - {*KIND_NAMES, ARTIFACT_LABELS}):
            raise HarborConfigurationError(
                f"there is no kind of settings {unknown[0]!r}. There are: "
                f"{', '.join((*KIND_NAMES, ARTIFACT_LABELS))}"
            )
        renames = parse_renames(self.renames, names)
        scopes = {name: renames.get(name, name) for name in names}
        # Only some projects are meant: the system stays as it is.
        return scopes if self.projects else {SYSTEM: SYSTEM, **scopes}

    def incomplete(self) -> set[tuple[str, str]]:
        """Return scopes, by their new names, and kinds that the export has not whole."""
        scopes = self.scopes()
        return {(scopes.get(u.scope, u.scope), u.kind) for u in self.night.settings.unread}

    def wanted(self) -> dict[str, Mapping[str, Any]]:
        """Return the settings by the names that projects are to have.

        Raises:
            IntegrityError: A document is gone or damaged.
            WrongPassphraseError: The passphrase is not the one.
        """
        scopes = self.scopes()
        documents = read_documents(self.store, self.night.settings, scopes)
        if not self.passphrase and any(each.encryption for each in documents.values()):
            log.warning("Secrets in these settings are sealed. Give the passphrase to open them")
        if unknown := sorted(
            {k for each in documents.values() for k in each.values} - {*KIND_NAMES}
        ):
            log.warning("Kinds of settings that only a newer program knows: %s", ", ".join(unknown))
        found: dict[str, Mapping[str, Any]] = {}
        for old, document in documents.items():
            opened = document.opened(self.passphrase) if self.passphrase else document
            found[scopes[old]] = renamed(opened.values, scopes)
        return found


def import_settings(
    client: HarborClient,
    wanted: SettingsImport,
    *,
    dry_run: bool = False,
    on_secret: Callable[[str, str], object] = lambda key, secret: None,
    new_password: Callable[[], str] | None = None,
    progress: Progress | None = None,
) -> ImportReport:
    """Bring settings back.

    Args:
        client: An administrator's login at the Harbor that is to have them.
        wanted: Which ones.
        dry_run: Only find out what would be done.
        on_secret: Called with the key and the text of each secret that is made on the way: those of
            new robots, which Harbor shows once, and passwords of new users.
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
        on_secret: Callable[[str, str], object],
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
        self._values = wanted.wanted()
        self._hidden.add_all_of(self._values)
        info = client.check_login()
        require_rights(client)
        self._is_read_only = info.read_only
        self._made = MadeProjects(wanted.store, client.url)
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
            incomplete=self._wanted.incomplete(),
            made=self._made_there(target),
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
        results = [StepResult(step=step, state=_planned(step)) for step in steps]
        labels = self._label_steps(is_plan=True)
        results += [StepResult(step=step, state=_planned(step)) for step, _ in labels]
        return self._report(results, dry_run=True)

    def _label_steps(self, *, is_plan: bool = False) -> Iterator[tuple[Step, list[Any]]]:
        kinds = self._wanted.kinds
        if Stage.AFTER in self._wanted.stages and (not kinds or ARTIFACT_LABELS in kinds):
            yield from self._labels.steps(self._wanted.scopes(), is_plan=is_plan)

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
            unused=tuple(self._wanted.given.unused),
            is_read_only=self._is_read_only,
            warnings=tuple(self._wanted.night.lines()),
        )

    # -- what is done

    def run(self) -> ImportReport:
        steps = list(self._planner.steps(self._wanted.stages))
        if self._is_read_only:
            return self._run_on_read_only(steps)
        writer = SettingsWriter(self._target, self._keep_secret)
        last = [step for step in steps if _makes_read_only(step)]
        results, is_there = self._do_all(writer, [step for step in steps if step not in last])
        if is_there:
            results += self._put_labels(writer)
            results = self._compared(results)
        for step in last:
            if any(result.state is State.FAILED for result in results):
                results.append(StepResult(step=step, state=State.FAILED, message=_NOT_YET))
            else:
                results += self._compared([self._do(writer, step)])
        return self._report(results, dry_run=False)

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
        results = [StepResult(step=step, state=_planned(step)) for step in (*steps, *labels)]
        return self._report(results, dry_run=False)

    def _do_all(
        self, writer: SettingsWriter, steps: Sequence[Step]
    ) -> tuple[list[StepResult], bool]:
        """Do steps; returns what came of each, and whether Harbor still answers."""
        results: list[StepResult] = []
        stopped = ""
        not_made: set[tuple[str, str]] = set()
        elsewhere = self._elsewhere()
        for step in steps:
            self._tell(f"{step.scope or 'system'}: {step.title}")
            result = StepResult(step=step, state=_planned(step))
            if stopped and step.writes:
                result = StepResult(step=step, state=State.FAILED, message=stopped)
            elif _is_surplus(step) and (step.scope, step.kind) in not_made:
                result = StepResult(step=step, state=State.FAILED, message=_MAYBE_WANTED)
            elif _is_of_making(step) and step.scope not in self._target.made_projects:
                result = StepResult(step=step, state=State.FAILED, message=_NOT_MADE)
            elif step.writes and (other := _hanging(step) & elsewhere):
                kind, name = min(other)
                message = _ELSEWHERE.format(kind_of(SYSTEM, kind).noun, name)
                result = StepResult(step=step, state=State.FAILED, message=message)
            elif step.writes:
                result = self._do(writer, step)
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
            self._client.ping()
        except HarborBackupError:
            return False
        return True

    def _keep_secret(self, key: str, text: str) -> None:
        if text:
            self._hidden.add(text)
            self._on_secret(key, text)

    def _do(self, writer: SettingsWriter, step: Step) -> StepResult:
        try:
            return StepResult(step=step, state=State.DONE, message=self._written(writer, step))
        except HarborBackupError as err:
            message = self._hidden.hide(describe(err))
            is_connection = isinstance(err, HarborConnectionError)
        except (KeyError, ValueError, TypeError, AttributeError) as err:
            # A document of another program, or a secret or an answer of another form than it
            # should have.
            log.debug("This is where it happened:", exc_info=True)
            message = f"it has another form than it should ({type(err).__name__})"
            is_connection = False
        if step.kind == "robots" and step.action is Action.CREATE:
            message += _MAYBE_A_ROBOT
        return StepResult(
            step=step, state=State.FAILED, message=message, is_connection=is_connection
        )

    def _written(self, writer: SettingsWriter, step: Step) -> str:
        """Do a step; returns what was done otherwise than it was planned."""
        if step.action is Action.DELETE:
            return self._deleted(writer, step)
        item = step.item or {}
        if step.action is Action.UPDATE:
            return self._updated(writer, step)
        if step.kind == "project":
            return self._make_project(writer, step.scope, item)
        secret = self._wanted.given.of(step.scope, step.kind, step.key)
        if step.kind == "users" and not secret and self._new_password:
            secret = self._new_password()
            # First: later the answer may be lost, and with it what the password is.
            self._keep_secret(f"users/{step.key}", secret)
        done = writer.create(step.scope, step.kind, item, secret)
        return self._hidden.hide("; ".join(done.notes))

    def _updated(self, writer: SettingsWriter, step: Step) -> str:
        before, late = step.before or {}, step.stage is Stage.AFTER
        is_robot = step.kind == "robots"
        notes: list[str] = []
        if step.fields or not is_robot:
            notes = writer.update(step.scope, step.kind, step.item or {}, before, late=late).notes
        if step.rewrites and is_robot:
            secret = self._wanted.given.of(step.scope, step.kind, step.key)
            writer.put_robot_secret(step.scope, before, secret)
        return self._hidden.hide("; ".join(notes))

    def _make_project(self, writer: SettingsWriter, scope: str, item: Item) -> str:
        self._made.begin(scope)
        kinds = self._wanted.kinds
        if self._values[scope].get("quota") and (not kinds or "quota" in kinds):
            writer.with_room.add(scope)
        try:
            done = writer.create(scope, "project", item)
        except HarborBackupError as err:
            if scope not in self._target.made_projects:
                self._made.fail(scope, err)
                raise
            self._made.made(scope, self._target.project_id(scope))
            raise
        self._made.made(scope, self._target.project_id(scope))
        return self._hidden.hide("; ".join(done.notes))

    def _deleted(self, writer: SettingsWriter, step: Step) -> str:
        if step.before is not None:
            writer.delete(step.scope, step.kind, step.before)
            return ""
        if step.kind == "retention":
            return "" if writer.delete_made_retention(step.scope) else "there was none"
        return "" if self._delete_creator(writer, step.scope) else "there was none"

    def _delete_creator(self, writer: SettingsWriter, scope: str) -> bool:
        """Delete the creator of a project that was made, whom the export has not as a member.

        Nobody else: others may be at work there, too.
        """
        wanted = items_of(kind_of(scope, "members"), self._values[scope]["members"])
        creators = {self._client.user, self._target.owner_of(scope)}
        creators -= {item["name"] for item in wanted.values() if item["type"] == "user"}
        gone = [
            member
            for member in writer.list_members(scope)
            if member["entity_type"] == "u" and member["entity_name"] in creators
        ]
        for member in gone:
            writer.delete_member(scope, member)
        return bool(gone)

    def _put_labels(self, writer: SettingsWriter) -> list[StepResult]:
        results = []
        for step, missing in self._label_steps():
            failures = self._labels.put(writer, step.scope, missing)
            state = State.FAILED if failures else State.DONE if step.writes else _planned(step)
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
            if _is_of_making(result.step) and self._is_left(target, result.step):
                step = result.step
            if result.state is State.DONE and step:
                said = "; ".join(map(str, step.fields)) or step.action.value
                message = "; ".join(filter(None, (result.message, f"{_IGNORED}: {said}")))
                checked.append(StepResult(step=result.step, state=State.FAILED, message=message))
            elif result.state is State.DONE and not _was_read(target, result.step):
                checked.append(StepResult(step=result.step, state=State.FAILED, message=_UNSEEN))
            else:
                checked.append(result)
        return checked


def _name(step: Step) -> tuple[str, str, str, str]:
    return (step.stage.value, step.scope, step.kind, step.key)


def _was_read(target: SettingsTarget, step: Step) -> bool:
    return (step.scope, step.kind) in target.settings.values


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


def _is_of_making(step: Step) -> bool:
    return step.action is Action.DELETE and step.before is None


def _is_surplus(step: Step) -> bool:
    return step.action is Action.DELETE and step.before is not None


def _makes_read_only(step: Step) -> bool:
    return step.writes and step.kind == "configurations" and step.stage is Stage.AFTER


def _planned(step: Step) -> State:
    if step.writes:
        return State.PLANNED
    return State.LEFT if step.action is Action.LEAVE else State.CANNOT
