"""What repositories and tags may be called."""

from __future__ import annotations

import re

_REPOSITORY = re.compile(
    r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*)*"
)
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")


def is_repository_name(text: str) -> bool:
    return len(text) <= 255 and _REPOSITORY.fullmatch(text) is not None


def is_tag_name(text: str) -> bool:
    return _TAG.fullmatch(text) is not None
