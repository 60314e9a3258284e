"""The steps of an import of settings: what is done to one setting, and when."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any

from airflow_provider_harbor.core.exceptions import HarborConfigurationError
from airflow_provider_harbor.core.jobs.settings.compare import FieldChange, show
from airflow_provider_harbor.core.settings.kinds import Item, Kind, kind_of
from airflow_provider_harbor.core.texts import one_line


class Action(str, enum.Enum):
    """What is done to a setting."""

    CREATE = "create"
    UPDATE = "update"
    LEAVE = "leave"
    DELETE = "delete"
    CANNOT = "cannot"

    @property
    def sign(self) -> str:
        """How it is shown."""
        return {"create": "+", "update": "~", "leave": "=", "delete": "-", "cannot": "!"}[
            self.value
        ]


class Stage(str, enum.Enum):
    """When it is done: before the artifacts are brought back, or after that."""

    BEFORE = "before"
    AFTER = "after"

    @property
    def heading(self) -> str:
        """How it is shown."""
        return f"{self.value} the artifacts"


def stages_of(name: str | None) -> tuple[Stage, ...]:
    """Return the stage of a name; both where none is given.

    Raises:
        HarborConfigurationError: There is none of that name.
    """
    try:
        return (Stage(name),) if name else tuple(Stage)
    except ValueError:
        raise HarborConfigurationError(
            f"there is no stage {name!r}. There are: {', '.join(stage.value for stage in Stage)}"
        ) from None


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What is done to one setting.

    Attributes:
        scope: The system (empty), or a project, by its name there.
        kind: Which settings.
        noun: What one of them is called.
        key: What tells it from the others of its kind.
        item: As it is to be, with the secrets that are known; None where it goes.
        before: As it is there; None where it is not.
        fields: What differs; of a new one all.
        why: Why it cannot be done; or what is done otherwise than it was.
        needs: Keys of secrets that are not given, see `secrets`.
        lost: What of it this Harbor cannot have, in words.
        rewrites: Whether a secret is written that nobody can compare, beside what differs.
    """

    stage: Stage
    scope: str
    kind: str
    noun: str
    key: str
    action: Action
    item: Item | None = None
    before: Item | None = None
    fields: tuple[FieldChange, ...] = ()
    why: str = ""
    needs: tuple[str, ...] = ()
    lost: str = ""
    rewrites: bool = False

    @property
    def title(self) -> str:
        """What it is of, in words."""
        return one_line(f"{self.noun} {self.key}".strip(), 200)

    @property
    def lacks(self) -> tuple[str, ...]:
        """Keys of the secrets without which it is there in part only, whatever else is written.

        A new robot or user has a secret of its own, made for it, and is whole.
        """
        made_whole = self.action is Action.CANNOT or self.kind in ("robots", "users")
        return () if made_whole else self.needs

    @property
    def writes(self) -> bool:
        """Whether anything is sent for it."""
        return self.action in (Action.CREATE, Action.UPDATE, Action.DELETE)

    def lines(self) -> list[str]:
        """Return it as lines."""
        lines = [f"{self.action.sign} {self.title}" + (f": {self.why}" if self.why else "")]
        if self.action is Action.UPDATE:
            lines += [f"    {each}" for each in self.fields]
        if self.action is Action.CREATE:
            own = kind_of(self.scope, self.kind).key
            lines += [f"    {field_line(each)}" for each in self.fields if each.name not in own]
        begin = "in part only: it needs" if self.lacks else "needs"
        return lines + [f"    {begin} the secret {one_line(each)}" for each in self.needs]

    def to_json(self) -> dict[str, Any]:
        """Return it by names, without any secret."""
        return {
            "stage": self.stage.value,
            "scope": self.scope,
            "kind": self.kind,
            "key": self.key,
            "action": self.action.value,
            "fields": [str(each) for each in self.fields],
            "why": self.why,
            "needs": list(self.needs),
            "in_part": bool(self.lacks or self.lost),
        }


def step_of(stage: Stage, scope: str, kind: Kind, key: str, action: Action, **more: Any) -> Step:
    """Return a step for an item of a kind."""
    return Step(
        stage=stage,
        scope=scope,
        kind=kind.name,
        noun=kind.noun,
        key=key,
        action=action,
        **more,
    )


def field_line(change: FieldChange) -> str:
    """Return a field of what is new as a line."""
    return f"{change.name}: {show(change.after)}"
