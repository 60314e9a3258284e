"""What a large blob over a line that is cut costs: `python -m tests.bench.cut_lines [MIB]`.

A blob of 1 GiB by default, from a registry over a line that is cut every 100 MiB, into a directory,
S3 and distribution 2.8 and 3; undisturbed, and once more with a `kill -9` in the middle and another
run. The goal is that at most 1.15 times its bytes are read. Distribution 2.8 keeps nothing of a
blob whose copy was killed, see `oci.chunks`: it is sent it again.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from airflow_provider_harbor.core.copy.blobs import BlobCopier
from airflow_provider_harbor.core.copy.places import Place
from airflow_provider_harbor.core.copy.plain_registry import PlainRegistryPlace
from airflow_provider_harbor.core.copy.registry_places import RegistrySource
from airflow_provider_harbor.core.copy.store_place import StorePlace
from airflow_provider_harbor.core.oci.manifest import Descriptor
from airflow_provider_harbor.core.oci.registry import RegistryClient
from airflow_provider_harbor.core.store.backup_store import BackupStore
from tests.bench.processes import ROOT
from tests.cut_line import CutLine
from tests.go_programs import require_go_program
from tests.registry_server import PlainRegistry
from tests.s3_server import running_s3_server

MIB = 1024 * 1024
CUT_EVERY = 100 * MIB
GOAL = 1.15
KINDS = ("directory", "s3", "distribution 2.8", "distribution 3")


@dataclass(frozen=True)
class Target:
    """Where the blob goes: what a child process is told of it, and the line to it."""

    arguments: dict[str, Any]
    line: CutLine | None


def copy(arguments: dict[str, Any]) -> None:
    """Copy the blob; this is what a process of its own does."""
    store = BackupStore(arguments["store"], **arguments.get("options", {}))
    place: Place = StorePlace(store)
    if "to" in arguments:
        place = PlainRegistryPlace(RegistryClient(arguments["to"]))
    place.keep_uploads_in(store)
    digest, size_bytes = arguments["blob"]
    blob = Descriptor(digest=digest, size_bytes=size_bytes, media_type="")
    source = RegistrySource(RegistryClient(arguments["source"]))
    BlobCopier(source, place).copy("p/app", blob)
    print(place.has_blob("p/app", blob))


def run(arguments: dict[str, Any], line: CutLine, kill_at: int) -> tuple[bool, float, int]:
    """Run a process; returns whether the blob is there, its seconds and its most memory.

    With `kill_at` it is killed when so many bytes came.
    """
    command = [sys.executable, "-m", "tests.bench.cut_lines", "--copy", json.dumps(arguments)]
    began = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    while kill_at and line.down < kill_at and process.poll() is None:
        time.sleep(0.005)
    if kill_at:
        process.kill()
    assert process.stdout
    with process.stdout:
        said = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return said.strip() == "True", time.monotonic() - began, usage.ru_maxrss * 1024


@contextmanager
def running_target(kind: str, directory: Path) -> Iterator[Target]:
    store = {"store": str(directory / "store")}
    with ExitStack() as opened:
        if kind == "directory":
            yield Target(store, None)
            return
        if kind == "s3":
            server = opened.enter_context(running_s3_server(directory))
            line = opened.enter_context(CutLine(server.url))
            options = {**server.options, "endpoint": line.url}
            yield Target({"store": f"s3://{server.new_bucket()}", "options": options}, line)
            return
        program = require_go_program("registry") if kind.endswith("3") else ""
        registry = opened.enter_context(PlainRegistry(directory, program))
        line = opened.enter_context(CutLine(registry.url))
        yield Target({**store, "to": line.url}, line)


def fill(registry: PlainRegistry, size_bytes: int, directory: Path) -> str:
    path, passed = directory / "blob", hashlib.sha256()
    with path.open("wb") as stream:
        for _ in range(size_bytes // MIB):
            block = os.urandom(MIB)
            passed.update(block)
            stream.write(block)
    digest = f"sha256:{passed.hexdigest()}"

    class Body:
        def __init__(self) -> None:
            self.read = path.open("rb").read

        def __len__(self) -> int:
            return size_bytes

    RegistryClient(registry.url).put_blob("p/app", digest, Body())
    path.unlink()
    return digest


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.cut_lines", description=__doc__)
    parser.add_argument("mib", nargs="?", type=int, default=1024)
    parser.add_argument("--only", choices=KINDS, help="leave out the other places")
    parser.add_argument("--copy", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.copy:
        copy(json.loads(options.copy))
        return 0
    size = options.mib * MIB
    is_within = True
    with tempfile.TemporaryDirectory(prefix="harbor-bench-") as name, ExitStack() as opened:
        root = Path(name)
        (root / "source").mkdir()
        source = opened.enter_context(PlainRegistry(root / "source"))
        digest = fill(source, size, root)
        print(f"{'':18}{'':10}{'read':>8}{'cuts':>6}{'sent':>8}{'seconds':>9}{'MB':>6}")
        for number, (kind, is_killed) in enumerate((k, d) for k in KINDS for d in (False, True)):
            if options.only not in (None, kind):
                continue
            directory = root / str(number)
            directory.mkdir()
            with (
                CutLine(source.url, down_bytes=CUT_EVERY) as line,
                running_target(kind, directory) as target,
            ):
                told = {**target.arguments, "source": line.url, "blob": [digest, size]}
                seconds = 0.0
                if is_killed:
                    _, seconds, _ = run(told, line, int(size * 0.55))
                is_there, more, memory = run(told, line, 0)
                sent = f"{target.line.up / size:8.2f}" if target.line else f"{'-':>8}"
                print(
                    f"{kind:18}{'killed' if is_killed else '':10}{line.down / size:8.2f}"
                    f"{line.cuts:6}{sent}{seconds + more:9.1f}{memory / 1e6:6.0f}"
                    f"{'' if is_there else '  NOT THERE'}",
                    flush=True,
                )
                is_within &= is_there and (is_killed or line.down <= GOAL * size)
    print(
        f"goal: {GOAL} of its bytes read undisturbed: {'reached' if is_within else 'NOT reached'}"
    )
    return 0 if is_within else 1


if __name__ == "__main__":
    raise SystemExit(main())
