"""A prune or a backup that is killed anywhere, beside the other, costs no snapshot anything."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Path]:
    """A directory in memory, where there is one: each result is synced, which costs a disk time."""
    memory = Path("/dev/shm")
    where = tempfile.mkdtemp(dir=memory if os.access(memory, os.W_OK) else tmp_path)
    yield Path(where)
    shutil.rmtree(where)


@pytest.mark.parametrize("victim", ["prune", "backup"])
def test_killed_anywhere(victim: str, directory: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.core.jobs.kills", str(directory), victim],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    *wrong, killed = done.stdout.splitlines()
    assert not wrong, done.stderr
    assert int(killed) >= 10
