"""What became of an artifact: the reason that programs go by, and what a person can do."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_harbor.core.copy.failures import PASSING_REASONS, explain
from airflow_provider_harbor.core.exceptions import (
    DamagedContentError,
    DigestMismatchError,
    HarborAuthError,
    HarborBackupError,
    HarborConfigurationError,
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
    StoreReason,
    StoreUnreachableError,
    UnexpectedError,
    UnsettledHarborError,
    WrongSizeError,
    is_passing,
)
from airflow_provider_harbor.core.oci.manifest import digest_of

SOURCE = "https://harbor.example.com"
AT_SOURCE = f"{SOURCE}/v2/p/app/manifests/1"
# A name that begins with the source's must not pass for it.
ELSEWHERE = "https://harbor.example.com.mirror.example.com/v2/p/app/manifests/1"
DIGEST = digest_of(b"content")


def not_found(code: str, url: str = AT_SOURCE, method: str = "GET") -> HarborNotFoundError:
    return HarborNotFoundError(status=404, code=code, url=url, method=method)


def refused(reason: RefusalReason, url: str) -> HarborRefusedError:
    return HarborRefusedError(reason, status=403, url=url)


ERRORS: list[tuple[HarborBackupError, str, str]] = [
    (MissingContentError(DIGEST, "p/app"), "missing-blob", "Push the artifact again"),
    (
        DigestMismatchError(expected=DIGEST, actual="x", size_bytes=1, where="p/app"),
        "digest-mismatch",
        "but the 1 bytes that came",
    ),
    (
        WrongSizeError(DIGEST, expected_bytes=1, actual_bytes=2, where="p/app"),
        "wrong-size",
        "has 1 bytes, but there are 2",
    ),
    (DamagedContentError(DIGEST, "/backup"), "damaged-blob", "/backup"),
    (NotTriedError("given up"), "not-tried", "given up"),
    (
        StoreUnreachableError(StoreReason.UNREACHABLE, "it does not answer", where="s3://b"),
        "store-unreachable",
        "it does not answer",
    ),
    (StoreError(StoreReason.FULL, "the disk is full", where="/b"), "store-full", "disk is full"),
    (UnsettledHarborError("it moves"), "unsettled", "it moves"),
    (LeaseError("another run"), "lease", "another run"),
    (HarborProtocolError("no list"), "odd-answer", "no list"),
    (UnexpectedError(ValueError("x")), "unexpected", "please report it"),
    (HarborConnectionError("reset"), "connection", "the connection broke, several times. Run it"),
    (HarborRateLimitError(status=429, url=ELSEWHERE), "rate-limit", "asking for fewer requests"),
    (HarborServerError(status=500, url=AT_SOURCE), "server-error", "keeps failing. Run it again"),
    (not_found("MANIFEST_UNKNOWN"), "missing-manifest", "storage has lost its manifest"),
    (not_found("NOT_FOUND"), "deleted-at-source", "Run the project again"),
    (not_found(""), "refused-at-source", "the source refused it"),
    (HarborAuthError(status=403, url=AT_SOURCE), "denied-at-source", "repository:pull"),
    (refused(RefusalReason.POLICY, AT_SOURCE), "policy-at-source", "a rule of the source"),
    (HarborStatusError(status=400, url=AT_SOURCE), "refused-at-source", "the source refused it"),
    (HarborAuthError(status=401, url=ELSEWHERE), "denied", "repository:push"),
    (not_found("NAME_UNKNOWN", ELSEWHERE, "POST"), "no-repository", "Create it there"),
    (not_found("BLOB_UPLOAD_UNKNOWN", ELSEWHERE, "PUT"), "lost-upload", "forgot the upload"),
    (HarborStatusError(status=400, url=ELSEWHERE), "refused", "the destination refused it"),
    (HarborConfigurationError("a rule"), "error", "a rule"),
]


@pytest.mark.parametrize(
    ("error", "reason", "words"), ERRORS, ids=[reason for _, reason, _ in ERRORS]
)
def test_a_failure_has_a_reason_and_says_what_to_do(
    error: HarborBackupError, reason: str, words: str
) -> None:
    said = explain(error, SOURCE)
    assert said[0] == reason
    assert words in said[1]
    assert str(error) in said[1]


@pytest.mark.parametrize(
    ("reason", "word", "words"),
    [
        (RefusalReason.READ_ONLY, "read-only", "the destination is read-only"),
        (RefusalReason.QUOTA, "quota", "the destination's quota is used up. Raise it"),
        (RefusalReason.IMMUTABLE, "immutable", "the tag is immutable at the destination"),
        (RefusalReason.POLICY, "policy", "a proxy cache takes no pushes"),
        (RefusalReason.TOO_LARGE, "too-large", "does not take anything so large"),
        (RefusalReason.CONFLICT, "conflict", "it conflicts with what the destination holds"),
        (RefusalReason.CHANGED, "changed", "somebody else changed it at the destination"),
        (RefusalReason.INVALID, "invalid", "misses content that this refers to"),
    ],
)
def test_each_rule_of_the_destination_is_named(
    reason: RefusalReason, word: str, words: str
) -> None:
    said = explain(refused(reason, ELSEWHERE), SOURCE)
    assert said[0] == reason.value == word
    assert words in said[1]


def test_each_rule_has_words() -> None:
    for reason in RefusalReason:
        assert explain(refused(reason, ELSEWHERE), SOURCE)[0] == reason.value


def test_a_reason_passes_where_its_error_does() -> None:
    """What Airflow tries again is what trying again can mend."""
    by_reason: dict[str, Any] = {reason: error for error, reason, _ in ERRORS}
    by_reason["changed"] = None
    assert by_reason.keys() >= PASSING_REASONS
    for reason, error in by_reason.items():
        if reason in PASSING_REASONS:
            assert error is None or is_passing(error) or isinstance(error, NotTriedError)
        else:
            assert not is_passing(error)
