"""`harbor-backup serve`: a snapshot as a read-only registry."""

from __future__ import annotations

import argparse
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_provider_harbor.core.cli.arguments import (
    Commands,
    add_command,
    add_output,
    add_snapshot,
    add_store,
)
from airflow_provider_harbor.core.cli.outcome import Outcome, tell_snapshot
from airflow_provider_harbor.core.cli.progress import Console
from airflow_provider_harbor.core.exceptions import HarborConfigurationError
from airflow_provider_harbor.core.human import human_count, human_size
from airflow_provider_harbor.core.jobs.choosing import find_snapshot
from airflow_provider_harbor.core.store.backup_store import BackupStore

if TYPE_CHECKING:
    from airflow_provider_harbor.core.serve.server import Server

_EXAMPLES = """\
  harbor-backup serve /backup/harbor
  docker pull localhost:5000/library/nginx:1.27

  harbor-backup serve /backup/harbor --snapshot 2026-11-25 --listen 0.0.0.0:443 \\
      --certfile cert.pem --keyfile key.pem --htpasswd users
  htpasswd -B -c users alice
"""
_NEEDED = ("bcrypt", "starlette", "uvicorn")


def add(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        "serve",
        run,
        short="serve a snapshot as a read-only registry",
        description="Serve a snapshot as a registry that can be read, and not be written, under\n"
        "the names that Harbor has: clusters can pull while Harbor is gone. It goes on with that\n"
        "snapshot until Ctrl-C or SIGTERM, whatever is backed up meanwhile. It needs the extra\n"
        "`serve`: pip install 'airflow-provider-harbor[serve]'",
        examples=_EXAMPLES,
        uses_registries=False,
    )
    add_store(parser)
    add_snapshot(parser)
    add = parser.add_argument
    add(
        "--listen",
        default="127.0.0.1:5000",
        metavar="HOST:PORT",
        help="where (default: 127.0.0.1:5000, which no other machine reaches). For others to "
        "reach it, it takes a certificate and logins",
    )
    tls = parser.add_mutually_exclusive_group()
    tls.add_argument("--certfile", type=Path, metavar="FILE", help="certificate (PEM), with chain")
    tls.add_argument(
        "--without-tls",
        action="store_true",
        help="speak plain HTTP also where other machines reach it: everybody on the way can read "
        "passwords and content",
    )
    add("--keyfile", type=Path, metavar="FILE", help="its key (PEM), where that is not in it")
    login = parser.add_mutually_exclusive_group()
    login.add_argument(
        "--htpasswd",
        type=Path,
        metavar="FILE",
        help="who may read: users with passwords in the form of bcrypt, as htpasswd -B makes them",
    )
    login.add_argument(
        "--without-login",
        action="store_true",
        help="let everybody read everything who reaches it, private projects, too",
    )
    add_output(parser)


def run(arguments: argparse.Namespace, console: Console) -> Outcome:
    """Serve until a signal comes."""
    _require_extra()
    from airflow_provider_harbor.core.serve.catalogue import read_catalogue
    from airflow_provider_harbor.core.serve.listening import (
        check_certificate,
        listen,
        parse_address,
        require_protection,
    )
    from airflow_provider_harbor.core.serve.logins import read_logins
    from airflow_provider_harbor.core.serve.server import Server

    address = parse_address(arguments.listen)
    require_protection(
        address,
        has_certificate=arguments.certfile is not None,
        has_logins=arguments.htpasswd is not None,
        without_tls=arguments.without_tls,
        without_login=arguments.without_login,
    )
    if arguments.certfile:
        check_certificate(arguments.certfile, arguments.keyfile)
    elif arguments.keyfile:
        raise HarborConfigurationError("--keyfile needs --certfile")
    logins = read_logins(arguments.htpasswd) if arguments.htpasswd else None
    store = BackupStore(arguments.store)
    console.begin(f"reading {store.url}")
    _ = store.harbor_url  # that it is a store
    snapshot = find_snapshot(store, arguments.snapshot)
    # Before the lists are read, which can take a while.
    with closing(listen(address)) as listener:
        tell_snapshot(console, store, snapshot)
        catalogue = read_catalogue(store, snapshot, console.status)
        console.clear()  # from here on nothing is under way
        for problem in catalogue.problems:
            console.error(f"warning: {problem}", "warn")
        console.line(catalogue.summary())
        server = Server(
            store,
            catalogue,
            listener,
            logins=logins,
            certfile=arguments.certfile,
            keyfile=arguments.keyfile,
            on_stop=lambda: console.begin("stopping; what is on its way ends first"),
        )
        console.line(f"serving {snapshot.key} at {server.url}, read-only; Ctrl-C stops it")
        server.run()
    return _outcome(server, snapshot.key)


def _require_extra() -> None:
    for module in _NEEDED:
        try:
            __import__(module)
        except ImportError:
            raise HarborConfigurationError(
                f"serve needs the package {module}, which is not installed: "
                "pip install 'airflow-provider-harbor[serve]'"
            ) from None


def _outcome(server: Server, snapshot: str) -> Outcome:
    requests, sent_bytes = server.requests, server.sent_bytes
    return Outcome(
        is_complete=True,
        summary=f"Stopped, after {human_count(requests, 'request')} and {human_size(sent_bytes)}",
        document={
            "snapshot": snapshot,
            "url": server.url,
            "requests": requests,
            "sent_bytes": sent_bytes,
        },
    )
