"""What docs/command-line.md says of all commands is what they do."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from airflow_provider_harbor.core.cli import main as cli
from airflow_provider_harbor.core.cli.arguments import EXIT_CODES
from airflow_provider_harbor.core.copy.outcome import WORDS
from airflow_provider_harbor.core.jobs.totals import NOT_KNOWN

PAGE = (Path(__file__).parents[3] / "docs" / "command-line.md").read_text()
COMMANDS = [name for name in cli._COMMANDS if name != "settings"]
COMMANDS += ["settings export", "settings diff", "settings import"]


@pytest.fixture(scope="module")
def helps() -> dict[str, str]:
    """What each command says of itself."""
    return {command: _help_of(command) for command in COMMANDS}


def _help_of(command: str) -> str:
    parser = cli._parser(command.split())
    for word in command.split():
        (action,) = [a for a in parser._actions if hasattr(a, "choices") and a.choices]
        parser = action.choices[word]  # type: ignore[index,call-overload]
    return parser.format_help()


def test_each_option_and_variable_is_there(helps: dict[str, str]) -> None:
    everything = "\n".join(helps.values())
    options = set(re.findall(r"--[a-z]+(?:-[a-z]+)*", PAGE))
    assert {option for option in options if option not in everything} == set()
    variables = set(re.findall(r"HARBOR_BACKUP_[A-Z_]+[A-Z]", PAGE))
    assert {name for name in variables if name not in everything} == set()
    assert len(options) > 10
    assert len(variables) > 5


def test_the_options_of_each_server_are_those_of_the_table(helps: dict[str, str]) -> None:
    rows = re.findall(r"^\|(.*?)\|.*?\| `HARBOR_BACKUP_\w+_\.\.\.` \| `(--.*)` \|$", PAGE, re.M)
    documented: dict[str, set[str]] = {}
    commands: list[str] = []
    for names, begin in rows:
        commands = re.findall(r"`((?:settings )?\w+) [^`]*`", names) or commands
        for command in commands:
            documented.setdefault(command, set()).add(begin)
    found = {
        command: set(re.findall(r"^  (--(?:\w+-)?)ca-file", text, re.M))
        for command, text in helps.items()
    }
    assert documented == {command: begins for command, begins in found.items() if begins}


def test_the_exit_codes_are_those_of_the_help() -> None:
    documented = re.findall(r"^\| (\d+) \| (.*) \|$", PAGE, re.M)
    shown = re.findall(r"^  (\d+) +(.*)$", EXIT_CODES, re.M)
    assert [(code, text.replace("`", "")) for code, text in documented] == shown


def test_the_words_of_a_result_are_explained() -> None:
    words = re.findall(r"^\| ([a-z ]+) \|", PAGE, re.M)
    for word in (*WORDS.values(), NOT_KNOWN, "manifest", "artifact", "child", "accessory"):
        assert word in words
