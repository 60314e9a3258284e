"""Fixtures of the tests of stores."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.core.store.bucket_rig import Between, Bucket
from tests.s3_server import S3Server


@pytest.fixture
def bucket(s3: S3Server) -> Bucket:
    return Bucket(s3)


@pytest.fixture
def between(s3: S3Server) -> Iterator[Between]:
    with Between(s3) as server:
        yield server
