"""Secrets in a store, sealed with a passphrase.

AES-SIV (RFC 5297) with a key that scrypt (RFC 7914) makes of the passphrase: the same secret at the
same place is sealed to the same text, so that equal nights are one file, and a changed one can be
told without the passphrase. It tells no more than that. The salt is one for the store, and is in
each document that has sealed secrets: a document and the passphrase are all that it takes.
"""

from __future__ import annotations

import base64
import binascii
import functools
import secrets
from typing import Any

from airflow_provider_harbor.core.exceptions import HarborConfigurationError, IntegrityError
from airflow_provider_harbor.core.store import layout
from airflow_provider_harbor.core.store.documents import SHAPE_ERRORS, damage, dump, read_object
from airflow_provider_harbor.core.store.files import Files

# 32 MiB and 0.1 s for each try of a passphrase.
_COST = {"n": 2**15, "r": 8, "p": 1}
_MOST_MEMORY = 2**28
_KEY_BYTES = 64
_SHORTEST = 12
_CHECK = "harbor-backup"


class WrongPassphraseError(HarborConfigurationError):
    """The passphrase is not the one with which a secret was sealed."""

    def __init__(self) -> None:
        super().__init__(
            "the passphrase is not the one with which these secrets were sealed, or somebody has "
            "changed what they belong to, such as an address. Give that passphrase; if it is the "
            "right one, take another night"
        )


class Vault:
    """Seals secrets, and opens them.

    Args:
        passphrase: It, or a key: any text of 12 characters or more.
        encryption: How the key is made of it, as a document says.

    Raises:
        HarborConfigurationError: The passphrase is too short; or the package `cryptography` is not
            installed.
    """

    def __init__(self, passphrase: str, encryption: dict[str, Any]) -> None:
        if len(passphrase) < _SHORTEST:
            raise HarborConfigurationError(
                f"the passphrase has fewer than {_SHORTEST} characters. Take a longer one"
            )
        self.encryption = encryption
        self._cipher = _cipher(passphrase, encryption)

    def __repr__(self) -> str:
        return "Vault()"

    def seal(self, text: str, place: str) -> str:
        """Return a secret sealed; it can be opened for this place only.

        Args:
            text: It.
            place: What it is of, and for which address.
        """
        return base64.b64encode(self._cipher.encrypt(text.encode(), [place.encode()])).decode()

    def open(self, sealed: str, place: str) -> str:
        """Return a secret.

        Raises:
            WrongPassphraseError: It was sealed with another passphrase, or for another place.
        """
        from cryptography.exceptions import InvalidTag

        try:
            whole = base64.b64decode(sealed, validate=True)
            return bytes(self._cipher.decrypt(whole, [place.encode()])).decode()
        except (InvalidTag, ValueError, binascii.Error):
            raise WrongPassphraseError from None


def _cipher(passphrase: str, encryption: dict[str, Any]) -> Any:
    try:
        n, r, p = (int(encryption[name]) for name in ("n", "r", "p"))
        salt = base64.b64decode(encryption["salt"], validate=True)
        if encryption["kdf"] != "scrypt" or 128 * n * r > _MOST_MEMORY or not 0 < p <= 16:
            raise ValueError
        return _derived(passphrase, salt, n, r, p)
    except SHAPE_ERRORS as err:
        raise IntegrityError(
            "the document does not say, in a way known here, how its secrets are sealed"
        ) from err


# Each document says how, and they say the same.
@functools.lru_cache(maxsize=4)
def _derived(passphrase: str, salt: bytes, n: int, r: int, p: int) -> Any:
    try:
        from cryptography.hazmat.primitives.ciphers.aead import AESSIV
        from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
    except ImportError:
        raise HarborConfigurationError(
            "secrets need the package cryptography. Install airflow-provider-harbor[secrets]"
        ) from None
    return AESSIV(Scrypt(salt=salt, length=_KEY_BYTES, n=n, r=r, p=p).derive(passphrase.encode()))


def open_vault(files: Files, passphrase: str) -> Vault:
    """Return the vault of a store, which begins with the first passphrase.

    Raises:
        HarborConfigurationError: The store has secrets that another passphrase seals.
        StoreError: It cannot be read or written.
    """
    data = read_object(files, layout.VAULT)
    if data is None:
        salt = base64.b64encode(secrets.token_bytes(16)).decode()
        encryption: dict[str, Any] = {"kdf": "scrypt", **_COST, "salt": salt}
        check = Vault(passphrase, encryption).seal(_CHECK, layout.VAULT)
        files.create(
            layout.VAULT, dump({"encryption": encryption, "check": check}), is_private=True
        )
        # Somebody else may have been faster.
        data = read_object(files, layout.VAULT) or {}
    try:
        vault, check = Vault(passphrase, dict(data["encryption"])), str(data["check"])
    except SHAPE_ERRORS as err:
        raise damage(files, layout.VAULT, err) from err
    try:
        vault.open(check, layout.VAULT)
    except WrongPassphraseError:
        raise HarborConfigurationError(
            "the passphrase is not that of the nights before. Give that one; or, to begin with "
            f"another one, delete {files.url_of(layout.VAULT)}: older nights keep theirs"
        ) from None
    return vault
