"""What the commands have in common: arguments, help, and how they reach registries."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from airflow_provider_harbor.core.cli.credentials import (
    Given,
    Prefix,
    credentials_for,
    login_advice,
)
from airflow_provider_harbor.core.cli.outcome import Outcome
from airflow_provider_harbor.core.cli.progress import Console
from airflow_provider_harbor.core.exceptions import HarborConfigurationError
from airflow_provider_harbor.core.http.pace import DEFAULT_CEILING
from airflow_provider_harbor.core.http.rate import parse_rate
from airflow_provider_harbor.core.http.urls import normalise_url
from airflow_provider_harbor.core.jobs.choosing import LATEST

Commands = argparse._SubParsersAction  # the type of what `add_subparsers` returns

_OF_A_SERVER = ("user", "password_file", "ca_file", "insecure")
_ONE_SERVER: Mapping[str, str] = {"": "the server"}

EXIT_CODES = """\
exit codes:
  0    everything that was asked for is done (after --dry-run: could be done)
  1    something is not; the messages and the report say what, why, and what to do
  2    nothing was begun, and trying again will not help: arguments, a URL, a login, a store
  3    nothing was begun, and trying again later may help: no answer, unhealthy, overloaded
  4    nothing was begun, since another run writes to the same place
  130  stopped by Ctrl-C or SIGTERM; the same command goes on from there
"""
_LOGINS = """\
credentials of registries:
  HARBOR_BACKUP_SOURCE_USER, HARBOR_BACKUP_SOURCE_PASSWORD
                        of the Harbor that is backed up, or of the mirror after --from
  HARBOR_BACKUP_DESTINATION_USER, HARBOR_BACKUP_DESTINATION_PASSWORD
                        of the registry that is written to, or of that after --mirror
  HARBOR_BACKUP_SOURCE_PASSWORD_FILE, HARBOR_BACKUP_DESTINATION_PASSWORD_FILE
                        a file with the password in one line, in place of the password
  --user and --password-file come before these variables. Where nothing is set, docker's
  configuration is asked, with its credential helpers ($DOCKER_CONFIG/config.json, else
  ~/.docker/config.json): `docker login HOST` is enough.
  REQUESTS_CA_BUNDLE, HTTPS_PROXY and NO_PROXY are followed.
"""
_STORES = """\
stores:
  A directory, or s3://BUCKET/PREFIX, gs://BUCKET/PREFIX, az://CONTAINER/PREFIX. Credentials come
  from the environment: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION, AWS_ENDPOINT_URL;
  GOOGLE_APPLICATION_CREDENTIALS; AZURE_STORAGE_ACCOUNT_NAME, AZURE_STORAGE_ACCOUNT_KEY.
