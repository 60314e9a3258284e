"""Restores that meet each other, or are told to stop."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.core.cli.conftest import Command, Done
from tests.core.restoring import holding
from tests.double import Fault, HarborDouble
from tests.double.content import Content

ROOT = Path(__file__).parents[3]


@pytest.fixture
def restore(command: Command, kept: Path, other_harbor: HarborDouble) -> Callable[..., Done]:
    """Restore into an empty Harbor."""
    return lambda *arguments: command("restore", kept, other_harbor.url, *arguments)


def start(*arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "airflow_provider_harbor.core.cli", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )


def wait_for(fault: Fault) -> None:
    """Wait until a process has come so far that a request of it is held back."""
    deadline = time.monotonic() + 120
    while not fault.hits:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_second_restore_at_once_says_which_is_on_and_changes_nothing(
    harbor: HarborDouble,
    other_harbor: HarborDouble,
    kept: Path,
    team: dict[str, Content],
    restore: Callable[..., Done],
) -> None:
    goes_on = threading.Event()
    held = other_harbor.faults.add(
        Fault(method="PUT", path="/manifests/", times=None, until=goes_on)
    )
    first = start("restore", kept, other_harbor.url, "--project", "team")
    try:
        wait_for(held)
        done = restore("--project", "shop")
        assert done.code == 4
        assert re.search(r"the run \S+Z\.restore on \S+, begun .* ago, writes to", done.error)
        assert "shop" not in other_harbor.state.project_names
        # What only looks may go on.
        assert restore("--project", "shop", "--dry-run").code == 0
    finally:
        goes_on.set()
        out, err = first.communicate(timeout=120)
    assert first.returncode == 0, err
    assert out.startswith("Everything is restored: 1 of 1 project, ")
    assert restore().code == 0
    assert holding(other_harbor) == holding(harbor)


def test_a_restore_that_is_stopped_says_so_and_goes_on_the_next_time(
    harbor: HarborDouble,
    other_harbor: HarborDouble,
    kept: Path,
    team: dict[str, Content],
    restore: Callable[..., Done],
) -> None:
    silent = other_harbor.faults.add(
        Fault(method="PUT", path="/blobs/", times=None, delay_seconds=600)
    )
    process = start("restore", kept, other_harbor.url, "--json", "--workers", "2")
    wait_for(silent)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=120)
    other_harbor.faults.clear()
    assert process.returncode == 130
    assert "Traceback" not in err
    document = json.loads(out)
    assert (document["interrupted"], document["complete"]) == (True, False)
    assert restore().code == 0
    assert holding(other_harbor) == holding(harbor)
