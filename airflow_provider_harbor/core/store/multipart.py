"""Uploads in parts into a bucket of S3, which a later process can go on with.

`obstore` forgets an upload with its process. So large blobs go by `botocore`, where it is
installed (the extra `[s3]` brings it): the only module that knows it. It uses the keys that
`obstore` would use, and leaves all that it does not know to `obstore`. That both mean the same
bucket, and the same place in it, is not believed but looked at, see `read`.

Source: Amazon S3 API reference, CreateMultipartUpload, UploadPart, CompleteMultipartUpload and
AbortMultipartUpload.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import re
import ssl
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from airflow_provider_harbor.core.exceptions import (
    StoreError,
    StoreReason,
    StoreUnreachableError,
)
from airflow_provider_harbor.core.store.addresses import endpoint_of
from airflow_provider_harbor.core.store.troubles import store_error

log = logging.getLogger(__name__)

# Options of `Files` that are understood here.
_OPTIONS = frozenset(
    {
        *("access_key_id", "secret_access_key", "session_token", "token"),
        *("credential_provider", "endpoint", "region", "virtual_hosted_style_request"),
    }
)
# What else `obstore` takes from the environment, and would do otherwise.
_FOREIGN = re.compile(
    "AWS_(SKIP_SIGNATURE|SERVER_SIDE_ENCRYPTION|SSE_|REQUEST_PAYER|S3_EXPRESS|CHECKSUM_ALGORITHM)"
)
# What says that an upload is there no more, or not with these parts.
_GONE = frozenset({"NoSuchUpload", "InvalidPart", "InvalidPartOrder"})
_CONNECT_SECONDS = 10
# As long as a part may take on a slow line.
_READ_SECONDS = 300
_ATTEMPTS = 3


class UploadGoneError(StoreError):
    """The bucket does not know an upload, or not all that was sent of it."""

    def __init__(self, where: str) -> None:
        super().__init__(StoreReason.OTHER, "an upload that was begun is gone", where=where)


class Multipart:
    """Uploads into one bucket, below a prefix. May be shared by threads.

    Args:
        url: Of the store, as it may be shown.
        bucket: Name of the bucket.
        prefix: What is before each path; not escaped, and without a slash at its ends.
        options: As of `Files`.

    Attributes:
        url: As it was given.
    """

    def __init__(self, url: str, bucket: str, prefix: str, options: Mapping[str, Any]) -> None:
        self.url = url
        self._bucket = bucket
        self._prefix = f"{prefix}/" if prefix else ""
        self._options = options
        self._lock = threading.Lock()
        self._made: Any = None

    def begin(self, path: str) -> str:
        """Begin an upload, and return its id.

        Raises:
            StoreError: The storage refuses it, or cannot be reached.
        """
        return self._said(path, self._call("create_multipart_upload", path), "UploadId")

    def send(self, path: str, upload: str, number: int, content: bytes | bytearray) -> str:
        """Send a part, the first one being number 1, and return its entity tag.

        Raises:
            UploadGoneError: There is no such upload any more.
            StoreError: It cannot be sent.
        """
        answer = self._call("upload_part", path, UploadId=upload, PartNumber=number, Body=content)
        return self._said(path, answer, "ETag")

    def complete(self, path: str, upload: str, etags: Sequence[str]) -> None:
        """Put the parts together: the file becomes visible, in place of any older one.

        Raises:
            UploadGoneError: There is no such upload any more, or another part than these.
            StoreError: It cannot be done.
        """
        parts = [{"PartNumber": n, "ETag": etag} for n, etag in enumerate(etags, 1)]
        try:
            answer = self._call(
                "complete_multipart_upload",
                path,
                UploadId=upload,
                MultipartUpload={"Parts": parts},
            )
        except UploadGoneError:
            # Its answer may have been lost, and then it was asked again.
            if not self._is_made_of(path, etags):
                raise
            return
        # The page of a proxy, say, is read as an answer that says nothing.
        if not answer.get("ETag") and not self._is_made_of(path, etags):
            self._said(path, answer, "ETag")

    def _said(self, path: str, answer: Mapping[str, Any], key: str) -> str:
        if not (said := str(answer.get(key) or "")):
            what = f"the storage does not answer as it should: it gave no {key}"
            raise StoreUnreachableError(StoreReason.UNREACHABLE, what, where=self.url_of(path))
        return said

    def url_of(self, path: str) -> str:
        """Return the whole address of a file, for people."""
        return f"{self.url}/{path}"

    def _is_made_of(self, path: str, etags: Sequence[str]) -> bool:
        plain = [etag.strip('"') for etag in etags]
        if not all(re.fullmatch("[0-9a-f]{32}", etag) for etag in plain):
            return False
        whole = hashlib.md5(bytes.fromhex("".join(plain)), usedforsecurity=False).hexdigest()
        try:
            found = str(self._call("head_object", path).get("ETag", ""))
        except StoreError:
            return False
        return bool(found.strip('"') == f"{whole}-{len(etags)}")

    def abort(self, path: str, upload: str) -> bool:
        """Give up an upload, so that its parts cost nothing.

        Returns:
            Whether it is gone. Else the rule of the bucket for such uploads ends it.
        """
        try:
            self._call("abort_multipart_upload", path, UploadId=upload)
        except UploadGoneError:
            return True
        except StoreError as err:
            log.debug("an upload is left: %s", err)
            return False
        return True

    def read(self, path: str, most_bytes: int) -> bytes:
        """Return what a small file holds, and no more than so many bytes of it.

        Raises:
            StoreError: It cannot be read, or is not there.
        """
        body = self._call("get_object", path)["Body"]
        with _troubles(self.url_of(path)):
            return bytes(body.read(most_bytes))

    def _call(self, operation: str, path: str, **arguments: Any) -> dict[str, Any]:
        with _troubles(self.url_of(path)):
            call = getattr(self._client(), operation)
            return dict(call(Bucket=self._bucket, Key=self._prefix + path, **arguments))

    def _client(self) -> Any:
        with self._lock:
            if self._made is None:
                self._made = _make_client(self._options)
            return self._made


def multipart_into(
    url: str, bucket: str, prefix: str, options: Mapping[str, Any]
) -> Multipart | None:
    """Return what sends large files into a bucket of S3; None where it is left to `obstore`.

    The arguments are those of `Multipart`.
    """
    if not _OPTIONS.issuperset(options):
        return None
    if any(_FOREIGN.match(name.upper()) for name in os.environ):
        return None
    provider = options.get("credential_provider")
    if provider is not None and not hasattr(provider, "credentials"):
        return None
    try:
        import botocore.session  # noqa: F401
    except ImportError:
        return None
    return Multipart(url, bucket, prefix, options)


def _make_client(options: Mapping[str, Any]) -> Any:
    import botocore.config
    import botocore.session

    # Its debugging has headers of requests, and so tokens. Who wants it can say so by its name.
    logger = logging.getLogger("botocore")
    if logger.level == logging.NOTSET:
        logger.setLevel(logging.WARNING)
    session = botocore.session.Session()
    # Where `obstore` does not look for keys.
    for name in ("config_file", "credentials_file"):
        session.set_config_variable(name, os.devnull)
    provider = options.get("credential_provider")
    if provider is not None:
        session.register_component("credential_provider", _Given(provider.credentials))
    endpoint = endpoint_of(options)
    return session.create_client(
        "s3",
        region_name=_region(options),
        endpoint_url=endpoint or None,
        aws_access_key_id=options.get("access_key_id"),
        aws_secret_access_key=options.get("secret_access_key"),
        aws_session_token=options.get("session_token") or options.get("token"),
        verify=os.environ.get("AWS_CA_BUNDLE") or ssl.get_default_verify_paths().cafile,
        config=botocore.config.Config(
            connect_timeout=_CONNECT_SECONDS,
            read_timeout=_READ_SECONDS,
            retries={"mode": "standard", "total_max_attempts": _ATTEMPTS},
            # Other servers than Amazon's know no checksums behind a body; so it is signed whole.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            s3={"addressing_style": _style(options, endpoint), "payload_signing_enabled": True},
        ),
    )


class _Given:
    """What gives `botocore` keys that somebody else manages, and renews."""

    def __init__(self, credentials: Any) -> None:
        self._credentials = credentials

    def load_credentials(self) -> Any:
        """Return them; called by `botocore`."""
        return self._credentials


def _region(options: Mapping[str, Any]) -> str:
    configured = getattr(options.get("credential_provider"), "config", {}).get("region")
    named = options.get("region") or configured
    environ = os.environ
    return str(
        named or environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION") or "us-east-1"
    )


def _style(options: Mapping[str, Any], endpoint: str) -> str:
    told = options.get(
        "virtual_hosted_style_request", os.environ.get("AWS_VIRTUAL_HOSTED_STYLE_REQUEST", "")
    )
    if str(told).lower() in ("1", "true", "yes", "on", "y"):
        return "virtual"
    return "path" if endpoint else "auto"


@contextlib.contextmanager
def _troubles(where: str) -> Iterator[None]:
    """Turn what `botocore` raises into what this package raises.

    Its own texts are left out, also as a cause: they can have what a server echoes.
    """
    from botocore.exceptions import ClientError, ConnectionError, HTTPClientError
    from botocore.parsers import ResponseParserError

    try:
        yield
    except ClientError as err:
        raise _refused(err.response, where) from None
    except (ConnectionError, HTTPClientError, ResponseParserError) as err:
        what = f"the storage does not answer as it should ({type(err).__name__}). Try again later"
        raise StoreUnreachableError(StoreReason.UNREACHABLE, what, where=where) from None
    except Exception as err:  # whatever it makes of an environment, or of keys that are renewed
        what = f"it cannot be asked ({type(err).__name__})"
        raise StoreError(StoreReason.OTHER, what, where=where) from None


def _refused(response: Mapping[str, Any], where: str) -> Exception:
    """Return what an answer means that is none of success."""
    code = str(response.get("Error", {}).get("Code") or "")
    status = int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    if code in _GONE:
        return UploadGoneError(where)
    if status in (401, 403) and not re.fullmatch("[A-Za-z]+", code):
        code = "AccessDenied"
    return store_error(_Said(code, status), where)


class _Said(Exception):
    """What a server said, in the form in which `obstore` says it."""

    def __init__(self, code: str, status: int) -> None:
        shown = f"<Code>{code}</Code>" if re.fullmatch("[A-Za-z]+", code) else ""
        kind = " Server Error" if status >= 500 else ""
        super().__init__(f"it was answered {status}{kind} {shown}")
