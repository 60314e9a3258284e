"""Backing up several projects at once, and showing how far each of them is."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping

from airflow_provider_harbor.core.cli.outcome import tell_result
from airflow_provider_harbor.core.cli.progress import Console
from airflow_provider_harbor.core.exceptions import StoreError, describe
from airflow_provider_harbor.core.http.waiting import obeying
from airflow_provider_harbor.core.human import Progress
from airflow_provider_harbor.core.jobs.results import ProjectResult
from airflow_provider_harbor.core.side_by_side import do_all
from airflow_provider_harbor.core.stopping import StoppedError

log = logging.getLogger(__name__)

# So many projects are listed and copied at once: while one waits for its list, others copy.
PROJECTS_AT_ONCE = 4

# Backs up one project, given its name, and what tells how far it is.
BackUp = Callable[[str, Progress], ProjectResult]


class SideBySide:
    """Takes projects in the order given, some at once.

    Args:
        projects: Their names, and how many repositories each one has.
        console: What shows how they go and end.
    """

    def __init__(self, projects: Mapping[str, int], console: Console) -> None:
        self._projects = projects
        self._console = console
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._is_store_lost = False

    def run(self, back_up: BackUp) -> bool:
        """Back up all projects; False when it was told to stop.

        What fails is shown, and raises nothing. Where the store fails, which it would for the
        others, too, no further project begins.
        """

        def one(numbered: tuple[int, str]) -> None:
            with obeying(self._stopping, StoppedError):
                self._back_up(*numbered, back_up)

        projects = list(enumerate(self._projects, start=1))
        self._console.begin_projects(self._projects)
        try:
            do_all(projects, one, PROJECTS_AT_ONCE, "project", stopping=self._stopping)
        except KeyboardInterrupt:
            return False
        return True

    def _back_up(self, number: int, name: str, back_up: BackUp) -> None:
        if self._is_store_lost or self._stopping.is_set():
            return
        place = f"[{number}/{len(self._projects)}]"
        self._console.begin_project(place, name, "listing")
        try:
            result = back_up(name, lambda text: self._console.tell_project(name, text))
        except StoppedError:
            return
        except Exception as err:
            log.debug("This is where it happened:", exc_info=True)
            self._console.end_project(name)
            self._tell_failed(f"{place} FAILED {name}: {describe(err)}", err)
            return
        self._console.end_project(name)
        tell_result(self._console, place, name, result)

    def _tell_failed(self, text: str, err: Exception) -> None:
        """Show that a project failed; where the store fails, for the first one only."""
        with self._lock:
            is_store = isinstance(err, StoreError)
            is_shown = not (is_store and self._is_store_lost)
            self._is_store_lost = self._is_store_lost or is_store
        if is_shown:
            self._console.error(text, "bad")
