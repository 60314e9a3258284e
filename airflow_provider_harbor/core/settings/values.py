"""What was read of a Harbor's settings, and what could not be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from airflow_provider_harbor.core.settings.form import Names

# An object as Harbor answers it.
Raw = Mapping[str, Any]
# What an `Unread` has in place of a kind where projects are not seen at all.
PROJECTS = "projects"
# And where all is there but the secrets, which could not be sealed.
SECRETS = "secrets"


@dataclass(frozen=True, slots=True, kw_only=True)
class Unread:
    """A kind of settings, of the system or of a project, that could not be read, or not whole.

    Attributes:
        scope: The system (empty), or a project.
        kind: Which settings.
        reason: Why, and what to do.
        denied: Whether the login may not read it, or this Harbor has it not.
        failed: Whether it should have been read, and was not. Else it is a note: something of it
            is hidden, or cannot be said.
        passing: Whether trying again may help.
    """

    scope: str
    kind: str
    reason: str
    denied: bool = False
    failed: bool = False
    passing: bool = False

    def __str__(self) -> str:
        return f"{self.kind} of {self.scope or 'the system'}: {self.reason}"

    def to_json(self) -> dict[str, Any]:
        """Return it by names."""
        return {
            "scope": self.scope,
            "kind": self.kind,
            "reason": self.reason,
            "denied": self.denied,
            "failed": self.failed,
            "passing": self.passing,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Unread:
        """Read what `to_json` returned."""
        return cls(
            scope=str(data["scope"]),
            kind=str(data["kind"]),
            reason=str(data["reason"]),
            denied=bool(data["denied"]),
            failed=bool(data["failed"]),
            passing=bool(data["passing"]),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class HarborSettings:
    """All settings of a Harbor that could be read, in canonical form.

    Attributes:
        values: By scope and name of the kind: one object (None where there is none), or a list of
            items. What could not be read is not there.
        raws: The same as Harbor answered it, by key of the item (see `kinds`), with ids.
        project_ids: Of the projects that were looked at.
        names: What ids stand for.
        unread: What could not be read.
    """

    values: Mapping[tuple[str, str], Any]
    raws: Mapping[tuple[str, str], Mapping[str, Raw]]
    project_ids: Mapping[str, int]
    names: Names
    unread: tuple[Unread, ...]

    def of(self, scope: str) -> dict[str, Any]:
        """Return all that was read of a scope, by name of the kind."""
        return {name: value for (s, name), value in self.values.items() if s == scope}
