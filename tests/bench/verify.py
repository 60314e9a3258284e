"""How fast content is verified: `python -m tests.bench.verify [MIB] [--small N]`.

The same files are read by `sha256sum` in two processes and by `harbor-backup verify --all`, in
turns, after both have read them once. The goal: verify reaches 0.8 of what sha256sum does.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from airflow_provider_harbor.core.jobs.verification.report import EVERYTHING
from airflow_provider_harbor.core.jobs.verification.verify import Verification, verify
from airflow_provider_harbor.core.store.backup_store import BackupStore
from tests.core.verifying import build

GOAL = 0.8
LAYER_BYTES = 16 * 1024 * 1024


def fill(pool: Path, mib: int, small: int) -> int:
    """Put large and small files into a pool, named by what they are; returns the bytes."""
    total = 0
    for number in range(mib * 1024 * 1024 // LAYER_BYTES + small):
        size = 2_000 if number < small else LAYER_BYTES
        data = os.urandom(size)
        (pool / hashlib.sha256(data).hexdigest()).write_bytes(data)
        total += size
    return total


def run_program(pool: Path, *program: str) -> float:
    began = time.monotonic()
    listed = subprocess.run(
        ["find", pool, "-type", "f", "-print0"], capture_output=True, check=True
    )
    subprocess.run(
        ["xargs", "-0", "-P2", "-n", "16", *program],
        input=listed.stdout, stdout=subprocess.DEVNULL, check=True,
    )  # fmt: skip
    return time.monotonic() - began


def run_verify(store: BackupStore, workers: int) -> tuple[float, float]:
    """Return the seconds of reading the content, and of all."""
    began = time.monotonic()
    report = verify(Verification(store=store, run="bench.verify", part=EVERYTHING, workers=workers))
    assert report.ok, report.to_text()
    return report.stages[1].seconds, time.monotonic() - began


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.verify", description=__doc__)
    parser.add_argument("mib", nargs="?", type=int, default=1024)
    parser.add_argument("--small", type=int, default=2_000, help="so many files of 2 kB, too")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--workers", type=int, default=8)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="harbor-bench-") as directory:
        root = Path(directory) / "store"
        store = build(root, random.Random(1)).store
        total = fill(root / "blobs" / "sha256", options.mib, options.small)
        pool = root / "blobs"
        run_program(pool, "sha256sum")
        ratios, ours, theirs, openssl = [], [], [], []
        for _ in range(options.rounds):
            before = run_program(pool, "sha256sum")
            seconds, _whole = run_verify(store, options.workers)
            after = run_program(pool, "sha256sum")
            if shutil.which("openssl"):  # coreutils may be built without the processor's own SHA
                openssl.append(run_program(pool, "openssl", "dgst", "-sha256"))
            ours.append(seconds)
            theirs += [before, after]
            ratios.append((before + after) / 2 / seconds)
    ratio = statistics.median(ratios)
    mb = total / 1e6
    print(f"sha256sum, 2 processes  {mb / statistics.median(theirs):8.0f} MB/s")
    print(f"verify --all            {mb / statistics.median(ours):8.0f} MB/s")
    each = ", ".join(f"{ratio:.2f}" for ratio in ratios)
    print(f"ratio, median of {len(ratios)}: {ratio:.2f}, goal {GOAL}: {each}")
    if openssl:
        print(f"openssl, 2 processes    {mb / statistics.median(openssl):8.0f} MB/s")
    return 0 if ratio >= GOAL else 1


if __name__ == "__main__":
    sys.exit(main())
