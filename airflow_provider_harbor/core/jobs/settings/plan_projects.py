"""What an import would do to projects themselves: what they are set to, and how they are made."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from airflow_provider_harbor.core.jobs.settings.compare import Settings, field_changes
from airflow_provider_harbor.core.jobs.settings.fitting import Fitting
from airflow_provider_harbor.core.jobs.settings.known import settle
from airflow_provider_harbor.core.jobs.settings.limits import Limits
from airflow_provider_harbor.core.jobs.settings.secrets import GivenSecrets, secret_key
from airflow_provider_harbor.core.jobs.settings.steps import Action, Stage, Step, step_of
from airflow_provider_harbor.core.settings.bodies import LATE_METADATA
from airflow_provider_harbor.core.settings.kinds import Item, Kind, kind_of
from airflow_provider_harbor.core.settings.target import SettingsTarget

_OWN_SCANNER = (
    "it has a scanner of its own there, {}, and the export has none: Harbor can give it another "
    "one, and not take it away. Delete the scanner there if nobody wants it"
)


class ProjectPlan:
    """Finds out what becomes of projects, before the artifacts and after them.

    Args:
        wanted: The settings.
        target: The Harbor that is to have them.
        given: Secrets.
        limits: What cannot be written.
        fitting: What is left out.
        kinds: Names of the kinds that are meant; none for all.
        knows_scanners: Whether the export can tell which scanner a project has.
    """

    def __init__(
        self,
        wanted: Settings,
        target: SettingsTarget,
        given: GivenSecrets,
        limits: Limits,
        fitting: Fitting,
        kinds: Sequence[str],
        *,
        knows_scanners: bool = True,
    ) -> None:
        self._wanted = wanted
        self._target = target
        self._given = given
        self._limits = limits
        self._fitting = fitting
        self._kinds = kinds
        self._knows_scanners = knows_scanners

    def steps(self, stage: Stage, scope: str, kind: Kind) -> Iterator[Step]:
        """Yield what is done to a project in a stage."""
        there = self._target.settings.values.get((scope, kind.name))
        item = self._given.fill(scope, kind.name, "", self._wanted[scope][kind.name])
        item, unknown = self._fitting.fitted_project(item, there)
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
                yield step_of(
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
                yield step_of(stage, scope, kind, scope, Action.CANNOT, why=why)
            return
        else:
            before = there
            if stage is Stage.BEFORE:
                yield from self._without_metadata(scope, kind, unknown)
        yield from self._project_update(stage, scope, kind, item, before or {}, needs)

    def _without_metadata(self, scope: str, kind: Kind, unknown: Sequence[str]) -> Iterator[Step]:
        if unknown:
            why = f"this Harbor has no {', '.join(unknown)}, which the project was set to"
            yield step_of(Stage.BEFORE, scope, kind, scope, Action.CANNOT, why=why)

    def _made_retention(self, stage: Stage, scope: str, item: Item) -> Iterator[Step]:
        """Yield that the policy goes which Harbor makes with a project, where the export has none.

        At once: later nobody could tell it from one that somebody made there.
        """
        values, kind = self._wanted[scope], kind_of(scope, "retention")
        is_meant = not self._kinds or kind.name in self._kinds
        if is_meant and item.get("registry") and values.get(kind.name, {}) is None:
            why = "it comes with each project that caches a registry, and the export has none"
            yield step_of(stage, scope, kind, "", Action.DELETE, why=why)

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
            yield step_of(stage, scope, kind, scope, Action.CANNOT, why=why)
        scanner = item.get("scanner")
        is_other = stage is Stage.AFTER and scanner and scanner != before.get("scanner")
        if is_other and (why := self._limits.hangs_on("scanners", str(scanner))):
            yield step_of(stage, scope, kind, scope, Action.CANNOT, why=why)
            item = {key: value for key, value in item.items() if key != "scanner"}
        own = before.get("scanner") if stage is Stage.AFTER else None
        if own and not scanner and self._knows_scanners:
            why = _OWN_SCANNER.format(own)
            yield step_of(stage, scope, kind, scope, Action.CANNOT, why=why)
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
            yield step_of(
                stage, scope, kind, scope, action, item=item, before=before, fields=fields,
                needs=needs if stage is Stage.BEFORE else (),
            )  # fmt: skip


def _is_late(field: str) -> bool:
    return field == "scanner" or field.removeprefix("metadata.") in LATE_METADATA
