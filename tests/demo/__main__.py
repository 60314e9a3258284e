"""Runs the demo: `python -m tests.demo --help`."""

from __future__ import annotations

from .interruption import Interrupted, Interruption

# Before the slow imports below, so that Ctrl-C during them ends it in the same way.
INTERRUPTION = Interruption()
INTERRUPTION.listen()

import argparse  # noqa: E402
import io  # noqa: E402
import os  # noqa: E402
import sys  # noqa: E402
from pathlib import Path  # noqa: E402

from airflow_provider_harbor.core.exceptions import HarborBackupError  # noqa: E402
from tests.airflow_server import ROOT, AirflowServerError  # noqa: E402

from .demo import BusyError, Demo, DemoError  # noqa: E402
from .results import ProofError, shown  # noqa: E402
from .screen import Screen  # noqa: E402


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.demo",
        description="Back up a sample Harbor in a real Airflow, delete a part of it, restore "
        "that, and show what came of it. All is on this machine and ends with this program.",
    )
    parser.add_argument(
        "--stay", action="store_true", help="leave Airflow and Harbor running until Ctrl-C"
    )
    parser.add_argument(
        "--directory",
        type=Path,
        default=ROOT / ".demo",
        help="where results and logs are kept; emptied first (default: .demo)",
    )
    options = parser.parse_args()
    # Everything is on the loopback interface, where no proxy leads to.
    os.environ["NO_PROXY"] = os.environ["no_proxy"] = "127.0.0.1,localhost"
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # no text is worth to end the demo
    screen = Screen()
    demo = Demo(screen, INTERRUPTION, options.directory.resolve(), stay=options.stay)
    try:
        demo.run()
    except Interrupted as signal:
        screen.line()
        screen.line(
            f"Ended by {signal}. Nothing is left running; results so far, and logs: "
            f"{shown(options.directory)}"
        )
        return signal.exit_code
    except (AirflowServerError, DemoError, HarborBackupError, ProofError) as err:
        screen.line()
        screen.bad(f"The demo failed: {err}")
        if not isinstance(err, BusyError):
            screen.line(f"Logs: {shown(options.directory / 'logs')}")
        return 1
    except BrokenPipeError:
        # Nobody reads on. Python would complain once more when it closes the stream.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    if options.stay:
        screen.line(f"Everything is ended. Results and logs stay in {shown(options.directory)}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
