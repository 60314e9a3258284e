"""An S3 server for tests: the program `versitygw` (a Go module), on a port of loopback."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.ports import find_free_port

_MODULE = "github.com/versity/versitygw/cmd/versitygw"
_PLACES = (os.environ.get("GOBIN"), Path.home() / "go" / "bin")


def find_versitygw() -> str | None:
    """Return the path of the program; None where it is not installed."""
    for directory in (None, *_PLACES):
        path = shutil.which("versitygw", path=str(directory) if directory else None)
        if path:
            return path
    return None


def require_versitygw() -> str:
    """Return the path of the program; without it skip the test, or fail where all is required."""
    if path := find_versitygw():
        return path
    reason = f"needs the program versitygw (go install {_MODULE}@latest)"
    if os.environ.get("HARBOR_TESTS_REQUIRE_ALL"):
        pytest.fail(reason)
    pytest.skip(reason)


class S3Server:
    """A running server; its buckets are directories below `directory`.

    Args:
        more: Other options of the program.
    """

    user = "backup"
    password = "s3-secret-of-the-tests"

    def __init__(self, program: str, address: str, directory: Path, *more: str) -> None:
        self._more = more
        self.url = f"http://{address}"
        self.directory = directory / "data"
        self._users = directory / "users"
        for path in (self.directory, self._users):
            path.mkdir()
        self._program = program
        self._address = address
        self._numbers = itertools.count(1)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, or start it again, with all it held."""
        self._process = subprocess.Popen(
            [
                *(self._program, "--port", self._address, "--region", "us-east-1", "--quiet"),
                *("--access", self.user, "--secret", self.password),
                *("--iam-dir", str(self._users)),
                *self._more,
                *("posix", str(self.directory)),
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=self.directory.parent,
        )
        _wait_for(self._address, self._process)

    def stop(self) -> None:
        """Stop it at once, as a machine that goes down."""
        if self._process:
            self._process.kill()
            self._process.wait(timeout=120)
            self._process = None

    def new_bucket(self) -> str:
        """Make an empty bucket, and return its name."""
        name = f"bucket-{next(self._numbers)}"
        (self.directory / name).mkdir()
        return name

    def client(self) -> Any:
        """Return a client of boto3, for what a store never asks of it."""
        boto3 = pytest.importorskip("boto3", reason="needs the package boto3")
        return boto3.client(
            "s3",
            endpoint_url=self.url,
            region_name="us-east-1",
            aws_access_key_id=self.user,
            aws_secret_access_key=self.password,
        )

    def add_writer(self, bucket: str) -> dict[str, Any]:
        """Make a login that may list, read and write a bucket, and not delete; returns its options.

        By the policy of the README.
        """
        login = {"access_key_id": f"writer-of-{bucket}", "secret_access_key": "writer-secret"}
        subprocess.run(
            [
                *(require_versitygw(), "admin", "--endpoint-url", self.url),
                *("--access", self.user, "--secret", self.password),
                *("create-user", "--role", "user"),
                *("--access", login["access_key_id"], "--secret", login["secret_access_key"]),
            ],
            check=True,
            capture_output=True,
        )
        objects = ["s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload"]
        rights = [(["s3:ListBucket"], bucket), (objects, f"{bucket}/*")]
        statements = [
            {
                "Effect": "Allow",
                "Principal": {"AWS": [login["access_key_id"]]},
                "Action": actions,
                "Resource": f"arn:aws:s3:::{resource}",
            }
            for actions, resource in rights
        ]
        policy = {"Version": "2012-10-17", "Statement": statements}
        self.client().put_bucket_policy(Bucket=bucket, Policy=json.dumps(policy))
        return self.options | login

    @property
    def environment(self) -> Mapping[str, str]:
        """What a process needs to reach it."""
        return {
            "AWS_ACCESS_KEY_ID": self.user,
            "AWS_SECRET_ACCESS_KEY": self.password,
            "AWS_ENDPOINT_URL": self.url,
            "AWS_REGION": "us-east-1",
        }

    @property
    def options(self) -> dict[str, Any]:
        """The same, for a store that is opened in this process."""
        return {
            "access_key_id": self.user,
            "secret_access_key": self.password,
            "endpoint": self.url,
            "region": "us-east-1",
        }


@contextmanager
def running_s3_server(directory: Path, *more: str) -> Iterator[S3Server]:
    """Start a server, and stop it at the end of the block."""
    program = require_versitygw()
    address = f"127.0.0.1:{find_free_port()}"
    server = S3Server(program, address, directory, *more)
    try:
        server.start()
        yield server
    finally:
        server.stop()


def _wait_for(address: str, process: subprocess.Popen[bytes]) -> None:
    host, _, port = address.rpartition(":")
    deadline = time.monotonic() + 120
    while True:
        try:
            socket.create_connection((host, int(port)), timeout=1).close()
            return
        except OSError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("versitygw did not start") from None
            time.sleep(0.02)
