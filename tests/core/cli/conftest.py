"""Fixtures of the tests of the command line with stores that cannot be used, or that fail."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from airflow_provider_harbor.core.cli import main as cli
from airflow_provider_harbor.core.store import files as files_module
from tests.core.rig import fill_small
from tests.double import HarborDouble
from tests.s3_server import S3Server


@pytest.fixture
def filled(harbor: HarborDouble, monkeypatch: pytest.MonkeyPatch) -> HarborDouble:
    """A Harbor with two small projects, and its login in the environment."""
    fill_small(harbor)
    monkeypatch.setenv("HARBOR_BACKUP_SOURCE_USER", harbor.user)
    monkeypatch.setenv("HARBOR_BACKUP_SOURCE_PASSWORD", harbor.password)
    monkeypatch.setitem(files_module._RETRIES, "max_retries", 0)
    return harbor


def assert_fit_to_be_shown(shown: str, harbor: HarborDouble) -> None:
    """No error is told as a defect of the program, and none with a credential."""
    for words in ("Traceback", "unexpected", "please report"):
        assert words not in shown
    for secret in (harbor.password, S3Server.password, "Signature=", "X-Amz"):
        assert secret not in shown


@pytest.fixture
def attempt(
    filled: HarborDouble, capsys: pytest.CaptureFixture[str]
) -> Callable[[object], tuple[int, list[str]]]:
    """Run a backup that fails; returns its exit code, and all lines that it showed."""

    def run(store: object) -> tuple[int, list[str]]:
        capsys.readouterr()
        code = cli.main(["backup", filled.url, str(store), "--quiet"])
        shown = "".join(capsys.readouterr())
        assert code != 0
        assert_fit_to_be_shown(shown, filled)
        return code, shown.splitlines()

    return run


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MiB, which can be made larger, and read-only; needs to be root."""
    if os.geteuid() != 0:
        pytest.skip("needs to be root, to mount")
    path = tmp_path / "disk"
    path.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "harbor-tests", str(path)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount")
    try:
        yield path
    finally:
        subprocess.run(["umount", "--lazy", str(path)], check=True)


def remount(path: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", str(path)], check=True)


@pytest.fixture
def s3_environment(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> S3Server:
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)
    return s3
