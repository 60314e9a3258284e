"""Verify what a store says of itself: snapshots, results, inventories, contents.

Each list is read once, however many nights share it. Whether all that an inventory lists is in its
contents is told by a sum over both, so that neither has to be in memory, nor to be read again where
they agree.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_harbor.core.exceptions import (
    HarborBackupError,
    IntegrityError,
    StoreError,
)
from airflow_provider_harbor.core.human import Progress, human_count
from airflow_provider_harbor.core.jobs.results import ProjectResult
from airflow_provider_harbor.core.jobs.side_by_side import FailuresInARow
from airflow_provider_harbor.core.jobs.verification.report import Damage, Findings, Kind, Use
from airflow_provider_harbor.core.jobs.verification.settings import SettingsCheck
from airflow_provider_harbor.core.oci.names import pack_digest, unpack_digest
from airflow_provider_harbor.core.side_by_side import do_all
from airflow_provider_harbor.core.store import layout
from airflow_provider_harbor.core.store.backup_store import BackupStore
from airflow_provider_harbor.core.store.documents import SHAPE_ERRORS, parse_object
from airflow_provider_harbor.core.store.inventories import BlobSize
from airflow_provider_harbor.core.store.layout import run_key
from airflow_provider_harbor.core.store.seals import is_intact
from airflow_provider_harbor.core.store.snapshots import Snapshot

_READERS = 16
_SUM = 2**128
_SHOWN = 3

# A list, by its project and its SHA-256.
ListName = tuple[str, str]


@dataclass(slots=True)
class Lists:
    """What the snapshots name.

    Attributes:
        snapshots: Those that are looked at and can be read, oldest first.
        nights: Numbers of the snapshots that have a pair of inventory and contents of a project.
        protected: The pairs of which a snapshot says that all of it is protected.
        sizes: Bytes of each blob that some contents name, by the bytes of its digest.
        damaged: Kind and name of the inventories and contents that cannot be read.
    """

    snapshots: list[Snapshot] = field(default_factory=list)
    nights: dict[tuple[str, str, str], list[int]] = field(default_factory=dict)
    protected: set[tuple[str, str, str]] = field(default_factory=set)
    sizes: dict[bytes, int] = field(default_factory=dict)
    damaged: set[tuple[str, ListName]] = field(default_factory=set)

    def use(self, repository: str, numbers: Sequence[int], **more: Any) -> Use:
        """Return where something is used, given the numbers of the snapshots that have it."""
        return Use(
            repository=repository,
            first=self.snapshots[min(numbers)].key,
            last=self.snapshots[max(numbers)].key,
            snapshots=len(set(numbers)),
            **more,
        )


class ListsCheck:
    """Reads the lists of a store, and notes what is wrong with them.

    Args:
        store: The store.
        findings: Where to.
        progress: Called with a line of text now and then.
    """

    def __init__(self, store: BackupStore, findings: Findings, progress: Progress) -> None:
        self._store = store
        self._findings = findings
        self._progress = progress
        self._lock = threading.Lock()
        self._sums: dict[tuple[str, ListName], int] = {}
        self._failures: FailuresInARow[tuple[str, ListName]] = FailuresInARow()
        self.lists = Lists()
        self.results = 0

    def run(self, keys: Sequence[str]) -> None:
        """Read the snapshots of some runs, and all that they name, but no content."""
        self._read_snapshots(keys)
        self._read_results()
        SettingsCheck(self._store, self._findings).run(keys, self.lists.snapshots)
        names = self._names()
        do_all(self._counted(names), self._read_list, _READERS, "lists")
        for name, err in self._failures.own(is_over=True):
            self._unreadable(name, err)
        for pair in sorted(self.lists.protected):
            self._compare(*pair)

    @property
    def read_lists(self) -> int:
        """How many inventories and contents are read: each once."""
        return len(self._names())

    # -- snapshots and results

    def _read_snapshots(self, keys: Sequence[str]) -> None:
        cut_short: list[str] = []
        found: dict[str, Snapshot] = {}

        def read(key: str) -> None:
            snapshot, problem = self._read_snapshot(key)
            if problem:
                self._damage(Kind.SNAPSHOT, *problem)
            elif snapshot is None:
                if not layout.is_of_settings(key):
                    cut_short.append(key)
            else:
                found[key] = snapshot

        do_all(keys, read, _READERS, "snapshots")
        lists = self.lists
        lists.snapshots = [found[key] for key in sorted(found)]
        if cut_short:
            shown = ", ".join(sorted(cut_short)[:_SHOWN])
            shown += ", ..." if len(cut_short) > _SHOWN else ""
            self._findings.notes.append(
                f"{human_count(len(cut_short), 'run')} without an end, so no snapshot (going on, "
                f"or cut short): {shown}"
            )
        for number, snapshot in enumerate(lists.snapshots):
            for project, item in snapshot.projects.items():
                pair = (project, item.inventory, item.contents)
                lists.nights.setdefault(pair, []).append(number)
                if item.ok and item.contents:
                    lists.protected.add(pair)

    def _read_snapshot(self, key: str) -> tuple[Snapshot | None, tuple[str, str] | None]:
        """Return a snapshot, or path and problem of its file; neither where there is none."""
        for path in (layout.snapshot(key), layout.partial(key)):
            try:
                content = self._store.files.read(path)
            except FileNotFoundError:
                continue
            problem = _unsealed(content)
            if not problem:
                try:
                    data = parse_object(self._store.files, path, content)
                    snapshot = Snapshot.from_json(key, data)
                    if run_key(snapshot.run) == key:
                        return snapshot, None
                    problem = f"it is that of another run, {snapshot.run}"
                except (IntegrityError, *SHAPE_ERRORS) as err:
                    problem = f"it cannot be read ({err!r})"
            return None, (path, problem)
        return None, None

    def _read_results(self) -> None:
        found = [
            (number, project)
            for number, snapshot in enumerate(self.lists.snapshots)
            for project in snapshot.projects
        ]
        self.results = len(found)
        do_all(found, lambda item: self._read_result(*item), _READERS, "results")

    def _read_result(self, number: int, project: str) -> None:
        snapshot = self.lists.snapshots[number]
        path = layout.result(layout.SNAPSHOTS, snapshot.key, project)
        result, problem = None, ""
        try:
            content = self._store.files.read(path)
            problem = _unsealed(content)
            data = {} if problem else parse_object(self._store.files, path, content)
            result = ProjectResult.from_json(data) if data else None
            if result and (result.project, result.run) != (project, snapshot.run):
                problem = f"it is that of {result.project} in the run {result.run}"
        except FileNotFoundError:
            problem = "it is gone"
        except (IntegrityError, *SHAPE_ERRORS) as err:
            problem = f"it cannot be read ({err!r})"
        if problem:
            self._damage(
                Kind.RESULT,
                path,
                f"{problem}. A restore does not need it; what became of each record that night is "
                "known by the night's report only",
                self.lists.use(project, [number]),
            )
        elif result:
            self._require_contents(number, project, result)

    def _require_contents(self, number: int, project: str, result: ProjectResult) -> None:
        """Note a project that is said to be in the store, and has no contents."""
        snapshot = self.lists.snapshots[number]
        item = snapshot.projects[project]
        copy = result.copy
        is_lacking = item.ok and not item.contents and not snapshot.is_mirrored
        if is_lacking and copy and copy.skipped < copy.total:
            self._damage(
                Kind.LACKING,
                f"{project} in {layout.snapshot(snapshot.key)}",
                "the snapshot says that it is protected, and names no contents of it",
                self.lists.use(project, [number]),
            )

    # -- inventories and contents

    def _names(self) -> list[tuple[str, ListName]]:
        """Return kind and name of each list, once."""
        found = {("inventory", (p, inventory)) for p, inventory, _ in self.lists.nights}
        found |= {("contents", (p, contents)) for p, _, contents in self.lists.nights if contents}
        return sorted(found)

    def _counted(self, names: list[tuple[str, ListName]]) -> Iterator[tuple[str, ListName]]:
        for number, name in enumerate(names):
            if number % 10 == 0:
                self._progress(f"{number:,} of {human_count(len(names), 'list')} read")
            yield name

    def _read_list(self, name: tuple[str, ListName]) -> None:
        kind, (project, sha256) = name
        try:
            if kind == "inventory":
                self._sums[name] = self._read_inventory(project, sha256)
            else:
                self._sums[name] = self._read_contents(project, sha256)
            self._failures.succeeded()
        except IntegrityError as err:
            self._unreadable(name, err)
        except StoreError as err:  # a bad sector, or the whole disk
            self._failures.failed(name, err)

    def _unreadable(self, name: tuple[str, ListName], err: HarborBackupError) -> None:
        kind, (project, sha256) = name
        numbers = [
            number
            for (p, inventory, contents), nights in self.lists.nights.items()
            if p == project and sha256 == (inventory if kind == "inventory" else contents)
            for number in nights
        ]
        path_of = layout.inventory if kind == "inventory" else layout.contents
        path = path_of(project, sha256)
        self.lists.damaged.add(name)
        message = str(err).removeprefix(self._store.files.url_of(path)).lstrip(": ")
        self._damage(Kind.LIST, path, message, self.lists.use(project, numbers))

    def _read_inventory(self, project: str, sha256: str) -> int:
        total = 0
        for record in self._store.inventories.iter_records(project, sha256):
            total += _term(record.repository, record.digest)
        return total % _SUM

    def _read_contents(self, project: str, sha256: str) -> int:
        total = 0
        # What a damaged file says is not believed, and that shows at its end.
        sizes: dict[bytes, int] = {}
        for repository, manifests in self._store.inventories.iter_contents(project, sha256):
            for content in manifests.values():
                total += _term(repository, content.digest)
                for blob in content.iter_sizes():
                    self._add_size(sizes, blob, project, sha256)
        with self._lock:
            for key, size_bytes in sizes.items():
                self._require_one_size(key, size_bytes, project, sha256)
        return total % _SUM

    def _add_size(self, sizes: dict[bytes, int], blob: BlobSize, project: str, sha256: str) -> None:
        key = pack_digest(blob.digest)
        known = sizes.setdefault(key, blob.size_bytes)
        if known != blob.size_bytes:
            self._contradiction(blob.digest, known, blob.size_bytes, project, sha256)

    def _require_one_size(self, key: bytes, size_bytes: int, project: str, sha256: str) -> None:
        known = self.lists.sizes.setdefault(key, size_bytes)
        if known != size_bytes:
            self._contradiction(unpack_digest(key), known, size_bytes, project, sha256)

    def _contradiction(self, digest: str, one: int, other: int, project: str, sha256: str) -> None:
        self._damage(
            Kind.TWO_SIZES,
            digest,
            f"the lists give it {one:,} bytes and {other:,} bytes, the latter "
            f"{layout.contents(project, sha256)}: one of them is wrong",
        )

    def _compare(self, project: str, inventory: str, contents: str) -> None:
        """Note what an inventory lists and its contents lack, where all should be there."""
        names = (("inventory", (project, inventory)), ("contents", (project, contents)))
        sums = [self._sums.get(name) for name in names]
        if None in sums or sums[0] == sums[1]:
            return
        held = {
            (repository, digest)
            for repository, manifests in self._store.inventories.iter_contents(project, contents)
            for digest in manifests
        }
        numbers = self.lists.nights[project, inventory, contents]
        for record in self._store.inventories.iter_records(project, inventory):
            if record.key not in held:
                use = self.lists.use(record.repository, numbers, digest=record.digest)
                self._damage(
                    Kind.LACKING,
                    f"{record.repository}@{record.digest}",
                    "it is listed, and its project is said to be protected, but it is not in the "
                    "contents",
                    use,
                )

    def _damage(self, kind: Kind, thing: str, message: str, *uses: Use) -> None:
        damage = Damage(
            kind=kind,
            where=self._store.url,
            thing=thing,
            message=message,
            uses=uses,
            uses_in_all=len(uses),
        )
        self._findings.add(damage)


def _unsealed(content: bytes) -> str:
    """Return what is wrong with a file that has a checksum; empty where nothing is."""
    if is_intact(content):
        return ""
    return (
        "it is not what was written: its checksum is not right, or is gone"
        if content
        else ("it is empty")
    )


def _term(repository: str, digest: str) -> int:
    """Return what a record adds to the sum over a list."""
    hashed = hashlib.sha256(f"{repository}\0{digest}".encode()).digest()
    return int.from_bytes(hashed[:16], "big")
