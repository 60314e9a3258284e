"""Logins of a served registry: a file of users and passwords, as `htpasswd -B` makes it."""

from __future__ import annotations

import hashlib
import hmac
import os
import re
from collections.abc import Mapping
from pathlib import Path

import bcrypt

from airflow_provider_harbor.core.exceptions import HarborConfigurationError, describe

_BCRYPT = re.compile(r"\$2[aby]\$\d\d\$[./A-Za-z0-9]{53}")
# What bcrypt looks at; `htpasswd` leaves the rest away without a word.
_LONGEST_PASSWORD = 72


class Logins:
    """Users with the hashes of their passwords. May be shared by threads.

    Checking a password takes some 50 ms by design, and every request brings one: so the last right
    one of each user is remembered, as a hash under a key that this process has made.

    Args:
        hashes: Of bcrypt, by user.
    """

    def __init__(self, hashes: Mapping[str, bytes]) -> None:
        self._hashes = dict(hashes)
        self._key = os.urandom(32)
        self._proven: dict[str, bytes] = {}
        # Checked for users that do not exist, so that they take as long as those that do.
        self._nobody = bcrypt.hashpw(os.urandom(16).hex().encode(), bcrypt.gensalt(_cost(hashes)))

    def __len__(self) -> int:
        return len(self._hashes)

    def knows(self, user: str, password: str) -> bool:
        """Whether this login was right before, which is told at once."""
        proven = self._proven.get(user)
        return proven is not None and hmac.compare_digest(proven, self._mark(user, password))

    def check(self, user: str, password: str) -> bool:
        """Whether the login is right; takes its time."""
        raw = password.encode()[:_LONGEST_PASSWORD]
        known = self._hashes.get(user)
        if b"\0" in raw:
            return False
        is_right = bcrypt.checkpw(raw, known or self._nobody) and known is not None
        if is_right:
            self._proven[user] = self._mark(user, password)
        return is_right

    def _mark(self, user: str, password: str) -> bytes:
        text = f"{user}\0{password}".encode()
        return hmac.new(self._key, text, hashlib.sha256).digest()


def _cost(hashes: Mapping[str, bytes]) -> int:
    return max((int(value[4:6]) for value in hashes.values()), default=4)


def read_logins(path: Path) -> Logins:
    """Read a file of logins: a line `user:hash` for each.

    Only hashes of bcrypt are taken, as by the distribution: the other forms of htpasswd are broken
    by trying, at billions a second.

    Raises:
        HarborConfigurationError: It cannot be read, or a line is something else, or there is none.
    """
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as err:
        why = describe(err) if isinstance(err, OSError) else f"{path}: not UTF-8"
        raise HarborConfigurationError(f"the file of logins cannot be read: {why}") from None
    hashes: dict[str, bytes] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        user, colon, value = line.strip().partition(":")
        if not (user and colon and _BCRYPT.fullmatch(value)):
            raise HarborConfigurationError(
                f"line {number} of {path} is not a user with a password in the form of bcrypt, the "
                "only one that is accepted. Make it with: htpasswd -B FILE USER"
            )
        hashes.setdefault(user, value.encode())
    if not hashes:
        raise HarborConfigurationError(
            f"there is no login in {path}. Make one with: htpasswd -B FILE USER"
        )
    return Logins(hashes)
