"""The command `harbor-backup`, which works without Airflow: arguments, exit codes, signals.

What each command does is in the module of its name.
"""

from __future__ import annotations

import argparse
import ctypes
import importlib
import logging
import os
import signal
import sys
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from types import FrameType

from airflow_provider_harbor import __version__
from airflow_provider_harbor.core.cli.arguments import EXIT_CODES, insecure_options
from airflow_provider_harbor.core.cli.outcome import Outcome
from airflow_provider_harbor.core.cli.progress import Console, ConsoleHandler
from airflow_provider_harbor.core.cli.tables import Kind
from airflow_provider_harbor.core.exceptions import (
    BackupIncompleteError,
    HarborBackupError,
    LeaseError,
    describe,
    is_passing,
)
from airflow_provider_harbor.core.http.pace import DEFAULT_CEILING, configure
from airflow_provider_harbor.core.http.rate import limit_rate

_PACKAGE = "airflow_provider_harbor"
log = logging.getLogger(__name__)

PROGRAM = "harbor-backup"
EXIT_DONE = 0
EXIT_INCOMPLETE = 1
EXIT_PERMANENT = 2
EXIT_PASSING = 3
EXIT_BUSY = 4
EXIT_INTERRUPTED = 130

_LOOK_SECONDS = 0.2

_DESCRIPTION = """\
Back up a Harbor registry by its own APIs, while it runs, and get any of it back.

  harbor-backup backup URL STORE       every night
  harbor-backup snapshots STORE        which nights there are
  harbor-backup restore STORE URL      any of them, or a part of one
  harbor-backup verify STORE           whether all is there, and is what it should be
  harbor-backup serve STORE            pull from any of them, while Harbor is gone
  harbor-backup forget, prune STORE    keep only some of them
  harbor-backup settings COMMAND       what is no artifact: members, robots, rules, ...
"""
# Of glibc's malloc.h.
_M_ARENA_MAX = -8
# Each is a module of this package.
_COMMANDS = (
    "backup",
    "restore",
    "verify",
    "drill",
    "snapshots",
    "ls",
    "find",
    "diff",
    "stats",
    "export",
    "serve",
    "forget",
    "prune",
    "settings",
    "inventory",
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line, and return its exit code.

    Args:
        argv: Arguments without the program's name; by default those of this process. Wrong ones
            end in `SystemExit(2)`, as argparse does it.
    """
    _bound_memory()
    words = sys.argv[1:] if argv is None else argv
    arguments = _parser(words).parse_args(words)
    with (
        Console(sys.stdout, sys.stderr, quiet=arguments.quiet) as console,
        _logging_to(console, verbose=arguments.verbose),
        _signals(console),
    ):
        try:
            exit_code, outcome = _run(arguments, console)
            exit_code = _show(arguments, console, exit_code, outcome)
        except KeyboardInterrupt:  # between what is caught inside
            return EXIT_INTERRUPTED
    return exit_code


def _show(arguments: argparse.Namespace, console: Console, exit_code: int, outcome: Outcome) -> int:
    """Show how a command ended; returns its exit code, which is none of success if that failed."""
    try:
        if arguments.json:
            console.document({"exit_code": exit_code, **outcome.document})
        elif outcome.summary:
            kind: Kind = "good" if exit_code == EXIT_DONE else "bad"
            if outcome.used_stdout:
                for part in outcome.parts:
                    console.error(str(part))
            else:
                console.result(outcome.parts, outcome.verdict, kind)
    except BrokenPipeError:
        _forget_stdout()
    except OSError as err:
        _forget_stdout()
        console.error(f"{PROGRAM}: the result cannot be written: {err.strerror}", "bad")
        # Who gives a command no standard output asks for no result.
        exit_code = exit_code or (EXIT_INCOMPLETE if sys.stdout is not None else EXIT_DONE)
    console.clear()
    return exit_code


def _run(arguments: argparse.Namespace, console: Console) -> tuple[int, Outcome]:
    """Run the chosen command; every error becomes one message and an exit code."""
    try:
        if insecure := insecure_options(arguments):
            warnings.filterwarnings("ignore", message="Unverified HTTPS request")
            given = " and ".join(insecure)
            console.error(f"{PROGRAM}: warning: {given}: nobody checks who answers", "warn")
        configure(getattr(arguments, "workers", DEFAULT_CEILING))
        limit_rate(getattr(arguments, "limit_rate", None))
        outcome: Outcome = arguments.command(arguments, console)
    except KeyboardInterrupt:
        return _fail(console, EXIT_INTERRUPTED, "stopped; nothing was changed")
    except BrokenPipeError:
        _forget_stdout()
        return _fail(console, EXIT_INCOMPLETE, "stopped, since nobody reads the output any more")
    except Exception as err:
        log.debug("This is where it happened:", exc_info=True)
        return _fail(console, _exit_code(err), describe(err))
    if outcome.is_interrupted:
        return EXIT_INTERRUPTED, outcome
    return EXIT_DONE if outcome.is_complete else EXIT_INCOMPLETE, outcome


def _fail(console: Console, exit_code: int, message: str) -> tuple[int, Outcome]:
    console.error(f"{PROGRAM}: {message}", "bad")
    return exit_code, Outcome(is_complete=False, document={"error": message})


def _exit_code(err: Exception) -> int:
    if isinstance(err, LeaseError):
        return EXIT_BUSY
    is_expected = isinstance(err, (HarborBackupError, OSError))
    if isinstance(err, BackupIncompleteError) or not is_expected:
        return EXIT_INCOMPLETE
    return EXIT_PASSING if is_passing(err) else EXIT_PERMANENT


# -- the process


def _bound_memory() -> None:
    """Have all threads share two of glibc's heaps: with a hundred, each keeps some MB otherwise."""
    with suppress(OSError, AttributeError):  # another C library
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 2)


