"""What of which night: find a snapshot, and in it projects, repositories and tags."""

from __future__ import annotations

import bisect
import difflib
import logging
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from fnmatch import fnmatchcase

from airflow_provider_harbor.core.exceptions import (
    HarborBackupError,
    HarborConfigurationError,
    IntegrityError,
)
from airflow_provider_harbor.core.harbor.records import Record
from airflow_provider_harbor.core.human import human_count
from airflow_provider_harbor.core.jobs.results import Results
from airflow_provider_harbor.core.oci.names import is_project_name
from airflow_provider_harbor.core.store.backup_store import BackupStore
from airflow_provider_harbor.core.store.layout import run_key
from airflow_provider_harbor.core.store.retention import AHEAD
from airflow_provider_harbor.core.store.snapshots import Snapshot

log = logging.getLogger(__name__)

LATEST = "latest"
_NEAREST = 3
_BEGINS_WITH_TIME = re.compile(r"\d{4}-\d\d-\d\dT")


def find_snapshot(
    store: BackupStore,
    wanted: str = LATEST,
    projects: Sequence[str] = (),
    *,
    needs_content: bool = False,
) -> Snapshot:
    """Return a snapshot.

    Args:
        store: Where it is.
        wanted: `latest`; or a date (`2026-11-25`, UTC) or another beginning of a key: the newest
            complete one of those; or a run's whole name or key, which may be of a partial one, too.
        projects: Names and globs that have to be in it, where it is not named. Without them, one
            of a run that was limited to some projects is taken only where there is no other.
        needs_content: Whether one whose content went to a mirror is taken only where it is named,
            or there is no other.

    Raises:
        HarborConfigurationError: There is none.
        IntegrityError: It cannot be read.
    """
    keys = store.snapshots.list_keys()
    if wanted == LATEST:
        return _newest_complete(store, _to_come_first(keys), "", projects, needs_content)
    key = run_key(wanted)
    named = [key] if key in keys else [k for k in keys if k.endswith(f".{key}")]
    if len(named) == 1:
        return _read(store, named[0], keys)
    if named:
        return _newest_complete(store, named, wanted, projects, needs_content)
    if begun := [k for k in keys if k.startswith(key)]:
        return _newest_complete(store, begun, wanted, projects, needs_content)
    raise HarborConfigurationError(
        f"the store {store.url} has no snapshot {wanted!r}. {_nearest_keys(key, keys)}"
    )


def _read(store: BackupStore, key: str, keys: Sequence[str]) -> Snapshot:
    snapshot = _read_whole(store, key, keys)
    if snapshot is None:
        raise HarborConfigurationError(
            f"the run {key} of the store {store.url} was cut short, so that it is no snapshot. "
            f"{_nearest_keys(key, [k for k in keys if k != key])}"
        )
    return snapshot


def _read_whole(store: BackupStore, key: str, keys: Sequence[str]) -> Snapshot | None:
    try:
        return store.snapshots.read(key)
    except IntegrityError as err:
        left = [k for k in keys if k != key]
        others = _nearest_keys(key, left) if left else "There is no other"
        raise IntegrityError(
            f"{err}. Name another snapshot than {key}, which has this file. {others}"
        ) from err


def _newest_complete(
    store: BackupStore,
    keys: Sequence[str],
    wanted: str,
    projects: Sequence[str],
    needs_content: bool,
) -> Snapshot:
    limited: Snapshot | None = None
    elsewhere: Snapshot | None = None
    partial: Snapshot | None = None
    complete: Snapshot | None = None
    for key in reversed(keys):
        snapshot = _read_whole(store, key, keys)
        if snapshot is None:
            continue
        if not snapshot.complete:
            partial = partial or snapshot
            continue
        if needs_content and not snapshot.has_contents:
            elsewhere = elsewhere or snapshot
            continue
        complete = complete or snapshot
        if not all(any(fnmatchcase(name, p) for name in snapshot.projects) for p in projects):
            continue
        if projects or not snapshot.limited_to:
            return snapshot
        limited = limited or snapshot
    # Where none has the projects, the newest one tells which of them it lacks.
    if found := limited or complete or elsewhere:
        return found
    what = f"no complete snapshot{f' {wanted!r}' if wanted else ' yet'}"
    remedy = "Make a backup first"
    if partial:
        remedy = f"The newest partial one is {partial.key}: name it to get what it has"
    elif wanted:
        remedy = "List them with: harbor-backup snapshots"
    raise HarborConfigurationError(f"the store {store.url} has {what}. {remedy}")


