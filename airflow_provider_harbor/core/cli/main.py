"""The command `harbor-backup`, which works without Airflow: arguments, exit codes, signals.

What the commands do is in `commands`.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

from airflow_provider_harbor import __version__
from airflow_provider_harbor.core.cli.commands import Outcome, run_copy, run_inventory
from airflow_provider_harbor.core.cli.progress import Console, ConsoleHandler
from airflow_provider_harbor.core.exceptions import (
    BackupIncompleteError,
    HarborBackupError,
    LeaseError,
    describe,
    is_passing,
)

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

_DESCRIPTION = "Back up a Harbor registry by its own APIs, while it runs."
_INVENTORY_EXAMPLES = """\
  harbor-backup inventory https://harbor.example.com --output inventory.jsonl.gz
  harbor-backup inventory harbor.example.com --output - --project library | jq -r .digest
"""
_COPY_EXAMPLES = """\
  harbor-backup copy harbor.example.com mirror.example.com --state /var/lib/harbor-backup --dry-run
  harbor-backup copy harbor.example.com mirror.example.com --state /var/lib/harbor-backup
  harbor-backup copy harbor.example.com http://registry.example.com:5000 --state ./state \\
      --project 'team-*' --exclude team-test
"""
_ENVIRONMENT = """\
credentials:
  HARBOR_BACKUP_SOURCE_USER, HARBOR_BACKUP_SOURCE_PASSWORD
                        of the Harbor that is backed up
  HARBOR_BACKUP_DESTINATION_USER, HARBOR_BACKUP_DESTINATION_PASSWORD
                        of the registry that is copied to
  Where they are not set, docker's configuration is asked, with its credential helpers
  ($DOCKER_CONFIG/config.json, else ~/.docker/config.json): `docker login HOST` is enough.
  The login must see all projects, as an administrator or a system robot does; else name them
  with --project. REQUESTS_CA_BUNDLE, HTTPS_PROXY and NO_PROXY are followed.

