"""Harbor's settings in a store: documents named by what they hold, and which of them a night has.

A document is one line of JSON, UTF-8, keys sorted: its name is its SHA-256. A secret in it is
`{"$secret": true}` where only its presence is kept, else its sealed text, see `vault`. A text with
a secret in it, such as a URL with a login, is one, too, with `around` what may be seen of it.

In a directory only its owner may read a document (mode 0600), whatever the umask: it names people
and their e-mail addresses, and who has the file may try passphrases on what is sealed. So all that
write to such a store, or read its settings, do so as one user (or as root).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from airflow_provider_harbor.core.exceptions import HarborConfigurationError, IntegrityError
from airflow_provider_harbor.core.settings.kinds import SYSTEM, Kind, kind_of
from airflow_provider_harbor.core.settings.secret_values import Secret, map_secrets
from airflow_provider_harbor.core.settings.values import SECRETS, Unread
from airflow_provider_harbor.core.store import layout
from airflow_provider_harbor.core.store.documents import (
    SHAPE_ERRORS,
    damage,
    dump,
    read_object,
)
from airflow_provider_harbor.core.store.files import Files
from airflow_provider_harbor.core.store.layout import FORMAT_VERSION
from airflow_provider_harbor.core.store.seals import seal
from airflow_provider_harbor.core.store.vault import Vault, open_vault

_KIND = "harbor-settings"
_MARK = "$secret"
_AROUND = "around"
# Fields that say where to a secret beside them is sent; some begin with what it is of (`uaa_`).
_ADDRESSES = ("address", "endpoint", "url")


@dataclass(frozen=True, slots=True, kw_only=True)
class NightSettings:
    """Which settings a night has.

    Attributes:
        system: SHA-256 (hex) of the document of the system; empty where there is none.
        projects: Of that of each project, by its name.
        unread: What could not be read.
        limited: Whether only some projects were asked for.
        read_at: When it was read (ISO 8601, with a time zone).
        sweep: Before which sweep it was begun, see `claims`.
        run: Whose it is.
    """

    system: str
    projects: Mapping[str, str]
    unread: tuple[Unread, ...] = ()
    limited: bool = False
    read_at: str = ""
    sweep: str = ""
    run: str = ""

    @property
    def state(self) -> str:
        """What is wrong with it, in a word; empty where it has all that the login may read."""
        if self.limited:
            return "limited"
        # Secrets can be given at an import; an older night in its place would bring back old rules.
        lacks = any(unread.failed and unread.kind != SECRETS for unread in self.unread)
        return "incomplete" if lacks else ""

    @property
    def paths(self) -> list[str]:
        """Where its documents are."""
        return [
            layout.settings(sha256) for sha256 in (self.system, *self.projects.values()) if sha256
        ]

    def sha256_of(self, scope: str) -> str:
        """Return the name of the document of the system or a project; empty where it has none."""
        return self.system if scope == SYSTEM else self.projects.get(scope, "")

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> NightSettings:
        """Read what `to_json` returned."""
        projects = {str(name): str(sha256) for name, sha256 in data["projects"].items()}
        for sha256 in (str(data["system"]), *projects.values()):
            layout.settings(sha256)
        return cls(
            system=str(data["system"]),
            projects=projects,
            unread=tuple(map(Unread.from_json, data["unread"])),
            limited=bool(data["limited"]),
            read_at=str(data["read_at"]),
            sweep=str(data.get("sweep", "")),
            run=str(data.get("run", "")),
        )

    def to_json(self) -> dict[str, Any]:
        """Return what a snapshot holds of it."""
        return {
            "read_at": self.read_at,
            "limited": self.limited,
            "system": self.system,
            "projects": dict(sorted(self.projects.items())),
            "unread": [unread.to_json() for unread in self.unread],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingsDocument:
    """The settings of the system, or of a project.

    Attributes:
        scope: The system (empty), or the project's name.
        values: By name of the kind, see `settings.values.HarborSettings`. What is not there could
            not be read.
        encryption: How its secrets are sealed; empty where none is.
    """

    scope: str
    values: Mapping[str, Any]
    encryption: Mapping[str, Any] = field(default_factory=dict)

    def require_scope(self, scope: str) -> None:
        """Make sure that it is of what a night has it for: else nobody would see two swapped.

        Raises:
            ValueError: It is of something else.
        """
        if self.scope != scope:
            own, wanted = (f"project {s}" if s else "the system" for s in (self.scope, scope))
            raise ValueError(f"it has the settings of {own}, and is named as those of {wanted}")

    def opened(self, passphrase: str) -> SettingsDocument:
        """Return it with the secrets in clear.

        Raises:
            WrongPassphraseError: They are sealed with another one.
        """
        if not self.encryption:
            return self
        vault = Vault(passphrase, dict(self.encryption))

        def opened(place: str, secret: Secret) -> Secret:
            if not secret.sealed:
                return secret
            return replace(secret, text=vault.open(secret.sealed, place))

        return SettingsDocument(scope=self.scope, values=self.map_secrets(opened))

    def map_secrets(self, change: Callable[[str, Secret], Any]) -> dict[str, Any]:
        """Return the values with each secret replaced.

        Args:
            change: Takes the place of a secret, in which the address is that it is sent to, and
                which does not change when other items come and go; and the secret.
        """
        return {
            name: _map_kind(f"{self.scope}/{name}", _kind(self.scope, name), value, change)
            for name, value in self.values.items()
        }


def _kind(scope: str, name: str) -> Kind | None:
    try:
        return kind_of(scope, name)
    except KeyError:  # of a newer program
        return None


def _map_kind(
    place: str, kind: Kind | None, value: Any, change: Callable[[str, Secret], Any]
) -> Any:
    if kind is None or not isinstance(value, list):
        return _map_item(place, value, change)
    return [_map_item(f"{place}/{kind.key_of(item)}", item, change) for item in value]


def _map_item(place: str, item: Any, change: Callable[[str, Secret], Any]) -> Any:
    def changed(path: str, secret: Secret) -> Any:
        return change(f"{place}/{path}{_addressee(item, path)}", secret)

    return map_secrets(item, changed)


def _addressee(item: Any, path: str) -> str:
    """Return to whom a secret is told, by the addresses beside it on the way; empty for nobody.

    So that who can write to the store, and has no passphrase, cannot have it sent elsewhere.
    """
    found: list[list[str]] = []
    for name in path.split("/"):
        if isinstance(item, Mapping):
            prefix = name.partition("_")[0]
            known = {*_ADDRESSES, *(f"{prefix}_{address}" for address in _ADDRESSES)} - {name}
            found += [[each, str(item[each])] for each in sorted(known & item.keys())]
            item = item.get(name)
        elif isinstance(item, list) and name.isdecimal() and int(name) < len(item):
            item = item[int(name)]
    return f" for {json.dumps(found)}" if found else ""


class SettingsFiles:
    """The settings of a store. May be shared by threads."""

    def __init__(self, files: Files) -> None:
        self._files = files

    def open_vault(self, passphrase: str) -> Vault:
        """Return what seals secrets for this store, see `vault.open_vault`."""
        return open_vault(self._files, passphrase)

    # -- documents

    def write(self, document: SettingsDocument, vault: Vault | None = None) -> str:
        """Keep a document, unless the store has it; returns its SHA-256 (hex).

        Args:
            document: With secrets in clear, where they are known.
            vault: What seals them; without it only their presence is kept.
        """
        content = encode(document, vault)
        sha256 = hashlib.sha256(content).hexdigest()
        path = layout.settings(sha256)
        if not self._is_there(path, content):
            self._files.write(path, content, is_private=True)
        return sha256

    def _is_there(self, path: str, content: bytes) -> bool:
        try:
            return self._files.read(path) == content
        except FileNotFoundError:
            return False

    def read(self, sha256: str, scope: str | None = None) -> SettingsDocument:
        """Return a document, its secrets sealed.

        Args:
            sha256: Its name.
            scope: What it must be of: the system, or a project; None for any.

        Raises:
            IntegrityError: It is gone, is not what its name says, or is of something else.
            HarborConfigurationError: It is of a newer format.
        """
        path = layout.settings(sha256)
        try:
            content = self._files.read(path)
        except FileNotFoundError:
            raise IntegrityError(f"{self._files.url_of(path)} is gone from the store") from None
        if hashlib.sha256(content).hexdigest() != sha256:
            raise damage(
                self._files, path, ValueError("it holds something else than its name says")
            )
        try:
            document = decode(content)
            if scope is not None:
                document.require_scope(scope)
        except SHAPE_ERRORS as err:
            raise damage(self._files, path, err) from err
        return document

    # -- nights

    def write_night(self, run: str, night: NightSettings) -> str:
        """Keep which settings a run has; replaces what it had before. Returns the path."""
        path = layout.night_settings(run)
        self._files.sync()
        data = {"run": run, "sweep": night.sweep, **night.to_json()}
        self._files.write(path, seal(dump(data)))
        return path

    def read_night(self, run: str) -> NightSettings | None:
        """Return which settings a run has, by its name or key; None where it has none.

        Raises:
            IntegrityError: It cannot be read.
            HarborConfigurationError: It is of a newer format.
        """
        path = layout.night_settings(run)
        data = read_object(self._files, path)
        if data is None:
            return None
        try:
            return NightSettings.from_json(data)
        except SHAPE_ERRORS as err:
            raise damage(self._files, path, err) from err


def encode(document: SettingsDocument, vault: Vault | None = None) -> bytes:
    """Return a document as a file: the same for the same settings."""
    sealed_any = False

    def sealed(place: str, secret: Secret) -> Any:
        nonlocal sealed_any
        around = {_AROUND: secret.around} if secret.around else {}
        if vault is None or not secret.text:
            return {_MARK: True, **around}
        sealed_any = True
        return {_MARK: vault.seal(secret.text, place), **around}

    values = document.map_secrets(sealed)
    data: dict[str, Any] = {
        "format_version": FORMAT_VERSION,
        "kind": _KIND,
        "project": document.scope or None,
        "settings": values,
    }
    if sealed_any and vault:
        data["encryption"] = vault.encryption
    text = json.dumps(data, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return f"{text}\n".encode(errors="backslashreplace")


def decode(content: bytes) -> SettingsDocument:
    """Return what a file holds; the opposite of `encode`, but that secrets stay sealed.

    Raises:
        HarborConfigurationError: It is of a newer format.
        ValueError, KeyError, TypeError, AttributeError, RecursionError: It is none.
    """
    data = json.loads(content, object_hook=_unmarked)
    version = int(data["format_version"])
    if version > FORMAT_VERSION:
        raise HarborConfigurationError(
            f"the settings have format version {version}; this program knows {FORMAT_VERSION}. Use "
            "the newer program that wrote them"
        )
    if data["kind"] != _KIND:
        raise ValueError("it holds no settings")
    scope, values = str(data["project"] or SYSTEM), dict(data["settings"].items())
    for name, value in values.items():
        _require_form(_kind(scope, name), name, value)
    encryption = dict(data.get("encryption") or {})
    document = SettingsDocument(scope=scope, values=values, encryption=encryption)
    # What is sealed with two salts, or for two places, says nothing of what is in it.
    key = json.dumps(encryption, sort_keys=True)
    keyed = document.map_secrets(lambda place, secret: replace(secret, key=f"{key} {place}"))
    return replace(document, values=keyed)


def _require_form(kind: Kind | None, name: str, value: Any) -> None:
    """Make sure that a kind is a list of objects, or one object or none; one not known is free."""
    if kind is None:
        return
    if kind.key:
        is_right = isinstance(value, list) and all(isinstance(item, dict) for item in value)
    else:
        is_right = value is None or isinstance(value, dict)
    if not is_right:
        raise ValueError(f"{name} has another form than it should")


def _unmarked(data: dict[str, Any]) -> Any:
    if _MARK not in data or not data.keys() <= {_MARK, _AROUND}:
        return data
    sealed, around = data[_MARK], str(data.get(_AROUND, ""))
    return Secret(sealed="" if sealed is True else str(sealed), around=around)
