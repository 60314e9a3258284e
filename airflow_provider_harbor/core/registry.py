"""The OCI distribution API (`/v2/`), as far as a backup needs it.

Works with a Harbor and with any other registry that follows the specification: OCI
distribution-spec v1.1.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urljoin, urlsplit

from airflow_provider_harbor.core.answers import LIST_BYTES, MANIFEST_BYTES, Answer
from airflow_provider_harbor.core.exceptions import (
    DigestMismatchError,
    HarborAuthError,
    HarborNotFoundError,
    HarborProtocolError,
)
from airflow_provider_harbor.core.manifest import (
    MANIFEST_MEDIA_TYPES,
    OCI_INDEX,
    Descriptor,
    Manifest,
)
from airflow_provider_harbor.core.tokens import Authenticator
from airflow_provider_harbor.core.transport import Body, Client, HttpSession
from airflow_provider_harbor.core.urls import redact

# Harbor counts a pull, and moves pull times that retention rules go by, unless the user agent is
# that of its own replication. Source: Harbor src/server/registry/manifest.go, getManifest.
_UNCOUNTED_USER_AGENT = "harbor-registry-client"
# Without it a registry answers 404 for what the client does not say that it understands.
_ACCEPT = ", ".join(MANIFEST_MEDIA_TYPES)
_SCHEMA_1 = "application/vnd.docker.distribution.manifest.v1+"
_PAGE_SIZE = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class PutResult:
    """What a registry said to a manifest.

    Attributes:
        handles_subject: Whether it lists referrers itself (it answered `OCI-Subject`); if not, the
            client has to keep the list under a tag.
    """

    digest: str
    handles_subject: bool


class BlobReader:
    """A blob on its way: a stream that hashes what passes, and refuses to end with another digest.

    Usable as a request's body, so that a blob goes from one registry to the next in blocks, with
    no copy on disk and one block in memory.
    """

    def __init__(self, blocks: Iterator[bytes], digest: str, size_bytes: int, where: str) -> None:
        self._blocks = blocks
        self._digest = digest
        self._size_bytes = size_bytes
        self._where = where
        self._hash = hashlib.new(digest.split(":", 1)[0])
        self._rest = b""
        self.read_bytes = 0

    def __len__(self) -> int:
        return self._size_bytes

    def read(self, size: int = -1, /) -> bytes:
        """Return the next bytes, at most `size`; empty at the end.

        Raises:
            DigestMismatchError: The content is not what its digest says. It is raised in place of
                the last block, so that whoever receives the stream never gets it whole.
        """
        if not self._rest:
            self._rest = next(self._blocks, b"")
            self._hash.update(self._rest)
            self.read_bytes += len(self._rest)
            if not self._rest or self.read_bytes >= self._size_bytes:
                self._check()
        if size < 0:
            block, self._rest = self._rest, b""
        else:
            block, self._rest = self._rest[:size], self._rest[size:]
        return block

    def _check(self) -> None:
        actual = f"{self._hash.name}:{self._hash.hexdigest()}"
        if actual != self._digest or self.read_bytes != self._size_bytes:
            raise DigestMismatchError(
                expected=self._digest,
                actual=actual,
                size_bytes=self.read_bytes,
                where=self._where,
            )


class RegistryClient(Client):
    """A login at one registry. May be shared by threads.

    Args:
        url: Scheme, host and port, see `urls.normalise_url`.
        user: Name of a user or robot; empty for no login.
        password: Its password or secret.
        verify: Whether to verify TLS certificates, or the path of a CA bundle.
        timeout_seconds: How long to wait for each next byte.
        session: Another transport, for tests.
    """

    def __init__(
        self,
        url: str,
        user: str = "",
        password: str = "",
        *,
        verify: bool | str = True,
        timeout_seconds: float = 60,
        session: HttpSession | None = None,
    ) -> None:
        super().__init__(
            session or HttpSession(url, verify=verify, timeout_seconds=timeout_seconds),
            user,
        )
        self._authenticator = Authenticator(self._session, user, password)

    def ping(self) -> None:
        """Make sure that a registry is there and takes the login.

        Raises:
            HarborProtocolError: Something else answers at this URL.
            HarborAuthError: The login is not accepted.
        """
        self._authenticator.check_login()

    # -- manifests

    def get_manifest(self, repository: str, reference: str) -> Manifest:
        """Fetch a manifest; Harbor does not count it as a pull.

        Args:
            repository: Full name.
            reference: Digest or tag.

        Raises:
            HarborNotFoundError: `code` is `NOT_FOUND` when Harbor does not know it (any more), and
                `MANIFEST_UNKNOWN` when Harbor knows it but its storage has lost it.
            HarborProtocolError: It is none, or one of Docker's old format.
            DigestMismatchError: The bytes are not what was asked for.
        """
        response = self._request(
            "GET",
            repository,
            f"manifests/{reference}",
            headers={"Accept": _ACCEPT, "User-Agent": _UNCOUNTED_USER_AGENT},
            limit_bytes=MANIFEST_BYTES,
        )
        content = response.content
        media_type = response.headers.get("Content-Type", "")
        if media_type.startswith(_SCHEMA_1):
            # Its digest is of a part of it only, and no registry of today takes it.
            raise HarborProtocolError(
                f"{repository}@{reference} is in Docker's old format (schema 1), which cannot be "
                "copied. Pull it with a docker that still can, push it anew, or delete it"
            )
        if ":" in reference:
            algorithm = reference.split(":", 1)[0]
            actual = f"{algorithm}:{hashlib.new(algorithm, content).hexdigest()}"
            if actual != reference:
                raise DigestMismatchError(
                    expected=reference, actual=actual, size_bytes=len(content), where=repository
                )
        return Manifest.from_bytes(content, media_type, f"{repository}@{reference}")

    def find_manifest(self, repository: str, reference: str) -> str | None:
        """Return the digest under a tag or digest; None where there is nothing.

        A registry that leaves out the digest's header costs a second request.
        """
        try:
            response = self._request(
                "HEAD", repository, f"manifests/{reference}", headers={"Accept": _ACCEPT}
            )
        except HarborNotFoundError:
            return None
        found = response.headers.get("Docker-Content-Digest")
        return found or self.get_manifest(repository, reference).digest

    def put_manifest(self, repository: str, reference: str, manifest: Manifest) -> PutResult:
        """Push a manifest's exact bytes under a tag or under its own digest.

        Raises:
            HarborRefusedError: A rule says no: the tag is immutable, content it names is missing
                (`invalid`), the registry is read-only, a quota is used up.
            DigestMismatchError: The registry says that it stored something else.
        """
        response = self._request(
            "PUT",
            repository,
            f"manifests/{reference}",
            writes=True,
            data=manifest.content,
            headers={"Content-Type": manifest.media_type},
        )
        stored = response.headers.get("Docker-Content-Digest", manifest.digest)
        if stored != manifest.digest and stored.startswith("sha256:"):
            raise DigestMismatchError(
                expected=manifest.digest,
                actual=stored,
                size_bytes=len(manifest.content),
                where=f"{self.url} {repository}:{reference}",
            )
        return PutResult(digest=manifest.digest, handles_subject="OCI-Subject" in response.headers)

    # -- blobs

    @contextmanager
    def open_blob(self, repository: str, digest: str, size_bytes: int) -> Iterator[BlobReader]:
        """Open a blob for reading; the connection is given back at the end of the block.

        Raises:
            HarborNotFoundError: The registry does not have it.
        """
        path, scope = f"/v2/{repository}/blobs/{digest}", f"repository:{repository}:pull"
        with self._authenticator.open(path, [scope]) as stream:
            yield BlobReader(
                stream.blocks(),
                digest,
                size_bytes,
                where=f"{self.url} {repository}",
            )

    def has_blob(self, repository: str, digest: str) -> bool:
        """Tell whether a blob is in this repository; a Harbor keeps it from its GC then."""
        try:
            self._request("HEAD", repository, f"blobs/{digest}")
        except HarborNotFoundError:
            return False
        return True

    def put_blob(self, repository: str, digest: str, body: Body | bytes) -> None:
        """Upload a blob in one request, after the one that opens the upload.

        The registry makes it visible only when it is whole and its digest is right.
        """
        location = self._start_upload(repository)
        mark = "&" if urlsplit(location).query else "?"
        self._request(
            "PUT",
            repository,
            f"{location}{mark}digest={quote(digest, safe='')}",
            writes=True,
            data=body,
            headers={"Content-Type": "application/octet-stream"},
        )

    def mount_blob(self, repository: str, digest: str, source_repository: str) -> bool:
        """Have the registry take a blob over from another of its repositories.

        Returns:
            False when it would not; nothing has changed then.
        """
        response = self._request(
            "POST",
            repository,
            f"blobs/uploads/?mount={quote(digest, safe='')}"
            f"&from={quote(source_repository, safe='')}",
            writes=True,
            also_reads=source_repository,
            repeatable=True,
        )
        if response.status == 201:
            return True
        # 202 opened an upload instead, which nobody will use.
        self._cancel(repository, response)
        return False

    def _start_upload(self, repository: str) -> str:
        response = self._request("POST", repository, "blobs/uploads/", writes=True, repeatable=True)
        return self._location(response)

    def _location(self, response: Answer) -> str:
        location = response.headers.get("Location")
        if not location:
            raise response.error("there is no Location in it")
        # Relative in some registries, absolute in others; a registry behind a proxy may give
        # itself another scheme, so that only path and query of its own host count.
        target = urlsplit(urljoin(response.url, location))
        if target.hostname == urlsplit(self.url).hostname:
            return f"{target.path}?{target.query}" if target.query else target.path
        if target.scheme != "https" and self.url.startswith("https:"):
            raise HarborProtocolError(
                f"{self.url} wants uploads sent to {redact(target.geturl(), self.url)}, which is "
                "not encrypted, so nothing was sent. Have the registry's configuration mended"
            )
        return target.geturl()

    def _cancel(self, repository: str, response: Answer) -> None:
        try:
            self._request("DELETE", repository, self._location(response), writes=True)
        except (HarborAuthError, HarborNotFoundError, HarborProtocolError):
            # Needs a permission that a backup does not have; the registry purges it in time.
            return

    # -- lists

    def iter_tags(self, repository: str) -> Iterator[str]:
        """Yield the tags of a repository in lexical order; nothing where it does not exist."""
        path: str | None = f"tags/list?n={_PAGE_SIZE}"
        while path:
            try:
                response = self._request("GET", repository, path, limit_bytes=LIST_BYTES)
            except HarborNotFoundError:
                return
            data = response.json()
            yield from (data.get("tags") if isinstance(data, dict) else None) or []
            path = _next_page(response)

    def iter_referrers(self, repository: str, digest: str) -> Iterator[Descriptor]:
        """Yield what refers to a digest, by the registry's own list or by that under its tag."""
        path: str | None = f"referrers/{digest}"
        while path:
            try:
                response = self._request("GET", repository, path, limit_bytes=LIST_BYTES)
            except HarborNotFoundError:
                yield from self._tagged_referrers(repository, digest)
                return
            where = f"referrers of {repository}@{digest}"
            yield from Manifest.from_bytes(response.content, OCI_INDEX, where).children
            path = _next_page(response)

    def _tagged_referrers(self, repository: str, digest: str) -> tuple[Descriptor, ...]:
        try:
            return self.get_manifest(repository, referrers_tag(digest)).children
        except HarborNotFoundError:
            return ()

    # -- requests

    def _request(
        self,
        method: str,
        repository: str,
        path: str,
        *,
        writes: bool = False,
        also_reads: str = "",
        **kwargs: Any,
    ) -> Answer:
        """Send a request about a repository with a token for it; `path` may be a whole one."""
        if not path.startswith("/") and "://" not in path:
            path = f"/v2/{repository}/{path}"
        scopes = [f"repository:{repository}:{'pull,push' if writes else 'pull'}"]
        if also_reads and also_reads != repository:
            scopes.append(f"repository:{also_reads}:pull")
        return self._authenticator.send(method, path, scopes, **kwargs)


def referrers_tag(subject: str) -> str:
    """Return the tag that lists the referrers of a digest where a registry does not do it itself.

    Source: distribution-spec v1.1, "Referrers Tag Schema".
    """
    algorithm, _, encoded = subject.partition(":")
    return f"{algorithm[:32]}-{encoded[:64]}"


def _next_page(response: Answer) -> str | None:
    """Return path and query of the next page; its host is the registry's, whatever it says."""
    following = response.next_link
    if not following:
        return None
    return urlsplit(urljoin(response.url, following))._replace(scheme="", netloc="").geturl()
