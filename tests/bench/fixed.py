"""The command line with a fixed number of requests in flight: `python -m tests.bench.fixed N ...`.

By itself it finds out how many; this is what that is compared with.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from typing import Any


def fix(pace: Any, number: int) -> None:
    """Have all windows of a process be of one size, always."""
    begin: Callable[..., None] = pace.Pace.__init__

    def begin_fixed(self: Any, *args: Any, **kwargs: Any) -> None:
        begin(self, *args, **kwargs | {"fixed": number})

    pace.Pace.__init__ = begin_fixed


def main(arguments: list[str]) -> int:
    number = int(arguments[0])
    try:
        pace = importlib.import_module("airflow_provider_harbor.core.http.pace")
    except ModuleNotFoundError:  # so many threads are all that there is
        threads = number
    else:
        fix(pace, number)
        # As many as without this, so that nothing else differs.
        threads = max(number, pace.DEFAULT_CEILING)
    command_line = importlib.import_module("airflow_provider_harbor.core.cli.main")
    code: int = command_line.main([*arguments[1:], "--workers", str(threads)])
    return code


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
