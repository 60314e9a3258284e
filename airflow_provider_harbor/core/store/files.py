"""Files of a store: a directory, or a bucket of S3, GCS or Azure; nothing else knows `obstore`.

A file is visible only when it is whole: an object storage makes it so by itself, a directory by a
name beside it and a rename. Every trouble of a storage becomes a `StoreError` that says what to do.
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, cast

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError, PreconditionError
from obstore.store import LocalStore, from_url

from airflow_provider_harbor.core.exceptions import (
    StoreError,
    StoreReason,
)
from airflow_provider_harbor.core.store import directories, layout
from airflow_provider_harbor.core.store.addresses import (
    options_of_plain_http,
    require_one_endpoint,
    split_address,
)
from airflow_provider_harbor.core.store.multipart import Multipart, multipart_into
from airflow_provider_harbor.core.store.roots import Root
from airflow_provider_harbor.core.store.troubles import store_error

# What is read and written at once.
BLOCK_BYTES = 1024 * 1024
# S3 takes no smaller parts than 5 MiB, and no more than 10,000 of them.
_PART_BYTES = 5 * 1024 * 1024
_MOST_PARTS = 9_000
PARTS_AT_ONCE = 2
_PAGE_SIZE = 1_000
# A file of a directory is written beside its place first, under such a name.
_LEFTOVER = re.compile(r".+#\d+")
_CLIENT_OPTIONS = {
    "connect_timeout": timedelta(seconds=10),
    # When nothing comes for so long it has ended. While a part is sent nothing comes either, so it
    # is as long as a part may take on a slow line.
    "read_timeout": timedelta(minutes=5),
    # Of a whole request, and 30 s if it is not said. What moves may take its time.
    "timeout": timedelta(days=7),
}
_RETRIES = {
    "max_retries": 4,
    # Counted from the first attempt on, so longer than that may take.
    "retry_timeout": timedelta(minutes=6),
    "backoff": {
        "init_backoff": timedelta(milliseconds=200),
        "max_backoff": timedelta(seconds=10),
        "base": 2,
    },
}


@dataclass(frozen=True, slots=True)
class Entry:
    """A file in a list: its path below the root, its size in bytes, when it was written."""

    path: str
    size_bytes: int
    modified: datetime


class Files:
    """Files below a root. Paths are relative to it. May be shared by threads.

    Args:
        url: A directory (a path, or `file:///...`), or `s3://bucket/prefix`, `gs://bucket/prefix`,
            `az://container/prefix`.
        options: More for `obstore`, such as `credential_provider` or `endpoint`; else the
            environment is asked (`AWS_ACCESS_KEY_ID`, `AWS_ENDPOINT_URL`, ...).

    Attributes:
        url: The root as a URL, without credentials.

    Raises:
        HarborConfigurationError: It is no such URL.
    """

    def __init__(self, url: str | os.PathLike[str], **options: Any) -> None:
        scheme, rest = split_address(os.fspath(url))
        self._directory: Path | None = None
        self._root: Root | None = None
        self._store: Any = None
        self._options = options
        if scheme == "file":
            self._directory = Path(rest)
            self._root = Root(self._directory)
            self.url = self._directory.as_uri()
        else:
            self.url = f"{scheme}://{rest}"
            require_one_endpoint(options)
            with troubles(self.url):
                # Its types tell the options of each storage apart; which it is, shows at run time.
                opener: Any = from_url
                self._store = opener(
                    self.url,
                    client_options={**_CLIENT_OPTIONS, **options_of_plain_http(options)},
                    retry_config=_RETRIES,
                    **options,
                )

    def __repr__(self) -> str:
        return f"Files({self.url!r})"

    @property
    def is_local(self) -> bool:
        """Whether it is a directory, where a look costs no request."""
        return self._directory is not None

    # -- writing

    def write(self, path: str, content: bytes, *, is_private: bool = False) -> None:
        """Write a file; replaces an older one of that name.

        Args:
            path: Where to.
            content: What.
            is_private: Whether nobody but the owner may read it (mode 0600). A bucket has rules of
                its own.
        """
        if self._directory is None:
            self._put(path, content)
            return
        _check(path)
        with troubles(self.url_of(path)):
            self._open(make=True)
            mode = directories.PRIVATE if is_private else directories.SHARED
            directories.write(f"{self._directory}/{path}", content, mode)

    def create(self, path: str, content: bytes, *, is_private: bool = False) -> bool:
        """Write a file that is not there yet; False where somebody was faster.

        Of several at the same time exactly one succeeds. `is_private` is as in `write`.
        """
        try:
            if is_private and self._directory is not None:
                self._create_privately(path, content)
            else:
                self._put(path, content, mode="create")
        except (AlreadyExistsError, PreconditionError):
            return False
        return True

    def _create_privately(self, path: str, content: bytes) -> None:
        _check(path)
        with troubles(self.url_of(path), conflicts=True):
            self._open(make=True)
            try:
                directories.create(f"{self._directory}/{path}", content, directories.PRIVATE)
            except FileExistsError as err:
                raise AlreadyExistsError(path) from err

    def replace(self, path: str, old: bytes, new: bytes) -> bool:
        """Write a file anew, if it still is what it was; False where somebody has changed it.

        Of several at the same time exactly one succeeds.
        """
        if self._directory is not None:
            with self._locked(path):
                if self.read(path) != old:
                    return False
                self._put(path, new)
                return True
        with troubles(self.url_of(path)):
            found = obstore.get(self._store, path)
            meta = cast("dict[str, Any]", found.meta)
            version = {key: meta[key] for key in ("e_tag", "version") if meta[key]}
            if bytes(found.bytes()) != old:
                return False
        try:
            self._put(path, new, mode=version)
        except PreconditionError:
            return False
        return True

    def write_stream(self, path: str, blocks: Iterable[bytes], size_bytes: int) -> None:
        """Write a file block by block; nothing becomes visible where `blocks` raises.

        Args:
            path: Where to.
            blocks: What; read once, in this thread.
            size_bytes: How much it is about, which decides the size of parts.
        """
        part_bytes, at_once = self._parts(size_bytes)
        self._put(path, iter(blocks), chunk_size=part_bytes, max_concurrency=at_once)

    def memory_bytes(self, size_bytes: int) -> int:
        """Return how much memory `write_stream` needs for a file of a size."""
        part_bytes, at_once = self._parts(size_bytes)
        return min(size_bytes, part_bytes * (at_once + 1)) + BLOCK_BYTES

    def part_bytes(self, size_bytes: int) -> int:
        """Return how long the parts of a file of a size are: a number of whole MiB."""
        return self._parts(size_bytes)[0]

    def _parts(self, size_bytes: int) -> tuple[int, int]:
        if self._directory is not None:
            return BLOCK_BYTES, 1
        needed = -(-size_bytes // (_MOST_PARTS * BLOCK_BYTES)) * BLOCK_BYTES
        return max(_PART_BYTES, needed), PARTS_AT_ONCE

    @functools.cached_property
    def multipart(self) -> Multipart | None:
        """What sends large files so that a later process can go on; None where nothing does."""
        if not self.url.startswith("s3://"):
            return None
        prefix = str(self._store.prefix or "")
        return multipart_into(self.url, str(self._store.config["bucket"]), prefix, self._options)

    def _put(self, path: str, content: Any, **options: Any) -> None:
        _check(path)
        try:
            with troubles(self.url_of(path), conflicts="mode" in options):
                obstore.put(self._open(make=True), path, content, **options)
        except FileNotFoundError as err:
            if self._directory is not None or isinstance(options.get("mode"), dict):
                raise
            what = "the storage does not take it: it says that there is no such place"
            raise StoreError(StoreReason.MISSING, what, where=self.url_of(path)) from err

    def delete(self, paths: Sequence[str]) -> None:
        """Delete files; those that are not there do no harm."""
        for path in paths:
            _check(path)
        with troubles(self.url), contextlib.suppress(FileNotFoundError):
            obstore.delete(self._open(), list(paths))

    def sync(self) -> None:
        """See that what was written outlives a power cut; object storages do that by themselves.

        The whole file system at once, since syncing each of 100,000 files takes minutes.
        """
        if self._directory is not None and self._directory.is_dir():
            with troubles(self.url):
                directories.sync(self._directory)

    # -- reading

    def read(self, path: str) -> bytes:
        """Return what a file holds.

        Raises:
            FileNotFoundError: There is none.
        """
        _check(path)
        with troubles(self.url_of(path)):
            store = self._open()
            if self._directory is None:
                return bytes(obstore.get(store, path).bytes())
            return directories.read(f"{self._directory}/{path}")

    def open(self, path: str) -> tuple[int, Iterator[bytes]]:
        """Return a file's size in bytes, and what it holds, in blocks.

        Raises:
            FileNotFoundError: There is none.
        """
        _check(path)
        with troubles(self.url_of(path)):
            found = obstore.get(self._open_for(path), path)
            return int(found.meta["size"]), self._blocks(path, found)

    def open_part(self, path: str, start: int, end: int) -> tuple[int, Iterator[bytes]]:
        """Return a file's size in bytes, and a part of what it holds, in blocks.

        Args:
            path: Of the file.
            start: Where the part begins.
            end: Where it ends: its last byte is the one before; greater than `start`.

        Raises:
            FileNotFoundError: There is none.
        """
        _check(path)
        with troubles(self.url_of(path)):
            found = obstore.get(self._open(), path, options={"range": (start, end)})
            return int(found.meta["size"]), self._blocks(path, found)

    def _blocks(self, path: str, found: Any) -> Iterator[bytes]:
        with troubles(self.url_of(path)):
            for block in found.stream(min_chunk_size=BLOCK_BYTES):
                yield bytes(block)

    def size(self, path: str) -> int | None:
        """Return a file's size in bytes; None where there is none."""
        _check(path)
        try:
            with troubles(self.url_of(path)):
                store = self._open()
                if self._directory is None:
                    return int(obstore.head(store, path)["size"])
                return directories.size(f"{self._directory}/{path}")
        except FileNotFoundError:
            return None

    def iter_sizes(self, paths: Sequence[str], *, at_once: int = 16) -> Iterator[int | None]:
        """Yield the size of each file in bytes, None where there is none, in the order of paths."""
        if self._directory is not None:
            # A hundred thousand of them a second, where `size` takes ten times as long.
            for path in paths:
                _check(path)
                yield self._size_of(path)
            return
        with ThreadPoolExecutor(at_once, thread_name_prefix="sizes") as pool:
            yield from pool.map(self.size, paths)

    def _size_of(self, path: str) -> int | None:
        with troubles(self.url_of(path)):
            found = directories.size(f"{self._directory}/{path}")
            if found is None:
                self._open()  # whether the directory is still there
            return found

    def modified(self, path: str) -> datetime:
        """Return when a file was written, by the clock of the storage.

        Raises:
            FileNotFoundError: There is none.
        """
        _check(path)
        with troubles(self.url_of(path)):
            return obstore.head(self._open(), path)["last_modified"]

    def exists(self, path: str) -> bool:
        """Tell whether there is such a file."""
        return self.size(path) is not None

    def iter_files(self, directory: str) -> Iterator[Entry]:
        """Yield all files below a directory, in no order; nothing where there is none."""
        with troubles(self.url_of(directory)):
            try:
                store = self._open()
            except FileNotFoundError:
                return
            for page in obstore.list(store, prefix=directory, chunk_size=_PAGE_SIZE):
                for item in page:
                    yield Entry(item["path"], item["size"], item["last_modified"])

    def list_directories(self, directory: str) -> list[str]:
        """Return the names of the directories right below a directory, sorted."""
        return self._list_level(directory, "common_prefixes")

    def list_names(self, directory: str, *, since: str = "") -> list[str]:
        """Return the names of the files right below a directory, sorted.

        Args:
            directory: Where to look.
            since: Leave out names that sort before it: an object storage lists 1,000 at a time.
        """
        if since and self._directory is None:
            with troubles(self.url_of(directory)):
                pages = obstore.list(
                    self._store,
                    prefix=directory,
                    offset=f"{directory}/{since}",
                    chunk_size=_PAGE_SIZE,
                )
                names = [item["path"].removeprefix(f"{directory}/") for p in pages for item in p]
            return sorted(name for name in names if "/" not in name)
        return [name for name in self._list_level(directory, "objects") if name >= since]

    def _list_level(self, directory: str, kind: str) -> list[str]:
        self._require_targets(directory)
        with troubles(self.url_of(directory)):
            try:
                found: Any = obstore.list_with_delimiter(self._open(), directory)
            except FileNotFoundError:
                return []
        paths = [item if isinstance(item, str) else item["path"] for item in found[kind]]
        return sorted(path.rstrip("/").rpartition("/")[2] for path in paths)

    # -- what only a directory has

    def iter_leftovers(self) -> Iterator[Entry]:
        """Yield what writers left that were killed: files that never became visible.

        An object storage forgets uploads by a rule of the bucket; here they are not seen.
        """
        for directory, _, names in os.walk(self._directory) if self._directory else ():
            below = Path(directory).relative_to(cast(Path, self._directory)).parts[:1]
            for name in names:
                path = Path(directory, name)
                if below == (layout.UNFINISHED,) or _LEFTOVER.fullmatch(name):
                    with contextlib.suppress(FileNotFoundError):
                        found = path.stat()
                        moment = datetime.fromtimestamp(found.st_mtime, timezone.utc)
                        relative = path.relative_to(cast(Path, self._directory))
                        yield Entry(str(relative), found.st_size, moment)

    def delete_leftover(self, path: str) -> None:
        """Delete what `iter_leftovers` found; what is gone does no harm."""
        _check(path)
        with troubles(self.url_of(path)):
            cast(Path, self.local_path(path)).unlink(missing_ok=True)

    def delete_empty_directories(self, directory: str) -> None:
        """Delete directories that hold nothing, below a directory and itself."""
        if self._directory is not None:
            directories.remove_empty(self._directory / directory)

    # -- where it is

    def _require_targets(self, directory: str) -> None:
        """Make sure that no link in a directory leads nowhere: obstore would leave it out.

        Nights on a disk that is not mounted would seem never to have been.
        """
        if (path := self.local_path(directory)) is None:
            return
        where = self.url_of(directory)
        with troubles(where):
            link = directories.dangling_link(path)
        if link:
            what = f"the link {link} leads nowhere. Is everything mounted?"
            raise StoreError(StoreReason.MISSING, what, where=where)

    def url_of(self, path: str) -> str:
        """Return the whole address of a file, for people."""
        return f"{self.url}/{path}"

    def local_path(self, path: str) -> Path | None:
        """Return where a file is on this machine; None for an object storage."""
        return None if self._directory is None else self._directory / path

    # -- the storage

    def make_root(self) -> None:
        """Make sure that a directory is there, and the same as ever; it is made the first time."""
        with troubles(self.url):
            self._open(make=True)

    def _open(self, *, make: bool = False) -> Any:
        """Return obstore's store, that of a directory when it is there, or made now."""
        if self._root is not None:
            self._root.look(make=make)
            if self._store is None:
                self._store = LocalStore(self._root.path)
        return self._store

    def _open_for(self, path: str) -> Any:
        """Open it to read a file: where something else has its name, the file is not there.

        To open a pipe is to wait for who writes to it, which no signal ends; a device never ends.
        """
        store = self._open()
        if self._directory is not None and self._size_of(path) is None:
            raise FileNotFoundError(path)
        return store

    @contextlib.contextmanager
    def _locked(self, path: str) -> Iterator[None]:
        """Keep other processes out, where the storage cannot compare and write by itself."""
        lock = cast(Path, self.local_path(path)).parent / ".lock"
        with contextlib.ExitStack() as opened:
            with troubles(self.url_of(path)):
                self._open()
                opened.enter_context(directories.locked(lock))
            yield


def _check(path: str) -> None:
    """Make sure that a path stays below the root."""
    if path.startswith("/") or ".." in path.split("/"):
        raise ValueError(f"{path!r} is not a path below the root")


@contextlib.contextmanager
def troubles(where: str, *, conflicts: bool = False) -> Iterator[None]:
    """Turn what a storage raises into what this package raises.

    With `conflicts` what it says of a write that has a condition stays as it is.
    """
    try:
        yield
    except (BaseError, OSError, NotImplementedError) as err:
        is_conflict = conflicts and isinstance(err, (AlreadyExistsError, PreconditionError))
        if is_conflict or isinstance(err, StoreError):
            raise
        raise store_error(err, where) from None
