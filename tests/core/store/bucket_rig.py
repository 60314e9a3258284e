"""What the tests of large blobs in a bucket share: the bucket, a source, a server before it."""

from __future__ import annotations

import http.client
import json
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_harbor.core.exceptions import HarborConnectionError
from airflow_provider_harbor.core.oci.blob_reader import BlobReader
from airflow_provider_harbor.core.oci.manifest import digest_of
from airflow_provider_harbor.core.store.backup_store import BackupStore
from tests.hostile_server import Asked, HostileServer, Said
from tests.s3_server import S3Server

MIB = 1024 * 1024
PART = 5 * MIB
SIZE = 4 * PART + 1
CONTENT = os.urandom(SIZE)
DIGEST = digest_of(CONTENT)
NOTE = "unfinished/" + DIGEST.replace(":", "/")
BLOB = "blobs/" + DIGEST.replace(":", "/")


class Bucket:
    """A bucket, and what is in it."""

    def __init__(self, server: S3Server) -> None:
        self.server = server
        self.name = server.new_bucket()
        self.store = self.open()

    def open(self, **options: Any) -> BackupStore:
        return self.reach(**{**self.server.options, **options})

    def reach(self, **options: Any) -> BackupStore:
        """Open the store with these options only."""
        store = BackupStore(f"s3://{self.name}/a/prefix", **options)
        store.pool.large_bytes = MIB
        return store

    @property
    def note(self) -> dict[str, Any]:
        return dict(json.loads(self.store.files.read(NOTE)))

    @property
    def has_note(self) -> bool:
        return self.store.files.exists(NOTE)

    def change_note(self, **fields: Any) -> None:
        self.store.files.write(NOTE, json.dumps({**self.note, **fields}).encode())

    @property
    def uploads(self) -> list[str]:
        """Ids of the uploads that were begun and not ended."""
        found = self.server.client().list_multipart_uploads(Bucket=self.name)
        return [upload["UploadId"] for upload in found.get("Uploads", [])]

    def age_note(self) -> None:
        """Have the note be years old."""
        os.utime(Path(self.server.directory, self.name, "a/prefix", NOTE), (1, 1))

    def is_whole(self) -> bool:
        return self.store.files.size(BLOB) == SIZE and self.store.files.read(BLOB) == CONTENT


class Source:
    """What a blob is read from, and from which byte on it was; at one it may break."""

    def __init__(self, content: bytes = CONTENT, breaks_at: int | None = None) -> None:
        self.content = content
        self.breaks_at = breaks_at
        self.opened: list[int] = []
        self.on_block: Callable[[int], None] = lambda position: None

    def blocks(self, offset: int) -> Iterator[bytes]:
        self.opened.append(offset)
        end = self.breaks_at or len(self.content)
        for start in range(offset, end, MIB // 2):
            self.on_block(start)
            yield self.content[start : min(start + MIB // 2, end)]
        if self.breaks_at:
            raise HarborConnectionError("the source went away")

    def reader(self, digest: str = DIGEST, size_bytes: int = SIZE) -> BlobReader:
        return BlobReader(self.blocks(0), digest, size_bytes, "the source", self.blocks)


def leave(bucket: Bucket, number: int = 2 * PART) -> None:
    """Send a part of the blob, as a process does that ends in the middle."""
    with pytest.raises(HarborConnectionError):
        bucket.store.pool.put(Source(breaks_at=number).reader(), DIGEST)
    assert not bucket.store.files.exists(BLOB)


def put(bucket: Bucket, store: BackupStore | None = None) -> list[int]:
    """Send the blob, and return from which bytes on it was read."""
    source = Source()
    (store or bucket.store).pool.put(source.reader(), DIGEST)
    assert bucket.is_whole()
    return source.opened


class Between(HostileServer):
    """Passes requests on to a server of S3, whose answers a test may change or lose."""

    def __init__(self, server: S3Server) -> None:
        self.server = server
        self.lost = ""
        self.replaced: dict[str, Said] = {}
        super().__init__(self._pass)

    def _pass(self, asked: Asked) -> Said:
        what = f"{asked.method} {asked.path}"
        for pattern, said in self.replaced.items():
            if re.search(pattern, what):
                return said
        connection = http.client.HTTPConnection(self.server.url.removeprefix("http://"))
        connection.request(asked.method, asked.path, asked.body, asked.headers)
        answer = connection.getresponse()
        headers = {k: v for k, v in answer.getheaders() if k not in ("Content-Length", "Server")}
        said: Said = (answer.status, headers, answer.read())
        if asked.method == "HEAD":  # whose length is that of something else
            lines = "".join(f"{name}: {value}\r\n" for name, value in answer.getheaders())
            said = f"HTTP/1.1 {answer.status} -\r\n{lines}\r\n".encode()
        connection.close()
        if self.lost and re.search(self.lost, what):
            self.lost = ""
            return b""
        return said
