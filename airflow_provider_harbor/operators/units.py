"""What the operators share: units of projects, one failure that stops no other, places."""

from __future__ import annotations

import logging
import math
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from datetime import timezone
from typing import Any, TypeVar

from airflow_provider_harbor.core.copy.failures import PASSING_REASONS
from airflow_provider_harbor.core.copy.outcome import Status
from airflow_provider_harbor.core.copy.places import Place
from airflow_provider_harbor.core.copy.store_place import StorePlace
from airflow_provider_harbor.core.exceptions import (
    BackupIncompleteError,
    BackupInterruptedError,
    HarborBackupError,
    HarborConfigurationError,
    is_passing,
)
from airflow_provider_harbor.core.exceptions import describe as describe_error
from airflow_provider_harbor.core.http.pace import configure
from airflow_provider_harbor.core.http.rate import limit_rate
from airflow_provider_harbor.core.jobs.results import ProjectResult
from airflow_provider_harbor.core.store.backup_store import BackupStore
from airflow_provider_harbor.hooks.harbor import HarborHook

T = TypeVar("T")

log = logging.getLogger(__name__)

# What depends on something that failed shares its fate: its own reason says nothing.
_PASSING_REASONS = PASSING_REASONS - {"not-tried"}
# XCom key of why a task before the list of projects failed.
ERROR_KEY = "error"
# Airflow keeps 250 characters of an instance's name.
_LONGEST_NAME = 200


def make_units(projects: Sequence[str], max_units: int) -> list[dict[str, Any]]:
    """Put projects into at most so many units, as even as can be, in the order given.

    :param projects: Names of the projects.
    :param max_units: How many units there may be, 1 or more.
    """
    if max_units < 1:
        raise ValueError(f"max_units is {max_units}, not 1 or more")
    size = max(1, math.ceil(len(projects) / max_units))
    chunks = [list(projects[at : at + size]) for at in range(0, len(projects), size)]
    return [{"name": _name(chunk), "projects": chunk} for chunk in chunks]


def set_pace(
    workers: int | str, limit_mb_per_second: float | str | None, limit_shares: int
) -> None:
    """Set how much this process, which is that of one task, asks of servers.

    :param workers: At most so many requests to one server at once.
    :param limit_mb_per_second: Millions of bytes a second that all tasks may move; None for all.
    :param limit_shares: How many tasks share that.
    """
    configure(as_number(workers))
    limit_rate(None)
    if limit_mb_per_second in (None, ""):
        return
    try:
        limit_rate(float(limit_mb_per_second) * 1e6 / max(int(limit_shares), 1))
    except (TypeError, ValueError):
        raise HarborConfigurationError(
            f"the limit is {limit_mb_per_second!r} MB/s for {limit_shares} tasks, and has to be at "
            "least 0.001 for each of them"
        ) from None


def _name(projects: Sequence[str]) -> str:
    if len(projects) == 1:
        return projects[0][:_LONGEST_NAME]
    half = _LONGEST_NAME // 2
    return f"{projects[0][:half]} to {projects[-1][:half]} ({len(projects)})"


def as_patterns(value: Sequence[str] | str | None) -> list[str]:
    """Return patterns as a list; a text has them separated by commas, spaces or new lines."""
    if isinstance(value, str):
        value = re.split(r"[,\s]+", value)
    return [text for text in (pattern.strip() for pattern in value or ()) if text]


def as_flag(value: bool | str) -> bool:
    """Return a flag; a template that is not rendered to native objects gives it as a text."""
    if isinstance(value, str):
        if value.strip().lower() not in ("true", "false"):
            raise HarborConfigurationError(f"{value!r} is neither true nor false")
        return value.strip().lower() == "true"
    return value


def as_number(value: int | str) -> int:
    """Return a whole number, which a template may have given as a text.

    :param value: The number; whether it is one that makes sense is for who uses it.
    """
    if not isinstance(value, str):
        return value
    text = value.strip()
    if not (text.isascii() and text.isdecimal()):
        raise HarborConfigurationError(f"{value!r} is not a whole number")
    return int(text)


def do_each(
    projects: Sequence[str], step: Callable[[str], T]
) -> tuple[list[T], dict[str, Exception]]:
    """Take a step for each project, whatever became of the one before.

    :return: What the steps returned, and the error of each project whose step failed.
    """
    results: list[T] = []
    errors: dict[str, Exception] = {}
    for project in projects:
        try:
            results.append(step(project))
        except Exception as err:
            errors[project] = err
    return results, errors


