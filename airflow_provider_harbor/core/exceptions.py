"""The errors this package raises on purpose.

    HarborBackupError
      HarborConnectionError    no answer: refused, reset, timed out, cut short           try again
        HarborTlsError         the certificate does not verify                           permanent
      HarborStatusError        an answer with an error status (see its fields)
        HarborAuthError        401 or 403: the login, or what it may do                  permanent
        HarborNotFoundError    404                                                       permanent
        HarborRefusedError     a rule of the server says no (see `reason`)               permanent
        HarborRateLimitError   429                                                       try again
        HarborServerError      5xx, 408                                                  try again
      HarborProtocolError      an answer we cannot read, or that contradicts itself      permanent
        HarborRouteError       a 404 that is not Harbor's word about the thing           permanent
      HarborConfigurationError what was asked cannot be done as asked                    permanent
        HarborSightError       the login does not see all that was asked for             permanent
      UnsettledHarborError     what Harbor lists went on changing while it was listed    try again
      UnhealthyHarborError     Harbor says that a component of it is unhealthy           try again
      IntegrityError
        DigestMismatchError    content that is not what its digest says                  try again
        WrongSizeError         content whose size is not what its manifest says          permanent
        MissingContentError    listed, but the server has lost it                        permanent
        DamagedContentError    in the store, but not what its name says                  permanent
      NotTriedError            given up, since what it needs failed, or the run had to stop
      StoreError               the backup store cannot be read or written               permanent
        StoreUnreachableError  it does not answer                                        try again
      LeaseError               another run writes to the same place                      try again
      UnexpectedError          anything else that was raised: a defect of this program   permanent
      BackupIncompleteError    a run ended, and something is not protected               permanent
        BackupInterruptedError the same, for a reason that may pass                      try again

Wrong arguments from code are `ValueError`; a file that is not there is a `FileNotFoundError`.
Callers read fields, never messages. No message or field ever holds a credential.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Sequence
from typing import Any

# A Harbor has nine.
_SHOWN_COMPONENTS = 20


class HarborBackupError(Exception):
    """Base of every error this package raises on purpose."""


class HarborConnectionError(HarborBackupError):
    """No answer, or one cut short.

    Attributes:
        method: HTTP method of the request.
        url: Its address, without credentials and without its query's secrets.
        received_bytes: How many bytes of a stream came before it broke; None where it was none.
    """

    def __init__(
        self,
        message: str,
        *,
        method: str = "",
        url: str = "",
        received_bytes: int | None = None,
    ) -> None:
        super().__init__(message)
        self.method = method
        self.url = url
        self.received_bytes = received_bytes


class HarborTlsError(HarborConnectionError):
    """The server's certificate does not verify: trying again does not help."""


class HarborStatusError(HarborBackupError):
    """The server answered with an error.

    Attributes:
        status: HTTP status, such as 404.
        code: The server's own code, such as `NOT_FOUND`; empty where the body has none.
        message: The server's own words; empty where the body has none.
        method: HTTP method of the request.
        url: Its address, without credentials and without its query's secrets.
        request_id: What finds the request in the server's own log; empty where it is unknown.
        hint: What the reader can do, in one sentence; may be empty.
        retry_after_seconds: How long the server asked to wait; None where it did not say.
        pauses_all: Whether all requests to the server wait for that, and not this one only.
        waited_seconds: How long it was already tried again because the server wanted it later.
    """

    retry_after_seconds: float | None = None
    pauses_all = True
    waited_seconds = 0.0

    def __init__(
        self,
        *,
        status: int,
        code: str = "",
        message: str = "",
        method: str = "",
        url: str = "",
        request_id: str = "",
        hint: str = "",
    ) -> None:
        self.status = status
        self.code = code
        self.message = message
        self.method = method
        self.url = url
        self.request_id = request_id
        self.hint = hint
        super().__init__(status, code, message)

    def is_from(self, base_url: str) -> bool:
        """Whether the answer is that of a server, given by scheme, host and port."""
        return self.url.startswith(base_url + "/")

    def __str__(self) -> str:
        said = ": ".join(part for part in (self.code, self.message) if part)
        text = f"{self.method} {self.url} was answered {self.status}"
        text += f" ({said})" if said else ""
        text += f" [request id {self.request_id}]" if self.request_id else ""
        # What to do comes first: a log viewer may show the beginning of a line only.
        return f"{self.hint}: {text}" if self.hint else text


class HarborAuthError(HarborStatusError):
    """401 or 403: the login was not accepted, or may not do this.

    Attributes:
        challenge: The answer's `WWW-Authenticate`; empty where it has none.
    """

    challenge: str = ""