@contextmanager
def _logging_to(console: Console, *, verbose: bool) -> Iterator[None]:
    """Show warnings; with `verbose` all that this package logs.

    Other packages' debugging stays out of it: urllib3 logs whole addresses, and those of uploads
    and of an object storage have signatures in them.
    """
    handler = ConsoleHandler(console)
    pattern = "%(asctime)s %(levelname)s %(name)s: " if verbose else "%(levelname)s: "
    handler.setFormatter(logging.Formatter(pattern + "%(message)s"))
    package = logging.getLogger(_PACKAGE)
    root, level = logging.getLogger(), package.level
    root.addHandler(handler)
    package.setLevel(logging.DEBUG if verbose else logging.WARNING)
    try:
        yield
    finally:
        package.setLevel(level)
        root.removeHandler(handler)


@contextmanager
def _signals(console: Console) -> Iterator[None]:
    """Have SIGTERM and SIGHUP do what Ctrl-C does, and a second signal end the process at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    is_stopping = False

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal is_stopping
        if is_stopping:
            console.last_words(f"{PROGRAM}: stopped at once")
            os._exit(EXIT_INTERRUPTED)
        is_stopping = True
        console.begin("stopping; what is on its way ends first (Ctrl-C again: at once)")
        raise KeyboardInterrupt

    numbers = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as below nohup
        numbers.append(signal.SIGHUP)
    before = {number: signal.signal(number, stop) for number in numbers}
    # Python looks for signals between two instructions of this thread. One that comes just before
    # the thread begins to wait for others is not seen until something wakes it: this clock does.
    before[signal.SIGALRM] = signal.signal(signal.SIGALRM, lambda number, frame: None)
    signal.setitimer(signal.ITIMER_REAL, _LOOK_SECONDS, _LOOK_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before.items():
            signal.signal(number, handler)


def _forget_stdout() -> None:
    """Keep the interpreter from complaining of a closed pipe or a full disk when it ends."""
    with suppress(OSError, ValueError, AttributeError):  # there may be none
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _parser(words: Sequence[str]) -> argparse.ArgumentParser:
    """Return a parser of the command that is named: to load all takes a tenth of a second more."""
    named = next((word for word in words if not word.startswith("-")), "")
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        description=_DESCRIPTION,
        epilog=f"{PROGRAM} COMMAND --help shows examples, and how to log in.\n\n{EXIT_CODES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in (named,) if named in _COMMANDS else _COMMANDS:
        importlib.import_module(f"{__package__}.{command}").add(commands)
    return parser
