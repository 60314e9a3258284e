"""An Airflow on several machines: PostgreSQL, redis, and workers of Celery that share nothing.

Each worker has a home, a DAGs folder, a temporary directory and logs of its own, as on a machine of
its own, and goes by a name of its own. It can be killed as a machine that goes down.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.airflow_server import AirflowServer, AirflowServerError, Process

_NAME = "HARBOR_TESTS_WORKER"


def worker_name() -> str:
    """Return what this machine is called, see Airflow's `[core] hostname_callable`."""
    return os.environ.get(_NAME, "main")


class CeleryAirflow(AirflowServer):
    """Use it as a context manager.

    Args:
        workers: Their names.
        dags: Directory of the DAG files; each worker gets a copy.
        database: `user@host:port/name` of a PostgreSQL.
        broker: URL of a redis.
        directory: Where workers have their homes.
        environment: More variables for all processes.
    """

    def __init__(
        self,
        workers: Sequence[str],
        dags: Path,
        *,
        database: str,
        broker: str,
        directory: Path,
        environment: Mapping[str, str],
    ) -> None:
        settings = {
            "celery.broker_url": broker,
            "celery.result_backend": f"db+postgresql+psycopg2://{database}",
            "celery.worker_enable_remote_control": "False",
            "core.executor": "CeleryExecutor",
            "core.hostname_callable": f"{__name__}.worker_name",
            "core.parallelism": "16",
            "database.sql_alchemy_conn": f"postgresql+psycopg2://{database}",
            # A worker that is gone is noticed after so many seconds, and not after minutes.
            "scheduler.task_instance_heartbeat_timeout": "10",
            "scheduler.task_instance_heartbeat_timeout_detection_interval": "1",
            "scheduler.task_queued_timeout": "15",
            "scheduler.task_queued_timeout_check_interval": "2",
        }
        super().__init__(
            dags,
            environment={
                **{f"AIRFLOW__{k.replace('.', '__').upper()}": v for k, v in settings.items()},
                **environment,
            },
        )
        self._names = workers
        self._directory = directory
        self._workers: dict[str, Process] = {}

    def stop(self) -> None:
        for process in self._workers.values():
            process.kill()
        self._workers.clear()
        super().stop()

    def _launch(self, component: str, action: str, environment: Mapping[str, str]) -> Process:
        if component == "scheduler":
            # Now, so that they get ready while all the rest does.
            for name in self._names:
                self._start_worker(name, environment)
        return super()._launch(component, action, environment)

    def _start_worker(self, name: str, environment: Mapping[str, str]) -> None:
        home = self._directory / name
        (home / "tmp").mkdir(parents=True)
        shutil.copytree(self._dags, home / "dags")
        own = {
            **environment,
            _NAME: name,
            "AIRFLOW_HOME": str(home),
            "AIRFLOW__CORE__DAGS_FOLDER": str(home / "dags"),
            "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(home / "logs"),
            "TMPDIR": str(home / "tmp"),
        }
        command = [
            *self._command("celery", "worker"),
            *("--celery-hostname", name, "--concurrency", "2", "--skip-serve-logs"),
            *("--without-gossip", "--without-mingle"),
        ]
        self._workers[name] = Process(name, command, log=home / "worker.log", environment=own)

    def kill_worker(self, name: str) -> None:
        """End a worker and all that it runs at once (SIGKILL)."""
        self._workers.pop(name).kill()

    def check(self) -> None:
        super().check()
        for name, process in self._workers.items():
            if process.exit_code is not None:
                raise AirflowServerError(f"worker {name} has ended:\n{process.last_words()}")
