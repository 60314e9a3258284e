"""Files of JSON in a store: one object, or packed lines that are named by what they hold."""

from __future__ import annotations

import hashlib
import io
import json
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from tempfile import SpooledTemporaryFile
from typing import IO, TYPE_CHECKING, Any, TypeVar, cast

from airflow_provider_harbor.core.exceptions import HarborConfigurationError, IntegrityError
from airflow_provider_harbor.core.store.files import Files
from airflow_provider_harbor.core.store.layout import FORMAT_VERSION
from airflow_provider_harbor.core.store.seals import is_intact, is_sealed

if TYPE_CHECKING:
    from typing_extensions import Self

T = TypeVar("T")

# What reading JSON raises that has another shape, or is something else.
SHAPE_ERRORS = (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError)
# So much of a packed file is kept in memory while it is written; more goes to a temporary file.
_IN_MEMORY_BYTES = 8 * 1024 * 1024
_BLOCK_BYTES = 1024 * 1024
# What `zlib` calls a window of 32 KiB, with the header and end of gzip.
_GZIP = 31
# Longer lines would be those of an artifact with 200,000 tags.
_LONGEST_LINE_BYTES = 16 * 1024 * 1024


def dump(data: Mapping[str, Any]) -> bytes:
    """Return an object as a file of the store: the version first, then as it was given."""
    document = {"format_version": FORMAT_VERSION, **data}
    text = json.dumps(document, ensure_ascii=False, indent=2) + "\n"
    # The name of a file in an error's text may have bytes that are no UTF-8; JSON can escape them.
    return text.encode(errors="backslashreplace")


def read_object(files: Files, path: str) -> dict[str, Any] | None:
    """Return the object of a file; None where there is none.

    Raises:
        IntegrityError: It cannot be read.
        HarborConfigurationError: It is of a newer format.
    """
    try:
        content = files.read(path)
    except FileNotFoundError:
        return None
    return parse_object(files, path, content)


def parse_object(files: Files, path: str, content: bytes) -> dict[str, Any]:
    """Return the object that a file holds; see `read_object`."""
    try:
        if is_sealed(content) and not is_intact(content):
            raise ValueError("it is not what its checksum says")
        data = json.loads(content)
        version = int(data["format_version"])
    except SHAPE_ERRORS as err:
        raise damage(files, path, err) from err
    if version > FORMAT_VERSION:
        raise HarborConfigurationError(
            f"{files.url_of(path)} has format version {version}; this program knows "
            f"{FORMAT_VERSION}. Use the newer program that wrote it"
        )
    return cast("dict[str, Any]", data)


def damage(files: Files, path: str, err: Exception) -> IntegrityError:
    """Return the error to raise for a file that is not what it should be."""
    what = str(err)
    if isinstance(err, KeyError):
        what = f"{err} is missing or unknown"
    elif isinstance(err, zlib.error):
        what = "it cannot be unpacked"
    elif isinstance(err, (TypeError, AttributeError, RecursionError, OverflowError)):
        what = "it has another form than it should"
    return IntegrityError(f"{files.url_of(path)} is damaged: {what}")


class Packer:
    """Packs (gzip) what is written to it, into a stream; equal content gives equal bytes.

    A context manager, which writes the end; where the block raises there is none, and the stream is
    no whole file. It holds nothing that has to be closed, so that it may be dropped at any place: a
    `gzip.GzipFile` complains of that on stderr (seen on Python 3.13).

    Args:
        stream: Where it goes; it stays open.
    """

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._packing = zlib.compressobj(6, zlib.DEFLATED, _GZIP)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *exc_info: object) -> None:
        if kind is None:
            self.finish()

    def write(self, content: bytes, /) -> int:
        """Pack some more."""
        if packed := self._packing.compress(content):
            self._stream.write(packed)
        return len(content)

    def finish(self) -> None:
        """Write the end."""
        self._stream.write(self._packing.flush())


def pack(content: bytes) -> bytes:
    """Return content packed as `Packer` does it."""
    packed = io.BytesIO()
    with Packer(packed) as stream:
        stream.write(content)
    return packed.getvalue()


