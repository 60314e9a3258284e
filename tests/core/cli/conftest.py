"""Fixtures of the command line's tests: the command, a night to get back, stores that fail."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_harbor.core.cli import main as cli
from airflow_provider_harbor.core.store import files as files_module
from tests.core.restoring import fill_team
from tests.core.rig import fill_small
from tests.double import HarborDouble
from tests.double.content import Content
from tests.s3_server import S3Server


@dataclass(frozen=True, kw_only=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> dict[str, Any]:
        data: dict[str, Any] = json.loads(self.out)
        return data

    @property
    def error(self) -> str:
        """The one line of a command that could not begin."""
        (line,) = [line for line in self.err.splitlines() if line.startswith("harbor-backup: ")]
        return line.removeprefix("harbor-backup: ")

    @property
    def failures(self) -> list[str]:
        return list(self.document["failures"])


Command = Callable[..., Done]


@pytest.fixture
def command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], harbor: HarborDouble
) -> Command:
    """Run the command; nothing that it shows has a password or a traceback in it."""
    for end in ("SOURCE", "DESTINATION"):
        monkeypatch.setenv(f"HARBOR_BACKUP_{end}_USER", harbor.user)
        monkeypatch.setenv(f"HARBOR_BACKUP_{end}_PASSWORD", harbor.password)
    http = "airflow_provider_harbor.core.http"
    monkeypatch.setattr(f"{http}.tries._wait_seconds", lambda *_: 0.0)
    monkeypatch.setattr(f"{http}.attempts._FIRST_WAIT_SECONDS", 0.0)

    def run(*arguments: object) -> Done:
        capsys.readouterr()
        code = cli.main([str(each) for each in arguments])
        out, err = capsys.readouterr()
        for text in (out, err):
            assert "Traceback" not in text
            assert harbor.password not in text
            assert "defect of this program" not in text
        return Done(code=code, out=out, err=err)

    return run


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """Where the store is."""
    return tmp_path / "store"


@pytest.fixture
def team(harbor: HarborDouble, command: Command, kept: Path) -> dict[str, Content]:
    """A Harbor with one of everything, and a night of it in the store."""
    made = fill_team(harbor)
    done = command("backup", harbor.url, kept)
    assert done.code == 0, done.err
    return made


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
    command = ["mount", "-o", f"remount,{options}", str(path)]
    for _ in range(1_000):  # it is busy while a file is open for writing
        if subprocess.run(command, stderr=subprocess.DEVNULL, check=False).returncode == 0:
            return
    raise AssertionError(command)


@pytest.fixture
def s3_environment(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> S3Server:
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)
    return s3
