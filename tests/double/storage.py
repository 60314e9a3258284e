"""What the registry below Harbor keeps: blobs, links, manifests, upload sessions.

As in distribution 2.8.3 this knows nothing of projects or tags. Nothing in here vanishes when
Harbor deletes an artifact, a repository or a project: that would be the garbage collection's work.
So the database (`state.py`) and this can disagree, as they can in Harbor.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

IN_MEMORY = 1 << 20  # larger blobs go to a file, so that tests can push gigabytes
READ_SIZE = 1 << 18


class Blob:
    """The bytes of one blob, in memory or in a file; or its size alone, where they were lost."""

    __slots__ = ("data", "path", "size")

    def __init__(self, size: int, data: bytes | None, path: Path | None = None) -> None:
        self.size = size
        self.data = data
        self.path = path

    @property
    def lost(self) -> bool:
        return self.data is None and self.path is None

    def read(self, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """Yield the bytes from `start` up to, but without, `end`."""
        end = self.size if end is None else end
        if self.data is not None:
            yield self.data[start:end]
            return
        assert self.path is not None
        with self.path.open("rb") as file:
            file.seek(start)
            while start < end:
                chunk = file.read(min(READ_SIZE, end - start))
                start += len(chunk)
                yield chunk


class Upload:
    """An upload session: bytes are appended, whatever the client says where they belong."""

    def __init__(self, repository: str, directory: Path) -> None:
        self.id = str(uuid.uuid4())
        self.repository = repository
        self.size = 0
        self.cut = False
        self._directory = directory
        self._hash = hashlib.sha256()
        self._memory = bytearray()
        self._file: Any = None

    def append(self, data: bytes) -> None:
        self._hash.update(data)
        self.size += len(data)
        if self._file is None and self.size > IN_MEMORY:
            self._file = (self._directory / self.id).open("wb")
            self._file.write(self._memory)
            self._memory = bytearray()
        if self._file is None:
            self._memory += data
        else:
            self._file.write(data)

    @property
    def digest(self) -> str:
        return "sha256:" + self._hash.hexdigest()

    def finish(self) -> Blob:
        if self._file is None:
            return Blob(self.size, bytes(self._memory))
        self._file.close()
        return Blob(self.size, None, self._directory / self.id)

    def discard(self) -> None:
        if self._file is not None:
            self._file.close()
            (self._directory / self.id).unlink(missing_ok=True)


class Storage:
    """All that is stored.

    Layers, configs and manifests lie in one pool, by digest. What a repository may read of it are
    its links: `links` as blobs, `manifests` as manifests. The registry remembers the size of all
    that it ever stored (in Redis) and, if `cached`, takes its memory's word: what was lost behind
    its back is there as long as nobody reads it.

    Attributes:
        blobs: The pool: digest to content, of all repositories.
        lost: What was in the pool, and is gone.
        links: Repository name to the digests that can be read there as a blob.
        manifests: Repository name to digest to media type.
    """

    def __init__(self) -> None:
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        self._secret = secrets.token_bytes(16)
        self.cached = True
        self.blobs: dict[str, Blob] = {}
        self.lost: dict[str, Blob] = {}
        self.links: dict[str, set[str]] = {}
        self.manifests: dict[str, dict[str, str]] = {}
        self.uploads: dict[str, Upload] = {}

    def close(self) -> None:
        for upload in self.uploads.values():
            upload.discard()
        if self._temporary is not None:
            self._temporary.cleanup()
            self._temporary = None

    @property
    def directory(self) -> Path:
        if self._temporary is None:
            self._temporary = tempfile.TemporaryDirectory(prefix="harbor-double-")
        return Path(self._temporary.name)

    def lose(self, digest: str) -> None:
        """Lose content, as a full disk or a wrong `rm` does it."""
        self.lost[digest] = Blob(self.blobs.pop(digest).size, None)

    def known(self, digest: str) -> Blob | None:
        """Return what the registry believes to hold; of what was lost there is only the size."""
        return self.blobs.get(digest) or (self.lost.get(digest) if self.cached else None)

    def blob_in(self, repository: str, digest: str) -> Blob | None:
        """Return a blob that is linked in a repository and believed to be there."""
        return self.known(digest) if digest in self.links.get(repository, ()) else None

    def put_blob(self, repository: str, digest: str, data: bytes) -> None:
        if digest not in self.blobs:
            self._keep(digest, Blob(len(data), data))
        self.link(repository, digest)

    def link(self, repository: str, digest: str) -> None:
        self.links.setdefault(repository, set()).add(digest)

    def manifest_in(self, repository: str, digest: str) -> tuple[str, bytes] | None:
        """Return media type and bytes of a manifest that is linked in a repository and there."""
        media_type = self.manifests.get(repository, {}).get(digest)
        blob = self.blobs.get(digest)
        if media_type is None or blob is None:
            return None
        return media_type, b"".join(blob.read())

    def has_manifest(self, repository: str, digest: str) -> bool:
        """Return whether the registry believes that a manifest is there."""
        return digest in self.manifests.get(repository, ()) and self.known(digest) is not None

    def put_manifest(self, repository: str, digest: str, media_type: str, data: bytes) -> None:
        """Store a manifest, unless it is believed to be there: then it is linked and no more."""
        if self.known(digest) is None:
            self._keep(digest, Blob(len(data), data))
        self.manifests.setdefault(repository, {})[digest] = media_type

    def _keep(self, digest: str, blob: Blob) -> None:
        self.blobs[digest] = blob
        self.lost.pop(digest, None)

    def start_upload(self, repository: str) -> Upload:
        upload = Upload(repository, self.directory)
        self.uploads[upload.id] = upload
        return upload

    def finish_upload(self, upload: Upload, digest: str) -> Blob | None:
        """End an upload and return its blob, or None where its content has another digest."""
        del self.uploads[upload.id]
        if upload.digest != digest:
            upload.discard()
            return None
        # Here the registry looks at the storage itself, so an upload brings lost content back.
        blob = self.blobs.get(digest)
        if blob is None:
            blob = upload.finish()
            self._keep(digest, blob)
        else:
            upload.discard()
        self.link(upload.repository, digest)
        return blob

    def cancel_upload(self, upload: Upload) -> None:
        del self.uploads[upload.id]
        upload.discard()

    def upload_state(self, upload: Upload) -> str:
        """Return the `_state` of a Location: signed, and bound to the bytes received so far."""
        document = {"Name": upload.repository, "UUID": upload.id, "Offset": upload.size}
        text = json.dumps(document).encode()
        return base64.urlsafe_b64encode(self._sign(text) + text).decode()

    def read_upload_state(self, state: str) -> dict[str, Any] | None:
        """Return what a `_state` says, or None where it was not made here."""
        try:
            raw = base64.urlsafe_b64decode(state)
        except ValueError:
            return None
        signature, text = raw[:32], raw[32:]
        if not hmac.compare_digest(signature, self._sign(text)):
            return None
        document: dict[str, Any] = json.loads(text)
        return document

    def _sign(self, text: bytes) -> bytes:
        return hmac.new(self._secret, text, hashlib.sha256).digest()
