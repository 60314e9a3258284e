"""The passphrase that seals and opens secrets: out of a file or the environment, never an argument.

An argument is seen by everybody on the machine, and stays in the history of the shell.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from pathlib import Path

from airflow_provider_harbor.core.exceptions import HarborConfigurationError

VARIABLE = "HARBOR_BACKUP_PASSPHRASE"
HELP = f"""\
secrets:
  Only that they are there is kept, unless --with-secrets is given: then those that Harbor shows
  (headers of webhooks, uaa_client_secret) are kept, sealed with a passphrase or key, which is taken
  from --passphrase-file or {VARIABLE}. Passwords, secrets of robots, registries,
  scanners and LDAP or OIDC are shown by no Harbor, and are in no backup.
"""


def add_passphrase(parser: argparse.ArgumentParser) -> None:
    """Add where the passphrase is."""
    parser.add_argument(
        "--passphrase-file",
        metavar="FILE",
        help=f"a file with the passphrase of sealed secrets (or set {VARIABLE})",
    )


def passphrase_of(arguments: argparse.Namespace, environ: Mapping[str, str] = os.environ) -> str:
    """Return the passphrase; empty where none is given.

    Raises:
        HarborConfigurationError: The file cannot be read, or is empty.
    """
    if not arguments.passphrase_file:
        return environ.get(VARIABLE, "")
    path = Path(arguments.passphrase_file)
    try:
        text = path.read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as err:
        what = getattr(err, "strerror", "") or "it is no text"
        raise HarborConfigurationError(f"--passphrase-file: {path}: {what}") from None
    if not text:
        raise HarborConfigurationError(f"--passphrase-file: {path} is empty")
    return text


def require_passphrase(arguments: argparse.Namespace) -> str:
    """Return the passphrase.

    Raises:
        HarborConfigurationError: There is none.
    """
    if text := passphrase_of(arguments):
        return text
    raise HarborConfigurationError(
        f"--with-secrets needs a passphrase: give --passphrase-file FILE, or set {VARIABLE}"
    )
