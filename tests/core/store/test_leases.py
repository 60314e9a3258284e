"""The lease: one run at a time writes to a destination, and a dead one stops nobody for long."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_harbor.core.exceptions import LeaseError, StoreError, StoreReason
from airflow_provider_harbor.core.store import leases
from airflow_provider_harbor.core.store.backup_store import BackupStore
from airflow_provider_harbor.core.store.files import Files
from airflow_provider_harbor.core.store.leases import STALE_SECONDS, Lease

PATH = "leases/registry.example.com.json"


class Clock:
    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def files(any_store: BackupStore) -> Files:
    return any_store.files


@pytest.fixture
def lease(files: Files, clock: Clock) -> Callable[[str], Lease]:
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


def test_another_destination_is_another_lease(files: Files, lease: Callable[[str], Lease]) -> None:
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
    files: Files, lease: Callable[[str], Lease], clock: Clock
) -> None:
    old = lease("night-1")
    old.acquire()
    clock.now += STALE_SECONDS + 1
    with lease("night-2"):
        theirs = files.read(PATH)
        for _ in range(2):
            with pytest.raises(LeaseError, match="night-2") as caught:
                old.check()
            assert caught.value.run == "night-2"
            assert caught.value.host
            assert caught.value.since == "2023-11-14T22:18:21+00:00"
        assert files.read(PATH) == theirs


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
    replace = mine._replace

    def replaces(*args: Any) -> bool:
        is_mine = replace(*args)
        renewed.set()
        return is_mine

    monkeypatch.setattr(mine, "_replace", replaces)
    with mine:
        pass
    with mine:
        clock.now += 200
        renewed.clear()
        assert renewed.wait(120)
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


def written_lease(**changes: Any) -> bytes:
    times = {"since": 1_700_000_000.0, "renewed_at": 1_700_000_000.0}
    lease = {"run": "night-1", "host": "", "process": "", **times, "released": False}
    return json.dumps({"format_version": 1, **lease, **changes}).encode()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no json",
        b"[]",
        b'{"run": "night-1"}',
        written_lease(renewed_at=1e300),
        written_lease(renewed_at=float("nan")),
        written_lease(since=1e300),
        written_lease(since=float("nan")),
        written_lease(since=float("inf")),
    ],
)
def test_a_damaged_lease_is_nobodys(
    files: Files, lease: Callable[[str], Lease], content: bytes
) -> None:
    lease("night-1").acquire()
    files.write(PATH, content)
    lease("night-2").acquire()
    with pytest.raises(LeaseError):
        lease("night-3").acquire()


def test_a_process_of_this_machine_that_died_holds_nothing(tmp_path: Path) -> None:
    program = (
        "import sys; from airflow_provider_harbor.core.store.leases import Lease;"
        "from airflow_provider_harbor.core.store.files import Files;"
        "lease = Lease(Files(sys.argv[1]), 'registry', 'killed', is_process=True);"
        "lease.acquire(); print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == b"held\n"
        mine = Lease(Files(tmp_path), "registry", "next", is_process=True)
        with pytest.raises(LeaseError, match="the run killed"):
            mine.acquire()
        process.kill()
        # Not waited for yet: it is a zombie, and dead all the same.
        for _ in range(1000):
            state = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0]
            if state == "Z":
                break
        mine.acquire()


@pytest.mark.parametrize("is_process", [True, False])
def test_only_a_run_that_is_one_process_ends_with_it(tmp_path: Path, is_process: bool) -> None:
    """A run of many tasks goes on between them."""
    program = (
        "import sys; from airflow_provider_harbor.core.store.leases import Lease;"
        "from airflow_provider_harbor.core.store.files import Files;"
        f"options = {{'is_process': True}} if {is_process} else {{}};"
        "Lease(Files(sys.argv[1]), 'registry', 'ended', **options).acquire()"
    )
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=True)
    mine = Lease(Files(tmp_path), "registry", "next")
    if is_process:
        mine.acquire()
    else:
        with pytest.raises(LeaseError, match="the run ended"):
            mine.acquire()


def test_a_lease_of_another_machine_is_not_judged_by_its_process(
    files: Files, lease: Callable[[str], Lease]
) -> None:
    lease("night-1").acquire()
    data = json.loads(files.read(PATH))
    data["process"] = "another-boot pid:[1] 1 1"
    files.write(PATH, json.dumps(data).encode())
    with pytest.raises(LeaseError):
        lease("night-2").acquire()


def test_a_task_that_finds_its_runs_lease_old_renews_it(
    lease: Callable[[str], Lease], clock: Clock
) -> None:
    lease("night-1").acquire()
    clock.now += 200
    lease("night-1").acquire()
    clock.now += 200
    with pytest.raises(LeaseError):
        lease("night-2").acquire()


class Failing(Files):
    """A store that fails, or lets others be faster, for as long as a test says so."""

    error: Exception | None = None
    is_slow = False

    def read(self, path: str) -> bytes:
        if self.error:
            raise self.error
        return super().read(path)

    def create(self, path: str, content: bytes) -> bool:
        return False if self.is_slow else super().create(path, content)


@pytest.fixture
def failing(tmp_path: Path) -> Failing:
    return Failing(tmp_path / "store")


def away() -> StoreError:
    return StoreError(StoreReason.UNREACHABLE, "it does not answer", where="s3://bucket")


def test_a_lease_that_others_always_get_first_is_given_up(failing: Failing, clock: Clock) -> None:
    failing.is_slow = True
    with pytest.raises(LeaseError, match="several runs want it"):
        Lease(failing, "registry", "night-1", clock=clock).acquire()


def test_a_run_that_cannot_renew_its_lease_for_minutes_writes_no_more(
    failing: Failing, clock: Clock
) -> None:
    mine = Lease(failing, "registry", "night-1", clock=clock)
    mine.acquire()
    failing.error = away()
    clock.now += 240
    mine.check()  # nobody else can have it yet, so nothing is asked
    clock.now += 1
    with pytest.raises(LeaseError, match="could not be renewed for minutes"):
        mine.check()
    failing.error = None
    mine.check()
    failing.error = away()
    clock.now += 240
    mine.check()


def test_an_open_lease_that_could_not_be_renewed_once_is_renewed_later(
    failing: Failing, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "RENEWED_EVERY_SECONDS", 0.01)
    mine = Lease(failing, "registry", "night-1", clock=clock)
    tried, renewed = threading.Event(), threading.Event()
    renew, replace = mine._renew, mine._replace

    def tries() -> None:
        tried.set()
        renew()

    def replaces(*args: Any) -> bool:
        is_mine = replace(*args)
        renewed.set()
        return is_mine

    monkeypatch.setattr(mine, "_renew", tries)
    monkeypatch.setattr(mine, "_replace", replaces)
    with mine:
        failing.error = away()
        tried.clear()
        assert tried.wait(120)
        tried.clear()
        assert tried.wait(120)  # so one of them failed
        renewed.clear()
        failing.error = None
        assert renewed.wait(120)
    assert not any(thread.name == "lease" for thread in threading.enumerate())


def test_a_lease_is_one_file_that_needs_no_right_to_delete(
    files: Files, lease: Callable[[str], Lease]
) -> None:
    lease("night-1").acquire()
    lease("night-1").release()
    lease("night-2").acquire()
    paths = [entry.path for entry in files.iter_files("leases") if "lock" not in entry.path]
    assert paths == [PATH]


@pytest.mark.parametrize("options", [{}, {"is_process": False}, {"is_process": True}])
def test_a_lease_is_that_of_a_process_only_where_it_is_said(
    files: Files, options: dict[str, bool]
) -> None:
    Lease(files, "registry.example.com", "night-1", **options).acquire()
    held = json.loads(files.read(PATH))
    assert bool(held["process"]) == options.get("is_process", False)
    assert (held["format_version"], held["run"], held["released"]) == (1, "night-1", False)


def test_how_long_a_run_has_gone_on_is_told(lease: Callable[[str], Lease], clock: Clock) -> None:
    """Renewing does not make it younger."""
    lease("night-1").acquire()
    clock.now += 250
    lease("night-1").acquire()
    clock.now += 50
    with pytest.raises(LeaseError, match=r"begun 5 min .*ago") as caught:
        lease("night-2").acquire()
    assert caught.value.since == "2023-11-14T22:13:20+00:00"
    assert "2023-11-14T22:17:30+00:00" in str(caught.value)
