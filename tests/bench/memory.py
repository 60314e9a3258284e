"""How much memory a backup into a directory takes: `python -m tests.bench.memory [ARTIFACTS]`.

By default of 100,000 artifacts in 500 repositories of one project; the goal is 150 MB at most.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from tests.bench.processes import run_command, running_double

GOAL_BYTES = 150_000_000


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.memory", description=__doc__)
    parser.add_argument("artifacts", nargs="?", type=int, default=100_000)
    parser.add_argument("--repositories", type=int, default=500)
    parser.add_argument("--only", choices=["dry run", "first night"], help="leave out the rest")
    options = parser.parse_args()
    nights = [("dry run", ["--dry-run"]), ("first night", []), ("unchanged night", [])]
    is_within = True
    with (
        tempfile.TemporaryDirectory(prefix="harbor-bench-") as directory,
        running_double("--generate", 1, options.repositories, options.artifacts) as url,
    ):
        for name, more in nights:
            if options.only not in (None, name):
                continue
            used = run_command("backup", url, Path(directory) / "store", "--quiet", *more)
            print(
                f"{name:16} {used.most_memory_bytes / 1e6:7.1f} MB at most, {used.seconds:7.1f} s, "
                f"{used.cpu_seconds:7.1f} s of CPU, exit code {used.code}: {used.said[:120]}",
                flush=True,
            )
            is_within &= used.code == 0 and used.most_memory_bytes <= GOAL_BYTES
    print(f"goal: {GOAL_BYTES / 1e6:.0f} MB: {'reached' if is_within else 'NOT reached'}")
    return 0 if is_within else 1


if __name__ == "__main__":
    raise SystemExit(main())
