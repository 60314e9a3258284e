"""What a server sends back of a login is taken out, before anybody sees it.

Proxies that are made for debugging, and errors of some servers, repeat the headers of a request,
the Authorization among them. From there it would go into logs, reports and the store.
"""

from __future__ import annotations

import base64
import functools
import html
import re
from collections.abc import Sequence
from contextlib import suppress
from typing import Any
from urllib.parse import unquote

HIDDEN = "***"

# A shorter text is hidden only where it stands alone, and not within a word.
_LONG = 6
# From the first of several backslashes on, so that a text of nothing else does not take for ever.
_ESCAPED_CODE = re.compile(r"(?<!\\)\\+u([0-9a-fA-F]{4})")
_ESCAPED_BYTE = re.compile(r"(?<!\\)\\+x([0-9a-fA-F]{2})")
_ESCAPED_SIGN = re.compile(r"(?<!\\)\\+([\"/\\])")
# What a name, a tag or a digest can have in it by chance, and what those look like.
_PLAIN = re.compile(r"[a-z0-9._-]*")
_LIKE_A_NAME = re.compile(r"[A-Za-z0-9._:/@-]*")


class Secrets:
    """What must not be shown of a request: its login as it was sent, and as what it was made of.

    Args:
        authorization: The request's header; None where it had none.
        others: More texts to hide, such as the signature of an address.
    """

    def __init__(self, authorization: str | None, others: Sequence[str] = ()) -> None:
        sent = (authorization or "").partition(" ")[2].rstrip("=")
        _, _, self._password = _decoded(authorization).partition(":")
        # The longest first, since one may be a part of another.
        self._sent = sorted(filter(None, {sent, *others}), key=len, reverse=True)
        # Forms have `+` for a space, and some read each byte of a login as a character.
        bytewise = self._password.encode().decode("latin-1")
        forms = {self._password, self._password.replace(" ", "+"), bytewise}
        self._all = [*self._sent, *sorted(filter(None, forms), key=len, reverse=True)]

    def hide(self, text: str) -> str:
        """Return a text without them, also where they are escaped for JSON, HTML or a URL."""
        return _hide(self._all, text)

    def hide_in_json(self, data: Any, text: str) -> Any:
        """Return what was read from JSON without them.

        A password of lower-case letters and digits stays where it may be a part of a name: else
        the repository `infra/registry` could not be backed up with the password `registry`.

        Args:
            data: What was read.
            text: The JSON itself, which tells quickly that there is nothing to do.
        """
        forms = (text, _unescaped(text)) if "\\" in text else (text,)
        if any(secret in form for secret in self._all for form in forms):
            return self._walk(data)
        return data

    def _walk(self, data: Any) -> Any:
        if isinstance(data, str):
            is_left = _PLAIN.fullmatch(self._password) and _LIKE_A_NAME.fullmatch(data)
            return _hide(self._sent if is_left else self._all, data)
        if isinstance(data, list):
            return [self._walk(item) for item in data]
        if isinstance(data, dict):
            return {key: self._walk(value) for key, value in data.items()}
        return data


@functools.lru_cache(maxsize=1024)
def secrets_of(authorization: str | None, others: tuple[str, ...] = ()) -> Secrets:
    """Return what must not be shown of a request, see `Secrets`."""
    return Secrets(authorization, others)


def _decoded(authorization: str | None) -> str:
    """Return name and password of a Basic login; empty where it is none."""
    scheme, _, sent = (authorization or "").partition(" ")
    if scheme.lower() == "basic":
        with suppress(ValueError):
            return base64.b64decode(sent).decode()
    return ""


def _hide(secrets: Sequence[str], text: str) -> str:
    """Take secrets out at each step of undoing escapes: a password may look like one itself."""
    text = _without(secrets, text)
    for order in _ORDERS:
        plain = text
        for decode in order:
            decoded = decode(plain)
            plain = decoded if decoded == plain else _without(secrets, decoded)
            if plain != decoded:
                text = plain
    return text


def _without_html(text: str) -> str:
    with suppress(ValueError):  # of a code with thousands of digits
        return html.unescape(text)
    return text


def _without(secrets: Sequence[str], text: str) -> str:
    for secret in secrets:
        if secret in text:
            pattern = re.escape(secret)
            # What base64 ends with belongs to it.
            pattern = f"{pattern}=*" if len(secret) >= _LONG else rf"(?<!\w){pattern}(?!\w)"
            text = re.sub(pattern, HIDDEN, text)
    return text


def _unescaped(text: str) -> str:
    """Undo the escapes of JSON, also of JSON within JSON, and of bytes."""
    for code in (_ESCAPED_CODE, _ESCAPED_BYTE):
        text = code.sub(lambda found: chr(int(found[1], 16)), text)
    return _ESCAPED_SIGN.sub(r"\1", text)


_ORDERS = (
    (_unescaped, unquote, unquote, _without_html),
    (_without_html, _unescaped, unquote, unquote),
    (unquote, _unescaped, _without_html),
)