class HarborNotFoundError(HarborStatusError):
    """404: it is not there, or not visible to this login; or somebody else than Harbor says so."""

    @property
    def is_of_route(self) -> bool:
        """Whether Harbor knows no such route, or a proxy before it has no such page."""
        return self.message.startswith("path ") if self.code else "HTML" in self.message

    def names(self, thing: str) -> bool:
        """Whether the server itself says that this very thing is not there.

        A proxy's page does not, and neither does Harbor where it knows no such route: its code is
        NOT_FOUND then, too, and only the message differs (`path /api/... was not found`).

        Args:
            thing: A repository's full name, a digest, or a project's name.

        Source: go-openapi/runtime middleware/router.go; Harbor src/lib/errors.
        """
        if not self.code or self.is_of_route:
            return False
        return re.search(rf"(?<![\w./-]){re.escape(thing)}(?![\w./-])", self.message) is not None


class RefusalReason(str, enum.Enum):
    """Why a server refused something that the login may otherwise do."""

    READ_ONLY = "read-only"
    QUOTA = "quota"
    IMMUTABLE = "immutable"
    POLICY = "policy"
    TOO_LARGE = "too-large"
    CONFLICT = "conflict"
    INVALID = "invalid"
    CHANGED = "changed"

    def __str__(self) -> str:
        return self.value


class HarborRefusedError(HarborStatusError):
    """A rule of the server says no; the login itself is fine.

    Attributes:
        reason: Which rule, see `RefusalReason`.
    """

    def __init__(self, reason: RefusalReason, **fields: Any) -> None:
        self.reason = reason
        super().__init__(**fields)

    @classmethod
    def of(cls, error: HarborStatusError, reason: RefusalReason) -> HarborRefusedError:
        """Return an error again, of which the caller knows the rule."""
        return cls(
            reason,
            status=error.status,
            code=error.code,
            message=error.message,
            method=error.method,
            url=error.url,
            request_id=error.request_id,
            hint=error.hint,
        )


class HarborRateLimitError(HarborStatusError):
    """429: too many requests, even after the transport's own waiting.

    Attributes:
        is_pace: Whether the server took other requests meanwhile: this one came too early, and
            will be taken later.
        is_for_good: Whether it has refused all such requests for long, so that no further try
            makes sense now.
    """

    is_pace = False
    is_for_good = False


class HarborServerError(HarborStatusError):
    """5xx: the server, or a proxy before it, failed; or 408: it took too long to read all."""


class HarborProtocolError(HarborBackupError):
    """An answer that cannot be read as what was asked for, or that contradicts itself."""


class HarborRouteError(HarborProtocolError):
    """A 404 of which nothing follows: not Harbor's own word about the thing that was asked for."""

    def __init__(self, err: HarborStatusError) -> None:
        super().__init__(
            "a 404 that does not say that the thing is gone. Probably a proxy in front of Harbor "
            "changes escaped slashes in paths: have it pass %252F on as it is. "
            f"What came: {err}"
        )


class HarborConfigurationError(HarborBackupError):
    """What was asked for cannot be done as asked: a URL, a filter, a setting is wrong."""


class HarborSightError(HarborConfigurationError):
    """The login does not see everything, or cannot prove that it does."""


class UnsettledHarborError(HarborBackupError):
    """What Harbor lists and what it counts went on to disagree: probably somebody is pushing."""


class UnhealthyHarborError(HarborBackupError):
    """Harbor itself says that it is not healthy.

    Attributes:
        components: Name and error text of each unhealthy component.
    """

    def __init__(self, url: str, components: dict[str, str]) -> None:
        self.components = components
        first = sorted(components.items())[:_SHOWN_COMPONENTS]
        listed = "; ".join(f"{name}: {error}" for name, error in first)
        super().__init__(
            f"Harbor at {url} says that it is unhealthy: {listed or 'no component is named'}. "
            "Repair that first: a backup of a half-working Harbor misses things."
        )


class IntegrityError(HarborBackupError):
    """Content is not what it should be."""


class DigestMismatchError(IntegrityError):
    """Bytes that do not hash to the digest under which they were asked for.

    Attributes:
        expected: The digest asked for.
        actual: The digest of what came.
        size_bytes: How many bytes came.
        where: What was read, such as a repository's name or a file.
    """

    def __init__(self, *, expected: str, actual: str, size_bytes: int, where: str) -> None:
        self.expected = expected
        self.actual = actual
        self.size_bytes = size_bytes
        self.where = where
        super().__init__(
            f"{where}: expected {expected}, but the {size_bytes} bytes that came are {actual}"
        )


