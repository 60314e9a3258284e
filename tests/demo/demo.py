"""The demo from its beginning to its end, whatever that is."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Any

from airflow_provider_harbor.core.human import human_duration
from tests.airflow_server import ROOT, AirflowServer

from .interruption import Interrupted, Interruption
from .progress import DAG_ID, RunProgress
from .registries import Registry, empty_registry, sample_harbor
from .results import Results, prove, shown
from .screen import Screen

# The connections that the DAG uses by default.
SOURCE, DESTINATION = "harbor_default", "harbor_destination"
_LOG_LINES = 15
_POLL_SECONDS = 0.7
_LONGEST_RUN_SECONDS = 600


class DemoError(Exception):
    """The demo did not come to its good end; the message is for people."""


class BusyError(DemoError):
    """The demo did not even begin."""


class Demo:
    """Starts all parts, runs the backup, and shows what came of it.

    Args:
        screen: Where to show it.
        interruption: Tells when to end.
        directory: Where results and logs are kept, to be looked at afterwards. It is emptied first.
        stay: Leave everything running until somebody wants it to end.
    """

    def __init__(
        self, screen: Screen, interruption: Interruption, directory: Path, *, stay: bool
    ) -> None:
        self._screen = screen
        self._interruption = interruption
        self._directory = directory
        self._stay = stay
        self._began = time.monotonic()

    def run(self) -> None:
        """Do all of it; whatever happens, nothing that was started is left behind."""
        self._screen.title("The nightly backup of a sample Harbor")
        with ExitStack() as stack:
            stack.enter_context(_emptied(self._directory))
            scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="harbor-demo-")))
            source = stack.enter_context(sample_harbor())
            destination = stack.enter_context(empty_registry(scratch))
            self._screen.fields(
                [
                    ("Harbor", f"{source.url}  {source.what}"),
                    ("destination", f"{destination.url}  {destination.what}"),
                ]
            )
            airflow = self._airflow(source, destination)
            self._screen.line("  Airflow is starting (about 20 seconds) ...")
            stack.enter_context(airflow)
            self._screen.fields([("Airflow", f"{airflow.url}  {self._airflow_words()}")])
            if self._stay:
                self._store_connections(airflow, source, destination)
            self._back_up(airflow, source, destination)
            if self._stay:
                self._wait(airflow, source, destination)

    def _airflow(self, source: Registry, destination: Registry) -> AirflowServer:
        environment = {"AIRFLOW__HARBOR__STORE": str(self._directory / "store")}
        if not self._stay:
            # Connections in the environment are those of whoever starts Airflow: they are in no
            # database, need no one to enter them, and end with the process. For the UI they are
            # stored instead: it shows, tests and edits only what is in the database, and a
            # variable of the same name would win over what is edited there.
            environment |= {
                f"AIRFLOW_CONN_{SOURCE.upper()}": source.connection_variable(),
                f"AIRFLOW_CONN_{DESTINATION.upper()}": destination.connection_variable(),
            }
        return AirflowServer(
            ROOT / "dags",
            environment=environment,
            logs=self._directory / "logs",
            pause=self._interruption.pause,
        )

    def _airflow_words(self) -> str:
        after = human_duration(time.monotonic() - self._began)
        return f"Airflow {version('apache-airflow')} on SQLite, after {after}"

    def _store_connections(
        self, airflow: AirflowServer, source: Registry, destination: Registry
    ) -> None:
        for conn_id, registry in ((SOURCE, source), (DESTINATION, destination)):
            body = {
                "connection_id": conn_id,
                "description": registry.name,
                **{name: value or None for name, value in registry.connection().items()},
            }
            airflow.api.call("POST", "/connections", json=body)

    def _back_up(self, airflow: AirflowServer, source: Registry, destination: Registry) -> None:
        api = airflow.api
        api.wait_for_dag(DAG_ID)
        # A short id makes short paths; Airflow's own ones work as well.
        run_id = api.trigger(DAG_ID, run_id=f"demo_{datetime.now(timezone.utc):%Y%m%dT%H%M%S}")
        self._screen.line()
        self._screen.title(f"{DAG_ID}, run {run_id}")
        triggered = time.monotonic()
        self._watch(airflow, run_id)
        results = Results(self._directory / "store", run_id)
        self._screen.line()
        results.show(self._screen)
        self._screen.line()
        prove(self._screen, results.records(), source, destination, self._interruption.check)
        now = time.monotonic()
        self._screen.line()
        self._screen.good(
            f"Done in {human_duration(now - self._began)}, "
            f"{human_duration(now - triggered)} of it the run and the proof."
        )

    def _watch(self, airflow: AirflowServer, run_id: str) -> None:
        """Show a run until it has ended; raises `DemoError` unless it ended well."""
        progress = RunProgress(airflow.api, run_id)
        deadline = time.monotonic() + _LONGEST_RUN_SECONDS
        while True:
            state = airflow.api.get_run(DAG_ID, run_id)["state"]
            self._screen.rows(progress.rows())
            # Nothing should fail here, so nobody has to wait until it is tried again.
            failed = progress.failed()
            if state in ("success", "failed") or failed:
                break
            airflow.check()
            if time.monotonic() > deadline:
                raise DemoError(f"the run did not end within {_LONGEST_RUN_SECONDS} s")
            self._interruption.pause(_POLL_SECONDS)
        self._screen.keep()
        if state != "success":
            self._show_logs(airflow, run_id, failed)
            raise DemoError(f"the run {run_id} failed")

    def _show_logs(self, airflow: AirflowServer, run_id: str, failed: list[dict[str, Any]]) -> None:
        for instance in failed[:3]:
            name = f"{instance['task_id']} {instance['rendered_map_index'] or ''}".strip()
            self._screen.line()
            self._screen.bad(f"The log of {name} ends with:")
            for line in airflow.api.get_log(DAG_ID, run_id, instance)[-_LOG_LINES:]:
                self._screen.line(f"  {line}")

    def _wait(self, airflow: AirflowServer, source: Registry, destination: Registry) -> None:
        self._screen.line()
        self._screen.title("Still running, until Ctrl-C")
        self._screen.fields(
            [
                ("Airflow", f"{airflow.url}/dags/{DAG_ID}"),
                ("", "no login: everyone on this machine is an administrator of it"),
                ("", f"connections {SOURCE} and {DESTINATION}, with a Test button"),
                ("Harbor", f"{source.url}  user {source.user}, password {source.password}"),
                ("destination", f"{destination.url}/v2/_catalog"),
            ]
        )
        try:
            while True:
                self._interruption.pause(2)
                airflow.check()
        except Interrupted:
            self._screen.line()


@contextmanager
def _emptied(directory: Path) -> Iterator[None]:
    """Empty a directory, and keep another demo from emptying it meanwhile."""
    directory.mkdir(parents=True, exist_ok=True)
    lock = os.open(directory, os.O_RDONLY)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BusyError(
                f"another demo is using {shown(directory)}; end that one first"
            ) from None
        for entry in directory.iterdir():
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink()
        yield
    finally:
        os.close(lock)
