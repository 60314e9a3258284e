"""What the demo writes, on a terminal and elsewhere."""

from __future__ import annotations

import io

import pytest

from .screen import Row, Screen


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


class Pipe(io.StringIO):
    encoding = "utf-8"


@pytest.fixture(autouse=True)
def terminal_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("LINES", "10")
    monkeypatch.delenv("NO_COLOR", raising=False)


def test_a_pipe_gets_each_row_once_when_it_has_ended() -> None:
    stream = Pipe()
    screen = Screen(stream)

    screen.rows([Row("shop", "running", "listing"), Row("data", "waiting", "")])
    screen.rows([Row("shop", "done", "2 artifacts"), Row("data", "failed", "copy failed")])
    screen.rows([Row("shop", "done", "2 artifacts"), Row("data", "failed", "copy failed")])

    assert stream.getvalue() == "  ✓ shop  2 artifacts\n  ✗ data  copy failed\n"


def test_a_terminal_gets_rows_painted_over() -> None:
    stream = Terminal()
    screen = Screen(stream)

    screen.rows([Row("shop", "running", "listing")])
    screen.rows([Row("shop", "running", "listing")])
    screen.rows([Row("shop", "done", "2 artifacts")])

    first, up, second = stream.getvalue().partition("\x1b[1A")
    assert "listing" in first
    assert up
    assert "2 artifacts" in second


def test_no_row_is_wider_than_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    stream = Terminal()

    Screen(stream).rows([Row("shop", "done", "a" * 100)])

    painted = stream.getvalue().replace("\r\x1b[K", "").replace("\x1b[J", "")
    assert len(painted.rstrip("\n")) < 40
    assert painted.endswith("…\n")


def test_a_stream_without_the_marks_gets_others() -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii", write_through=True)

    Screen(stream).rows([Row("shop", "done", "2 artifacts")])

    assert stream.buffer.getvalue() == b"  + shop  2 artifacts\n"
