"""The demo from its beginning to its end, whatever that is."""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Any

from airflow_provider_harbor.core.human import human_count, human_duration
from tests.airflow_server import AirflowServer

from .interruption import Interrupted, Interruption
from .progress import BackupProgress, RestoreProgress, RunProgress
from .results import Results, prove_restored, prove_stored, shown
from .sample import Harbor, Holding, sample_harbor
from .screen import Screen

# The connection that the DAGs use by default.
CONNECTION = "harbor_default"
# The DAGs, as somebody writes them who has installed the package.
_DAGS = '''\
"""The DAGs of this demo. Nothing is scheduled here, so that only what is triggered runs."""

from airflow_provider_harbor.dags import harbor_backup, harbor_restore, harbor_verify

harbor_backup(schedule=None)
harbor_restore()
harbor_verify(schedule=None)
'''
# What somebody deletes by mistake: the largest repository of a project, and one with signatures.
LOST = ("shop/checkout", "base/python")
# The project to mend, in the night that fails.
CLOSED = "mobile"
_LOG_LINES = 15
_POLL_SECONDS = 0.7
_LONGEST_RUN_SECONDS = 600


class DemoError(Exception):
    """The demo did not come to its good end; the message is for people."""


class BusyError(DemoError):
    """The demo did not even begin."""


