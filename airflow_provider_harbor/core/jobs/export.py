"""Write a repository of a snapshot as an OCI layout that needs nothing else.

All content is read and hashed on the way. What is damaged or missing in the store is left out, with
the artifacts that need it, and named. `index.json` is written last: a directory without it is what
is left of an export that was killed.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path

from airflow_provider_harbor.core.exceptions import (
    HarborBackupError,
    HarborConfigurationError,
    HarborProtocolError,
    IntegrityError,
    MissingContentError,
    StoreError,
    StoreUnreachableError,
    describe,
)
from airflow_provider_harbor.core.harbor.records import Record, Role
from airflow_provider_harbor.core.human import Progress, human_size
from airflow_provider_harbor.core.jobs.choosing import Choice, Seen
from airflow_provider_harbor.core.jobs.export_report import ExportFailure, ExportReport
from airflow_provider_harbor.core.oci.layout import BLOBS, INDEX, Entry, Layout
from airflow_provider_harbor.core.oci.manifest import Manifest
from airflow_provider_harbor.core.oci.names import is_repository_name
from airflow_provider_harbor.core.oci.referrers import referrer_entry, referrers_index
from airflow_provider_harbor.core.oci.registry import referrers_tag
from airflow_provider_harbor.core.side_by_side import result_of
from airflow_provider_harbor.core.store import layout
from airflow_provider_harbor.core.store.backup_store import BackupStore
from airflow_provider_harbor.core.store.files import BLOCK_BYTES
from airflow_provider_harbor.core.store.inventories import BlobSize, Content
from airflow_provider_harbor.core.store.snapshots import Snapshot

_AT_ONCE = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """What is to be exported.

    Attributes:
        snapshot: Of which night.
        repository: Full name, the project in front.
        tags: Names or globs of tags, with all that belongs to them; empty for everything.
        directory: Where to; it is not there yet, or empty.
        may_link: Whether files of a store in the same file system may be hard links.
    """

    store: BackupStore
    snapshot: Snapshot
    repository: str
    tags: tuple[str, ...] = ()
    directory: Path
    may_link: bool = True

    @property
    def project(self) -> str:
        """Name of the project that the repository is in."""
        return self.repository.partition("/")[0]


def export_repository(export: Export, progress: Progress | None = None) -> ExportReport:
    """Write the layout.

    Where it raises, or where nothing at all could be exported, nothing is left of it.

    Args:
        export: What, and where to.
        progress: Called with a line of text, often and from many threads.

    Returns:
        What is in it; an artifact whose content is damaged is in there, and raises nothing.

    Raises:
        HarborConfigurationError: The snapshot does not have it, or the directory is not empty.
        IntegrityError: The lists of the snapshot cannot be read.
        StoreError: The store cannot be read, or the directory cannot be written.
    """
    records = _find_records(export)
    contents = _find_contents(export)
    report = ExportReport()
    with contextlib.suppress(_NothingExportedError), _fresh(export.directory, export.store):
        report = _Export(export, records, contents, progress or (lambda text: None)).run()
        if not report.manifests:
            raise _NothingExportedError
    return report


class _NothingExportedError(Exception):
    """Has the directory cleaned up; the report says why."""


# -- what is meant


def _find_records(export: Export) -> list[Record]:
    snapshot, name = export.snapshot, export.repository
    if not (is_repository_name(name) and "/" in name):
        raise HarborConfigurationError(
            f"{name!r} is not the full name of a repository: write PROJECT/REPOSITORY, such as "
            "library/nginx"
        )
    choice, seen = Choice(repositories=(name,), tags=export.tags), Seen()
    (project,) = choice.find_projects(snapshot)
    found: list[Record] = []
    entry = snapshot.projects[project]
    inventories = export.store.inventories
    for repository, records in inventories.iter_repositories(project, entry.inventory):
        seen.add(choice, repository, records)
        found += choice.restrict(repository, records)
    choice.require_found(seen.repositories, f"the snapshot {snapshot.key}", seen.tags)
    return found


def _find_contents(export: Export) -> Mapping[str, Content]:
    snapshot, project = export.snapshot, export.project
    sha256 = snapshot.projects[project].contents
    if not sha256:
        raise HarborConfigurationError(
            f"the snapshot {snapshot.key} has the list of the project {project}, but not its "
            f"content: {snapshot.why_no_content()}"
        )
    found: Mapping[str, Content] = {}
    for repository, contents in export.store.inventories.iter_contents(project, sha256):
        if repository == export.repository:
            found = contents
    return found


# -- where it goes


@contextlib.contextmanager
def _fresh(directory: Path, store: BackupStore) -> Iterator[None]:
    """Make a directory that is not there, or is empty; leave it so where the block raises."""
    is_new = _require_fresh(directory, store)
    try:
        yield
    except BaseException:
        for path in [*directory.iterdir()] if directory.is_dir() else []:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
        if is_new:
            with contextlib.suppress(OSError):
                directory.rmdir()
        raise


def _require_fresh(directory: Path, store: BackupStore) -> bool:
    """Make a directory; returns whether it was not there."""
    root = store.files.local_path("")
    # Not by `resolve`: what it does with links that lead in a circle depends on Python's version.
    whole = Path(os.path.realpath(directory))
    if root is not None and whole.is_relative_to(os.path.realpath(root)):
        raise HarborConfigurationError(
            f"{directory} is in the store itself. Name a directory outside of {root}"
        )
    try:
        if os.listdir(directory):
            hint = (
                "it is what is left of an export that was cut short: delete it"
                if (directory / BLOBS).is_dir() and not (directory / INDEX).exists()
                else "name one that is not there yet"
            )
            raise HarborConfigurationError(f"the directory {directory} is not empty; {hint}")
        return False
    except FileNotFoundError:
        if directory.is_symlink():
            raise HarborConfigurationError(
                f"{directory} is a link to a directory that is not there"
            ) from None
        directory.mkdir(parents=True)
        return True
    except OSError as err:
        if err.errno not in (errno.ENOTDIR, errno.ELOOP):  # links that lead in a circle
            raise
        raise HarborConfigurationError(f"{directory} is not a directory") from None


# -- doing it


@dataclass(slots=True)
class _Placed:
    """What became of the content of some digests: its error, or None where it is in the layout."""

    errors: dict[str, HarborBackupError | None] = field(default_factory=dict)
    linked: set[str] = field(default_factory=set)


class _Export:
    """One export."""

    def __init__(
        self,
        export: Export,
        records: Sequence[Record],
        contents: Mapping[str, Content],
        progress: Progress,
    ) -> None:
        self._store = export.store
        self._where = f"the snapshot {export.snapshot.key}"
        self._records = {record.digest: record for record in records}
        self._contents = contents
        self._progress = progress
        self._target = Layout(export.directory)
        self._may_link = export.may_link
        self._placed = _Placed()
        self._manifests: dict[str, Manifest] = {}
        self._reasons: dict[str, str] = {}
        self._lists: dict[str, int] = {}

    def run(self) -> ExportReport:
        """Write it all, and return what it has come to."""
        there = {d: self._contents[d] for d in self._records if d in self._contents}
        for digest in self._records.keys() - there.keys():
            self._placed.errors[digest] = MissingContentError(
                digest,
                self._where,
                "it was not copied into the store that night. Take it from another night",
            )
        self._place_all(BlobSize(d, content.size_bytes) for d, content in there.items())
        self._read_manifests()
        self._place_all(blob for content in there.values() for blob in content.blobs)
        for digest in self._records:
            self._why_not(digest)
        whole = {digest for digest in self._records if not self._reasons[digest]}
        self._remove_but(whole)
        if whole:
            self._finish(whole)
        return self._report(whole)

    def _place_all(self, blobs: Iterable[BlobSize]) -> None:
        wanted = {b.digest: b for b in blobs if b.digest not in self._placed.errors}
        total = sum(b.size_bytes for b in wanted.values())
        done_bytes = 0
        with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="export") as threads:
            waiting = {threads.submit(self._place, b): b for b in wanted.values()}
            try:
                for future in as_completed(waiting):
                    blob = waiting[future]
                    self._placed.errors[blob.digest] = result_of(future)
                    done_bytes += blob.size_bytes
                    self._progress(
                        f"exporting: {human_size(done_bytes)} of {human_size(total)}, "
                        f"{len(self._placed.errors):,} files"
                    )
            except BaseException:
                threads.shutdown(wait=False, cancel_futures=True)
                raise

    def _place(self, blob: BlobSize) -> HarborBackupError | None:
        """Put one file into the layout; returns what is wrong with the store's."""
        try:
            if not self._link(blob):
                self._target.add(blob.digest, self._iter_blocks(blob))
        except StoreUnreachableError:
            raise
        except (IntegrityError, StoreError) as err:
            return err
        return None

    def _link(self, blob: BlobSize) -> bool:
        """Make a hard link, if that is possible, and read what it holds."""
        source = self._store.files.local_path(layout.blob(blob.digest))
        if source is None or not self._may_link or not self._target.link(blob.digest, source):
            return False
        try:
            for _ in self._iter_blocks(blob):
                continue
        except BaseException:
            self._target.remove(blob.digest)
            raise
        self._placed.linked.add(blob.digest)
        return True

    def _iter_blocks(self, blob: BlobSize) -> Iterator[bytes]:
        reader = self._store.pool.open(blob.digest, blob.size_bytes)
        return iter(lambda: reader.read(BLOCK_BYTES), b"")

    def _read_manifests(self) -> None:
        for digest, error in list(self._placed.errors.items()):
            if error is None:
                content = self._target.path(digest).read_bytes()
                media_type = self._contents[digest].media_type
                try:
                    self._manifests[digest] = Manifest.from_bytes(content, media_type, digest)
                except HarborProtocolError as err:
                    self._placed.errors[digest] = err

    def _why_not(self, digest: str) -> str:
        """Return why an artifact is not whole in the layout; empty where it is."""
        if digest not in self._reasons:
            self._reasons[digest] = self._find_reason(digest)
        return self._reasons[digest]

    def _find_reason(self, digest: str) -> str:
        errors = self._placed.errors
        if error := errors.get(digest):
            return describe(error)
        if digest not in self._manifests:
            return f"{self._where} does not have it"
        for blob in self._contents[digest].blobs:
            if error := errors.get(blob.digest):
                return describe(error)
        for child in self._manifests[digest].children:
            if self._why_not(child.digest):
                return f"its child {child.digest} is not whole"
        return ""

    def _remove_but(self, whole: set[str]) -> None:
        """Remove content that nothing in the layout needs."""
        needed = {blob.digest for digest in whole for blob in self._contents[digest].iter_sizes()}
        for digest, error in self._placed.errors.items():
            if digest not in needed and error is None:
                self._target.remove(digest)
        self._placed.errors = dict.fromkeys(needed)
        self._placed.linked &= needed

    def _finish(self, whole: set[str]) -> None:
        entries = [entry for digest in whole for entry in self._iter_entries(digest, whole)]
        self._target.finish([*entries, *self._add_referrers_lists(whole)])

    def _add_referrers_lists(self, whole: set[str]) -> list[Entry]:
        """Add what lists the referrers of each subject, under the tag that regctl looks for.

        Other readers look into each manifest that has no tag. Source: regclient 0.11.7
        scheme/ocidir/referrer.go; the image-spec does not say yet how layouts keep referrers.
        """
        referrers: dict[str, list[Manifest]] = {}
        for manifest in map(self._manifests.__getitem__, whole):
            if manifest.subject:
                referrers.setdefault(manifest.subject, []).append(manifest)
        taken = {tag.name for record in self._records.values() for tag in record.tags}
        entries = []
        for subject, manifests in sorted(referrers.items()):
            if (tag := referrers_tag(subject)) in taken:
                continue
            made = referrers_index(map(referrer_entry, manifests))
            self._target.add(made.digest, [made.content])
            self._lists[made.digest] = len(made.content)
            entries.append(
                Entry(
                    digest=made.digest,
                    size_bytes=len(made.content),
                    media_type=made.media_type,
                    tag=tag,
                )
            )
        return entries

    def _iter_entries(self, digest: str, whole: set[str]) -> Iterator[Entry]:
        """Yield one entry for each tag; one for what has none, unless an index leads to it."""
        record, content, manifest = (
            self._records[digest],
            self._contents[digest],
            self._manifests[digest],
        )
        is_led_to = record.role in (Role.CHILD, Role.ATTESTATION) and any(
            parent in whole for parent in record.parents
        )
        for tag in [t.name for t in record.tags] or ([] if is_led_to else [""]):
            yield Entry(
                digest=digest,
                size_bytes=content.size_bytes,
                media_type=content.media_type,
                artifact_type=manifest.artifact_type if manifest.subject else "",
                tag=tag,
            )

    def _report(self, whole: set[str]) -> ExportReport:
        sizes = {
            blob.digest: blob.size_bytes
            for digest in whole
            for blob in self._contents[digest].iter_sizes()
        }
        return ExportReport(
            tags=tuple(sorted(t.name for digest in whole for t in self._records[digest].tags)),
            manifests=len(whole),
            linked=len(self._placed.linked),
            copied=len(sizes) - len(self._placed.linked) + len(self._lists),
            size_bytes=sum(sizes.values()) + sum(self._lists.values()),
            foreign=len({f for digest in whole for f in self._contents[digest].foreign}),
            failures=tuple(
                ExportFailure(
                    digest=digest,
                    tags=tuple(tag.name for tag in self._records[digest].tags),
                    message=reason,
                )
                for digest in sorted(self._records)
                if (reason := self._reasons[digest])
            ),
        )
