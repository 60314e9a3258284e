"""What became of an artifact that could not be copied: a short reason, a sentence for people."""

from __future__ import annotations

from airflow_provider_harbor.core.exceptions import (
    DamagedContentError,
    DigestMismatchError,
    HarborAuthError,
    HarborBackupError,
    HarborConnectionError,
    HarborNotFoundError,
    HarborProtocolError,
    HarborRateLimitError,
    HarborRefusedError,
    HarborServerError,
    HarborStatusError,
    LeaseError,
    MissingContentError,
    NotTriedError,
    RefusalReason,
    StoreError,
    UnexpectedError,
    UnsettledHarborError,
    WrongSizeError,
)

# Reasons that trying again can mend without anybody doing anything.
PASSING_REASONS = frozenset(
    {
        "changed",
        "connection",
        "digest-mismatch",
        "lease",
        "not-tried",
        "rate-limit",
        "server-error",
        "store-unreachable",
        "unsettled",
    }
)

_REFUSED_AT_DESTINATION = {
    RefusalReason.READ_ONLY: "the destination is read-only. Switch that off, and run it again",
    RefusalReason.QUOTA: "the destination's quota is used up. Raise it, and run it again",
    RefusalReason.IMMUTABLE: "the tag is immutable at the destination and names something else "
    "there. Delete the tag or the rule at the destination",
    RefusalReason.POLICY: "a rule of the destination forbids it (a proxy cache takes no pushes). "
    "Copy to another project or registry",
    RefusalReason.TOO_LARGE: "the destination, or a proxy in front of it, does not take anything "
    "so large",
    RefusalReason.CONFLICT: "it conflicts with what the destination holds",
    RefusalReason.CHANGED: "somebody else changed it at the destination meanwhile. Run it again",
    RefusalReason.INVALID: "the destination misses content that this refers to, or does not accept "
    "its form. If content was deleted there, run it again; if it stays so, push the artifact anew",
}
_PLAIN_REASONS: tuple[tuple[type[HarborBackupError], str], ...] = (
    (MissingContentError, "missing-blob"),
    (DamagedContentError, "damaged-blob"),
    (DigestMismatchError, "digest-mismatch"),
    (WrongSizeError, "wrong-size"),
    (NotTriedError, "not-tried"),
    (UnsettledHarborError, "unsettled"),
    (LeaseError, "lease"),
    (HarborProtocolError, "odd-answer"),
    (UnexpectedError, "unexpected"),
)
_PASSING: tuple[tuple[type[HarborBackupError], str, str], ...] = (
    (HarborConnectionError, "connection", "the connection broke, several times"),
    (HarborRateLimitError, "rate-limit", "the server keeps asking for fewer requests"),
    (HarborServerError, "server-error", "the server, or a proxy in front of it, keeps failing"),
)


def explain(error: HarborBackupError, source_url: str) -> tuple[str, str]:
    """Return the reason (a short, stable word) and what happened and what to do (one line).

    Args:
        error: What was raised while the artifact was copied.
        source_url: Base URL of the source, which tells its answers from the destination's.
    """
    for kind, reason in _PLAIN_REASONS:
        if isinstance(error, kind):
            return reason, str(error)
    if isinstance(error, StoreError):
        return f"store-{error.reason}", str(error)
    if isinstance(error, HarborServerError) and _is_full(error):
        what = "the storage of the server is full. Make room there, and run it again"
        return "server-error", f"{what} ({error})"
    for kind, reason, what in _PASSING:
        if isinstance(error, kind):
            return (
                reason,
                f"{what}. Run it again; if it stays so, the server's log says why ({error})",
            )
    if isinstance(error, HarborStatusError):
        at_source = error.is_from(source_url)
        reason, advice = _at_source(error) if at_source else _at_destination(error)
        return reason, f"{advice} ({error})"
    return "error", str(error)


def _is_full(error: HarborServerError) -> bool:
    return error.status == 507 or "no space left on device" in error.message


def _at_source(error: HarborStatusError) -> tuple[str, str]:
    if isinstance(error, HarborNotFoundError) and error.code == "MANIFEST_UNKNOWN":
        return "missing-manifest", (
            "Harbor lists it, but the registry's storage has lost its manifest. Push the artifact "
            "again, or delete it"
        )
    if isinstance(error, HarborNotFoundError) and error.code == "NOT_FOUND":
        return "deleted-at-source", (
            "it was deleted at the source since it was listed. Run the project again: the new "
            "inventory will not list it any more"
        )
    if isinstance(error, HarborAuthError):
        return "denied-at-source", (
            "the login may not pull it, or the project was deleted since it was listed. Give the "
            "login the permission repository:pull, or run the project again"
        )
    if isinstance(error, HarborRefusedError):
        return f"{error.reason}-at-source", (
            "a rule of the source keeps it from being pulled (vulnerabilities, missing signature). "
            "Exempt it from the rule, or correct what the rule is about"
        )
    return "refused-at-source", "the source refused it"


def _at_destination(error: HarborStatusError) -> tuple[str, str]:
    if isinstance(error, HarborRefusedError):
        return str(error.reason), _REFUSED_AT_DESTINATION[error.reason]
    if isinstance(error, HarborAuthError):
        return "denied", (
            "the destination's login may not push it. Give it the permissions repository:push and "
            "repository:pull there"
        )
    if isinstance(error, HarborNotFoundError) and error.method == "POST":
        return "no-repository", (
            "the destination has no such repository, and makes none by itself. Create it there, or "
            "see what names it takes"
        )
    if isinstance(error, HarborNotFoundError):
        return "lost-upload", "the destination forgot the upload midway. Run it again"
    return "refused", "the destination refused it"