"""


def add_command(
    commands: Commands[argparse.ArgumentParser],
    name: str,
    function: Callable[[argparse.Namespace, Console], Outcome],
    *,
    short: str,
    description: str,
    examples: str,
    uses_registries: bool = True,
    uses_store: bool = True,
) -> argparse.ArgumentParser:
    """Add a command, with a help that has all it takes to use it.

    Args:
        commands: What it is added to.
        name: Of the command.
        function: What runs it.
        short: What it does, in some words.
        description: What it does, in some lines.
        examples: Lines that can be typed.
        uses_registries: Whether its help tells where credentials come from.
        uses_store: Whether its help tells what a store is.
    """
    parts = [
        f"examples:\n{examples}",
        _STORES if uses_store else "",
        _LOGINS if uses_registries else "",
        EXIT_CODES,
    ]
    parser = commands.add_parser(
        name,
        help=short,
        description=description,
        epilog="\n".join(part for part in parts if part),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(command=function)
    return parser


def add_store(parser: argparse.ArgumentParser) -> None:
    """Add the argument that names a store."""
    parser.add_argument("store", metavar="STORE", help="directory or URL of the backup store")


def add_limit(parser: argparse.ArgumentParser) -> None:
    """Add how many lines are shown; `--json` has all."""
    parser.add_argument(
        "--limit",
        type=number,
        default=100,
        metavar="N",
        help="how many lines to show at most (default: 100); --json has all",
    )


def add_snapshot(parser: argparse.ArgumentParser) -> None:
    """Add what says which night is meant."""
    parser.add_argument(
        "--snapshot",
        default=LATEST,
        metavar="WHICH",
        help="'latest' (the newest complete one, the default), a date such as 2026-11-25 (the "
        "newest complete one of that day, UTC), or a name that `snapshots` shows",
    )


def add_tags(parser: argparse.ArgumentParser) -> None:
    """Add what limits a command to some tags."""
    parser.add_argument(
        "--tag",
        action="append",
        default=[],
        metavar="TAG",
        help="only what this tag names, with all that belongs to it (children, signatures); may "
        "be repeated, and be a glob",
    )


def add_project_filters(parser: argparse.ArgumentParser) -> None:
    """Add what limits a command to some projects of Harbor."""
    parser.add_argument(
        "--project",
        action="append",
        default=[],
        metavar="GLOB",
        help="only such projects; may be repeated (default: all, and the login must see all)",
    )
    parser.add_argument(
        "--exclude",
        action="append",
        default=[],
        metavar="GLOB",
        help="not such projects; may be repeated, and wins over --project",
    )


def add_workers(parser: argparse.ArgumentParser) -> None:
    """Add how much is done at once."""
    parser.add_argument(
        "--workers",
        type=_workers,
        default=DEFAULT_CEILING,
        metavar="N",
        help=f"how many requests to one server at once, at most (default: {DEFAULT_CEILING}). How "
        "many really are found out: it begins with a few, more follow as long as that is faster, "
        "and fewer at once where a server answers 429 or 503, or connections break. The report "
        "says how many there were. Give a smaller number to spare a server",
    )


def add_limit_rate(parser: argparse.ArgumentParser) -> None:
    """Add how many bytes a second are moved at most."""
    parser.add_argument(
        "--limit-rate",
        type=_rate,
        default=None,
        metavar="RATE",
        help="how many bytes a second to move at most in all, such as 500K, 50M or 1G (powers of "
        "1,000); what is read at one end and written at the other counts once (default: no limit)",
    )


def add_connections(
    parser: argparse.ArgumentParser, servers: Mapping[str, str] = _ONE_SERVER
) -> None:
    """Add how registries are reached.

    Args:
        parser: Of the command.
        servers: Each server that the command may reach: with what the names of its options begin
            (empty for nothing, `to` for `--to-...`), and what the help calls it.
    """
    parser.add_argument(
        "--timeout",
        type=_seconds,
        default=60.0,
        metavar="SECONDS",
        help="how long to wait for each next byte of an answer (default: 60)",
    )
    for name, words in servers.items():
        group = parser.add_argument_group(f"connection to {words}")
        begin = _option(name)
        group.add_argument(f"{begin}user", default="", metavar="NAME", help="of a user or robot")
        group.add_argument(
            f"{begin}password-file",
            default="",
            metavar="FILE",
            help="a file that has the password in one line",
        )
        trust = group.add_mutually_exclusive_group()
        trust.add_argument(
            f"{begin}ca-file", default="", metavar="FILE", help="CA certificates to trust (PEM)"
        )
        trust.add_argument(
            f"{begin}insecure", action="store_true", help="do not verify its TLS certificate"
        )


def add_output(parser: argparse.ArgumentParser) -> None:
    """Add how much is shown, and in which form."""
    parser.add_argument(
        "--json", action="store_true", help="the result as one JSON document on stdout"
    )
    amount = parser.add_mutually_exclusive_group()
    amount.add_argument("--quiet", action="store_true", help="no progress: errors and the result")
    amount.add_argument("--verbose", action="store_true", help="log what is done, on stderr")


def connection(
    arguments: argparse.Namespace, url: str, prefix: Prefix, server: str = ""
) -> dict[str, Any]:
    """Return how to reach a registry, as the keyword arguments that every client takes.

    Args:
        arguments: Of the command.
        url: Of the registry.
        prefix: Which variables have its login.
        server: With what the names of its options begin, see `add_connections`.

    Raises:
        HarborConfigurationError: The file of certificates is not there, or the login is none.
    """
    options = _option(server)

    def option(name: str) -> Any:
        return getattr(arguments, f"{server}_{name}" if server else name)

    # The options are those of the login that does most; a second one is in the environment.
    given = None
    if prefix != "ADMIN":
        given = Given(user=option("user"), password_file=option("password_file"), options=options)
    user, password = credentials_for(url, prefix, given=given)
    verify: bool | str = not option("insecure")
    if ca_file := option("ca_file"):
        if not Path(ca_file).is_file():
            raise HarborConfigurationError(f"{options}ca-file: there is no file {ca_file}")
        verify = str(ca_file)
    return {
        "url": normalise_url(url),
        "user": user,
        "password": password,
        "verify": verify,
        "timeout_seconds": arguments.timeout,
        "login_advice": login_advice(url, prefix),
    }


def require_servers(arguments: argparse.Namespace, servers: Mapping[str, str]) -> None:
    """Make sure that no option says how to reach a server that is not given.

    Args:
        arguments: Of the command.
        servers: URLs, empty where there is none, by what the names of the options begin with; the
            server is named by an option `--...` of that name.

    Raises:
        HarborConfigurationError: There is one; nothing would come of it.
    """
    for server, url in servers.items():
        for name in _OF_A_SERVER:
            if not url and getattr(arguments, f"{server}_{name}"):
                option = f"{_option(server)}{name.replace('_', '-')}"
                raise HarborConfigurationError(
                    f"{option} is given, and --{server} is not. Give --{server} URL, or leave "
                    f"{option} out"
                )


def insecure_options(arguments: argparse.Namespace) -> list[str]:
    """Return the options that were given to trust whoever answers."""
    return [
        "--" + name.replace("_", "-")
        for name, value in vars(arguments).items()
        if name.rpartition("_")[2] == "insecure" and value is True
    ]


def _option(server: str) -> str:
    return f"--{server}-" if server else "--"


def _workers(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 256:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 to 256")
    return int(text)


def _rate(text: str) -> float:
    try:
        return parse_rate(text)
    except ValueError as err:
        raise argparse.ArgumentTypeError(str(err)) from None


def number(text: str) -> int:
    """Read a number of 1 or more."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of 1 or more")
    return int(text)


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= 86400:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds")
    return value
