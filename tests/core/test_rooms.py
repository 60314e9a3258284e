"""The rooms of the core are the truth: each imports only those above it, and says what is in it."""

from __future__ import annotations

import ast
import re
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import airflow_provider_harbor.core as core

DIRECTORY = Path(core.__file__).parent
PREFIX = "airflow_provider_harbor.core."


def levels() -> list[set[str]]:
    """Return what is on each line of the map, the highest first."""
    lines = (core.__doc__ or "").split("\n\n")[2].splitlines()
    return [set(line[:38].replace(",", " ").split()) for line in lines]


def room_of(module: Path) -> str:
    return module.relative_to(DIRECTORY).parts[0].removesuffix(".py")


def imported(module: Path) -> set[str]:
    """Return the names that a module imports from the core, dotted and without its own."""
    names = set()
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.ImportFrom):
            names.add(f"{node.module}.")
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    own = {name.removeprefix(PREFIX).strip(".") for name in names if name.startswith(PREFIX)}
    return own - {""}


def modules() -> list[Path]:
    return [path for path in DIRECTORY.rglob("*.py") if path != DIRECTORY / "__init__.py"]


ROOMS = sorted(
    str(path.parent.relative_to(DIRECTORY))
    for path in DIRECTORY.rglob("__init__.py")
    if path.parent != DIRECTORY
)


def test_the_map_names_everything_once() -> None:
    named = [name for level in levels() for name in level]
    assert sorted(named) == sorted({room_of(module) for module in modules()})


def test_no_room_imports_one_below_it() -> None:
    depth = {name: number for number, level in enumerate(levels()) for name in level}
    downward = {
        f"{module.relative_to(DIRECTORY)} imports {room}"
        for module in modules()
        for room in {name.split(".")[0] for name in imported(module)}
        if depth[room] > depth[room_of(module)]
    }
    assert not downward


@pytest.mark.parametrize("room", ROOMS)
def test_the_door_of_a_room_names_what_is_in_it(room: str) -> None:
    door = ast.get_docstring(ast.parse((DIRECTORY / room / "__init__.py").read_text())) or ""
    named = re.findall(r"^(?: {4})?(\w+/?(?:, \w+)*) {2,}", door, re.MULTILINE)
    listed = [name for line in named for name in line.split(", ")]
    there = [path.stem for path in (DIRECTORY / room).glob("*.py") if path.stem[:2] != "__"]
    there += [f"{path.parent.name}/" for path in (DIRECTORY / room).glob("*/__init__.py")]
    assert sorted(listed) == sorted(there)


def test_no_modules_import_each_other_in_a_circle() -> None:
    paths = {
        ".".join(path.relative_to(DIRECTORY).with_suffix("").parts): path for path in modules()
    }
    imports = {name: imported(path) & paths.keys() for name, path in paths.items()}
    assert sum(map(len, imports.values())) > len(paths)
    TopologicalSorter(imports).prepare()  # raises CycleError, which names them
