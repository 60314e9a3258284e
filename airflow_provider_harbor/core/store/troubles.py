"""What goes wrong with a storage, in plain words.

obstore says it in the text of its errors only: the answer of the server (an XML document with a
code), or the number of the operating system's error. So this is the one place that reads texts.
"""

from __future__ import annotations

import errno
import re

from obstore.exceptions import PermissionDeniedError, UnauthenticatedError

from airflow_provider_harbor.core.exceptions import (
    StoreError,
    StoreReason,
    StoreUnreachableError,
)

_CODES = {
    "NoSuchBucket": (
        StoreReason.MISSING,
        "there is no such bucket. Create it, or correct the name",
    ),
    "ContainerNotFound": (StoreReason.MISSING, "there is no such container. Create it"),
    "RequestTimeTooSkewed": (
        StoreReason.DENIED,
        "this machine's clock differs from the storage's. Set it right",
    ),
}
_FULL_CODES = frozenset(
    {
        "InsufficientStorage",
        "QuotaExceeded",
        "XMinioAdminBucketQuotaExceeded",
        "XMinioStorageFull",
    }
)
_FULL = "the storage is full, or its quota is used up. Make room, and run it again"
# Where no keys are given, a machine of Amazon's, Google's or Microsoft's is asked for its own.
_NO_KEYS = (
    (
        re.compile(r"latest/api/token|meta-data/iam/security-credentials"),
        "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    ),
    (re.compile(r"/computeMetadata/"), "GOOGLE_APPLICATION_CREDENTIALS"),
    (re.compile(r"/metadata/identity/"), "AZURE_STORAGE_ACCOUNT_KEY"),
)
_DENIED = "the storage denies it. Check the keys, and that they may read, list and write there"
_DENIED_CODES = frozenset(
    {
        "AccessDenied",
        "AuthenticationFailed",
        "ExpiredToken",
        "InvalidAccessKeyId",
        "InvalidToken",
        "SignatureDoesNotMatch",
        "XAdminUserNotFound",
    }
)
_NUMBERS = {
    errno.ENOSPC: (StoreReason.FULL, "the disk is full. Make room, and run it again"),
    errno.EDQUOT: (StoreReason.FULL, "the disk's quota is used up. Make room, and run it again"),
    errno.EROFS: (StoreReason.DENIED, "the file system is read-only. Mount it for writing"),
    errno.EACCES: (
        StoreReason.DENIED,
        "this user may not do it. Change the directory's owner or mode",
    ),
    errno.EPERM: (
        StoreReason.DENIED,
        "this user may not do it. Change the directory's owner or mode",
    ),
    errno.ENOTDIR: (StoreReason.MISSING, "it is a file, not a directory. Give another path"),
    errno.EEXIST: (StoreReason.MISSING, "it is a file, not a directory. Give another path"),
    errno.ENOENT: (StoreReason.MISSING, "it is not there. Is everything mounted?"),
    errno.ESTALE: (StoreReason.UNREACHABLE, "the network file system has lost it. Mount it again"),
    errno.ENOTCONN: (StoreReason.UNREACHABLE, "the file system is not connected. Mount it again"),
    errno.EIO: (StoreReason.UNREACHABLE, "the disk fails to read or write. Look at its health"),
}


def store_error(err: BaseException, where: str) -> Exception:
    """Return what a storage's error means.

    Args:
        err: What was raised.
        where: What was to be read or written, as it may be shown.

    Returns:
        A `FileNotFoundError` where the storage says that the very file is not there, else a
        `StoreError`.
    """
    if isinstance(err, FileNotFoundError) and err.errno == errno.ENOENT:
        return FileNotFoundError(errno.ENOENT, "there is no such file", where)
    text = str(err)
    # The second form is that of an answer to a list of files, of which one could not be deleted.
    code = "".join((re.findall(r"<Code>(\w+)</Code>|\(code: ([A-Za-z]\w*)\)", text) or [""])[0])
    if code in _CODES:
        return StoreError(*_CODES[code], where=where)
    if code in _FULL_CODES:
        return StoreError(StoreReason.FULL, f"{_FULL} ({code})", where=where)
    for pattern, names in _NO_KEYS:
        if pattern.search(text):
            what = f"no keys are given. Set {names}"
            return StoreError(StoreReason.DENIED, what, where=where)
    if code in _DENIED_CODES or isinstance(err, (PermissionDeniedError, UnauthenticatedError)):
        return StoreError(
            StoreReason.DENIED, f"{_DENIED}{f' ({code})' if code else ''}", where=where
        )
    if isinstance(err, FileNotFoundError) and code in ("", "NoSuchKey", "BlobNotFound"):
        return FileNotFoundError(errno.ENOENT, "there is no such file", where)
    number = _number(err, text)
    if number in _NUMBERS:
        reason, what = _NUMBERS[number]
        kind = StoreUnreachableError if reason is StoreReason.UNREACHABLE else StoreError
        return kind(reason, what, where=where)
    if re.search(r"HTTP error|error sending request|timed? ?out|\b5\d\d [A-Z]", text):
        what = "the storage does not answer as it should. Check its address, and try again later"
        return StoreUnreachableError(
            StoreReason.UNREACHABLE, f"{what} ({_brief(text)})", where=where
        )
    return StoreError(StoreReason.OTHER, _brief(text) or type(err).__name__, where=where)


def _number(err: BaseException, text: str) -> int:
    if isinstance(err, OSError) and err.errno:
        return err.errno
    found = re.search(r"os error (\d+)", text) or re.search(r"\bcode: (\d+)", text)
    return int(found[1]) if found else 0


def _brief(text: str) -> str:
    """Return the first line of an error, without queries of addresses and documents of servers."""
    line = " ".join(text.split("\n\nDebug source", 1)[0].split("<", 1)[0].split())
    return re.sub(r"\?\S*", "", line)[:200].rstrip(": ")
