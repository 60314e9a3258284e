"""Killed at any moment: the next run ends whole, and what was whole is not sent again.

A backup and a restore are killed (SIGKILL) at points that are spread over all their requests.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.core.cli.conftest import Command
from tests.core.restoring import Holding, assert_served, holding, writes
from tests.double import Fault, HarborDouble
from tests.double.content import Image, cosign_signature, multi_arch, sbom_for
from tests.registry_server import PlainRegistry

ROOT = Path(__file__).parents[3]
POINTS = 20


def fill(harbor: HarborDouble) -> None:
    """Make little of everything, so that there are few requests."""
    for name in ("p", "q"):
        harbor.create_project(name)
    image = harbor.push("p/app", Image("app", layers=2), "1.0", "latest")
    harbor.push("p/app", cosign_signature(image))
    harbor.push("p/app", sbom_for(image))
    harbor.push("p/app", Image("untagged"))
    harbor.push("p/multi", multi_arch("multi"), "2.0")
    harbor.push("q/app", Image("app", layers=2), "1.0")


def run_until(harbor: HarborDouble, number: int, *arguments: object) -> set[tuple[str, str]]:
    """Run the command, and kill it at its request of a number to a double.

    Returns:
        What the double held as whole at that moment: repositories with digests.
    """
    started = threading.Event()
    process: subprocess.Popen[bytes] | None = None
    whole: set[tuple[str, str]] = set()

    def kill(double: HarborDouble) -> None:
        whole.update(held_by(double))
        assert started.wait(120)
        assert process
        os.kill(process.pid, signal.SIGKILL)

    fault = harbor.faults.add(Fault(skip=number, callback=kill))
    process = subprocess.Popen(
        [sys.executable, "-m", "airflow_provider_harbor.core.cli", *map(str, arguments)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=ROOT,
    )
    started.set()
    assert process.wait(60) == -signal.SIGKILL
    assert fault.hits == 1
    harbor.faults.clear()
    harbor.requests.reset()
    return whole


def held_by(harbor: HarborDouble) -> set[tuple[str, str]]:
    """Return which blobs and manifests can be read in which repository."""
    storage = harbor.state.storage
    with harbor.state.lock:
        places = [*storage.links.items(), *((n, set(d)) for n, d in storage.manifests.items())]
    return {(name, digest) for name, digests in places for digest in digests}


def sent_to(harbor: HarborDouble) -> list[tuple[str, str]]:
    """Return what a run sent: blobs by repository and digest, manifests likewise."""
    sent = []
    for method, path, _ in writes(harbor):
        if method != "PUT":
            continue
        blob = re.search(r"^/v2/(.+)/blobs/uploads/.*digest=(sha256)(?::|%3A)([0-9a-f]+)", path)
        manifest = re.search(r"^/v2/(.+)/manifests/(sha256:[0-9a-f]+)$", path)
        if blob:
            sent.append((blob[1], f"{blob[2]}:{blob[3]}"))
        elif manifest:
            sent.append((manifest[1], manifest[2]))
    return sent


@pytest.mark.parametrize("number", [6, 12, 20])
def test_a_restore_to_a_plain_registry_that_was_killed_fetches_nothing_again(
    harbor: HarborDouble,
    plain_registry: PlainRegistry,
    command: Command,
    tmp_path: Path,
    number: int,
) -> None:
    fill(harbor)
    store, data = tmp_path / "store", tmp_path / "registry" / "data"
    assert command("backup", harbor.url, store).code == 0
    # From a mirror, since only the double can kill it, and tell what it was asked for.
    arguments = ("restore", store, plain_registry.url, "--from", harbor.url, "--workers", "2")
    run_until(harbor, number, *arguments)
    repositories = data / "docker/registry/v2/repositories"
    whole = {
        (str(link.relative_to(repositories).parents[3]), f"sha256:{link.parent.name}")
        for link in data.rglob("_layers/sha256/*/link")
    }

    assert command(*arguments).code == 0

    assert_served(plain_registry, holding(harbor))
    fetched = {
        tuple(path.removeprefix("/v2/").split("/blobs/"))
        for _, path, _ in harbor.requests.log
        if "/blobs/" in path
    }
    assert fetched
    assert whole or number == 6
    assert not whole & fetched


def points(total: int) -> list[int]:
    """Return numbers of requests, spread over all but the last: of those there may be one less.

    (Threads that need a token at the same moment ask for one each, or share it.)
    """
    last = total - 4
    return sorted({round(point * last / (POINTS - 1)) for point in range(POINTS)})


def test_a_backup_that_was_killed_goes_on_where_it_was(
    harbor: HarborDouble, command: Command, tmp_path: Path
) -> None:
    fill(harbor)
    harbor.requests.reset()
    assert command("backup", harbor.url, tmp_path / "undisturbed").code == 0
    wanted = pool_of(tmp_path / "undisturbed")
    for number in points(harbor.requests.total()):
        store = tmp_path / f"store-{number}"
        run_until(harbor, number, "backup", harbor.url, store)
        whole = pool_of(store)
        assert not list(store.glob("snapshots/*/*.json"))

        done = command("backup", harbor.url, store)

        assert done.code == 0, (number, done.err)
        fetched = {
            path.rsplit("/", 1)[1]
            for method, path, _ in harbor.requests.log
            if method == "GET" and re.search("/(blobs|manifests)/", path)
        }
        assert not fetched & whole, number
        assert pool_of(store) == wanted, number


def pool_of(store: Path) -> set[str]:
    """Return the digests whose content is in a store; a file is there when it is whole."""
    found = [path for path in (store / "blobs").rglob("*") if path.is_file()]
    return {f"sha256:{path.name}" for path in found if re.fullmatch("[0-9a-f]{64}", path.name)}


@pytest.mark.parametrize("workers", ["1", "8"])
def test_a_restore_that_was_killed_goes_on_where_it_was(
    harbor: HarborDouble, command: Command, tmp_path: Path, workers: str
) -> None:
    fill(harbor)
    store = tmp_path / "store"
    assert command("backup", harbor.url, store).code == 0
    before: Holding = holding(harbor)
    with HarborDouble() as target:
        assert command("restore", store, target.url, "--workers", workers).code == 0
        total = target.requests.total()
    # Twenty points in all.
    for number in points(total)[int(workers) % 2 :: 2]:
        with HarborDouble() as target:
            arguments = ("restore", store, target.url, "--workers", workers)
            whole = run_until(target, number, *arguments)

            done = command(*arguments)

            assert done.code == 0, (number, done.err)
            assert holding(target) == before, number
            assert not whole.intersection(sent_to(target)), number
