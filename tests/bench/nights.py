"""A store of many nights with many projects, made at once: what a page of all of them has to read.

    python -m tests.bench.nights 1000 1000

It writes snapshots, results (all of a night are links to one file: a store has as many names as a
real one, in a few minutes and a few GB less) and reports, and prints how long reading takes, from a
directory and from S3. It is never a test.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path

from airflow_provider_harbor.core.jobs.last_reports import read_last_reports
from airflow_provider_harbor.core.jobs.overview import read_overview, remember_nights
from airflow_provider_harbor.core.jobs.overview_page import render_store
from airflow_provider_harbor.core.store import layout
from airflow_provider_harbor.core.store.backup_store import BackupStore
from airflow_provider_harbor.core.store.snapshots import ProjectContents, Snapshot
from tests.s3_server import running_s3_server

NEWEST = datetime(2026, 11, 25, 3, 30, tzinfo=timezone.utc)


def fill(directory: Path, nights: int, projects: int, *, results: bool = True) -> BackupStore:
    """Make a store: every project grows every night, some fail in some nights."""
    store = BackupStore(directory)
    store.begin_for("https://harbor.example.com")
    for number in range(nights):
        began = NEWEST - timedelta(days=nights - 1 - number)
        run = f"{began:%Y-%m-%dT%H-%M-%SZ}.harbor_backup.scheduled__{began:%Y-%m-%d}"
        bad = {number % projects} if number % 50 == 7 else set()
        held = {
            f"project-{p:04}": ProjectContents(
                inventory=f"{number:032x}{p:032x}",
                contents=f"{p:032x}{number:032x}",
                ok=p not in bad,
                digests=20 + p % 7 + number // 10,
                size_bytes=(1 << 28) + p * 1_000_003 + number * 777_777,
            )
            for p in range(projects)
        }
        made = Snapshot(
            key=layout.run_key(run),
            run=run,
            complete=not bad,
            harbor_url="https://harbor.example.com",
            destination=store.url,
            started_at=began.isoformat(),
            ended_at=(began + timedelta(minutes=12)).isoformat(),
            projects=held,
            lacking=(),
        )
        store.snapshots.commit(made)
        store.snapshots.write_report(run, {"run": run, "summary": "as every night"}, "<main>")
        verified = f"{run}.verify"
        found = {"run": verified, "kind": "verify", "ok": True, "summary": "whole"}
        store.snapshots.write_report(verified, found | {"ended_at": made.ended_at}, "<main>")
        if results:
            _link_results(directory / layout.SNAPSHOTS / made.key, list(held))
    return store


def _link_results(directory: Path, names: list[str]) -> None:
    (directory / "projects").mkdir()
    original = directory / "projects" / f"{names[0]}.json"
    original.write_text("{}\n")
    for name in names[1:]:
        os.link(original, directory / "projects" / f"{name}.json")


def timed(what: str, step: Callable[[], object]) -> None:
    """Print how long a step takes, the best of three: the others waited for something else."""
    taken = []
    for _ in range(3):
        began = time.perf_counter()
        step()
        taken.append(time.perf_counter() - began)
    print(f"{what:<40} {min(taken):6.2f} s  ({', '.join(f'{t:.2f}' for t in taken)})")


def main(nights: int, projects: int) -> None:
    """Make the store, and measure."""
    base = Path(tempfile.mkdtemp(prefix="harbor-nights-"))
    try:
        with running_s3_server(base) as server:
            bucket = server.new_bucket()
            directory = server.directory / bucket / "store"
            local = fill(directory, nights, projects)
            remote = BackupStore(f"s3://{bucket}/store", **server.options)
            began = time.perf_counter()
            remember_nights(local)
            print(f"kept in short, from nothing: {time.perf_counter() - began:.1f} s")
            size = (directory / layout.NIGHTS).stat().st_size
            print(f"{layout.NIGHTS}: {size / 2**20:.1f} MiB")
            for name, store in (("a directory", local), ("S3", remote)):
                timed(f"read from {name}", lambda store=store: read_overview(store))
                timed(
                    f"the page from {name}",
                    lambda store=store: render_store(
                        read_overview(store), read_last_reports(store, NEWEST)
                    ),
                )
            timed("kept in short, one night more", lambda: remember_nights(local))
    finally:
        shutil.rmtree(base)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
