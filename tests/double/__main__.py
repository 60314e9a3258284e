"""Runs the double as a process: `python -m tests.double --help`."""

from __future__ import annotations

import argparse
import contextlib
import signal
import threading

from .server import VERSION, HarborDouble

# What the Harbor of the recording said of its registryctl, which was not running there. Nothing but
# garbage collection needs it. An empty double is that Harbor, as it was before it was filled.
RECORDED_UNHEALTHY = {
    "registryctl": 'failed to check health: Get "http://127.0.0.1:20081/api/health": '
    "dial tcp 127.0.0.1:20081: connect: connection refused"
}


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.double",
        description="A double of Harbor 2.15.2 for tests: REST API, token service, registry. "
        "Everything is in memory and gone when it ends. Login: admin / Harbor12345.",
        epilog="Faults and counters are under /_double/: POST or DELETE /_double/faults (fields of "
        "tests/double/faults.py as JSON), GET or DELETE /_double/requests.",
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    parser.add_argument("--port", type=int, default=0, help="port; 0, the default, is any free one")
    parser.add_argument("--sample", action="store_true", help="fill it with a realistic sample")
    parser.add_argument(
        "--generate",
        nargs=3,
        type=int,
        metavar=("PROJECTS", "REPOSITORIES", "ARTIFACTS"),
        help="fill it with so many small artifacts",
    )
    parser.add_argument(
        "--healthy",
        action="store_true",
        help="report all components as healthy; without this an empty double reports what the "
        "recorded Harbor did, whose registryctl was down",
    )
    parser.add_argument(
        "--behind-nginx",
        action="store_true",
        help="treat requests as the nginx of Harbor does; without this they reach core as they "
        "are, as those of the recording did",
    )
    parser.add_argument(
        "--external-url", help="address that it says it has; by default that it listens on"
    )
    parser.add_argument("--certfile", help="serve TLS with this certificate")
    parser.add_argument("--keyfile", help="key of the certificate")
    parser.add_argument("--version", default=VERSION, help="version it reports (%(default)s)")
    options = parser.parse_args()
    harbor = HarborDouble(
        sample=options.sample,
        certfile=options.certfile,
        keyfile=options.keyfile,
        version=options.version,
        behind_nginx=options.behind_nginx,
        host=options.host,
        port=options.port,
    )
    harbor.state.external_url = options.external_url or ""
    if options.generate:
        harbor.generate(*options.generate)
    if not (options.sample or options.generate or options.healthy):
        for component, message in RECORDED_UNHEALTHY.items():
            harbor.state.set_unhealthy(component, message)
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    try:
        harbor.start()
    except OSError as err:
        parser.exit(1, f"cannot listen on {options.host}:{options.port}: {err.strerror}\n")
    with contextlib.closing(harbor):
        print(f"Harbor double ready at {harbor.url} (admin / Harbor12345)", flush=True)
        ended.wait()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