class Demo:
    """Starts all parts, lets a night, an accident and a restore happen, and shows what came of it.

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
        self._screen.title("A night, an accident and a restore of a sample Harbor")
        with ExitStack() as stack:
            stack.enter_context(_emptied(self._directory))
            harbor = stack.enter_context(sample_harbor())
            self._screen.fields(
                [
                    ("Harbor", f"{harbor.url}  {harbor.what}"),
                    ("store", f"{shown(self._store)}  a directory, empty"),
                ]
            )
            airflow = self._airflow(harbor)
            self._screen.line("  Airflow is starting (about 20 seconds) ...")
            stack.enter_context(airflow)
            self._screen.fields([("Airflow", f"{airflow.url}  {self._airflow_words()}")])
            if self._stay:
                self._store_connection(airflow, harbor)
            before = self._back_up(airflow, harbor)
            self._lose(harbor, before)
            self._restore(airflow, harbor, before)
            to_mend = self._fail(airflow, harbor) if self._stay else ""
            after = human_duration(time.monotonic() - self._began)
            self._screen.line()
            self._screen.good(f"Done in {after}.")
            if self._stay:
                self._wait(airflow, harbor, to_mend)

    @property
    def _store(self) -> Path:
        return self._directory / "store"

    def _airflow(self, harbor: Harbor) -> AirflowServer:
        environment = {"AIRFLOW__HARBOR__STORE": str(self._store)}
        if not self._stay:
            # A connection in the environment is that of whoever starts Airflow: it is in no
            # database, needs no one to enter it, and ends with the process. For the UI it is
            # stored instead: that shows, tests and edits only what is in the database, and a
            # variable of the same name would win over what is edited there.
            variable = f"AIRFLOW_CONN_{CONNECTION.upper()}"
            environment[variable] = harbor.connection_variable()
        dags = self._directory / "dags"
        dags.mkdir()
        (dags / "harbor.py").write_text(_DAGS)
        return AirflowServer(
            dags,
            environment=environment,
            logs=self._directory / "logs",
            pause=self._interruption.pause,
        )

    def _airflow_words(self) -> str:
        after = human_duration(time.monotonic() - self._began)
        return f"Airflow {version('apache-airflow')} on SQLite, after {after}"

    def _store_connection(self, airflow: AirflowServer, harbor: Harbor) -> None:
        fields = {name: value or None for name, value in harbor.connection().items()}
        body = {"connection_id": CONNECTION, "description": "The sample Harbor", **fields}
        airflow.api.call("POST", "/connections", json=body)

    # -- what happens

    def _back_up(self, airflow: AirflowServer, harbor: Harbor) -> Holding:
        """Let the night pass; returns what Harbor holds then."""
        run = self._run(airflow, BackupProgress, {})
        Results(self._store, run.dag_id, run.run_id).show_backup(self._screen)
        self._screen.line()
        held = harbor.look()
        prove_stored(self._screen, self._store, held, self._interruption.check)
        return held

    def _lose(self, harbor: Harbor, before: Holding) -> None:
        self._screen.line()
        self._screen.title("The accident: somebody deletes repositories in Harbor")
        harbor.delete(LOST)
        left = harbor.look()
        if lost := [key for key in before if key[0] in LOST and key in left]:
            raise DemoError(f"{lost[0]} was not deleted")
        for name in LOST:
            digests = sum(key[0] == name for key in before)
            self._screen.line(f"  {name}: {human_count(digests, 'manifest')} gone")

    def _restore(self, airflow: AirflowServer, harbor: Harbor, before: Holding) -> None:
        # What one fills into the form.
        form = {"snapshot": "latest", "projects": sorted({n.split("/")[0] for n in LOST})}
        run = self._run(airflow, RestoreProgress, form)
        Results(self._store, run.dag_id, run.run_id).show_restore(self._screen)
        self._screen.line()
        prove_restored(self._screen, before, harbor.look())

    def _fail(self, airflow: AirflowServer, harbor: Harbor) -> str:
        """Let a night pass in which a project fails; returns the page on which it is mended."""
        self._screen.line()
        self._screen.title(f"Another night: the login has lost its rights on the project {CLOSED}")
        with harbor.closing_project(CLOSED):
            run = self._run(airflow, BackupProgress, {}, ends="failed")
        first = next(i for i in run.failed() if i["task_id"] == "backup.inventory")
        self._screen.line(f"  The others are protected, and {CLOSED} has its rights again.")
        instance = f"tasks/{first['task_id']}/mapped/{first['map_index']}"
        return f"{airflow.url}/dags/{run.dag_id}/runs/{run.run_id}/{instance}"

    def _run(
        self,
        airflow: AirflowServer,
        kind: type[RunProgress],
        form: dict[str, Any],
        *,
        ends: str = "success",
    ) -> RunProgress:
        """Trigger a DAG, and show it until it has ended, as it has to."""
        airflow.api.wait_for_dag(kind.dag_id)
        # A short id makes short paths; Airflow's own ones work as well.
        wanted = f"demo_{datetime.now(timezone.utc):%Y%m%dT%H%M%S}"
        run = kind(airflow.api, airflow.api.trigger(kind.dag_id, run_id=wanted, conf=form))
        self._screen.line()
        values = ", ".join(
            f"{name} {' '.join(value) if isinstance(value, list) else value}"
            for name, value in form.items()
        )
        self._screen.title(f"{run.dag_id}{', with ' + values if form else ''}")
        self._watch(airflow, run, ends)
        return run

    def _watch(self, airflow: AirflowServer, progress: RunProgress, ends: str) -> None:
        """Show a run until it has ended; raises `DemoError` unless it ended as it had to."""
        deadline = time.monotonic() + _LONGEST_RUN_SECONDS
        while True:
            state = airflow.api.get_run(progress.dag_id, progress.run_id)["state"]
            self._screen.rows(progress.rows())
            # Where nothing should fail, nobody has to wait until it is tried again.
            failed = progress.failed() if ends == "success" else []
            if state in ("success", "failed") or failed:
                break
            airflow.check()
            if time.monotonic() > deadline:
                raise DemoError(f"the run did not end within {_LONGEST_RUN_SECONDS} s")
            self._interruption.pause(_POLL_SECONDS)
        self._screen.keep()
        if state != ends:
            self._show_logs(airflow, progress, failed)
            what = "failed" if ends == "success" else "was to fail, and did not"
            raise DemoError(f"the run {progress.run_id} of {progress.dag_id} {what}")

    def _show_logs(
        self, airflow: AirflowServer, run: RunProgress, failed: list[dict[str, Any]]
    ) -> None:
        for instance in failed[:3]:
            name = f"{instance['task_id']} {instance['rendered_map_index'] or ''}".strip()
            self._screen.line()
            self._screen.bad(f"The log of {name} ends with:")
            for line in airflow.api.get_log(run.dag_id, run.run_id, instance)[-_LOG_LINES:]:
                self._screen.line(f"  {line}")

    def _wait(self, airflow: AirflowServer, harbor: Harbor, to_mend: str) -> None:
        self._screen.line()
        self._screen.title("Still running, until Ctrl-C")
        self._screen.fields(
            [
                ("Airflow", f"{airflow.url}/dags"),
                ("", "no login: everyone on this machine is an administrator of it"),
                ("", f"connection {CONNECTION}, with a Test button"),
                ("Harbor", f"{harbor.url}  user {harbor.user}, password {harbor.password}"),
                ("store", str(shown(self._store))),
                ("DAGs", "harbor_backup   a night; here it has no schedule: Trigger starts one"),
                ("", "harbor_restore  brings something back: Trigger shows the form"),
                ("", "harbor_verify   reads the store, and proves that it is whole"),
                ("to mend", f"the project {CLOSED} of the last night, which can be read again:"),
                ("", to_mend),
                ("", "choose Clear (the round arrow at the top right), then Confirm"),
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
