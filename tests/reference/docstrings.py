"""Docstrings in Sphinx's fields, as Markdown."""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

_FIELD = re.compile(r"^:(param|return|raises)\b ?([^:]*): ?(.*)$")
_SHORT_ROLE = re.compile(r":\w+:`~[\w.]*?(\w+)`")
_ROLE = re.compile(r":\w+:`([\w.]+)`")


@dataclass
class Docstring:
    """What a docstring says.

    Attributes:
        text: Markdown.
        parameters: The text of each, in one line.
        returns: In one line; empty where it says nothing.
        raises: The text of each error.
    """

    text: str
    parameters: dict[str, str] = field(default_factory=dict)
    returns: str = ""
    raises: dict[str, str] = field(default_factory=dict)


def read_docstring(thing: object) -> Docstring:
    """Return the docstring of a class or function, which must have one."""
    doc = inspect.getdoc(thing)
    if not doc:
        raise ValueError(f"{thing} has no docstring")
    lines = doc.splitlines()
    at = next((i for i, line in enumerate(lines) if _FIELD.match(line)), len(lines))
    found = Docstring(as_markdown("\n".join(lines[:at])))
    for kind, name, text in _fields(lines[at:]):
        if kind == "param":
            found.parameters[name] = text
        elif kind == "raises":
            found.raises[name] = text
        else:
            found.returns = text
    return found


def _fields(lines: list[str]) -> list[tuple[str, str, str]]:
    found: list[tuple[str, str, str]] = []
    for line in lines:
        if match := _FIELD.match(line):
            found.append((match[1], match[2].strip(), match[3]))
        elif line.strip():
            kind, name, text = found[-1]
            found[-1] = (kind, name, f"{text} {line.strip()}")
    return [(kind, name, _inline(text)) for kind, name, text in found]


def as_markdown(text: str) -> str:
    """Turn literals, roles and literal blocks into Markdown."""
    parts: list[str] = []
    literal: list[str] = []
    for block in [*re.split(r"\n\s*\n", text), ""]:
        if block.startswith("    ") and (literal or parts[-1].endswith("::")):
            literal.append(block)
            continue
        if literal:
            code = textwrap.dedent("\n\n".join(literal)).rstrip()
            parts[-1:] = [re.sub(r"::$", ":", parts[-1]), f"```python\n{code}\n```"]
            literal = []
        parts.append(_inline(block).rstrip())
    return "\n\n".join(part for part in parts if part.strip(":"))


def _inline(text: str) -> str:
    return _ROLE.sub(r"`\1`", _SHORT_ROLE.sub(r"`\1`", text.replace("``", "`")))


def arguments_of(function: Callable[..., Any], documented: Mapping[str, str]) -> list[list[str]]:
    """Return a row for each argument of a function: name, default and what it is.

    Raises:
        ValueError: The signature and the docstring do not name the same arguments.
    """
    parameters = {
        name: parameter
        for name, parameter in inspect.signature(function).parameters.items()
        if name != "self" and (name != "kwargs" or name in documented)
    }
    if parameters.keys() != documented.keys():
        different = sorted(parameters.keys() ^ documented.keys())
        raise ValueError(f"{function}: {different} is either not described or not there")
    return [
        [f"`{name}`", _default(parameter), documented[name]]
        for name, parameter in parameters.items()
    ]


def _default(parameter: inspect.Parameter) -> str:
    if parameter.kind is parameter.VAR_KEYWORD:
        return ""
    value = parameter.default
    if value is parameter.empty:
        return "required"
    if isinstance(value, Mapping):
        value = dict(value)
    if callable(value):
        return "`...`"
    return f"`{value!r}`"


def table(heads: list[str], rows: list[list[str]]) -> str:
    """Return a table in Markdown; texts may have bars."""
    lines = [heads, ["---"] * len(heads), *rows]
    cells = ((cell.replace("|", "\\|") for cell in line) for line in lines)
    return "\n".join(f"| {' | '.join(line)} |" for line in cells)
