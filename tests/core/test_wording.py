"""What users read is in plain words, and says the same thing in the same words."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import airflow_provider_harbor

PACKAGE = Path(airflow_provider_harbor.__file__).parent
# Seen, and not understood by people who read them for the first time.
ODD = re.compile(
    r"\b(goes|went) on (to|\w+ing)\b|\bin order\b|\bwholly\b|in %?\w+ units|is of no use"
    r"|\bnot to be had\b|\bmended\b|\bproxy before\b|\d+ damages?\b",
    re.IGNORECASE,
)


def texts(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the texts of a module, with their lines; what documents the code is none of them."""
    tree = ast.parse(path.read_text())
    documents = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef))
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            values = [v.value if isinstance(v, ast.Constant) else "1" for v in node.values]
            yield node.lineno, "".join(map(str, values))
        elif (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and id(node) not in documents
        ):
            yield node.lineno, node.value


def is_on_settings(path: Path) -> bool:
    return "settings" in path.name or path.parent == PACKAGE / "core/jobs/settings"


@pytest.mark.parametrize("room", ["core", "hooks", "sensors", "triggers"])
def test_no_text_has_words_that_nobody_understood(room: str) -> None:
    odd = [
        f"{path.relative_to(PACKAGE)}:{line}: {text}"
        for path in sorted((PACKAGE / room).rglob("*.py"))
        for line, text in texts(path)
        if ODD.search(text) and not is_on_settings(path)
    ]
    assert odd == []
