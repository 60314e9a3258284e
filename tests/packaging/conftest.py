from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from tests.documentation import ROOT

# What no clone has: made by tools, and named in .gitignore (dist and build by their builders).
_MADE = (
    ".git", ".venv*", ".demo", ".bench", "build", "dist", "*.egg-info",
    "__pycache__", "*.pyc", ".mypy_cache", ".pytest_cache", ".ruff_cache", ".hypothesis",
)  # fmt: skip


@pytest.fixture(scope="session")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of this tree as a clone has it."""
    directory = tmp_path_factory.mktemp("clone") / "airflow-provider-harbor"
    shutil.copytree(ROOT, directory, ignore=shutil.ignore_patterns(*_MADE))
    return directory


@pytest.fixture(scope="session")
def sdist(clone: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sdist, unpacked."""
    directory = tmp_path_factory.mktemp("sdist")
    name = build("sdist", clone, directory)
    with tarfile.open(directory / name) as archive:
        archive.extractall(directory, filter="data")
    return directory / name.removesuffix(".tar.gz")


def build(kind: str, source: Path, directory: Path) -> str:
    """Build a package as pip has setuptools do it, off the network; return its file's name."""
    code = f"from setuptools import build_meta as b; print(b.build_{kind}({str(directory)!r}))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=source, check=True, capture_output=True, text=True
    )
    return done.stdout.split()[-1]
