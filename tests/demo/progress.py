"""What is known of a run while it runs, by Airflow's REST API."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from airflow_provider_harbor.core.copy.outcome import WORDS, Status, parts_in_words
from airflow_provider_harbor.core.harbor.records import Counts
from airflow_provider_harbor.core.human import human_count, human_size
from tests.airflow_server import AirflowApi

from .screen import Row

BACKUP, RESTORE = "harbor_backup", "harbor_restore"
Instance = Mapping[str, Any]
Instances = Mapping[tuple[str, int], Instance]


class RunProgress(ABC):
    """Looks at one run again and again."""

    dag_id: str

    def __init__(self, api: AirflowApi, run_id: str) -> None:
        self._api = api
        self.run_id = run_id
        self._returned: dict[tuple[str, int], Any] = {}
        self._found: list[dict[str, Any]] = []

    def rows(self) -> list[Row]:
        """Return what is being done, in the order of the flow: a row for each project."""
        self._found = self._api.get_task_instances(self.dag_id, self.run_id)
        return self._rows({(i["task_id"], i["map_index"]): i for i in self._found})

    @abstractmethod
    def _rows(self, instances: Instances) -> list[Row]: ...

    def failed(self) -> list[dict[str, Any]]:
        """Return the task instances that failed themselves, in the order they ended."""
        states = ("failed", "up_for_retry")
        failed = [instance for instance in self._found if instance["state"] in states]
        return sorted(failed, key=lambda instance: str(instance["end_date"]))

    def _result(self, instance: Instance | None) -> Any:
        """Return what a task returned; asked for once."""
        if instance is None or instance["state"] != "success":
            return None
        key = (instance["task_id"], instance["map_index"])
        if key not in self._returned:
            self._returned[key] = self._api.get_xcom(self.dag_id, self.run_id, *key)
        return self._returned[key]


class BackupProgress(RunProgress):
    """A run of `harbor_backup`."""

    dag_id = BACKUP

    def _rows(self, instances: Instances) -> list[Row]:
        projects = instances.get(("projects", -1))
        units = self._result(projects) or []
        return [
            _row("check", instances.get(("check", -1)), "Harbor answers, the store can be written"),
            _row("projects", projects, human_count(len(units), "project")),
            *(self._project(unit["name"], i, instances) for i, unit in enumerate(units)),
            _row("snapshot", instances.get(("snapshot", -1)), "report and snapshot are written"),
        ]

    def _project(self, name: str, index: int, instances: Instances) -> Row:
        inventory = instances.get(("backup.inventory", index))
        copy = instances.get(("backup.copy", index))
        listed = ""
        if refs := self._result(inventory):
            counts = sum((Counts.from_json(ref["counts"]) for ref in refs), Counts())
            listed = human_count(counts.records, "manifest")
        if state := _bad_state(inventory) or _bad_state(copy):
            return Row(name, "failed", f"{listed}, {state}" if listed else state)
        if results := self._result(copy):
            return Row(name, "done", f"{listed}: {_copied(results)}")
        if copy and copy["state"] == "running":
            return Row(name, "running", f"{listed}, copying")
        if listed:
            return Row(name, "waiting", f"{listed}, waiting to be copied")
        if inventory and inventory["state"] == "running":
            return Row(name, "running", "listing")
        return Row(name, "waiting", "")


class RestoreProgress(RunProgress):
    """A run of `harbor_restore`."""

    dag_id = RESTORE

    def _rows(self, instances: Instances) -> list[Row]:
        choose = instances.get(("choose", -1))
        units = self._result(choose) or []
        return [
            _row("choose", choose, f"the night, and {human_count(len(units), 'project')} of it"),
            *(self._project(unit["name"], i, instances) for i, unit in enumerate(units)),
            _row("report", instances.get(("report", -1)), "the report is written"),
        ]

    def _project(self, name: str, index: int, instances: Instances) -> Row:
        instance = instances.get(("restore", index))
        results = self._result(instance)
        return _row(name, instance, _copied(results) if results else "")


def _row(name: str, instance: Instance | None, text: str) -> Row:
    state = (instance or {}).get("state")
    if state == "success":
        return Row(name, "done", text)
    if bad := _bad_state(instance):
        return Row(name, "failed", bad)
    if state == "skipped":
        return Row(name, "skipped", "skipped")
    return Row(name, "running" if state == "running" else "waiting", "")


def _bad_state(instance: Instance | None) -> str:
    state = (instance or {}).get("state")
    task = str((instance or {}).get("task_id")).rpartition(".")[2]
    if state in ("failed", "up_for_retry"):
        return f"{task} failed"
    return "not run: a task before it failed" if state == "upstream_failed" else ""


def _copied(results: list[dict[str, Any]]) -> str:
    copies = [result["copy"] for result in results if result["copy"]]
    if not copies:
        return "planned only"
    totals = {
        name: sum(copy[name] for copy in copies)
        for name in ("copied", "present", "skipped", "tags_set", "bytes_copied")
    }
    ends = {WORDS[status]: totals[status.value] for status in Status if status.value in totals}
    parts = [parts_in_words(ends) or "nothing to do", f"{human_size(totals['bytes_copied'])} sent"]
    if totals["tags_set"]:
        parts.append(f"{human_count(totals['tags_set'], 'tag')} set")
    return ", ".join(parts)
