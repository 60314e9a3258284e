"""Errors: whose word a 404 is, what trying again can mend, and what a person reads."""

from __future__ import annotations

import pytest

from airflow_provider_harbor.core.exceptions import (
    BackupIncompleteError,
    BackupInterruptedError,
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
    HarborRouteError,
    HarborServerError,
    HarborSightError,
    HarborStatusError,
    HarborTlsError,
    LeaseError,
    MissingContentError,
    NotTriedError,
    RefusalReason,
    StoreError,
    StoreReason,
    StoreUnreachableError,
    UnexpectedError,
    UnhealthyHarborError,
    UnsettledHarborError,
    WrongSizeError,
    describe,
    is_passing,
)

DIGEST = "sha256:" + "0123456789abcdef" * 4


def not_found(message: str, code: str = "NOT_FOUND") -> HarborNotFoundError:
    return HarborNotFoundError(status=404, code=code, message=message)


@pytest.mark.parametrize(
    ("message", "thing"),
    [
        ("repository p/app not found", "p/app"),
        ("p/app", "p/app"),
        (f"artifact p/app@{DIGEST} not found", DIGEST),
        (f"artifact p/app@{DIGEST} not found", "p/app"),
        ("repository 'p/app' not found", "p/app"),
        ("project p.1 not found", "p.1"),
    ],
)
def test_a_404_that_names_the_thing_is_about_it(message: str, thing: str) -> None:
    assert not_found(message).names(thing)


@pytest.mark.parametrize(
    ("message", "thing"),
    [
        ("repository p/app-2 not found", "p/app"),
        ("repository p/app/more not found", "p/app"),
        ("repository other/p/app not found", "p/app"),
        ("repository p/app.old not found", "p/app"),
        ("repository p/apps not found", "p/app"),
        ("repository my-p/app not found", "p/app"),
        ("project px1 not found", "p.1"),
        (f"artifact p/app@{DIGEST} not found", DIGEST.replace("0", "1", 1)),
        (f"artifact p/app@{DIGEST} not found", DIGEST[:-1]),
        ("not found", "p/app"),
        ("", "p/app"),
        ("path /api/v2.0/projects/p/repositories/p/app was not found", "p/app"),
    ],
)
def test_a_404_about_something_else_says_nothing(message: str, thing: str) -> None:
    assert not not_found(message).names(thing)


def test_a_404_without_a_code_is_nobodys_word() -> None:
    assert not not_found("repository p/app not found", code="").names("p/app")


@pytest.mark.parametrize(
    ("error", "is_of_route"),
    [
        (not_found("path /api/v2.0/x was not found"), True),
        (not_found("repository path not found"), False),
        (not_found("an HTML page, probably of a proxy in between", code=""), True),
        (not_found("an HTML page", code="NOT_FOUND"), False),
        (not_found("", code=""), False),
        (not_found("path /x", code=""), False),
    ],
)
def test_an_unknown_route_is_told_from_an_unknown_thing(
    error: HarborNotFoundError, is_of_route: bool
) -> None:
    assert error.is_of_route is is_of_route


PASSING: list[HarborBackupError] = [
    HarborConnectionError("reset"),
    HarborRateLimitError(status=429),
    HarborServerError(status=500),
    UnsettledHarborError("it moves"),
    UnhealthyHarborError("https://h", {}),
    DigestMismatchError(expected="a", actual="b", size_bytes=1, where="p/app"),
    LeaseError("another run"),
    StoreUnreachableError(StoreReason.UNREACHABLE, "it does not answer", where="s3://b"),
    BackupInterruptedError("1 of 2", ()),
]
PERMANENT: list[BaseException] = [
    HarborTlsError("no"),
    HarborStatusError(status=400),
    HarborAuthError(status=401),
    not_found("x"),
    HarborRefusedError(RefusalReason.QUOTA, status=403),
    HarborProtocolError("odd"),
    HarborRouteError(not_found("x")),
    HarborConfigurationError("wrong"),
    HarborSightError("not all"),
    WrongSizeError(DIGEST, expected_bytes=1, actual_bytes=2, where="p/app"),
    MissingContentError(DIGEST, "p/app"),
    DamagedContentError(DIGEST, "/backup"),
    StoreError(StoreReason.FULL, "the disk is full", where="/b"),
    NotTriedError("given up"),
    UnexpectedError(ValueError()),
    BackupIncompleteError("1 of 2", ()),
    OSError("no space"),
    ValueError("x"),
]


