"""Bring back one project: find out what is missing, and send it."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace

from airflow_provider_harbor.core.copy.mirror import Mirror
from airflow_provider_harbor.core.copy.outcome import CopyReport, Tally
from airflow_provider_harbor.core.copy.places import Group, Place, Source, View
from airflow_provider_harbor.core.copy.plan import (
    PlanCounts,
    RepositoryPlan,
    TagRule,
    iter_plans,
)
from airflow_provider_harbor.core.copy.store_place import StorePlace
from airflow_provider_harbor.core.copy.transfer import Transfer
from airflow_provider_harbor.core.exceptions import (
    HarborBackupError,
    HarborConfigurationError,
    IntegrityError,
    MissingContentError,
    StoreError,
)
from airflow_provider_harbor.core.harbor.records import Counts, Record
from airflow_provider_harbor.core.human import Progress, human_count
from airflow_provider_harbor.core.jobs.choosing import Restore
from airflow_provider_harbor.core.store.inventories import Content
from airflow_provider_harbor.core.store.known import Known
from airflow_provider_harbor.core.store.leases import Lease
from airflow_provider_harbor.core.store.snapshots import ProjectContents

log = logging.getLogger(__name__)

_SHOWN_TAGS = 20


@contextmanager
def advising_another_night() -> Iterator[None]:
    """Say what to do where a file of the store cannot be read."""
    try:
        yield
    except IntegrityError as err:
        raise IntegrityError(
            f"{err}. Take another snapshot for this project; those between which nothing of it has "
            "changed share this file"
        ) from err


class ProjectRestore:
    """One restore of one project."""

    def __init__(self, restore: Restore, project: str, place: Place, source: Source | None) -> None:
        self._restore = restore
        self._project = project
        self._target = restore.target_of(project)
        self._place = place
        listed_by = f"the snapshot {restore.snapshot.key}"
        self._source = Mirror(source, listed_by) if source else None
        self._is_prepared = False
        self._known = Known()
        self.entry: ProjectContents = restore.snapshot.projects[project]
        self.counts = Counts()
        self.target_url = f"{place.url} {self._target}"

    # -- what there is to do

    def look(self, workers: int) -> None:
        """Make sure that all is there that is needed, and that it may be put there."""
        store, snapshot, entry = self._restore.store, self._restore.snapshot, self.entry
        with advising_another_night():
            store.inventories.verify(self._project, entry.inventory)
        if self._source is None:
            if not entry.contents and self.counts.records:
                other = "" if snapshot.is_mirrored else "from another night, or "
                raise HarborConfigurationError(
                    f"the snapshot {snapshot.key} has the list of the project {self._project}, but "
                    f"not its content: {snapshot.why_no_content()}. Take it {other}from a mirror, "
                    "with --from"
                )
            if entry.contents:
                with advising_another_night():
                    store.inventories.verify_contents(self._project, entry.contents)
        self._known = store.read_known(self._place.url, self._target)
        # Whatever is remembered is asked for: what somebody ruined there is to be brought back.
        remembered = self._known.unsure().held
        self._view = self._place.look_at(self._target, remembered, workers=workers)
        if self._target != self._project and not self._restore.overwrites:
            self._require_nothing_else(self._view)

    def _require_nothing_else(self, view: View) -> None:
        wanted: dict[str, frozenset[str]] = {
            self._renamed(name): frozenset(record.digest for record in records)
            for name, records in self._iter_inventory()
        }
        other = view.find_other(lambda name, digest: digest in wanted.get(name, frozenset()))
        if other:
            raise HarborConfigurationError(
                f"{self._project} is not restored as {self._target}: the project {self._target} "
                f"of {self._place.url} holds something else, {other} for one. Choose another name, "
                "or allow overwriting"
            )

    def _iter_inventory(self) -> Iterator[Group]:
        inventories = self._restore.store.inventories
        yield from inventories.iter_repositories(self._project, self.entry.inventory)

    def _iter_plans(self) -> Iterator[list[RepositoryPlan]]:
        rule = TagRule.MOVE if self._restore.overwrites else TagRule.KEEP_OTHER
        lacking: dict[str, list[Record]] = {}
        for plans in iter_plans(self._iter_groups(lacking), self._view, rule):
            yield [self._with_lacking(plan, lacking.pop(plan.repository, [])) for plan in plans]

    def _iter_groups(self, lacking: dict[str, list[Record]]) -> Iterator[Group]:
        """Yield what is to be restored, under its new name; what the store lacks is put aside."""
        find_contents = self._contents_finder()
        for name, listed in self._iter_inventory():
            records = self._restore.choice.restrict(name, listed)
            if not records:
                continue
            target = self._renamed(name)
            contents = find_contents(name)
            there, lacks = [], []
            for record in records:
                renamed = replace(record, project=self._target, repository=target)
                if contents is None:
                    there.append(renamed)
                elif content := contents.get(record.digest):
                    there.append(replace(renamed, media_type=content.media_type))
                else:
                    lacks.append(renamed)
            lacking[target] = lacks
            yield target, there

    def _contents_finder(self) -> Callable[[str], Mapping[str, Content] | None]:
        """Return what tells the contents of a repository, asked for in their order."""
        if self._source is not None or not self.entry.contents:
            return lambda name: None if self._source else {}
        contents = self._restore.store.inventories.iter_contents(self._project, self.entry.contents)
        following = next(contents, None)

        def find(name: str) -> Mapping[str, Content]:
            nonlocal following
            while following and following[0] < name:
                following = next(contents, None)
            return following[1] if following and following[0] == name else {}

        return find

    def _with_lacking(self, plan: RepositoryPlan, lacking: list[Record]) -> RepositoryPlan:
        errors = tuple(
            (
                record,
                MissingContentError(
                    record.digest,
                    f"the snapshot {self._restore.snapshot.key}",
                    "it was not copied into the store that night. Take it from another night, or "
                    "from a mirror",
                ),
            )
            for record in lacking
        )
        return replace(plan, excluded=(*plan.excluded, *errors)) if errors else plan

    def _renamed(self, repository: str) -> str:
        return self._target + repository[len(self._project) :]

    # -- doing it

    def plan_only(self) -> tuple[PlanCounts, str]:
        """Return what it would come to, and what would not be restored, in words."""
        counts = PlanCounts()
        excluded: list[tuple[Record, HarborBackupError]] = []
        others: list[str] = []
        for plans in self._iter_plans():
            for plan in plans:
                counts += plan.counts
                excluded += plan.excluded
                tags = itertools.chain.from_iterable(plan.withheld.values())
                others += [f"{plan.repository}:{tag}" for tag in tags]
        return counts, ". ".join(filter(None, (_lacking(excluded), _in_conflict(others))))

    def run(self, lease: Lease | None, workers: int, progress: Progress | None) -> CopyReport:
        """Bring it back."""
        tally = Tally()
        if not self.counts.records:  # a project that was empty is to be there again, too
            self._place.prepare(self._target)
        self._place.keep_uploads_in(self._restore.store)
        with Transfer(
            self._source or StorePlace(self._restore.store),
            self._place,
            total=self.counts.records,
            workers=workers,
            may_write=lease.check if lease else lambda: None,
            progress=progress,
        ) as transfer:
            for outcome in transfer.run(self._begin_plans()):
                tally.add(outcome)
        return tally.report(self._project, self.target_url, transfer.numbers, transfer.seconds)

    def _begin_plans(self) -> Iterator[RepositoryPlan]:
        for plans in self._iter_plans():
            changing = [plan for plan in plans if plan.steps]
            if changing:
                self._mark(changing)
                if not self._is_prepared:
                    self._place.prepare(self._target)
                    self._is_prepared = True
            yield from plans

    def _mark(self, plans: Sequence[RepositoryPlan]) -> None:
        """Let nobody believe what was known of this place, whatever becomes of this restore."""
        before = self._known
        worth = {plan.repository: self._place.worth_remembering(plan.held) for plan in plans}
        marked = {name: held.unsure() for name, held in worth.items() if held}
        self._known = replace(before, held={**marked, **before.unsure().held})
        if self._known == before:
            return
        try:
            self._restore.store.write_known(self._place.url, self._target, self._known)
        except StoreError as err:
            log.warning("The store does not remember what is restored: %s", err)


def _lacking(excluded: Sequence[tuple[Record, HarborBackupError]]) -> str:
    if not excluded:
        return ""
    record, error = excluded[0]
    name = f"{record.repository}@{record.digest}"
    return f"{human_count(len(excluded), 'digest')} cannot be restored, {name} for one: {error}"


def _in_conflict(names: Sequence[str]) -> str:
    if not names:
        return ""
    more = f" and {len(names) - _SHOWN_TAGS} more" if len(names) > _SHOWN_TAGS else ""
    return (
        f"{human_count(len(names), 'tag')} would be left alone, since there they name something "
        f"else: {', '.join(names[:_SHOWN_TAGS])}{more}. To have them moved, allow overwriting"
    )
