"""Runs the benchmarks: `python -m tests.bench --help`."""

from __future__ import annotations

import argparse
import importlib
import itertools
import json
import os
import platform
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from tests.bench.copying import Bench, Run, Trouble
from tests.bench.destinations import PLACES, missing
from tests.bench.processes import ROOT
from tests.bench.tables import kinds, table
from tests.bench.tools import chosen
from tests.bench.workloads import Workload, w1, w2, w3

_WORKLOADS = {
    "w1": "10 x 10 x 10 small images: a first night, and an unchanged one",
    "w2": "4 images of two layers of 64 MiB: likewise",
    "w3": "100,000 artifacts in one project: listing, plan, first night, unchanged nights (and, to "
    "registries and S3, of 10,000)",
}
_OTHERS = {
    "serve": "a store that is served, beside nginx (options after --)",
    "verify": "content that is verified, beside sha256sum (options after --)",
}
_EPILOG = """\
Network destinations stand at the end of the line, with its delay; where the destination is a
directory, the source does. Nothing is measured twice and nothing is judged: compare what one run
measured side by side. Ctrl-C ends it, with a table of what there is until then.

examples:
  python -m tests.bench --quick
  python -m tests.bench w1 --to registry --rtt 150 --in-flight 4,8,16,32,64,128
  python -m tests.bench w1 --to directory --rtt 0 --rounds 3 --against ../before
  python -m tests.bench w1 --to registry --rtt 0 --requests-per-second 200 --no-skopeo
  python -m tests.bench w2 --cut-every 100 --no-skopeo
"""
_Item = TypeVar("_Item")


def _list_of(kind: Callable[[str], _Item]) -> Callable[[str], list[_Item]]:
    def read(text: str) -> list[_Item]:
        return [kind(word) for word in text.split(",") if word]

    return read


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench",
        description="Measure how fast a Harbor is backed up, and what it costs, side by side.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", help=f"of {', '.join(_WORKLOADS)} (default: all), "
                        f"or one of {', '.join(_OTHERS)}")  # fmt: skip
    parser.add_argument("--list", action="store_true", help="say what there is to measure")
    parser.add_argument("--quick", action="store_true", help="smaller ones, in minutes")
    parser.add_argument("--json", type=Path, metavar="FILE", help="default: a new one in .bench/")
    parser.add_argument("--to", type=_list_of(str), metavar="PLACES", default=list(PLACES),
                        help=f"default: {','.join(PLACES)}")  # fmt: skip
    parser.add_argument("--rtt", type=_list_of(float), metavar="MS",
                        help="round trips (default: 0,50,150; with --quick: 0,150)")  # fmt: skip
    parser.add_argument("--in-flight", type=_list_of(int), metavar="N,...", default=[],
                        help="beside the default, with so many requests in flight")  # fmt: skip
    parser.add_argument("--rounds", type=int, default=1, help="of w1 and w2 (default: 1)")
    parser.add_argument("--against", type=Path, metavar="CHECKOUT",
                        help="measure another state of the project, too")  # fmt: skip
    parser.add_argument("--option", action="append", default=[], metavar="WORD",
                        help="more of our command line; may be repeated")  # fmt: skip
    parser.add_argument("--no-skopeo", action="store_true", help="leave skopeo out")
    parser.add_argument(
        "--artifacts", type=int, metavar="N", help="of w3, a tenth of them to registries and S3"
    )
    parser.add_argument("--requests-per-second", type=float, default=0, metavar="N",
                        help="the server at the end of the line answers 429 beyond")  # fmt: skip
    parser.add_argument("--burst", type=float, default=0, metavar="N",
                        help="so many at once (default: those of a second)")  # fmt: skip
    parser.add_argument("--cut-every", type=int, default=0, metavar="MIB",
                        help="the line is cut after each so many MiB")  # fmt: skip
    return parser


def main(arguments: Sequence[str]) -> int:
    parser = _parser()
    rest: Sequence[str] = []
    if "--" in arguments:
        at = arguments.index("--")
        arguments, rest = arguments[:at], arguments[at + 1 :]
    options = parser.parse_args(arguments)
    if options.list:
        for name, text in (_WORKLOADS | _OTHERS).items():
            print(f"{name:8} {text}")
        return 0
    names = options.names or list(_WORKLOADS)
    if len(names) == 1 and names[0] in _OTHERS:
        sys.argv = [f"python -m tests.bench.{names[0]}", *rest]
        code: int = importlib.import_module(f"tests.bench.{names[0]}").main()
        return code
    for wrong in [name for name in names if name not in _WORKLOADS]:
        parser.error(f"there is no {wrong} that runs with others; see --list")
    for wrong in [place for place in options.to if place not in PLACES]:
        parser.error(f"there is no place {wrong}: only {', '.join(PLACES)}")
    return _run(options, names)


def _run(options: argparse.Namespace, names: Sequence[str]) -> int:
    # So that all that was started ends, too.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    places = []
    for place in options.to:
        if program := missing(place):
            _tell(f"not measured: {place}, which needs {program}")
        else:
            places.append(place)
    runs: list[Run] = []
    is_whole = True
    started = time.time()
    with tempfile.TemporaryDirectory(prefix="harbor-bench-") as directory:
        bench = Bench(
            Path(directory),
            _tell,
            rtts_ms=options.rtt or ([0, 150] if options.quick else [0, 50, 150]),
            places=places,
            tools=chosen(options.against, options.in_flight, not options.no_skopeo, options.option),
            trouble=Trouble(
                requests_per_second=options.requests_per_second,
                burst=options.burst,
                cut_every_mebibytes=options.cut_every,
            ),
            rounds=options.rounds,
        )
        try:
            for name in names:
                for run in _runs_of(bench, name, options):
                    runs.append(run)
                    _tell(f"    {run.seconds:.1f} s, {run.cpu_seconds:.2f} s of CPU, "
                          f"{run.requests:,} requests, code {run.code}")  # fmt: skip
        except KeyboardInterrupt:
            is_whole = False
    print(table(runs))
    print(kinds(runs))
    print(f"\nfigures: {_keep(options.json, runs, started)}")
    return 130 if not is_whole else int(any(run.code for run in runs))


def _runs_of(bench: Bench, name: str, options: argparse.Namespace) -> Iterator[Run]:
    is_quick = options.quick
    if name == "w3":
        artifacts = options.artifacts or (5_000 if is_quick else 100_000)
        few, many = (w3(number, max(1, number // 200)) for number in (artifacts // 10, artifacts))
        # Of a project ten times as large only what the size itself costs: a first night into a
        # registry takes half an hour.
        return itertools.chain(bench.nights(few), bench.nights(many, ["directory"]))
    workload: Workload = (
        (w1(10, 2) if is_quick else w1(10, 10))
        if name == "w1"
        else (w2(16) if is_quick else w2(64))
    )
    return bench.copies(workload)


def _keep(file: Path | None, runs: Sequence[Run], started: float) -> Path:
    """Write the figures as JSON, and return where."""
    moment = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(started))
    file = file or ROOT / ".bench" / f"{moment}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    document = {
        "started_at": moment,
        "arguments": sys.argv[1:],
        "python": platform.python_version(),
        "processors": os.cpu_count(),
        "runs": [run.to_json() for run in runs],
    }
    file.write_text(json.dumps(document, indent=1) + "\n")
    return file


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
