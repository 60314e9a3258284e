"""A plain registry as a place: it cannot list what it holds, so what was copied is remembered."""

from __future__ import annotations

import threading
import time
import zlib
from collections.abc import Callable, Mapping, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone

from airflow_provider_harbor.core.copy.places import Group, View
from airflow_provider_harbor.core.copy.registry_places import RegistryPlace
from airflow_provider_harbor.core.exceptions import (
    HarborBackupError,
    HarborStatusError,
    IntegrityError,
    UnexpectedError,
    is_passing,
)
from airflow_provider_harbor.core.harbor.records import Record
from airflow_provider_harbor.core.oci.registry import RegistryClient, referrers_tag
from airflow_provider_harbor.core.side_by_side import result_of, submit
from airflow_provider_harbor.core.store.known import Held

_BELIEVED_FOR = timedelta(days=7)
# Two runs of one day are one night.
_A_NIGHT = timedelta(hours=12)
# So many repositories, and none that could be asked for: it is not the repositories.
_FAILURES = 3


class PlainRegistryPlace(RegistryPlace):
    """A registry with nothing but the distribution API, which cannot tell tags' digests in bulk.

    What was copied is remembered. That is believed of a repository as long as the registry still
    lists all the tags that it names, which is one request for each repository; else each manifest
    is asked for. So it is at least once in a week, a seventh of the repositories each night, since
    the list shows neither a tag that was moved there, nor what a garbage collection took that had
    no tag. One manifest without a tag is asked for each night: where that one is gone, a garbage
    collection was there, and nothing is believed.
    """

    kind = "plain registry"

    def __init__(
        self,
        registry: RegistryClient,
        *,
        believed_for: timedelta = _BELIEVED_FOR,
        now: Callable[[], datetime] = lambda: datetime.now(timezone.utc),
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        super().__init__(registry, sleep=sleep)
        self._believed_for = believed_for
        self._now = now

    def look_at(self, project: str, remembered: Mapping[str, Held], *, workers: int) -> _AskingView:
        """Ask for one manifest that has no tag, and begin."""
        if not self._holds_untagged(remembered):
            remembered = {name: held.unsure() for name, held in remembered.items()}
        return _AskingView(self._find_one, remembered, workers)

    def prepare(self, project: str) -> None:
        """Do nothing: repositories come into being with the first push."""

    def worth_remembering(self, held: Held) -> Held:
        """Return all of it."""
        return held

    def _holds_untagged(self, remembered: Mapping[str, Held]) -> bool:
        """Ask for one manifest without a tag that is remembered, another one each night."""
        untagged = [
            (name, digest)
            for name, held in sorted(remembered.items())
            if held.asked
            for digest in sorted(held.digests.difference(held.tags.values()))
        ]
        if not untagged:
            return True
        repository, digest = untagged[self._now().toordinal() % len(untagged)]
        try:
            return self.registry.find_manifest(repository, digest) is not None
        except HarborBackupError:
            return False  # which repositories cannot be asked for shows when each of them is

    def _find_one(self, repository: str, records: Sequence[Record], known: Held | None) -> Held:
        is_known, known = known is not None, known or Held()
        known_tags, digests, asked = known.tags, known.digests, known.asked
        now = self._now()
        listed = set(self.registry.iter_tags(repository))
        tags = {tag.name for record in records for tag in record.tags}
        if (
            asked is None
            or self._is_due(repository, asked, now)
            or not known_tags
            or not known_tags.keys() <= listed
        ):
            asked = now
            if listed or is_known or self._has_some(records):
                digests = frozenset(
                    record.digest for record in records if self._has(repository, record, tags)
                )
            find = self.registry.find_manifest
            known_tags = {tag: find(repository, tag) or "" for tag in sorted(tags & listed)}
        is_new = not (is_known or listed or digests)
        return Held(digests=digests, tags=known_tags, asked=asked, is_new=is_new)

    def _is_due(self, repository: str, asked: datetime, now: datetime) -> bool:
        """Tell whether it is time to ask for everything in a repository."""
        age = now - asked
        # A time to come was taken from a wrong clock, and is believed as little as an old one.
        if abs(age) >= self._believed_for:
            return True
        is_its_night = (zlib.crc32(repository.encode()) + now.toordinal()) % 7 == 0
        return is_its_night and age > _A_NIGHT

    def _has_some(self, records: Sequence[Record]) -> bool:
        """Tell whether there may be something although no tag is listed, so that all is asked for.

        What came there with a tag would be listed. Of what has none some are asked for, and not the
        first one only: that may be newer than what is there.
        """
        untagged = [r for r in records if not (r.tags or r.parents or r.subject)]
        at = {0, len(untagged) // 2, len(untagged) - 1} if untagged else set()
        return any(
            self.registry.find_manifest(record.repository, record.digest) is not None
            for record in (untagged[number] for number in sorted(at))
        )

    def _has(self, repository: str, record: Record, tags: Set[str]) -> bool:
        """Tell whether a manifest is there, and known as what refers to its subject.

        A run that was killed may have pushed it, and not have put it on the subject's list yet.
        """
        if not self.registry.find_manifest(repository, record.digest):
            return False
        by_tag = referrers_tag(record.subject) if record.subject else ""
        if not by_tag or by_tag in tags:  # a list that the source has under its tag is copied
            return True
        if any(tag.name.startswith(by_tag) for tag in record.tags) and not self._refers(record):
            return True
        listed = self.registry.iter_referrers(repository, record.subject)
        try:
            return any(referrer.digest == record.digest for referrer in listed)
        except HarborStatusError as err:
            if is_passing(err):
                raise
            return False  # a registry that knows no such list

    def _refers(self, record: Record) -> bool:
        """Tell whether a manifest itself names its subject: most of cosign's do by their tag."""
        try:
            manifest = self.find_manifest(record)
        except IntegrityError:
            return True  # it is pushed again if it is on no list, and else is as good as others
        return manifest is not None and bool(manifest.subject)


class _AskingView(View):
    """Asks for repositories, several at once.

    Args:
        ask: Returns what is there of a repository, given what is going to be, and what is known.
        remembered: What is known, by repository.
        workers: At most so many are asked for at once.
    """

    def __init__(
        self,
        ask: Callable[[str, Sequence[Record], Held | None], Held],
        remembered: Mapping[str, Held],
        workers: int,
    ) -> None:
        self._ask = ask
        self._remembered = remembered
        self._workers = workers
        self._lock = threading.Lock()
        self._answered = False
        self._errors: list[HarborBackupError] = []

    def find(self, groups: Sequence[Group]) -> Mapping[str, Held]:
        names = [name for name, _ in groups]
        with ThreadPoolExecutor(self._workers, thread_name_prefix="ask") as pool:
            futures = [submit(pool, self._find_one, group) for group in groups]
            found = {name: result_of(future) for name, future in zip(names, futures, strict=True)}
        if self._errors and not self._answered:
            raise self._errors[0]
        return found

    def _find_one(self, group: Group) -> Held:
        """Ask for one repository, unless the registry has proved to answer nothing."""
        name, records = group
        with self._lock:
            if len(self._errors) >= _FAILURES and not self._answered:
                return Held(error=self._errors[0])
        try:
            held = self._ask(name, records, self._remembered.get(name))
        except Exception as err:
            error = err if isinstance(err, HarborBackupError) else UnexpectedError(err)
            with self._lock:
                self._errors.append(error)
            return Held(error=error)
        self._answered = True
        return held
