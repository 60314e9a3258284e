"""What an import would do to the configurations: first of all, but for the read-only mode."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from airflow_provider_harbor.core.jobs.settings.compare import Settings, field_changes
from airflow_provider_harbor.core.jobs.settings.configurations import Configurations
from airflow_provider_harbor.core.jobs.settings.known import WRITTEN_AGAIN, settle
from airflow_provider_harbor.core.jobs.settings.secrets import GivenSecrets, secret_key
from airflow_provider_harbor.core.jobs.settings.steps import Action, Stage, Step, step_of
from airflow_provider_harbor.core.settings.kinds import SYSTEM, Item, Kind
from airflow_provider_harbor.core.settings.secret_values import Secret
from airflow_provider_harbor.core.settings.target import SettingsTarget

# Of the configurations what comes last of all: nothing can be written after it.
_LAST = "read_only"


class ConfigurationPlan:
    """Finds out what becomes of the configurations.

    Args:
        wanted: The settings.
        target: The Harbor that is to have them.
        given: Secrets.
    """

    def __init__(self, wanted: Settings, target: SettingsTarget, given: GivenSecrets) -> None:
        self._wanted = wanted
        self._target = target
        self._given = given
        self._configurations = Configurations(target, given)

    def steps(self, stage: Stage, kind: Kind) -> Iterator[Step]:
        """Yield what is done to them in a stage."""
        there = self._target.settings.values.get((SYSTEM, kind.name))
        if there is None:
            if stage is Stage.BEFORE:
                why = "only an administrator may read and write them"
                yield step_of(stage, SYSTEM, kind, "", Action.CANNOT, why=why)
            return
        wanted = self._given.fill(SYSTEM, kind.name, "", self._wanted[SYSTEM][kind.name])
        item: Item = {}
        steps, left = self._left_together(stage, kind, wanted)
        yield from steps
        for key, value in sorted(wanted.items()):
            is_of_stage = (key == _LAST) == (stage is Stage.AFTER)
            if not is_of_stage or key in left or self._configurations.is_no_matter(key, value):
                continue
            if why := self._configurations.why_not(key, value):
                yield step_of(stage, SYSTEM, kind, key, Action.CANNOT, why=why)
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
            more, lacking = self._configurations.write_only(wanted, [each.name for each in fields])
            item |= {key: Secret(text) for key, text in more.items()}
            needs += lacking
        if fields or stage is Stage.BEFORE:
            rewrites = bool(more) or settled.is_unsure
            action = Action.UPDATE if fields or rewrites else Action.LEAVE
            unseen = self._configurations.unseen(wanted, needs) if stage is Stage.BEFORE else ""
            why = "; ".join(filter(None, (WRITTEN_AGAIN if rewrites else "", unseen)))
            yield step_of(
                stage, SYSTEM, kind, "", action, item=item, before=before, fields=fields,
                why=why, needs=tuple(needs), rewrites=rewrites,
            )  # fmt: skip

    def _left_together(self, stage: Stage, kind: Kind, wanted: Item) -> tuple[list[Step], set[str]]:
        """Return which configurations are left, since a secret would be sent away, and why."""
        steps: list[Step] = []
        left: set[str] = set()
        for address, keys, why, secret in self._configurations.kept_together(wanted):
            left.update(keys)
            if stage is Stage.BEFORE:
                steps.append(
                    step_of(stage, SYSTEM, kind, address, Action.CANNOT, why=why, needs=(secret,))
                )
        return steps, left