class PackedLines:
    """A packed file of lines on its way into a store, where it is named by what it holds.

    A context manager: what was not finished at the end of the block is forgotten.

    Args:
        files: Of the store.
        path_of: Returns where it goes, by the SHA-256 of its lines (hex).
        replaces: Whether it is written even where there is one already.
    """

    def __init__(
        self, files: Files, path_of: Callable[[str], str], *, replaces: bool = False
    ) -> None:
        self._files = files
        self._path_of = path_of
        self._replaces = replaces
        self._sha256 = hashlib.sha256()
        self._spool: SpooledTemporaryFile[bytes] = SpooledTemporaryFile(_IN_MEMORY_BYTES)  # noqa: SIM115
        self._packer = Packer(cast("IO[bytes]", self._spool))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._spool.close()

    @property
    def sha256(self) -> str:
        """The SHA-256 (hex) of the lines so far."""
        return self._sha256.hexdigest()

    def add(self, line: bytes) -> None:
        """Add a line, its end included."""
        self._sha256.update(line)
        self._packer.write(line)

    def finish(self) -> str:
        """Keep the file, unless the store has it already, whole; returns its SHA-256 (hex)."""
        self._packer.finish()
        sha256 = self.sha256
        path = self._path_of(sha256)
        size_bytes = self._spool.tell()
        if self._replaces or not self._is_there(path, size_bytes):
            self._spool.seek(0)
            blocks = iter(lambda: self._spool.read(_BLOCK_BYTES), b"")
            self._files.write_stream(path, blocks, size_bytes)
        self._spool.close()
        return sha256

    def _is_there(self, path: str, size_bytes: int) -> bool:
        """Tell whether the file is there, byte for byte: one that is damaged is written anew."""
        try:
            found_bytes, blocks = self._files.open(path)
            if found_bytes != size_bytes:
                return False
            self._spool.seek(0)
            return all(block == self._spool.read(len(block)) for block in blocks)
        except FileNotFoundError:  # a prune may delete it at this very moment
            return False


def iter_lines(files: Files, path: str, sha256: str) -> Iterator[bytes]:
    """Yield the lines of a packed file, their ends included, and make sure that they are right.

    Raises:
        IntegrityError: It is not there, or cannot be read; or all could be read, but it is not what
            was written: that comes after the last line, so act on none before all are read.
    """
    hashed = hashlib.sha256()
    try:
        for line in _lines(_unpacked(files.open(path)[1])):
            hashed.update(line)
            yield line
    except FileNotFoundError:
        raise IntegrityError(f"{files.url_of(path)} is gone from the store") from None
    except (zlib.error, ValueError) as err:
        raise damage(files, path, err) from err
    if hashed.hexdigest() != sha256:
        raise damage(files, path, ValueError("it holds something else than its name says"))


def _lines(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the lines of what comes in pieces, their ends included."""
    waiting: list[bytes] = []
    waiting_bytes = 0
    for piece in pieces:
        start, _, rest = piece.rpartition(b"\n")
        if start or piece.startswith(b"\n"):
            yield from (b"".join(waiting) + start + b"\n").splitlines(keepends=True)
            waiting, waiting_bytes = [], 0
        waiting.append(rest)
        waiting_bytes += len(rest)
        if waiting_bytes > _LONGEST_LINE_BYTES:
            raise ValueError("it has a line without end")
    if waiting_bytes:
        raise ValueError("its last line is cut short")


def _unpacked(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield what packed blocks hold, in pieces that fit into memory whatever they hold."""
    unpacker = zlib.decompressobj(_GZIP)
    for block in blocks:
        waiting = block
        while waiting and not unpacker.eof:
            if piece := unpacker.decompress(waiting, _BLOCK_BYTES):
                yield piece
            waiting = unpacker.unconsumed_tail
        if waiting:
            raise ValueError("it has more than it should")
    if not unpacker.eof or unpacker.unused_data:
        raise ValueError("it is cut short, or has more than it should")


def read_lines(
    files: Files, path: str, sha256: str, kind: str, reader: Callable[[dict[str, Any]], T]
) -> Iterator[T]:
    """Yield what a function makes of the objects of a packed file, but for the first; see above.

    Args:
        files: Of the store.
        path: Of the file.
        sha256: Of its lines (hex).
        kind: What the first line must say that it is.
        reader: Makes something of an object; it may raise as reading JSON does.
    """
    number = 0
    for line in iter_lines(files, path, sha256):
        number += 1
        try:
            data = json.loads(line)
            if number > 1:
                yield reader(data)
            elif data["kind"] != kind or data["format_version"] != FORMAT_VERSION:
                raise ValueError(f"it is no {kind} of format {FORMAT_VERSION}")
        except SHAPE_ERRORS as err:
            raise damage(files, path, ValueError(f"line {number}: {err!r}")) from err
    if not number:
        raise damage(files, path, ValueError("it is empty"))