@pytest.mark.parametrize("error", PASSING, ids=lambda error: type(error).__name__)
def test_trying_again_can_mend(error: BaseException) -> None:
    assert is_passing(error)


@pytest.mark.parametrize("error", PERMANENT, ids=lambda error: type(error).__name__)
def test_trying_again_mends_nothing(error: BaseException) -> None:
    assert not is_passing(error)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(28, "No space left on device", "/backup/x"), "/backup/x: No space left on device"),
        (OSError(28, "No space left on device"), "No space left on device"),
        (OSError("the bucket is gone"), "the bucket is gone"),
        (NotTriedError("given up"), "given up"),
        (
            ValueError("a\n  b"),
            "unexpected ValueError: a b. This is a defect of this program: please report it",
        ),
        (
            ValueError(),
            "unexpected ValueError. This is a defect of this program: please report it",
        ),
    ],
)
def test_an_error_is_described_in_a_sentence(error: BaseException, words: str) -> None:
    assert describe(error) == words


def test_the_text_of_a_surprise_is_not_endless() -> None:
    assert len(describe(ValueError("x" * 10_000))) < 400


def test_an_answer_is_told_with_what_to_do_first() -> None:
    error = HarborAuthError(
        status=403,
        code="FORBIDDEN",
        message="no",
        method="GET",
        url="https://h/x",
        request_id="7",
        hint="give it the right",
    )
    said = "GET https://h/x was answered 403 (FORBIDDEN: no) [request id 7]"
    assert str(error) == f"give it the right: {said}"
    error.hint = ""
    assert str(error) == said
    assert str(HarborStatusError(status=400, method="PUT", url="u")) == "PUT u was answered 400"


@pytest.mark.parametrize(("number", "more"), [(5, ""), (6, "\n  and 1 more, all in the report")])
def test_only_the_first_failures_of_a_run_are_shown(number: int, more: str) -> None:
    error = BackupIncompleteError("it failed", [f"project p{n}: why {n}" for n in range(number)])
    shown = "".join(f"\n  project p{n}\n    why {n}" for n in range(5))
    assert str(error) == f"it failed{shown}{more}"
    assert len(error.failures) == number


def test_what_is_unhealthy_is_named_and_not_without_an_end() -> None:
    many = {f"part{number:02}": "down" for number in range(30)}
    assert "part19: down." in str(UnhealthyHarborError("https://h", many))
    assert "part20" not in str(UnhealthyHarborError("https://h", many))
    assert "no component is named" in str(UnhealthyHarborError("https://h", {}))


def test_a_refusal_keeps_what_the_answer_said() -> None:
    fields = {
        "status": 412,
        "code": "C",
        "message": "m",
        "method": "PUT",
        "url": "u",
        "request_id": "7",
        "hint": "h",
    }
    refused = HarborRefusedError.of(HarborStatusError(**fields), RefusalReason.CHANGED)  # type: ignore[arg-type]
    assert {name: getattr(refused, name) for name in fields} == fields
    assert refused.reason is RefusalReason.CHANGED


@pytest.mark.parametrize(
    ("url", "is_from"),
    [
        ("https://h.example.com/v2/", True),
        ("https://h.example.com.evil.example.com/v2/", False),
        ("https://h.example.com", False),
        ("http://h.example.com/v2/", False),
    ],
)
def test_whose_answer_it_is_is_told_by_the_whole_host(url: str, is_from: bool) -> None:
    assert HarborStatusError(status=500, url=url).is_from("https://h.example.com") is is_from
