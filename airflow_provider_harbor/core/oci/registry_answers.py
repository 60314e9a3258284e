"""What the answers of a registry mean, beyond their content: only one that says so counts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import SplitResult, urljoin, urlsplit

from airflow_provider_harbor.core.exceptions import HarborProtocolError
from airflow_provider_harbor.core.http.answers import Answer
from airflow_provider_harbor.core.http.urls import origin_of, redact

_ADVICE = "See what answers in its place, such as a proxy or a page for maintenance"


def not_stored(answer: Answer, what: str) -> HarborProtocolError:
    """Return the error to raise where something was sent, and is not there."""
    return answer.error(
        "that is not how a registry says that it has stored something (201), and the "
        f"{what} is not found there. {_ADVICE}"
    )


def upload_location(answer: Answer, base_url: str, *, statuses: Sequence[int] = (202,)) -> str:
    """Return where an upload goes on: path and query, or a whole URL on another host.

    Args:
        answer: To the request that opened the upload, or went on with it.
        base_url: Of the registry.
        statuses: How the registry says that it did so, the usual one first.

    Raises:
        HarborProtocolError: No upload was opened, or one where it would be sent unprotected.
    """
    if answer.status not in statuses:
        raise answer.error(
            f"that is not how a registry opens an upload, or goes on with one ({statuses[0]}). "
            f"{_ADVICE}"
        )
    location = answer.headers.get("Location")
    if not location:
        raise answer.error("there is no Location in it, to which an upload could be sent")
    try:
        # Relative in some registries, absolute in others.
        parts = urlsplit(urljoin(answer.url, location))
        target = parts._replace(netloc=parts.netloc.rpartition("@")[2], fragment="")
        origin_of(target.geturl())
    except ValueError:
        raise answer.error("its Location is an address that cannot be read") from None
    # A registry behind a proxy may give itself another scheme or port, so that only path and query
    # of its own host count.
    if target.hostname == urlsplit(base_url).hostname:
        return _local(target)
    if target.scheme != "https" and base_url.startswith("https:"):
        raise HarborProtocolError(
            f"{base_url} wants uploads sent to {redact(target.geturl(), base_url)}, which is not "
            "encrypted, so nothing was sent. Have the registry's configuration corrected"
        )
    return target.geturl()


def next_page(answer: Answer) -> str | None:
    """Return path and query of the next page; its host is the registry's, whatever it says."""
    following = answer.next_link
    if following is None:
        return None
    try:
        return _local(urlsplit(urljoin(answer.url, following)))
    except ValueError:
        raise answer.error("its Link to the next page cannot be read") from None


def note_page(seen: set[str], names: Sequence[str], most: int, answer: Answer) -> None:
    """Note what a page lists.

    Args:
        seen: What the pages before it listed; the page's names are added.
        names: What the page lists.
        most: How many there can be in all pages.
        answer: The page.

    Raises:
        HarborProtocolError: The list has no end.
    """
    before = len(seen)
    seen.update(names)
    if len(seen) > most:
        raise answer.error(f"the list has no end: there are more than {most:,} in it")
    if answer.next_link is not None and len(seen) == before:
        raise answer.error("the list has no end: this page has nothing new, and names another one")


def read_tags(data: Any) -> list[str]:
    """Return what a page of a list of tags holds; raises `HarborProtocolError` on anything else."""
    if not isinstance(data, dict):
        raise HarborProtocolError("it is not an object with a list of tags")
    tags = data.get("tags")
    if tags is None:
        return []  # of a repository whose tags were all deleted
    if isinstance(tags, list) and all(isinstance(tag, str) for tag in tags):
        return tags
    raise HarborProtocolError("there is no list of tags in it")


def _local(parts: SplitResult) -> str:
    """Return path and query of an address."""
    return parts._replace(scheme="", netloc="", path=parts.path or "/", fragment="").geturl()
