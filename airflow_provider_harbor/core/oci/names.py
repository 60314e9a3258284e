"""Names as the specifications allow them: nothing else becomes a part of a URL or of a path.

A source that calls a repository `p/../../api/v2.0/users` would else have a login used for
something that nobody asked for.

Source: distribution-spec v1.1, "Pulling manifests" (`<name>` and `<reference>`), and Harbor
src/pkg/project/manager.go for projects.
"""

from __future__ import annotations

import re

from airflow_provider_harbor.core.exceptions import HarborProtocolError
from airflow_provider_harbor.core.texts import shown

# Harbor's own rule for projects is narrower (one of `.`, `_` and `-` between two other characters);
# what can be the first part of a repository's name does no harm.
_PART = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_PROJECT = re.compile(_PART)
_REPOSITORY = re.compile(rf"{_PART}(?:/{_PART})*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}")
_LONGEST_NAME = 255


def is_project_name(text: object) -> bool:
    """Whether a Harbor can have a project of this name."""
    return _fits(_PROJECT, text)


def is_repository_name(text: object) -> bool:
    """Whether a registry can have a repository of this (full) name."""
    return _fits(_REPOSITORY, text)


def is_tag_name(text: object) -> bool:
    """Whether a tag can be called this."""
    return _fits(_TAG, text)


def is_digest(text: object) -> bool:
    """Whether this is a digest of a kind that is known: sha256 or sha512."""
    return _fits(_DIGEST, text)


def pack_digest(digest: str) -> bytes:
    """Return a digest in as few bytes as it has; their number tells the algorithm."""
    return bytes.fromhex(digest.partition(":")[2])


def unpack_digest(packed: bytes) -> str:
    """Return what was packed."""
    return f"sha{len(packed) * 8}:{packed.hex()}"


def parse_project(text: object, where: str = "") -> str:
    """Return a project's name, so that it can safely become part of a path.

    Args:
        text: What should be the name.
        where: What it was found in, for the message.

    Raises:
        HarborProtocolError: It is no such name; so with all functions below.
    """
    return _parsed(is_project_name(text), text, "the name of a project", where)


def parse_repository(text: object, where: str = "") -> str:
    """Return a repository's name, see `parse_project`."""
    return _parsed(is_repository_name(text), text, "the name of a repository", where)


def parse_digest(text: object, where: str = "") -> str:
    """Return a digest, see `parse_project`."""
    return _parsed(is_digest(text), text, "a digest", where)


def parse_reference(text: object, where: str = "") -> str:
    """Return the name of a tag, or a digest, see `parse_project`."""
    return _parsed(is_tag_name(text) or is_digest(text), text, "a tag or digest", where)


def _fits(pattern: re.Pattern[str], text: object) -> bool:
    return (
        isinstance(text, str) and len(text) <= _LONGEST_NAME and pattern.fullmatch(text) is not None
    )


def _parsed(fits: bool, text: object, what: str, where: str) -> str:
    if isinstance(text, str) and fits:
        return text
    raise HarborProtocolError(f"{where}{': ' if where else ''}{shown(text)} is not {what}")
