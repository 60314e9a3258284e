"""Files of a store, on a file system or an object storage: the only module that knows fsspec.

A file is visible only when it is whole. There is one function that writes: `Storage.put`.
"""

from __future__ import annotations

import contextlib
import errno
import gzip
import os
import uuid
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO, cast

from fsspec import AbstractFileSystem  # type: ignore[import-untyped]
from fsspec.core import url_to_fs  # type: ignore[import-untyped]
from fsspec.implementations.local import LocalFileSystem  # type: ignore[import-untyped]


class Storage:
    """Files below a root. Paths are relative to it; trouble stays the `OSError` it is.

    Holds no state of its own: threads and processes can use one root at the same time.

    Args:
        root: A local path, or any URL that fsspec knows, such as `s3://bucket/prefix`.
        filesystem: What to reach `root` with, where a URL cannot say it (credentials).

    Attributes:
        url: The root as a URL, without credentials.
    """

    def __init__(
        self, root: str | os.PathLike[str], filesystem: AbstractFileSystem | None = None
    ) -> None:
        if filesystem is None:
            filesystem, path = url_to_fs(os.fspath(root))
        else:
            path = filesystem._strip_protocol(os.fspath(root))
        self._fs = filesystem
        self._root = str(path).rstrip("/")
        self.url: str = filesystem.unstrip_protocol(self._root)

    def put(self, path: str, write: Callable[[BinaryIO], object]) -> None:
        """Write a file by calling `write` with a stream; replaces an older file of that name.

        Where `write` raises, or the storage does, the older file is still there, and nothing else
        is left behind. A process that is killed leaves a hidden file at most (`.<random>.tmp`).
        """
        full = self._full(path)
        if isinstance(self._fs, LocalFileSystem):
            _put_local(full, write)
            return
        stream = self._open_uncommitted(full)
        try:
            write(stream)
            stream.close()
        except BaseException:
            # Closed first, or the garbage collector would do it after the discard.
            with contextlib.suppress(Exception):
                stream.close()
            stream.discard()
            raise
        stream.commit()

    def write(self, path: str, content: bytes) -> None:
        """Write a file as `put` does."""
        self.put(path, lambda stream: stream.write(content))

    def create(self, path: str, content: bytes) -> bool:
        """Write a file that is not there yet; False where somebody was faster.

        Of several at the same time exactly one succeeds.
        """
        full = self._full(path)
        if isinstance(self._fs, LocalFileSystem):
            return _create_local(full, content)
        try:
            self._fs.pipe_file(full, content, mode="create")
        except FileExistsError:
            return False
        except OSError as err:
            # Not every server's answer becomes the error above.
            if "precondition" in str(err).lower():
                return False
            raise
        return True

    def _open_uncommitted(self, full: str) -> Any:
        try:
            return self._fs.open(full, "wb", autocommit=False)
        except FileNotFoundError:
            # Only now: object storages have no directories, and making one may need more rights.
            self._fs.makedirs(full.rpartition("/")[0], exist_ok=True)
            return self._fs.open(full, "wb", autocommit=False)

    def read(self, path: str) -> bytes:
        """Return what a file holds.

        Raises:
            FileNotFoundError: There is none.
        """
        # By open() it would be asked for its size first, which may be a remembered one.
        return cast(bytes, self._fs.cat_file(self._full(path)))

    def exists(self, path: str) -> bool:
        """Tell whether there is such a file."""
        full = self._full(path)
        # What another process has written since is not in fsspec's memory.
        self._fs.invalidate_cache(full)
        return bool(self._fs.exists(full))

    def list_names(self, directory: str) -> list[str]:
        """Return the names in a directory that are not hidden, sorted; none where there is none."""
        full = self._full(directory)
        self._fs.invalidate_cache(full)
        try:
            found = self._fs.ls(full, detail=False)
        except FileNotFoundError:
            return []
        names = (entry.rstrip("/").rpartition("/")[2] for entry in found)
        return sorted(name for name in names if not name.startswith("."))

    def remove(self, path: str) -> None:
        """Remove a file, if it is there."""
        with contextlib.suppress(FileNotFoundError):
            self._fs.rm_file(self._full(path))

    def url_of(self, path: str) -> str:
        """Return the whole address of a file, for people."""
        return f"{self.url}/{path}"

    def _full(self, path: str) -> str:
        if path.startswith("/") or ".." in path.split("/"):
            raise ValueError(f"{path!r} is not a path below the root")
        return f"{self._root}/{path}"


def pack(stream: BinaryIO) -> gzip.GzipFile:
    """Return a stream that packs what is written to it; equal content gives equal bytes.

    Neither a name nor a time goes into it. (Not by `gzip.compress`, whose header depends on the
    version of Python.)
    """
    return gzip.GzipFile(filename="", mode="wb", compresslevel=6, fileobj=stream, mtime=0)


def _put_local(full: str, write: Callable[[BinaryIO], object]) -> None:
    # fsspec's own way goes through the system's temporary directory: not atomic between disks.
    with _temporary(full, write) as temporary:
        os.replace(temporary, full)


def _create_local(full: str, content: bytes) -> bool:
    with _temporary(full, lambda stream: stream.write(content)) as temporary:
        try:
            # Unlike a rename it fails where the name is taken.
            os.link(temporary, full)
        except FileExistsError:
            return False
    return True


@contextlib.contextmanager
def _temporary(full: str, write: Callable[[BinaryIO], object]) -> Iterator[str]:
    """Write a file beside its final place, and give its path; take it away if it is still there."""
    directory = os.path.dirname(full)
    _make_directories(directory)
    temporary = os.path.join(directory, f".{uuid.uuid4().hex}.tmp")
    try:
        with open(temporary, "xb") as stream:
            write(stream)
            stream.flush()
            os.fsync(stream.fileno())
        yield temporary
    finally:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
    _sync_directory(directory)


def _make_directories(directory: str) -> None:
    """Make a directory and those above it, so that they outlive a power cut too."""
    if os.path.isdir(directory):
        return
    parent = os.path.dirname(directory)
    _make_directories(parent)
    os.makedirs(directory, exist_ok=True)
    _sync_directory(parent)


def _sync_directory(directory: str) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    except OSError as err:
        # Some network file systems cannot do it for directories.
        if err.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)
