"""Words of others: on one line, printable, not endless; and our own lines stay ours."""

from __future__ import annotations

import pytest

from airflow_provider_harbor.core.exceptions import BackupIncompleteError
from airflow_provider_harbor.core.texts import one_line, own_lines, printable, shown

FORGED = (
    "\x1b]0;owned\x07\x1b[2J\x1b[1;1HEverything\nharbor-backup: Everything is protected\r\x9b0m"
)


@pytest.mark.parametrize("text", ["", "plain words", "Grüße, 世界", "a  b"])
def test_what_can_be_printed_stays_as_it_is(text: str) -> None:
    assert printable(text) == one_line(text) == own_lines(text) == text


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a\nb\r\n\tc", "a b c"),
        ("a\x85b\u2028c\u2029d", "a b c d"),
        ("\x1b[31mred\x1b[0m", "?[31mred?[0m"),
        ("a\x00b\x7fc\x9bd", "a?b?c?d"),
        ("\u202eabc\u2066d\u200b", "?abc?d?"),
        ("lone \ud800 surrogate", "lone ? surrogate"),
    ],
)
def test_what_cannot_be_printed_is_replaced(text: str, line: str) -> None:
    assert one_line(text) == line


def test_a_long_text_is_cut() -> None:
    assert one_line("x" * 1000, 10) == "xxxxxxx..."
    assert len(one_line("\n" * 10_000_000 + "x")) <= 300


def test_a_text_keeps_its_length_so_that_no_bad_name_becomes_a_good_one() -> None:
    assert len(printable(FORGED)) == len(FORGED)
    assert printable("1.0\n") == "1.0 "


def test_a_line_that_somebody_else_put_in_is_indented() -> None:
    first, second = own_lines(f"FAILED: {FORGED}").split("\n")
    assert first.startswith("FAILED: ?]0;owned?")
    assert second.startswith("  harbor-backup: ")
    assert first.isprintable()
    assert second.isprintable()


def test_our_own_lines_come_through() -> None:
    text = str(BackupIncompleteError("2 failed", ["project a: no", "project b: no"]))
    assert own_lines(text) == text
    assert len(text.split("\n")) == 5


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a\nb", r"'a\nb'"),
        ("\ud800", r"'\ud800'"),
        (None, "None"),
        ([1, "x"], "[1, 'x']"),
    ],
)
def test_a_value_is_shown_as_python_writes_it(value: object, text: str) -> None:
    assert shown(value) == text


def test_a_value_is_never_shown_at_length_nor_in_all_its_depth() -> None:
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]
    for value in ("x" * 10_000, deep, {str(n): "x" * 999 for n in range(999)}, 10**900):
        assert len(shown(value)) <= 160
