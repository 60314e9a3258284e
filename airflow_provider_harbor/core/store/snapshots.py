"""Snapshots and reports in a store: how each run ended."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from airflow_provider_harbor.core.exceptions import HarborConfigurationError, IntegrityError
from airflow_provider_harbor.core.harbor.records import first_line
from airflow_provider_harbor.core.store import layout
from airflow_provider_harbor.core.store.documents import (
    SHAPE_ERRORS,
    PackedLines,
    damage,
    dump,
    read_object,
)
from airflow_provider_harbor.core.store.files import Files
from airflow_provider_harbor.core.store.seals import seal
from airflow_provider_harbor.core.store.settings_files import NightSettings

_READERS = 16
_PLAN_KIND = "harbor-plan"

# No sum of bytes is larger; what is cannot be shown, either.
LARGEST = 2**63 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectContents:
    """What a snapshot holds of a project.

    Attributes:
        inventory: SHA-256 (hex) of the inventory.
        contents: SHA-256 (hex) of the contents; empty where the content is not in the pool.
        ok: Whether all of it was protected.
        digests: Number of digests in the inventory, attestations excluded.
        size_bytes: Sum over all its images.
    """

    inventory: str
    contents: str
    ok: bool
    digests: int
    size_bytes: int

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ProjectContents:
        """Read one item of a snapshot's `projects`."""
        return cls(
            inventory=str(data["inventory"]),
            contents=str(data["contents"]),
            ok=bool(data["ok"]),
            digests=_amount(data["digests"]),
            size_bytes=_amount(data["size_bytes"]),
        )

    def to_json(self) -> dict[str, Any]:
        """Return one item of a snapshot's `projects`."""
        return {
            "inventory": self.inventory,
            "contents": self.contents,
            "ok": self.ok,
            "digests": self.digests,
            "size_bytes": self.size_bytes,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A run that has come to its end.

    Attributes:
        key: Name of its directory; sorts as time does.
        run: Its name, as who ran it knows it.
        complete: Whether everything was protected.
        started_at, ended_at: ISO 8601, with a time zone.
        projects: What it holds of each project that could be listed.
        limited_to: Names and globs of projects to which the run was limited; empty for all.
        settings: Harbor's settings that night; None where they were not read.
        lacking: Projects that were to be in it and are not, since they could not be listed; None
            where that is not known.
    """

    key: str
    run: str
    complete: bool
    harbor_url: str
    destination: str
    started_at: str
    ended_at: str
    projects: Mapping[str, ProjectContents]
    limited_to: tuple[str, ...] = ()
    settings: NightSettings | None = None
    lacking: tuple[str, ...] | None = None

    @property
    def has_contents(self) -> bool:
        """Whether its content is in the pool, as far as it has any."""
        return not self.digests or any(project.contents for project in self.projects.values())

    @property
    def is_mirrored(self) -> bool:
        """Whether content went to a registry, and not into the store."""
        return self.destination.startswith(("http://", "https://"))

    def why_no_content(self) -> str:
        """Say why it may have the list of a project, and not the content."""
        if self.is_mirrored:
            why = f"it went to {self.destination}, or was"
        else:
            why = "nothing of it could be copied that night, or it was"
        return f"{why} left out (as of a project that is a proxy cache)"

    @property
    def digests(self) -> int:
        """Number of digests, over all projects."""
        return sum(project.digests for project in self.projects.values())

    @property
    def size_bytes(self) -> int:
        """Bytes of all images, over all projects."""
        return sum(project.size_bytes for project in self.projects.values())

    @classmethod
    def from_json(cls, key: str, data: Mapping[str, Any]) -> Snapshot:
        """Read snapshot.json or partial.json."""
        return cls(
            key=key,
            run=str(data["run"]),
            complete=bool(data["complete"]),
            harbor_url=str(data["harbor_url"]),
            destination=str(data["destination"]),
            started_at=str(data["started_at"]),
            ended_at=str(data["ended_at"]),
            projects={
                str(name): ProjectContents.from_json(item)
                for name, item in data["projects"].items()
            },
            limited_to=tuple(map(str, data["limited_to"])),
            settings=NightSettings.from_json(data["settings"]) if data.get("settings") else None,
            lacking=tuple(map(str, data["lacking"])) if "lacking" in data else None,
        )

    def to_json(self) -> dict[str, Any]:
        """Return what snapshot.json or partial.json holds."""
        settings = {"settings": self.settings.to_json()} if self.settings else {}
        lacking = {} if self.lacking is None else {"lacking": list(self.lacking)}
        return {
            "run": self.run,
            "complete": self.complete,
            "harbor_url": self.harbor_url,
            "destination": self.destination,
            "started_at": self.started_at,
            "ended_at": self.ended_at,
            "limited_to": list(self.limited_to),
            **lacking,
            "projects": {name: item.to_json() for name, item in sorted(self.projects.items())},
            **settings,
        }


def _amount(value: Any) -> int:
    if not 0 <= (number := int(value)) <= LARGEST:
        raise ValueError(f"an amount is less than 0, or more than {LARGEST}")
    return number


class Snapshots:
    """The ends of the runs of a store, and their reports. May be shared by threads."""

    def __init__(self, files: Files) -> None:
        self._files = files

    def commit(self, snapshot: Snapshot) -> str:
        """Write the last file of a run, and return the path of it.

        A run that was complete once stays so: its snapshot.json is not replaced by a partial.json,
        and its path is returned.
        """
        complete, partial = layout.snapshot(snapshot.run), layout.partial(snapshot.run)
        if not snapshot.complete and self._files.exists(complete):
            return complete
        path = complete if snapshot.complete else partial
        self._files.sync()
        self._files.write(path, seal(dump(snapshot.to_json())))
        self._files.sync()  # a run that says that it is complete is so after a power cut, too
        return path

    def list_keys(self) -> list[str]:
        """Return the keys of all runs, oldest first; those that were cut short are among them."""
        return self._files.list_directories(layout.SNAPSHOTS)

    def read(self, key: str) -> Snapshot | None:
        """Return how a run ended; None where it was cut short.

        Raises:
            IntegrityError: It cannot be read.
        """
        for path in (layout.snapshot(key), layout.partial(key)):
            if data := read_object(self._files, path):
                try:
                    return Snapshot.from_json(key, data)
                except SHAPE_ERRORS as err:
                    raise damage(self._files, path, err) from err
        return None

    def read_all(self, on_damage: Callable[[str, str], object] | None = None) -> Iterator[Snapshot]:
        """Yield all runs that came to their end, newest first.

        Args:
            on_damage: Called, from many threads, with the key of each that cannot be read, and why;
                without it that is raised.
        """

        def read(key: str) -> Snapshot | None:
            try:
                return self.read(key)
            except IntegrityError as err:
                if on_damage is None:
                    raise
                on_damage(key, str(err))
                return None

        with ThreadPoolExecutor(_READERS, thread_name_prefix="snapshots") as pool:
            for snapshot in pool.map(read, reversed(self.list_keys())):
                if snapshot is not None:
                    yield snapshot

    # -- reports and plans

    def write_report(self, run: str, report: Mapping[str, Any], html: str) -> tuple[str, str]:
        """Keep how a run ended; returns the paths of the JSON and of the page."""
        paths = layout.report(run, "json"), layout.report(run, "html")
        self._files.write(paths[1], html.encode(errors="backslashreplace"))
        self._files.write(paths[0], dump(report))
        return paths

    def list_reports(self, since: str = "") -> list[str]:
        """Return the names of the runs that have a report, oldest first.

        Args:
            since: Leave out those that sort before it, which costs fewer requests: `2026-11` for
                what began in November 2026 or later.
        """
        names = self._files.list_names(layout.REPORTS, since=since)
        return [name.removesuffix(".html") for name in names if name.endswith(".html")]

    def read_report(self, run: str) -> dict[str, Any] | None:
        """Return how a run ended, as it was kept; None where it was not.

        Raises:
            IntegrityError: It cannot be read.
        """
        return read_object(self._files, layout.report(run, "json"))

    def read_report_page(self, run: str) -> bytes | None:
        """Return the page of how a run ended; None where there is none."""
        try:
            return self._files.read(layout.report(run, "html"))
        except FileNotFoundError:
            return None

    def write_told(self, run: str, *, red: bool) -> None:
        """Remember that people were told how a run ended.

        Args:
            run: The run's name.
            red: Whether it had failed.
        """
        self._files.write(layout.told(run), dump({"red": red}))

    def read_told(self, run: str) -> bool | None:
        """Return whether a run had failed when people were last told; None where they were not.

        Raises:
            IntegrityError: It cannot be read.
        """
        data = read_object(self._files, layout.told(run))
        return None if data is None else data.get("red") is True

    def write_plan(self, run: str, project: str) -> PackedLines:
        """Begin what a dry run would copy of a project; returns what takes its lines."""
        path = layout.plan(run, project)
        plan = PackedLines(self._files, lambda sha256: path, replaces=True)
        plan.add(first_line(_PLAN_KIND))
        return plan

    # -- the newest contents of each project

    def read_latest(self, project: str) -> tuple[str, str] | None:
        """Return inventory and contents of a project's newest result that has contents.

        None where there is none, which anything that cannot be read is taken for.
        """
        try:
            data = read_object(self._files, layout.latest(project))
            return (str(data["inventory"]), str(data["contents"])) if data else None
        except (HarborConfigurationError, IntegrityError, KeyError):
            return None

    def write_latest(self, project: str, run: str, inventory: str, contents: str) -> None:
        """Remember the newest contents of a project, where they are others than before."""
        if self.read_latest(project) != (inventory, contents):
            data = {"run": run, "inventory": inventory, "contents": contents}
            self._files.write(layout.latest(project), dump(data))
