"""The way into the command `harbor-backup`, also as `python -m airflow_provider_harbor.core.cli`.

Nothing but this is loaded before Ctrl-C means what it means later.
"""

from __future__ import annotations

import os
import signal
import sys

_EXIT_INTERRUPTED = 130


def run() -> int:
    """Run the command line, and return its exit code.

    To load the rest takes some tenths of a second. Nothing is begun by then, so that Ctrl-C ends
    the process at once: as an exception it would leave traces of whatever is half loaded.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # not where it is ignored
        signal.signal(signal.SIGINT, lambda number, frame: os._exit(_EXIT_INTERRUPTED))
    from airflow_provider_harbor.core.cli.main import main

    return main()


if __name__ == "__main__":
    sys.exit(run())
