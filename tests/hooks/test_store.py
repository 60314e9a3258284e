from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_harbor.core.exceptions import HarborConfigurationError, StoreError
from airflow_provider_harbor.hooks.store import open_store

if TYPE_CHECKING:
    from tests.s3_server import S3Server

HARBOR = "https://harbor.example.com"


def connect_aws(monkeypatch: pytest.MonkeyPatch, server: S3Server, **more: Any) -> None:
    fields: dict[str, Any] = {
        "conn_type": "aws",
        "login": server.user,
        "password": server.password,
        "extra": {"endpoint_url": server.url, "region_name": "us-east-1"},
    }
    monkeypatch.setenv("AIRFLOW_CONN_BACKUPS", json.dumps(fields | more))


def test_a_directory(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    store.begin_for(HARBOR)
    assert (tmp_path / "store.json").is_file()


def test_the_store_of_the_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__HARBOR__STORE", str(tmp_path / "set"))
    assert open_store().url == open_store(str(tmp_path / "set")).url


def test_a_connection_of_type_aws_has_credentials_region_and_endpoint(
    s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect_aws(monkeypatch, s3)
    bucket = s3.new_bucket()
    store = open_store(f"s3://backups@{bucket}/a/prefix")
    store.begin_for(HARBOR)
    store.check()

    assert (s3.directory / bucket / "a/prefix/store.json").is_file()
    assert store.url == f"s3://{bucket}/a/prefix"
    assert s3.password not in repr(store)


def test_without_a_connection_the_environment_has_them(
    s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)
    bucket = s3.new_bucket()
    open_store(f"s3://{bucket}").begin_for(HARBOR)
    assert (s3.directory / bucket / "store.json").is_file()


def test_a_key_that_is_refused(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    connect_aws(monkeypatch, s3, password="another-secret")
    with pytest.raises(StoreError) as caught:
        open_store(f"s3://backups@{s3.new_bucket()}").begin_for(HARBOR)
    assert "another-secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("s3://nobody@bucket/prefix", "there is no connection 'nobody'"),
        ("s3://harbor@bucket", "of type 'harbor', not aws"),
        ("s3://AKIA:secret@bucket", "leave the credentials out"),
        ("s3://AKIA:sec/secret@bucket", "leave the credentials out"),
        ("gs://backups@bucket", "by the environment"),
        ("ftp://bucket", "ftp"),
    ],
)
def test_addresses_that_are_none(url: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_HARBOR", json.dumps({"conn_type": "harbor", "host": HARBOR}))
    with pytest.raises(HarborConfigurationError, match=said) as caught:
        open_store(url)
    assert "secret" not in str(caught.value)
