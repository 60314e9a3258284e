"""A real Airflow for tests and the demo: API server, scheduler, DAG processor, triggerer, SQLite.

Everything it writes is in a temporary directory, everything it listens on is on the loopback
interface, and `stop` leaves no process of it behind:

    with AirflowServer(Path("dags"), environment={"AIRFLOW_CONN_X": "..."}) as airflow:
        airflow.api.wait_for_dag("my_dag")
        run_id = airflow.api.trigger("my_dag")

It is to be thrown away: whoever can reach its port is an administrator, and nothing is saved.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import psutil
import requests

from tests.ports import find_free_port

ROOT = Path(__file__).parents[1]
Pause = Callable[[float], object]

_POLL_SECONDS = 0.3


class AirflowServerError(Exception):
    """Airflow, or a process of it, does not do what it should; the message shows its last words."""


class Process:
    """A program in a session of its own, together with all that it starts.

    Ctrl-C at a terminal does not reach it, so who started it decides in which order things end.

    A process group would not do: each Airflow task leads its own one. The session is what all of
    them keep, orphans included.
    """

    def __init__(
        self, name: str, command: list[str], *, log: Path, environment: Mapping[str, str]
    ) -> None:
        self.name = name
        self.log = log
        with log.open("ab") as stream:
            self._popen = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                env=dict(environment),
                cwd=log.parent,
                start_new_session=True,
            )
        self.pid = self._popen.pid

    @property
    def exit_code(self) -> int | None:
        """None as long as it runs."""
        return self._popen.poll()

    def last_words(self, lines: int = 15) -> str:
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        return "\n".join(line[:200] for line in text.splitlines()[-lines:])

    def kill(self) -> None:
        """End it and all of its session at once; returns when none of them is left."""
        deadline = time.monotonic() + 20
        # Again and again: while the list is being read, one of them may start another one.
        while alive := list(self._members()):
            for pid in alive:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    continue
            self._popen.poll()  # so that the first one does not stay as a zombie
            if time.monotonic() > deadline:
                raise AirflowServerError(f"processes of {self.name} cannot be killed: {alive}")
            time.sleep(0.02)
        self._popen.wait()

    def _members(self) -> Iterator[int]:
        for pid in psutil.pids():
            try:
                if os.getsid(pid) == self.pid and psutil.Process(pid).status() != "zombie":
                    yield pid
            except (ProcessLookupError, PermissionError, psutil.Error):
                continue


class AirflowServer:
    """A real Airflow; use it as a context manager, or call `start` and `stop`.

    Args:
        dags: Directory of the DAG files.
        environment: More variables for all of its processes, such as `AIRFLOW_CONN_...`.
        logs: Where its logs go, to be read after it has stopped; else they go with all the rest.
        triggerer: Start a triggerer, too; only deferred tasks need it.
        pause: Called with seconds while it waits for something. What it raises ends the waiting.

    Attributes:
        url: Base URL of the UI and the REST API.
        api: The REST API, with a login.
    """

    def __init__(
        self,
        dags: Path,
        *,
        environment: Mapping[str, str] | None = None,
        logs: Path | None = None,
        triggerer: bool = False,
        pause: Pause = time.sleep,
    ) -> None:
        self._dags = dags
        self._more_environment = dict(environment or {})
        self._logs = logs
        self._components = ["scheduler", "dag-processor", "api-server"]
        if triggerer:
            self._components.append("triggerer")
        self._pause = pause
        self._home: Path | None = None
        self._processes: list[Process] = []
        self._session = requests.Session()
        self._session.trust_env = False  # no proxy leads to the loopback interface
        self.url = ""
        self.api: AirflowApi

    def __enter__(self) -> AirflowServer:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self, timeout_seconds: float = 180) -> None:
        """Start it, and wait until all its parts say that they are healthy."""
        deadline = time.monotonic() + timeout_seconds
        try:
            self._home = Path(tempfile.mkdtemp(prefix="harbor-airflow-"))
            self._log_directory.mkdir(parents=True, exist_ok=True)
            self.url = f"http://127.0.0.1:{find_free_port()}"
            environment = self._environment()
            migration = self._launch("db", "migrate", environment)
            self._wait(lambda: migration.exit_code is not None, "the database", deadline)
            if migration.exit_code:
                raise AirflowServerError(f"no database was made:\n{migration.last_words()}")
            self._processes.remove(migration)
            for component in self._components:
                self._launch(component, "", environment)
            self._wait(self._is_healthy, "a healthy Airflow", deadline)
            self.api = AirflowApi(self.url, pause=self._pause, check=self.check)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End all its processes, and remove its files; a second call does nothing.

        They are killed: what is asked to end waits for the tasks that run, and there is nothing
        that has to be saved.
        """
        processes, self._processes = self._processes, []
        for process in processes:
            process.kill()
        if self._home is not None:
            shutil.rmtree(self._home, ignore_errors=True)
            self._home = None

    def check(self) -> None:
        """Raise `AirflowServerError` if one of its processes has ended."""
        for process in self._processes:
            if process.exit_code is not None:
                raise AirflowServerError(
                    f"Airflow's {process.name} has ended (exit code {process.exit_code}):\n"
                    f"{process.last_words()}"
                )

    @property
    def _log_directory(self) -> Path:
        assert self._home is not None
        return self._logs or self._home / "logs"

    @staticmethod
    def _command(*words: str) -> list[str]:
        return [sys.executable, "-m", "airflow", *words]

    def _launch(self, component: str, action: str, environment: Mapping[str, str]) -> Process:
        command = self._command(component, *([action] if action else []))
        if component in ("scheduler", "triggerer"):
            # It would serve its logs on a fixed port; the API server reads the files here.
            command.append("--skip-serve-logs")
        log = self._log_directory / f"{component}.log"
        process = Process(component, command, log=log, environment=environment)
        self._processes.append(process)
        return process

    def _environment(self) -> dict[str, str]:
        assert self._home is not None
        (self._home / "tmp").mkdir()
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("AIRFLOW")}
        secret = secrets.token_hex(32)
        settings = {
            "api.base_url": self.url,
            "api.host": "127.0.0.1",
            "api.port": self.url.rpartition(":")[2],
            "api.secret_key": secret,
            "api.workers": "1",
            # Each process would make up its own one.
            "api_auth.jwt_secret": secret,
            "core.dags_are_paused_at_creation": "False",
            "core.dags_folder": str(self._dags),
            "core.execution_api_server_url": f"{self.url}/execution/",
            "core.executor": "LocalExecutor",
            "core.load_examples": "False",
            # More tasks at once make SQLite answer 'database is locked', which ends the scheduler.
            "core.parallelism": "4",
            # No login: it listens on the loopback interface only, and holds nothing of value.
            "core.simple_auth_manager_all_admins": "True",
            "core.test_connection": "Enabled",
            "logging.base_log_folder": str(self._log_directory),
            # Only what is triggered runs: the schedule of a DAG could come due meanwhile.
            "scheduler.use_job_schedule": "False",
            "scheduler.scheduler_idle_sleep_time": "0.3",
            # The end of a task that failed is noticed after so many seconds only.
            "workers.min_heartbeat_interval": "1",
            "usage_data_collection.enabled": "False",
        }
        variables = {
            f"AIRFLOW__{name.replace('.', '__').upper()}": value for name, value in settings.items()
        }
        return {
            **inherited,
            **variables,
            "AIRFLOW_HOME": str(self._home),
            # What tasks leave in the temporary directory is removed with all the rest.
            "TMPDIR": str(self._home / "tmp"),
            "NO_PROXY": "127.0.0.1,localhost",
            "no_proxy": "127.0.0.1,localhost",
            "PYTHONPATH": str(ROOT),
            **self._more_environment,
        }

    def _is_healthy(self) -> bool:
        self.check()
        try:
            parts = self._session.get(f"{self.url}/api/v2/monitor/health", timeout=10).json()
        except (requests.ConnectionError, requests.Timeout, ValueError):
            return False
        names = {"metadatabase", *(n.replace("-", "_") for n in self._components)} - {"api_server"}
        return all(parts.get(name, {}).get("status") == "healthy" for name in names)

    def _wait(self, condition: Callable[[], bool], what: str, deadline: float) -> None:
        while not condition():
            if time.monotonic() > deadline:
                words = "\n".join(f"[{p.name}]\n{p.last_words(5)}" for p in self._processes)
                raise AirflowServerError(f"waited too long for {what}:\n{words}")
            self._pause(_POLL_SECONDS)


