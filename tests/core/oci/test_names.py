"""Names: what the specifications allow passes unchanged, anything else is refused."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from airflow_provider_harbor.core.exceptions import HarborProtocolError
from airflow_provider_harbor.core.oci import names

DIGEST = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("is_one", "text"),
    [
        (names.is_project_name, "library"),
        (names.is_project_name, "2024"),
        (names.is_project_name, "a.b_c-d"),
        (names.is_repository_name, "app"),
        (names.is_repository_name, "library/nginx"),
        (names.is_repository_name, "p/a__b/c---d/e.f_g"),
        (names.is_repository_name, "p/" + "x" * 253),
        (names.is_tag_name, "1.0"),
        (names.is_tag_name, "_x"),
        (names.is_tag_name, "sha256-" + "a" * 64 + ".sig"),
        (names.is_tag_name, "V" * 128),
        (names.is_digest, DIGEST),
        (names.is_digest, "sha512:" + "0" * 128),
    ],
)
def test_what_the_specification_allows_is_a_name(
    is_one: Callable[[object], bool], text: str
) -> None:
    assert is_one(text)


@pytest.mark.parametrize(
    "text",
    [
        "", "/", ".", "..", "../x", "/abs", "a/../b", "a//b", "a/", "/a", "A", "a..b", "a-", "-a",
        ".a", "a___b", "ü", "a b", "a\n", "a\0b", "a%2fb", "a?x=1", "a#b", "a:b", "a@b", "a\\b",
        "{{ 7*7 }}", "x" * 256, "a\x1b[31m", "\ud800", None, 7, ["a"],
    ],
)  # fmt: skip
def test_what_could_lead_elsewhere_is_no_name(text: object) -> None:
    assert not names.is_repository_name(text)
    assert not names.is_project_name(text)


def test_a_project_has_no_slash() -> None:
    assert not names.is_project_name("a/b")


@pytest.mark.parametrize(
    "text", ["", ".", "-x", "a/b", "a b", "1.0\n", "x" * 129, "../../evil?", "1\x1b[31m", "é", None]
)
def test_what_is_no_tag_is_told(text: object) -> None:
    assert not names.is_tag_name(text)


@pytest.mark.parametrize(
    "text",
    ["latest", "sha256:", "sha256:" + "A" * 64, "md5:" + "a" * 32, DIGEST + "/..", DIGEST + "\n"],
)
def test_what_is_no_digest_is_told(text: str) -> None:
    assert not names.is_digest(text)


def test_a_name_comes_back_as_it_is() -> None:
    assert names.parse_project("p") == "p"
    assert names.parse_repository("p/app") == "p/app"
    assert names.parse_reference("1.0") == "1.0"
    assert names.parse_reference(DIGEST) == DIGEST
    assert names.parse_digest(DIGEST) == DIGEST


@pytest.mark.parametrize(
    "parse",
    [names.parse_project, names.parse_repository, names.parse_reference, names.parse_digest],
)
def test_a_refused_name_is_shown_on_one_line_and_not_whole(
    parse: Callable[..., str],
) -> None:
    with pytest.raises(HarborProtocolError, match=r"^the list: ") as caught:
        parse("a/../b\n\x1b[2J\u202e" + "x" * 10_000, "the list")
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 300
