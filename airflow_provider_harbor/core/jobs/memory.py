"""What a store remembers of a registry, kept true while a project is copied there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta, timezone

from airflow_provider_harbor.core.copy.outcome import RepositoryOutcome
from airflow_provider_harbor.core.copy.places import Place
from airflow_provider_harbor.core.copy.plan import RepositoryPlan, TagRule
from airflow_provider_harbor.core.store.backup_store import BackupStore
from airflow_provider_harbor.core.store.inventories import InventoryRef
from airflow_provider_harbor.core.store.known import Held, Known

# The clocks of workers differ by no more than that (as for leases): no list is of a later time.
_CLOCKS_DIFFER_BY = timedelta(minutes=5)


class Memory:
    """What is remembered of one place and one project, in one run.

    Before anything is written to a repository, what is known of it is marked as unsure: whatever
    becomes of this run then, the next one asks. Only a run that ended well takes the mark away.
    """

    def __init__(self, store: BackupStore, place: Place, run: str, ref: InventoryRef) -> None:
        self._store = store
        self._place = place
        self._run = run
        self._ref = ref
        # A store has no tags that could be moved back, and its contents say what it holds.
        known = store.read_known(place.url, ref.project) if place.keeps_tags else Known()
        self._written = _without_time_to_come(known)
        self._before = self._written
        self._after: dict[str, Held] = {}
        self._changing: set[str] = set()
        self._unknown: set[str] = set()

    @property
    def remembered(self) -> Mapping[str, Held]:
        """What was known before this run, by repository."""
        return self._before.held

    @property
    def rule(self) -> TagRule:
        """What becomes of tags: an older inventory than the one copied last moves none."""
        if not self._place.keeps_tags:
            return TagRule.NO_TAGS
        is_newest = self._before.listed_at <= self._ref.listed_at
        return TagRule.MOVE if is_newest else TagRule.KEEP_NEWER

    def before(self, plans: Sequence[RepositoryPlan]) -> None:
        """Mark what is going to be changed."""
        changing = {plan.repository: plan.held.unsure() for plan in plans if plan.steps}
        if changing and self._place.keeps_tags:
            worth = {name: self._place.worth_remembering(item) for name, item in changing.items()}
            kept = {name: item for name, item in worth.items() if item is not None}
            others = {n: held for n, held in self._written.held.items() if n not in changing}
            self._changing |= changing.keys()
            self._write(self._noted({**others, **kept}))

    def add(self, outcome: RepositoryOutcome) -> None:
        """Note what the place holds now, where that is going to be remembered."""
        if not self._place.keeps_tags:
            return
        held = outcome.held
        if outcome.repository in self._changing:
            held = replace(held, seen=None)  # a Harbor has not listed what was written since
        if held.error:
            self._unknown.add(outcome.repository)
        elif (worth := self._place.worth_remembering(held)) is not None:
            self._after[outcome.repository] = worth

    def finish(self) -> None:
        """Remember it, and that it was this run that found it so."""
        if not self._place.keeps_tags:
            return
        # What could not be asked for is as it was.
        as_before = {n: held for n, held in self._before.held.items() if n in self._unknown}
        self._write(self._noted({**self._after, **as_before}))

    def _noted(self, held: Mapping[str, Held]) -> Known:
        """Return what is to be remembered, and of which inventory it is the newest."""
        known = replace(self._written, held=held)
        if known.listed_at <= self._ref.listed_at:
            known = replace(known, run=self._run, listed_at=self._ref.listed_at)
        return known

    def _write(self, known: Known) -> None:
        if known != self._written:
            self._store.write_known(self._place.url, self._ref.project, known)
            self._written = known


def _without_time_to_come(known: Known) -> Known:
    """Return the same, but that no inventory is known whose time cannot be right.

    A clock that was ahead for one night would else keep all others from moving tags until then.
    """
    if not known.listed_at:
        return known
    latest = datetime.now(timezone.utc) + _CLOCKS_DIFFER_BY
    if datetime.fromisoformat(known.listed_at) <= latest:
        return known
    return replace(known, run="", listed_at="")