exit codes:
  0    everything that was asked for is listed, or protected (after --dry-run: is planned)
  1    something is not; the messages and the report say what, why, and what to do
  2    nothing was begun, and trying again will not help: arguments, a URL, a login, a certificate
  3    nothing was begun, and trying again later may help: no answer, unhealthy, overloaded
  4    nothing was begun, since another run writes to the same destination from the same store
  130  stopped by Ctrl-C or SIGTERM; the same command goes on from there
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line, and return its exit code.

    Args:
        argv: Arguments without the program's name; by default those of this process. Wrong ones
            end in `SystemExit(2)`, as argparse does it.
    """
    arguments = _parser().parse_args(argv)
    console = Console(sys.stdout, sys.stderr, quiet=arguments.quiet)
    with _logging_to(console, verbose=arguments.verbose), _signals(console):
        try:
            exit_code, outcome = _run(arguments, console)
            _show(arguments, console, exit_code, outcome)
        except KeyboardInterrupt:  # between what is caught inside
            return EXIT_INTERRUPTED
    return exit_code


def _show(
    arguments: argparse.Namespace, console: Console, exit_code: int, outcome: Outcome
) -> None:
    try:
        if arguments.json:
            console.document({"exit_code": exit_code, **outcome.document})
        elif outcome.summary:
            write = console.error if outcome.used_stdout else console.result
            write(outcome.summary)
    except BrokenPipeError:
        _forget_stdout()
    console.clear()


def _run(arguments: argparse.Namespace, console: Console) -> tuple[int, Outcome]:
    """Run the chosen command; every error becomes one message and an exit code."""
    try:
        if arguments.insecure:
            warnings.filterwarnings("ignore", message="Unverified HTTPS request")
            console.error(f"{PROGRAM}: warning: --insecure: nobody checks who the servers are")
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
    console.error(f"{PROGRAM}: {message}")
    return exit_code, Outcome(is_complete=False, document={"error": message})


def _exit_code(err: Exception) -> int:
    if isinstance(err, LeaseError):
        return EXIT_BUSY
    is_expected = isinstance(err, (HarborBackupError, OSError))
    if isinstance(err, BackupIncompleteError) or not is_expected:
        return EXIT_INCOMPLETE
    return EXIT_PASSING if is_passing(err) else EXIT_PERMANENT


# -- the process


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
    """Have SIGTERM do what Ctrl-C does, and a second signal end the process at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    is_stopping = False

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal is_stopping
        if is_stopping:
            console.error(f"{PROGRAM}: stopped at once")
            os._exit(EXIT_INTERRUPTED)
        is_stopping = True
        console.begin("stopping; what is on its way ends first (Ctrl-C again: at once)")
        raise KeyboardInterrupt

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
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
    """Keep the interpreter from complaining of a closed pipe when it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


# -- arguments


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        description=_DESCRIPTION,
        epilog=f"examples:\n{_INVENTORY_EXAMPLES}{_COPY_EXAMPLES}\n{_ENVIRONMENT}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_inventory(commands)
    _add_copy(commands)
    return parser


def _add_inventory(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = _command(
        commands,
        "inventory",
        run_inventory,
        "write down what Harbor holds, one line for each digest",
        "List every artifact, child of a multi-architecture artifact and accessory as JSON Lines,\n"
        "sorted by repository and digest; equal content gives equal bytes.",
        _INVENTORY_EXAMPLES,
    )
    parser.add_argument("url", metavar="URL", help="of Harbor; https:// may be left out")
    parser.add_argument(
        "--output",
        required=True,
        metavar="FILE",
        help="where to write; compressed if it ends in .gz; '-' is the standard output. It is "
        "replaced only by a whole inventory; one with gaps becomes FILE.partial",
    )
    _add_common(parser)


def _add_copy(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = _command(
        commands,
        "copy",
        run_copy,
        "copy what is new to another registry",
        "List Harbor, and copy what the destination does not hold yet: another Harbor (missing\n"
        "projects are created, private) or any other registry. Run it again at any time.",
        _COPY_EXAMPLES,
    )
    parser.add_argument("url", metavar="URL", help="of the Harbor to back up")
    parser.add_argument("destination", metavar="DESTINATION_URL", help="of the registry to copy to")
    parser.add_argument(
        "--state",
        required=True,
        metavar="DIR",
        help="where inventories, snapshots and reports are kept; the same for each run",
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="write inventories and plans, and copy nothing"
    )
    parser.add_argument(
        "--workers",
        type=_whole_number,
        default=8,
        metavar="N",
        help="so many manifests, and so many blobs, are on their way at once (default: 8)",
    )
    _add_common(parser)


def _command(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    function: Callable[[argparse.Namespace, Console], Outcome],
    short: str,
    description: str,
    examples: str,
) -> argparse.ArgumentParser:
    parser = commands.add_parser(
        name,
        help=short,
        description=description,
        epilog=f"examples:\n{examples}\n{_ENVIRONMENT}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(command=function)
    return parser


def _add_common(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "--project",
        action="append",
        default=[],
        metavar="GLOB",
        help="only such projects; may be repeated (default: all, and the login must see all)",
    )
    add(
        "--exclude",
        action="append",
        default=[],
        metavar="GLOB",
        help="not such projects; may be repeated, and wins over --project",
    )
    add(
        "--timeout",
        type=_seconds,
        default=60.0,
        metavar="SECONDS",
        help="how long to wait for each next byte of an answer (default: 60)",
    )
    trust = parser.add_mutually_exclusive_group()
    trust.add_argument("--ca-file", metavar="FILE", help="CA certificates to trust (PEM)")
    trust.add_argument("--insecure", action="store_true", help="do not verify TLS certificates")
    add("--json", action="store_true", help="the result as one JSON document on stdout")
    amount = parser.add_mutually_exclusive_group()
    amount.add_argument("--quiet", action="store_true", help="no progress: errors and the result")
    amount.add_argument("--verbose", action="store_true", help="log what is done, on stderr")


def _whole_number(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 64:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 to 64")
    return int(text)


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= 86400:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds")
    return value
