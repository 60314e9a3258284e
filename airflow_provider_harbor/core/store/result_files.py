"""How each project ended in a run: results in a store, whatever the run was for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from airflow_provider_harbor.core.exceptions import HarborConfigurationError
from airflow_provider_harbor.core.store import layout
from airflow_provider_harbor.core.store.documents import SHAPE_ERRORS, damage, dump, read_object
from airflow_provider_harbor.core.store.files import Files
from airflow_provider_harbor.core.store.seals import seal

T = TypeVar("T")

_READERS = 16


class ResultFiles:
    """The results of one kind of runs. May be shared by threads.

    Args:
        files: Of the store.
        kind: Which directory they are in: `layout.SNAPSHOTS` or `layout.RESTORES`.
    """

    def __init__(self, files: Files, kind: str) -> None:
        self._files = files
        self._kind = kind

    def write(self, run: str, project: str, result: Mapping[str, Any]) -> str:
        """Keep how a project ended; replaces its earlier result of this run. Returns its path."""
        path = layout.result(self._kind, run, project)
        self._files.sync()
        self._files.write(path, seal(dump(result)))
        return path

    def read(self, run: str, project: str, reader: Callable[[Any], T]) -> T | None:
        """Return how a project ended, or None where it has not.

        Args:
            run: The run's name.
            project: Name of the project.
            reader: Makes a result of what was kept; it may raise as reading JSON does.

        Raises:
            IntegrityError: Its result cannot be read.
            HarborConfigurationError: It is of a newer format, or of another run with the same key.
        """
        return self._read(run, layout.result(self._kind, run, project), reader)

    def iter_all(self, run: str, reader: Callable[[Any], T]) -> Iterator[T]:
        """Yield the results of a run, sorted by name; see `read`."""
        directory = layout.results(self._kind, run)
        names = [name for name in self._files.list_names(directory) if name.endswith(".json")]
        with ThreadPoolExecutor(_READERS, thread_name_prefix="results") as pool:
            paths = [f"{directory}/{name}" for name in names]
            for result in pool.map(lambda path: self._read(run, path, reader), paths):
                if result is not None:
                    yield result

    def _read(self, run: str, path: str, reader: Callable[[Any], T]) -> T | None:
        data = read_object(self._files, path)
        if data is None:
            return None
        if "run" in data and data["run"] != run:
            raise HarborConfigurationError(
                f"{self._files.url_of(path)} is of the run {data['run']!r}, whose files have "
                f"the same names as those of {run!r}. Give this run another name"
            )
        try:
            return reader(data)
        except SHAPE_ERRORS as err:
            raise damage(self._files, path, err) from err
