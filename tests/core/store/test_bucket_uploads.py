"""Large blobs on their way into a bucket: gone on with, never seen, and never wrong."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from airflow_provider_harbor.core.exceptions import (
    DigestMismatchError,
    HarborConnectionError,
    IntegrityError,
)
from airflow_provider_harbor.core.jobs.prune import prune
from airflow_provider_harbor.core.oci.blob_reader import BlobReader
from airflow_provider_harbor.core.oci.manifest import digest_of
from airflow_provider_harbor.core.store import kept_sha256
from airflow_provider_harbor.core.store.leases import this_process
from tests.core.rig import with_another_end
from tests.core.store.bucket_rig import (
    BLOB,
    CONTENT,
    DIGEST,
    MIB,
    NOTE,
    PART,
    SIZE,
    Bucket,
    Source,
    leave,
    put,
)

pytest.importorskip("botocore", reason="needs the package botocore")


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
from tests.core.store import bucket_rig as tests
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
    noted = len(bucket.note["etags"])
    assert noted >= 2
    assert put(bucket) == [noted * PART]


def test_a_blob_of_whole_parts_that_lacks_only_its_name_gets_that(bucket: Bucket) -> None:
    content = CONTENT[: 2 * PART]
    digest = digest_of(content)

    def reader(breaks_at: int | None) -> BlobReader:
        return Source(content, breaks_at).reader(digest, len(content))

    with pytest.raises(HarborConnectionError):
        bucket.store.pool.put(reader(len(content) - 1), digest)
    path = f"unfinished/{digest.replace(':', '/')}"
    note = json.loads(bucket.store.files.read(path))
    sent = bucket.server.client().upload_part(
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
    bucket.server.client().upload_part(
        Bucket=bucket.name, Key=f"a/prefix/{BLOB}",
        UploadId=bucket.note["upload"], PartNumber=1, Body=bytes(PART),
    )  # fmt: skip
    assert put(bucket) == [2 * PART, 0]
    assert bucket.uploads == []


def test_an_upload_that_the_bucket_has_forgotten_begins_anew(bucket: Bucket) -> None:
    leave(bucket)
    bucket.server.client().abort_multipart_upload(
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
    "content",
    [with_another_end(CONTENT), CONTENT[:-1], CONTENT + b"x"],
    ids=["other", "short", "long"],
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
        bucket.store.pool.put(Source(content).reader(digest, len(content)), digest)

    threads = [threading.Thread(target=send, args=(digest,)) for digest in contents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for digest, content in contents.items():
        assert bucket.store.pool.read(digest) == content
    assert bucket.uploads == []
