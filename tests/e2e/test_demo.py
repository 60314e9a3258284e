"""The demo as a program: it comes to its end, and leaves nothing behind however it ends."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests

from tests.airflow_server import ROOT, AirflowApi

pytestmark = pytest.mark.e2e


class RunningDemo:
    """The demo in a process of its own."""

    def __init__(self, directory: Path, *options: str) -> None:
        self.kept = directory / "kept"
        self.temporary = directory / "tmp"
        self.temporary.mkdir()
        self._output = directory / "output"
        self._processes: set[psutil.Process] = set()
        self._sessions: set[int] = set()
        self._ports: set[int] = set()
        with self._output.open("wb") as stream:
            self._popen = subprocess.Popen(
                [sys.executable, "-m", "tests.demo", "--directory", str(self.kept), *options],
                cwd=ROOT,
                env={**os.environ, "TMPDIR": str(self.temporary), "PYTHONIOENCODING": "utf-8"},
                stdout=stream,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def output(self) -> str:
        return self._output.read_text(encoding="utf-8")

    def address(self, name: str) -> str:
        """Return the address that was printed beside a name."""
        found = re.search(rf"^  {name} +(http://127\.0\.0\.1:\d+)", self.output, re.MULTILINE)
        assert found, self.output
        return found[1]

    def wait_for(self, condition: Callable[[], Any], seconds: float = 300) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert self._popen.poll() is None, f"it has ended:\n{self.output}"
            assert time.monotonic() < deadline, f"waited too long:\n{self.output}"
            time.sleep(0.1)

    def wait_for_text(self, text: str) -> None:
        self.wait_for(lambda: text in self.output)

    def look(self) -> list[str]:
        """Note all processes and ports that there are now, and return the command lines."""
        demo = psutil.Process(self._popen.pid)
        commands = []
        for process in [demo, *demo.children(recursive=True)]:
            with contextlib.suppress(psutil.Error, ProcessLookupError):
                self._sessions.add(os.getsid(process.pid))
                self._processes.add(process)
                connections = process.net_connections("tcp")
                self._ports |= {c.laddr.port for c in connections if c.status == "LISTEN"}
                commands.append(" ".join(process.cmdline()))
        return commands

    def end(self, number: signal.Signals | None = None) -> int:
        """Send a signal, if one is given, and return the exit code."""
        if number is not None:
            self._popen.send_signal(number)
        return self._popen.wait(timeout=180)

    def assert_nothing_is_left(self) -> None:
        assert self._processes
        assert self._ports
        assert not [p for p in self._processes if p.is_running() and p.status() != "zombie"]
        assert not [p for p in psutil.pids() if _session_of(p) in self._sessions]
        for port in self._ports:
            with socket.socket() as client:
                assert client.connect_ex(("127.0.0.1", port)) != 0, f"{port} answers"
        assert list(self.temporary.iterdir()) == []

    def kill(self) -> None:
        """Leave nothing of a demo whose test has failed."""
        if self._popen.poll() is None:
            self.look()
            self._popen.kill()
            self._popen.wait()
        for pid in psutil.pids():
            if _session_of(pid) in self._sessions:
                os.kill(pid, signal.SIGKILL)


def _session_of(pid: int) -> int:
    with contextlib.suppress(ProcessLookupError, PermissionError, psutil.Error):
        return 0 if psutil.Process(pid).status() == "zombie" else os.getsid(pid)
    return 0


@pytest.fixture
def start_demo(tmp_path: Path) -> Iterator[Callable[..., RunningDemo]]:
    started: list[RunningDemo] = []

    def start(*options: str) -> RunningDemo:
        started.append(RunningDemo(tmp_path, *options))
        return started[0]

    yield start
    for demo in started:
        demo.kill()


def test_it_shows_a_backup_and_stays_until_ctrl_c(
    start_demo: Callable[..., RunningDemo],
) -> None:
    demo = start_demo("--stay")
    demo.wait_for_text("Still running, until Ctrl-C")

    assert "Everything is protected: all 9 projects" in demo.output
    assert re.search(r"^  shop/checkout: [0-9]+ manifests gone$", demo.output, re.MULTILINE)
    assert "Everything is restored: 2 projects" in demo.output
    assert re.search(r"^  All [\d,]+ manifests and [\d,]+ tags are as they were", demo.output, re.M)
    (night,) = demo.kept.glob("store/snapshots/*.harbor_backup.demo_*/snapshot.json")
    assert len(json.loads(night.read_text())["projects"]) == 9
    assert len(list(demo.kept.glob("store/reports/*.html"))) == 3
    api = AirflowApi(demo.address("Airflow"))
    dags = api.call("GET", "/dags")["dags"]
    assert {dag["dag_id"] for dag in dags} == {"harbor_backup", "harbor_restore", "harbor_verify"}
    for dag in dags:
        assert re.search(rf"^  \S* +{dag['dag_id']} ", demo.output, re.MULTILINE)
        assert dag["next_dagrun_run_after"] is None
    connections = api.call("GET", "/connections")["connections"]
    assert [c["connection_id"] for c in connections] == ["harbor_default"]
    for connection in connections:
        assert api.call("POST", "/connections/test", json=as_the_ui_tests(connection))["status"]

    assert_its_failed_project_can_be_mended(demo, api)

    # In the middle of another run, in which all that lists a project hangs.
    hang = {"path": "/api/v2.0/projects/[a-z]+/artifacts", "delay_seconds": 60, "times": None}
    requests.post(f"{demo.address('Harbor')}/_double/faults", json=hang, timeout=120)
    run_id = api.trigger("harbor_backup")

    def tasks_are_running() -> bool:
        instances = api.get_task_instances("harbor_backup", run_id)
        return any(
            i["task_id"] == "backup.inventory" and i["state"] == "running" for i in instances
        )

    demo.wait_for(tasks_are_running)
    assert len(demo.look()) >= 5
    assert demo.end(signal.SIGINT) == 0
    demo.assert_nothing_is_left()
    assert "Everything is ended." in demo.output


def assert_its_failed_project_can_be_mended(demo: RunningDemo, api: AirflowApi) -> None:
    """Do what the page that it names does on Clear and Confirm."""
    shown = r"/dags/(\w+)/runs/(\w+)/tasks/([\w.]+)/mapped/(\d+)$"
    (found,) = re.findall(shown, demo.output, re.MULTILINE)
    dag_id, run_id, task_id, index = *found[:3], int(found[3])
    assert api.get_run(dag_id, run_id)["state"] == "failed"
    failed = {
        (instance["task_id"], instance["map_index"])
        for instance in api.get_task_instances(dag_id, run_id)
        if instance["state"] == "failed"
    }
    assert failed == {(task_id, index), ("backup.copy", index), ("snapshot", -1)}
    body = {
        "dag_run_id": run_id,
        "task_ids": [[task_id, index]],
        "include_downstream": True,
        "dry_run": False,
    }
    api.call("POST", f"/dags/{dag_id}/clearTaskInstances", json=body)
    assert api.wait_for_run(dag_id, run_id)["state"] == "success"


def test_it_leaves_nothing_when_it_is_ended_early(
    start_demo: Callable[..., RunningDemo],
) -> None:
    demo = start_demo()
    demo.wait_for_text("Airflow is starting")
    demo.wait_for(lambda: any("dag-processor" in command for command in demo.look()))

    assert demo.end(signal.SIGTERM) == 128 + signal.SIGTERM
    demo.assert_nothing_is_left()
    assert "Ended by SIGTERM" in demo.output
    assert "Traceback" not in demo.output


def test_it_shows_the_log_of_what_failed(start_demo: Callable[..., RunningDemo]) -> None:
    demo = start_demo()
    demo.wait_for_text("Airflow is starting")
    broken = {"path": "/api/v2.0/systeminfo", "status": 200, "body": "{}", "times": None}
    broken["content_type"] = "application/json"
    requests.post(f"{demo.address('Harbor')}/_double/faults", json=broken, timeout=120)
    demo.wait_for_text("\nharbor_backup\n")
    demo.look()

    assert demo.end() == 1
    demo.assert_nothing_is_left()
    assert "The log of check ends with:" in demo.output
    assert "HarborTaskFailed" in demo.output
    assert list(demo.kept.glob("logs/dag_id=harbor_backup/**/*.log"))


def as_the_ui_tests(connection: dict[str, Any]) -> dict[str, Any]:
    """Return what the button "Test connection" of a row sends."""
    names = ("connection_id", "conn_type", "description", "host", "login", "password", "schema")
    body = {name: connection[name] for name in names}
    return {**body, "port": connection["port"], "extra": connection["extra"] or "{}"}