class WrongSizeError(IntegrityError):
    """Content that has another size than the manifest which names it says.

    Attributes:
        digest: Of the content.
        expected_bytes: What the manifest says.
        actual_bytes: What the registry has.
        where: The repository that it was read from.
    """

    def __init__(self, digest: str, *, expected_bytes: int, actual_bytes: int, where: str) -> None:
        self.digest = digest
        self.expected_bytes = expected_bytes
        self.actual_bytes = actual_bytes
        self.where = where
        super().__init__(
            f"{where}: the manifest says that {digest} has {expected_bytes} bytes, but there are "
            f"{actual_bytes}. Either the manifest is wrong, or the content is damaged: build the "
            "artifact anew and push it again, or delete it"
        )


class MissingContentError(IntegrityError):
    """The server lists content that it can no longer serve: its storage has lost it.

    Attributes:
        digest: What is missing.
        where: The repository or store that should have it.
    """

    def __init__(
        self,
        digest: str,
        where: str,
        what: str = "the registry's storage does not have it any more. Push the artifact again, or "
        "delete it",
    ) -> None:
        self.digest = digest
        self.where = where
        super().__init__(f"{where} lists {digest}, but {what}")


class DamagedContentError(IntegrityError):
    """Content of a store that is not what its name says.

    Attributes:
        digest: What it should be.
        where: The file, as a URL without credentials.
    """

    def __init__(self, digest: str, where: str) -> None:
        self.digest = digest
        self.where = where
        super().__init__(
            f"{where} is damaged: it is not what its name says. All nights share this file, so get "
            "the artifact from Harbor itself, or from a mirror of it"
        )


class NotTriedError(HarborBackupError):
    """Given up: what it needs could not be copied, or the run had to stop."""


class StoreReason(str, enum.Enum):
    """Why a store cannot be used."""

    MISSING = "missing"
    DENIED = "denied"
    FULL = "full"
    UNREACHABLE = "unreachable"
    OTHER = "other"

    def __str__(self) -> str:
        return self.value


class StoreError(HarborBackupError):
    """The backup store cannot be read or written.

    Attributes:
        reason: Why, see `StoreReason`.
        where: What was to be read or written, as a URL without credentials.
    """

    def __init__(self, reason: StoreReason, what: str, *, where: str) -> None:
        self.reason = reason
        self.where = where
        super().__init__(f"{where}: {what}")


class StoreUnreachableError(StoreError):
    """The storage does not answer, or fails: that may pass."""


class LeaseError(HarborBackupError):
    """Another run holds the lease: two runs at once would undo each other's tags.

    Attributes:
        run: The run that holds it.
        host: Name of the machine that it was last seen on.
        since: When it began (ISO 8601, UTC).
    """

    def __init__(self, message: str, *, run: str = "", host: str = "", since: str = "") -> None:
        super().__init__(message)
        self.run = run
        self.host = host
        self.since = since


class UnexpectedError(HarborBackupError):
    """Something was raised that nobody foresaw; it stops one artifact, and not the others."""

    def __init__(self, err: BaseException) -> None:
        try:
            text = " ".join(str(err).split())[:200]
        except Exception:  # nor is one that cannot say what it is to stop the others
            text = ""
        super().__init__(
            f"unexpected {type(err).__name__}{f': {text}' if text else ''}. This is a defect of "
            "this program: please report it"
        )


class BackupIncompleteError(HarborBackupError):
    """A run came to its end, and something is not protected.

    Attributes:
        summary: What it came to, in a line.
        failures: One line for each failure, `project or artifact: what happened`.
        projects: The projects that have them, each with what else there is to say of it; empty
            where the failures name them.
    """

    def __init__(self, summary: str, failures: Sequence[str], projects: Sequence[str] = ()) -> None:
        self.summary = summary
        self.failures = tuple(failures)
        self.projects = tuple(projects)
        shown = ""
        for line in self.failures[:5]:
            name, _, said = line.partition(": ")
            shown += f"\n  {name}\n    {said}"
        more = len(self.failures) - 5
        if more > 0:
            shown += f"\n  and {more} more, all in the report"
        super().__init__(f"{summary}{shown}")


class BackupInterruptedError(BackupIncompleteError):
    """A run came to its end, and trying again may protect what it did not."""


# What trying again can mend; everything else is permanent.
PASSING_ERRORS: tuple[type[HarborBackupError], ...] = (
    HarborConnectionError,
    HarborRateLimitError,
    HarborServerError,
    UnsettledHarborError,
    UnhealthyHarborError,
    DigestMismatchError,
    StoreUnreachableError,
    LeaseError,
    BackupInterruptedError,
)


def is_passing(error: BaseException) -> bool:
    """Tell whether trying the same thing again can help."""
    return isinstance(error, PASSING_ERRORS) and not isinstance(error, HarborTlsError)


def describe(err: BaseException) -> str:
    """Return an error as a sentence for people."""
    if isinstance(err, OSError) and err.strerror:
        return f"{err.filename}: {err.strerror}" if err.filename else err.strerror
    if isinstance(err, (HarborBackupError, OSError)):
        return str(err)
    return str(UnexpectedError(err))
