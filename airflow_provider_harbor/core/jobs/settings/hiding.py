"""Keeps secrets out of what is told of an import: Harbor's error texts may repeat them."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator
from typing import Any

from airflow_provider_harbor.core.http.echoes import Secrets
from airflow_provider_harbor.core.settings.secret_values import iter_secrets, url_passwords

# A shorter text has too little in base64 to be told from others.
_LONG = 6


class HiddenSecrets:
    """Texts that must not be shown, and their forms: escaped, in base64, parts of an object."""

    def __init__(self, texts: Iterable[str] = ()) -> None:
        self._texts: set[str] = set()
        self._secrets: Secrets | None = None
        for text in texts:
            self.add(text)

    def add(self, text: str) -> None:
        """Note a secret."""
        found = {part for part in _parts(text) if part} - self._texts
        if found:
            self._texts |= found
            self._secrets = None

    def add_all_of(self, value: Any) -> None:
        """Note each secret in a value whose text is known."""
        for _, secret in iter_secrets(value):
            self.add(secret.text)

    def hide(self, message: str) -> str:
        """Return a message without them."""
        if self._secrets is None:
            forms = {form for text in self._texts for form in (text, *_in_base64(text))}
            self._secrets = Secrets(None, sorted(forms))
        return self._secrets.hide(message)


def _parts(text: str) -> Iterator[str]:
    """Yield a secret, and what it is made of: each text of an object, a token after its scheme."""
    yield text
    yield from url_passwords(text)
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        data = None
    if isinstance(data, (dict, list)):
        yield from _texts(data)
    _, space, token = text.partition(" ")
    if space and len(token) >= _LONG:
        yield token


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        # A user's name is no secret, and is part of many other words.
        value = [each for key, each in value.items() if "user" not in str(key).lower()]
    if isinstance(value, list):
        for each in value:
            yield from _texts(each)
    elif isinstance(value, str):
        yield value


def _in_base64(text: str) -> Iterator[str]:
    """Yield what base64 has of a text, wherever in other text it begins: `name:password`."""
    content = text.encode(errors="backslashreplace")
    if len(content) < _LONG:
        return
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        for before in range(3):
            encoded = encode(b"\0" * before + content).decode().rstrip("=")
            # What shares a character with its neighbours looks otherwise beside other ones.
            begin = (0, 2, 3)[before]
            end = len(encoded) - bool((before + len(content)) % 3)
            yield encoded[begin:end]
