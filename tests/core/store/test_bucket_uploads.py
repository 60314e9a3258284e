"""Large blobs on their way into a bucket: gone on with, never seen, and never wrong."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_harbor.core.exceptions import (
    DigestMismatchError,
    HarborConfigurationError,
    HarborConnectionError,
    IntegrityError,
    StoreError,
    StoreReason,
)
from airflow_provider_harbor.core.jobs.prune import prune
from airflow_provider_harbor.core.oci.blob_reader import BlobReader
from airflow_provider_harbor.core.oci.manifest import digest_of
from airflow_provider_harbor.core.store import kept_sha256
from airflow_provider_harbor.core.store.backup_store import BackupStore
from airflow_provider_harbor.core.store.leases import this_process
from tests.hostile_server import Asked, HostileServer, Said
from tests.s3_server import S3Server

MIB = 1024 * 1024
PART = 5 * MIB
SIZE = 4 * PART + 1
CONTENT = os.urandom(SIZE)
DIGEST = digest_of(CONTENT)
NOTE = "unfinished/" + DIGEST.replace(":", "/")
BLOB = "blobs/" + DIGEST.replace(":", "/")

boto3 = pytest.importorskip("boto3", reason="needs the package boto3")
Credentials = pytest.importorskip("botocore.credentials").Credentials


class Bucket:
    """A bucket, and what is in it."""

    def __init__(self, server: S3Server) -> None:
        self.server = server
        self.name = server.new_bucket()
        self.store = self.open()

    def open(self, **options: Any) -> BackupStore:
        store = BackupStore(f"s3://{self.name}/a/prefix", **{**self.server.options, **options})
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
        found = self.client().list_multipart_uploads(Bucket=self.name)
        return [upload["UploadId"] for upload in found.get("Uploads", [])]

    def client(self) -> Any:
        return boto3.client(
            "s3",
            endpoint_url=self.server.url,
            region_name="us-east-1",
            aws_access_key_id=self.server.user,
            aws_secret_access_key=self.server.password,
        )

    def age_note(self) -> None:
        """Have the note be years old."""
        os.utime(Path(self.server.directory, self.name, "a/prefix", NOTE), (1, 1))

    def is_whole(self) -> bool:
        return self.store.files.size(BLOB) == SIZE and self.store.files.read(BLOB) == CONTENT


@pytest.fixture
def bucket(s3: S3Server) -> Bucket:
    return Bucket(s3)


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

    def reader(self, digest: str = DIGEST) -> BlobReader:
        return BlobReader(self.blocks(0), digest, SIZE, "the source", self.blocks)


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


@pytest.mark.parametrize("number", [1, PART - 1, PART, 3 * PART + 5, SIZE - 1])
def test_what_has_arrived_of_a_blob_is_not_read_again(bucket: Bucket, number: int) -> None:
    leave(bucket, number)
    assert put(bucket) == [number // PART * PART]
    assert not bucket.has_note
    assert bucket.uploads == []


def test_it_goes_on_as_often_as_it_is_ended(bucket: Bucket) -> None:
    for number in (PART, PART + 1, 2 * PART, 4 * PART):
        leave(bucket, number)
        assert len(bucket.uploads) == 1
    assert put(bucket) == [4 * PART]


def test_it_goes_on_after_a_kill(bucket: Bucket) -> None:
    """Far enough for what is kept on the way, and with nothing that was kept at the end."""
    code = f"""
