"""The backup store: its format, and the only code that writes it. This is format version 1.

Words. A *store* is a directory, or a prefix of an object storage, that keeps the backups of one
Harbor. A *run* is one attempt to back up everything; its name in paths is its *key*, see `run_key`.
An *inventory* is what a project of Harbor held, see `records`. A *result* is how a project ended
in a run, see `results`. A *snapshot* is a run that has come to its end.

Layout, `/` below the root of the store:

    store.json                              whose backups these are
    inventories/<project>/<run>.jsonl.gz    what Harbor held
    plans/<run>/<project>.json              what a dry run would have copied
    snapshots/<run>/projects/<project>.json the result of a project
    snapshots/<run>/snapshot.json           the run is complete: everything is protected
    snapshots/<run>/partial.json            the run has ended, and something is not protected
    reports/<run>.json, <run>.html          how the run ended, for people and for programs
    destinations/<host>/<project>.json.gz   what a destination is known to hold: a cache
    leases/<host>/<number>.json             which run may write to a destination, see `leases`

`<project>` is Harbor's name of it, `<run>` the key of the run, `<host>` the destination's address
as a key. Parts longer than 200 characters are cut, and end in a hash of the whole.

Shapes. Every JSON file is one object, UTF-8, with `format_version` first. A reader refuses a
version that is newer than its own, and ignores fields that it does not know.

    store.json     {"format_version": 1, "harbor_url": "https://harbor.example.com",
                    "created": "2025-11-25T01:00:00+00:00"}
    result         `jobs.results.ProjectResult`: project, run, ok, error, stage, dry_run,
                   harbor_url, destination, inventory {project, path, sha256, counts}, gaps [...],
                   copy {project, destination, copied, present, skipped, failed, ..., findings}
    snapshot.json, partial.json, reports/<run>.json
                   `RunReport.to_json()`: run, complete, counts, missing, projects [results], ...
    destinations   {"format_version": 1, "destination": "https://registry.example.com",
                    "run": "night-2", "listed_at": "2025-11-25T01:00:00+00:00",
                    "repositories": {"library/nginx": {"asked": "2025-11-25T01:00:00+00:00",
                                                       "digests": ["sha256:..."],
                                                       "tags": {"1.25": "sha256:..."}}}}

An inventory is the JSON Lines of `records`, compressed with gzip, without a time or a name in the
header, so that equal content is equal bytes. `sha256` is of the content before compression.

Writing. A file is visible only when it is whole: locally by a temporary name beside it
(`.<random>.tmp`), fsync and rename; elsewhere by the file system's own commit. A reader ignores
names that begin with a dot. A file is written once, except that

- a project that is run again in the same run replaces its result and its plan. Its new inventory
  gets a name of its own (`<run>.2.jsonl.gz`) if it differs, since a snapshot may name the first
  one; and it takes the old result away, so that a result never is about an older inventory;
- the end of a run that is ended again replaces its report, partial.json by either, snapshot.json
  by another snapshot.json only;
- `destinations/` can be lost at any time: it costs requests, not content.

Two tasks write the same file only where both write the same: store.json, for one Harbor. Two runs
at once are kept from one destination by a lease.

Commit. snapshot.json, or else partial.json, is written last, after all that it names. A run that
has neither was cut short, and claims nothing.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import re
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime, timezone
from typing import Any, BinaryIO, TypeVar, cast

from airflow_provider_harbor.core.exceptions import (
    DigestMismatchError,
    HarborConfigurationError,
    HarborProtocolError,
    IntegrityError,
)
from airflow_provider_harbor.core.harbor.records import (
    Record,
    count_records,
    read_records,
    write_records,
)
from airflow_provider_harbor.core.http.urls import normalise_url
from airflow_provider_harbor.core.store.inventories import InventoryRef
from airflow_provider_harbor.core.store.known import Holdings, Known
from airflow_provider_harbor.core.store.leases import Lease
from airflow_provider_harbor.core.store.storage import Storage, pack

__all__ = ["FORMAT_VERSION", "BackupStore", "InventoryRef"]

T = TypeVar("T")

FORMAT_VERSION = 1
_LONGEST_PART = 200
# What reading a gzip file raises that is cut short, or is something else.
_GZIP_ERRORS = (gzip.BadGzipFile, EOFError, zlib.error)
# What reading JSON raises that has another shape, or is something else.
_SHAPE_ERRORS = (ValueError, KeyError, TypeError, AttributeError)


class BackupStore:
    """The backups of one Harbor, on a file system or an object storage.

    Holds no state, so that any number of tasks and threads can use one store at the same time.
    Trouble of the storage itself stays the `OSError` it is. All paths that come and go are
    relative to the root of the store.

    Args:
        root: A local path, or any URL that fsspec knows, such as `s3://bucket/prefix`.
        filesystem: The fsspec file system to reach `root` with, where a URL cannot say all of it
            (credentials).

    Attributes:
        url: The root as a URL, without credentials.
    """

    def __init__(self, root: str | os.PathLike[str], *, filesystem: Any = None) -> None:
        self._files = Storage(root, filesystem)
        self.url = self._files.url

    def __repr__(self) -> str:
        return f"BackupStore({self.url!r})"

    @staticmethod
    def run_key(run: str) -> str:
        """Return a run's id as a part of a path: any other character than A-Z a-z 0-9 . _ - as _.

        Never empty, never hidden, at most 200 characters, and the key of a key is the key itself.
        """
        key = re.sub(r"[^A-Za-z0-9._-]", "_", run) or "_"
        return _shorten("_" + key[1:] if key.startswith(".") else key)

    # -- the store as a whole

    def open_for(self, harbor_url: str) -> None:
        """Make sure that this is the store of a Harbor; an empty one becomes it.

        Raises:
            HarborConfigurationError: It is the store of another Harbor, or of a newer format.
            IntegrityError: store.json cannot be read.
        """
        wanted = normalise_url(harbor_url)
        if self._read_json("store.json") is None:
            created = datetime.now(timezone.utc).isoformat(timespec="seconds")
            # Whoever is first: at the same time another one may make it its own.
            self._files.create("store.json", _dump({"harbor_url": wanted, "created": created}))
        found = str((self._read_json("store.json") or {}).get("harbor_url"))
        if normalise_url(found) != wanted:
            raise HarborConfigurationError(
                f"the store {self.url} is that of {found}, not of {wanted}. Use another one; if it "
                "is the same Harbor under a new address, change harbor_url in its store.json"
            )

    # -- inventories and plans

    def write_inventory(
        self,
        run: str,
        project: str,
        records: Iterable[Record],
        *,
        listed_at: datetime,
        gaps: int = 0,
    ) -> InventoryRef:
        """Keep what a project held; takes away its earlier result of this run.

        Args:
            run: The run's id; its key is taken here.
            project: Name of the project.
            records: In any order; written in the order of their keys.
            listed_at: When the listing began, with a time zone.
            gaps: How many repositories could not be listed whole.
        """
        listed = sorted(records, key=lambda record: record.key)
        stream = io.BytesIO()
        write_records(stream, listed)
        content = stream.getvalue()
        self._files.remove(_result_path(run, project))
        path = self._put_version(
            f"inventories/{_part(project)}/{self.run_key(run)}", _compress(content)
        )
        return InventoryRef(
            project=project,
            path=path,
            sha256=hashlib.sha256(content).hexdigest(),
            counts=count_records(listed),
            listed_at=listed_at.astimezone(timezone.utc).isoformat(timespec="microseconds"),
            gaps=gaps,
        )

    def iter_inventory(self, ref: InventoryRef) -> Iterator[Record]:
        """Yield the records of an inventory, sorted by repository, then digest.

        Raises:
            DigestMismatchError: All could be read, but it is not what was written. Comes after the
                last record: act on none before all are read.
            IntegrityError: It cannot be read.
            FileNotFoundError: It is not there.
        """
        where = self._files.url_of(ref.path)
        reader = _HashingReader(gzip.GzipFile(fileobj=io.BytesIO(self._files.read(ref.path))))
        try:
            yield from read_records(cast(BinaryIO, io.BufferedReader(reader)))
        except (*_GZIP_ERRORS, HarborProtocolError) as err:
            raise IntegrityError(f"{where} is damaged: {err}. Run its project again") from err
        if reader.sha256.hexdigest() != ref.sha256:
            raise DigestMismatchError(
                expected=f"sha256:{ref.sha256}",
                actual=f"sha256:{reader.sha256.hexdigest()}",
                size_bytes=reader.size_bytes,
                where=where,
            )

    def write_plan(self, run: str, project: str, plan: Mapping[str, Any]) -> str:
        """Keep what a dry run would have copied; returns its path."""
        return self._put_json(f"plans/{self.run_key(run)}/{_part(project)}.json", plan)

    # -- a run

    def write_result(self, run: str, project: str, result: Mapping[str, Any]) -> str:
        """Keep how a project ended; replaces its earlier result of this run. Returns its path."""
        return self._put_json(_result_path(run, project), result)

    def read_result(
        self, run: str, project: str, reader: Callable[[dict[str, Any]], T]
    ) -> T | None:
        """Return how a project ended, or None where it has not.

        Args:
            run: The run's id.
            project: Name of the project.
            reader: Makes a result of what was kept; it may raise as reading JSON does.

        Raises:
            IntegrityError: Its result cannot be read.
            HarborConfigurationError: It is of a newer format, or of another run with the same key.
        """
        return self._read_result(run, _result_path(run, project), reader)

    def iter_results(self, run: str, reader: Callable[[dict[str, Any]], T]) -> Iterator[T]:
        """Yield the results of a run, sorted by name; see `read_result`."""
        for name in self._files.list_names(f"snapshots/{self.run_key(run)}/projects"):
            if name.endswith(".json"):
                path = f"snapshots/{self.run_key(run)}/projects/{name}"
                # A project that is just being run again has taken its result away.
                if (result := self._read_result(run, path, reader)) is not None:
                    yield result

    def write_snapshot(self, run: str, document: Mapping[str, Any], *, complete: bool) -> str:
        """Commit a run: write its last file, and return the path of it.

        A run that was complete once stays so: its snapshot.json is not replaced by a partial.json,
        and its path is returned.

        Raises:
            ValueError: The complete snapshot of a dry run: that would protect nothing.
        """
        if complete and document.get("dry_run"):
            raise ValueError("a dry run is no backup, so it cannot be complete")
        directory = f"snapshots/{self.run_key(run)}"
        snapshot, partial = f"{directory}/snapshot.json", f"{directory}/partial.json"
        if not complete:
            return snapshot if self._files.exists(snapshot) else self._put_json(partial, document)
        self._put_json(snapshot, document)
        self._files.remove(partial)
        return snapshot

    def write_report(self, run: str, report: Mapping[str, Any], html: str) -> tuple[str, str]:
        """Keep how a run ended; returns the paths of the JSON and of the page."""
        path = f"reports/{self.run_key(run)}"
        page = f"{path}.html"
        self._files.put(page, lambda stream: stream.write(html.encode(errors="backslashreplace")))
        return self._put_json(f"{path}.json", report), page

    # -- what a destination is known to hold

    def read_known(self, destination: str, project: str) -> Known:
        """Return what is remembered of a destination and a project.

        Nothing where nothing is known, which anything that cannot be read is taken for.
        """
        try:
            data = json.loads(gzip.decompress(self._files.read(_known_path(destination, project))))
            if data["format_version"] != FORMAT_VERSION or data["destination"] != destination:
                return Known()
            repositories = data["repositories"]
            holdings = Holdings(
                digests={name: frozenset(r["digests"]) for name, r in repositories.items()},
                tags={name: dict(r["tags"]) for name, r in repositories.items()},
                asked={
                    name: datetime.fromisoformat(r["asked"])
                    for name, r in repositories.items()
                    if r.get("asked")
                },
            )
            return Known(holdings=holdings, run=data["run"], listed_at=data["listed_at"])
        except (FileNotFoundError, *_GZIP_ERRORS, *_SHAPE_ERRORS):
            return Known()

    def write_known(self, destination: str, project: str, known: Known) -> str:
        """Remember what a destination holds of a project; returns the path."""
        held = known.holdings
        asked = {name: at.isoformat(timespec="seconds") for name, at in held.asked.items()}
        repositories = {
            name: {
                "asked": asked.get(name, ""),
                "digests": sorted(held.digests.get(name, ())),
                "tags": dict(sorted(held.tags.get(name, {}).items())),
            }
            for name in sorted(held.digests.keys() | held.tags.keys())
        }
        data = {
            "destination": destination,
            "run": known.run,
            "listed_at": known.listed_at,
            "repositories": repositories,
        }
        content = _compress(_dump(data))
        path = _known_path(destination, project)
        self._files.put(path, lambda stream: stream.write(content))
        return path

    def lease(self, destination: str, run: str, *, is_process: bool = False) -> Lease:
        """Return the lease of a run on a destination, not taken yet.

        Args:
            destination: URL of the registry that the run writes to.
            run: The run's id.
            is_process: Whether the run is this process, and ends with it.
        """
        return Lease(self._files, _host_part(destination), run, is_process=is_process)

    # -- parts

    def _put_json(self, path: str, data: Mapping[str, Any]) -> str:
        content = _dump(data)
        self._files.put(path, lambda stream: stream.write(content))
        return path

    def _put_version(self, base: str, content: bytes) -> str:
        """Write an inventory under the first name that is free, or that holds this already."""
        path, number = f"{base}.jsonl.gz", 1
        while self._files.exists(path):
            if self._files.read(path) == content:
                return path
            number += 1
            path = f"{base}.{number}.jsonl.gz"
        self._files.put(path, lambda stream: stream.write(content))
        return path

    def _read_json(self, path: str) -> dict[str, Any] | None:
        try:
            data = json.loads(self._files.read(path))
            version = int(data["format_version"])
        except FileNotFoundError:
            return None
        except _SHAPE_ERRORS as err:
            raise self._damage(path, err) from err
        if version > FORMAT_VERSION:
            raise HarborConfigurationError(
                f"{self._files.url_of(path)} has format version {version}; this program knows "
                f"{FORMAT_VERSION}. Use the newer program that wrote it"
            )
        return cast("dict[str, Any]", data)

    def _read_result(self, run: str, path: str, reader: Callable[[dict[str, Any]], T]) -> T | None:
        data = self._read_json(path)
        if data is None:
            return None
        try:
            result = reader(data)
        except _SHAPE_ERRORS as err:
            raise self._damage(path, err) from err
        if data.get("run") != run:
            raise HarborConfigurationError(
                f"{self._files.url_of(path)} is of the run {data.get('run')!r}, whose files have "
                f"the same names as those of {run!r}. Give this run another id"
            )
        return result

    def _damage(self, path: str, err: Exception) -> IntegrityError:
        what = f"{err} is missing or unknown" if isinstance(err, KeyError) else str(err)
        return IntegrityError(
            f"{self._files.url_of(path)} is damaged: {what}. Delete it and run the backup again, "
            "which writes it anew"
        )


class _HashingReader(io.RawIOBase):
    """Hash a stream while it is read."""

    def __init__(self, stream: io.BufferedIOBase) -> None:
        self._stream = stream
        self.sha256 = hashlib.sha256()
        self.size_bytes = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        count = self._stream.readinto(buffer)
        self.sha256.update(memoryview(buffer)[:count])
        self.size_bytes += count
        return count


def _compress(content: bytes) -> bytes:
    packed = io.BytesIO()
    with pack(packed) as stream:
        stream.write(content)
    return packed.getvalue()


def _dump(data: Mapping[str, Any]) -> bytes:
    """Return an object as a file of the store: the version first, then as it was given."""
    document = {"format_version": FORMAT_VERSION, **data}
    text = json.dumps(document, ensure_ascii=False, indent=2) + "\n"
    # The name of a file in an error's text may have bytes that are no UTF-8; JSON can escape them.
    return text.encode(errors="backslashreplace")


def _shorten(part: str) -> str:
    """Return a part of a path so that its name, an ending included, fits into 255 bytes."""
    if len(part) <= _LONGEST_PART:
        return part
    mark = hashlib.sha256(part.encode()).hexdigest()[:16]
    return f"{part[: _LONGEST_PART - 17]}-{mark}"


def _part(project: str) -> str:
    """Return a project's name as a part of a path.

    Raises:
        HarborProtocolError: No project can be called that; it might lead out of the store.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", project):
        raise HarborProtocolError(f"{project!r} is not the name of a project")
    return _shorten(project)


def _result_path(run: str, project: str) -> str:
    return f"snapshots/{BackupStore.run_key(run)}/projects/{_part(project)}.json"


def _known_path(destination: str, project: str) -> str:
    return f"destinations/{_host_part(destination)}/{_part(project)}.json.gz"


def _host_part(destination: str) -> str:
    """Return a destination's address as a part of a path."""
    return BackupStore.run_key(destination.partition("://")[2] or destination)
