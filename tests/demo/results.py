"""What the demo shows at its end: what the run reports, and a proof that does not believe it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from airflow_provider_harbor.core.harbor.records import Record
from airflow_provider_harbor.core.human import human_size
from airflow_provider_harbor.core.store.backup_store import BackupStore
from airflow_provider_harbor.core.store.inventories import InventoryRef

from .registries import Registry
from .screen import Screen


class ProofError(Exception):
    """The destination does not hold what the report says."""


class Results:
    """The results of one run, as they are in the store.

    Args:
        directory: The store's.
        run_id: Of the Airflow run.
    """

    def __init__(self, directory: Path, run_id: str) -> None:
        self._directory = directory
        self._key = BackupStore.run_key(run_id)
        self.page = directory / "reports" / f"{self._key}.html"
        self._report: dict[str, Any] = json.loads(self.page.with_suffix(".json").read_bytes())

    def records(self) -> list[Record]:
        """Return the inventories of all projects."""
        store = BackupStore(self._directory)
        return [
            record
            for project in self._report["projects"]
            for record in store.iter_inventory(InventoryRef.from_json(project["inventory"]))
        ]

    def show(self, screen: Screen) -> None:
        report, counts = self._report, self._report["counts"]
        sent = human_size(report["bytes_copied"])
        rest = [f"{report[name]:,} {name}" for name in ("present", "skipped", "failed")]
        inventories = self._directory / "inventories" / "<project>" / f"{self._key}.jsonl.gz"
        snapshot = self._directory / "snapshots" / self._key / "snapshot.json"
        if not report["complete"]:
            raise ProofError(report["summary"])
        screen.good(f"Everything is protected: all {len(report['projects'])} projects")
        screen.line()
        screen.fields(
            [
                ("artifacts", f"{counts['artifacts']:,} in {counts['repositories']} repositories"),
                ("children", f"{counts['children']:,} (images of one platform, in an index)"),
                ("attestations", f"{counts['attestations']:,} excluded (copied, not counted)"),
                ("accessories", f"{counts['accessories']:,} (signatures, SBOMs)"),
                ("tags", f"{counts['tags']:,}"),
                ("bytes", f"{human_size(counts['size_bytes'])} (shared layers counted each time)"),
                ("copied", f"{report['copied']:,} digests; {', '.join(rest)}"),
                ("sent", f"{sent} in {report['blobs_copied']:,} blobs (shared layers sent once)"),
                ("inventory", str(shown(inventories))),
                ("snapshot", str(shown(snapshot))),
                ("report", str(shown(self.page))),
            ]
        )


def prove(
    screen: Screen,
    records: list[Record],
    source: Registry,
    destination: Registry,
    check: Callable[[], object],
) -> None:
    """Ask both registries for an artifact, and the destination for everything.

    Raises:
        ProofError: Something differs, or is missing.
    """
    chosen = max(records, key=lambda r: (len(r.tags) > 0, len(r.children), len(r.tags)))
    tag = chosen.tags[-1].name
    screen.title(f"Proof: {chosen.repository}:{tag}, read from both")
    with source.client() as here, destination.client() as there:
        ours = here.get_manifest(chosen.repository, tag)
        theirs = there.get_manifest(chosen.repository, tag)
        equal = ours.content == theirs.content and theirs.digest == chosen.digest
        screen.fields(
            [
                ("inventory", chosen.digest),
                ("Harbor", ours.digest),
                ("destination", f"{theirs.digest}  {'equal' if equal else 'DIFFERENT'}"),
            ]
        )
        if not equal:
            raise ProofError(f"{chosen.repository}:{tag} is not the same at the destination")
        asked = [(r, r.digest) for r in records]
        asked += [(r, name.name) for r in records for name in r.tags]

        def is_there(item: tuple[Record, str]) -> bool:
            check()
            record, reference = item
            return there.find_manifest(record.repository, reference) == record.digest

        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(is_there, asked))
    if missing := [i for i, yes in zip(asked, found, strict=True) if not yes]:
        record, reference = missing[0]
        raise ProofError(
            f"{len(missing)} of {len(asked)} digests and tags are not at the destination, such as "
            f"{reference} of {record.repository}"
        )
    tags = len(asked) - len(records)
    screen.line(f"  All {len(records):,} digests and {tags:,} tags of the inventory are there.")


def shown(path: Path) -> Path:
    """Return a path as it is typed from the working directory."""
    relative = Path(os.path.relpath(path))
    return path if relative.parts[:1] == ("..",) else relative
