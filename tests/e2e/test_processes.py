"""What an Airflow is ended with: no process of a session outlives it."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import psutil

from tests.airflow_server import Process

# As Airflow's tasks do: lead a process group of its own, and outlive what started it.
ORPHAN = "import os, time; os.setpgid(0, 0); print(os.getpid(), flush=True); time.sleep(600)"
STARTER = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {ORPHAN!r}])"


def test_an_orphan_in_a_group_of_its_own_is_killed(tmp_path: Path) -> None:
    command = [sys.executable, "-c", STARTER]
    process = Process("starter", command, log=tmp_path / "log", environment=os.environ)
    deadline = time.monotonic() + 120
    while process.exit_code is None or not process.last_words():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    orphan = psutil.Process(int(process.last_words()))
    assert orphan.is_running()

    process.kill()

    assert not orphan.is_running() or orphan.status() == "zombie"
