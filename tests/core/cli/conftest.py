"""Fixtures of the command line's tests: the command in this process, and a night to get back."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_harbor.core.cli import main as cli
from tests.core.restoring import fill_team
from tests.double import HarborDouble
from tests.double.content import Content


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
    monkeypatch.setattr(f"{http}.transport._wait_seconds", lambda *_: 0.0)
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
