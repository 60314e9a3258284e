"""What the demo shows of a run: what it reports, and a proof that does not believe it."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from airflow_provider_harbor.core.copy.outcome import WORDS, Status, parts_in_words
from airflow_provider_harbor.core.harbor.records import Counts
from airflow_provider_harbor.core.human import human_count, human_size

from .sample import Holding
from .screen import Screen


class ProofError(Exception):
    """Something is not as the report says."""


class Results:
    """The report of one run, as it is in the store.

    Args:
        store: The store's directory.
        dag_id, run_id: Of the Airflow run.
    """

    def __init__(self, store: Path, dag_id: str, run_id: str) -> None:
        self._store = store
        (self.page,) = (store / "reports").glob(f"*.{dag_id}.{run_id}.html")
        self.name = self.page.stem
        self._report: dict[str, Any] = json.loads(self.page.with_suffix(".json").read_bytes())

    def show_backup(self, screen: Screen) -> None:
        report, counts = self._begin(screen), self._report["counts"]
        screen.good(f"Everything is protected: all {len(report['projects'])} projects")
        screen.line()
        screen.fields(
            [
                ("manifests", f"{Counts.from_json(counts).records:,}: {self._ends()}"),
                ("artifacts", f"{counts['artifacts']:,} in {counts['repositories']} repositories"),
                ("children", f"{counts['children']:,} (images of one platform, in an index)"),
                ("accessories", f"{counts['accessories']:,} (signatures, SBOMs)"),
                ("digests", f"{counts['digests']:,}, the sum of these three"),
                ("attestations", f"{counts['attestations']:,} (copied, and no digests)"),
                ("tags", f"{counts['tags']:,}"),
                ("bytes", f"{human_size(counts['size_bytes'])} (shared layers counted each time)"),
                ("sent", f"{self._sent()} (shared layers sent once)"),
                ("snapshot", f"{shown(self._store / 'snapshots' / self.name)}/snapshot.json"),
                ("report", str(shown(self.page))),
            ]
        )

    def show_restore(self, screen: Screen) -> None:
        report = self._begin(screen)
        screen.good(f"Everything is restored: {human_count(len(report['projects']), 'project')}")
        screen.line()
        screen.fields(
            [
                ("snapshot", report["snapshot"]),
                ("manifests", self._ends()),
                ("sent", self._sent()),
                ("report", str(shown(self.page))),
            ]
        )

    def _begin(self, screen: Screen) -> dict[str, Any]:
        if not self._report["complete"]:
            raise ProofError(self._report["summary"])
        screen.line()
        return self._report

    def _ends(self) -> str:
        return parts_in_words({WORDS[status]: self._report[status.value] for status in Status})

    def _sent(self) -> str:
        sent = human_size(self._report["bytes_copied"])
        return f"{sent} in {human_count(self._report['blobs_copied'], 'blob')}"


def prove_stored(screen: Screen, store: Path, held: Holding, check: Callable[[], object]) -> None:
    """Read and hash the whole pool, and look in it for all that Harbor lists.

    Raises:
        ProofError: A file is not what its name says, or a digest is not there.
    """
    screen.title("Proof: the store, read by other means than the backup's")
    files = sorted((store / "blobs/sha256").iterdir())
    for path in files:
        check()
        if hashlib.sha256(path.read_bytes()).hexdigest() != path.name:
            raise ProofError(f"{path} is not what its name says")
    size = human_size(sum(path.stat().st_size for path in files))
    screen.line(f"  All {len(files):,} files of the pool ({size}) have the SHA-256 of their names.")
    there = {f"sha256:{path.name}" for path in files}
    if missing := [digest for _, digest in held if digest not in there]:
        raise ProofError(f"{len(missing)} manifests are not in the store, such as {missing[0]}")
    screen.line(f"  All {len(held):,} manifests that Harbor lists now are among them.")


def prove_restored(screen: Screen, before: Holding, after: Holding) -> None:
    """Compare what Harbor lists with what it listed before the accident.

    Raises:
        ProofError: Something differs.
    """
    screen.title("Proof: what Harbor lists, compared with before the accident")
    if different := {key for key, _ in before.items() ^ after.items()}:
        repository, digest = min(different)
        raise ProofError(f"{len(different)} differ, such as {repository}@{digest}")
    tags = sum(map(len, after.values()))
    screen.line(f"  All {len(after):,} manifests and {tags:,} tags are as they were.")


def shown(path: Path) -> Path:
    """Return a path as it is typed from the working directory."""
    relative = Path(os.path.relpath(path))
    return path if relative.parts[:1] == ("..",) else relative