import os, sys
sys.path[:0] = {[os.getcwd()]!r}
from airflow_provider_harbor.core.store import bucket_uploads
from tests.core.store import test_bucket_uploads as tests
tests.CONTENT = open(sys.argv[1], "rb").read()
bucket_uploads._KEPT_EVERY_BYTES = 2 * tests.PART
store = tests.BackupStore(sys.argv[2])
store.pool.large_bytes = 1
source = tests.Source(tests.CONTENT)
source.on_block = lambda position: position >= 4 * tests.PART and os.kill(os.getpid(), 9)
digest = tests.digest_of(tests.CONTENT)
store.pool.put(source.reader(digest), digest)
"""
    path = bucket.server.directory.parent / "content"
    path.write_bytes(CONTENT)
    done = subprocess.run(
        [sys.executable, "-c", code, str(path), bucket.store.url],
        env={**os.environ, **bucket.server.environment},
        check=False,
        timeout=300,
    )
    assert done.returncode == -9
    assert bucket.note["process"]
    assert len(bucket.note["etags"]) == 2
    assert put(bucket) == [2 * PART]


def test_a_blob_of_whole_parts_that_lacks_only_its_name_gets_that(bucket: Bucket) -> None:
    content = CONTENT[: 2 * PART]
    digest = digest_of(content)

    def reader(breaks_at: int | None) -> BlobReader:
        blocks = Source(content, breaks_at).blocks
        return BlobReader(blocks(0), digest, len(content), "the source", blocks)

    with pytest.raises(HarborConnectionError):
        bucket.store.pool.put(reader(len(content) - 1), digest)
    path = f"unfinished/{digest.replace(':', '/')}"
    note = json.loads(bucket.store.files.read(path))
    sent = bucket.client().upload_part(
        Bucket=bucket.name, Key=f"a/prefix/blobs/{digest.replace(':', '/')}",
        UploadId=note["upload"], PartNumber=2, Body=content[PART:],
    )  # fmt: skip
    whole = kept_sha256.KeptSha256()
    whole.update(content)
    changed = {"etags": [*note["etags"], sent["ETag"]], "sha256_state": whole.state}
    bucket.store.files.write(path, json.dumps({**note, **changed}).encode())
    bucket.store.pool.put(reader(None), digest)
    assert bucket.store.pool.has(digest, len(content))


def test_a_state_that_is_that_of_something_else_is_found_out(bucket: Bucket) -> None:
    leave(bucket)
    bucket.change_note(sha256_state="0" * 64)
    with pytest.raises(DigestMismatchError):
        bucket.store.pool.put(Source().reader(), DIGEST)
    assert not bucket.store.files.exists(BLOB)
    assert (bucket.has_note, bucket.uploads) == (False, [])
    assert put(bucket) == [0]


def test_a_part_that_is_not_the_one_that_was_sent_is_not_put_together(bucket: Bucket) -> None:
    leave(bucket)
    bucket.client().upload_part(
        Bucket=bucket.name, Key=f"a/prefix/{BLOB}",
        UploadId=bucket.note["upload"], PartNumber=1, Body=bytes(PART),
    )  # fmt: skip
    assert put(bucket) == [2 * PART, 0]
    assert bucket.uploads == []


def test_an_upload_that_the_bucket_has_forgotten_begins_anew(bucket: Bucket) -> None:
    leave(bucket)
    bucket.client().abort_multipart_upload(
        Bucket=bucket.name, Key=f"a/prefix/{BLOB}", UploadId=bucket.note["upload"]
    )
    assert put(bucket) == [2 * PART, 0]
    assert not bucket.has_note


@pytest.mark.parametrize(
    "fields",
    [
        {"digest": digest_of(b"another")},
        {"size_bytes": SIZE + 1},
        {"part_bytes": 6 * MIB},
        {"part_bytes": -PART},
        {"part_bytes": "much"},
        {"etags": 7},
        {"etags": ["x"] * 100},
        {"etags": ["x"] * 100_000},
        {"sha256_state": None},
        {"kept_at": "yesterday"},
        {"kept_at": "2026-11-26T01:00:00"},
        {"format_version": 99},
        {"format_version": None},
        {"upload": ""},
        {"tries": []},
        {"tries": -1_000_000_000},
        {"upload": "\ud800"},
        {"upload": "x" * 1_000_000},
        {"process": "{boot} {namespace} x 1"},
        {"process": "{boot} {namespace} " + "9" * 5000 + " 1"},
        {"process": "{boot} {namespace} \0 1"},
    ],
    ids=lambda fields: str(fields)[:60],
)
def test_a_note_that_is_none_counts_as_nothing(bucket: Bucket, fields: dict[str, Any]) -> None:
    leave(bucket)
    boot, namespace, _, _ = this_process().split()
    names = {"boot": boot, "namespace": namespace}
    fields = {k: v.format(**names) if isinstance(v, str) else v for k, v in fields.items()}
    bucket.change_note(**fields)
    assert put(bucket)[-1] == 0
    bucket.store.begin_for("https://harbor.example.com")
    if bucket.has_note:  # of somebody who may be at it
        bucket.age_note()
        bucket.store.files.delete([BLOB])
        prune(bucket.store, "a prune")
        assert not bucket.has_note


@pytest.mark.parametrize("content", [b"", b"\xff", b"[]", b"[" * 100_000])
def test_a_note_that_is_no_object_counts_as_nothing(bucket: Bucket, content: bytes) -> None:
    bucket.store.files.write(NOTE, content)
    assert put(bucket) == [0]
    assert not bucket.has_note


def test_a_note_that_is_larger_than_any_is_not_read(bucket: Bucket) -> None:
    bucket.store.files.write(NOTE, b"[" * (4 * MIB + 1))
    assert put(bucket) == [0]
    assert bucket.uploads == []


def test_nights_on_which_the_source_fails_do_not_count_against_an_upload(bucket: Bucket) -> None:
    leave(bucket)
    for _ in range(8):
        leave(bucket, 2 * PART + 1)
    assert put(bucket) == [2 * PART]


@pytest.mark.parametrize(
    "content", [CONTENT[:-1] + b"x", CONTENT[:-1], CONTENT + b"x"], ids=["other", "short", "long"]
)
def test_what_is_not_what_its_digest_says_never_shows(bucket: Bucket, content: bytes) -> None:
    leave(bucket)
    with pytest.raises(IntegrityError):
        bucket.store.pool.put(Source(content).reader(), DIGEST)
    assert not bucket.store.files.exists(BLOB)
    assert (bucket.has_note, bucket.uploads) == (False, [])


def test_a_key_that_cannot_delete_is_enough(bucket: Bucket) -> None:
    store = bucket.open(**bucket.server.add_writer(bucket.name))
    with pytest.raises(HarborConnectionError):
        store.pool.put(Source(breaks_at=2 * PART).reader(), DIGEST)
    assert put(bucket, store) == [2 * PART]
    # What is noted still is that of an upload which has ended.
    assert bucket.has_note
    bucket.store.files.delete([BLOB])
    assert put(bucket, store)[-1] == 0


# -- several at once


def another(age: timedelta = timedelta(0), process: str = "") -> dict[str, Any]:
    """What another process has noted, by default one of another machine, just now."""
    kept_at = datetime.now(timezone.utc) - age
    return {"process": process or "boot pid:[1] 7 7", "kept_at": kept_at.isoformat()}


def test_while_another_process_sends_a_blob_it_is_left_alone(bucket: Bucket) -> None:
    leave(bucket)
    bucket.change_note(**another())
    before = bucket.note
    assert put(bucket) == [0]
    assert bucket.note == before
    assert bucket.uploads == [before["upload"]]


def test_a_process_that_was_not_heard_of_for_long_is_taken_for_dead(bucket: Bucket) -> None:
    leave(bucket)
    bucket.change_note(**another(age=timedelta(minutes=6)))
    assert put(bucket) == [2 * PART]


def test_a_clock_that_was_years_ahead_keeps_nobody_waiting(bucket: Bucket) -> None:
    leave(bucket)
    bucket.change_note(**another(age=timedelta(days=-400)))
    assert put(bucket) == [2 * PART]


def test_a_process_of_this_machine_that_is_dead_is_known_to_be(bucket: Bucket) -> None:
    leave(bucket)
    boot, namespace, _, _ = this_process().split()
    bucket.change_note(**another(process=f"{boot} {namespace} 4194305 1"))
    assert put(bucket) == [2 * PART]


def test_two_threads_that_send_one_blob_do_not_meet(bucket: Bucket) -> None:
    source, done = Source(), []

    def beside(position: int) -> None:
        if position == 2 * PART:
            done.append(put(bucket, bucket.open()))

    source.on_block = beside
    bucket.store.pool.put(source.reader(), DIGEST)
    assert done == [[0]]
    assert bucket.is_whole()
    assert (bucket.has_note, bucket.uploads) == (False, [])


@pytest.mark.parametrize("is_its_own", [False, True])
def test_who_was_taken_for_dead_leaves_the_upload_to_the_other_one(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch, is_its_own: bool
) -> None:
    """And sends the blob in another way; an upload that is of no use to anybody it ends."""
    monkeypatch.setattr("airflow_provider_harbor.core.store.bucket_uploads._KEPT_EVERY_BYTES", PART)
    source = Source()

    def beside(position: int) -> None:
        if position == 3 * PART:
            bucket.change_note(**another(), **({"upload": "another"} if is_its_own else {}))
            source.on_block = lambda position: None

    source.on_block = beside
    bucket.store.pool.put(source.reader(), DIGEST)
    assert source.opened == [0, 0]
    assert bucket.is_whole()
    assert bucket.note["process"] == "boot pid:[1] 7 7"
    assert bucket.uploads == ([] if is_its_own else [bucket.note["upload"]])


# -- servers


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


@pytest.fixture
def between(s3: S3Server) -> Iterator[Between]:
    with Between(s3) as server:
        yield server


COMPLETE = r"POST /\S+\?uploadId="


def test_an_end_of_which_the_answer_was_lost_is_an_end(bucket: Bucket, between: Between) -> None:
    between.lost = COMPLETE
    assert put(bucket, bucket.open(endpoint=between.url)) == [0]
    assert not between.lost
    assert len([a for a in between.asked if re.search(COMPLETE, f"{a.method} {a.path}")]) == 2


def test_an_end_that_came_to_nothing_is_none(bucket: Bucket, between: Between) -> None:
    """Also where an older file of that name and size is there, which is to be replaced."""
    bucket.store.files.write(BLOB, bytes(SIZE))
    gone = "<Error><Code>NoSuchUpload</Code></Error>"
    between.replaced[COMPLETE] = (404, {"Content-Type": "application/xml"}, gone)
    with pytest.raises(StoreError):
        bucket.open(endpoint=between.url).pool.put(Source().reader(), DIGEST)
    assert bucket.store.files.read(BLOB) == bytes(SIZE)
    assert put(bucket) == [0]


@pytest.mark.parametrize(
    "said",
    [
        (503, {}, "<Error><Code>SlowDown</Code></Error>"),
        (200, {"Content-Type": "text/html"}, "<html>maintenance</html>"),
        (200, {}, "<Error><Code>InternalError</Code></Error>"),
        (302, {"Location": "http://127.0.0.1:1/"}, ""),
    ],
    ids=["503", "page", "200 with an error", "302"],
)
@pytest.mark.parametrize("what", [COMPLETE, "partNumber=3"])
def test_only_what_says_so_is_stored(
    bucket: Bucket, between: Between, said: Said, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("airflow_provider_harbor.core.store.multipart._ATTEMPTS", 1)
    between.replaced[what] = said
    with pytest.raises(StoreError):
        bucket.open(endpoint=between.url).pool.put(Source().reader(), DIGEST)
    assert not bucket.store.files.exists(BLOB)
    assert put(bucket)[-1] <= 4 * PART


def test_a_full_bucket_is_not_kept_full(bucket: Bucket, between: Between) -> None:
    full = "<Error><Code>QuotaExceeded</Code></Error>"
    between.replaced["partNumber=3"] = (403, {"Content-Type": "application/xml"}, full)
    with pytest.raises(StoreError) as caught:
        bucket.open(endpoint=between.url).pool.put(Source().reader(), DIGEST)
    assert caught.value.reason is StoreReason.FULL
    assert (bucket.has_note, bucket.uploads) == (False, [])


# -- who it is for


class Provider:
    """Keys that are managed elsewhere: what `obstore` gets, and what `botocore` does."""

    def __init__(self, server: S3Server, secret: str) -> None:
        self.config: dict[str, str] = {"region": "us-east-1"}
        self._server = server
        session = boto3.Session(server.user, secret)
        self.credentials = session.get_credentials()

    def __call__(self) -> dict[str, Any]:
        ends = datetime.now(timezone.utc) + timedelta(hours=1)
        return {
            "access_key_id": self._server.user,
            "secret_access_key": self._server.password,
            "token": None,
            "expires_at": ends,
        }


@pytest.mark.parametrize("is_right", [True, False])
def test_keys_that_are_managed_elsewhere_are_used(s3: S3Server, is_right: bool) -> None:
    """And where it is refused what it needs for that, a blob is sent as ever."""
    bucket = Bucket(s3)
    secret = s3.password if is_right else "wrong"
    store = BackupStore(
        f"s3://{bucket.name}/a/prefix",
        credential_provider=Provider(s3, secret),
        endpoint=s3.url,
    )
    store.pool.large_bytes = MIB
    with pytest.raises(HarborConnectionError):
        store.pool.put(Source(breaks_at=2 * PART).reader(), DIGEST)
    assert bucket.has_note is is_right
    assert put(bucket, store) == [2 * PART if is_right else 0]


def test_without_botocore_blobs_are_sent_as_ever(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "botocore.session", None)
    leave(bucket)
    assert not bucket.has_note
    assert put(bucket) == [0]


@pytest.mark.parametrize("name", ["AWS_SERVER_SIDE_ENCRYPTION", "aws_server_side_encryption"])
def test_an_environment_that_only_obstore_understands_is_left_to_it(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "AES256")
    assert bucket.open().files.multipart is None


def test_options_that_only_obstore_understands_are_left_to_it(bucket: Bucket) -> None:
    assert bucket.store.files.multipart is not None
    assert bucket.open(copy_if_not_exists="multipart").files.multipart is None
    assert BackupStore("gs://bucket", skip_signature=True).files.multipart is None


def test_another_digest_than_sha256_is_sent_as_ever(bucket: Bucket) -> None:
    digest = f"sha512:{hashlib.sha512(CONTENT).hexdigest()}"
    bucket.store.pool.put(Source().reader(digest), digest)
    assert bucket.store.pool.has(digest, SIZE)


def test_prune_gives_up_what_nobody_went_on_with(bucket: Bucket) -> None:
    bucket.store.begin_for("https://harbor.example.com")
    leave(bucket)
    prune(bucket.store, "a prune")
    assert bucket.has_note
    bucket.age_note()
    prune(bucket.store, "another")
    assert (bucket.has_note, bucket.uploads) == (False, [])


def test_no_key_is_in_what_is_noted_or_logged(
    bucket: Bucket, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    leave(bucket)
    noted = bucket.store.files.read(NOTE).decode()
    put(bucket)
    for text in (noted, caplog.text):
        assert bucket.server.password not in text
        assert "Signature" not in text


def test_many_blobs_at_once_arrive(bucket: Bucket) -> None:
    contents = {digest_of(c): c for c in (os.urandom(PART + number) for number in range(8))}

    def send(digest: str) -> None:
        content = contents[digest]
        blocks = Source(content).blocks
        reader = BlobReader(blocks(0), digest, len(content), "the source", blocks)
        bucket.store.pool.put(reader, digest)

    threads = [threading.Thread(target=send, args=(digest,)) for digest in contents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for digest, content in contents.items():
        assert bucket.store.pool.read(digest) == content
    assert bucket.uploads == []


def test_an_upload_that_never_comes_further_is_given_up(
    bucket: Bucket, between: Between, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("airflow_provider_harbor.core.store.multipart._ATTEMPTS", 1)
    leave(bucket)
    first = bucket.note["upload"]
    between.replaced[rf"(?=.*uploadId={first})(?=.*partNumber=3)"] = (500, {}, "")
    store = bucket.open(endpoint=between.url)
    for number in range(6):
        assert bucket.note["tries"] == number
        with pytest.raises(StoreError):
            store.pool.put(Source().reader(), DIGEST)
    assert put(bucket, store) == [0]
    assert bucket.uploads == []


def test_a_note_of_which_the_answer_was_lost_is_noted(bucket: Bucket, between: Between) -> None:
    between.lost = "PUT .*unfinished"
    with pytest.raises(HarborConnectionError):
        bucket.open(endpoint=between.url).pool.put(Source(breaks_at=2 * PART).reader(), DIGEST)
    assert not between.lost
    between.lost = "PUT .*unfinished"
    assert put(bucket, bucket.open(endpoint=between.url)) == [2 * PART]
    assert not between.lost
    assert bucket.uploads == []


@pytest.mark.parametrize(
    "prefix", ["my%20backups", "a%2Fb", "%C3%BC", "100%", "trail ", "a/./b", "a+b/c d", "ü"]
)
def test_both_ways_lead_to_the_same_place(s3: S3Server, prefix: str) -> None:
    name = s3.new_bucket()
    store = BackupStore(f"s3://{name}/{prefix}", **s3.options)
    store.pool.large_bytes = MIB
    with pytest.raises(HarborConnectionError):
        store.pool.put(Source(breaks_at=2 * PART).reader(), DIGEST)
    source = Source()
    store.pool.put(source.reader(), DIGEST)
    assert source.opened == [2 * PART]
    assert store.pool.has(DIGEST, SIZE)
    assert len(list(store.files.iter_files(""))) == 1


def test_what_would_go_elsewhere_is_not_sent_there(bucket: Bucket) -> None:
    other = bucket.open()
    assert other.files.multipart is not None
    other.files.multipart._prefix = "elsewhere/"
    assert put(bucket, other) == [0]
    assert bucket.uploads == []
    elsewhere = BackupStore(f"s3://{bucket.name}/elsewhere", **bucket.server.options)
    assert list(elsewhere.files.iter_files("")) == []


def test_an_environment_that_names_another_server_is_refused(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://logs.example.com")
    with pytest.raises(HarborConfigurationError, match="Unset it where backups run"):
        bucket.open()
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", bucket.server.url)
    assert put(bucket, bucket.open()) == [0]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("AWS_CREDENTIAL_EXPIRATION", "2020-01-01T00:00:00Z"),
        ("AWS_CREDENTIAL_EXPIRATION", "soon"),
        ("AWS_METADATA_SERVICE_TIMEOUT", "much"),
        ("AWS_PROFILE", "nobody"),
    ],
)
def test_an_environment_that_botocore_cannot_use_stops_no_blob(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    leave(bucket)
    for key, told in bucket.server.environment.items():
        monkeypatch.setenv(key, told)
    monkeypatch.setenv(name, value)
    store = BackupStore(f"s3://{bucket.name}/a/prefix")
    store.pool.large_bytes = MIB
    assert put(bucket, store) == [0]


def test_keys_that_cannot_be_renewed_in_the_middle_stop_no_blob(s3: S3Server) -> None:
    bucket, provider, source = Bucket(s3), Provider(s3, s3.password), Source()
    has_ended = threading.Event()

    class Ending(Credentials):
        def get_frozen_credentials(self) -> Any:
            if has_ended.is_set():
                raise RuntimeError("the keys ended")
            return super().get_frozen_credentials()

    provider.credentials = Ending(s3.user, s3.password)
    source.on_block = lambda position: has_ended.set() if position == 2 * PART else None
    store = BackupStore(
        f"s3://{bucket.name}/a/prefix", credential_provider=provider, endpoint=s3.url
    )
    store.pool.large_bytes = MIB
    store.pool.put(source.reader(), DIGEST)
    assert source.opened == [0, 0]
    assert bucket.is_whole()
    # It could not be ended, so that it is known still.
    assert bucket.uploads == [bucket.note["upload"]]


@pytest.mark.parametrize("method", ["PUT", "GET"])
@pytest.mark.parametrize("status", [403, 404, 412])
@pytest.mark.parametrize("has_begun", [False, True])
def test_a_note_that_is_refused_stops_no_blob(
    bucket: Bucket, between: Between, method: str, status: int, has_begun: bool
) -> None:
    if has_begun:
        leave(bucket)
    between.replaced[f"{method} .*unfinished"] = (status, {}, "<html>no</html>")
    assert put(bucket, bucket.open(endpoint=between.url))[-1] == 0
    assert len(bucket.uploads) <= has_begun


def test_an_upload_that_prune_could_not_end_stays_noted(bucket: Bucket, between: Between) -> None:
    bucket.store.begin_for("https://harbor.example.com")
    leave(bucket)
    bucket.age_note()
    between.replaced["DELETE .*uploadId"] = (503, {}, "")
    prune(bucket.open(endpoint=between.url), "a prune")
    assert (bucket.has_note, len(bucket.uploads)) == (True, 1)
    prune(bucket.store, "another")
    assert (bucket.has_note, bucket.uploads) == (False, [])


def test_what_a_server_echoes_is_in_no_cause_of_an_error(bucket: Bucket, between: Between) -> None:
    echo = "<Error><Code>Odd</Code><Message>Signature=abc</Message></Error>"
    between.replaced["POST .*uploads"] = (400, {"Content-Type": "application/xml"}, echo)
    multipart = bucket.open(endpoint=between.url).files.multipart
    assert multipart is not None
    with pytest.raises(StoreError) as caught:
        multipart.begin(BLOB)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__
    assert "Signature" not in str(caught.value)


def test_where_nothing_can_be_ended_uploads_do_not_pile_up(
    bucket: Bucket, between: Between
) -> None:
    """As where keys end in the middle: then the abort is refused as well."""
    refused = (403, {"Content-Type": "application/xml"}, "<Error><Code>Odd</Code></Error>")
    between.replaced["DELETE .*uploadId"] = refused
    for _ in range(3):
        leave(bucket)
        between.replaced["partNumber=3"] = refused
        with pytest.raises(StoreError):
            bucket.open(endpoint=between.url).pool.put(Source().reader(), DIGEST)
        assert bucket.note["upload"] in bucket.uploads
    first = bucket.note["upload"]
    between.replaced.clear()
    assert put(bucket) == [2 * PART]
    assert first not in bucket.uploads


def test_a_place_that_the_storage_does_not_know_is_an_error_of_the_store(
    bucket: Bucket, between: Between
) -> None:
    between.replaced["POST .*uploads|PUT "] = (404, {}, "<html>no</html>")
    store = bucket.open(endpoint=between.url)
    with pytest.raises(StoreError) as caught:
        store.pool.put(Source().reader(), DIGEST)
    assert caught.value.reason is StoreReason.MISSING
