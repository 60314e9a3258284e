"""Plain registries for tests, on a port of loopback.

The program `docker-registry` of Debian is distribution 2.8; `registry`, a Go module, is 3.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path
from types import TracebackType

import pytest
import requests

from tests.ports import find_free_port

_CONFIG = """\
version: 0.1
log: {{level: error, accesslog: {{disabled: true}}}}
storage: {{filesystem: {{rootdirectory: {root}}}, delete: {{enabled: true}}}}
http: {{addr: "127.0.0.1:{port}"{more}}}
"""
_METRICS = ', debug: {{addr: "127.0.0.1:{port}", prometheus: {{enabled: true}}}}'


def require_program(name: str) -> str:
    """Return the path of a program; without it skip the test, or fail it where all is required."""
    path = shutil.which(name)
    if path is None:
        reason = f"needs the program {name} (Debian package {name})"
        if os.environ.get("HARBOR_TESTS_REQUIRE_ALL"):
            pytest.fail(reason)
        pytest.skip(reason)
    return path


class PlainRegistry:
    """An empty `docker-registry`; use it as a context manager.

    Args:
        directory: Where it keeps its content.
        program: Which one; by default Debian's.
        with_metrics: It counts its requests, at `metrics_url`.
    """

    def __init__(self, directory: Path, program: str = "", *, with_metrics: bool = False) -> None:
        self._with_metrics = with_metrics
        self._program = program or require_program("docker-registry")
        self._directory = directory
        self._process: subprocess.Popen[bytes] | None = None
        self.url = self.metrics_url = ""

    def __enter__(self) -> PlainRegistry:
        port, metrics_port = find_free_port(), find_free_port()
        self.url = f"http://127.0.0.1:{port}"
        more = ""
        if self._with_metrics:
            more = _METRICS.format(port=metrics_port)
            self.metrics_url = f"http://127.0.0.1:{metrics_port}/metrics"
        config = self._directory / "config.yml"
        config.write_text(_CONFIG.format(root=self._directory / "data", port=port, more=more))
        self._process = subprocess.Popen(
            [self._program, "serve", str(config)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 120
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise RuntimeError("docker-registry did not start")
            time.sleep(0.02)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def stop(self) -> None:
        if self._process:
            self._process.terminate()
            self._process.wait(timeout=60)
            self._process = None

    def read_blob(self, digest: str) -> bytes | None:
        """Return what its disk has of a blob; None where that is nothing."""
        encoded = digest.partition(":")[2]
        path = self._directory / "data/docker/registry/v2/blobs/sha256" / encoded[:2] / encoded
        return (path / "data").read_bytes() if (path / "data").exists() else None

    def wipe(self) -> None:
        """Lose everything, as a disk does that was changed for a new one."""
        shutil.rmtree(self._directory / "data" / "docker", ignore_errors=True)

    def forget_tag(self, repository: str, tag: str) -> None:
        """Delete a tag behind the registry's back, which version 2.8 cannot do by its API."""
        repositories = self._directory / "data/docker/registry/v2/repositories"
        shutil.rmtree(repositories / repository / "_manifests/tags" / tag)

    def _answers(self) -> bool:
        try:
            return requests.get(f"{self.url}/v2/", timeout=1).ok
        except requests.ConnectionError:
            return False
