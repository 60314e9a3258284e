"""How long the backup of 1,000 small images takes, into a directory and into `docker-registry`.

`python -m tests.bench.w1`: 10 projects of 10 repositories of 10 tags, 2,200 manifests and about
3,800 blobs of 1 kB. Both in turn, three times; the goal is that the directory takes 0.7 of the time
of the registry at most. The Harbor is a process of its own, and so is each backup.
"""

from __future__ import annotations

import argparse
import signal
import statistics
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

from tests.bench.processes import Used, run_command, running_double
from tests.double import HarborDouble
from tests.double.content import Image, Index, cosign_signature
from tests.registry_server import PlainRegistry

GOAL = 0.7
LAYER_BYTES = 1_000


def fill(harbor: HarborDouble) -> None:
    for project in range(10):
        harbor.create_project(f"w1-{project}")
        for repository in range(10):
            name = f"w1-{project}/app-{repository}"
            base = f"base of {name}\n".encode().ljust(LAYER_BYTES, b".")
            for number in range(6):
                harbor.push(name, _image(name, number, base), f"v{number}")
            for number in range(6, 10):
                images = [_image(name, f"{number}/{arch}", base) for arch in ("amd64", "arm64")]
                index = harbor.push(name, Index(*images), f"v{number}")
                signature = cosign_signature(index)
                harbor.push(name, signature, *signature.default_tags)


def _image(name: str, number: object, base: bytes) -> Image:
    own = f"layer {number} of {name}\n".encode().ljust(LAYER_BYTES, b".")
    return Image(f"{name}/{number}", layers=[base, own])


def serve() -> int:
    """Be the Harbor."""
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    with HarborDouble() as harbor:
        fill(harbor)
        print(f"ready at {harbor.url} ", flush=True)
        ended.wait()
    return 0


def rounds(url: str, directory: Path, number: int, workers: int) -> Iterator[tuple[Used, Used]]:
    """Yield what each round takes: into a directory, and into a registry."""
    more = ("--quiet", "--workers", workers)
    for at in range(number):
        into_directory = run_command("backup", url, directory / f"store-{at}", *more)
        data = directory / f"registry-{at}"
        data.mkdir()
        with PlainRegistry(data) as registry:
            lists = directory / f"lists-{at}"
            into_registry = run_command("backup", url, lists, "--to", registry.url, *more)
        for used in (into_directory, into_registry):
            if used.code:
                raise RuntimeError(used.said)
        yield into_directory, into_registry


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.w1", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=8, help="as of the command line")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        return serve()
    seconds: dict[str, list[float]] = {"directory": [], "registry": []}
    with (
        tempfile.TemporaryDirectory(prefix="harbor-bench-") as directory,
        running_double("--serve", module="tests.bench.w1") as url,
    ):
        for both in rounds(url, Path(directory), options.rounds, options.workers):
            for name, used in zip(seconds, both, strict=True):
                seconds[name].append(used.seconds)
                print(f"{name:10} {used.seconds:6.2f} s, {used.cpu_seconds:6.2f} s of CPU: "
                      f"{used.said[:110]}", flush=True)  # fmt: skip
    medians = {name: statistics.median(taken) for name, taken in seconds.items()}
    ratio = medians["directory"] / medians["registry"]
    for name, median in medians.items():
        print(f"median into the {name}: {median:.2f} s")
    print(f"ratio: {ratio:.2f}; goal: {GOAL}: {'reached' if ratio <= GOAL else 'NOT reached'}")
    return 0 if ratio <= GOAL else 1


if __name__ == "__main__":
    raise SystemExit(main())
