from __future__ import annotations

import io
import json
import logging
import re
import sys

import pytest

from airflow_provider_harbor.core.cli.progress import Console, ConsoleHandler
from airflow_provider_harbor.core.cli.tables import Table
from airflow_provider_harbor.core.exceptions import BackupIncompleteError
from airflow_provider_harbor.core.human import HowFar

# What moves a cursor or changes a colour.
CODES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\r")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True

    def take(self) -> str:
        """Return what was written since it was taken before, without codes."""
        text = CODES.sub("", self.getvalue())
        self.seek(0)
        self.truncate()
        return text


class Clock:
    seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture(autouse=True)
def plain_terminal(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.delenv("NO_COLOR", raising=False)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def terminal():
    return Terminal()


@pytest.fixture
def console(terminal, clock):
    return Console(io.StringIO(), terminal, clock=clock)


@pytest.fixture
def file():
    return io.StringIO()


@pytest.fixture
def plain(file, clock):
    return Console(io.StringIO(), file, clock=clock)


def far(done, total=1_440, *, size_bytes=0, seconds=10.0) -> HowFar:
    return HowFar(done=done, total=total, noun="manifest", size_bytes=size_bytes, seconds=seconds)


# -- a terminal


def test_what_is_under_way_is_drawn_anew_and_gone_at_the_end(console, terminal):
    console.begin("checking")
    assert terminal.getvalue() == ""
    console.tick()
    assert terminal.take().strip() == "checking"
    console.status("3 of 7 lists read")
    console.tick()
    assert terminal.take().strip() == "3 of 7 lists read"
    console.clear()
    assert terminal.getvalue().rstrip().endswith("\x1b[2K")
    console.line("done")
    terminal.take()
    console.tick()
    assert terminal.take() == ""


def test_a_line_stays_above_what_is_under_way(console, terminal):
    console.status("working")
    console.tick()
    console.line("one is done")
    terminal.take()
    console.tick()
    console.error("another is not")
    shown = terminal.take()
    assert re.search(r"another is not\s+working", shown)
    console.line("one more")
    console.clear()
    assert terminal.take().startswith("one more\n")


def test_projects_are_drawn_side_by_side_with_what_they_come_to(console, terminal, clock):
    console.begin_projects({"shop": 60, "data": 30, "later": 9})
    console.begin_project("[1/3]", "shop", "listing")
    console.begin_project("[2/3]", "data", "listing")
    console.tick()
    clock.seconds += 10
    console.tell_project("shop", far(360, size_bytes=453_000_000))
    console.tell_project("data", "data: 120 artifacts listed")
    terminal.take()
    console.tick()
    rows = [line.rstrip() for line in terminal.take().splitlines()]
    assert re.fullmatch(r"data +120 artifacts listed", rows[0])
    assert re.fullmatch(r"shop +\S* +360 of 1,440 +432\.0 MiB +45\.3 MB/s +30 s left", rows[1])
    # A sixth of the repositories, so far.
    assert re.fullmatch(r"0 of 3 projects +\S* +432\.0 MiB +45\.3 MB/s +1 min left", rows[2])
    assert max(map(len, rows)) <= 80

    console.end_project("shop")
    console.line("[1/3] shop: done")
    terminal.take()
    console.tick()
    shown = terminal.take()
    assert "1 of 3 projects" in shown
    assert "432.0 MiB" in shown
    assert "360 of" not in shown


@pytest.mark.parametrize("columns", [20, 40, 60, 80, 200])
def test_nothing_that_is_drawn_wraps(console, terminal, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    name = "a-project-with-quite-a-long-name-" * 3
    console.begin_projects({name: 1, "other": 1, "漢字" * 20: 1})
    for project in (name, "other", "漢字" * 20):
        console.begin_project("[1/3]", project, "listing " * 40)
    console.tell_project(name, far(1_000_000, 10_000_000, size_bytes=10**15, seconds=10**5))
    console.status("x" * 500)
    console.tick()
    lines = terminal.take().splitlines()
    assert len(lines) == 5
    # With room for the ^C that a terminal writes behind them.
    assert max(sum(1 + (ord(c) > 0x2E80) for c in line) for line in lines) <= columns - 2


def test_the_rate_is_that_of_now_and_falls_to_nothing_where_nothing_comes(plain, file, clock):
    plain.begin_projects({"shop": 1})
    plain.begin_project("[1/1]", "shop", "listing")
    for second in range(0, 60, 5):
        plain.tell_project("shop", far(100, size_bytes=min(second, 15) * 10_000_000))
        plain.tick()
        clock.seconds += 5
    assert file.getvalue().count("\n") == 1
    assert "[1/1] shop: 100 of 1,440 manifests, 143.1 MiB sent, 0 kB/s" in file.getvalue()


def test_a_thousand_lines_are_written_with_the_next_drawing(terminal, clock):
    with Console(io.StringIO(), terminal, clock=clock) as console:
        for number in range(1_000):
            console.line(f"{number} is done")
    shown = terminal.take().splitlines()
    assert shown == [f"{number} is done" for number in range(1_000)]


def test_names_are_never_markup(console, terminal):
    console.begin_projects({"[red]x[/red]": 1, ":smile:": 1})
    console.begin_project("[1/2]", "[red]x[/red]", "listing")
    console.begin_project("[2/2]", ":smile:", "[bold]listing[/]")
    console.tick()
    console.error("[link=https://evil]here[/link]")
    console.status("[/]")
    console.tick()
    shown = terminal.take()
    for text in ("[red]x[/red]", ":smile:", "[bold]listing[/]", "[link=https://evil]here[/link]"):
        assert text in shown


def test_the_cursor_is_never_hidden(console, terminal):
    """Whatever ends the process, the terminal is as it was."""
    console.begin("working")
    console.tick()
    console.error("wrong")
    console.clear()
    assert "?25" not in terminal.getvalue()


@pytest.mark.parametrize("value", ["1", ""])
def test_no_color_is_honoured(terminal, clock, monkeypatch, value):
    monkeypatch.setenv("NO_COLOR", value)
    out = Terminal()
    console = Console(out, terminal, clock=clock)
    console.begin_projects({"shop": 1})
    console.begin_project("[1/1]", "shop", "listing")
    console.tell_project("shop", far(7))
    console.tick()
    console.error("wrong", "bad")
    console.result(["Everything is protected: 1"], "Everything is protected", "good")
    colours = re.findall(r"\x1b\[(?:\d;)*3\dm", terminal.getvalue() + out.getvalue())
    assert bool(colours) is not bool(value)


def test_last_words_come_in_the_midst_of_everything(console, terminal):
    console.begin("working")
    console.tick()
    console.last_words("harbor-backup: stopped at once")
    assert terminal.getvalue().endswith("\nharbor-backup: stopped at once\n")


def test_a_result_goes_to_stdout_and_leaves_nothing_behind(terminal, clock):
    stdout = io.StringIO()
    console = Console(stdout, terminal, clock=clock)
    console.status("working")
    console.tick()
    console.result("all")
    assert stdout.getvalue() == "all\n"
    assert terminal.getvalue().rstrip().endswith("\x1b[2K")


# -- a file


def test_elsewhere_than_on_a_terminal_there_are_lines_only(plain, file):
    plain.begin("begins")
    plain.status("working")
    plain.tick()
    plain.line("done", "good")
    plain.error("wrong", "bad")
    plain.clear()
    assert file.getvalue() == "begins\ndone\nwrong\n"


def test_what_takes_long_is_told_now_and_then_and_more_rarely_later(plain, file, clock):
    plain.begin_projects({"shop": 10, "data": 10})
    plain.begin_project("[1/2]", "shop", "listing")
    told = []
    for second in range(0, 1_800, 5):
        if second == 20:
            plain.begin_project("[2/2]", "data", "listing")
            plain.tell_project("data", "data: 120 artifacts listed")
        if second == 50:
            plain.end_project("data")
        plain.tell_project(
            "shop", far(second // 5, 360, size_bytes=second * 2_000_000, seconds=second)
        )
        before = file.getvalue()
        plain.tick()
        if more := file.getvalue().removeprefix(before):
            told.append((second, more.splitlines()))
        clock.seconds += 5
    assert [second for second, _ in told] == [30, 90, 210, 450, 750, 1050, 1350, 1650]
    assert told[0][1] == [
        "[1/2] shop: 6 of 360 manifests, 57.2 MiB sent, 2.0 MB/s, about 30 min left",
        "0 of 2 projects done, 57.2 MiB sent, 2.0 MB/s, about 1 h 00 min left",
    ]


def test_a_project_that_is_quick_is_not_told_of(plain, file, clock):
    plain.begin_projects({"shop": 1})
    plain.begin_project("[1/1]", "shop", "listing")
    clock.seconds += 29
    plain.tick()
    plain.end_project("shop")
    clock.seconds += 100
    plain.tick()
    assert file.getvalue() == ""


def test_a_dumb_terminal_is_no_terminal(monkeypatch, terminal, clock):
    monkeypatch.setenv("TERM", "dumb")
    console = Console(Terminal(), terminal, clock=clock)
    console.status("working")
    console.tick()
    console.error("wrong", "bad")
    assert terminal.getvalue() == "wrong\n"


@pytest.mark.parametrize("stream", [io.StringIO, Terminal])
def test_quiet_leaves_errors_and_results(stream, clock):
    stdout, stderr = io.StringIO(), stream()
    with Console(stdout, stderr, quiet=True, clock=clock) as console:
        console.begin("begins")
        console.status("working")
        console.begin_projects({"a": 1})
        console.begin_project("[1/1]", "a", "listing")
        clock.seconds += 1_000
        console.tick()
        console.line("done")
        console.error("wrong")
        console.result("all")
    assert stderr.getvalue() == "wrong\n"
    assert stdout.getvalue() == "all\n"


def test_log_records_go_between_the_lines(console, terminal):
    handler = ConsoleHandler(console)
    console.status("working")
    console.tick()
    terminal.take()
    handler.handle(logging.makeLogRecord({"levelno": 30, "msg": "look: %s", "args": ("here",)}))
    assert re.match(r"look: here\s+working", terminal.take())


# -- words of others

FORGED = "\x1b]0;owned\x07\x1b[2J\x9b32m\u202e\ud800"


@pytest.mark.parametrize("stream", [io.StringIO, Terminal])
def test_nothing_but_the_console_itself_moves_the_cursor(stream, clock):
    stderr = stream()
    console = Console(io.StringIO(), stderr, clock=clock)
    for write in (console.error, console.line, console.begin):
        write(f"look: {FORGED}")
    console.tick()
    console.begin_projects({FORGED: 1})
    console.begin_project("[1/1]", FORGED, FORGED)
    console.tick()
    clock.seconds += 100
    console.tick()
    shown = CODES.sub("", stderr.getvalue()).replace("\n", "")
    assert "look: ?]0;owned??[2J" in shown
    assert shown.isprintable()


@pytest.mark.parametrize("stream", [io.StringIO, Terminal])
def test_a_line_that_somebody_else_put_in_cannot_pass_for_one_of_ours(stream, clock):
    stderr = stream()
    console = Console(io.StringIO(), stderr, clock=clock)
    handler = ConsoleHandler(console)
    forged = "wrong\nharbor-backup: Everything is protected\r\nERROR: x"
    console.error(f"harbor-backup: {forged}")
    handler.handle(logging.makeLogRecord({"levelno": 30, "msg": "look: %s", "args": (forged,)}))
    lines = CODES.sub("", stderr.getvalue()).split("\n")
    assert [line for line in lines if line and not line.startswith("  ")] == [
        "harbor-backup: wrong",
        "look: wrong",
    ]


@pytest.mark.parametrize("stream", [io.StringIO, Terminal])
def test_a_message_of_several_lines_comes_through_and_is_not_broken(stream, clock):
    stderr = stream()
    text = str(BackupIncompleteError("2 failed", [f"project a: {'no ' * 99}", "project b: no"]))
    Console(io.StringIO(), stderr, clock=clock).error(text)
    assert CODES.sub("", stderr.getvalue()) == text + "\n"


def test_a_traceback_comes_through(console, terminal):
    try:
        raise ValueError(FORGED)
    except ValueError:
        record = logging.makeLogRecord({"levelno": 30, "msg": "here:", "exc_info": sys.exc_info()})
    ConsoleHandler(console).handle(record)
    assert "raise ValueError" in terminal.getvalue()
    assert CODES.sub("", terminal.getvalue()).replace("\n", "").isprintable()


# -- results

ROWS = [("shop", "327", "13.9 MiB", "complete"), ("[red]漢字", "5", "1 B", f"PARTIAL {FORGED}")]
TABLE = Table(("project", "digests", "size", "state"), ROWS, "<>><", {"PARTIAL": "bad"})


@pytest.mark.parametrize("stream", [io.StringIO, Terminal])
def test_results_are_safe_to_show_too(stream, clock):
    stdout = stream()
    console = Console(stdout, Terminal(), clock=clock)
    console.result([f"all {FORGED}\nharbor-backup: Everything is protected", TABLE])
    shown = CODES.sub("", stdout.getvalue())
    first, second, *_ = shown.split("\n")
    assert first.startswith("all ?]0;owned?")
    assert second.startswith("  ")
    assert "[red]漢字" in shown
    assert shown.replace("\n", "").isprintable()


def test_a_table_in_a_file_is_plain_text_of_any_width(clock):
    stdout = io.StringIO()
    table = Table(("project", "digests"), [("x" * 200, "5"), ("a", "1,200")], "<>")
    Console(stdout, Terminal(), clock=clock).result(["as follows", table])
    assert stdout.getvalue().splitlines() == [
        "as follows",
        f"  {'PROJECT':<200}  DIGESTS",
        f"  {'x' * 200}        5",
        f"  {'a':<200}    1,200",
    ]


WHY = "newest complete, last, daily 2026-11-25, weekly 2026-W48, monthly 2026-11"


@pytest.mark.parametrize("columns", [50, 80, 200])
def test_a_table_on_a_terminal_fits_and_breaks_no_word(clock, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    stdout = Terminal()
    table = Table(
        ("snapshot", "begun", "", "why"), [("2026-11-25T02-30-00Z", "2026.", "kept", WHY)]
    )
    Console(stdout, Terminal(), clock=clock).result(["All", table])
    lines = stdout.take().splitlines()
    assert max(map(len, lines)) <= columns
    assert lines[2].startswith("  2026-11-25T02-30-00Z  2026.  kept  newest")
    assert " ".join(" ".join(line[37:] for line in lines[2:]).split()) == WHY
    assert all(line == line.rstrip() for line in lines)


def test_a_table_without_room_for_its_words_is_left_to_the_terminal(clock, monkeypatch):
    monkeypatch.setenv("COLUMNS", "30")
    stdout = Terminal()
    table = Table(("snapshot", "why"), [("2026-11-25T02-30-00Z", WHY)])
    Console(stdout, Terminal(), clock=clock).result(["All", table])
    assert stdout.take().splitlines()[2] == f"  2026-11-25T02-30-00Z  {WHY}"


def test_a_name_that_is_wider_than_the_terminal_is_shown_whole(clock):
    stdout = Terminal()
    name = "".join(chr(ord("a") + number % 26) for number in range(150))
    table = Table(("repository", "digests"), [(name, "1,200")], "<>")
    Console(stdout, Terminal(), clock=clock).result(["All", table])
    assert stdout.take().splitlines()[2] == f"  {name}    1,200"


def test_a_verdict_has_its_colour_and_what_follows_has_none(clock):
    stdout = Terminal()
    console = Console(stdout, Terminal(), clock=clock)
    console.result(["NOT everything is protected: 1 of 2"], "NOT everything is protected", "bad")
    assert stdout.getvalue() == "\x1b[1;31mNOT everything is protected\x1b[0m: 1 of 2\n"


def test_a_document_is_json_that_a_terminal_can_show(clock):
    stdout = Terminal()
    Console(stdout, Terminal(), clock=clock).document({"a": [FORGED, "é\n"], "b": {}})
    assert stdout.getvalue().replace("\n", "").isprintable()
    assert json.loads(stdout.getvalue())["a"][1] == "é\n"
    assert stdout.getvalue().startswith("{\n  ")


def test_a_terminal_that_is_gone_stops_nothing(clock):
    class Gone(Terminal):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    stdout = io.StringIO()
    with Console(stdout, Gone(), clock=clock) as console:
        console.begin("begins")
        console.tick()
        console.line("done")
        console.error("wrong")
        console.result("all")
    assert stdout.getvalue() == "all\n"


def test_closed_streams_are_none(tmp_path):
    with (tmp_path / "out").open("w") as stdout, (tmp_path / "err").open("w") as stderr:
        pass
    with Console(stdout, stderr) as console:
        console.line("nobody reads this")
        with pytest.raises(OSError, match="no standard output"):
            console.result("nor this")