class AirflowApi:
    """The parts of Airflow's REST API that are needed here.

    Args:
        url: Base URL of the API server.
        pause: See `AirflowServer`.
        check: Called while it waits; raises when there is nothing to wait for any more.
    """

    def __init__(
        self, url: str, *, pause: Pause = time.sleep, check: Callable[[], object] = lambda: None
    ) -> None:
        self._url = url
        self._pause = pause
        self._check = check
        self._session = requests.Session()
        self._session.trust_env = False
        token = self._session.get(f"{url}/auth/token", timeout=30).json()["access_token"]
        self._session.headers["Authorization"] = f"Bearer {token}"

    def call(self, method: str, path: str, **options: Any) -> Any:
        """Send a request to `/api/v2` and return its JSON; raises `AirflowServerError`."""
        url = f"{self._url}/api/v2{path}"
        try:
            answer = self._session.request(method, url, timeout=60, **options)
        except requests.RequestException as err:
            self._check()
            raise AirflowServerError(f"{method} {url}: {err}") from err
        # A path that does not exist is answered with 200, and with the page of the UI.
        if not answer.ok or "json" not in answer.headers.get("Content-Type", ""):
            raise AirflowServerError(f"{method} {url} -> {answer.status_code} {answer.text[:1000]}")
        return answer.json()

    def get_page(self, path: str) -> str:
        """Return a page of HTML, such as one of a plugin; raises `AirflowServerError`."""
        answer = self._session.get(f"{self._url}{path}", timeout=60)
        if not answer.ok or "html" not in answer.headers.get("Content-Type", ""):
            raise AirflowServerError(f"{path} -> {answer.status_code} {answer.text[:1000]}")
        return answer.text

    def wait_for_dag(self, dag_id: str, timeout_seconds: float = 120) -> dict[str, Any]:
        """Return a DAG as soon as its file has been read."""

        def find() -> dict[str, Any] | None:
            found = self.call("GET", "/dags", params={"limit": 100})["dags"]
            for dag in found:
                if dag["dag_id"] == dag_id:
                    return dict(dag)
            errors = self.call("GET", "/importErrors")["import_errors"]
            if errors:
                texts = [f"{error['filename']}: {error['stack_trace']}" for error in errors]
                raise AirflowServerError("a DAG file cannot be read:\n" + "\n".join(texts))
            return None

        return self.wait_until(find, f"DAG {dag_id}", timeout_seconds)

    def trigger(
        self, dag_id: str, conf: Mapping[str, Any] | None = None, *, run_id: str | None = None
    ) -> str:
        """Start a run as the UI's trigger form does, and return its id."""
        body = {"logical_date": None, "conf": dict(conf or {}), "dag_run_id": run_id}
        return str(self.call("POST", f"/dags/{dag_id}/dagRuns", json=body)["dag_run_id"])

    def get_run(self, dag_id: str, run_id: str) -> dict[str, Any]:
        return dict(self.call("GET", f"/dags/{dag_id}/dagRuns/{run_id}"))

    def get_task_instances(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        """Return all task instances of a run, mapped ones included."""
        instances: list[dict[str, Any]] = []
        while True:
            page = self.call(
                "GET",
                f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances",
                params={"limit": 100, "offset": len(instances)},
            )
            instances += page["task_instances"]
            if len(instances) >= page["total_entries"] or not page["task_instances"]:
                return instances

    def get_xcom(self, dag_id: str, run_id: str, task_id: str, map_index: int = -1) -> Any:
        """Return what a task returned."""
        path = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/xcomEntries/return_value"
        return self.call("GET", path, params={"map_index": map_index})["value"]

    def get_log(self, dag_id: str, run_id: str, instance: Mapping[str, Any]) -> list[str]:
        """Return the log of a task instance's last try, without what the UI folds."""
        path = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{instance['task_id']}/logs"
        answer = self.call(
            "GET",
            f"{path}/{instance['try_number']}",
            params={"map_index": instance["map_index"], "full_content": True},
            headers={"Accept": "application/json"},
        )
        lines: list[str] = []
        folded = False
        for entry in answer["content"]:
            event = str(entry["event"])
            if event.startswith(("::group::", "::endgroup::")):
                folded = event.startswith("::group::")
            elif not folded:
                lines += event.splitlines()
                for error in entry.get("error_detail") or ():
                    lines += f"{error['exc_type']}: {error['exc_value']}".splitlines()
        return lines

    def wait_until(
        self, condition: Callable[[], Any], what: str, timeout_seconds: float = 120
    ) -> Any:
        """Call `condition` until it returns something true, and return that."""
        deadline = time.monotonic() + timeout_seconds
        while not (found := condition()):
            self._check()
            if time.monotonic() > deadline:
                raise AirflowServerError(f"waited {timeout_seconds:g} s for {what}")
            self._pause(_POLL_SECONDS)
        return found

    def wait_for_run(
        self, dag_id: str, run_id: str, timeout_seconds: float = 180
    ) -> dict[str, Any]:
        """Return a run as soon as it has ended."""

        def ended() -> dict[str, Any] | None:
            run = self.get_run(dag_id, run_id)
            return run if run["state"] in ("success", "failed") else None

        return dict(self.wait_until(ended, f"the end of run {run_id}", timeout_seconds))
