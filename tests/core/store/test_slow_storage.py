"""An object storage over a slow line: what moves may take its time, what does not move ends."""

from __future__ import annotations

import os
import threading
import time
from datetime import timedelta

import pytest

from airflow_provider_harbor.core.exceptions import StoreUnreachableError
from airflow_provider_harbor.core.store import files as files_module
from airflow_provider_harbor.core.store.files import Files
from tests.cut_line import CutLine
from tests.s3_server import S3Server

MIB = 1024 * 1024
WATCH_SECONDS = 1.0


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Watch for a moment in place of minutes, and try once."""
    monkeypatch.setitem(
        files_module._CLIENT_OPTIONS, "read_timeout", timedelta(seconds=WATCH_SECONDS)
    )
    monkeypatch.setitem(files_module._RETRIES, "max_retries", 0)


class SlowLine(CutLine):
    """A line that takes a moment for each block that comes, and stops after some bytes."""

    stops_after = 1 << 60

    def _take(self, way: str, number: int) -> int:
        if way == "down":
            time.sleep(0.02)
            while self.down > self.stops_after and not self.is_over.is_set():
                time.sleep(0.02)
        return super()._take(way, number)

    is_over = threading.Event()


def lay(s3: S3Server, bucket: str, content: bytes) -> None:
    """Have a file there, without a time-out."""
    path = s3.directory / bucket / "a" / "file"
    path.parent.mkdir()
    path.write_bytes(content)


def files_over(line: CutLine, s3: S3Server, bucket: str) -> Files:
    return Files(f"s3://{bucket}", **{**s3.options, "endpoint": line.url})


def test_a_file_that_comes_slowly_and_steadily_is_read_to_its_end(s3: S3Server) -> None:
    bucket, content = s3.new_bucket(), os.urandom(4 * MIB)
    lay(s3, bucket, content)
    with SlowLine(s3.url) as line:
        began = time.monotonic()
        size, blocks = files_over(line, s3, bucket).open("a/file")
        assert (size, b"".join(blocks)) == (len(content), content)
        assert time.monotonic() - began > WATCH_SECONDS


def test_a_file_that_stops_coming_ends(s3: S3Server) -> None:
    bucket = s3.new_bucket()
    lay(s3, bucket, os.urandom(2 * MIB))
    with SlowLine(s3.url) as line:
        line.stops_after = MIB
        line.is_over = threading.Event()
        _, blocks = files_over(line, s3, bucket).open("a/file")
        with pytest.raises(StoreUnreachableError):
            list(blocks)
        line.is_over.set()


def test_a_file_that_nobody_reads_for_a_while_is_there_still(s3: S3Server) -> None:
    """Its destination is slow: that is no reason to end it."""
    bucket, content = s3.new_bucket(), os.urandom(2 * MIB)
    lay(s3, bucket, content)
    with CutLine(s3.url) as line:
        _, blocks = files_over(line, s3, bucket).open("a/file")
        first = next(blocks)
        time.sleep(2 * WATCH_SECONDS)
        assert first + b"".join(blocks) == content