def combined(errors: Mapping[str, Exception], unit: Mapping[str, Any]) -> Exception:
    """Return the one error with which the task of a unit ends.

    :param errors: The error of each project that failed, one at least.
    :param unit: The unit; where it is one project, the project's own error is returned.
    """
    total = len(unit["projects"])
    if total == 1:
        return next(iter(errors.values()))
    kind = BackupInterruptedError if any(map(_may_pass, errors.values())) else BackupIncompleteError
    return kind(
        f"{len(errors)} of the {total} projects of this unit failed",
        [line for project, err in errors.items() for line in _lines_of(project, err)],
    )


def _lines_of(project: str, err: Exception) -> Iterator[str]:
    """Yield what happened to a project, and to which of its artifacts, a line each."""
    name = f"project {project}"
    if isinstance(err, BackupIncompleteError):
        yield f"{name}: {err.summary.removeprefix(f'{name}: ')}"
        yield from err.failures
        return
    if not isinstance(err, (HarborBackupError, OSError)):
        log.error("%s: where it happened:", name, exc_info=err)
    yield f"{name}: {describe_error(err)}"


def _may_pass(err: Exception) -> bool:
    # Whatever is not ours (the store's OSError) is tried again, as Airflow does by itself.
    return is_passing(err) or not isinstance(err, HarborBackupError)


def raise_if_incomplete(result: ProjectResult) -> None:
    """Raise when some artifact of a project could not be copied.

    :raises BackupInterruptedError: Trying again may help.
    :raises BackupIncompleteError: It does not.
    """
    if result.copy is None or result.copy.ok:
        return
    failed = list(result.iter_findings(Status.FAILED))
    passes = any(finding.reason in _PASSING_REASONS for finding in failed)
    kind = BackupInterruptedError if passes else BackupIncompleteError
    raise kind(
        f"project {result.project}: {result.copy.failed} of {result.copy.total} digests could not "
        "be copied",
        [str(finding) for finding in failed],
    )


def describe(result: ProjectResult) -> str:
    """Return how a project ended as a line for the log."""
    return f"{result.project}: {result.outcome}" + ("" if result.copy else "; nothing copied")


@contextmanager
def open_place(conn_id: str | None, store: BackupStore) -> Iterator[Place]:
    """Open where the content goes: a registry, or without a connection the store.

    :param conn_id: The connection of the registry, or None.
    :param store: The store.
    """
    if not conn_id:
        yield StorePlace(store)
        return
    with closing(HarborHook(conn_id).get_place()) as place:
        yield place


def url_of(conn_id: str) -> str:
    """Return where a connection leads, for a report that is written whatever is wrong with it.

    :param conn_id: The connection of a registry.
    """
    try:
        return HarborHook(conn_id).url
    except HarborConfigurationError:
        return f"connection {conn_id!r}"


def run_name(context: Mapping[str, Any]) -> str:
    """Return the name of a run for its files: it begins with the time, so that names sort.

    The same for all tasks of a run, also when they are cleared; not the same for two DAGs.

    :param context: The task's context.
    """
    run = context["dag_run"]
    moment = run.run_after.astimezone(timezone.utc)
    return f"{moment:%Y-%m-%dT%H-%M-%SZ}.{run.dag_id}.{run.run_id}"


@contextmanager
def leaving_the_reason(context: Mapping[str, Any]) -> Iterator[None]:
    """Let the report say why the run ended before there was a list of projects.

    :param context: The task's context; the reason goes into its XCom.
    """
    try:
        yield
    except HarborBackupError as err:
        context["ti"].xcom_push(key=ERROR_KEY, value=str(err))
        raise


class Heartbeat:
    """Progress for a task's log: a line now and then, however often it is told. For any thread.

    :param log: Where the lines go.
    :param project: What is said of which project; put in front of each line.
    :param seconds: How long a line stays the last one at least.
    """

    def __init__(self, log: Any, project: str = "", *, seconds: float = 10.0) -> None:
        self._log = log
        self._prefix = f"{project}: " if project else ""
        self._seconds = seconds
        self._last = time.monotonic()
        self._lock = threading.Lock()

    def __call__(self, text: str) -> None:
        """Log the text, if the last one was long enough ago."""
        with self._lock:
            now = time.monotonic()
            if now - self._last < self._seconds:
                return
            self._last = now
        self._log.info("%s%s", self._prefix, text)
