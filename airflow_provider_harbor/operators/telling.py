"""How a task of this package fails: its log says what happened, and the exception is short.

Airflow shows an exception as one line, which the UI cuts off, above a traceback. So what people
need is said before it, in lines of level ERROR that fit the log: which project or artifact, what
happened, what to do. What nobody foresaw is left as it is, with its traceback.
"""

from __future__ import annotations

import functools
import textwrap
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from airflow.sdk.exceptions import AirflowException, AirflowFailException

from airflow_provider_harbor.core.exceptions import (
    BackupIncompleteError,
    HarborBackupError,
    HarborStatusError,
    is_passing,
)
from airflow_provider_harbor.core.texts import one_line, printable

# What of a line the UI shows beside its time and level, in a window of 1280 pixels.
_WIDTH = 86
_SHOWN_FAILURES = 10
_SHOWN_PROJECTS = 10
_LONGEST_EXCEPTION = 100
_INDENT = "  "

Execute = TypeVar("Execute", bound=Callable[..., Any])


class HarborTaskFailed(AirflowFailException):
    """A task has failed, and trying it again does not help; its log says why.

    :param text: What happened, in a line.
    :param error: What was raised, which says all of it.
    """

    def __init__(self, text: str, error: HarborBackupError | None = None) -> None:
        super().__init__(text)
        self.error = error


class HarborTaskInterrupted(AirflowException):
    """A task has failed, and trying it again may help; its log says why.

    :param text: What happened, in a line.
    :param error: What was raised, which says all of it.
    """

    def __init__(self, text: str, error: HarborBackupError | None = None) -> None:
        super().__init__(text)
        self.error = error


def tells(execute: Execute) -> Execute:
    """Let a method of an operator tell its errors in the log before it fails.

    What trying again cannot mend then fails at once, whatever the task's ``retries`` say.

    :param execute: ``execute`` of an operator, or what goes on after a deferral.
    """

    @functools.wraps(execute)
    def telling(self: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return execute(self, *args, **kwargs)
        except HarborBackupError as err:
            error = err
        # Outside of the block, so that the log shows neither a cause nor where it came from: that
        # is in the lines.
        where = _where(self)
        for line in error_lines(error, where):
            self.log.error("%s", line)
        kind = HarborTaskInterrupted if is_passing(error) else HarborTaskFailed
        raise kind(_shortened(error, where), error)

    return telling  # type: ignore[return-value]


def tell_report(log: Any, text: str, *, has_failed: bool) -> None:
    """Log how a run ended; where it failed, without the verdict, which then is told as an error.

    :param log: The log.
    :param text: The report; its first line is the verdict.
    :param has_failed: Whether the task is going to fail.
    """
    if has_failed:
        text = "\n".join(["How it ended:", *text.splitlines()[1:]])
    log.info("%s", text)


def error_lines(error: HarborBackupError, where: str = "") -> Iterator[str]:
    """Yield an error as lines that fit a log.

    :param error: What was raised.
    :param where: What it happened to, where the error itself may not say so.
    """
    if isinstance(error, BackupIncompleteError):
        yield from _wrapped(error.summary)
        yield from _projects(error)
        for failure in error.failures[:_SHOWN_FAILURES]:
            name, _, said = failure.partition(": ")
            yield from _wrapped(name, 1)
            yield from _wrapped(said, 2)
        more = len(error.failures) - _SHOWN_FAILURES
        if more > 0:
            yield f"{_INDENT}and {more:,} more, all in the report"
        return
    text = str(error)
    depth = 0
    if where and not text.startswith(where):
        yield f"{where}:"
        depth = 1
    if isinstance(error, HarborStatusError) and error.hint:
        # What to do, then what the server said.
        yield from _wrapped(error.hint, depth)
        yield from _wrapped(text.removeprefix(error.hint).removeprefix(": "), depth + 1)
    else:
        yield from _wrapped(text, depth)


def _projects(error: BackupIncompleteError) -> Iterator[str]:
    """Yield the names of the projects that are not whole."""
    shown = error.projects[:_SHOWN_PROJECTS]
    if not shown:
        return
    yield f"{_INDENT}in {'this project' if len(error.projects) == 1 else 'these projects'}:"
    for project in shown:
        yield from _wrapped(project, 2)
    more = len(error.projects) - len(shown)
    if more > 0:
        yield f"{2 * _INDENT}and {more:,} more, all in the report"


def _wrapped(text: str, depth: int = 0) -> Iterator[str]:
    """Yield a text in lines; a digest or an address is never cut in two."""
    first = _INDENT * depth
    for line in text.splitlines():
        words = printable(line).split()
        yield from textwrap.wrap(
            # A long name of a repository and the digest behind it are two lines.
            " ".join(w if len(w) + 2 * depth <= _WIDTH else w.replace("@", "@ ") for w in words),
            _WIDTH,
            initial_indent=first,
            subsequent_indent=first + _INDENT,
            break_long_words=False,
            break_on_hyphens=False,
        )


def _where(operator: Any) -> str:
    """Return what a task is about: its project, where it has only one."""
    unit = getattr(operator, "unit", None)
    projects = list(unit["projects"]) if isinstance(unit, dict) and "projects" in unit else []
    return f"project {projects[0]}" if len(projects) == 1 else ""


def _shortened(error: HarborBackupError, where: str) -> str:
    """Return what happened in a line that the UI need not cut off."""
    text = str(error)
    if isinstance(error, BackupIncompleteError):
        text = error.summary
    elif isinstance(error, HarborStatusError) and error.hint:
        text = error.hint
    if where and not text.startswith(where):
        text = f"{where}: {text}"
    return one_line(text, _LONGEST_EXCEPTION)