def _to_come_first(keys: Sequence[str]) -> list[str]:
    """Return keys in their order, but those of a time to come ahead of the oldest.

    Some night the clock was wrong; that one is not the newest until the day comes.
    """
    tomorrow = f"{datetime.now(timezone.utc) + AHEAD:%Y-%m-%dT%H-%M-%S}"
    to_come = [key for key in keys if key > tomorrow and _BEGINS_WITH_TIME.match(key)]
    if to_come:
        log.warning(
            "The snapshot %s was begun by a clock that was wrong: it is not taken for the newest. "
            "Name it to have it",
            to_come[-1],
        )
    return [*to_come, *(key for key in keys if key not in to_come)]


def find_lacking(store: BackupStore, snapshot: Snapshot) -> list[str]:
    """Return the projects of a partial snapshot that are not whole, or not in it at all, sorted."""
    lacking = {name for name, project in snapshot.projects.items() if not project.ok}
    try:
        tried = {result.project for result in Results(store.results, snapshot.run)}
    except HarborBackupError as err:
        log.info("The results of the run %s cannot be read: %s", snapshot.run, err)
        tried = set()
    return sorted(lacking | (tried - snapshot.projects.keys()))


def _nearest_keys(key: str, keys: Sequence[str]) -> str:
    if not keys:
        return "It has none at all"
    at = bisect.bisect(keys, key)
    return f"The nearest ones are {', '.join(keys[max(0, at - 2) : at + 2])}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What of a snapshot is meant; empty means all.

    Attributes:
        projects: Names or globs of projects.
        repositories: Full names or globs of repositories (`library/nginx`, `library/*`).
        tags: Names or globs of tags. What a tag names comes with all that belongs to it: children
            of an index, and what refers to them, such as signatures; and what it refers to itself,
            without which Harbor would list it nowhere. Other tags of all these do not come.
    """

    projects: tuple[str, ...] = ()
    repositories: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()

    @property
    def is_all(self) -> bool:
        """Whether whole projects are meant."""
        return not self.repositories and not self.tags

    @property
    def project_patterns(self) -> tuple[str, ...]:
        """Names and globs of all projects that are named, those of repositories among them."""
        return (*self.projects, *(name.partition("/")[0] for name in self.repositories))

    def find_projects(self, snapshot: Snapshot) -> list[str]:
        """Return the projects of a snapshot that are meant, sorted.

        Raises:
            HarborConfigurationError: A name or glob fits none.
        """
        names = sorted(snapshot.projects)
        for pattern in self.projects:
            _require(pattern, names, "project", f"the snapshot {snapshot.key}")
        owners = [pattern.partition("/")[0] for pattern in self.repositories]
        meant = [name for name in names if _fits(name, self.projects)]
        for pattern, owner in zip(self.repositories, owners, strict=True):
            _require(owner, names, "project", f"the snapshot {snapshot.key}")
            if not any(fnmatchcase(name, owner) for name in meant):
                raise HarborConfigurationError(
                    f"the repository {pattern!r} is in none of the projects that are named "
                    f"({', '.join(self.projects)}). Name its project, too, or no project at all"
                )
        return [name for name in meant if _fits(name, owners)]

    def restrict(self, repository: str, records: Sequence[Record]) -> list[Record]:
        """Return what is meant of a repository, the tags that are not meant taken away."""
        if not _fits(repository, self.repositories):
            return []
        if not self.tags:
            return list(records)
        by_digest = {record.digest: record for record in records}
        roots = [r.digest for r in records if any(_fits(tag.name, self.tags) for tag in r.tags)]
        return [
            self._with_tags(by_digest[digest]) for digest in sorted(_belonging(roots, by_digest))
        ]

    def _with_tags(self, record: Record) -> Record:
        """Return a record with the tags that are meant, and those by which it refers to another.

        A signature of cosign is one by its tag `sha256-<hex of its subject>.sig`.
        """
        refers = record.subject.replace(":", "-") if record.subject else None
        tags = (
            tag
            for tag in record.tags
            if _fits(tag.name, self.tags) or (refers and tag.name.startswith(refers))
        )
        return replace(record, tags=tuple(tags))

    def require_found(
        self, repositories: Collection[str], where: str, tags: Collection[str] = ()
    ) -> None:
        """Make sure that every repository and tag that is named is there.

        Args:
            repositories: Names of those that are there.
            where: For the error.
            tags: Names of those that are there, in the repositories that are meant.

        Raises:
            HarborConfigurationError: One is not.
        """
        for pattern in self.repositories:
            _require(pattern, repositories, "repository", where)
        for pattern in self.tags:
            _require(pattern, tags, "tag", where)


@dataclass(frozen=True, slots=True, kw_only=True)
class Restore:
    """What is to be brought back.

    Attributes:
        snapshot: Of which night.
        choice: What of it.
        renames: New names of projects, by their old ones.
        overwrites: Whether tags may be moved that name something else, and a project be restored
            under the name of one that holds something else.
    """

    store: BackupStore
    snapshot: Snapshot
    choice: Choice = field(default_factory=Choice)
    renames: Mapping[str, str] = field(default_factory=dict)
    overwrites: bool = False

    def target_of(self, project: str) -> str:
        """Return what a project is called where it is restored."""
        return self.renames.get(project, project)

    def original_name(self, repository: str) -> str:
        """Return what a repository that is restored is called in the snapshot."""
        project, slash, rest = repository.partition("/")
        for old, new in self.renames.items():
            if new == project:
                return f"{old}{slash}{rest}"
        return repository


class Seen:
    """The repositories and tags that there are, among what is meant."""

    def __init__(self) -> None:
        self.repositories: set[str] = set()
        self.tags: set[str] = set()

    def add(self, choice: Choice, repository: str, records: Iterable[Record]) -> None:
        """Note a repository."""
        self.repositories.add(repository)
        if choice.tags and _fits(repository, choice.repositories):
            self.tags.update(tag.name for record in records for tag in record.tags)


def _belonging(roots: Iterable[str], records: Mapping[str, Record]) -> set[str]:
    """Return some digests with their children, and what refers to any or is referred to."""
    referrers: dict[str, list[str]] = {}
    for record in records.values():
        if record.subject:
            referrers.setdefault(record.subject, []).append(record.digest)
    found: set[str] = set()
    waiting = list(roots)
    while waiting:
        digest = waiting.pop()
        if digest in found or digest not in records:
            continue
        found.add(digest)
        record = records[digest]
        waiting += [*record.children, *referrers.get(digest, ())]
        if record.subject:
            waiting.append(record.subject)
    return found


def _fits(name: str, patterns: Sequence[str]) -> bool:
    return not patterns or any(fnmatchcase(name, pattern) for pattern in patterns)


def _require(pattern: str, names: Collection[str], noun: str, where: str) -> None:
    if not any(fnmatchcase(name, pattern) for name in names):
        raise unknown_name(pattern, noun, where, names)


def unknown_name(
    pattern: str, noun: str, where: str, names: Collection[str]
) -> HarborConfigurationError:
    """Return the error to raise for a name, or a glob, that fits none of those that there are.

    Args:
        pattern: The name or glob.
        noun: What it would name.
        where: Where it is not, in words.
        names: Those that there are.
    """
    near = difflib.get_close_matches(pattern, sorted(names), n=_NEAREST, cutoff=0.4)
    shown = ", ".join(near or sorted(names)[:_NEAREST])
    number = human_count(len(names), noun)
    hint = f"The nearest of {number} there: {shown}" if names else "There is none at all"
    return HarborConfigurationError(f"{where} has no {noun} {pattern!r}. {hint}")


def parse_renames(texts: Iterable[str], projects: Sequence[str]) -> dict[str, str]:
    """Return new names of projects, from texts such as `old=new`.

    Args:
        texts: What was given.
        projects: Names of the projects that are restored.

    Raises:
        HarborConfigurationError: It is no such text, or no such project; or two projects would
            become one.
    """
    renames = read_renames(texts, projects)
    targets: dict[str, str] = {}
    for project in projects:
        target = renames.get(project, project)
        if target in targets:
            raise HarborConfigurationError(
                f"{targets[target]!r} and {project!r} would both be restored as {target!r}. Give "
                "them two names"
            )
        targets[target] = project
    return renames


def read_renames(texts: Iterable[str], projects: Sequence[str]) -> dict[str, str]:
    """Return the same without looking whether two projects would become one.

    Args:
        texts: What was given.
        projects: Names of the projects that there are.

    Raises:
        HarborConfigurationError: It is no such text, or no such project.
    """
    return dict(_iter_renames(texts, projects))


def _iter_renames(texts: Iterable[str], projects: Sequence[str]) -> Iterator[tuple[str, str]]:
    seen: set[str] = set()
    for text in texts:
        old, equals, new = text.partition("=")
        if not (old and equals and new):
            raise HarborConfigurationError(
                f"{text!r} is not a new name for a project. Write the project, '=' and its "
                "new name: library=restored"
            )
        if not is_project_name(new):
            raise HarborConfigurationError(f"{new!r} is not a name that a project can have")
        if old not in projects:
            raise unknown_name(old, "project", "what is restored", projects)
        if old in seen:
            raise HarborConfigurationError(
                f"two new names are given for {old!r}. Restore it once under each, one after the "
                "other"
            )
        seen.add(old)
        yield old, new
