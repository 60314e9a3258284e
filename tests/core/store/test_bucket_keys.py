"""Which buckets large blobs are sent into so that they can be gone on with: by which keys."""

from __future__ import annotations

import sys
import threading
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from airflow_provider_harbor.core.exceptions import (
    HarborConfigurationError,
    HarborConnectionError,
)
from airflow_provider_harbor.core.store.backup_store import BackupStore
from tests.core.store.bucket_rig import (
    DIGEST,
    MIB,
    PART,
    SIZE,
    Bucket,
    Source,
    leave,
    put,
)
from tests.s3_server import S3Server

boto3 = pytest.importorskip("boto3", reason="needs the package boto3")
Credentials = pytest.importorskip("botocore.credentials").Credentials


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
    store = bucket.reach(credential_provider=Provider(s3, secret), endpoint=s3.url)
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


@pytest.mark.parametrize(
    "prefix", ["my%20backups", "a%2Fb", "%C3%BC", "100%", "trail ", "a/.b/..c", "a+b/c d", "ü"]
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
    assert put(bucket, bucket.reach()) == [0]


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
    store = bucket.reach(credential_provider=provider, endpoint=s3.url)
    store.pool.put(source.reader(), DIGEST)
    assert source.opened == [0, 0]
    assert bucket.is_whole()
    # It could not be ended, so that it is known still.
    assert bucket.uploads == [bucket.note["upload"]]
