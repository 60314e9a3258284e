"""The lease: one run at a time writes to a destination, and a dead one stops nobody for long."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from airflow_provider_harbor.core.exceptions import LeaseError
from airflow_provider_harbor.core.store import leases
from airflow_provider_harbor.core.store.leases import STALE_SECONDS, Lease
from airflow_provider_harbor.core.store.storage import Storage

MINUTE = 60.0


class Clock:
    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["directory", "memory"])
def files(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    if request.param == "directory":
        return Storage(tmp_path / "store")
    return Storage(f"memory://leases-{tmp_path.name}-{id(request)}")


@pytest.fixture
def lease(files: Storage, clock: Clock) -> Callable[[str], Lease]:
    return lambda run: Lease(files, "registry.example.com", run, clock=clock)


def test_a_second_run_is_told_who_writes_since_when(lease: Callable[[str], Lease]) -> None:
    with lease("night-1"), pytest.raises(LeaseError, match="the run night-1 on ") as caught:
        lease("night-2").acquire()
    assert (caught.value.run, caught.value.since) == ("night-1", "2023-11-14T22:13:20+00:00")
    assert caught.value.host


def test_tasks_of_one_run_share_the_lease(lease: Callable[[str], Lease]) -> None:
    with lease("night-1") as one, lease("night-1") as other:
        one.check()
        other.check()


def test_another_destination_is_another_lease(
    files: Storage, lease: Callable[[str], Lease]
) -> None:
    with lease("night-1"), Lease(files, "elsewhere", "night-2"):
        pass


def test_a_lease_is_kept_between_the_tasks_of_a_run(lease: Callable[[str], Lease]) -> None:
    with lease("night-1"):
        pass
    with pytest.raises(LeaseError):
        lease("night-2").acquire()


def test_a_released_lease_is_free(lease: Callable[[str], Lease]) -> None:
    with lease("night-1"):
        pass
    lease("night-1").release()
    lease("night-2").acquire()


def test_only_the_run_itself_releases_its_lease(lease: Callable[[str], Lease]) -> None:
    lease("night-1").acquire()
    lease("night-2").release()
    with pytest.raises(LeaseError):
        lease("night-2").acquire()


def test_a_run_that_was_released_can_go_on_later(lease: Callable[[str], Lease]) -> None:
    lease("night-1").acquire()
    lease("night-1").release()
    lease("night-1").acquire()
    with pytest.raises(LeaseError):
        lease("night-2").acquire()


def test_a_lease_that_nobody_renews_is_taken_over(
    lease: Callable[[str], Lease], clock: Clock
) -> None:
    lease("night-1").acquire()
    clock.now += STALE_SECONDS - 1
    with pytest.raises(LeaseError, match="5 min"):
        lease("night-2").acquire()
    clock.now += 2
    lease("night-2").acquire()


def test_a_run_that_slept_and_was_taken_over_writes_no_more(
    lease: Callable[[str], Lease], clock: Clock
) -> None:
    old = lease("night-1")
    old.acquire()
    clock.now += STALE_SECONDS + 1
    with lease("night-2"):
        with pytest.raises(LeaseError, match="night-2"):
            old.check()
        with pytest.raises(LeaseError, match="night-2"):
            old.check()


def test_a_run_that_slept_and_was_not_taken_over_goes_on(
    lease: Callable[[str], Lease], clock: Clock
) -> None:
    slept = lease("night-1")
    slept.acquire()
    clock.now += 10 * STALE_SECONDS
    slept.check()
    with pytest.raises(LeaseError):
        lease("night-2").acquire()


def test_an_open_lease_renews_itself(
    lease: Callable[[str], Lease], clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "RENEWED_EVERY_SECONDS", 0.01)
    renewed = threading.Event()
    mine = lease("night-1")
    write = mine._write

    def writes(now: float) -> None:
        write(now)
        renewed.set()

    monkeypatch.setattr(mine, "_write", writes)
    with mine:
        clock.now += 200
        renewed.clear()
        assert renewed.wait(10)
        clock.now += 200
        with pytest.raises(LeaseError):
            lease("night-2").acquire()


def test_of_many_that_want_it_at_once_one_gets_it(lease: Callable[[str], Lease]) -> None:
    start = threading.Barrier(8)

    def race(number: int) -> bool:
        start.wait()
        try:
            lease(f"night-{number}").acquire()
        except LeaseError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(race, range(8))) == 1


@pytest.mark.parametrize("content", [b"", b"no json", b"[]", b'{"run": "night-1"}'])
def test_a_damaged_lease_is_nobodys(
    files: Storage, lease: Callable[[str], Lease], content: bytes
) -> None:
    lease("night-1").acquire()
    files.write("leases/registry.example.com/00000001.json", content)
    lease("night-2").acquire()
    with pytest.raises(LeaseError):
        lease("night-3").acquire()


def test_a_process_of_this_machine_that_died_holds_nothing(tmp_path: Path) -> None:
    program = (
        "import sys; from airflow_provider_harbor.core.store.leases import Lease;"
        "from airflow_provider_harbor.core.store.storage import Storage;"
        "lease = Lease(Storage(sys.argv[1]), 'registry', 'killed', is_process=True);"
        "lease.acquire(); print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == b"held\n"
        mine = Lease(Storage(tmp_path), "registry", "next", is_process=True)
        with pytest.raises(LeaseError, match="the run killed"):
            mine.acquire()
        process.kill()
        # Not waited for yet: it is a zombie, and dead all the same.
        for _ in range(1000):
            state = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0]
            if state == "Z":
                break
        mine.acquire()


def test_a_lease_of_another_machine_is_not_judged_by_its_process(
    files: Storage, lease: Callable[[str], Lease]
) -> None:
    lease("night-1").acquire()
    path = "leases/registry.example.com/00000001.json"
    data = json.loads(files.read(path))
    data["process"] = "another-boot pid:[1] 1 1"
    files.write(path, json.dumps(data).encode())
    with pytest.raises(LeaseError):
        lease("night-2").acquire()
