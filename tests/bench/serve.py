"""How fast a store is served, beside nginx on the same files: `python -m tests.bench.serve`.

Eight clients (curl) pull side by side, from nginx and from `harbor-backup serve` in turns. All is
on this machine and in its page cache, so that the programs are measured, not a disk or a link. CPU
is the server's: where the machine has other things to do, it tells more than the time does. It
needs the Debian packages nginx-light and curl.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path

from airflow_provider_harbor.core.harbor.records import Record, Role
from airflow_provider_harbor.core.oci.manifest import OCI_MANIFEST, Manifest, digest_of
from airflow_provider_harbor.core.store.backup_store import BackupStore
from airflow_provider_harbor.core.store.inventories import Content
from airflow_provider_harbor.core.store.snapshots import ProjectContents, Snapshot
from tests.double.content import noise
from tests.ports import find_free_port

CLIENTS = 8
REPOSITORY = "library/app"
_NGINX = """\
worker_processes auto;
daemon off;
pid {directory}/nginx.pid;
error_log {directory}/error.log;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    sendfile on;
    tcp_nopush on;
    keepalive_requests 1000000;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    server {{ listen 127.0.0.1:{port}; root {root}; }}
}}
"""


def make_store(directory: Path, layers: Sequence[bytes]) -> list[str]:
    """Make a store with a snapshot of one repository; returns the digests of its layers."""
    store = BackupStore(directory)
    store.begin_for("https://harbor.example.com")
    manifests = []
    for layer in layers:
        document = {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "layers": [{"mediaType": "x/y", "digest": digest_of(layer), "size": len(layer)}],
        }
        content = json.dumps(document).encode()
        manifests.append(Manifest.from_bytes(content, OCI_MANIFEST, REPOSITORY))
        store.pool.put_bytes(layer, digest_of(layer))
        store.pool.put_bytes(content, manifests[-1].digest)
    manifests.sort(key=lambda manifest: manifest.digest)
    with store.inventories.write("library") as inventory:
        inventory.add(
            [
                Record(
                    project="library", repository=REPOSITORY, digest=m.digest, role=Role.ARTIFACT
                )
                for m in manifests
            ]
        )
        listed = inventory.finish()
    with store.inventories.write_contents("library") as contents:
        contents.add(REPOSITORY, [Content.of(m.digest, m) for m in manifests])
        held = contents.finish()
    moment = datetime.now(timezone.utc).isoformat()
    project = ProjectContents(
        inventory=listed, contents=held, ok=True, digests=len(manifests), size_bytes=0
    )
    store.snapshots.commit(
        Snapshot(
            key="bench",
            run="bench",
            complete=True,
            harbor_url="https://harbor.example.com",
            destination=store.url,
            started_at=moment,
            ended_at=moment,
            projects={"library": project},
        )
    )
    return [digest_of(layer) for layer in layers]


def cpu_seconds(pid: int) -> float:
    """Return how much a process and its children have used, as long as they run."""
    ticks = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(stat.parent.name) == pid or int(fields[1]) == pid:
            ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


@contextmanager
def running(arguments: Sequence[str], port: int) -> Iterator[int]:
    """Run a server until the end of the block; gives its process id."""
    process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 30
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                if process.poll() is not None or time.monotonic() > deadline:
                    raise SystemExit(f"{arguments[0]} did not start") from None
                time.sleep(0.05)
        yield process.pid
    finally:
        process.terminate()
        process.wait(timeout=20)


def pull(urls: Sequence[str]) -> float:
    """Pull all addresses by each client; returns how many seconds that took."""
    command = ["curl", "--silent", "--fail", "--show-error"]
    for url in urls:
        command += ["--output", "/dev/null", url]
    began = time.monotonic()
    clients = [subprocess.Popen(command) for _ in range(CLIENTS)]
    if any([client.wait() for client in clients]):
        raise SystemExit("a client failed")
    return time.monotonic() - began


def compare(
    title: str,
    urls_of: dict[str, list[str]],
    pids: dict[str, int],
    rounds: int,
    rate: Callable[[float], str],
) -> float:
    """Let both serve in turns; prints a row for each, and returns what ours gets of nginx's."""
    seconds: dict[str, list[float]] = {name: [] for name in urls_of}
    used = dict.fromkeys(urls_of, 0.0)
    for urls in urls_of.values():
        pull(urls[:2])  # connections, caches
    for _ in range(rounds):
        for name, urls in urls_of.items():
            before = cpu_seconds(pids[name])
            seconds[name].append(pull(urls))
            used[name] += cpu_seconds(pids[name]) - before
    for name, found in seconds.items():
        median = statistics.median(found)
        spread = f"{min(found):.2f} to {max(found):.2f} s"
        cpu = f"CPU {used[name] / rounds:.2f} s"
        print(f"  {title:<14} {name:<6} {rate(median):>14}   median of {rounds}, {spread}, {cpu}")
    ratio = statistics.median(a / b for a, b in zip(seconds["nginx"], seconds["ours"], strict=True))
    print(f"  {title:<14} ours / nginx: {ratio:.2f}")
    return ratio


def main() -> int:
    """Measure, and print a table; 1 where large blobs come at less than half of nginx's rate."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=64, help="MiB of each of 8 large blobs")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    nginx = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/bin:/usr/local/sbin")
    if nginx is None or shutil.which("curl") is None:
        raise SystemExit("needs nginx and curl: apt-get install nginx-light curl")
    with tempfile.TemporaryDirectory(prefix="bench-serve-") as name:
        directory = Path(name)
        directory.chmod(0o755)  # nginx reads as another user, when root starts it
        large = [noise(f"large {i}", 1 << 20) * arguments.size for i in range(8)]
        small = [noise(f"small {i}", 2_000) for i in range(300)]
        digests = make_store(directory / "store", [*large, *small])
        ports = {"nginx": find_free_port(), "ours": find_free_port()}
        config = directory / "nginx.conf"
        config.write_text(
            _NGINX.format(directory=directory, port=ports["nginx"], root=directory / "store")
        )
        ours = [sys.executable, "-m", "airflow_provider_harbor.core.cli", "serve"]
        ours += [str(directory / "store"), "--listen", f"127.0.0.1:{ports['ours']}", "--quiet"]
        with (
            running([nginx, "-c", str(config)], ports["nginx"]) as nginx_pid,
            running(ours, ports["ours"]) as ours_pid,
        ):
            pids = {"nginx": nginx_pid, "ours": ours_pid}

            def urls(found: list[str]) -> dict[str, list[str]]:
                nginx_at, ours_at = (f"http://127.0.0.1:{ports[n]}" for n in ("nginx", "ours"))
                return {
                    "nginx": [f"{nginx_at}/blobs/{d.replace(':', '/')}" for d in found],
                    "ours": [f"{ours_at}/v2/{REPOSITORY}/blobs/{d}" for d in found],
                }

            megabytes = CLIENTS * len(large) * arguments.size
            print(
                f"{CLIENTS} clients side by side, {len(large)} blobs of {arguments.size} MiB each"
            )
            ratio = compare(
                "large blobs",
                urls(digests[: len(large)]),
                pids,
                arguments.rounds,
                lambda seconds: f"{megabytes / seconds:,.0f} MiB/s",
            )
            compare(
                "blobs of 2 kB",
                urls(digests[len(large) :]),
                pids,
                arguments.rounds,
                lambda seconds: f"{CLIENTS * len(small) / seconds:,.0f} a second",
            )
    return 0 if ratio >= 0.5 else 1


if __name__ == "__main__":
    sys.exit(main())
