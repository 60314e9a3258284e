"""Kills (SIGKILL) a prune or a backup at each of many points, beside the other; see the test.

    python -m tests.core.jobs.kills DIRECTORY prune|backup

Each job is a forked process that uses a store in a directory, and kills itself at its n-th
operation on files. This process never uses the store itself, and looks at it with nothing of the
package. It prints what it found wrong, a line each, and how many kills there were.
"""

from __future__ import annotations

import gzip
import itertools
import json
import os
import shutil
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from airflow_provider_harbor.core.exceptions import LeaseError
from airflow_provider_harbor.core.jobs.forget import forget
from airflow_provider_harbor.core.jobs.prune import prune
from airflow_provider_harbor.core.store import claims
from airflow_provider_harbor.core.store.backup_store import BackupStore
from airflow_provider_harbor.core.store.files import Files
from airflow_provider_harbor.core.store.retention import Policy
from tests.core.jobs.small_harbor import HARBOR, back_up, small_harbor

EVERY = 3
_BUSY = 9


def kill_at(number: int) -> None:
    """Have this process die at its operation of that number."""
    lock, numbers = threading.Lock(), itertools.count(1)

    def counted(method: Callable[..., Any]) -> Callable[..., Any]:
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            with lock:
                if next(numbers) == number:
                    os.kill(os.getpid(), signal.SIGKILL)
            return method(*args, **kwargs)

        return wrapper

    for name in ("_put", "read", "open", "size", "modified", "iter_files", "list_names"):
        setattr(Files, name, counted(getattr(Files, name)))
    delete_one = counted(Files.delete)
    Files.delete = lambda files, paths: [delete_one(files, [p]) for p in paths]  # type: ignore


def tonight(root: Path, run: str = "night-3") -> None:
    # What the first night had, which was forgotten, is in Harbor again.
    store = BackupStore(root)
    report = back_up(store, small_harbor("ab", "c"), run, datetime.now(timezone.utc))
    assert report.complete, report.failures()


def sweep(root: Path) -> None:
    prune(BackupStore(root), f"prune-{os.getpid()}", grace=timedelta(0), limit_percent=100)


def begin(root: Path) -> None:
    store = BackupStore(root)
    store.begin_for(HARBOR)
    for number, held in enumerate([("ab", "c"), ("ad", "ce")], start=1):
        begun = datetime(2026, 11, number, tzinfo=timezone.utc)
        back_up(store, small_harbor(*held), f"night-{number}", begun)
    forget(store, Policy(keep_last=1))


def start(job: Callable[..., None], root: Path, kill: int = 0) -> int:
    """Fork a process that does a job, and return its id."""
    sys.stdout.flush()
    if pid := os.fork():
        return pid
    code = 0
    try:
        if kill:
            kill_at(kill)
        job(root)
    except LeaseError:
        code = _BUSY
    except BaseException:
        traceback.print_exc()
        code = 1
    os._exit(code)


def wait(pid: int) -> int:
    """Return how a process ended: its exit code, or minus its signal."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def missing(root: Path) -> Iterator[str]:
    """Yield what snapshots name and the store lacks."""
    for path in root.glob("snapshots/*/*.json"):
        for project, item in json.loads(path.read_bytes())["projects"].items():
            lists = [root / "inventories" / project / f"{item['inventory']}.jsonl.gz"]
            if item["contents"]:
                lists.append(root / "contents" / project / f"{item['contents']}.jsonl.gz")
            yield from (f"{path} names {found}" for found in lists if not found.exists())
            for line in gzip.decompress(lists[-1].read_bytes()).splitlines()[1:]:
                content = json.loads(line)
                digests = [content["digest"], *(b["digest"] for b in content.get("blobs", ()))]
                for digest in digests:
                    if not (root / "blobs" / digest.replace(":", "/")).exists():
                        yield f"{path} names {digest}"


def main(directory: Path, victim: str) -> None:
    claims._LOOK_AGAIN_SECONDS = 0.02
    base, root = directory / "base", directory / "store"
    assert wait(start(begin, base)) == 0
    jobs = {"prune": sweep, "backup": tonight}
    (other,) = (job for name, job in jobs.items() if name != victim)
    killed = 0
    for point in itertools.count(1, EVERY):
        shutil.rmtree(root, ignore_errors=True)
        shutil.copytree(base, root)
        dying, beside = start(jobs[victim], root, point), start(other, root)
        ends = wait(dying), wait(beside)
        wrong = [*missing(root)]
        if ends[1] != 0:
            wrong.append(f"the one beside ended with {ends[1]}")
        # Whatever was killed: the next ones go on.
        ends_after = [wait(start(job, root)) for job in (tonight, sweep)]
        wrong += [*missing(root)]
        if ends_after != [0, 0]:
            wrong.append(f"afterwards they ended with {ends_after}")
        if wrong:
            sys.stdout.write(f"killed at {point}: {'; '.join(wrong)}\n")
        if ends[0] != -signal.SIGKILL:
            break  # it has come to its end before
        killed += 1
    sys.stdout.write(f"{killed}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
