"""Stores that cannot be used, or that fail in the middle of a night: told once, nothing lost."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from airflow_provider_harbor.core.cli import main as cli
from tests.core.cli.conftest import remount
from tests.hostile_server import Asked, HostileServer, Said
from tests.s3_server import S3Server

ROOT = Path(__file__).parents[3]
MIB = 1024 * 1024


@pytest.fixture
def refused(
    attempt: Callable[[object], tuple[int, list[str]]],
) -> Callable[[object], tuple[int, str]]:
    """The same, of a store that is refused before anything begins: in one line."""

    def run(store: object) -> tuple[int, str]:
        code, lines = attempt(store)
        assert len(lines) == 1, lines
        return code, lines[0]

    return run


# -- refused before anything begins


def test_the_store_of_another_harbor(filled, refused, tmp_path) -> None:
    cli.main(["backup", filled.url, str(tmp_path), "--quiet"])
    document = json.loads((tmp_path / "store.json").read_text())
    other = "https://other.example.com"
    (tmp_path / "store.json").write_text(json.dumps({**document, "harbor_url": other}))
    code, message = refused(tmp_path)
    assert code == 2
    assert f"is that of {other}, not of {filled.url}. Use another one" in message


def test_a_store_of_a_newer_format(refused, tmp_path) -> None:
    (tmp_path / "store.json").write_text('{"format_version": 2, "harbor_url": "http://x"}')
    code, message = refused(tmp_path)
    assert code == 2
    assert "store.json has format version 2; this program knows 1. Use the newer" in message


@pytest.mark.parametrize(
    "content",
    [
        pytest.param("", id="empty"),
        pytest.param("<html>", id="no JSON"),
        pytest.param('{"format_version": 1, "harbor_url"', id="cut"),
        pytest.param("[]", id="a list"),
        pytest.param('{"format_version": 1}', id="no URL"),
        pytest.param('{"format_version": 1, "harbor_url": 5}', id="a number"),
        pytest.param('{"format_version": 1, "harbor_url": "a b"}', id="no such URL"),
        pytest.param('{"format_version": "x", "harbor_url": "http://x"}', id="no version"),
        pytest.param("\0" * 50, id="zeros"),
    ],
)
def test_a_store_whose_first_file_is_damaged(refused, tmp_path, content) -> None:
    (tmp_path / "store.json").write_text(content)
    code, message = refused(tmp_path)
    assert code == 2
    assert "store.json is damaged" in message
    assert (tmp_path / "store.json").read_text() == content


def test_a_file_in_the_place_of_the_store(refused, tmp_path) -> None:
    (tmp_path / "file").write_text("mine")
    code, message = refused(tmp_path / "file")
    assert code == 2
    assert f"{tmp_path / 'file'}" in message
    assert "it is a file, not a directory. Give another path" in message
    code, message = refused(tmp_path / "file" / "below")
    assert code == 2
    assert "it is a file, not a directory" in message
    assert (tmp_path / "file").read_text() == "mine"


def test_a_disk_that_is_read_only(refused, small_disk, filled) -> None:
    cli.main(["backup", filled.url, str(small_disk), "--quiet"])
    remount(small_disk, "ro")
    code, message = refused(small_disk)
    assert code == 2
    assert "the file system is read-only. Mount it for writing" in message
    assert "check.json" in message
    code, message = refused(small_disk / "new")
    assert code == 2
    assert "the file system is read-only" in message


def test_a_directory_of_somebody_else(filled, tmp_path) -> None:
    if os.geteuid() != 0 or not shutil.which("setpriv"):
        pytest.skip("needs to be root, and the program setpriv (Debian package util-linux)")
    store = tmp_path / "store"
    store.mkdir(mode=0o500)
    done = subprocess.run(
        ["setpriv", "--bounding-set=-all", sys.executable, "-m", "airflow_provider_harbor.core.cli",
         "backup", filled.url, store, "--quiet"],
        capture_output=True, text=True, check=False, cwd=ROOT,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "this user may not do it. Change the directory's owner or mode" in done.stderr
    assert str(store) in done.stderr


# -- object storages


@pytest.mark.parametrize("name", ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"])
def test_a_wrong_key(s3_environment, refused, monkeypatch, name) -> None:
    monkeypatch.setenv(name, "wrong-key")
    bucket = s3_environment.new_bucket()
    code, message = refused(f"s3://{bucket}/nights")
    assert code == 2
    assert f"s3://{bucket}/nights" in message
    assert "Check the keys" in message
    assert "wrong-key" not in message


def test_no_key_at_all(s3_environment, refused, monkeypatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    # The address at which a machine of Amazon's learns its keys; nobody is there.
    monkeypatch.setenv("AWS_METADATA_ENDPOINT", "http://127.0.0.1:1")
    code, message = refused(f"s3://{s3_environment.new_bucket()}/nights")
    assert code in (2, 3)
    assert "AWS_ACCESS_KEY_ID" in message


def test_a_missing_bucket(s3_environment, refused) -> None:
    code, message = refused("s3://no-such-bucket/nights")
    assert code == 2
    assert "s3://no-such-bucket" in message
    assert "there is no such bucket. Create it, or correct the name" in message


def test_a_storage_that_nobody_answers_at(s3_environment, refused, monkeypatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    code, message = refused("s3://bucket/nights")
    assert code == 3
    assert "the storage does not answer as it should" in message


@pytest.fixture
def answering(s3_environment: S3Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable]:
    """A storage that answers to everything, or to all requests of a method, with an error."""
    answers: dict[str, tuple[int, str]] = {}

    def say(asked: Asked) -> Said:
        status, code = answers.get(asked.method, answers["*"])
        body = f"<Error><Code>{code}</Code><Message>as it says</Message></Error>".encode()
        return status, {"Content-Type": "application/xml"}, b"" if asked.method == "HEAD" else body

    with HostileServer(say) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        yield answers.update


@pytest.mark.parametrize(
    ("answers", "exit_code", "message"),
    [
        ({"*": (403, "RequestTimeTooSkewed")}, 2, "this machine's clock differs"),
        ({"*": (404, "NoSuchKey"), "PUT": (403, "AccessDenied")}, 2, "that they may read, list"),
        ({"*": (403, "ExpiredToken")}, 2, "Check the keys"),
        ({"*": (503, "SlowDown")}, 3, "does not answer as it should"),
        ({"*": (500, "InternalError")}, 3, "does not answer as it should"),
        ({"*": (404, "NoSuchKey"), "PUT": (507, "XMinioStorageFull")}, 2, "the storage is full"),
        ({"*": (404, "NoSuchKey"), "PUT": (403, "QuotaExceeded")}, 2, "the storage is full"),
    ],
    ids=lambda value: value["*"][1] + value.get("PUT", ("", ""))[1] if type(value) is dict else "",
)
def test_a_storage_that_answers_with_an_error(
    answering, refused, answers, exit_code, message
) -> None:
    answering(answers)
    code, line = refused("s3://bucket/nights")
    assert code == exit_code, line
    assert message in line
    assert "s3://bucket/nights" in line
    assert "<" not in line
