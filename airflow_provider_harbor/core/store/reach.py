"""What of a store is reached: what its snapshots, results and pointers name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from airflow_provider_harbor.core.exceptions import (
    HarborConfigurationError,
    HarborProtocolError,
    IntegrityError,
)
from airflow_provider_harbor.core.store import layout
from airflow_provider_harbor.core.store.documents import SHAPE_ERRORS, damage, read_object
from airflow_provider_harbor.core.store.files import Files
from airflow_provider_harbor.core.store.inventories import Inventories
from airflow_provider_harbor.core.store.settings_files import NightSettings

_READERS = 16

# A project, the SHA-256 of an inventory of it, and that of contents of it, which may be empty.
Named = tuple[str, str, str]


class Reach:
    """All that is reached, as it was when `look` was called last.

    Args:
        files: Of the store.
        inventories: Of the store.
        progress: Called with what is looked at, in words.
    """

    def __init__(
        self, files: Files, inventories: Inventories, progress: Callable[[str], None]
    ) -> None:
        self._files = files
        self._inventories = inventories
        self._progress = progress
        self._lists: set[str] = set()
        self._settings: set[str] = set()
        self._pointers: set[str] = set()
        self._runs: set[str] = set()
        # What contents hold never changes, so each is read once.
        self._read: set[str] = set()
        # By the bytes of the digest, which take a third of the memory of its text.
        self._blobs: set[bytes] = set()

    def look(self) -> None:
        """Find out anew what is reached.

        Whatever is named when this begins, and stays so, is found. What was named by contents when
        it was called before counts, too.

        Raises:
            IntegrityError: A file that names others cannot be read, so that nobody can tell what
                is not reached.
            HarborConfigurationError: It is of a newer format.
        """
        named, pointers = self._look_at_runs(), self._look_at_pointers()
        known = set(named)
        self._pointers = {path for path, pointed in pointers.items() if pointed in known}
        self._lists = set(self._settings)
        wanted: dict[str, Named] = {}
        for one in known | set(pointers.values()):
            project, inventory, contents = one
            self._lists.add(layout.inventory(project, inventory))
            if contents:
                path = layout.contents(project, contents)
                self._lists.add(path)
                # What only a pointer names is believed by a backup only where it can be read.
                if one in known or path not in wanted:
                    wanted[path] = one
        needed = {layout.contents(p, c) for p, _, c in known if c}
        for number, (path, (project, _, sha256)) in enumerate(sorted(wanted.items()), start=1):
            self._progress(f"what is named: {number:,} of {len(wanted):,} lists of content")
            if path not in self._read:
                self._read_contents(path, project, sha256, is_needed=path in needed)

    def has(self, path: str) -> bool:
        """Tell whether a file is reached: of the pool, a list, settings or a pointer.

        Of a pointer: whether what it points to is named by anything else.
        """
        if path.startswith(f"{layout.POOL}/"):
            return _key(path) in self._blobs
        return path in self._lists or path in self._pointers

    def has_run(self, key: str) -> bool:
        """Tell whether there is a run, by the name of its directory."""
        return key in self._runs

    def _look_at_runs(self) -> list[Named]:
        """Return what all snapshots and results name."""
        paths = []
        self._runs = set()
        for directory in (layout.SNAPSHOTS, layout.RESTORES):
            for entry in self._files.iter_files(directory):
                self._runs.add(entry.path.split("/")[1])
                if directory == layout.SNAPSHOTS and entry.path.endswith(".json"):
                    paths.append(entry.path)
        found: list[Named] = []
        self._settings = set()
        with ThreadPoolExecutor(_READERS, thread_name_prefix="reach") as pool:
            read = pool.map(self._read_names, paths)
            for number, (named, settings) in enumerate(read, start=1):
                self._progress(f"what is named: {number:,} of {len(paths):,} snapshots and results")
                found += named
                self._settings.update(settings)
        return found

    def _read_names(self, path: str) -> tuple[list[Named], list[str]]:
        """Return what a file names: projects with their lists, and documents of settings."""
        try:
            data = read_object(self._files, path)
            if data is None:
                return [], []
            if path == layout.night_settings(path.split("/")[1]):
                return [], NightSettings.from_json(data).paths
            named = list(_of_snapshot(data) if "projects" in data else _of_result(data))
            settings = data.get("settings")
            paths = NightSettings.from_json(settings).paths if settings else []
            for project, inventory, _ in named:
                layout.inventory(project, inventory)
        except (HarborProtocolError, *SHAPE_ERRORS) as err:
            raise _cannot_tell(damage(self._files, path, err)) from err
        except IntegrityError as err:
            raise _cannot_tell(err) from err
        return named, paths

    def _look_at_pointers(self) -> dict[str, Named]:
        """Return what each pointer names; one that cannot be read is believed by nobody."""
        found: dict[str, Named] = {}
        for entry in list(self._files.iter_files("latest")):
            try:
                if data := read_object(self._files, entry.path):
                    name = entry.path.removeprefix("latest/").removesuffix(".json")
                    found[entry.path] = (name, str(data["inventory"]), str(data["contents"]))
                    layout.inventory(name, "")
            except (HarborConfigurationError, HarborProtocolError, IntegrityError, KeyError):
                found.pop(entry.path, None)
        return found

    def _read_contents(self, path: str, project: str, sha256: str, *, is_needed: bool) -> None:
        try:
            for _, contents in self._inventories.iter_contents(project, sha256):
                for content in contents.values():
                    self._blobs.update(
                        _key(layout.blob(item.digest)) for item in content.iter_sizes()
                    )
        except (IntegrityError, HarborProtocolError) as err:
            if is_needed:
                raise _cannot_tell(err) from err
            return
        self._read.add(path)


def _of_snapshot(data: dict[str, Any]) -> Iterator[Named]:
    for project, item in data["projects"].items():
        yield project, str(item["inventory"]), str(item["contents"])


def _of_result(data: dict[str, Any]) -> Iterator[Named]:
    if data["inventory"] is not None:
        yield data["project"], str(data["inventory"]["sha256"]), str(data["contents"])


def _key(path: str) -> bytes:
    """Return a file of the pool as bytes: the digest, whose algorithm shows by its length."""
    return bytes.fromhex(path.rpartition("/")[2])


def _cannot_tell(err: Exception) -> IntegrityError:
    return IntegrityError(
        f"{err}. So nobody can tell what it names, and nothing is deleted. Repair it, or forget "
        "the snapshots that have it"
    )
