"""Addresses of stores: a directory, or a URL of a bucket, and what is none."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

from airflow_provider_harbor.core.exceptions import HarborConfigurationError

_SCHEMES = ("file", "s3", "gs", "az")
# Of S3, Google and Azure, also of old ones; and `$web`.
_BUCKET = re.compile(r"[A-Za-z0-9$][A-Za-z0-9._-]*")
# What `obstore` takes before anything else, also before what it is told.
_STRONGEST = "AWS_ENDPOINT_URL_S3"


def split_address(text: str) -> tuple[str, str]:
    """Return scheme and rest of a store's address: of a directory its whole path.

    Raises:
        HarborConfigurationError: It is no such address, or has credentials in it.
    """
    if not text:
        # As a path it would be whatever directory this process is in.
        raise HarborConfigurationError("the address of the store is empty. Give a directory or URL")
    if "://" not in text:
        scheme = text.partition(":")[0]
        if ":" in text and scheme in _SCHEMES:
            raise HarborConfigurationError(
                f"the address of the store begins with {scheme}:, and lacks the two slashes behind "
                f"it. Write {scheme}://..., or for a directory of that name ./{scheme}:..."
            )
        return "file", os.path.abspath(os.path.expanduser(text))
    parts = _split_url(text)
    if parts.scheme not in _SCHEMES:
        raise HarborConfigurationError(
            f"a store cannot be at a URL of the scheme {parts.scheme!r}. Give a directory, or a "
            f"URL that begins with {', '.join(f'{s}://' for s in _SCHEMES)}"
        )
    conn_id, _ = split_connection(text)
    if conn_id or parts.query or parts.fragment:
        raise _credentials_in(parts.scheme)
    if parts.scheme == "file":
        is_here = parts.netloc in ("", "localhost")
        if not is_here or not parts.path:
            what = "no directory" if is_here else "another machine"
            raise HarborConfigurationError(
                f"{shown_address(text)!r} names {what}. Write the URL of a directory with three "
                "slashes: file:///backup/harbor"
            )
        return "file", os.path.abspath(unquote(parts.path))
    return parts.scheme, _bucket_and_prefix(parts, text)


def _split_url(text: str) -> SplitResult:
    try:
        parts = urlsplit(text)
        if "[" in parts.netloc:
            raise ValueError("an address in brackets")  # as Python itself says since 3.11
    except ValueError:  # in brackets there can only be an address of a machine
        raise HarborConfigurationError(
            "the address of the store is not a URL. Write it as s3://bucket/prefix"
        ) from None
    return parts


def _bucket_and_prefix(parts: SplitResult, text: str) -> str:
    if not parts.netloc:
        raise HarborConfigurationError(
            f"{shown_address(text)!r} names no bucket: {parts.scheme}://bucket/prefix"
        )
    if not _BUCKET.fullmatch(parts.netloc):
        raise HarborConfigurationError(
            f"{shown_address(text)!r} names no bucket: its name has letters, digits, and . _ - only"
        )
    path = "/".join(part for part in parts.path.split("/") if part)
    if {".", ".."} & set(path.split("/")):
        raise HarborConfigurationError(
            f"{shown_address(text)!r} has . or .. in its path, which in a bucket lead nowhere. "
            "Leave them out"
        )
    return parts.netloc + (f"/{path}" if path else "")


def split_connection(text: str) -> tuple[str, str]:
    """Split the id of a connection off an address on S3: `s3://conn_id@bucket/prefix`.

    Returns:
        The id, empty where there is none, and the address without it.

    Raises:
        HarborConfigurationError: The address has credentials in it, which are not repeated.
    """
    scheme, mark, rest = text.partition("://")
    scheme = scheme.lower()
    if not mark or scheme == "file":
        return "", text
    authority = re.split("[/?#]", rest, maxsplit=1)[0]
    conn_id, at, bucket = authority.rpartition("@")
    # A secret may have slashes: then the @ behind it is in the path.
    if (":" in authority and "@" in rest) or (at and scheme != "s3"):
        raise _credentials_in(scheme)
    if ":" in authority and scheme in _SCHEMES:
        raise HarborConfigurationError(
            f"the store's URL ({scheme}://...) has a colon where its bucket stands, and no bucket "
            f"has one. Write {scheme}://bucket/prefix. The address of a server of S3 goes into "
            "AWS_ENDPOINT_URL, or into a connection of Airflow; so do credentials"
        )
    return (conn_id, f"{scheme}://{bucket}{rest[len(authority) :]}") if at else ("", text)


def _credentials_in(scheme: str) -> HarborConfigurationError:
    if re.search("[:@]", scheme):  # they stand in front of it
        scheme = "..."
    return HarborConfigurationError(
        f"leave the credentials out of the store's URL ({scheme}://...): a URL ends up in logs. "
        "Give them by the environment, or in Airflow by a connection of type Amazon Web Services: "
        "s3://conn_id@bucket/prefix"
    )


def shown_address(text: str) -> str:
    """Return an address as it may be shown, whether or not it is one: without credentials.

    The id of a connection, as in `s3://conn_id@bucket`, is none.
    """
    scheme, mark, rest = text.partition("://")
    if not mark:
        return re.sub(r"^([A-Za-z0-9+.-]+):.*@", r"\1:...@", text, flags=re.DOTALL)
    if re.search("[:@]", scheme):  # in front of the URL, where somebody typed them
        _, at, scheme = scheme.rpartition("@")
        scheme = f"...{at}{scheme}" if at else "..."
    # Behind a slash too many it is no less a secret; of a directory's URL a path begins there.
    slashes = "" if scheme.lower() == "file" else "/"
    authority = re.split("[/?#]", rest.lstrip(slashes), maxsplit=1)[0]
    if ":" in authority or ("@" in authority and scheme != "s3"):
        _, at, rest = rest.rpartition("@")
        rest = f"...@{rest}" if at else "..."
    plain = re.split("[?#]", rest, maxsplit=1)[0]
    return f"{scheme}://{plain}" + ("?..." if plain != rest else "")


def endpoint_of(options: Mapping[str, Any]) -> str:
    """Return the address of an S3 server that is not Amazon's, from options or the environment."""
    # In the order of `obstore`.
    names = (_STRONGEST, "AWS_ENDPOINT", "AWS_ENDPOINT_URL")
    told = [options.get("endpoint"), *map(os.environ.get, names)]
    return str(next(filter(None, told), ""))


def require_one_endpoint(options: Mapping[str, Any]) -> None:
    """Make sure that the environment does not name another S3 server than the options do.

    `obstore` would take that of the environment, so that backups would go elsewhere.

    Raises:
        HarborConfigurationError: It does.
    """
    told, found = str(options.get("endpoint") or ""), os.environ.get(_STRONGEST, "")
    if told and found and told.rstrip("/") != found.rstrip("/"):
        raise HarborConfigurationError(
            f"the store is at {shown_address(told)}, but the variable {_STRONGEST} names "
            f"{shown_address(found)}, and would be used. Unset it where backups run"
        )


def options_of_plain_http(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return what `obstore` needs to be told where the endpoint of S3 is an http:// URL."""
    return {"allow_http": True} if endpoint_of(options).startswith("http://") else {}
