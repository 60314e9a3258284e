"""Several projects at once: none waits for another, and nothing is sent twice."""

from __future__ import annotations

import threading
from collections import Counter
from concurrent.futures import CancelledError

import pytest

from airflow_provider_harbor.core.cli import main as cli
from airflow_provider_harbor.core.copy.shared import Shared
from tests.double import Fault, HarborDouble, Image

LAYERS = [b"base layer" * 500, b"second layer" * 500]


def back_up(*arguments: object) -> int:
    return cli.main(["backup", "--quiet", *map(str, arguments)])


def test_a_project_is_copied_while_another_is_listed(filled, other_harbor, tmp_path) -> None:
    """The list of the first is not answered before content of the second was fetched."""
    is_copied = threading.Event()
    came = []
    filled.faults.add(Fault(path="/v2/beta/.*/blobs/", callback=lambda double: is_copied.set()))
    filled.faults.add(
        Fault(
            path="/projects/alpha/repositories",
            callback=lambda double: came.append(is_copied.wait(20)),
        )
    )
    assert back_up(filled.url, tmp_path / "store") == 0
    assert came == [True]


@pytest.mark.parametrize("is_mirror", [False, True], ids=["store", "mirror"])
def test_what_projects_share_is_fetched_once(
    filled, other_harbor, tmp_path, monkeypatch, is_mirror
) -> None:
    monkeypatch.setenv("HARBOR_BACKUP_DESTINATION_USER", other_harbor.user)
    monkeypatch.setenv("HARBOR_BACKUP_DESTINATION_PASSWORD", other_harbor.password)
    for number in range(6):
        filled.create_project(f"team-{number}")
        filled.push(f"team-{number}/app", Image(str(number), layers=[*LAYERS, 100]), "1.0")
    to = ["--to", other_harbor.url] if is_mirror else []
    assert back_up(filled.url, tmp_path / "store", *to, "--project", "team-*") == 0
    fetched = Counter(
        path.rpartition("/")[2]
        for method, path, _ in filled.requests.log
        if method == "GET" and "/blobs/" in path
    )
    assert set(fetched.values()) == {1}
    assert len(fetched) == 2 + 2 * 6


def test_a_project_that_fails_keeps_none_from_being_copied(
    filled: HarborDouble, tmp_path, capsys
) -> None:
    fault = Fault(path="/projects/alpha/", times=None, status=500)
    filled.faults.add(fault)
    assert back_up(filled.url, tmp_path / "store") == 1
    shown = capsys.readouterr()
    assert "FAILED alpha: " in shown.err
    assert "2 of 3 projects" in shown.out


def test_a_copy_that_stops_leaves_the_others_their_threads() -> None:
    begun, goes_on = threading.Event(), threading.Event()
    with Shared(1, copies=2) as shared:
        (stopped, *_), (other, *_) = shared.shares(), shared.shares()

        def work() -> str:
            begun.set()
            goes_on.wait(20)
            return "done"

        running, waiting = stopped.submit(work), stopped.submit(work)
        kept = other.submit(lambda: "kept")
        assert begun.wait(20)
        stopped.shutdown(wait=False, cancel_futures=True)
        with pytest.raises(RuntimeError, match="was stopped"):
            stopped.submit(work)
        goes_on.set()
        stopped.shutdown()
        assert running.result(20) == "done"
        with pytest.raises(CancelledError):
            waiting.result(20)
        assert kept.result(20) == "kept"
