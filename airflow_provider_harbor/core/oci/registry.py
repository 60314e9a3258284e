"""The OCI distribution API (`/v2/`), as far as a backup needs it.

Works with a Harbor and with any other registry that follows the specification: OCI
distribution-spec v1.1.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from airflow_provider_harbor.core.exceptions import (
    DigestMismatchError,
    HarborAuthError,
    HarborNotFoundError,
    HarborProtocolError,
    HarborRefusedError,
    HarborStatusError,
    RefusalReason,
    WrongSizeError,
)
from airflow_provider_harbor.core.http.answers import (
    LIST_BYTES,
    MANIFEST_BYTES,
    Answer,
    Stream,
    read_number,
)
from airflow_provider_harbor.core.http.transport import Body, Client, HttpSession
from airflow_provider_harbor.core.oci.blob_reader import BlobReader
from airflow_provider_harbor.core.oci.downloads import Download
from airflow_provider_harbor.core.oci.endpoint import Endpoint
from airflow_provider_harbor.core.oci.manifest import (
    MANIFEST_MEDIA_TYPES,
    OCI_INDEX,
    Descriptor,
    Manifest,
)
from airflow_provider_harbor.core.oci.names import (
    is_digest,
    parse_digest,
    parse_reference,
    parse_repository,
)
from airflow_provider_harbor.core.oci.registry_answers import (
    next_page,
    not_stored,
    note_page,
    read_tags,
    upload_location,
)
from airflow_provider_harbor.core.oci.tokens import Authenticator
from airflow_provider_harbor.core.oci.uploads import Uploads

# Harbor counts a pull, and moves pull times that retention rules go by, unless the user agent is
# that of its own replication. Source: Harbor src/server/registry/manifest.go, getManifest.
_UNCOUNTED_USER_AGENT = "harbor-registry-client"
# Without it a registry answers 404 for what the client does not say that it understands.
_ACCEPT = ", ".join(MANIFEST_MEDIA_TYPES)
_SCHEMA_1 = "application/vnd.docker.distribution.manifest.v1+"
# Only such a one can be compared for equal bytes (RFC 9110, section 8.8.1).
_STRONG_ETAG = re.compile(r'"[!#-~]*"')
_PAGE_SIZE = 1000
# Of one repository, and of one digest.
_MOST_TAGS = 1_000_000
_MOST_REFERRERS = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class PutResult:
    """What a registry said to a manifest.

    Attributes:
        handles_subject: Whether it lists referrers itself (it answered `OCI-Subject`); if not, the
            client has to keep the list under a tag.
    """

    digest: str
    handles_subject: bool


class RegistryClient(Client):
    """A login at one registry. May be shared by threads.

    Args:
        url: Scheme, host and port, see `urls.normalise_url`.
        user: Name of a user or robot; empty for no login.
        password: Its password or secret.
        verify: Whether to verify TLS certificates, or the path of a CA bundle.
        timeout_seconds: How long to wait for each next byte.
        login_advice: How a login is given, for the error where there is none.
        session: Another transport, for tests.

    Attributes:
        uploads: How it sends blobs.
    """

    def __init__(
        self,
        url: str,
        user: str = "",
        password: str = "",
        *,
        verify: bool | str = True,
        timeout_seconds: float = 60,
        login_advice: str = "",
        session: HttpSession | None = None,
    ) -> None:
        super().__init__(
            session or HttpSession(url, verify=verify, timeout_seconds=timeout_seconds),
            user,
        )
        self._authenticator = Authenticator(self._session, user, password, advice=login_advice)
        self.uploads = Uploads(
            Endpoint(self.url, self._request, self.has_blob, self._session.pause)
        )

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
        return self._get_manifest(repository, reference)[0]

    def get_manifest_and_etag(self, repository: str, reference: str) -> tuple[Manifest, str | None]:
        """Fetch a manifest as `get_manifest` does, and what names this state of it.

        Returns:
            The manifest, and its ETag for `put_manifest`; None where the registry gives none that
            could be compared (a weak one).
        """
        manifest, answer = self._get_manifest(repository, reference)
        etag = answer.headers.get("ETag", "")
        return manifest, etag if _STRONG_ETAG.fullmatch(etag) else None

    def _get_manifest(self, repository: str, reference: str) -> tuple[Manifest, Answer]:
        answer = self._request(
            "GET",
            repository,
            f"manifests/{parse_reference(reference)}",
            headers={"Accept": _ACCEPT, "User-Agent": _UNCOUNTED_USER_AGENT},
            limit_bytes=MANIFEST_BYTES,
        )
        content = answer.content
        media_type = answer.headers.get("Content-Type", "")
        if media_type.startswith(_SCHEMA_1):
            # Its digest is of a part of it only, and no registry of today takes it.
            raise HarborProtocolError(
                f"{repository}@{reference} is in Docker's old format (schema 1), which cannot be "
                "copied. Pull it with a docker that still can, push it anew, or delete it"
            )
        if is_digest(reference):
            algorithm = reference.split(":", 1)[0]
            actual = f"{algorithm}:{hashlib.new(algorithm, content).hexdigest()}"
            if actual != reference:
                raise DigestMismatchError(
                    expected=reference, actual=actual, size_bytes=len(content), where=repository
                )
        return Manifest.from_bytes(content, media_type, f"{repository}@{reference}"), answer

    def find_manifest(self, repository: str, reference: str) -> str | None:
        """Return the digest under a tag or digest; None where there is nothing.

        A registry that leaves out the digest's header costs a second request.
        """
        path = f"manifests/{parse_reference(reference)}"
        try:
            answer = self._request("HEAD", repository, path, headers={"Accept": _ACCEPT})
            found = answer.headers.get("Docker-Content-Digest", "")
            # A page that says 200 to everything cannot say a digest.
            if (
                answer.status == 200
                and is_digest(found)
                and (found == reference or not is_digest(reference))
            ):
                return found
            manifest = self.get_manifest(repository, reference)
        except HarborNotFoundError:
            return None
        return reference if is_digest(reference) else manifest.digest

    def put_manifest(
        self,
        repository: str,
        reference: str,
        manifest: Manifest,
        if_match: str | None = None,
    ) -> PutResult:
        """Push a manifest's exact bytes under a tag or under its own digest.

        Args:
            repository: Full name.
            reference: Tag, or the manifest's digest.
            manifest: What to push.
            if_match: The ETag that `get_manifest_and_etag` returned: push only if what it returned
                is still there; an empty one: only if nothing is there. Many registries do not know
                such conditions, and push all the same. Where an answer was lost, and the request
                sent again, what has changed can be this very push: read it again.

        Raises:
            HarborRefusedError: A rule says no: the tag is immutable, content it names is missing
                (`invalid`), the registry is read-only, a quota is used up; or something else is
                there now than was to be replaced (`changed`).
            DigestMismatchError: The registry says that it stored something else.
            HarborProtocolError: It was answered with something else than that it is stored, and it
                is not there.
        """
        headers = {"Content-Type": manifest.media_type}
        if if_match is not None:
            headers |= {"If-Match": if_match} if if_match else {"If-None-Match": "*"}
        try:
            answer = self._request(
                "PUT",
                repository,
                f"manifests/{parse_reference(reference)}",
                writes=True,
                data=manifest.content,
                headers=headers,
            )
        except HarborStatusError as err:
            if if_match is None or err.status != 412 or isinstance(err, HarborRefusedError):
                raise
            raise HarborRefusedError.of(err, RefusalReason.CHANGED) from None
        stored = answer.headers.get("Docker-Content-Digest", manifest.digest)
        if stored != manifest.digest and is_digest(stored) and stored.startswith("sha256:"):
            raise DigestMismatchError(
                expected=manifest.digest,
                actual=stored,
                size_bytes=len(manifest.content),
                where=f"{self.url} {repository}:{reference}",
            )
        if answer.status != 201 and not self._is_there(repository, reference, manifest.digest):
            raise not_stored(answer, "manifest")
        return PutResult(digest=manifest.digest, handles_subject="OCI-Subject" in answer.headers)

    def _is_there(self, repository: str, reference: str, digest: str) -> bool:
        try:
            return self.find_manifest(repository, reference) == digest
        except (HarborProtocolError, DigestMismatchError):
            return False

    # -- blobs

    @contextmanager
    def open_blob(self, repository: str, digest: str, size_bytes: int) -> Iterator[BlobReader]:
        """Open a blob for reading; the connection is given back at the end of the block.

        Where the connection breaks, it goes on by another one from where it was.

        Raises:
            HarborNotFoundError: The registry does not have it.
            WrongSizeError: The registry has it with another size.
        """
        path = f"/v2/{parse_repository(repository)}/blobs/{parse_digest(digest)}"
        where = f"{self.url} {repository}"
        scopes = [f"repository:{repository}:pull"]
        download = Download(
            lambda headers, after: self._authenticator.open(
                path, scopes, headers=headers, after=after
            ),
            size_bytes,
            self._session.pause,
        )
        with closing(download):
            stream = download.open()
            announced = stream.number("Content-Length")
            if announced not in (None, size_bytes) and _is_content(stream):
                raise WrongSizeError(
                    digest, expected_bytes=size_bytes, actual_bytes=announced, where=where
                )
            stream.read_if_small()
            yield BlobReader(download.blocks(), digest, size_bytes, where, download.blocks)

    def read_first_byte(self, repository: str, digest: str, size_bytes: int) -> None:
        """Make sure that a blob can be served, by its first byte: a HEAD proves nothing.

        Of a blob whose file is lost a Harbor's cache still knows the length: it answers 200 or 206,
        and then not one byte comes. Seen on Harbor 2.15.2.

        Raises:
            HarborNotFoundError: The registry does not have it.
            HarborConnectionError: The connection broke; `received_bytes` is 0 where an answer came,
                and no byte of it.
            WrongSizeError: The registry has it with another size.
        """
        path = f"/v2/{parse_repository(repository)}/blobs/{parse_digest(digest)}"
        headers = {"Range": "bytes=0-0"} if size_bytes else {}
        scopes = [f"repository:{repository}:pull"]
        with self._authenticator.open(path, scopes, headers=headers) as stream:
            found_bytes = stream.number("Content-Length")
            if stream.status == 206:  # bytes 0-0/1234
                _, _, total = stream.headers.get("Content-Range", "").rpartition("/")
                found_bytes = read_number(total)
            if found_bytes not in (None, size_bytes) and _is_content(stream):
                raise WrongSizeError(
                    digest,
                    expected_bytes=size_bytes,
                    actual_bytes=found_bytes,
                    where=f"{self.url} {repository}",
                )
            next(stream.blocks(1), b"")

    def has_blob(self, repository: str, digest: str, size_bytes: int | None = None) -> bool:
        """Tell whether a blob is in this repository; a Harbor keeps it from its GC then.

        Args:
            repository: Full name.
            digest: Of the blob.
            size_bytes: Its length, if it is known. A storage that a registry redirects to does not
                know the digest; without it and without the length nothing is proved.

        Returns:
            True only where the answer has the digest, or else exactly the length: a page that says
            200 to everything proves nothing.
        """
        try:
            answer = self._request("HEAD", repository, f"blobs/{parse_digest(digest)}")
        except HarborNotFoundError:
            return False
        if answer.status != 200:
            return False
        if named := answer.headers.get("Docker-Content-Digest"):
            return named == digest
        return bool(size_bytes) and answer.number("Content-Length") == size_bytes

    def put_blob(self, repository: str, digest: str, body: Body | bytes) -> None:
        """Upload a blob: a large one in chunks, if the body can be read again, see `uploads`.

        The registry makes it visible only when it is whole and its digest is right.

        Raises:
            HarborProtocolError: It was answered with something else than that it is stored, and it
                is not there.
        """
        self.uploads.put(repository, parse_digest(digest), body)

    def mount_blob(self, repository: str, digest: str, source_repository: str) -> bool:
        """Have the registry take a blob over from another of its repositories.

        Returns:
            False when it would not; nothing has changed then.
        """
        answer = self._request(
            "POST",
            repository,
            f"blobs/uploads/?mount={quote(parse_digest(digest), safe='')}"
            f"&from={quote(parse_repository(source_repository), safe='')}",
            writes=True,
            also_reads=source_repository,
            repeatable=True,
        )
        if answer.status == 201:
            return True
        if answer.status == 202:  # it opened an upload instead, which nobody will use
            self._cancel(repository, answer)
        return False

    def _cancel(self, repository: str, answer: Answer) -> None:
        try:
            self._request("DELETE", repository, upload_location(answer, self.url), writes=True)
        except (HarborAuthError, HarborNotFoundError, HarborProtocolError):
            # Needs a permission that a backup does not have; the registry purges it in time.
            return

    # -- lists

    def iter_tags(self, repository: str) -> Iterator[str]:
        """Yield the tags of a repository in lexical order; nothing where it does not exist.

        Raises:
            HarborProtocolError: The list is none, or has no end.
        """
        seen: set[str] = set()
        for answer in self._iter_pages(repository, f"tags/list?n={_PAGE_SIZE}"):
            tags = answer.read(read_tags)
            note_page(seen, tags, _MOST_TAGS, answer)
            yield from tags

    def iter_referrers(self, repository: str, digest: str) -> Iterator[Descriptor]:
        """Yield what refers to a digest, by the registry's own list or by that under its tag.

        Raises:
            HarborProtocolError: The list is none, or has no end.
        """
        seen: set[str] = set()
        is_listed = False
        for answer in self._iter_pages(repository, f"referrers/{parse_digest(digest)}"):
            is_listed = True
            where = f"referrers of {repository}@{digest}"
            found = Manifest.from_bytes(answer.content, OCI_INDEX, where).children
            note_page(seen, [descriptor.digest for descriptor in found], _MOST_REFERRERS, answer)
            yield from found
        if not is_listed:
            yield from self._tagged_referrers(repository, digest)

    def _iter_pages(self, repository: str, path: str) -> Iterator[Answer]:
        """Yield the pages of a list; none where there is no such list."""
        try:
            answer = self._request("GET", repository, path, limit_bytes=LIST_BYTES)
        except HarborNotFoundError:
            return
        yield answer
        while following := next_page(answer):
            answer = self._request("GET", repository, following, limit_bytes=LIST_BYTES)
            yield answer

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
        """Send a request about a repository with a token for it.

        `path` is one below the repository's, or a whole one, or a URL.
        """
        parse_repository(repository)
        if not path.startswith("/") and "://" not in path:
            path = f"/v2/{repository}/{path}"
        scopes = [f"repository:{repository}:{'pull,push' if writes else 'pull'}"]
        if also_reads and also_reads != repository:
            scopes.append(f"repository:{also_reads}:pull")
        return self._authenticator.send(method, path, scopes, **kwargs)


def _is_content(stream: Stream) -> bool:
    """Whether an answer is content as it is stored, and no page of something in between."""
    kind = stream.headers.get("Content-Type", "")
    return not kind.startswith("text/") and "Content-Encoding" not in stream.headers


def referrers_tag(subject: str) -> str:
    """Return the tag that lists the referrers of a digest where a registry does not do it itself.

    Source: distribution-spec v1.1, "Referrers Tag Schema".
    """
    algorithm, _, encoded = subject.partition(":")
    return f"{algorithm[:32]}-{encoded[:64]}"
