"""The module map of the core is the truth: each line imports only the lines below it."""

from __future__ import annotations

import ast
from pathlib import Path

import airflow_provider_harbor.core as core

DIRECTORY = Path(core.__file__).parent
PREFIX = "airflow_provider_harbor.core"


def layers() -> list[set[str]]:
    """Return the names of the modules on each line of the map, the highest line first."""
    lines = (core.__doc__ or "").split("\n\n")[1].splitlines()
    return [set(line[:40].replace(",", " ").split()) for line in lines]


def imports(module: str) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse((DIRECTORY / f"{module}.py").read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(PREFIX):
            inside = (node.module or "")[len(PREFIX) + 1 :]
            found |= {inside} if inside else {alias.name for alias in node.names}
    return found


def test_the_map_names_every_module_once() -> None:
    named = [name for layer in layers() for name in layer]
    assert sorted(named) == sorted(p.stem for p in DIRECTORY.glob("*.py") if p.stem != "__init__")


def test_no_module_imports_a_line_above_its_own() -> None:
    height = {name: -number for number, layer in enumerate(layers()) for name in layer}
    upward = {
        f"{module} imports {imported}"
        for module in height
        for imported in imports(module)
        if height[imported] > height[module]
    }
    assert not upward
