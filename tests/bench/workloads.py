"""What is backed up: `python -m tests.bench.workloads NAME ...` is a Harbor that holds it.

w1    many small images: 10 projects of 10 repositories of 10 tags, indexes and signatures among
      them: 2,200 manifests and 3,800 blobs of about 1 kB
w2    few large ones: 4 images of two layers of 64 MiB
w3    100,000 artifacts in one project of 500 repositories
"""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass

from tests.double import HarborDouble
from tests.double.content import Image, Index, cosign_signature, noise
from tests.double.generate import START

_MIB = 1024 * 1024
_SMALL_BYTES = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """How much there is of what.

    Attributes:
        size: The arguments of the function that fills a Harbor with it.
        label: What tables call it.
        repositories: By name, where `skopeo` is to copy them, of one project or of many.
    """

    name: str
    label: str
    title: str
    size: tuple[int, ...]
    repositories: tuple[str, ...]


def w1(projects: int, repositories: int) -> Workload:
    names = [f"w1-{number}" for number in range(projects)]
    return Workload(
        name="w1",
        label="w1",
        title=f"{projects} projects x {repositories} repositories x 10 tags, small images",
        size=(projects, repositories),
        repositories=tuple(f"{name}/app-{n}" for name in names for n in range(repositories)),
    )


def w2(mebibytes: int) -> Workload:
    return Workload(
        name="w2",
        label="w2",
        title=f"4 images of two layers of {mebibytes} MiB",
        size=(mebibytes,),
        repositories=tuple(f"w2/app-{number}" for number in range(4)),
    )


def w3(artifacts: int, repositories: int) -> Workload:
    return Workload(
        name="w3",
        label=f"w3 ({artifacts:,} artifacts)",
        title=f"{artifacts:,} artifacts in one project of {repositories} repositories",
        size=(artifacts, repositories),
        repositories=(),
    )


def fill_w1(harbor: HarborDouble, projects: int, repositories: int) -> None:
    for project in range(projects):
        harbor.create_project(f"w1-{project}")
        for repository in range(repositories):
            name = f"w1-{project}/app-{repository}"
            base = f"base of {name}\n".encode().ljust(_SMALL_BYTES, b".")
            for number in range(6):
                harbor.push(name, _small_image(name, number, base), f"v{number}")
            for number in range(6, 10):
                images = [
                    _small_image(name, f"{number}/{arch}", base) for arch in ("amd64", "arm64")
                ]
                index = harbor.push(name, Index(*images), f"v{number}")
                signature = cosign_signature(index)
                harbor.push(name, signature, *signature.default_tags)


def _small_image(name: str, number: object, base: bytes) -> Image:
    own = f"layer {number} of {name}\n".encode().ljust(_SMALL_BYTES, b".")
    return Image(f"{name}/{number}", layers=[base, own])


def fill_w2(harbor: HarborDouble, mebibytes: int) -> None:
    harbor.create_project("w2")
    for number in range(4):
        name = f"w2/app-{number}"
        layers = [noise(f"{name}/{layer}", mebibytes * _MIB) for layer in range(2)]
        harbor.push(name, Image(name, layers=layers), "v1")


def fill_w3(harbor: HarborDouble, artifacts: int, repositories: int) -> None:
    harbor.generate(1, repositories, artifacts)


FILLERS: dict[str, Callable[..., None]] = {"w1": fill_w1, "w2": fill_w2, "w3": fill_w3}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.workloads", description=__doc__)
    parser.add_argument("name", choices=FILLERS)
    parser.add_argument("size", nargs="*", type=int)
    options = parser.parse_args()
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who started it ends it
    with HarborDouble() as harbor:
        # Of a repository that changed a moment ago no list is believed the next time.
        with harbor.state.pretended_time(START):
            FILLERS[options.name](harbor, *options.size)
        print(f"ready at {harbor.url} ", flush=True)
        threading.Thread(target=_wait_for_end, args=(ended,), daemon=True).start()
        ended.wait()
    return 0


def _wait_for_end(ended: threading.Event) -> None:
    sys.stdin.read()  # ends with the program that holds the other end
    ended.set()


if __name__ == "__main__":
    raise SystemExit(main())
