from __future__ import annotations

import io
import json
import logging
import sys

import pytest

from airflow_provider_harbor.core.cli.progress import Console, ConsoleHandler
from airflow_provider_harbor.core.exceptions import BackupIncompleteError


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Clock:
    seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture(autouse=True)
def plain_terminal(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def terminal():
    return Terminal()


@pytest.fixture
def console(terminal, clock):
    return Console(io.StringIO(), terminal, clock=clock)


def test_a_status_is_updated_in_place_and_not_more_often_than_one_can_read(
    console, terminal, clock
):
    console.status("one")
    console.status("two")
    clock.seconds += 0.2
    console.status("three")
    assert terminal.getvalue() == "\r\x1b[Kone\r\x1b[Kthree"


def test_what_begins_is_shown_at_once(console, terminal):
    console.status("one")
    console.begin("two")
    assert terminal.getvalue().endswith("\r\x1b[Ktwo")


def test_a_line_takes_the_place_of_the_status(console, terminal):
    console.status("working")
    console.line("done")
    console.line("next")
    assert terminal.getvalue() == "\r\x1b[Kworking\r\x1b[Kdone\nnext\n"


def test_a_result_goes_to_stdout_and_leaves_no_status_behind(terminal, clock):
    stdout = io.StringIO()
    console = Console(stdout, terminal, clock=clock)
    console.status("working")
    console.result("all")
    assert stdout.getvalue() == "all\n"
    assert terminal.getvalue().endswith("\r\x1b[K")


def test_a_status_never_wraps(console, terminal):
    console.status("x" * 500)
    assert len(terminal.getvalue()) <= len("\r\x1b[K") + 79


def test_elsewhere_than_on_a_terminal_only_lines_are_written(clock):
    stderr = io.StringIO()
    console = Console(io.StringIO(), stderr, clock=clock)
    console.begin("begins")
    console.status("working")
    console.line("done")
    console.clear()
    assert stderr.getvalue() == "begins\ndone\n"


def test_a_dumb_terminal_is_no_terminal(monkeypatch, terminal):
    monkeypatch.setenv("TERM", "dumb")
    Console(io.StringIO(), terminal).status("working")
    assert terminal.getvalue() == ""


@pytest.mark.parametrize("stream", [io.StringIO, Terminal])
def test_quiet_leaves_errors_and_results(stream):
    stdout, stderr = io.StringIO(), stream()
    console = Console(stdout, stderr, quiet=True)
    console.begin("begins")
    console.status("working")
    console.line("done")
    console.error("wrong")
    console.result("all")
    assert stderr.getvalue() == "wrong\n"
    assert stdout.getvalue() == "all\n"


def test_log_records_go_between_the_lines(console, terminal):
    handler = ConsoleHandler(console)
    console.status("working")
    handler.handle(logging.makeLogRecord({"msg": "look: %s", "args": ("here",)}))
    assert terminal.getvalue() == "\r\x1b[Kworking\r\x1b[Klook: here\n"


FORGED = "\x1b]0;owned\x07\x1b[2J\x9b32m\u202e\ud800"


def test_nothing_but_the_console_itself_moves_the_cursor(console, terminal, clock):
    for write in (console.error, console.line, console.begin):
        write(f"look: {FORGED}")
    clock.seconds += 1
    console.status(f"look: {FORGED}")
    shown = terminal.getvalue().replace("\r\x1b[K", "").replace("\n", "")
    assert "look: ?]0;owned??[2J" in shown
    assert shown.isprintable()


def test_a_line_that_somebody_else_put_in_cannot_pass_for_one_of_ours(console, terminal):
    handler = ConsoleHandler(console)
    forged = "wrong\nharbor-backup: Everything is protected\r\nERROR: x"
    console.error(f"harbor-backup: {forged}")
    handler.handle(logging.makeLogRecord({"msg": "look: %s", "args": (forged,)}))
    lines = terminal.getvalue().split("\n")
    assert [line for line in lines if line and not line.startswith("  ")] == [
        "harbor-backup: wrong",
        "look: wrong",
    ]


def test_a_message_of_several_lines_comes_through(console, terminal):
    text = str(BackupIncompleteError("2 failed", ["project a: no", "project b: no"]))
    console.error(text)
    assert terminal.getvalue() == text + "\n"


def test_a_traceback_comes_through(console, terminal):
    try:
        raise ValueError(FORGED)
    except ValueError:
        record = logging.makeLogRecord({"msg": "here:", "exc_info": sys.exc_info()})
    ConsoleHandler(console).handle(record)
    assert "raise ValueError" in terminal.getvalue()
    assert terminal.getvalue().replace("\n", "").isprintable()


def test_results_are_safe_to_show_too(clock):
    stdout = io.StringIO()
    console = Console(stdout, Terminal(), clock=clock)
    console.result(f"all {FORGED}\nharbor-backup: Everything is protected")
    first, second, _ = stdout.getvalue().split("\n")
    assert first.startswith("all ?]0;owned?")
    assert second.startswith("  ")
    assert (first + second).isprintable()


def test_a_document_is_json_that_a_terminal_can_show(clock):
    stdout = io.StringIO()
    Console(stdout, Terminal(), clock=clock).document({"a": [FORGED, "é\n"], "b": {}})
    assert stdout.getvalue().replace("\n", "").isprintable()
    assert json.loads(stdout.getvalue())["a"][1] == "é\n"
    assert stdout.getvalue().startswith("{\n  ")


def test_a_terminal_that_is_gone_stops_nothing():
    class Gone(Terminal):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    stdout = io.StringIO()
    console = Console(stdout, Gone())
    console.begin("begins")
    console.error("wrong")
    console.result("all")
    assert stdout.getvalue() == "all\n"
