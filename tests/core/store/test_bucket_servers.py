"""Large blobs on their way into a bucket whose server answers otherwise than it should."""

from __future__ import annotations

import re

import pytest

from airflow_provider_harbor.core.exceptions import (
    HarborConnectionError,
    StoreError,
    StoreReason,
)
from airflow_provider_harbor.core.jobs.prune import prune
from tests.core.store.bucket_rig import (
    BLOB,
    DIGEST,
    PART,
    SIZE,
    Between,
    Bucket,
    Source,
    leave,
    put,
)
from tests.hostile_server import Said

COMPLETE = r"POST /\S+\?uploadId="

pytest.importorskip("botocore", reason="needs the package botocore")


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
