"""What a verification came to: damages, what was looked at, and what was not."""

from __future__ import annotations

import enum
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from airflow_provider_harbor.core.exceptions import HarborConfigurationError
from airflow_provider_harbor.core.human import (
    human_count,
    human_duration,
    human_size,
    human_time,
)

_SHOWN_DAMAGES = 5
_SHOWN_TAGS = 3
_MOST_PARTS = 10_000


class Kind(str, enum.Enum):
    """What is wrong, see `TITLES`."""

    MISSING = "missing"
    WRONG_SIZE = "wrong-size"
    WRONG_CONTENT = "wrong-content"
    UNREADABLE = "unreadable"
    TWO_SIZES = "two-sizes"
    LACKING = "lacking"
    LIST = "damaged-list"
    SNAPSHOT = "damaged-snapshot"
    RESULT = "damaged-result"
    SETTINGS = "damaged-settings"
    STORE = "damaged-store"
    LOST = "lost"

    def __str__(self) -> str:
        return self.value


TITLES = {
    Kind.MISSING: "Content that is gone from the store",
    Kind.WRONG_SIZE: "Content of another size than the lists say",
    Kind.WRONG_CONTENT: "Content that is not what its name says",
    Kind.UNREADABLE: "Content that cannot be read",
    Kind.TWO_SIZES: "Lists that contradict each other",
    Kind.LACKING: "Listed, called protected, and never stored",
    Kind.LIST: "Lists that are damaged or gone",
    Kind.SNAPSHOT: "Snapshots that are damaged",
    Kind.RESULT: "Results that are damaged or gone (a restore needs none)",
    Kind.SETTINGS: "Damaged settings of Harbor",
    Kind.STORE: "The store's own description is damaged",
    Kind.LOST: "Listed by a registry that cannot serve it any more",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """Where something that is damaged is used.

    Attributes:
        repository: Full name; of a list the project.
        digest: Of the artifact that has it; empty where all of a project is concerned.
        tags: Names that the artifact has, or had, or those of the index that it is a part of.
        first, last: Keys of the oldest and the newest snapshot that has it.
        snapshots: How many have it.
    """

    repository: str
    digest: str = ""
    tags: tuple[str, ...] = ()
    first: str
    last: str
    snapshots: int

    def __str__(self) -> str:
        name = self.repository
        if self.tags:
            more = len(self.tags) - _SHOWN_TAGS
            name += (
                f":{', '.join(self.tags[:_SHOWN_TAGS])}{f' and {more} more' if more > 0 else ''}"
            )
        elif self.digest:
            name += f"@{self.digest[:19]}"
        nights = self.first if self.first == self.last else f"{self.first} to {self.last}"
        return f"{name} ({human_count(self.snapshots, 'snapshot')}: {nights})"

    def to_json(self) -> dict[str, Any]:
        """Return it by names."""
        return {
            "repository": self.repository,
            "digest": self.digest,
            "tags": list(self.tags),
            "first": self.first,
            "last": self.last,
            "snapshots": self.snapshots,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Damage:
    """One thing that is not as it should be.

    Attributes:
        where: The place: URL of the store, or of a registry.
        thing: A digest, or the path of a file of the store.
        message: What is wrong.
        size_bytes: How large it should be, where that is known.
        is_manifest: Whether it is a manifest or an index; of content only.
        uses: Where it is used, the first of them.
        uses_in_all: How many uses there are.
        remedy: Whether it can be repaired, and from where; or what became of that.
        repaired: Whether it was repaired, and looked at again since.
    """

    kind: Kind
    where: str
    thing: str
    message: str
    size_bytes: int = 0
    is_manifest: bool = False
    uses: tuple[Use, ...] = ()
    uses_in_all: int = 0
    remedy: str = ""
    repaired: bool = False

    @property
    def used_by(self) -> str:
        """Where it is used, in words; empty where nothing uses it."""
        if not self.uses:
            return ""
        more = self.uses_in_all - 1
        return f"used by {self.uses[0]}" + (f" and {more:,} more" if more > 0 else "")

    def __str__(self) -> str:
        parts = [f"{self.thing}: {self.message}", self.used_by, self.remedy]
        return "; ".join(part for part in parts if part)

    def to_json(self) -> dict[str, Any]:
        """Return it by names."""
        return {
            "kind": self.kind.value,
            "where": self.where,
            "thing": self.thing,
            "message": self.message,
            "size_bytes": self.size_bytes,
            "is_manifest": self.is_manifest,
            "uses": [use.to_json() for use in self.uses],
            "uses_in_all": self.uses_in_all,
            "remedy": self.remedy,
            "repaired": self.repaired,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One of N parts of all content, by digest: all N together are everything.

    Attributes:
        number: Which, from 1.
        of: Of how many.
    """

    number: int
    of: int

    def covers(self, digest: str | bytes) -> bool:
        """Tell whether a digest, or the bytes of one, is in this part."""
        if isinstance(digest, str):
            digest = bytes.fromhex(digest.partition(":")[2][:8])
        return int.from_bytes(digest[:4], "big") % self.of == self.number - 1

    def __str__(self) -> str:
        return "all" if self.of == 1 else f"{self.number}/{self.of}"

    @property
    def suffix(self) -> str:
        """What is put behind a number of things, in words; empty where it is everything."""
        return "" if self.of == 1 else f" of part {self}"

    @classmethod
    def parse(cls, text: str) -> Part:
        """Read `3/28`.

        Raises:
            HarborConfigurationError: It is no part, such as `0/28` or `29/28`.
        """
        number, slash, of = text.strip().partition("/")
        digits = number.isascii() and of.isascii() and number.isdecimal() and of.isdecimal()
        if not slash or not digits or not 1 <= int(number) <= int(of) <= _MOST_PARTS:
            raise HarborConfigurationError(
                f"{text!r} is not a part. Write which of how many: 3/28 is the third of 28, from "
                f"1/28 to 28/28, and there are at most {_MOST_PARTS:,}"
            )
        return cls(number=int(number), of=int(of))


EVERYTHING = Part(number=1, of=1)


@dataclass(slots=True, kw_only=True)
class Stage:
    """How far one kind of question came.

    Attributes:
        name: `structure`, `content`, `source`, `mirror` or `repair`.
        what: What was looked at, in words, with numbers.
        checked: How many things.
        checked_bytes: How many bytes were read of them.
        error: What stopped it before its end; empty when nothing did.
    """

    name: str
    what: str = ""
    checked: int = 0
    checked_bytes: int = 0
    seconds: float = 0.0
    error: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return it by names."""
        return {
            "name": self.name,
            "what": self.what,
            "checked": self.checked,
            "checked_bytes": self.checked_bytes,
            "seconds": round(self.seconds, 3),
            "error": self.error,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyReport:
    """How a verification ended.

    Attributes:
        snapshots: Keys of those that were looked at, oldest first.
        part: Which part of the content was read; None where none was.
        stages: What was asked, in this order.
        damages: What is not as it should be, or was not before it was repaired.
        notes: What is worth knowing, and no damage.
        not_looked_at: What was left out, so that nothing is known of it.
        is_interrupted: Whether it was told to stop.
    """

    run: str
    store_url: str
    harbor_url: str
    started_at: datetime
    ended_at: datetime
    snapshots: tuple[str, ...]
    part: Part | None
    stages: tuple[Stage, ...]
    damages: tuple[Damage, ...] = ()
    notes: tuple[str, ...] = ()
    not_looked_at: tuple[str, ...] = ()
    is_interrupted: bool = False

    @property
    def left(self) -> tuple[Damage, ...]:
        """What is damaged now."""
        return tuple(damage for damage in self.damages if not damage.repaired)

    @property
    def stopped(self) -> tuple[Stage, ...]:
        """What did not come to its end."""
        return tuple(stage for stage in self.stages if stage.error)

    @property
    def ok(self) -> bool:
        """Whether all that was to be looked at was, and is whole now."""
        return not self.left and not self.stopped and not self.is_interrupted

    @property
    def headline(self) -> str:
        """The report in a few words."""
        if self.left:
            text = f"{human_count(len(self.left), 'damaged thing')} left"
            repaired = len(self.damages) - len(self.left)
            return f"{text}, {repaired:,} repaired" if repaired else text.removesuffix(" left")
        if self.stopped or self.is_interrupted:
            return "NOT everything could be looked at"
        if self.damages:
            return f"Whole again: {human_count(len(self.damages), 'damaged thing')} repaired"
        return "Everything that was looked at is whole"

    @property
    def seconds(self) -> float:
        """From its start to its end."""
        return (self.ended_at - self.started_at).total_seconds()

    def summary_line(self) -> str:
        """Return the report as one line."""
        looked = "; ".join(stage.what for stage in self.stages if stage.what)
        return f"{self.headline}. {looked}, in {human_duration(self.seconds)}"

    def failures(self) -> list[str]:
        """Return a line for each damage that is left, and for each question that was cut short."""
        lines = [f"{stage.name}: stopped before its end: {stage.error}" for stage in self.stopped]
        return lines + [str(damage) for damage in self.left]

    def facts(self) -> list[tuple[str, str]]:
        """Return what was verified, as names and values."""
        nights = human_count(len(self.snapshots), "snapshot")
        if self.snapshots:
            nights += f": {self.snapshots[0]}"
            nights += f" to {self.snapshots[-1]}" if len(self.snapshots) > 1 else ""
        rows = [
            ("run", self.run),
            ("store", self.store_url),
            ("Harbor", self.harbor_url),
            ("snapshots", nights),
            ("started", f"{human_time(self.started_at)}, took {human_duration(self.seconds)}"),
        ]
        return [(name, value) for name, value in rows if value]

    def stage_rows(self) -> Iterator[tuple[str, str]]:
        """Yield each question, and what was looked at for it."""
        for stage in self.stages:
            text = stage.what
            if stage.checked_bytes and stage.seconds:
                rate = human_size(round(stage.checked_bytes / stage.seconds))
                text += f" ({human_duration(stage.seconds)}, {rate}/s)"
            yield stage.name, text + (f". STOPPED: {stage.error}" if stage.error else "")

    def to_text(self, *, with_failures: bool = True) -> str:
        """Return the report as aligned lines, for a log or a terminal."""
        lines = [self.headline]
        lines += [f"  {name:<10} {value}" for name, value in [*self.facts(), *self.stage_rows()]]
        if with_failures:
            lines += [f"  ! {damage}" for damage in self.left[:_SHOWN_DAMAGES]]
            if (more := len(self.left) - _SHOWN_DAMAGES) > 0:
                lines.append(f"  ! and {more:,} more, all in the report")
            repaired = [damage for damage in self.damages if damage.repaired]
            lines += [f"  + {d.thing}: {d.remedy}" for d in repaired[:_SHOWN_DAMAGES]]
            if (more := len(repaired) - _SHOWN_DAMAGES) > 0:
                lines.append(f"  + and {more:,} more repaired, all in the report")
        lines += [f"  note: {note}" for note in self.notes]
        lines += [f"  not looked at: {text}" for text in self.not_looked_at]
        return "\n".join(lines)

    def to_json(self) -> dict[str, Any]:
        """Return the whole report."""
        return {
            "run": self.run,
            "kind": "verify",
            "ok": self.ok,
            "summary": self.summary_line(),
            "store": self.store_url,
            "harbor_url": self.harbor_url,
            "started_at": self.started_at.isoformat(),
            "ended_at": self.ended_at.isoformat(),
            "snapshots": list(self.snapshots),
            "part": str(self.part) if self.part else "",
            "stages": [stage.to_json() for stage in self.stages],
            "damages": [damage.to_json() for damage in self.damages],
            "notes": list(self.notes),
            "not_looked_at": list(self.not_looked_at),
            "interrupted": self.is_interrupted,
        }


@dataclass(slots=True)
class Findings:
    """What a verification has found so far; damages by place and thing, each once."""

    damages: dict[tuple[str, str], Damage] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    not_looked_at: list[str] = field(default_factory=list)

    def add(self, damage: Damage) -> None:
        """Note a damage; of several of one thing the first counts."""
        self.damages.setdefault((damage.where, damage.thing), damage)

    def change(self, damage: Damage, **changes: Any) -> Damage:
        """Say more of a damage; returns it as it is now."""
        changed = replace(damage, **changes)
        self.damages[damage.where, damage.thing] = changed
        return changed

    def of(self, where: str) -> list[Damage]:
        """Return the damages of a place."""
        return [damage for (place, _), damage in self.damages.items() if place == where]
