"""The page: DAGs, hook, operators, sensor, trigger, notifiers, settings, and commands."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from airflow.sdk import BaseHook, BaseNotifier, BaseOperator, BaseSensorOperator
from airflow.triggers.base import BaseTrigger

import airflow_provider_harbor
from airflow_provider_harbor import dags
from airflow_provider_harbor.get_provider_info import get_provider_info
from tests.reference.commands import render_commands
from tests.reference.docstrings import arguments_of, read_docstring, table

PAGE = Path(__file__).parents[2] / "docs/reference.md"
_HEAD = """\
# Reference

Made from the docstrings by `python -m tests.reference`; a test holds it to them. What the words
mean, and how the parts work together, is in [how-it-works.md](how-it-works.md).

- [DAGs](#dags), [hook](#hook), [operators](#operators), [sensor](#sensor), [trigger](#trigger),
  [notifiers](#notifiers)
- [connection](#connection), [configuration](#configuration)
- [command line](#command-line)
"""
_ARGUMENTS = ["argument", "default", "what it is"]
# Heading, folder and kind of class; a folder may be missing.
_KINDS: tuple[tuple[str, str, type], ...] = (
    ("Hook", "hooks", BaseHook),
    ("Operators", "operators", BaseOperator),
    ("Sensor", "sensors", BaseSensorOperator),
    ("Trigger", "triggers", BaseTrigger),
    ("Notifiers", "notifications", BaseNotifier),
)
_PACKAGE = airflow_provider_harbor.__name__


def render() -> str:
    """Return the page."""
    return "\n".join(part.rstrip() + "\n" for part in _parts())


def _parts() -> Iterator[str]:
    yield _HEAD
    yield "## DAGs\n\n" + (
        f"Functions of `{dags.__name__}`; each returns a DAG. "
        "See [nightly-run.md](nightly-run.md) for files that call them."
    )
    for name in dags.__all__:
        yield from _function(getattr(dags, name))
    for heading, folder, kind in _KINDS:
        if classes := list(classes_of(folder, kind)):
            yield f"## {heading}"
            for found in classes:
                yield from _class(found)
    yield from _connection()
    yield from _configuration()
    yield render_commands()


def classes_of(folder: str, kind: type) -> Iterator[type]:
    """Yield the public classes of a kind that a folder of the package defines."""
    if not (Path(str(airflow_provider_harbor.__file__)).parent / folder).is_dir():
        return
    package = importlib.import_module(f"{_PACKAGE}.{folder}")
    for found in pkgutil.iter_modules(package.__path__):
        module = importlib.import_module(f"{package.__name__}.{found.name}")
        for name, value in vars(module).items():
            is_kind = inspect.isclass(value) and issubclass(value, kind)
            if is_kind and value.__module__ == module.__name__ and not name.startswith("_"):
                yield value


def _function(function: Any) -> Iterator[str]:
    doc = read_docstring(function)
    yield f"### {function.__name__}\n\n{doc.text}"
    yield table(_ARGUMENTS, arguments_of(function, doc.parameters))


def _class(found: type) -> Iterator[str]:
    doc = read_docstring(found)
    yield f"### {found.__name__}\n\n`{found.__module__}`\n\n{doc.text}"
    if rows := arguments_of(found.__init__, doc.parameters):  # type: ignore[misc]
        yield table(_ARGUMENTS, rows)
    if fields := getattr(found, "template_fields", ()):
        names = ", ".join(f"`{name}`" for name in fields)
        yield f"Templates are rendered in {names}."
    if issubclass(found, BaseHook):
        yield from _methods(found)


def _methods(found: type) -> Iterator[str]:
    """Yield what the hook can do, its own methods only."""
    for name, value in vars(found).items():
        if name.startswith("_") or not inspect.isfunction(value):
            continue
        doc = read_docstring(value)
        rows = arguments_of(value, doc.parameters)
        words = [f"{row[0].strip('`')}={row[1].strip('`')}" for row in rows if row[1] != "required"]
        words = [row[0].strip("`") for row in rows if row[1] == "required"] + words
        yield f"#### {name}({', '.join(words)})\n\n{doc.text}"
        parts = [f"- {argument}: {text}" for argument, _, text in rows]
        parts += [f"- returns: {doc.returns}"] if doc.returns else []
        if parts:
            yield "\n".join(parts)


def _connection() -> Iterator[str]:
    (kind,) = get_provider_info()["connection-types"]
    names = {"host": "Host", "schema": "Schema", "port": "Port", "login": "Login"}
    names |= {"password": "Password"}
    behaviour = kind["ui-field-behaviour"]
    rows = [
        [behaviour["relabeling"].get(key, name), f"`{key}`", _example(behaviour, key)]
        for key, name in names.items()
    ]
    rows += [
        [item["label"], f"`{key}` in the extra", f"{item['description']}{_schema(item)}"]
        for key, item in kind["conn-fields"].items()
    ]
    yield f"## Connection\n\nType **{kind['hook-name']}**, `{kind['connection-type']}`."
    yield table(["field of the form", "name", "what it is"], rows)


def _example(behaviour: dict[str, Any], key: str) -> str:
    example = behaviour["placeholders"].get(key)
    return f"such as `{example}`" if example else ""


def _schema(item: dict[str, Any]) -> str:
    default = item["schema"].get("default")
    return "" if default is None else f" By default `{str(default).lower()}`."


def _configuration() -> Iterator[str]:
    yield "## Configuration\n\nIn `airflow.cfg`, or as variables of the environment."
    rows = [
        [
            f"`[{section}] {name}`",
            f"`AIRFLOW__{section.upper()}__{name.upper()}`",
            f"`{option['default']}`",
            " ".join(option["description"].split()),
        ]
        for section, content in get_provider_info()["config"].items()
        for name, option in content["options"].items()
    ]
    yield table(["option", "variable", "default", "what it is"], rows)
