"""Backing up several projects at once, and showing how far each of them is."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence

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
_LISTING = "listing"

# Backs up one project, given its name, and what tells how far it is.
BackUp = Callable[[str, Progress], ProjectResult]


class SideBySide:
    """Takes projects in the order given, some at once.

    Args:
        projects: Their names.
        console: What shows how they go and end.
    """

    def __init__(self, projects: Sequence[str], console: Console) -> None:
        self._projects = projects
        self._console = console
        self._stopping = threading.Event()
        self._words = _Words(console, len(projects))
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
        try:
            do_all(projects, one, PROJECTS_AT_ONCE, "project", stopping=self._stopping)
        except KeyboardInterrupt:
            return False
        return True

    def _back_up(self, number: int, name: str, back_up: BackUp) -> None:
        if self._is_store_lost or self._stopping.is_set():
            return
        place = f"[{number}/{len(self._projects)}]"
        self._words.begin(place, name)
        try:
            result = back_up(name, lambda text: self._words.tell(name, text))
        except StoppedError:
            return
        except Exception as err:
            log.debug("This is where it happened:", exc_info=True)
            self._words.end(name)
            self._tell_failed(f"{place} FAILED {name}: {describe(err)}", err)
            return
        self._words.end(name)
        tell_result(self._console, place, name, result)

    def _tell_failed(self, text: str, err: Exception) -> None:
        """Show that a project failed; where the store fails, for the first one only."""
        with self._lock:
            is_store = isinstance(err, StoreError)
            is_shown = not (is_store and self._is_store_lost)
            self._is_store_lost = self._is_store_lost or is_store
        if is_shown:
            self._console.error(text)


class _Words:
    """One line of progress for all projects that are under way."""

    def __init__(self, console: Console, total: int) -> None:
        self._console = console
        self._total = total
        self._lock = threading.Lock()
        self._texts: dict[str, str] = {}
        self._ended = 0

    def begin(self, place: str, name: str) -> None:
        with self._lock:
            self._texts[name] = _LISTING
        self._console.begin(f"{place} {name}: {_LISTING}")

    def tell(self, name: str, text: str) -> None:
        with self._lock:
            self._texts[name] = text
            # What fits on a line is to be of those that get on.
            told = sorted(self._texts.items(), key=lambda item: item[1] == _LISTING)
            texts = [f"{name}: {text}" for name, text in told]
            ended = self._ended
        self._console.status(f"{ended} of {self._total} projects done | {' | '.join(texts)}")

    def end(self, name: str) -> None:
        with self._lock:
            del self._texts[name]
            self._ended += 1
