"""The commands of `harbor-backup`, as their help has them, what they share once."""

from __future__ import annotations

import argparse
import re
from collections import Counter
from collections.abc import Iterator

from airflow_provider_harbor.core.cli import main as cli
from tests.reference.docstrings import table


def render_commands() -> str:
    """Return the chapter."""
    parsers = list(_commands(cli._parser([])))
    counts = Counter(block for parser in parsers for block in set(_blocks(parser)))
    shared = [block for block, count in counts.items() if count > len(parsers) / 3]
    parts = [
        "## Command line",
        "`harbor-backup COMMAND --help` shows the same. For all commands:",
        *(f"```text\n{block}\n```" for block in sorted(shared)),
        *(_render(parser, shared) for parser in parsers),
    ]
    return "\n\n".join(parts)


def _commands(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """Yield all commands that do something themselves, in the order of the help."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for found in action.choices.values():
                inner = list(_commands(found))
                yield from inner or [found]


def _blocks(parser: argparse.ArgumentParser) -> list[str]:
    """Return the parts of what stands below the options."""
    return [block.rstrip() for block in re.split(r"\n\n", parser.epilog or "") if block.strip()]


def _render(parser: argparse.ArgumentParser, shared: list[str]) -> str:
    positional = [a for a in parser._actions if not a.option_strings]
    words = " ".join(filter(None, (_words(action) for action in positional)))
    rows = [
        [f"`{_words(action)}`", _help(parser, action)]
        for action in [*positional, *(a for a in parser._actions if a.option_strings)]
        if "--help" not in action.option_strings
    ]
    own = [block for block in _blocks(parser) if block not in shared]
    return "\n\n".join(
        [
            f"### {parser.prog} {words}".rstrip(),
            (parser.description or "").strip(),
            table(["argument", "what it is"], rows),
            *(f"```text\n{block}\n```" for block in own),
        ]
    )


def _words(action: argparse.Action) -> str:
    if action.choices and action.metavar is None:
        value = "{" + ",".join(map(str, action.choices)) + "}"
    else:
        value = str(action.metavar or action.dest.upper()) if action.nargs != 0 else ""
    if not action.option_strings:
        return f"[{value}]" if action.nargs in ("?", "*") else value
    return f"{', '.join(action.option_strings)} {value}".rstrip()


def _help(parser: argparse.ArgumentParser, action: argparse.Action) -> str:
    return " ".join(parser._get_formatter()._expand_help(action).split())
